//! Collecting what is wrong with one request.

use crate::{Error, Result, Violation};

/// The rules that one request breaks, so that they are answered together.
///
/// ```
/// # use jangteo_core::{Error, Violations};
/// # fn title(text: &str) -> jangteo_core::Result<String> { Err(Error::invalid("title", "REQUIRED", "must say something")) }
/// let mut bad = Violations::default();
/// let title = bad.keep(title(" "));
/// bad.add("stock", "OUT_OF_RANGE", "must not be below 0");
/// assert_eq!((title, bad.none().unwrap_err().field_violations().len()), (None, 2));
/// ```
#[derive(Debug, Default)]
pub struct Violations {
    all: Vec<Violation>,
    /// The first error that is no violation; it goes before them all.
    failed: Option<Error>,
}

impl Violations {
    /// `field` is a path in proto names, as [`Violation`] has it.
    pub fn add(&mut self, field: impl Into<String>, reason: impl Into<String>, description: impl Into<String>) {
        self.all.push(Violation { field: field.into(), reason: reason.into(), description: description.into() });
    }

    /// What was read, or nothing and its violations kept.
    pub fn keep<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|e| self.take(e)).ok()
    }

    fn take(&mut self, e: Error) {
        match e.field_violations() {
            [] => _ = self.failed.get_or_insert(e),
            some => self.all.extend_from_slice(some),
        }
    }

    /// Passes when there are none.
    pub fn none(self) -> Result<()> {
        match (self.failed, self.all) {
            (Some(e), _) => Err(e),
            (None, all) if !all.is_empty() => Err(Error::violations(all)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_answered_together_and_in_order() {
        let mut bad = Violations::default();
        assert_eq!(bad.keep(Ok(1)), Some(1));
        assert_eq!(bad.keep::<()>(Err(Error::invalid("a", "A", "is a"))), None);
        bad.add("b[1]", "B", "is b");
        let e = bad.none().unwrap_err();
        assert_eq!(e.field_violations().iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["a", "b[1]"]);
        assert!(Violations::default().none().is_ok());
    }

    #[test]
    fn an_error_of_another_kind_is_not_lost() {
        let mut bad = Violations::default();
        bad.add("a", "A", "is a");
        bad.keep::<()>(Err(Error::unavailable("database")));
        assert_eq!(bad.none().unwrap_err().reason(), "UNAVAILABLE");
    }
}
