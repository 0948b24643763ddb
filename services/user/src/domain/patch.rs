//! What an update's mask and fields ask for.
//!
//! Without a mask the fields that are present change. With one, exactly those that it names; a named field that is
//! absent is cleared, where it can be.

use jangteo_core::{Error, Result, Violation};
use prost_types::FieldMask;

pub struct Wanted<'a> {
    paths: Vec<&'a str>,
    violations: Vec<Violation>,
}

impl<'a> Wanted<'a> {
    pub fn new(mask: Option<&'a FieldMask>, fields: &[&str]) -> Self {
        let paths: Vec<&str> = mask.iter().flat_map(|m| &m.paths).map(String::as_str).collect();
        let mut wanted = Wanted { paths: paths.clone(), violations: Vec::new() };
        for path in paths.into_iter().filter(|p| *p != "*" && !fields.contains(p)) {
            let text = format!("{path} can't be updated; it may name {}", fields.join(", "));
            wanted.refuse("update_mask", "UNKNOWN_FIELD", text);
        }
        wanted
    }

    /// The value to set; `None` leaves the field as it is.
    pub fn field<T: Clone>(&mut self, name: &str, value: &Option<T>, cleared: Option<T>) -> Option<T> {
        if self.paths.is_empty() {
            return value.clone();
        }
        if !self.paths.contains(&"*") && !self.paths.contains(&name) {
            return None;
        }
        let value = value.clone().or(cleared);
        if value.is_none() {
            self.refuse(name, "REQUIRED", "can't be cleared".to_owned());
        }
        value
    }

    /// A text, tidied; one that must say something says so.
    pub fn text(&mut self, name: &str, value: &Option<String>, clearable: bool) -> Option<String> {
        let value = self.field(name, value, clearable.then(String::new))?;
        match tidy(name, &value, clearable) {
            Ok(text) => Some(text),
            Err(e) => {
                self.violations.extend_from_slice(e.field_violations());
                None
            }
        }
    }

    fn refuse(&mut self, field: &str, reason: &str, description: String) {
        self.violations.push(Violation { field: field.to_owned(), reason: reason.to_owned(), description });
    }

    pub fn done(self) -> Result<()> {
        if self.violations.is_empty() { Ok(()) } else { Err(Error::violations(self.violations)) }
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
