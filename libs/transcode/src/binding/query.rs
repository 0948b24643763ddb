//! Query parameters: names are paths of proto or JSON names, values are text.

use std::borrow::Cow;

use super::{Binding, Body, Steps, request};
use crate::error::{Error, Kind, Place, Result};
use crate::plan::{Form, Shape, Type};
use crate::routes::form_decode;
use crate::{json_to_wire, wire};

/// A parameter's name resolved.
struct Parameter<'n> {
    steps: Steps,
    /// `labels[key]`
    key: Option<&'n str>,
}

/// Appends all parameters; true if the update mask was among them. `has_body`: the body has said something.
pub(super) fn bind(
    binding: &Binding,
    captures: &[Cow<'_, str>],
    query: &str,
    has_body: bool,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let mut earlier: Vec<(Steps, Option<String>)> = Vec::new();
    let mut masked = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decode(raw_name).map_err(|error| error.named(raw_name))?;
        let fail = |error: Error| error.of(Place::Query).without_offset().named(&name);
        let value = form_decode(raw_value).map_err(fail)?;
        let Some(parameter) = resolve(binding, &name).map_err(fail)? else { continue };
        let repeats = check(binding, &parameter, &value, captures, has_body, &earlier).map_err(fail)?;
        masked |= Some(parameter.steps[0]) == binding.mask;
        if !repeats {
            put(binding, &parameter, &value, out).map_err(fail)?;
            earlier.push((parameter.steps, parameter.key.map(str::to_owned)));
        }
    }
    Ok(masked)
}

/// Finds the field. `None`: unknown, and unknown ones are to be ignored.
fn resolve<'n>(binding: &Binding, name: &'n str) -> Result<Option<Parameter<'n>>> {
    let types = binding.method.types();
    let unknown = || match types.options.ignore_unknown {
        true => Ok(None),
        false => Err(Error::new(Kind::UnknownField, "unknown query parameter")),
    };
    if binding.body == Body::All {
        return unknown();
    }
    let (path, key) = match name.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((path, key)) => (path, Some(key)),
        None => (name, None),
    };
    let mut plan = binding.input();
    let mut steps = Steps::new();
    let mut names = path.split('.').peekable();
    while let Some(part) = names.next() {
        let Some(index) = plan.names.get(part) else { return unknown() };
        let field = &plan.fields[index];
        if steps.is_empty() && binding.body_field == Some(index) {
            return unknown();
        }
        steps.push(index);
        if steps.len() > types.options.max_depth {
            return Err(Error::new(Kind::Depth, "nested too deep"));
        }
        if names.peek().is_none() {
            return match (&field.shape, key) {
                (Shape::Map { .. }, Some(_)) | (Shape::One | Shape::Many { .. }, None) => {
                    Ok(Some(Parameter { steps, key }))
                }
                (Shape::Map { .. }, None) => Err(Error::new(Kind::WrongType, "a map is written as name[key]=value")),
                _ => Err(Error::new(Kind::WrongType, "only a map has keys")),
            };
        }
        match field.ty {
            Type::Message(id) if field.is_one() && types.message(id).form == Form::Plain => plan = types.message(id),
            _ => return unknown(),
        }
    }
    unknown()
}

/// Refuses what contradicts the path, the body or an earlier parameter. True: it says again what the path says.
fn check(
    binding: &Binding,
    parameter: &Parameter<'_>,
    value: &str,
    captures: &[Cow<'_, str>],
    has_body: bool,
    earlier: &[(Steps, Option<String>)],
) -> Result<bool> {
    let types = binding.method.types();
    for (target, capture) in binding.targets.iter().zip(captures) {
        match meet(binding, target, &parameter.steps) {
            Meeting::Apart => {}
            Meeting::Same => {
                let field = request::leaf(types, binding.input(), target);
                let (mut path, mut query) = (Vec::new(), Vec::new());
                request::put_leaf(types, field, capture, &mut path)?;
                request::put_leaf(types, field, value, &mut query)?;
                if path == query {
                    return Ok(true);
                }
                return Err(Error::new(Kind::Conflict, "the query disagrees with the path"));
            }
            Meeting::Oneof | Meeting::Within => {
                return Err(Error::new(Kind::Conflict, "the path excludes this parameter"));
            }
        }
    }
    if let Some(body) = binding.body_field
        && has_body
        && meet(binding, &[body], &parameter.steps) != Meeting::Apart
    {
        return Err(Error::new(Kind::Oneof, "the body holds another member of the same oneof"));
    }
    let list = matches!(request::leaf(types, binding.input(), &parameter.steps).shape, Shape::Many { .. });
    for (steps, key) in earlier {
        match meet(binding, steps, &parameter.steps) {
            Meeting::Same if !list && key.as_deref() == parameter.key => {
                return Err(Error::new(Kind::Duplicate, "given twice"));
            }
            Meeting::Oneof => return Err(Error::new(Kind::Oneof, "another member of the same oneof is given")),
            _ => {}
        }
    }
    Ok(false)
}

/// How two field paths lie to each other.
#[derive(Debug, PartialEq, Eq)]
enum Meeting {
    Apart,
    Same,
    /// One is a part of the other.
    Within,
    /// Both choose in one oneof, and differently.
    Oneof,
}

fn meet(binding: &Binding, a: &[usize], b: &[usize]) -> Meeting {
    let types = binding.method.types();
    let mut plan = binding.input();
    for (x, y) in a.iter().zip(b) {
        let (p, q) = (&plan.fields[*x], &plan.fields[*y]);
        if x != y {
            return if p.slot == q.slot { Meeting::Oneof } else { Meeting::Apart };
        }
        if let Type::Message(id) = p.ty {
            plan = types.message(id);
        }
    }
    if a.len() == b.len() { Meeting::Same } else { Meeting::Within }
}

fn put(binding: &Binding, parameter: &Parameter<'_>, value: &str, out: &mut Vec<u8>) -> Result<()> {
    let types = binding.method.types();
    let plan = binding.input();
    let Some(key) = parameter.key else { return request::put_steps(types, plan, &parameter.steps, value, out) };
    // The messages around the map, then one entry.
    let mut opened = Vec::new();
    let mut at = plan;
    for (i, step) in parameter.steps.iter().enumerate() {
        let field = &at.fields[*step];
        field.put_tag(out);
        opened.push(wire::open(out));
        if let (Type::Message(id), true) = (field.ty, i + 1 < parameter.steps.len()) {
            at = types.message(id);
        }
    }
    let field = request::leaf(types, plan, &parameter.steps);
    let Shape::Map { key: key_type, value: value_type, .. } = field.shape else { return Ok(()) };
    out.push(1 << 3 | key_type.wire_type());
    json_to_wire::put_text(key_type, key, out)?;
    out.push(2 << 3 | value_type.wire_type());
    request::put_value(types, value_type, value, out)?;
    for mark in opened.into_iter().rev() {
        wire::close(out, mark);
    }
    Ok(())
}
