//! JSON text to wire bytes in one pass: each field is written as it is read, lengths are patched when a value ends.
//!
//! Strict proto3 JSON: <https://protobuf.dev/programming-guides/json/>. The order of fields on the wire is that of the
//! document; a field without presence that holds its default is not written.

pub(crate) mod known;
mod packed;

use crate::error::{Error, Kind, Result};
use crate::plan::{Field, Form, Message, MessageId, Seen, Shape, Type, Types};
use crate::scan::Scan;
use crate::text::{self, Int};
use crate::wire;

/// A map key that has been written: where its bytes are, where its text is.
struct Key {
    start: usize,
    len: usize,
    pos: usize,
}

/// Up to so many keys are compared each with each; more are sorted.
const FEW_KEYS: usize = 16;

pub(crate) struct Writer<'t, 'j> {
    types: &'t Types,
    scan: Scan<'j>,
    out: &'t mut Vec<u8>,
    /// Levels that may still be entered.
    depth: usize,
    /// Keys of the maps being read, innermost last.
    keys: Vec<Key>,
}

impl<'t, 'j> Writer<'t, 'j> {
    pub(crate) fn new(types: &'t Types, json: &'j [u8], out: &'t mut Vec<u8>) -> Result<Self> {
        Ok(Self { types, scan: Scan::new(json)?, out, depth: types.options.max_depth, keys: Vec::new() })
    }

    /// A whole document that is one message.
    pub(crate) fn document(&mut self, id: MessageId) -> Result<()> {
        self.scan.peek();
        self.content(id)?;
        self.scan.end()
    }

    /// A whole document that is the value of one field, with its tags: `body: "field"`.
    pub(crate) fn field_document(&mut self, field: &Field) -> Result<()> {
        self.field(field)?;
        self.scan.end()
    }

    fn enter(&mut self) -> Result<()> {
        match self.depth.checked_sub(1) {
            Some(depth) => {
                self.depth = depth;
                Ok(())
            }
            None => Err(self.scan.error(Kind::Depth, "nested too deep")),
        }
    }

    fn leave(&mut self) {
        self.depth += 1;
    }

    /// Content of a message, without tag and length.
    fn content(&mut self, id: MessageId) -> Result<()> {
        let types = self.types;
        let plan = types.message(id);
        match plan.form {
            Form::Plain => {
                if self.scan.peek() != b'{' {
                    return Err(self.scan.wrong("an object"));
                }
                self.scan.bump();
                self.enter()?;
                if self.scan.peek() == b'}' {
                    self.scan.bump();
                } else {
                    self.members(plan, 0)?;
                }
                self.leave();
                Ok(())
            }
            _ => self.known(id, plan),
        }
    }

    /// Members of an object up to its end; the first one is there. `types` of the keys `@type` are passed over.
    fn members(&mut self, plan: &'t Message, mut types: usize) -> Result<()> {
        let mut seen = Seen::new(plan.fields.len());
        let mut oneofs = Seen::new(plan.oneofs.len());
        // Most documents list fields in the order of the descriptor.
        let mut next = 0;
        loop {
            if self.scan.peek() != b'"' {
                return Err(self.scan.unexpected("a field name in quotes"));
            }
            let start = self.scan.pos();
            let index = if let Some(field) = plan.fields.get(next)
                && self.scan.take(&field.key)
            {
                Some(next)
            } else {
                let name = self.scan.string()?;
                let index = plan.names.get(&name);
                if index.is_none() && types > 0 && name == "@type" {
                    types -= 1;
                } else if index.is_none() && !self.types.options.ignore_unknown {
                    return Err(Error::new(Kind::UnknownField, format!("no such field in {}", plan.name))
                        .at(start)
                        .in_field(&name));
                }
                self.scan.expect(b':')?;
                index
            };
            self.scan.peek();
            match index {
                None => self.scan.skip(self.depth)?,
                Some(index) => {
                    let field = &plan.fields[index];
                    next = index + 1;
                    if !seen.insert(index) {
                        return Err(Error::new(Kind::Duplicate, "given twice").at(start).in_field(&field.json));
                    }
                    if let Some(oneof) = field.oneof
                        && (self.scan.peek() != b'n' || self.types.takes_null(field.ty))
                        && !oneofs.insert(usize::from(oneof))
                    {
                        let message = format!("another member of oneof {} is given", plan.oneofs[usize::from(oneof)]);
                        return Err(Error::new(Kind::Oneof, message).at(start).in_field(&field.json));
                    }
                    if let Err(error) = self.field(field) {
                        return Err(error.at(self.scan.pos()).in_field(&field.json));
                    }
                }
            }
            if !self.scan.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// The value of a field, with its tag or tags. `null` leaves the field unset.
    fn field(&mut self, field: &Field) -> Result<()> {
        if self.scan.peek() == b'n' && !(field.is_one() && self.types.takes_null(field.ty)) {
            return self.scan.word("null");
        }
        match &field.shape {
            Shape::One => self.one(field),
            Shape::Many { packed } => self.many(field, *packed),
            Shape::Map { key, value, .. } => self.map(field, *key, *value),
        }
    }

    fn one(&mut self, field: &Field) -> Result<()> {
        let mark = self.out.len();
        field.put_tag(self.out);
        let body = self.out.len();
        let written = self.value(field.ty)?;
        if let Type::Group(_) = field.ty {
            wire::put_varint(self.out, u64::from(field.number << 3 | u32::from(wire::END_GROUP)));
        }
        // Zero is zero bytes in every scalar type; an empty string is a zero length.
        if !written || (!field.presence && self.out[body..].iter().all(|b| *b == 0)) {
            self.out.truncate(mark);
        }
        Ok(())
    }

    fn many(&mut self, field: &Field, packed: bool) -> Result<()> {
        if self.scan.peek() != b'[' {
            return Err(self.scan.wrong("an array"));
        }
        self.scan.bump();
        if self.scan.peek() == b']' {
            self.scan.bump();
            return Ok(());
        }
        let mark = self.out.len();
        let list = if packed {
            field.put_tag(self.out);
            Some(wire::open(self.out))
        } else {
            None
        };
        let mut index = 0;
        loop {
            if packed {
                index += self.run(field.ty);
            }
            if self.scan.peek() == b'n' && !self.types.takes_null(field.ty) {
                let error = self.scan.wrong("a value");
                return Err(error.in_item(index));
            }
            let start = self.out.len();
            if list.is_none() {
                field.put_tag(self.out);
            }
            match self.value(field.ty) {
                Ok(true) if matches!(field.ty, Type::Group(_)) => {
                    wire::put_varint(self.out, u64::from(field.number << 3 | u32::from(wire::END_GROUP)));
                }
                Ok(true) => {}
                Ok(false) => self.out.truncate(start),
                Err(error) => return Err(error.at(self.scan.pos()).in_item(index)),
            }
            index += 1;
            if !self.scan.more(b']')? {
                break;
            }
        }
        if let Some(list) = list {
            if self.out.len() == list + 1 {
                self.out.truncate(mark);
            } else {
                wire::close(self.out, list);
            }
        }
        Ok(())
    }

    fn map(&mut self, field: &Field, key: Type, value: Type) -> Result<()> {
        if self.scan.peek() != b'{' {
            return Err(self.scan.wrong("an object"));
        }
        self.scan.bump();
        if self.scan.peek() == b'}' {
            self.scan.bump();
            return Ok(());
        }
        let base = self.keys.len();
        loop {
            if self.scan.peek() != b'"' {
                return Err(self.scan.unexpected("a map key in quotes"));
            }
            let pos = self.scan.pos();
            let name = self.scan.string()?;
            let mark = self.out.len();
            field.put_tag(self.out);
            let entry = wire::open(self.out);
            put_tag(self.out, 1, key.wire_type());
            if let Err(error) = put_text(key, &name, self.out) {
                return Err(error.at(pos).in_key(&name));
            }
            let len = self.out.len() - entry - 1;
            self.scan.expect(b':')?;
            if self.scan.peek() == b'n' && !self.types.takes_null(value) {
                return Err(self.scan.wrong("a value").in_key(&name));
            }
            put_tag(self.out, 2, value.wire_type());
            match self.value(value) {
                Ok(true) => {
                    self.close_entry(entry, len, pos);
                }
                Ok(false) => self.out.truncate(mark),
                Err(error) => return Err(error.at(self.scan.pos()).in_key(&name)),
            }
            if !self.scan.more(b'}')? {
                break;
            }
        }
        self.check_keys(base)
    }

    /// Ends a map entry whose key, tag included, takes the first `len` bytes, and remembers that key.
    fn close_entry(&mut self, entry: usize, len: usize, pos: usize) {
        let content = self.out.len() - entry - 1;
        wire::close(self.out, entry);
        self.keys.push(Key { start: entry + wire::varint_len(content as u64), len, pos });
    }

    /// No key twice among those from `base`, which are then forgotten.
    fn check_keys(&mut self, base: usize) -> Result<()> {
        let out = &*self.out;
        let bytes = |key: &Key| &out[key.start..key.start + key.len];
        let keys = &mut self.keys[base..];
        let twice = if keys.len() <= FEW_KEYS {
            (1..keys.len()).find(|&i| keys[..i].iter().any(|k| bytes(k) == bytes(&keys[i])))
        } else {
            keys.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)).then(a.pos.cmp(&b.pos)));
            (1..keys.len()).find(|&i| bytes(&keys[i - 1]) == bytes(&keys[i]))
        };
        if let Some(i) = twice {
            let pos = keys[i].pos;
            self.scan.seek(pos);
            let name = self.scan.string()?;
            return Err(Error::new(Kind::Duplicate, "key given twice").at(pos).in_key(&name));
        }
        self.keys.truncate(base);
        Ok(())
    }

    /// One value without a tag; messages with their length. False: an unknown enum name that is to be ignored.
    #[inline]
    fn value(&mut self, ty: Type) -> Result<bool> {
        match ty {
            Type::String => self.string()?,
            Type::Int32 => {
                let v = self.int()?.i32()?;
                wire::put_varint(self.out, i64::from(v) as u64);
            }
            Type::Int64 => {
                let v = self.int()?.i64()?;
                wire::put_varint(self.out, v as u64);
            }
            Type::Uint32 => {
                let v = self.int()?.u32()?;
                wire::put_varint(self.out, u64::from(v));
            }
            Type::Uint64 => {
                let v = self.int()?.u64()?;
                wire::put_varint(self.out, v);
            }
            Type::Sint32 => {
                let v = self.int()?.i32()?;
                wire::put_varint(self.out, wire::zigzag(i64::from(v)));
            }
            Type::Sint64 => {
                let v = self.int()?.i64()?;
                wire::put_varint(self.out, wire::zigzag(v));
            }
            Type::Fixed32 => {
                let v = self.int()?.u32()?;
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Fixed64 => {
                let v = self.int()?.u64()?;
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Sfixed32 => {
                let v = self.int()?.i32()?;
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Sfixed64 => {
                let v = self.int()?.i64()?;
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Double => {
                self.scan.peek();
                let v = match self.scan.plain(text::leading_f64) {
                    Some((Some(v), _)) => v,
                    Some((None, number)) => text::parse_f64(number)?,
                    None => self.float(text::parse_f64, |v| v)?,
                };
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Float => {
                self.scan.peek();
                let v = match self.scan.plain(text::leading_f32) {
                    Some((Some(v), _)) => v,
                    Some((None, number)) => text::parse_f32(number)?,
                    None => self.float(text::parse_f32, |v| v as f32)?,
                };
                self.out.extend_from_slice(&v.to_le_bytes());
            }
            Type::Bool => {
                let v = self.bool()?;
                self.out.push(u8::from(v));
            }
            Type::Bytes => self.bytes()?,
            Type::Enum(id) => match self.enum_(id)? {
                Some(v) => wire::put_varint(self.out, i64::from(v) as u64),
                None => return Ok(false),
            },
            Type::Message(id) => {
                let mark = wire::open(self.out);
                self.content(id)?;
                wire::close(self.out, mark);
            }
            Type::Group(id) => self.content(id)?,
        }
        Ok(true)
    }

    fn string(&mut self) -> Result<()> {
        if self.scan.peek() != b'"' {
            return Err(self.scan.wrong("a string"));
        }
        if let Some(plain) = self.scan.plain_string()? {
            put_bytes(self.out, plain.as_bytes());
        } else {
            let mark = wire::open(self.out);
            self.scan.string_into(self.out)?;
            wire::close(self.out, mark);
        }
        Ok(())
    }

    fn bytes(&mut self) -> Result<()> {
        if self.scan.peek() != b'"' {
            return Err(self.scan.wrong("a base64 string"));
        }
        let encoded = self.scan.string()?;
        let mark = wire::open(self.out);
        text::decode_base64(encoded.as_bytes(), self.out)?;
        wire::close(self.out, mark);
        Ok(())
    }

    fn bool(&mut self) -> Result<bool> {
        match self.scan.peek() {
            b't' => self.scan.word("true").map(|()| true),
            b'f' => self.scan.word("false").map(|()| false),
            _ => Err(self.scan.wrong("a boolean")),
        }
    }

    #[inline]
    fn int(&mut self) -> Result<Int> {
        let first = self.scan.peek();
        if let Some((int, _)) = self.scan.plain(text::plain_int) {
            return Ok(int);
        }
        match first {
            b'-' | b'0'..=b'9' => text::parse_int(self.scan.number()?),
            b'"' => text::parse_int(&self.scan.string()?),
            _ => Err(self.scan.wrong("a number")),
        }
    }

    fn float<T>(&mut self, parse: fn(&str) -> Result<T>, special: fn(f64) -> T) -> Result<T> {
        match self.scan.peek() {
            b'-' | b'0'..=b'9' => parse(self.scan.number()?),
            b'"' => parse_float_text(&self.scan.string()?, parse, special),
            _ => Err(self.scan.wrong("a number")),
        }
    }

    fn enum_(&mut self, id: u32) -> Result<Option<i32>> {
        let plan = self.types.enum_(id);
        match self.scan.peek() {
            b'"' => {
                let name = self.scan.string()?;
                match plan.number(&name) {
                    None if !self.types.options.ignore_unknown => {
                        Err(self.scan.error(Kind::UnknownEnum, format!("unknown enum value {name:?}")))
                    }
                    number => Ok(number),
                }
            }
            b'-' | b'0'..=b'9' => text::parse_int(self.scan.number()?)?.i32().map(Some),
            b'n' if plan.null => self.scan.word("null").map(|()| Some(0)),
            _ => Err(self.scan.wrong("an enum name or number")),
        }
    }
}

/// A quoted float: a JSON number or one of the names that JSON numbers lack.
fn parse_float_text<T>(text: &str, parse: fn(&str) -> Result<T>, special: fn(f64) -> T) -> Result<T> {
    if let Some(v) = text::parse_float_name(text) {
        return Ok(special(v));
    }
    if text::number_len(text.as_bytes()) != Some(text.len()) {
        return Err(Error::new(Kind::Format, "not a number"));
    }
    parse(text)
}

#[inline]
fn put_tag(out: &mut Vec<u8>, number: u8, wire_type: u8) {
    out.push(number << 3 | wire_type);
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    wire::put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A scalar other than an enum from bare text: a map key, a query parameter, a path variable.
pub(crate) fn put_text(ty: Type, text: &str, out: &mut Vec<u8>) -> Result<()> {
    let int = || text::parse_int(text);
    match ty {
        Type::String => put_bytes(out, text.as_bytes()),
        Type::Int32 => wire::put_varint(out, i64::from(int()?.i32()?) as u64),
        Type::Int64 => wire::put_varint(out, int()?.i64()? as u64),
        Type::Uint32 => wire::put_varint(out, u64::from(int()?.u32()?)),
        Type::Uint64 => wire::put_varint(out, int()?.u64()?),
        Type::Sint32 => wire::put_varint(out, wire::zigzag(i64::from(int()?.i32()?))),
        Type::Sint64 => wire::put_varint(out, wire::zigzag(int()?.i64()?)),
        Type::Fixed32 => out.extend_from_slice(&int()?.u32()?.to_le_bytes()),
        Type::Fixed64 => out.extend_from_slice(&int()?.u64()?.to_le_bytes()),
        Type::Sfixed32 => out.extend_from_slice(&int()?.i32()?.to_le_bytes()),
        Type::Sfixed64 => out.extend_from_slice(&int()?.i64()?.to_le_bytes()),
        Type::Double => out.extend_from_slice(&parse_float_text(text, text::parse_f64, |v| v)?.to_le_bytes()),
        Type::Float => out.extend_from_slice(&parse_float_text(text, text::parse_f32, |v| v as f32)?.to_le_bytes()),
        Type::Bool => out.push(match text {
            "true" => 1,
            "false" => 0,
            _ => return Err(Error::new(Kind::Format, "neither true nor false")),
        }),
        Type::Bytes => {
            let mark = wire::open(out);
            text::decode_base64(text.as_bytes(), out)?;
            wire::close(out, mark);
        }
        Type::Enum(_) | Type::Message(_) | Type::Group(_) => {
            return Err(Error::new(Kind::WrongType, "not a scalar"));
        }
    }
    Ok(())
}
