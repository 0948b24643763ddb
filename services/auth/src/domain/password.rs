//! What makes a password acceptable, and how it is hashed: argon2id, PHC string format.
//!
//! NIST SP 800-63B-4: length and a list of known ones, no rules of composition; all characters count.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use jangteo_core::{Error, Result};
use std::{collections::HashSet, sync::LazyLock};

/// Passwords from the top of every published breach, eight characters or more, lower case.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());
/// Runs that fingers find by themselves.
const RUNS: [&str; 5] = ["01234567890", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"];
const MIN_DISTINCT: usize = 4;

/// Refuses passwords that an attacker tries first. `field` names it in the error; `personal` is what strangers may know
/// of the person: the address, the name. Length has been checked with the request.
pub fn check(field: &str, password: &str, personal: &[&str]) -> Result<()> {
    let lower = password.to_lowercase();
    let refuse = |reason: &str, text: &str| Err(Error::invalid(field, reason, text));
    if COMMON.contains(lower.as_str()) {
        return refuse("BREACHED_PASSWORD", "is one of the best known passwords; choose another");
    }
    if lower.chars().collect::<HashSet<_>>().len() < MIN_DISTINCT || is_run(&lower) || is_repeated(&lower) {
        return refuse("PREDICTABLE_PASSWORD", "follows a simple pattern; choose another");
    }
    let known = personal.iter().flat_map(|p| [*p, p.split('@').next().unwrap_or_default()]);
    if known.map(str::to_lowercase).any(|p| p.trim() == lower) {
        return refuse("PERSONAL_PASSWORD", "is the address or the name; choose another");
    }
    Ok(())
}

fn is_run(s: &str) -> bool {
    let reversed: String = s.chars().rev().collect();
    RUNS.iter().any(|run| run.contains(s) || run.contains(&reversed))
}

/// `abcabcabc`: a piece of up to four characters, over and over.
fn is_repeated(s: &str) -> bool {
    let chars: Vec<char> = s.chars().collect();
    (1..=4).any(|n| chars.len() >= 2 * n && chars.iter().zip(chars.iter().skip(n)).all(|(a, b)| a == b))
}

/// Parameters of argon2id. OWASP's first choice: 19 MiB, two passes, one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

pub const MIN_COST: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

impl Cost {
    fn params(self) -> Result<Params> {
        Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|e| Error::internal(e.to_string()))
    }
}

/// Takes tens of milliseconds of one core and `memory_kib` of memory; makes its own salt.
pub fn hash(password: &str, cost: Cost) -> Result<String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
    Ok(argon2.hash_password(password.as_bytes()).map_err(|e| Error::internal(e.to_string()))?.to_string())
}

/// As costly as the hash was. An unreadable hash is an error, not a mismatch.
pub fn verify(password: &str, hash: &str) -> Result<bool> {
    let hash = PasswordHash::new(hash).map_err(|e| Error::internal(e.to_string()))?;
    Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether a hash was made with other parameters than those of now.
pub fn is_outdated(hash: &str, cost: Cost) -> bool {
    let made_with = PasswordHash::new(hash).ok().filter(|h| h.algorithm.as_str() == "argon2id");
    let params = made_with.and_then(|h| Params::try_from(&h).ok());
    params.is_none_or(|p| (p.m_cost(), p.t_cost(), p.p_cost()) != (cost.memory_kib, cost.passes, cost.lanes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn reason(password: &str) -> Option<String> {
        let personal = ["min.ji@example.kr", "Kim Min-ji"];
        check("password", password, &personal).err().map(|e| e.field_violations()[0].reason.clone())
    }

    #[test]
    fn what_attackers_try_first_is_refused() {
        for (password, why) in [
            ("password123", "BREACHED_PASSWORD"),
            ("PassWord123", "BREACHED_PASSWORD"),
            ("qwer1234", "BREACHED_PASSWORD"),
            ("abababababababab", "PREDICTABLE_PASSWORD"),
            ("12ab12ab12ab12", "PREDICTABLE_PASSWORD"),
            ("zyxwvutsrq", "PREDICTABLE_PASSWORD"),
            ("ㅁㅁㅁㅁㅁㅁㅁㅁ", "PREDICTABLE_PASSWORD"),
            ("Min.Ji@example.kr", "PERSONAL_PASSWORD"),
            ("kim min-ji", "PERSONAL_PASSWORD"),
        ] {
            assert_eq!(reason(password).as_deref(), Some(why), "{password}");
        }
        for fine in ["correct horse battery staple", "kf83-lq02-xx", "장터에서 만나요", "Tr0ub4dor&3"] {
            assert_eq!(reason(fine), None, "{fine}");
        }
    }

    #[test]
    fn the_list_is_in_the_form_that_is_compared() {
        assert!(COMMON.len() > 500);
        for p in COMMON.iter() {
            assert_eq!(p.to_lowercase(), **p);
            assert!(p.chars().count() >= 8, "{p} is too short to matter");
        }
    }

    #[test]
    fn every_character_of_a_long_password_counts() {
        let long = "정말 긴 비밀번호 ".repeat(60);
        let hash = hash(&long, CHEAP).unwrap();
        assert!(verify(&long, &hash).unwrap());
        assert!(!verify(&long[..long.len() - 1], &hash).unwrap());
        assert!(!verify(&format!("{long}x"), &hash).unwrap());
    }

    #[test]
    fn hashes_say_how_they_were_made() {
        let old = hash("kf83-lq02-xx", CHEAP).unwrap();
        assert!(old.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{old}");
        assert!(is_outdated(&old, MIN_COST));
        assert!(!is_outdated(&old, CHEAP));
        assert!(is_outdated("nonsense", CHEAP));
        assert_ne!(old, hash("kf83-lq02-xx", CHEAP).unwrap(), "salted");
        assert!(verify("x", "nonsense").is_err());
    }
}
