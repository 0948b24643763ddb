//! Path, query and body to the wire bytes of a request.
//!
//! Each part is written by itself, nested messages as often as needed: on the wire, to repeat a message is to merge it.

use std::borrow::Cow;

use super::{Binding, Body, query};
use crate::error::{Error, Kind, Place, Result};
use crate::json_to_wire::{Writer, known, put_text};
use crate::plan::{Field, Form, Message, Shape, Type, Types};
use crate::scan::Scan;
use crate::wire::{self, Cursor};
use crate::wkt::{self, MaskStyle};

/// What the client sent as body.
pub(crate) enum Input<'b> {
    Json(&'b [u8]),
    /// For `google.api.HttpBody`.
    Raw {
        content_type: &'b str,
        data: &'b [u8],
    },
}

impl Binding {
    /// Appends the request; after an error `out` is as it was.
    pub(crate) fn request(
        &self,
        captures: &[Cow<'_, str>],
        query: Option<&str>,
        input: Input<'_>,
        extras: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mark = out.len();
        let result = self.build(captures, query.unwrap_or(""), &input, extras, out);
        result.inspect_err(|_| out.truncate(mark))
    }

    fn build(
        &self,
        captures: &[Cow<'_, str>],
        query: &str,
        input: &Input<'_>,
        extras: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let types = self.method.types();
        let plan = self.input();
        let start = out.len();
        match *input {
            Input::Json(json) => self.json_body(json, out)?,
            Input::Raw { content_type, data } => self.raw_body(content_type, data, out)?,
        }
        let body_end = out.len();
        for ((steps, variable), text) in self.targets.iter().zip(&self.variables).zip(captures) {
            let named = |error: Error| error.of(Place::Path).without_offset().named(&variable.path);
            put_steps(types, plan, steps, text, out).map_err(named)?;
            if body_end > start
                && self.body_field.is_none_or(|index| plan.fields[index].slot == plan.fields[steps[0]].slot)
            {
                let mut value = Vec::new();
                put_leaf(types, leaf(types, plan, steps), text, &mut value).map_err(named)?;
                if !agrees(types, plan, steps, &value, &out[start..body_end])? {
                    let message = "the body disagrees with the path";
                    let path = self.json_path(&variable.path);
                    return Err(Error::new(Kind::Conflict, message).named(&path));
                }
            }
        }
        let masked = query::bind(self, captures, query, body_end > start, out)?;
        if let (Some(mask), false, Input::Json(json)) = (self.mask, masked, input) {
            self.fill_mask(mask, json, out)?;
        }
        for (name, value) in extras {
            if let Some(index) = self.string_field(name)
                && !value.is_empty()
                && !is_set(plan.fields[index].number, &out[start..])?
            {
                plan.fields[index].put_tag(out);
                wire::put_varint(out, value.len() as u64);
                out.extend_from_slice(value.as_bytes());
            }
        }
        Ok(())
    }

    fn json_body(&self, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if json.is_empty() {
            return Ok(());
        }
        let types = self.method.types();
        match (&self.body, self.body_field) {
            (Body::None, _) if types.options.ignore_unknown || json.trim_ascii().is_empty() => Ok(()),
            (Body::None, _) => Err(Error::new(Kind::UnknownField, "this method takes no body").at(0)),
            (_, None) => Writer::new(types, json, out)?.document(self.method.input()),
            (_, Some(index)) => Writer::new(types, json, out)?.field_document(&self.input().fields[index]),
        }
    }

    pub(super) fn raw_body(&self, content_type: &str, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if !self.takes_http_body {
            return Err(Error::new(Kind::WrongType, "this method takes JSON"));
        }
        let nested = self.body_field.map(|index| {
            self.input().fields[index].put_tag(out);
            wire::open(out)
        });
        for (tag, bytes) in [(0x0a, content_type.as_bytes()), (0x12, data)] {
            if !bytes.is_empty() {
                out.push(tag);
                wire::put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
        if let Some(mark) = nested {
            wire::close(out, mark);
        }
        Ok(())
    }

    /// Names of the fields in the body, `null` ones too, as the update mask. The body has been read once already.
    fn fill_mask(&self, mask: usize, json: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let types = self.method.types();
        let input = self.input();
        let Some(body) = self.body_field else { return Ok(()) };
        let Type::Message(id) = input.fields[body].ty else { return Ok(()) };
        let plan = types.message(id);
        let mut scan = Scan::new(json)?;
        if scan.peek() != b'{' {
            return Ok(());
        }
        scan.bump();
        if scan.peek() == b'}' {
            return Ok(());
        }
        let start = out.len();
        input.fields[mask].put_tag(out);
        let list = wire::open(out);
        loop {
            scan.peek();
            let name = scan.string()?;
            scan.expect(b':')?;
            scan.skip(types.options.max_depth)?;
            // What the path says is no change.
            if let Some(index) = plan.names.get(&name)
                && !self.targets.iter().any(|steps| **steps == [body, index])
            {
                let path = plan.fields[index].name.as_bytes();
                out.push(0x0a);
                wire::put_varint(out, path.len() as u64);
                out.extend_from_slice(path);
            }
            if !scan.more(b'}')? {
                break;
            }
        }
        if out.len() == list + 1 {
            out.truncate(start);
        } else {
            wire::close(out, list);
        }
        Ok(())
    }
}

/// The field at the end of the steps.
pub(super) fn leaf<'t>(types: &'t Types, mut plan: &'t Message, steps: &[usize]) -> &'t Field {
    let mut field = &plan.fields[steps[0]];
    for step in &steps[1..] {
        if let Type::Message(id) = field.ty {
            plan = types.message(id);
        }
        field = &plan.fields[*step];
    }
    field
}

/// A value as a field within its messages, tags and all. A default that needs no presence is not written.
pub(super) fn put_steps(types: &Types, plan: &Message, steps: &[usize], text: &str, out: &mut Vec<u8>) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    let field = &plan.fields[*step];
    let mark = out.len();
    field.put_tag(out);
    if rest.is_empty() {
        let packed = matches!(field.shape, Shape::Many { packed: true }).then(|| wire::open(out));
        let body = out.len();
        put_leaf(types, field, text, out)?;
        if let Some(list) = packed {
            wire::close(out, list);
        } else if !field.presence && field.is_one() && out[body..].iter().all(|b| *b == 0) {
            out.truncate(mark);
        }
        return Ok(());
    }
    let Type::Message(id) = field.ty else { return Err(Error::new(Kind::WrongType, "has no fields")) };
    let content = wire::open(out);
    put_steps(types, types.message(id), rest, text, out)?;
    if out.len() == content + 1 {
        out.truncate(mark);
    } else {
        wire::close(out, content);
    }
    Ok(())
}

/// A value without tag from bare text; messages with their length.
pub(super) fn put_leaf(types: &Types, field: &Field, text: &str, out: &mut Vec<u8>) -> Result<()> {
    put_value(types, field.ty, text, out)
}

pub(super) fn put_value(types: &Types, ty: Type, text: &str, out: &mut Vec<u8>) -> Result<()> {
    match ty {
        Type::Enum(id) => {
            let plan = types.enum_(id);
            let number = match plan.number(text) {
                Some(number) => number,
                None => crate::text::parse_int(text)
                    .and_then(|v| v.i32())
                    .map_err(|_| Error::new(Kind::UnknownEnum, format!("unknown enum value {text:?}")))?,
            };
            wire::put_varint(out, i64::from(number) as u64);
            Ok(())
        }
        Type::Message(id) => {
            let plan = types.message(id);
            let mark = wire::open(out);
            match plan.form {
                Form::Timestamp => known::put_time(wkt::parse_timestamp(text)?, out)?,
                Form::Duration => known::put_time(wkt::parse_duration(text)?, out)?,
                Form::FieldMask => known::put_mask(text, MaskStyle::Any, out)?,
                Form::Wrapper => put_steps(types, plan, &[0], text, out)?,
                _ => return Err(Error::new(Kind::WrongType, "a message cannot be written as text")),
            }
            wire::close(out, mark);
            Ok(())
        }
        _ => put_text(ty, text, out),
    }
}

/// Whether what the wire says of this field, if anything, is this value; nor does it choose otherwise in a oneof.
fn agrees(types: &Types, plan: &Message, steps: &[usize], value: &[u8], wire: &[u8]) -> Result<bool> {
    let Some((step, rest)) = steps.split_first() else { return Ok(true) };
    let field = &plan.fields[*step];
    let mut cursor = Cursor::new(wire);
    while let Some((number, wire_type)) = cursor.tag()? {
        let before = cursor.rest();
        let payload = cursor.payload(number, wire_type)?;
        if number == field.number {
            let same = match field.ty {
                Type::Message(id) if !rest.is_empty() => agrees(types, types.message(id), rest, value, payload)?,
                _ => before[..before.len() - cursor.rest().len()] == *value,
            };
            if !same {
                return Ok(false);
            }
        } else if field.oneof.is_some()
            && plan.by_number(number).is_some_and(|index| plan.fields[index].slot == field.slot)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a top-level string is there and not empty.
fn is_set(field: u32, wire: &[u8]) -> Result<bool> {
    let mut cursor = Cursor::new(wire);
    while let Some((number, wire_type)) = cursor.tag()? {
        if !cursor.payload(number, wire_type)?.is_empty() && number == field {
            return Ok(true);
        }
    }
    Ok(false)
}
