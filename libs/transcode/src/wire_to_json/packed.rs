//! Packed lists of numbers: one loop for each type, which is then not asked for at each element.

use super::Reader;
use crate::error::Result;
use crate::plan::{Field, Type};
use crate::text::List;
use crate::wire::{self, Cursor};

/// Fewer bytes are printed one element at a time: to clear a block that text is put together in costs more.
const LONG: usize = 16;

impl Reader<'_, '_> {
    /// The elements of one packed record, which come after `count` others: how many there are then.
    pub(super) fn packed(&mut self, field: &Field, list: Cursor<'_>, count: usize) -> Result<usize> {
        let out = &mut *self.out;
        match field.ty {
            _ if list.rest().len() < LONG => self.items(field, list, count),
            Type::Int32 => each(list, out, count, varint, |out, v| out.signed(i64::from(v as i32))),
            Type::Sint32 => each(list, out, count, varint, |out, v| {
                out.signed(i64::from(wire::unzigzag(u64::from(v as u32)) as i32));
            }),
            Type::Uint32 => each(list, out, count, varint, |out, v| out.unsigned(u64::from(v as u32))),
            Type::Fixed32 => each(list, out, count, Cursor::fixed32, |out, v| {
                out.unsigned(u64::from(u32::from_le_bytes(v)));
            }),
            Type::Sfixed32 => each(list, out, count, Cursor::fixed32, |out, v| {
                out.signed(i64::from(i32::from_le_bytes(v)));
            }),
            Type::Int64 => each(list, out, count, varint, |out, v| out.quoted_signed(v as i64)),
            Type::Sint64 => each(list, out, count, varint, |out, v| out.quoted_signed(wire::unzigzag(v))),
            Type::Uint64 => each(list, out, count, varint, |out, v| out.quoted_unsigned(v)),
            Type::Fixed64 => each(list, out, count, Cursor::fixed64, |out, v| {
                out.quoted_unsigned(u64::from_le_bytes(v));
            }),
            Type::Sfixed64 => each(list, out, count, Cursor::fixed64, |out, v| {
                out.quoted_signed(i64::from_le_bytes(v));
            }),
            Type::Double => each(list, out, count, Cursor::fixed64, |out, v| out.f64(f64::from_le_bytes(v))),
            Type::Float => each(list, out, count, Cursor::fixed32, |out, v| out.f32(f32::from_le_bytes(v))),
            _ => self.items(field, list, count),
        }
    }

    fn items(&mut self, field: &Field, mut list: Cursor<'_>, mut count: usize) -> Result<usize> {
        while !list.is_empty() {
            self.item(field, &mut list, count)?;
            count += 1;
        }
        Ok(count)
    }
}

/// Prints what `read` takes from the list, until it is empty. Inlined, `read` and `put` are one loop for each type.
#[inline(never)]
fn each<'w, T>(
    mut list: Cursor<'w>,
    out: &mut Vec<u8>,
    mut count: usize,
    read: impl Fn(&mut Cursor<'w>) -> Result<T>,
    put: impl Fn(&mut List<'_>, T),
) -> Result<usize> {
    if count > 0 {
        out.push(b',');
    }
    let mut text = List::new(out);
    while !list.is_empty() {
        let v = read(&mut list).map_err(|error| error.in_item(count))?;
        put(&mut text, v);
        text.comma();
        count += 1;
    }
    text.end();
    Ok(count)
}

#[inline]
fn varint(list: &mut Cursor<'_>) -> Result<u64> {
    if let Some(v) = list.short_varint() {
        return Ok(v);
    }
    // The call gets a copy, so that the cursor of the loop stays in registers.
    let mut copy = *list;
    let v = copy.varint()?;
    *list = copy;
    Ok(v)
}
