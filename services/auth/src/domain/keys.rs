//! The life of a signing key: publish, wait, sign, retire.
//!
//! A new key is published `ahead` of its first signature, so that every verifier has it by then. The key before it
//! stays published for `linger` after its last signature, until its last token has expired. All of that follows from
//! one time per key, when it starts to sign.

use chrono::TimeDelta;
use jangteo_core::Time;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyTime {
    /// When the key starts to sign. Declared first: keys are ordered by it.
    pub sign_time: Time,
    pub kid: String,
}

#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// How long a key signs.
    pub lifetime: TimeDelta,
    /// How long a key is published before it signs.
    pub ahead: TimeDelta,
    /// How long a key is published after it has signed for the last time.
    pub linger: TimeDelta,
}

impl Rotation {
    /// When the next key must start to sign, if it must be made now.
    pub fn next(&self, keys: &[KeyTime], now: Time) -> Option<Time> {
        match keys.iter().max() {
            None => Some(now),
            Some(newest) if newest.sign_time > now => None,
            Some(newest) if newest.sign_time + self.lifetime - self.ahead <= now => Some(now + self.ahead),
            Some(_) => None,
        }
    }

    /// The keys whose last token has expired.
    pub fn retired<'a>(&self, keys: &'a [KeyTime], now: Time) -> Vec<&'a KeyTime> {
        let successor = |k: &KeyTime| keys.iter().filter(|other| *other > k).min();
        keys.iter().filter(|k| successor(k).is_some_and(|s| s.sign_time + self.linger <= now)).collect()
    }
}

/// The key that signs at `now`.
pub fn signer(keys: &[KeyTime], now: Time) -> Option<&KeyTime> {
    keys.iter().filter(|k| k.sign_time <= now).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;
    use proptest::prelude::*;

    const R: Rotation =
        Rotation { lifetime: TimeDelta::days(30), ahead: TimeDelta::hours(2), linger: TimeDelta::minutes(65) };

    proptest! {
        /// A year of irregular job runs: every token that is still alive finds its key published, and a key never signs
        /// before verifiers had `ahead` to fetch it.
        #[test]
        fn a_live_token_always_finds_its_key(pauses in prop::collection::vec(60i64..7_200, 5_000)) {
            let mut now = from_micros(1_800_000_000_000_000);
            let mut keys: Vec<KeyTime> = Vec::new();
            let mut published = std::collections::HashMap::new();
            let mut last_signed: std::collections::HashMap<String, Time> = std::collections::HashMap::new();
            for (n, pause) in pauses.into_iter().enumerate() {
                if let Some(sign_time) = R.next(&keys, now) {
                    let kid = format!("k{n}");
                    published.insert(kid.clone(), now);
                    keys.push(KeyTime { sign_time, kid });
                }
                let gone: Vec<_> = R.retired(&keys, now).into_iter().cloned().collect();
                keys.retain(|k| !gone.contains(k));
                let s = signer(&keys, now).expect("somebody signs");
                prop_assert!(published.len() == 1 || now - published[&s.kid] >= R.ahead || s.kid == "k0");
                last_signed.insert(s.kid.clone(), now);
                for (kid, at) in &last_signed {
                    if now - *at < TimeDelta::hours(1) {
                        prop_assert!(keys.iter().any(|k| k.kid == *kid), "{kid} is gone and its tokens live");
                    }
                }
                prop_assert!(keys.len() <= 3);
                now += TimeDelta::seconds(pause);
            }
        }
    }

    #[test]
    fn a_key_that_signs_is_never_retired() {
        let now = from_micros(1_800_000_000_000_000);
        let keys = [KeyTime { sign_time: now - TimeDelta::days(400), kid: "old".into() }];
        assert!(R.retired(&keys, now).is_empty());
        assert_eq!(R.next(&keys, now), Some(now + R.ahead));
        assert_eq!(signer(&keys, now).unwrap().kid, "old");
    }
}
