//! The way back from wire bytes in any order to bytes in one order, as a parser would have understood them.

use std::borrow::Cow;

use crate::error::Result;
use crate::plan::{Message, Shape, Type};
use crate::wire::{self, Cursor};

/// One record of a known field.
struct Record<'w> {
    field: usize,
    wire_type: u8,
    payload: &'w [u8],
}

/// Rewrites a message so that every slot comes in one run: of singular scalars the last record, of singular messages
/// one record that holds all of them (to concatenate messages is to merge them), of a oneof the last member, lists and
/// maps whole. Unknown fields are dropped.
pub(crate) fn tidy(plan: &Message, wire: &[u8]) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    let mut cursor = Cursor::new(wire);
    while let Some((number, wire_type)) = cursor.tag()? {
        match plan.by_number(number) {
            Some(field) if plan.fields[field].accepts(wire_type) => {
                records.push(Record { field, wire_type, payload: cursor.payload(number, wire_type)? });
            }
            _ => cursor.skip(number, wire_type)?,
        }
    }
    // Stable: records of one slot keep their order.
    records.sort_by_key(|r| plan.fields[r.field].slot);
    let mut out = Vec::with_capacity(wire.len());
    for slot in records.chunk_by(|a, b| plan.fields[a.field].slot == plan.fields[b.field].slot) {
        let Some(last) = slot.last() else { continue };
        let field = &plan.fields[last.field];
        if !matches!(field.shape, Shape::One) {
            slot.iter().for_each(|record| put(&mut out, field.number, record.wire_type, &[record]));
            continue;
        }
        // A member of a oneof that came before another one is forgotten.
        let from = slot.iter().rposition(|r| r.field != last.field).map_or(0, |i| i + 1);
        match field.ty {
            Type::Message(_) | Type::Group(_) => {
                let records: Vec<&Record<'_>> = slot[from..].iter().collect();
                put(&mut out, field.number, last.wire_type, &records);
            }
            _ => put(&mut out, field.number, last.wire_type, &[last]),
        }
    }
    Ok(out)
}

fn put(out: &mut Vec<u8>, number: u32, wire_type: u8, records: &[&Record<'_>]) {
    wire::put_varint(out, u64::from(number << 3 | u32::from(wire_type)));
    if wire_type == wire::LEN {
        wire::put_varint(out, records.iter().map(|r| r.payload.len() as u64).sum());
    }
    records.iter().for_each(|r| out.extend_from_slice(r.payload));
    if wire_type == wire::GROUP {
        wire::put_varint(out, u64::from(number << 3 | u32::from(wire::END_GROUP)));
    }
}

/// One map entry: its key understood, its value still bytes.
pub(crate) struct Entry<'w> {
    bytes: Cow<'w, [u8]>,
    /// Key of a number type, sign-extended.
    pub number: u64,
    text: (usize, usize),
    value: Option<usize>,
    /// Not overwritten by a later entry of the same key.
    pub live: bool,
}

impl<'w> Entry<'w> {
    pub(crate) fn parse(plan: &Message, key: Type, value: Type, bytes: &'w [u8]) -> Result<Self> {
        let entry = Self { bytes: Cow::Borrowed(bytes), number: 0, text: (0, 0), value: None, live: true };
        match entry.locate(key, value, bytes)? {
            Some(entry) => Ok(entry),
            None => {
                let bytes = tidy(plan, bytes)?;
                let entry = Self { bytes: Cow::Owned(Vec::new()), number: 0, text: (0, 0), value: None, live: true };
                let located = entry.locate(key, value, &bytes)?;
                let mut entry =
                    located.ok_or_else(|| crate::error::Error::wire("a map entry that cannot be put in order"))?;
                entry.bytes = Cow::Owned(bytes);
                Ok(entry)
            }
        }
    }

    /// `None` if key or value come twice.
    fn locate(mut self, key: Type, value: Type, bytes: &[u8]) -> Result<Option<Self>> {
        let mut cursor = Cursor::new(bytes);
        let mut keys = 0;
        while let Some((number, wire_type)) = cursor.tag()? {
            let at = bytes.len() - cursor.rest().len();
            if number == 1 && wire_type == key.wire_type() {
                keys += 1;
                match key {
                    Type::String => {
                        let text = cursor.bytes()?;
                        self.text = (bytes.len() - cursor.rest().len() - text.len(), text.len());
                    }
                    _ => self.number = read_key(key, &mut cursor)?,
                }
            } else {
                if number == 2 && wire_type == value.wire_type() && self.value.replace(at).is_some() {
                    return Ok(None);
                }
                cursor.skip(number, wire_type)?;
            }
        }
        Ok((keys < 2).then_some(self))
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.bytes[self.text.0..self.text.0 + self.text.1]
    }

    pub(crate) fn value(&self) -> Option<Cursor<'_>> {
        self.value.map(|at| Cursor::new(&self.bytes[at..]))
    }

    /// The key as text, for errors.
    pub(crate) fn name(&self, key: Type) -> String {
        match key {
            Type::String => String::from_utf8_lossy(self.text()).into_owned(),
            Type::Bool => (self.number != 0).to_string(),
            Type::Uint32 | Type::Uint64 | Type::Fixed32 | Type::Fixed64 => self.number.to_string(),
            _ => (self.number as i64).to_string(),
        }
    }

    fn identity(&self) -> (&[u8], u64) {
        (self.text(), self.number)
    }
}

fn read_key(key: Type, cursor: &mut Cursor<'_>) -> Result<u64> {
    Ok(match key {
        Type::Int32 => i64::from(cursor.varint()? as i32) as u64,
        Type::Uint32 => u64::from(cursor.varint()? as u32),
        Type::Sint32 => wire::unzigzag(u64::from(cursor.varint()? as u32)) as u64,
        Type::Sint64 => wire::unzigzag(cursor.varint()?) as u64,
        Type::Fixed32 => u64::from(u32::from_le_bytes(cursor.fixed32()?)),
        Type::Sfixed32 => i64::from(i32::from_le_bytes(cursor.fixed32()?)) as u64,
        Type::Fixed64 | Type::Sfixed64 => u64::from_le_bytes(cursor.fixed64()?),
        Type::Bool => u64::from(cursor.varint()? != 0),
        _ => cursor.varint()?,
    })
}

/// Up to so many entries are compared each with each; more are sorted.
const FEW: usize = 16;

/// Marks entries that a later one of the same key overwrites.
pub(crate) fn keep_last(entries: &mut [Entry<'_>]) {
    if entries.len() <= FEW {
        for i in 1..entries.len() {
            for j in 0..i {
                if entries[j].identity() == entries[i].identity() {
                    entries[j].live = false;
                }
            }
        }
        return;
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|a, b| entries[*a].identity().cmp(&entries[*b].identity()));
    for pair in order.windows(2) {
        if entries[pair[0]].identity() == entries[pair[1]].identity() {
            entries[pair[0]].live = false;
        }
    }
}
