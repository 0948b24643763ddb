//! One error for the whole platform. It becomes `google.rpc.Status` at the gRPC boundary
//! (`proto::status`) and is logged once, there.
//!
//! Domains never build an [`Error`] by hand: they declare their refusals with [`crate::faults!`],
//! which gives each one a code, an UPPER_SNAKE reason and its values as metadata.

use std::{borrow::Cow, collections::BTreeMap, fmt, time::Duration};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The canonical gRPC codes, with their numbers on the wire.
/// <https://grpc.io/docs/guides/status-codes/>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// A number that gRPC doesn't define reads as `Unknown`, as the specification asks.
    pub fn from_i32(n: i32) -> Code {
        usize::try_from(n).ok().and_then(|n| Code::ALL.get(n).copied()).unwrap_or(Code::Unknown)
    }

    /// `NOT_FOUND`, as the code is written in `google.rpc.Code`.
    pub fn name(self) -> String {
        upper_snake(&format!("{self:?}"))
    }

    /// Ours to fix rather than the caller's: logged as an error.
    pub fn is_server_fault(self) -> bool {
        matches!(self, Code::Unknown | Code::Internal | Code::DataLoss)
    }
}

/// One field of a request that broke a rule. `field` is the path in proto names
/// (`price.currency_code`, `tags[3]`); the edge turns it into the JSON path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub field: String,
    pub reason: String,
    pub description: String,
}

pub struct Error(Box<Inner>);

struct Inner {
    code: Code,
    reason: Cow<'static, str>,
    domain: Cow<'static, str>,
    message: String,
    metadata: BTreeMap<String, String>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            reason: reason.into(),
            domain: Cow::Borrowed(""),
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// A request whose `field` (path in proto names) breaks a rule.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>, description: impl Into<String>) -> Self {
        Self::violations(vec![Violation {
            field: field.into(),
            reason: reason.into(),
            description: description.into(),
        }])
    }

    /// All the rules that one request breaks, in one answer.
    pub fn violations(violations: Vec<Violation>) -> Self {
        let message = match violations.as_slice() {
            [one] => format!("{}: {}", one.field, one.description),
            many => format!("{} fields are invalid", many.len()),
        };
        let mut e = Self::new(Code::InvalidArgument, "INVALID_REQUEST", message);
        e.0.violations = violations;
        e
    }

    /// Something of ours broke; the caller learns no more than that.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "INTERNAL", "internal error").with_source(source)
    }

    /// Something we lean on is away; trying again may help.
    pub fn unavailable(what: impl fmt::Display) -> Self {
        Self::new(Code::Unavailable, "UNAVAILABLE", format!("{what} is unavailable")).with("dependency", what)
    }

    pub fn unauthenticated(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, reason, message)
    }

    pub fn denied(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, reason, message)
    }

    pub fn not_found(noun: &str, id: impl fmt::Display) -> Self {
        Self::new(Code::NotFound, format!("{}_NOT_FOUND", upper_snake(noun)), format!("{noun} {id} does not exist"))
            .with(format!("{noun}_id"), id)
    }

    /// Somebody else changed the resource since the caller read it.
    pub fn etag_mismatch(current: impl fmt::Display) -> Self {
        Self::new(Code::Aborted, "ETAG_MISMATCH", "the resource changed since it was read; read it again")
            .with("etag", current)
    }

    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.metadata.insert(key.into(), value.to_string());
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<Cow<'static, str>>) -> Self {
        self.0.domain = domain.into();
        self
    }

    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.0.violations = violations;
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }
    pub fn reason(&self) -> &str {
        &self.0.reason
    }
    /// `<service>.jangteo`; empty until the boundary fills in the service that answers.
    pub fn domain(&self) -> &str {
        &self.0.domain
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }
    pub fn field_violations(&self) -> &[Violation] {
        &self.0.violations
    }
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.code.name(), self.0.reason, self.0.message)?;
        for v in &self.0.violations {
            write!(f, " [{}: {}]", v.field, v.description)?;
        }
        let mut source = std::error::Error::source(self);
        while let Some(s) = source {
            write!(f, ": {s}")?;
            source = s.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

/// What a domain refuses, and why. Declared with [`crate::faults!`].
pub trait Fault: fmt::Display + fmt::Debug {
    fn code(&self) -> Code;
    fn reason(&self) -> String;
    fn domain(&self) -> &'static str;
    fn metadata(&self) -> BTreeMap<String, String>;
}

impl<F: Fault> From<F> for Error {
    fn from(fault: F) -> Self {
        let mut e = Error::new(fault.code(), fault.reason(), fault.to_string()).with_domain(fault.domain());
        e.0.metadata = fault.metadata();
        e
    }
}

/// Declares the refusals of a domain:
///
/// ```
/// jangteo_core::faults! {
///     /// Why a shelf refuses.
///     pub enum Fault in "shelf.jangteo" {
///         OutOfStock { product_id: String, left: i64 } = FailedPrecondition "only {left} of {product_id} are left",
///     }
/// }
/// let e: jangteo_core::Error = Fault::OutOfStock { product_id: "prd_1".into(), left: 2 }.into();
/// assert_eq!(e.reason(), "OUT_OF_STOCK");
/// assert_eq!(e.metadata()["left"], "2");
/// ```
#[macro_export]
macro_rules! faults {
    ($(#[$meta:meta])* $vis:vis enum $name:ident in $domain:literal {
        $($(#[$vmeta:meta])* $variant:ident $({ $($field:ident : $ty:ty),* $(,)? })? = $code:ident $message:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $vis enum $name { $($(#[$vmeta])* $variant $({ $($field: $ty),* })?),* }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self { $(Self::$variant $({ $($field),* })? => { $($(let _ = $field;)*)? write!(f, $message) })* }
            }
        }

        impl $crate::Fault for $name {
            fn code(&self) -> $crate::Code {
                match self { $(Self::$variant { .. } => $crate::Code::$code),* }
            }
            fn reason(&self) -> String {
                match self { $(Self::$variant { .. } => $crate::upper_snake(stringify!($variant))),* }
            }
            fn domain(&self) -> &'static str { $domain }
            fn metadata(&self) -> std::collections::BTreeMap<String, String> {
                match self { $(Self::$variant $({ $($field),* })? =>
                    [$($((stringify!($field).to_owned(), $field.to_string())),*)?].into()),* }
            }
        }
    };
}

/// `OutOfStock`, `product` or `out-of-stock` as `OUT_OF_STOCK`, `PRODUCT`.
pub fn upper_snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut lower = false;
    for c in name.chars() {
        if c.is_uppercase() && lower {
            out.push('_');
        }
        lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(if c == '-' { '_' } else { c }.to_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_names_are_the_published_ones() {
        assert_eq!(Code::NotFound.name(), "NOT_FOUND");
        assert_eq!(Code::from_i32(16), Code::Unauthenticated);
        assert_eq!(Code::from_i32(99), Code::Unknown);
    }

    #[test]
    fn internal_errors_hide_their_cause_from_the_message() {
        let e = Error::internal("the disk is full");
        assert_eq!(e.to_string(), "internal error");
        assert!(format!("{e:?}").contains("the disk is full"));
    }
}
