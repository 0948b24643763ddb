//! The well-known types whose JSON is not that of their fields.

use super::{Writer, put_bytes, put_tag};
use crate::error::{Error, Kind, Result};
use crate::plan::{Form, Message, MessageId};
use crate::wkt::{self, MaskStyle};
use crate::{text, wire};

impl<'t> Writer<'t, '_> {
    /// Content of a well-known type, without tag and length.
    pub(super) fn known(&mut self, id: MessageId, plan: &'t Message) -> Result<()> {
        match plan.form {
            Form::Plain => self.content(id),
            Form::Any => self.any(),
            Form::Timestamp => {
                self.quoted("an RFC 3339 timestamp", |text, out| put_time(wkt::parse_timestamp(text)?, out))
            }
            Form::Duration => {
                self.quoted("a duration such as \"1.5s\"", |text, out| put_time(wkt::parse_duration(text)?, out))
            }
            Form::FieldMask => {
                self.quoted("a string of field paths", |text, out| put_mask(text, MaskStyle::Camel, out))
            }
            Form::Struct => self.struct_(),
            Form::Value => self.any_value(),
            Form::ListValue => self.list(),
            Form::Wrapper => {
                if self.scan.peek() == b'n' {
                    return Err(self.scan.wrong("a value"));
                }
                self.one(&plan.fields[0])
            }
        }
    }

    fn quoted(&mut self, wanted: &str, put: impl FnOnce(&str, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        if self.scan.peek() != b'"' {
            return Err(self.scan.wrong(wanted));
        }
        let text = self.scan.string()?;
        put(&text, self.out)
    }

    /// `google.protobuf.Struct`: field 1 is its map.
    fn struct_(&mut self) -> Result<()> {
        if self.scan.peek() != b'{' {
            return Err(self.scan.wrong("an object"));
        }
        self.scan.bump();
        self.enter()?;
        if self.scan.peek() == b'}' {
            self.scan.bump();
            self.leave();
            return Ok(());
        }
        let base = self.keys.len();
        loop {
            if self.scan.peek() != b'"' {
                return Err(self.scan.unexpected("a field name in quotes"));
            }
            let pos = self.scan.pos();
            let name = self.scan.string()?;
            put_tag(self.out, 1, wire::LEN);
            let entry = wire::open(self.out);
            put_tag(self.out, 1, wire::LEN);
            put_bytes(self.out, name.as_bytes());
            let len = self.out.len() - entry - 1;
            self.scan.expect(b':')?;
            put_tag(self.out, 2, wire::LEN);
            let value = wire::open(self.out);
            if let Err(error) = self.any_value() {
                return Err(error.at(self.scan.pos()).in_field(&name));
            }
            wire::close(self.out, value);
            self.close_entry(entry, len, pos);
            if !self.scan.more(b'}')? {
                break;
            }
        }
        self.check_keys(base)?;
        self.leave();
        Ok(())
    }

    /// `google.protobuf.Value`: a oneof of six.
    fn any_value(&mut self) -> Result<()> {
        match self.scan.peek() {
            b'n' => {
                self.scan.word("null")?;
                self.out.extend_from_slice(&[1 << 3, 0]);
            }
            b't' | b'f' => {
                let v = self.bool()?;
                self.out.extend_from_slice(&[4 << 3, u8::from(v)]);
            }
            b'"' => {
                put_tag(self.out, 3, wire::LEN);
                self.string()?;
            }
            b'{' => {
                put_tag(self.out, 5, wire::LEN);
                let mark = wire::open(self.out);
                self.struct_()?;
                wire::close(self.out, mark);
            }
            b'[' => {
                put_tag(self.out, 6, wire::LEN);
                let mark = wire::open(self.out);
                self.list()?;
                wire::close(self.out, mark);
            }
            _ => {
                let v = text::parse_f64(self.scan.number()?)?;
                put_tag(self.out, 2, wire::FIXED64);
                self.out.extend_from_slice(&v.to_le_bytes());
            }
        }
        Ok(())
    }

    /// `google.protobuf.ListValue`: field 1 is its list.
    fn list(&mut self) -> Result<()> {
        if self.scan.peek() != b'[' {
            return Err(self.scan.wrong("an array"));
        }
        self.scan.bump();
        self.enter()?;
        if self.scan.peek() == b']' {
            self.scan.bump();
            self.leave();
            return Ok(());
        }
        let mut index = 0;
        loop {
            put_tag(self.out, 1, wire::LEN);
            let mark = wire::open(self.out);
            if let Err(error) = self.any_value() {
                return Err(error.at(self.scan.pos()).in_item(index));
            }
            wire::close(self.out, mark);
            index += 1;
            if !self.scan.more(b']')? {
                self.leave();
                return Ok(());
            }
        }
    }

    /// `google.protobuf.Any`: the type may come anywhere in the object, so it is looked for first.
    fn any(&mut self) -> Result<()> {
        if self.scan.peek() != b'{' {
            return Err(self.scan.wrong("an object"));
        }
        self.scan.bump();
        self.enter()?;
        if self.scan.peek() == b'}' {
            self.scan.bump();
            self.leave();
            return Ok(());
        }
        let start = self.scan.pos();
        let mut first = true;
        let url = loop {
            if self.scan.peek() != b'"' {
                return Err(self.scan.unexpected("a field name in quotes"));
            }
            let name = self.scan.string()?;
            self.scan.expect(b':')?;
            if name == "@type" {
                if self.scan.peek() != b'"' {
                    return Err(self.scan.wrong("a type URL").in_field("@type"));
                }
                break self.scan.string()?;
            }
            self.scan.skip(self.depth)?;
            if !self.scan.more(b'}')? {
                return Err(self.scan.error(Kind::WrongType, "an Any needs \"@type\""));
            }
            first = false;
        };
        let types = self.types;
        let id = types.resolve(&url).map_err(|error| error.at(self.scan.pos()).in_field("@type"))?;
        put_tag(self.out, 1, wire::LEN);
        put_bytes(self.out, url.as_bytes());
        let mark = self.out.len();
        put_tag(self.out, 2, wire::LEN);
        let content = wire::open(self.out);
        let plan = types.message(id);
        // Type keys that are still to come.
        let mut left = 0;
        let more = if first {
            self.scan.more(b'}')?
        } else {
            self.scan.seek(start);
            left = 1;
            true
        };
        if plan.form != Form::Plain {
            self.any_known(id, more, left)?;
        } else if more {
            self.members(plan, left)?;
        }
        if self.out.len() == content + 1 {
            self.out.truncate(mark);
        } else {
            wire::close(self.out, content);
        }
        self.leave();
        Ok(())
    }

    /// The one member `value` of an Any that holds a well-known type.
    fn any_known(&mut self, id: MessageId, mut more: bool, mut types: usize) -> Result<()> {
        let mut found = false;
        while more {
            if self.scan.peek() != b'"' {
                return Err(self.scan.unexpected("a field name in quotes"));
            }
            let start = self.scan.pos();
            let name = self.scan.string()?;
            self.scan.expect(b':')?;
            self.scan.peek();
            match &*name {
                "value" if found => {
                    return Err(Error::new(Kind::Duplicate, "given twice").at(start).in_field("value"));
                }
                "value" => {
                    found = true;
                    self.content(id).map_err(|error| error.at(self.scan.pos()).in_field("value"))?;
                }
                "@type" if types > 0 => {
                    types -= 1;
                    self.scan.skip(self.depth)?;
                }
                _ if self.types.options.ignore_unknown => self.scan.skip(self.depth)?,
                _ => {
                    let error = Error::new(Kind::UnknownField, "an Any of a well-known type has only \"value\"");
                    return Err(error.at(start).in_field(&name));
                }
            }
            more = self.scan.more(b'}')?;
        }
        if found {
            Ok(())
        } else {
            Err(self.scan.error(Kind::WrongType, "an Any of a well-known type needs \"value\""))
        }
    }
}

/// Fields 1 and 2 of Timestamp and Duration.
pub(crate) fn put_time((seconds, nanos): (i64, i32), out: &mut Vec<u8>) -> Result<()> {
    if seconds != 0 {
        put_tag(out, 1, wire::VARINT);
        wire::put_varint(out, seconds as u64);
    }
    if nanos != 0 {
        put_tag(out, 2, wire::VARINT);
        wire::put_varint(out, i64::from(nanos) as u64);
    }
    Ok(())
}

/// Field 1 of FieldMask from comma-separated paths.
pub(crate) fn put_mask(text: &str, style: MaskStyle, out: &mut Vec<u8>) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    for path in text.split(',') {
        put_tag(out, 1, wire::LEN);
        let mark = wire::open(out);
        wkt::write_mask_path(path, style, out)?;
        wire::close(out, mark);
    }
    Ok(())
}
