//! The rules of `buf.validate` at run time. `build/rules.rs` writes an `impl Checked` for each
//! message in terms of these; the reasons are buf's rule ids in capitals (`STRING_MIN_LEN`).

use jangteo_core::{Error, Result, Violation, upper_snake};
use regex::Regex;
use std::{
    collections::HashSet,
    fmt::{Debug, Display},
    sync::LazyLock,
};

/// A message whose fields have rules.
pub trait Checked {
    /// Adds what breaks a rule to `out`; `path` leads to this message.
    fn check(&self, path: &Path<'_>, out: &mut Vec<Violation>);

    /// The idempotency key, of a request that has one.
    fn request_id(&self) -> &str {
        ""
    }
}

impl Checked for () {
    fn check(&self, _: &Path<'_>, _: &mut Vec<Violation>) {}
}

impl Checked for crate::google::api::HttpBody {
    fn check(&self, _: &Path<'_>, _: &mut Vec<Violation>) {}
}

/// Every rule that `message` breaks, in one error.
pub fn check(message: &impl Checked) -> Result<()> {
    let mut out = Vec::new();
    message.check(&Path::Root, &mut out);
    if out.is_empty() { Ok(()) } else { Err(Error::violations(out)) }
}

/// Where we are in a message. Text is made only when a rule is broken.
pub enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'static str),
    Index(&'a Path<'a>, usize),
    Key(&'a Path<'a>, String),
}

impl<'a> Path<'a> {
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path::Field(self, name)
    }
    pub fn index(&'a self, i: usize) -> Path<'a> {
        Path::Index(self, i)
    }
    pub fn key(&'a self, k: impl Display) -> Path<'a> {
        Path::Key(self, k.to_string())
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => write!(f, "{name}"),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, i) => write!(f, "{parent}[{i}]"),
            Path::Key(parent, k) => write!(f, "{parent}[{k:?}]"),
        }
    }
}

fn broken(p: &Path<'_>, rule: &str, text: impl Into<String>, out: &mut Vec<Violation>) {
    let reason = upper_snake(&rule.replace('.', "_"));
    out.push(Violation { field: p.to_string(), reason, description: text.into() });
}

pub fn is_zero<T: PartialEq + Default>(v: &T) -> bool {
    *v == T::default()
}

pub fn required(p: &Path<'_>, out: &mut Vec<Violation>) {
    broken(p, "required", "is required", out);
}

/// Items are scalars, some of which have neither an order nor a hash; `Debug` tells them apart.
pub fn unique<T: PartialEq + Debug>(p: &Path<'_>, items: &[T], out: &mut Vec<Violation>) {
    const FEW: usize = 32;
    let repeats = if items.len() <= FEW {
        items.iter().enumerate().any(|(i, a)| items[..i].contains(a))
    } else {
        let mut seen = HashSet::with_capacity(items.len());
        !items.iter().all(|a| seen.insert(format!("{a:?}")))
    };
    if repeats {
        broken(p, "repeated.unique", "must not repeat an item", out);
    }
}

/// Whether the items are few enough to be looked at one by one.
pub fn size(p: &Path<'_>, len: u64, min: u64, max: u64, out: &mut Vec<Violation>) -> bool {
    if len < min {
        broken(p, "repeated.min_items", format!("must have at least {min} items"), out);
    } else if len > max {
        broken(p, "repeated.max_items", format!("must have at most {max} items"), out);
    }
    len <= max
}

/// A regular expression, compiled at its first use; the build has checked it.
pub struct Pattern(&'static str, LazyLock<Regex, fn() -> Regex>);

impl Pattern {
    pub const fn new(source: &'static str, compile: fn() -> Regex) -> Self {
        Pattern(source, LazyLock::new(compile))
    }
}

pub fn regex(source: &str) -> Regex {
    Regex::new(source).expect("checked by the build")
}

#[derive(Default)]
pub struct StringRules {
    pub equal: Option<&'static str>,
    pub len: Option<u64>,
    pub min_len: Option<u64>,
    pub max_len: Option<u64>,
    pub len_bytes: Option<u64>,
    pub min_bytes: Option<u64>,
    pub max_bytes: Option<u64>,
    pub pattern: Option<&'static Pattern>,
    pub prefix: Option<&'static str>,
    pub suffix: Option<&'static str>,
    pub contains: Option<&'static str>,
    pub not_contains: Option<&'static str>,
    pub r#in: &'static [&'static str],
    pub not_in: &'static [&'static str],
    pub email: bool,
    pub hostname: bool,
    pub ip: bool,
    pub ipv4: bool,
    pub ipv6: bool,
    pub uri: bool,
    pub uuid: bool,
}

/// The HTML standard's pattern, which is what buf's `string.email` asks.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
    )
});
static UUID: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"));
static HOSTNAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?$")
});

impl StringRules {
    pub const NONE: Self = StringRules {
        equal: None,
        len: None,
        min_len: None,
        max_len: None,
        len_bytes: None,
        min_bytes: None,
        max_bytes: None,
        pattern: None,
        prefix: None,
        suffix: None,
        contains: None,
        not_contains: None,
        r#in: &[],
        not_in: &[],
        email: false,
        hostname: false,
        ip: false,
        ipv4: false,
        ipv6: false,
        uri: false,
        uuid: false,
    };

    /// Lengths count characters; the `_bytes` rules count UTF-8 bytes.
    pub fn check(&self, p: &Path<'_>, v: &str, out: &mut Vec<Violation>) {
        let mut fail = |rule: &str, text: String| broken(p, &format!("string.{rule}"), text, out);
        let (chars, bytes) = (v.chars().count() as u64, v.len() as u64);
        if let Some(n) = self.len.filter(|n| chars != *n) {
            fail("len", format!("must have {n} characters"));
        }
        if let Some(n) = self.min_len.filter(|n| chars < *n) {
            fail("min_len", format!("must have at least {n} characters"));
        }
        if let Some(n) = self.max_len.filter(|n| chars > *n) {
            fail("max_len", format!("must have at most {n} characters"));
        }
        if let Some(n) = self.len_bytes.filter(|n| bytes != *n) {
            fail("len_bytes", format!("must have {n} bytes"));
        }
        if let Some(n) = self.min_bytes.filter(|n| bytes < *n) {
            fail("min_bytes", format!("must have at least {n} bytes"));
        }
        if let Some(n) = self.max_bytes.filter(|n| bytes > *n) {
            fail("max_bytes", format!("must have at most {n} bytes"));
        }
        if let Some(Pattern(source, _)) = self.pattern.filter(|p| !p.1.is_match(v)) {
            fail("pattern", format!("must match {source}"));
        }
        if let Some(s) = self.equal.filter(|s| v != *s) {
            fail("const", format!("must be {s:?}"));
        }
        if let Some(s) = self.prefix.filter(|s| !v.starts_with(s)) {
            fail("prefix", format!("must start with {s:?}"));
        }
        if let Some(s) = self.suffix.filter(|s| !v.ends_with(s)) {
            fail("suffix", format!("must end with {s:?}"));
        }
        if let Some(s) = self.contains.filter(|s| !v.contains(s)) {
            fail("contains", format!("must contain {s:?}"));
        }
        if let Some(s) = self.not_contains.filter(|s| v.contains(s)) {
            fail("not_contains", format!("must not contain {s:?}"));
        }
        if !self.r#in.is_empty() && !self.r#in.contains(&v) {
            fail("in", format!("must be one of {}", self.r#in.join(", ")));
        }
        if self.not_in.contains(&v) {
            fail("not_in", format!("must not be one of {}", self.not_in.join(", ")));
        }
        let ip = v.parse::<std::net::IpAddr>().ok();
        for (on, rule, ok, what) in [
            (self.email, "email", EMAIL.is_match(v) && v.len() <= 254, "an e-mail address"),
            (self.hostname, "hostname", HOSTNAME.is_match(v) && v.len() <= 253, "a host name"),
            (self.uuid, "uuid", UUID.is_match(v), "a UUID"),
            (self.ip, "ip", ip.is_some(), "an IP address"),
            (self.ipv4, "ipv4", ip.is_some_and(|ip| ip.is_ipv4()), "an IPv4 address"),
            (self.ipv6, "ipv6", ip.is_some_and(|ip| ip.is_ipv6()), "an IPv6 address"),
            (self.uri, "uri", v.parse::<http::Uri>().is_ok_and(|u| u.scheme().is_some()), "an absolute URI"),
        ] {
            if on && !ok {
                fail(rule, format!("must be {what}"));
            }
        }
    }
}

#[derive(Default)]
pub struct BytesRules {
    pub len: Option<u64>,
    pub min_len: Option<u64>,
    pub max_len: Option<u64>,
}

impl BytesRules {
    pub const NONE: Self = BytesRules { len: None, min_len: None, max_len: None };

    pub fn check(&self, p: &Path<'_>, v: &[u8], out: &mut Vec<Violation>) {
        let len = v.len() as u64;
        if let Some(n) = self.len.filter(|n| len != *n) {
            broken(p, "bytes.len", format!("must have {n} bytes"), out);
        }
        if let Some(n) = self.min_len.filter(|n| len < *n) {
            broken(p, "bytes.min_len", format!("must have at least {n} bytes"), out);
        }
        if let Some(n) = self.max_len.filter(|n| len > *n) {
            broken(p, "bytes.max_len", format!("must have at most {n} bytes"), out);
        }
    }
}

pub struct BoolRules {
    pub equal: Option<bool>,
}

impl BoolRules {
    pub const NONE: Self = BoolRules { equal: None };

    pub fn check(&self, p: &Path<'_>, v: &bool, out: &mut Vec<Violation>) {
        if let Some(b) = self.equal.filter(|b| v != b) {
            broken(p, "bool.const", format!("must be {b}"), out);
        }
    }
}

pub struct EnumRules {
    pub equal: Option<i32>,
    /// The numbers that the enum defines; empty: any.
    pub defined_only: &'static [i32],
    pub r#in: &'static [i32],
    pub not_in: &'static [i32],
}

impl EnumRules {
    pub const NONE: Self = EnumRules { equal: None, defined_only: &[], r#in: &[], not_in: &[] };

    pub fn check(&self, p: &Path<'_>, v: &i32, out: &mut Vec<Violation>) {
        if !self.defined_only.is_empty() && !self.defined_only.contains(v) {
            broken(p, "enum.defined_only", "must be one of the enum's values", out);
        } else if self.not_in.contains(v) || (!self.r#in.is_empty() && !self.r#in.contains(v)) {
            broken(p, "enum.in", if *v == 0 { "is required" } else { "is not allowed here" }, out);
        } else if self.equal.is_some_and(|n| n != *v) {
            broken(p, "enum.const", "is not the one value allowed here", out);
        }
    }
}

pub struct NumberRules<T: 'static> {
    pub equal: Option<T>,
    pub gt: Option<T>,
    pub gte: Option<T>,
    pub lt: Option<T>,
    pub lte: Option<T>,
    pub r#in: &'static [T],
    pub not_in: &'static [T],
}

impl<T: PartialOrd + Debug + Copy> NumberRules<T> {
    pub const NONE: Self =
        NumberRules { equal: None, gt: None, gte: None, lt: None, lte: None, r#in: &[], not_in: &[] };

    pub fn check(&self, p: &Path<'_>, v: &T, out: &mut Vec<Violation>) {
        bounds(p, v, [self.gt, self.gte, self.lt, self.lte], out);
        if self.equal.is_some_and(|n| n != *v) {
            broken(p, "number.const", format!("must be {:?}", self.equal), out);
        }
        if !self.r#in.is_empty() && !self.r#in.contains(v) {
            broken(p, "number.in", format!("must be one of {:?}", self.r#in), out);
        }
        if self.not_in.contains(v) {
            broken(p, "number.not_in", format!("must not be one of {:?}", self.not_in), out);
        }
    }
}

pub struct FloatRules<T> {
    pub gt: Option<T>,
    pub gte: Option<T>,
    pub lt: Option<T>,
    pub lte: Option<T>,
    pub finite: bool,
}

impl<T: PartialOrd + Debug + Copy + Into<f64>> FloatRules<T> {
    pub const NONE: Self = FloatRules { gt: None, gte: None, lt: None, lte: None, finite: false };

    pub fn check(&self, p: &Path<'_>, v: &T, out: &mut Vec<Violation>) {
        bounds(p, v, [self.gt, self.gte, self.lt, self.lte], out);
        if self.finite && !(*v).into().is_finite() {
            broken(p, "number.finite", "must be a finite number", out);
        }
    }
}

/// NaN breaks every bound.
fn bounds<T: PartialOrd + Debug + Copy>(
    p: &Path<'_>,
    v: &T,
    [gt, gte, lt, lte]: [Option<T>; 4],
    out: &mut Vec<Violation>,
) {
    let mut bound = |limit: Option<T>, ok: fn(&T, &T) -> bool, rule: &str, what: &str| {
        if let Some(n) = limit.filter(|n| !ok(v, n)) {
            broken(p, rule, format!("must be {what} {n:?}"), out);
        }
    };
    bound(gt, |v, n| v > n, "number.gt", "greater than");
    bound(gte, |v, n| v >= n, "number.gte", "at least");
    bound(lt, |v, n| v < n, "number.lt", "less than");
    bound(lte, |v, n| v <= n, "number.lte", "at most");
}

/// Bounds are (seconds, nanos).
pub struct DurationRules {
    pub gt: Option<(i64, i32)>,
    pub gte: Option<(i64, i32)>,
    pub lt: Option<(i64, i32)>,
    pub lte: Option<(i64, i32)>,
}

impl DurationRules {
    pub const NONE: Self = DurationRules { gt: None, gte: None, lt: None, lte: None };

    pub fn check(&self, p: &Path<'_>, v: &prost_types::Duration, out: &mut Vec<Violation>) {
        bounds(p, &(v.seconds, v.nanos), [self.gt, self.gte, self.lt, self.lte], out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(f: impl Fn(&Path<'_>, &mut Vec<Violation>)) -> Vec<String> {
        let mut out = Vec::new();
        f(&Path::Root.field("f"), &mut out);
        out.into_iter().map(|v| v.reason).collect()
    }

    #[test]
    fn lengths_count_characters() {
        let r = StringRules { min_len: Some(2), max_len: Some(3), ..StringRules::NONE };
        assert!(reasons(|p, o| r.check(p, "장터", o)).is_empty());
        assert_eq!(reasons(|p, o| r.check(p, "장", o)), ["STRING_MIN_LEN"]);
        assert_eq!(reasons(|p, o| r.check(p, "장터장터", o)), ["STRING_MAX_LEN"]);
    }

    #[test]
    fn addresses() {
        let r = StringRules { email: true, ..StringRules::NONE };
        for good in ["a@b.kr", "min.ji+shop@example.co.kr", "a@localhost"] {
            assert!(reasons(|p, o| r.check(p, good, o)).is_empty(), "{good}");
        }
        for bad in ["", "a", "a@", "@b.kr", "a b@c.kr", "a@b..kr", "a@-b.kr"] {
            assert_eq!(reasons(|p, o| r.check(p, bad, o)), ["STRING_EMAIL"], "{bad}");
        }
    }

    #[test]
    fn bounds_and_nan() {
        let r = FloatRules { gte: Some(0.0), lt: Some(1.0), finite: true, ..FloatRules::NONE };
        assert!(reasons(|p, o| r.check(p, &0.5, o)).is_empty());
        assert_eq!(reasons(|p, o| r.check(p, &1.0, o)), ["NUMBER_LT"]);
        assert_eq!(reasons(|p, o| r.check(p, &f64::NAN, o)).len(), 3);
        let n = NumberRules { gt: Some(0i64), lte: Some(9), ..NumberRules::NONE };
        assert_eq!(reasons(|p, o| n.check(p, &0, o)), ["NUMBER_GT"]);
        assert_eq!(reasons(|p, o| n.check(p, &10, o)), ["NUMBER_LTE"]);
    }

    #[test]
    fn paths_lead_to_the_field() {
        let root = Path::Root;
        let tags = root.field("tags");
        assert_eq!(tags.index(3).to_string(), "tags[3]");
        assert_eq!(root.field("price").field("units").to_string(), "price.units");
        assert_eq!(root.field("labels").key("a").field("x").to_string(), "labels[\"a\"].x");
    }
}
