//! What identifies a person: address, name, language, network, roles.

use jangteo_core::{Error, Result};
use proto::jangteo::options::v1::Role;
use std::net::IpAddr;

/// The form in which an address is looked up and kept.
pub fn email(raw: &str) -> String {
    raw.trim().to_lowercase()
}

/// A name as it is shown: trimmed, not empty, on one line.
pub fn display_name(raw: &str) -> Result<String> {
    let name = raw.trim();
    if name.is_empty() {
        return Err(Error::invalid("display_name", "BLANK", "must not be blank"));
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return Err(Error::invalid("display_name", "INVALID_CHARACTER", "must not hold control characters"));
    }
    Ok(name.to_owned())
}

/// The language of mails: what the person asked for, else the first one of `Accept-Language` that we have, else Korean.
pub fn locale(asked: &str, accept: Option<&str>) -> &'static str {
    let tags = std::iter::once(asked).chain(accept.into_iter().flat_map(|a| a.split(',')));
    for tag in tags {
        let language = tag.trim().split([';', '-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        match language.as_str() {
            "ko" => return "ko",
            "en" => return "en",
            _ => {}
        }
    }
    "ko"
}

/// Where somebody connects from, as far as it tells one household from another: an IPv4 address, or the
/// /64 of an IPv6 one, whose lower half a device changes at will.
pub fn network(addr: Option<&str>) -> String {
    let Some(addr) = addr else { return "unknown".to_owned() };
    match addr.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Ok(IpAddr::V6(ip)) => {
            let s = ip.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
        Err(_) => "unknown".to_owned(),
    }
}

/// `ROLE_BRAND_MANAGER` as tokens and rows write it: `brand_manager`.
pub fn role_name(role: Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_lowercase()
}

/// A row's roles, `user admin`, in the order of the enum.
pub fn roles(row: &str) -> Vec<Role> {
    let mut roles: Vec<Role> =
        row.split(' ').filter_map(|n| Role::from_str_name(&format!("ROLE_{}", n.to_uppercase()))).collect();
    roles.sort_unstable_by_key(|r| *r as i32);
    roles.dedup();
    roles
}

/// The inverse of [`roles`].
pub fn roles_row(roles: &[Role]) -> String {
    let mut sorted = roles.to_vec();
    sorted.sort_unstable_by_key(|r| *r as i32);
    sorted.dedup();
    sorted.into_iter().map(role_name).collect::<Vec<_>>().join(" ")
}

pub fn role_numbers(roles: &[Role]) -> Vec<i32> {
    roles.iter().map(|r| *r as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_don_t_differ_by_case_or_margin() {
        assert_eq!(email(" Min.Ji@Example.KR "), "min.ji@example.kr");
    }

    #[test]
    fn names_are_one_visible_line() {
        assert_eq!(display_name("  민지 ").unwrap(), "민지");
        for bad in ["", "   ", "a\nb", "a\u{202e}b", "\u{0}"] {
            assert_eq!(display_name(bad).unwrap_err().field_violations()[0].field, "display_name", "{bad:?}");
        }
    }

    #[test]
    fn languages() {
        assert_eq!(locale("", None), "ko");
        assert_eq!(locale("en-GB", Some("ko")), "en");
        assert_eq!(locale("", Some("fr, en;q=0.8, ko;q=0.5")), "en");
        assert_eq!(locale("ja", Some("*")), "ko");
    }

    #[test]
    fn networks() {
        assert_eq!(network(Some("203.0.113.7")), "203.0.113.7");
        assert_eq!(network(Some("::ffff:203.0.113.7")), "203.0.113.7");
        assert_eq!(network(Some("2001:db8:1:2:3:4:5:6")), network(Some("2001:db8:1:2::1")));
        assert_ne!(network(Some("2001:db8:1:3::1")), network(Some("2001:db8:1:2::1")));
        assert_eq!(network(Some("nonsense")), "unknown");
        assert_eq!(network(None), "unknown");
    }

    #[test]
    fn roles_there_and_back() {
        assert_eq!(roles_row(&[Role::Admin, Role::User, Role::Admin]), "user admin");
        assert_eq!(roles("user admin brand_manager"), [Role::User, Role::Admin, Role::BrandManager]);
        assert_eq!(roles(""), []);
    }
}
