//! Plans: what must be known of each message to read and write it, worked out once from the descriptors.
//!
//! A plan never changes and refers to others by number, so one `Arc<Types>` serves all threads without a lock.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as Described, MessageDescriptor,
};

use crate::error::{Error, Kind, LoadError, Place, Result};
use crate::json_to_wire::Writer;
use crate::names::Names;
use crate::wire_to_json::Reader;
use crate::{text, wire};

/// How strict and how verbose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Unknown JSON fields, query parameters and enum names are skipped instead of refused.
    pub ignore_unknown: bool,
    /// Print fields without presence that hold their default, empty lists and empty maps.
    pub always_print_defaults: bool,
    /// Print enums by number.
    pub enums_as_numbers: bool,
    /// Nesting of messages, lists of values and structs.
    pub max_depth: usize,
    /// A PATCH whose rule has `body: "field"` and whose request has an `update_mask` gets it filled with the names in
    /// the body, unless the query gives one.
    pub fill_update_mask: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ignore_unknown: false,
            always_print_defaults: false,
            enums_as_numbers: false,
            max_depth: 100,
            fill_update_mask: true,
        }
    }
}

/// Names a message's plan within its `Types`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub(crate) u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(u32),
    Message(MessageId),
    /// Proto2's delimited messages.
    Group(MessageId),
}

impl Type {
    pub(crate) fn wire_type(self) -> u8 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => wire::FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => wire::FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => wire::LEN,
            Self::Group(_) => wire::GROUP,
            _ => wire::VARINT,
        }
    }

    fn packable(self) -> bool {
        !matches!(self.wire_type(), wire::LEN | wire::GROUP)
    }
}

#[derive(Debug)]
pub(crate) enum Shape {
    One,
    Many { packed: bool },
    Map { key: Type, value: Type, entry: MessageId },
}

#[derive(Debug)]
pub(crate) struct Field {
    pub number: u32,
    pub name: Box<str>,
    pub json: Box<str>,
    /// `"jsonName":`
    pub key: Box<[u8]>,
    pub ty: Type,
    pub shape: Shape,
    /// Explicit presence: a default value is still a value.
    pub presence: bool,
    /// Index of the oneof, if it is in a real one.
    pub oneof: Option<u16>,
    /// Number shared by the members of a oneof; else its own.
    pub slot: u16,
    /// What `always_print_defaults` prints.
    pub default: Box<[u8]>,
    tag: [u8; 5],
    tag_len: u8,
}

impl Field {
    #[inline]
    pub(crate) fn put_tag(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tag[..usize::from(self.tag_len)]);
    }

    /// Whether a value of this wire type can be one of the field; a list of scalars may always come packed.
    #[inline]
    pub(crate) fn accepts(&self, wire_type: u8) -> bool {
        wire_type == self.ty.wire_type()
            || (wire_type == wire::LEN && matches!(self.shape, Shape::Many { .. }) && self.ty.packable())
    }

    pub(crate) fn is_one(&self) -> bool {
        matches!(self.shape, Shape::One)
    }
}

/// How a message is written in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// One of `google.protobuf.*Value`: as its only field.
    Wrapper,
}

impl Form {
    fn of(full_name: &str) -> Self {
        match full_name {
            "google.protobuf.Any" => Self::Any,
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Duration" => Self::Duration,
            "google.protobuf.FieldMask" => Self::FieldMask,
            "google.protobuf.Struct" => Self::Struct,
            "google.protobuf.Value" => Self::Value,
            "google.protobuf.ListValue" => Self::ListValue,
            "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue" => Self::Wrapper,
            _ => Self::Plain,
        }
    }

    /// The fields that the converters rely on: number and kind.
    fn expects(self) -> &'static [(u32, Described)] {
        match self {
            Self::Any => &[(1, Described::String), (2, Described::Bytes)],
            Self::Timestamp | Self::Duration => &[(1, Described::Int64), (2, Described::Int32)],
            Self::FieldMask => &[(1, Described::String)],
            _ => &[],
        }
    }
}

#[derive(Debug)]
pub(crate) struct Message {
    pub name: Box<str>,
    pub form: Form,
    /// By number.
    pub fields: Box<[Field]>,
    pub names: Names,
    pub oneofs: Box<[Box<str>]>,
    pub slots: usize,
    /// Index of a field number plus one; 0 = none. Numbers beyond it are searched for in `fields`.
    dense: Box<[u16]>,
}

/// Numbers below this are looked up in a table.
const DENSE: u32 = 512;

impl Message {
    #[inline]
    pub(crate) fn by_number(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(index) => Some(usize::from(*index) - 1),
            None if number < DENSE => None,
            None => self.fields.binary_search_by_key(&number, |f| f.number).ok(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Enum {
    pub names: Names,
    /// By number: `"NAME"`.
    values: Box<[(i32, Box<[u8]>)]>,
    /// `google.protobuf.NullValue`, which is `null` in JSON.
    pub null: bool,
}

impl Enum {
    /// The quoted name.
    #[inline]
    pub(crate) fn name(&self, number: i32) -> Option<&[u8]> {
        // Most enums count from 0 without gaps.
        if let Some((n, name)) = usize::try_from(number).ok().and_then(|i| self.values.get(i))
            && *n == number
        {
            return Some(name);
        }
        self.values.binary_search_by_key(&number, |(n, _)| *n).ok().map(|i| &*self.values[i].1)
    }

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.names.get(name).map(|n| n as u32 as i32)
    }
}

/// Plans of all messages of a descriptor pool.
#[derive(Debug)]
pub struct Types {
    messages: Box<[Message]>,
    enums: Box<[Enum]>,
    by_name: HashMap<Box<str>, MessageId>,
    pub(crate) options: Options,
}

impl Types {
    /// Compiles every message of the pool, so that whatever an Any names resolves.
    pub fn load(pool: &DescriptorPool, options: Options) -> Result<Self, LoadError> {
        let described: Vec<MessageDescriptor> = pool.all_messages().collect();
        let ids: HashMap<Box<str>, MessageId> =
            described.iter().enumerate().map(|(i, m)| (m.full_name().into(), MessageId(i as u32))).collect();
        let enum_ids: HashMap<String, u32> =
            pool.all_enums().enumerate().map(|(i, e)| (e.full_name().to_owned(), i as u32)).collect();
        let enums: Box<[Enum]> = pool.all_enums().map(|e| plan_enum(&e)).collect();
        let load = Load { ids: &ids, enum_ids: &enum_ids, enums: &enums };
        let messages = described.iter().map(|m| load.message(m)).collect::<Result<_, _>>()?;
        Ok(Self { messages, enums, by_name: ids, options })
    }

    /// A message by its full name.
    pub fn get(&self, full_name: &str) -> Option<MessageId> {
        self.by_name.get(full_name).copied()
    }

    /// Appends the wire form of a JSON document. On an error `out` is as it was.
    pub fn json_to_wire(&self, id: MessageId, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mark = out.len();
        let result = Writer::new(self, json, out).and_then(|mut writer| writer.document(id));
        result.inspect_err(|_| out.truncate(mark))
    }

    /// Appends the canonical JSON of a message. On an error `out` is as it was.
    pub fn wire_to_json(&self, id: MessageId, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mark = out.len();
        let result = Reader::new(self, out).message(id, wire);
        result.map_err(|error| {
            out.truncate(mark);
            error.of(Place::Response)
        })
    }

    /// Appends the content of a `google.protobuf.Any` with its `@type`. An unknown type is `Kind::UnknownType`.
    pub fn any_to_json(&self, type_url: &str, value: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mark = out.len();
        let result = Reader::new(self, out).any(type_url, value);
        result.map_err(|error| {
            out.truncate(mark);
            error.of(Place::Response)
        })
    }

    /// Turns a path of proto names (`items[0].unit_price`) into one of JSON names. What no field is called stays.
    pub fn json_path(&self, id: MessageId, proto_path: &str) -> String {
        let mut out = String::with_capacity(proto_path.len());
        let mut at = Some(id);
        let mut rest = proto_path;
        while !rest.is_empty() {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            let field = at.and_then(|id| {
                let message = self.message(id);
                message.names.get(name).map(|i| &message.fields[i])
            });
            out.push_str(field.map_or(name, |f| &f.json));
            at = field.and_then(|f| match (&f.shape, f.ty) {
                (Shape::Map { value: Type::Message(id) | Type::Group(id), .. }, _) => Some(*id),
                (Shape::Map { .. }, _) => None,
                (_, Type::Message(id) | Type::Group(id)) => Some(id),
                _ => None,
            });
            let subscript = subscript_len(tail);
            out.push_str(&tail[..subscript]);
            rest = &tail[subscript..];
            if let Some(tail) = rest.strip_prefix('.') {
                out.push('.');
                rest = tail;
            }
        }
        out
    }

    #[inline]
    pub(crate) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    #[inline]
    pub(crate) fn enum_(&self, id: u32) -> &Enum {
        &self.enums[id as usize]
    }

    /// Of an Any's type URL: what follows the last slash.
    pub(crate) fn resolve(&self, type_url: &str) -> Result<MessageId> {
        let name = type_url.rsplit_once('/').map(|(_, name)| name);
        match name.and_then(|name| self.get(name)) {
            Some(id) => Ok(id),
            None => Err(Error::new(Kind::UnknownType, format!("unknown type {type_url:?}"))),
        }
    }

    /// Whether `null` is a value of this type rather than the lack of one.
    #[inline]
    pub(crate) fn takes_null(&self, ty: Type) -> bool {
        match ty {
            Type::Message(id) => self.message(id).form == Form::Value,
            Type::Enum(id) => self.enum_(id).null,
            _ => false,
        }
    }
}

/// Length of the leading `[…]` groups; a quoted key may hold brackets and dots.
fn subscript_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        let mut end = at + 1;
        loop {
            match bytes.get(end) {
                None => return text.len(),
                Some(b'\\') if quoted => end += 1,
                Some(b'"') => quoted = !quoted,
                Some(b']') if !quoted => break,
                Some(_) => {}
            }
            end += 1;
        }
        at = end + 1;
    }
    // A backslash before a multi-byte character may have skipped into it.
    if text.is_char_boundary(at) { at } else { text.len() }
}

fn plan_enum(described: &EnumDescriptor) -> Enum {
    let mut values: Vec<(i32, Box<[u8]>)> = Vec::new();
    // In the order of the declaration: of aliases the first is printed.
    for value in &described.enum_descriptor_proto().value {
        if values.iter().all(|(n, _)| *n != value.number()) {
            let mut name = Vec::new();
            text::write_string(value.name(), &mut name);
            values.push((value.number(), name.into_boxed_slice()));
        }
    }
    values.sort_by_key(|(n, _)| *n);
    let names: Vec<(String, usize)> =
        described.values().map(|v| (v.name().to_owned(), v.number() as u32 as usize)).collect();
    Enum {
        names: Names::new(names.iter().map(|(n, v)| (n.as_str(), *v))),
        values: values.into_boxed_slice(),
        null: described.full_name() == "google.protobuf.NullValue",
    }
}

struct Load<'l> {
    ids: &'l HashMap<Box<str>, MessageId>,
    enum_ids: &'l HashMap<String, u32>,
    enums: &'l [Enum],
}

/// What fields and extensions have in common.
struct Declared<'d> {
    number: u32,
    name: &'d str,
    json: &'d str,
    kind: Described,
    repeated: bool,
    map: bool,
    packed: bool,
    group: bool,
    presence: bool,
    oneof: Option<u16>,
}

impl Load<'_> {
    fn message(&self, described: &MessageDescriptor) -> Result<Message, LoadError> {
        let name = described.full_name();
        let form = Form::of(name);
        for (number, kind) in form.expects() {
            if described.get_field(*number).is_none_or(|f| f.kind() != *kind) {
                return Err(LoadError::new(name, format!("field {number} is not as in google/protobuf")));
            }
        }
        if form == Form::Wrapper
            && described.get_field(1).is_none_or(|f| f.is_list() || f.kind().as_message().is_some())
        {
            return Err(LoadError::new(name, "field 1 is not as in google/protobuf"));
        }
        let oneofs: Vec<_> = described.oneofs().filter(|o| !o.is_synthetic()).collect();
        let mut fields = Vec::new();
        for field in described.fields() {
            let oneof = field
                .containing_oneof()
                .and_then(|o| oneofs.iter().position(|other| other.name() == o.name()))
                .map(|i| i as u16);
            fields.push(self.field(name, &declared(&field, oneof))?);
        }
        for extension in described.extensions() {
            fields.push(self.field(
                name,
                &Declared {
                    number: extension.number(),
                    name: extension.json_name(),
                    json: extension.json_name(),
                    kind: extension.kind(),
                    repeated: extension.cardinality() == Cardinality::Repeated,
                    map: false,
                    packed: extension.is_packed(),
                    group: extension.is_group(),
                    presence: extension.cardinality() != Cardinality::Repeated,
                    oneof: None,
                },
            )?);
        }
        if fields.len() >= usize::from(u16::MAX) {
            return Err(LoadError::new(name, "too many fields"));
        }
        fields.sort_by_key(|f| f.number);
        let mut oneof_slots: Vec<Option<u16>> = vec![None; oneofs.len()];
        let mut slots: u16 = 0;
        for field in &mut fields {
            let shared = field.oneof.map(|o| &mut oneof_slots[usize::from(o)]);
            field.slot = shared.as_ref().and_then(|s| **s).unwrap_or_else(|| {
                slots += 1;
                slots - 1
            });
            if let Some(shared) = shared {
                *shared = Some(field.slot);
            }
        }
        let last = fields.iter().map(|f| f.number).filter(|n| *n < DENSE).max();
        let mut dense = vec![0u16; last.map_or(0, |n| n as usize + 1)];
        for (i, field) in fields.iter().enumerate() {
            if let Some(entry) = dense.get_mut(field.number as usize) {
                *entry = i as u16 + 1;
            }
        }
        let names = Names::new(
            fields
                .iter()
                .enumerate()
                .map(|(i, f)| (&*f.json, i))
                .chain(fields.iter().enumerate().map(|(i, f)| (&*f.name, i))),
        );
        Ok(Message {
            name: name.into(),
            form,
            names,
            oneofs: oneofs.iter().map(|o| o.name().into()).collect(),
            slots: usize::from(slots),
            dense: dense.into_boxed_slice(),
            fields: fields.into_boxed_slice(),
        })
    }

    fn ty(&self, owner: &str, kind: &Described, group: bool) -> Result<Type, LoadError> {
        let unknown = |name: &str| LoadError::new(owner, format!("refers to {name}, which the pool lacks"));
        Ok(match kind {
            Described::Double => Type::Double,
            Described::Float => Type::Float,
            Described::Int32 => Type::Int32,
            Described::Int64 => Type::Int64,
            Described::Uint32 => Type::Uint32,
            Described::Uint64 => Type::Uint64,
            Described::Sint32 => Type::Sint32,
            Described::Sint64 => Type::Sint64,
            Described::Fixed32 => Type::Fixed32,
            Described::Fixed64 => Type::Fixed64,
            Described::Sfixed32 => Type::Sfixed32,
            Described::Sfixed64 => Type::Sfixed64,
            Described::Bool => Type::Bool,
            Described::String => Type::String,
            Described::Bytes => Type::Bytes,
            Described::Enum(e) => Type::Enum(*self.enum_ids.get(e.full_name()).ok_or_else(|| unknown(e.full_name()))?),
            Described::Message(m) => {
                let id = *self.ids.get(m.full_name()).ok_or_else(|| unknown(m.full_name()))?;
                if group { Type::Group(id) } else { Type::Message(id) }
            }
        })
    }

    fn field(&self, owner: &str, d: &Declared<'_>) -> Result<Field, LoadError> {
        let ty = self.ty(owner, &d.kind, d.group)?;
        let shape = match d.kind.as_message() {
            Some(entry) if d.map => Shape::Map {
                key: self.ty(owner, &entry.map_entry_key_field().kind(), false)?,
                value: self.ty(owner, &entry.map_entry_value_field().kind(), false)?,
                entry: *self.ids.get(entry.full_name()).ok_or_else(|| LoadError::new(owner, "map without entry"))?,
            },
            _ if d.repeated => Shape::Many { packed: d.packed && ty.packable() },
            _ => Shape::One,
        };
        let wire_type = if matches!(shape, Shape::Many { packed: true }) { wire::LEN } else { ty.wire_type() };
        let mut encoded = Vec::with_capacity(5);
        wire::put_varint(&mut encoded, u64::from(d.number << 3 | u32::from(wire_type)));
        let mut tag = [0; 5];
        tag[..encoded.len()].copy_from_slice(&encoded);
        let mut key = Vec::new();
        text::write_string(d.json, &mut key);
        key.push(b':');
        Ok(Field {
            number: d.number,
            name: d.name.into(),
            json: d.json.into(),
            key: key.into_boxed_slice(),
            default: self.default(ty, &shape),
            ty,
            shape,
            presence: d.presence,
            oneof: d.oneof,
            slot: 0,
            tag,
            tag_len: encoded.len() as u8,
        })
    }

    fn default(&self, ty: Type, shape: &Shape) -> Box<[u8]> {
        let text: &[u8] = match (shape, ty) {
            (Shape::Many { .. }, _) => b"[]",
            (Shape::Map { .. }, _) => b"{}",
            (_, Type::Int64 | Type::Uint64 | Type::Sint64 | Type::Fixed64 | Type::Sfixed64) => b"\"0\"",
            (_, Type::Bool) => b"false",
            (_, Type::String | Type::Bytes) => b"\"\"",
            (_, Type::Enum(id)) => {
                let plan = &self.enums[id as usize];
                if plan.null { b"null" } else { plan.name(0).unwrap_or(b"0") }
            }
            (_, Type::Message(_) | Type::Group(_)) => b"null",
            _ => b"0",
        };
        text.into()
    }
}

fn declared(field: &FieldDescriptor, oneof: Option<u16>) -> Declared<'_> {
    Declared {
        number: field.number(),
        name: field.name(),
        json: field.json_name(),
        kind: field.kind(),
        repeated: field.is_list() || field.is_map(),
        map: field.is_map(),
        packed: field.is_packed(),
        group: field.is_group(),
        presence: field.supports_presence(),
        oneof,
    }
}

/// Which of a message's slots have been seen: on the stack for up to 128 of them.
pub(crate) struct Seen {
    small: u128,
    large: Vec<u64>,
}

impl Seen {
    #[inline]
    pub(crate) fn new(slots: usize) -> Self {
        Self { small: 0, large: if slots > 128 { vec![0; slots.div_ceil(64)] } else { Vec::new() } }
    }

    /// False if it was there already.
    #[inline]
    pub(crate) fn insert(&mut self, slot: usize) -> bool {
        if self.large.is_empty() {
            let bit = 1u128 << slot;
            let new = self.small & bit == 0;
            self.small |= bit;
            return new;
        }
        let word = &mut self.large[slot / 64];
        let bit = 1u64 << (slot % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(crate) fn contains(&self, slot: usize) -> bool {
        if self.large.is_empty() { self.small >> slot & 1 == 1 } else { self.large[slot / 64] >> (slot % 64) & 1 == 1 }
    }
}
