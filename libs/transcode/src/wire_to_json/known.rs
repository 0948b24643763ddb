//! The well-known types whose JSON is not that of their fields.

use super::{Printed, Reader, tidy, utf8};
use crate::error::{Error, Kind, Result};
use crate::plan::{Form, Message};
use crate::wire::{self, Cursor};
use crate::{text, wkt};

impl<'t> Reader<'t, '_> {
    pub(super) fn known(&mut self, plan: &'t Message, bytes: &[u8]) -> Result<()> {
        match plan.form {
            Form::Plain => self.fields(plan, bytes, true),
            Form::Timestamp => {
                let (seconds, nanos) = time(bytes)?;
                wkt::write_timestamp(seconds, nanos, self.out)
            }
            Form::Duration => {
                let (seconds, nanos) = time(bytes)?;
                wkt::write_duration(seconds, nanos, self.out)
            }
            Form::FieldMask => self.mask(bytes),
            Form::Any => {
                let (mut url, mut value): (&[u8], &[u8]) = (b"", b"");
                let mut cursor = Cursor::new(bytes);
                while let Some((number, wire_type)) = cursor.tag()? {
                    match (number, wire_type) {
                        (1, wire::LEN) => url = cursor.bytes()?,
                        (2, wire::LEN) => value = cursor.bytes()?,
                        _ => cursor.skip(number, wire_type)?,
                    }
                }
                if url.is_empty() && value.is_empty() {
                    self.out.extend_from_slice(b"{}");
                    return Ok(());
                }
                self.any(utf8(url)?, value)
            }
            Form::Wrapper => {
                let field = &plan.fields[0];
                let mut last = None;
                let mut cursor = Cursor::new(bytes);
                while let Some((number, wire_type)) = cursor.tag()? {
                    if number == field.number && wire_type == field.ty.wire_type() {
                        last = Some(cursor);
                    }
                    cursor.skip(number, wire_type)?;
                }
                match last {
                    Some(mut cursor) => self.value(field.ty, field.number, &mut cursor),
                    None => self.default(field.ty),
                }
            }
            Form::Struct => self.struct_(plan, bytes),
            Form::ListValue => self.list(plan, bytes),
            Form::Value => {
                let mark = self.out.len();
                if let Printed::Untidy = self.any_value(plan, bytes)? {
                    self.out.truncate(mark);
                    self.any_value(plan, &tidy::tidy(plan, bytes)?)?;
                }
                Ok(())
            }
        }
    }

    fn mask(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.push(b'"');
        let mut first = true;
        let mut cursor = Cursor::new(bytes);
        while let Some((number, wire_type)) = cursor.tag()? {
            if (number, wire_type) != (1, wire::LEN) {
                cursor.skip(number, wire_type)?;
                continue;
            }
            if !first {
                self.out.push(b',');
            }
            first = false;
            wkt::write_mask_json(cursor.bytes()?, self.out)?;
        }
        self.out.push(b'"');
        Ok(())
    }

    /// Field 1 is the map; records of other fields are unknown ones.
    fn struct_(&mut self, plan: &'t Message, bytes: &[u8]) -> Result<()> {
        let mut entries = Vec::new();
        let mut cursor = Cursor::new(bytes);
        let Some(crate::plan::Shape::Map { key, value, entry }) = plan.fields.first().map(|f| &f.shape) else {
            return Err(Error::wire("a Struct without its map"));
        };
        let entry_plan = self.types.message(*entry);
        while let Some((number, wire_type)) = cursor.tag()? {
            if (number, wire_type) == (1, wire::LEN) {
                entries.push(tidy::Entry::parse(entry_plan, *key, *value, cursor.bytes()?)?);
            } else {
                cursor.skip(number, wire_type)?;
            }
        }
        tidy::keep_last(&mut entries);
        self.out.push(b'{');
        let mut first = true;
        for entry in entries.iter().filter(|e| e.live) {
            if !first {
                self.out.push(b',');
            }
            first = false;
            let name = utf8(entry.text())?;
            text::write_string(name, self.out);
            self.out.push(b':');
            let result = match entry.value() {
                Some(mut cursor) => self.value(*value, 2, &mut cursor),
                None => self.default(*value),
            };
            result.map_err(|error| error.in_field(name))?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn list(&mut self, plan: &'t Message, bytes: &[u8]) -> Result<()> {
        let Some(field) = plan.fields.first() else { return Err(Error::wire("a ListValue without its list")) };
        self.out.push(b'[');
        let mut count = 0;
        let mut cursor = Cursor::new(bytes);
        while let Some((number, wire_type)) = cursor.tag()? {
            if (number, wire_type) == (1, wire::LEN) {
                self.item(field, &mut cursor, count)?;
                count += 1;
            } else {
                cursor.skip(number, wire_type)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    /// A oneof of six. None of them is what an empty message or a lost map value means: `null`.
    fn any_value(&mut self, plan: &'t Message, bytes: &[u8]) -> Result<Printed> {
        let mut found = false;
        let mut cursor = Cursor::new(bytes);
        while let Some((number, wire_type)) = cursor.tag()? {
            let field = plan.by_number(number).map(|i| &plan.fields[i]).filter(|f| f.accepts(wire_type));
            let Some(field) = field else {
                cursor.skip(number, wire_type)?;
                continue;
            };
            if found {
                return Ok(Printed::Untidy);
            }
            found = true;
            if number == 2 {
                let mut ahead = cursor;
                if !f64::from_le_bytes(ahead.fixed64()?).is_finite() {
                    return Err(Error::new(Kind::Unrepresentable, "a number that a JSON value cannot be"));
                }
            }
            self.value(field.ty, number, &mut cursor)?;
        }
        if !found {
            self.out.extend_from_slice(b"null");
        }
        Ok(Printed::Done)
    }

    /// The content of an Any with its type.
    pub(crate) fn any(&mut self, type_url: &str, value: &[u8]) -> Result<()> {
        let types = self.types;
        let id = types.resolve(type_url)?;
        let plan = types.message(id);
        self.out.extend_from_slice(b"{\"@type\":");
        text::write_string(type_url, self.out);
        if plan.form == Form::Plain {
            self.enter()?;
            self.fields(plan, value, false)?;
            self.leave();
        } else {
            self.out.extend_from_slice(b",\"value\":");
            self.message(id, value)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// Fields 1 and 2 of Timestamp and Duration; the last of each counts.
fn time(bytes: &[u8]) -> Result<(i64, i32)> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut cursor = Cursor::new(bytes);
    while let Some((number, wire_type)) = cursor.tag()? {
        match (number, wire_type) {
            (1, wire::VARINT) => seconds = cursor.varint()? as i64,
            (2, wire::VARINT) => nanos = cursor.varint()? as i32,
            _ => cursor.skip(number, wire_type)?,
        }
    }
    Ok((seconds, nanos))
}
