//! Wire bytes to canonical proto3 JSON by walking them, borrowed, once.
//!
//! Serializers write each field in one run, so the fast path prints a record as it comes. When a field turns up again
//! later, or two members of a oneof do, `tidy` first rewrites that one message the way a parser would have understood
//! it: last scalar wins, messages merge, the last member of a oneof stays.

mod known;
mod packed;
mod tidy;

use crate::error::{Error, Kind, Result};
use crate::plan::{Field, Form, Message, MessageId, Seen, Shape, Type, Types};
use crate::text;
use crate::wire::{self, Cursor};

pub(crate) struct Reader<'t, 'o> {
    types: &'t Types,
    out: &'o mut Vec<u8>,
    /// Levels that may still be entered.
    depth: usize,
}

/// What became of an attempt to print the fields of a message.
enum Printed {
    Done,
    /// Records are out of order; nothing was printed.
    Untidy,
}

impl<'t, 'o> Reader<'t, 'o> {
    pub(crate) fn new(types: &'t Types, out: &'o mut Vec<u8>) -> Self {
        Self { types, out, depth: types.options.max_depth }
    }

    fn enter(&mut self) -> Result<()> {
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                Ok(())
            }
            None => Err(Error::new(Kind::Depth, "nested too deep")),
        }
    }

    fn leave(&mut self) {
        self.depth += 1;
    }

    /// One message as a JSON value.
    pub(crate) fn message(&mut self, id: MessageId, wire: &[u8]) -> Result<()> {
        self.enter()?;
        let types = self.types;
        let plan = types.message(id);
        if plan.form == Form::Plain {
            self.out.push(b'{');
            self.fields(plan, wire, true)?;
            self.out.push(b'}');
        } else {
            self.known(plan, wire)?;
        }
        self.leave();
        Ok(())
    }

    /// The fields of a message without braces. `first`: no comma is needed before the first.
    fn fields(&mut self, plan: &'t Message, wire: &[u8], first: bool) -> Result<()> {
        let mark = self.out.len();
        if let Printed::Done = self.try_fields(plan, wire, first)? {
            return Ok(());
        }
        self.out.truncate(mark);
        let tidied = tidy::tidy(plan, wire)?;
        match self.try_fields(plan, &tidied, first)? {
            Printed::Done => Ok(()),
            Printed::Untidy => Err(Error::wire("records that cannot be put in order")),
        }
    }

    fn try_fields(&mut self, plan: &'t Message, wire: &[u8], mut first: bool) -> Result<Printed> {
        let always = self.types.options.always_print_defaults;
        let mut seen = Seen::new(plan.slots);
        let mut cursor = Cursor::new(wire);
        while let Some((number, wire_type)) = cursor.tag()? {
            let Some(index) = plan.by_number(number) else {
                cursor.skip(number, wire_type)?;
                continue;
            };
            let field = &plan.fields[index];
            if !field.accepts(wire_type) {
                cursor.skip(number, wire_type)?;
                continue;
            }
            if !seen.insert(usize::from(field.slot)) {
                return Ok(Printed::Untidy);
            }
            let mark = self.out.len();
            if !first {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&field.key);
            let printed = match &field.shape {
                Shape::One => self.one(field, &mut cursor, always || field.presence),
                Shape::Many { .. } => self.many(field, wire_type, &mut cursor),
                Shape::Map { key, value, entry } => {
                    let plan = self.types.message(*entry);
                    self.map(field.number, *key, *value, plan, &mut cursor)
                }
            };
            match printed {
                Err(error) => return Err(error.in_field(&field.json)),
                Ok(printed) if printed || always => first = false,
                Ok(_) => self.out.truncate(mark),
            }
        }
        if always {
            for field in &plan.fields {
                if field.oneof.is_none()
                    && (!field.presence || !field.is_one())
                    && !seen.contains(usize::from(field.slot))
                {
                    if !first {
                        self.out.push(b',');
                    }
                    first = false;
                    self.out.extend_from_slice(&field.key);
                    self.out.extend_from_slice(&field.default);
                }
            }
        }
        Ok(Printed::Done)
    }

    /// A singular value. False: it is the default and not to be kept.
    #[inline]
    fn one(&mut self, field: &Field, cursor: &mut Cursor<'_>, keep: bool) -> Result<bool> {
        if !keep {
            let mut ahead = *cursor;
            let default = match field.ty.wire_type() {
                wire::VARINT => match field.ty {
                    // Whatever its number, it is read as zero.
                    Type::Enum(id) if self.types.enum_(id).null => ahead.varint().map(|_| true)?,
                    Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Enum(_) => ahead.varint()? as u32 == 0,
                    _ => ahead.varint()? == 0,
                },
                // Zero in more bytes than it needs is an empty string as well.
                wire::LEN => matches!(ahead.rest().first(), Some(0 | 0x80)) && ahead.varint()? == 0,
                wire::FIXED32 => ahead.fixed32()? == [0; 4],
                _ => ahead.fixed64()? == [0; 8],
            };
            if default {
                cursor.skip(field.number, field.ty.wire_type())?;
                return Ok(false);
            }
        }
        self.value(field.ty, field.number, cursor)?;
        Ok(true)
    }

    /// All elements that follow each other, the first one's tag being read. False if there are none.
    fn many(&mut self, field: &Field, mut wire_type: u8, cursor: &mut Cursor<'_>) -> Result<bool> {
        self.out.push(b'[');
        let mut count = 0;
        loop {
            if wire_type == field.ty.wire_type() {
                self.item(field, cursor, count)?;
                count += 1;
            } else {
                count = self.packed(field, Cursor::new(cursor.bytes()?), count)?;
            }
            let mut ahead = *cursor;
            match ahead.tag()? {
                Some((number, next)) if number == field.number && field.accepts(next) => {
                    *cursor = ahead;
                    wire_type = next;
                }
                _ => break,
            }
        }
        self.out.push(b']');
        Ok(count > 0)
    }

    #[inline]
    fn item(&mut self, field: &Field, cursor: &mut Cursor<'_>, index: usize) -> Result<()> {
        if index > 0 {
            self.out.push(b',');
        }
        self.value(field.ty, field.number, cursor).map_err(|error| error.in_item(index))
    }

    /// One value whose tag has been read.
    #[inline]
    fn value(&mut self, ty: Type, number: u32, cursor: &mut Cursor<'_>) -> Result<()> {
        match ty {
            Type::String => {
                let text = utf8(cursor.bytes()?)?;
                text::write_string(text, self.out);
            }
            Type::Int32 => self.number(cursor.varint()? as i32),
            Type::Sint32 => self.number(wire::unzigzag(u64::from(cursor.varint()? as u32)) as i32),
            Type::Uint32 => self.number(cursor.varint()? as u32),
            Type::Fixed32 => self.number(u32::from_le_bytes(cursor.fixed32()?)),
            Type::Sfixed32 => self.number(i32::from_le_bytes(cursor.fixed32()?)),
            Type::Int64 => self.quoted(cursor.varint()? as i64),
            Type::Sint64 => self.quoted(wire::unzigzag(cursor.varint()?)),
            Type::Uint64 => self.quoted(cursor.varint()?),
            Type::Fixed64 => self.quoted(u64::from_le_bytes(cursor.fixed64()?)),
            Type::Sfixed64 => self.quoted(i64::from_le_bytes(cursor.fixed64()?)),
            Type::Double => text::write_f64(f64::from_le_bytes(cursor.fixed64()?), self.out),
            Type::Float => text::write_f32(f32::from_le_bytes(cursor.fixed32()?), self.out),
            Type::Bool => self.out.extend_from_slice(if cursor.varint()? != 0 { b"true" } else { b"false" }),
            Type::Bytes => text::write_base64(cursor.bytes()?, self.out),
            Type::Enum(id) => self.enum_(id, cursor.varint()? as i32),
            Type::Message(id) => self.message(id, cursor.bytes()?)?,
            Type::Group(id) => self.message(id, cursor.group(number)?)?,
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self, v: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
    }

    #[inline]
    fn quoted(&mut self, v: impl itoa::Integer) {
        self.out.push(b'"');
        self.number(v);
        self.out.push(b'"');
    }

    fn enum_(&mut self, id: u32, number: i32) {
        let plan = self.types.enum_(id);
        if plan.null {
            self.out.extend_from_slice(b"null");
            return;
        }
        match plan.name(number) {
            Some(name) if !self.types.options.enums_as_numbers => self.out.extend_from_slice(name),
            _ => self.number(number),
        }
    }

    /// All entries that follow each other, the first one's tag being read. Of equal keys the last wins; an entry that
    /// lacks its key or its value has the default there.
    fn map(&mut self, number: u32, key: Type, value: Type, plan: &Message, cursor: &mut Cursor<'_>) -> Result<bool> {
        let mut entries = Vec::new();
        loop {
            entries.push(tidy::Entry::parse(plan, key, value, cursor.bytes()?)?);
            let mut ahead = *cursor;
            match ahead.tag()? {
                Some((n, wire::LEN)) if n == number => *cursor = ahead,
                _ => break,
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
            self.key(key, entry)?;
            self.out.push(b':');
            let result = match entry.value() {
                Some(mut cursor) => self.value(value, 2, &mut cursor),
                None => self.default(value),
            };
            result.map_err(|error| error.in_key(&entry.name(key)))?;
        }
        self.out.push(b'}');
        Ok(true)
    }

    fn key(&mut self, key: Type, entry: &tidy::Entry<'_>) -> Result<()> {
        match key {
            Type::String => text::write_string(utf8(entry.text())?, self.out),
            Type::Bool => self.out.extend_from_slice(if entry.number != 0 { b"\"true\"" } else { b"\"false\"" }),
            Type::Int32 | Type::Sint32 | Type::Sfixed32 | Type::Int64 | Type::Sint64 | Type::Sfixed64 => {
                self.quoted(entry.number as i64);
            }
            _ => self.quoted(entry.number),
        }
        Ok(())
    }

    /// What an absent value of this type means.
    fn default(&mut self, ty: Type) -> Result<()> {
        match ty {
            Type::Message(id) | Type::Group(id) => self.message(id, &[]),
            _ => {
                let mut zero = Vec::new();
                match ty.wire_type() {
                    wire::FIXED32 => zero.extend_from_slice(&[0; 4]),
                    wire::FIXED64 => zero.extend_from_slice(&[0; 8]),
                    _ => zero.push(0),
                }
                self.value(ty, 0, &mut Cursor::new(&zero))
            }
        }
    }

    /// The value of one field of a message, alone: `response_body`. Absent: its default, `null` for a message.
    pub(crate) fn field(&mut self, plan: &'t Message, index: usize, wire: &[u8]) -> Result<()> {
        let tidied = tidy::tidy(plan, wire)?;
        let field = &plan.fields[index];
        let mut cursor = Cursor::new(&tidied);
        while let Some((number, wire_type)) = cursor.tag()? {
            if number != field.number || !field.accepts(wire_type) {
                cursor.skip(number, wire_type)?;
                continue;
            }
            return match &field.shape {
                Shape::One => self.one(field, &mut cursor, true).map(drop),
                Shape::Many { .. } => self.many(field, wire_type, &mut cursor).map(drop),
                Shape::Map { key, value, entry } => {
                    let plan = self.types.message(*entry);
                    self.map(field.number, *key, *value, plan, &mut cursor).map(drop)
                }
            };
        }
        match field.ty {
            Type::Message(id) if field.is_one() && self.types.message(id).form == Form::Plain => {
                self.out.extend_from_slice(b"{}");
            }
            _ => self.out.extend_from_slice(&field.default),
        }
        Ok(())
    }
}

#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::new(Kind::Utf8, "a string that is not UTF-8"))
}
