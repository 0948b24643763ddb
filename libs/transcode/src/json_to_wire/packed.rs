//! Packed lists of numbers: one loop for each type, which is then not asked for at each element.

#![expect(clippy::redundant_closure, reason = "a closure is compiled for its loop alone, and inlined there")]

use super::Writer;
use crate::plan::Type;
use crate::scan::Scan;
use crate::text::{self, Int};
use crate::wire;

impl Writer<'_, '_> {
    /// Elements in their plainest form, each with a comma behind it, as many as follow each other: how many. The last
    /// of the list never is among them, nor any with an exponent or a mistake: they are for `value`.
    pub(super) fn run(&mut self, ty: Type) -> usize {
        // Each loop is a function of its own, with all registers for itself.
        let (scan, out) = (&mut self.scan, &mut *self.out);
        match ty {
            Type::Int32 => varints(scan, out, |v| v.as_i32().map(|v| i64::from(v) as u64)),
            Type::Int64 => varints(scan, out, |v| v.as_i64().map(|v| v as u64)),
            Type::Uint32 => varints(scan, out, |v| v.as_u32().map(u64::from)),
            Type::Uint64 => varints(scan, out, Int::as_u64),
            Type::Sint32 => varints(scan, out, |v| v.as_i32().map(|v| wire::zigzag(i64::from(v)))),
            Type::Sint64 => varints(scan, out, |v| v.as_i64().map(wire::zigzag)),
            Type::Fixed32 => fixed(scan, out, |v| v.as_u32().map(u32::to_le_bytes)),
            Type::Fixed64 => fixed(scan, out, |v| v.as_u64().map(u64::to_le_bytes)),
            Type::Sfixed32 => fixed(scan, out, |v| v.as_i32().map(i32::to_le_bytes)),
            Type::Sfixed64 => fixed(scan, out, |v| v.as_i64().map(i64::to_le_bytes)),
            Type::Double => doubles(scan, out),
            Type::Float => singles(scan, out),
            Type::Bool | Type::Enum(_) | Type::String | Type::Bytes | Type::Message(_) | Type::Group(_) => 0,
        }
    }
}

#[inline(never)]
fn varints(scan: &mut Scan<'_>, out: &mut Vec<u8>, convert: impl Fn(Int) -> Option<u64>) -> usize {
    scan.plain_list(
        |text| text::plain_int(text),
        |v, _| {
            wire::put_varint_in_place(out, convert(v)?);
            Some(())
        },
    )
}

#[inline(never)]
fn fixed<const N: usize>(scan: &mut Scan<'_>, out: &mut Vec<u8>, convert: impl Fn(Int) -> Option<[u8; N]>) -> usize {
    scan.plain_list(
        |text| text::plain_int(text),
        |v, _| {
            out.extend_from_slice(&convert(v)?);
            Some(())
        },
    )
}

#[inline(never)]
fn doubles(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> usize {
    scan.plain_list(
        |text| text::leading_f64(text),
        |v, number| {
            let v = v.or_else(|| text::parse_f64(number).ok())?;
            out.extend_from_slice(&v.to_le_bytes());
            Some(())
        },
    )
}

#[inline(never)]
fn singles(scan: &mut Scan<'_>, out: &mut Vec<u8>) -> usize {
    scan.plain_list(
        |text| text::leading_f32(text),
        |v, number| {
            let v = v.or_else(|| text::parse_f32(number).ok())?;
            out.extend_from_slice(&v.to_le_bytes());
            Some(())
        },
    )
}
