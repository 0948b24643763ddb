//! The protobuf wire format: varints, tags, a cursor over borrowed bytes.

use crate::error::{Error, Result};

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LEN: u8 = 2;
pub(crate) const GROUP: u8 = 3;
pub(crate) const END_GROUP: u8 = 4;
pub(crate) const FIXED32: u8 = 5;

/// Unknown groups nest at most this deep.
const GROUP_DEPTH: u32 = 100;

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, v: u64) {
    if v < 0x80 { out.push(v as u8) } else { put_long_varint(out, v) }
}

fn put_long_varint(out: &mut Vec<u8>, v: u64) {
    put_varint_in_place(out, v);
}

const HIGH: u64 = 0x8080_8080_8080_8080;

/// As `put_varint`, without a call: for loops.
#[inline(always)]
pub(crate) fn put_varint_in_place(out: &mut Vec<u8>, v: u64) {
    // Two groups of 28 bits, four of 14, eight of seven, each group in a byte of its own.
    let w = (v & 0x00ff_ffff_f000_0000) << 4 | v & 0x0fff_ffff;
    let w = (w & 0x0fff_c000_0fff_c000) << 2 | w & 0x0000_3fff_0000_3fff;
    let w = (w & 0x3f80_3f80_3f80_3f80) << 1 | w & 0x007f_007f_007f_007f;
    // The top bit says that more follows.
    if v < 1 << 56 {
        let len = varint_len(v);
        let more = HIGH & ((1 << (8 * (len - 1))) - 1);
        let start = out.len();
        out.extend_from_slice(&(w | more).to_le_bytes());
        out.truncate(start + len);
        return;
    }
    out.extend_from_slice(&(w | HIGH).to_le_bytes());
    let last = (v >> 56) as u8;
    out.push(last);
    if last >= 0x80 {
        out.push(1);
    }
}

#[inline]
pub(crate) fn varint_len(v: u64) -> usize {
    (70 - (v | 1).leading_zeros() as usize) / 7
}

#[inline]
pub(crate) fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

#[inline]
pub(crate) fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Leaves room for a one-byte length; `close` fills it in.
#[inline]
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Writes the length of what came after `open`. Content of 128 bytes and more moves up to make room.
#[inline]
pub(crate) fn close(out: &mut Vec<u8>, mark: usize) {
    let len = out.len() - mark - 1;
    if len < 0x80 {
        out[mark] = len as u8;
    } else {
        close_long(out, mark, len);
    }
}

fn close_long(out: &mut Vec<u8>, mark: usize, len: usize) {
    let width = varint_len(len as u64);
    let end = out.len();
    out.resize(end + width - 1, 0);
    out.copy_within(mark + 1..end, mark + width);
    let mut v = len;
    for byte in &mut out[mark..mark + width - 1] {
        *byte = v as u8 | 0x80;
        v >>= 7;
    }
    out[mark + width - 1] = v as u8;
}

/// Reads records from borrowed bytes. Every method fails on truncation and never panics.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'w> {
    rest: &'w [u8],
}

impl<'w> Cursor<'w> {
    #[inline]
    pub(crate) fn new(wire: &'w [u8]) -> Self {
        Self { rest: wire }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'w [u8] {
        self.rest
    }

    /// The next field number and wire type; `None` at the end.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<(u32, u8)>> {
        let Some(&first) = self.rest.first() else { return Ok(None) };
        let tag = if first < 0x80 {
            self.rest = &self.rest[1..];
            u64::from(first)
        } else {
            self.varint()?
        };
        let Ok(tag) = u32::try_from(tag) else { return Err(Error::wire("field number out of range")) };
        let (number, wire_type) = (tag >> 3, (tag & 7) as u8);
        if number == 0 {
            return Err(Error::wire("field number 0"));
        }
        if wire_type > FIXED32 {
            return Err(Error::wire("unknown wire type"));
        }
        Ok(Some((number, wire_type)))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(first));
        }
        self.varint_long()
    }

    fn varint_long(&mut self) -> Result<u64> {
        if let Some(v) = self.short_varint() {
            return Ok(v);
        }
        let mut v = 0;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            v |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(v);
            }
        }
        Err(Error::wire(if self.rest.len() < 10 { "truncated varint" } else { "varint longer than ten bytes" }))
    }

    /// A varint of at most eight bytes that has as many bytes behind its first; else the cursor stays.
    #[inline(always)]
    pub(crate) fn short_varint(&mut self) -> Option<u64> {
        let word = u64::from_le_bytes(*self.rest.first_chunk()?);
        // The top bit is clear in the last byte of a varint.
        let last = !word & HIGH;
        if last == 0 {
            return None;
        }
        self.rest = &self.rest[last.trailing_zeros() as usize / 8 + 1..];
        // Without what follows: eight groups of seven bits, four of 14, two of 28, one.
        let v = word & (last ^ (last - 1)) & !HIGH;
        let v = (v & 0x7f00_7f00_7f00_7f00) >> 1 | v & 0x007f_007f_007f_007f;
        let v = (v & 0x3fff_0000_3fff_0000) >> 2 | v & 0x0000_3fff_0000_3fff;
        Some((v & 0x0fff_ffff_0000_0000) >> 4 | v & 0x0fff_ffff)
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'w [u8]> {
        let len = self.varint()?;
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(Error::wire("length beyond the end")),
        }
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<[u8; 4]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else { return Err(Error::wire("truncated fixed32")) };
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<[u8; 8]> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else { return Err(Error::wire("truncated fixed64")) };
        self.rest = rest;
        Ok(*bytes)
    }

    /// Content of the group whose start tag was just read; the end tag is consumed.
    pub(crate) fn group(&mut self, number: u32) -> Result<&'w [u8]> {
        let start = self.rest;
        let len = self.group_end(number, GROUP_DEPTH)?;
        Ok(&start[..len])
    }

    fn group_end(&mut self, number: u32, depth: u32) -> Result<usize> {
        if depth == 0 {
            return Err(Error::wire("groups nested too deep"));
        }
        let start = self.rest.len();
        loop {
            let before = self.rest.len();
            match self.tag()? {
                None => return Err(Error::wire("group without an end")),
                Some((n, END_GROUP)) if n == number => return Ok(start - before),
                Some((n, GROUP)) => {
                    self.group_end(n, depth - 1)?;
                }
                Some((n, wire_type)) => self.skip(n, wire_type)?,
            }
        }
    }

    /// Passes over the payload whose tag was just read.
    pub(crate) fn skip(&mut self, number: u32, wire_type: u8) -> Result<()> {
        match wire_type {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            LEN => self.bytes().map(drop),
            GROUP => self.group(number).map(drop),
            FIXED32 => self.fixed32().map(drop),
            _ => Err(Error::wire("end of a group that never began")),
        }
    }

    /// The raw payload (for LEN and groups: the content) whose tag was just read.
    pub(crate) fn payload(&mut self, number: u32, wire_type: u8) -> Result<&'w [u8]> {
        match wire_type {
            LEN => self.bytes(),
            GROUP => self.group(number),
            _ => {
                let start = self.rest;
                self.skip(number, wire_type)?;
                Ok(&start[..start.len() - self.rest.len()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_patched_at_every_width() {
        for len in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut out = vec![9];
            let mark = open(&mut out);
            out.extend((0..len).map(|i| i as u8));
            close(&mut out, mark);
            let mut cursor = Cursor::new(&out[1..]);
            let content = cursor.bytes().unwrap();
            assert!(cursor.is_empty());
            assert_eq!(content.len(), len);
            assert!(content.iter().enumerate().all(|(i, b)| *b == i as u8));
        }
    }

    #[test]
    fn varints_go_there_and_back() {
        let edges = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, 0x9e37_79b9_7f4a_7c15 >> bit]);
        for v in edges.chain([300, u64::MAX]) {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            assert_eq!(out.len(), varint_len(v));
            let mut in_place = Vec::new();
            put_varint_in_place(&mut in_place, v);
            assert_eq!(in_place, out);
            assert_eq!(Cursor::new(&out).varint().unwrap(), v);
            // With something behind it.
            out.extend_from_slice(&[0xff; 8]);
            let mut cursor = Cursor::new(&out);
            assert_eq!((cursor.varint().unwrap(), cursor.rest().len()), (v, 8));
        }
        for v in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(v)), v);
        }
        assert!(Cursor::new(&[0x80; 11]).varint().is_err());
        assert!(Cursor::new(&[0x80; 3]).varint().is_err());
    }

    #[test]
    fn groups_are_bracketed() {
        // 1: group { 2: varint 5, 3: group {} } 4: varint 1
        let wire = [0x0b, 0x10, 5, 0x1b, 0x1c, 0x0c, 0x20, 1];
        let mut cursor = Cursor::new(&wire);
        assert_eq!(cursor.tag().unwrap(), Some((1, GROUP)));
        assert_eq!(cursor.group(1).unwrap(), &wire[1..5]);
        assert_eq!(cursor.tag().unwrap(), Some((4, VARINT)));
        assert!(Cursor::new(&[0x10, 5]).group(1).is_err());
        assert!(Cursor::new(&[0x0b; 500]).group(1).is_err());
    }
}
