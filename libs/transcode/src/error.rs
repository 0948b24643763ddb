//! The one error of the run time: what is wrong, where in the document, where in the bytes.
//!
//! It is one word wide, so that results stay in a register on the hot path; the JSON path is put together only
//! while an error travels up.

use std::fmt;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not JSON, or a query that is not `application/x-www-form-urlencoded`.
    Syntax,
    /// Bytes or escapes that are not UTF-8.
    Utf8,
    /// Nested deeper than `Options::max_depth`.
    Depth,
    /// A field or parameter that the message lacks.
    UnknownField,
    /// The same field, parameter or map key twice.
    Duplicate,
    /// Two members of one oneof.
    Oneof,
    /// A JSON type that the field does not take.
    WrongType,
    /// A number, time or duration out of the field's range.
    Range,
    /// A text that does not follow the field's format.
    Format,
    /// An enum name that the enum lacks.
    UnknownEnum,
    /// A type of `google.protobuf.Any` that no descriptor describes.
    UnknownType,
    /// Query or body disagree with the path.
    Conflict,
    /// Malformed protobuf.
    Wire,
    /// A well-formed message that JSON cannot carry.
    Unrepresentable,
}

/// Which part of the exchange the error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The request body.
    Body,
    /// A query parameter.
    Query,
    /// The request path.
    Path,
    /// The upstream's message: not the client's fault.
    Response,
}

struct Inner {
    kind: Kind,
    place: Place,
    path: String,
    offset: Option<usize>,
    message: String,
}

/// A request or a response that cannot be transcoded.
pub struct Error(Box<Inner>);

impl Error {
    #[cold]
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, place: Place::Body, path: String::new(), offset: None, message: message.into() }))
    }

    /// Malformed protobuf.
    #[cold]
    pub(crate) fn wire(message: &str) -> Self {
        Self::new(Kind::Wire, message)
    }

    /// Puts a field name in front of the path.
    #[cold]
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        let inner = &mut *self.0;
        if !inner.path.is_empty() && !inner.path.starts_with('[') {
            inner.path.insert(0, '.');
        }
        inner.path.insert_str(0, name);
        self
    }

    /// Puts `[index]` in front of the path.
    #[cold]
    pub(crate) fn in_item(self, index: usize) -> Self {
        self.in_brackets(&index.to_string())
    }

    /// Puts `["key"]` in front of the path.
    #[cold]
    pub(crate) fn in_key(self, key: &str) -> Self {
        let mut quoted = Vec::new();
        crate::text::write_string(key, &mut quoted);
        self.in_brackets(&String::from_utf8_lossy(&quoted))
    }

    fn in_brackets(mut self, inside: &str) -> Self {
        let inner = &mut *self.0;
        let dot = if inner.path.is_empty() || inner.path.starts_with('[') { "" } else { "." };
        inner.path.insert_str(0, &format!("[{inside}]{dot}"));
        self
    }

    /// Sets the byte offset unless a deeper level has.
    #[cold]
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    #[cold]
    pub(crate) fn of(mut self, place: Place) -> Self {
        self.0.place = place;
        self
    }

    /// Sets the whole path.
    #[cold]
    pub(crate) fn named(mut self, path: &str) -> Self {
        self.0.path = path.to_owned();
        self
    }

    /// Forgets the offset: it was one into a parameter, not into the body.
    #[cold]
    pub(crate) fn without_offset(mut self) -> Self {
        self.0.offset = None;
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Which part of the exchange.
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// JSON path in the body (`price.units`, `tags[3]`, `labels["x"]`), a query parameter's name or a path variable's;
    /// empty for the whole document.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// Byte offset in the body.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// Lower case, without the path.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            write!(f, "{}: ", self.0.path)?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, place, path, offset, message } = &*self.0;
        write!(f, "{kind:?} in {place:?} at {path:?} (byte {offset:?}): {message}")
    }
}

impl std::error::Error for Error {}

/// Descriptors that cannot be served; found at load, never later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// "pkg.Service.Method", or the message or service at fault.
    pub method: String,
    /// Lower case, without the name.
    pub reason: String,
}

impl LoadError {
    pub(crate) fn new(method: &str, reason: impl Into<String>) -> Self {
        Self { method: method.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, self.reason)
    }
}

impl std::error::Error for LoadError {}
