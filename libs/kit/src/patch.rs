//! What an update's mask and fields ask for, <https://google.aip.dev/134>.
//!
//! Without a mask the fields that are present change. With one, exactly those that it names; a named field that is
//! absent is cleared, where it can be.

use jangteo_core::{Error, Result, Violations};
use prost_types::FieldMask;

/// Reads a request's fields one by one, and answers what is wrong with them at the end.
///
/// ```ignore
/// let mut wanted = Wanted::new(req.update_mask.as_ref(), &FIELDS);
/// let patch = Patch { title: wanted.text("title", &req.title, false), tags: wanted.list("tags", &req.tags) };
/// wanted.done()?;
/// ```
pub struct Wanted<'a> {
    paths: Vec<&'a str>,
    bad: Violations,
}

impl<'a> Wanted<'a> {
    /// `fields`: all that an update may name.
    pub fn new(mask: Option<&'a FieldMask>, fields: &[&str]) -> Self {
        let paths: Vec<&str> = mask.iter().flat_map(|m| &m.paths).map(String::as_str).collect();
        let mut bad = Violations::default();
        for path in paths.iter().filter(|p| **p != "*" && !fields.contains(p)) {
            let text = format!("{path} can't be updated; it may name {}", fields.join(", "));
            bad.add("update_mask", "UNKNOWN_FIELD", text);
        }
        Wanted { paths, bad }
    }

    /// The value to set; `None` leaves the field as it is. Without a value for `cleared` it can't be cleared.
    pub fn field<T: Clone>(&mut self, name: &str, value: &Option<T>, cleared: Option<T>) -> Option<T> {
        if self.paths.is_empty() {
            return value.clone();
        }
        if !self.paths.contains(&"*") && !self.paths.contains(&name) {
            return None;
        }
        let value = value.clone().or(cleared);
        if value.is_none() {
            self.bad.add(name, "REQUIRED", "can't be cleared");
        }
        value
    }

    /// A field that can't be cleared, as `read` understands it.
    pub fn read<T: Clone, U>(&mut self, name: &str, value: &Option<T>, read: impl FnOnce(T) -> Result<U>) -> Option<U> {
        let value = self.field(name, value, None)?;
        self.bad.keep(read(value))
    }

    /// A text, tidied; one that must say something says so.
    pub fn text(&mut self, name: &str, value: &Option<String>, clearable: bool) -> Option<String> {
        let value = self.field(name, value, clearable.then(String::new))?;
        self.bad.keep(tidy(name, &value, clearable))
    }

    /// A list, which has no "absent": an empty one changes nothing unless the mask names it.
    pub fn list<T: Clone>(&mut self, name: &str, values: &[T]) -> Option<Vec<T>> {
        self.field(name, &(!values.is_empty()).then(|| values.to_vec()), Some(Vec::new()))
    }

    pub fn done(self) -> Result<()> {
        self.bad.none()
    }
}

/// Without space around it and without control characters but line breaks.
pub fn tidy(name: &str, text: &str, may_be_empty: bool) -> Result<String> {
    let text = text.trim();
    if text.is_empty() && !may_be_empty {
        return Err(Error::invalid(name, "REQUIRED", "must say something"));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Error::invalid(name, "INVALID_TEXT", "must not contain control characters"));
    }
    Ok(text.to_owned())
}

/// Writes a patched value over the old one and remembers the field's name if they differ.
pub fn set<T: PartialEq>(name: &str, old: &mut T, new: Option<T>, changed: &mut Vec<String>) {
    if let Some(new) = new.filter(|new| new != old) {
        *old = new;
        changed.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> FieldMask {
        FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() }
    }

    const FIELDS: [&str; 4] = ["title", "stock", "tags", "parcel"];

    #[test]
    fn without_a_mask_what_is_present_is_wanted() {
        let mut w = Wanted::new(None, &FIELDS);
        assert_eq!(w.text("title", &Some(" a ".into()), false).as_deref(), Some("a"));
        assert_eq!(w.field("stock", &None::<i32>, None), None);
        assert_eq!(w.list::<String>("tags", &[]), None);
        assert_eq!(w.field("parcel", &None, Some(None::<i32>)), None);
        assert!(w.done().is_ok());
    }

    #[test]
    fn a_mask_clears_what_can_be_cleared_and_leaves_out_what_it_does_not_name() {
        let mask = mask(&["tags", "parcel"]);
        let mut w = Wanted::new(Some(&mask), &FIELDS);
        assert_eq!(w.text("title", &Some("a".into()), false), None);
        assert_eq!(w.list::<String>("tags", &[]), Some(vec![]));
        assert_eq!(w.field("parcel", &None, Some(None::<i32>)), Some(None));
        assert!(w.done().is_ok());
    }

    #[test]
    fn what_is_wrong_is_answered_together() {
        let mask = mask(&["*", "seller"]);
        let mut w = Wanted::new(Some(&mask), &FIELDS);
        assert_eq!(w.text("title", &None, false), None);
        let refuse = |_: i32| Err::<i32, _>(Error::invalid("stock", "OUT_OF_RANGE", "is too many"));
        assert_eq!(w.read("stock", &Some(1), refuse), None);
        let e = w.done().unwrap_err();
        let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["update_mask", "title", "stock"]);
    }
}
