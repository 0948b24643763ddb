//! From the `google.api.http` option of a method to its bindings.

use std::sync::Arc;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind as Described, Value};

use super::{Binding, Body, HTTP_BODY, Steps, Variable};
use crate::api::Method;
use crate::error::LoadError;
use crate::plan::{Form, Message, Type, Types};
use crate::template::Template;

/// All bindings of a method; none if it has no rule.
pub(crate) fn load(method: &Arc<Method>) -> Result<Vec<Binding>, LoadError> {
    let descriptor = method.descriptor();
    let Some(extension) = descriptor.parent_pool().get_extension_by_name("google.api.http") else {
        return Ok(Vec::new());
    };
    let options = descriptor.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let rule = options.get_extension(&extension);
    let fail = |reason: String| LoadError::new(method.full_name(), reason);
    let rule = rule.as_message().ok_or_else(|| fail("google.api.http is not a message".to_owned()))?;
    let mut bindings = vec![binding(method, rule).map_err(fail)?];
    for rule in more(rule) {
        if !more(&rule).is_empty() {
            return Err(fail("additional_bindings may not have additional_bindings".to_owned()));
        }
        bindings.push(binding(method, &rule).map_err(fail)?);
    }
    Ok(bindings)
}

fn more(rule: &DynamicMessage) -> Vec<DynamicMessage> {
    let rules = rule.get_field_by_name("additional_bindings");
    let rules = rules.as_deref().and_then(Value::as_list).unwrap_or_default();
    rules.iter().filter_map(Value::as_message).cloned().collect()
}

fn text(rule: &DynamicMessage, name: &str) -> String {
    rule.get_field_by_name(name).and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The HTTP verb and the path template.
fn pattern(rule: &DynamicMessage) -> Result<(String, String), String> {
    for verb in ["get", "put", "post", "delete", "patch"] {
        if rule.has_field_by_name(verb) {
            return Ok((verb.to_uppercase(), text(rule, verb)));
        }
    }
    let custom = rule.get_field_by_name("custom").filter(|_| rule.has_field_by_name("custom"));
    let Some(custom) = custom.as_deref().and_then(Value::as_message) else {
        return Err("http rule without a path".to_owned());
    };
    let kind = text(custom, "kind");
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if kind.is_empty() || !kind.bytes().all(token) {
        return Err(format!("custom kind {kind:?} is no HTTP method"));
    }
    Ok((kind, text(custom, "path")))
}

fn binding(method: &Arc<Method>, rule: &DynamicMessage) -> Result<Binding, String> {
    let types = method.types();
    let (input, output) = (types.message(method.input()), types.message(method.output()));
    if !text(rule, "selector").is_empty() {
        return Err("an http rule on a method has no selector".to_owned());
    }
    let (verb, path) = pattern(rule)?;
    let template = Template::parse(&path)?;
    let (mut variables, mut targets) = (Vec::new(), Vec::new());
    for capture in template.captures() {
        let (steps, field) = resolve(method, &capture.path)?;
        targets.push(steps);
        variables.push(Variable {
            path: capture.path.clone(),
            multi: template.is_multi(capture),
            pattern: template.pattern(capture),
            field,
        });
    }
    for (i, a) in targets.iter().enumerate() {
        if targets[..i].iter().any(|b| clash(types, input, a, b)) {
            return Err(format!("variable {:?} excludes another one", variables[i].path));
        }
    }
    let body = match text(rule, "body") {
        name if name.is_empty() => Body::None,
        name if name == "*" => Body::All,
        name => Body::Field(name),
    };
    if body != Body::None && matches!(verb.as_str(), "GET" | "HEAD") {
        return Err(format!("{verb} takes no body"));
    }
    let body_field = match &body {
        Body::Field(name) => Some(top_level(input, name, "body")?),
        _ => None,
    };
    if let Some(index) = body_field {
        if targets.iter().any(|steps| *steps == [index]) {
            return Err(format!("{:?} is both path variable and body", input.fields[index].name));
        }
        if targets.iter().any(|steps| steps[0] == index)
            && !matches!(input.fields[index].ty, Type::Message(_) if input.fields[index].is_one())
        {
            return Err(format!("path variables within body {:?}, which is no message", input.fields[index].name));
        }
    }
    let response_field = match text(rule, "response_body") {
        name if name.is_empty() => None,
        name => Some(top_level(output, &name, "response_body")?),
    };
    let is_http_body = |message: &Message, field: Option<usize>| match field {
        None => &*message.name == HTTP_BODY,
        Some(index) => {
            let field = &message.fields[index];
            field.is_one() && matches!(field.ty, Type::Message(id) if &*types.message(id).name == HTTP_BODY)
        }
    };
    let takes_http_body = body != Body::None && is_http_body(input, body_field);
    let returns_http_body = is_http_body(output, response_field);
    let mask = if types.options.fill_update_mask && verb == "PATCH" && plain_message(types, input, body_field) {
        input.names.get("update_mask").filter(|index| {
            let field = &input.fields[*index];
            let is_mask = matches!(field.ty, Type::Message(id) if types.message(id).form == Form::FieldMask);
            is_mask && field.is_one() && targets.iter().all(|steps| steps[0] != *index)
        })
    } else {
        None
    };
    Ok(Binding {
        method: Arc::clone(method),
        verb,
        template,
        body,
        body_field,
        response_field,
        variables,
        targets,
        mask,
        takes_http_body,
        returns_http_body,
    })
}

fn plain_message(types: &Types, message: &Message, field: Option<usize>) -> bool {
    field.is_some_and(|index| {
        let field = &message.fields[index];
        field.is_one() && matches!(field.ty, Type::Message(id) if types.message(id).form == Form::Plain)
    })
}

fn top_level(message: &Message, name: &str, what: &str) -> Result<usize, String> {
    let index = message.names.get(name).filter(|index| *message.fields[*index].name == *name);
    index.ok_or_else(|| format!("{what} {name:?} is no field of {}", message.name))
}

/// The field that a path variable fills.
fn resolve(method: &Method, path: &str) -> Result<(Steps, FieldDescriptor), String> {
    let types = method.types();
    let mut plan = types.message(method.input());
    let mut message = method.descriptor().input();
    let mut steps = Steps::new();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let index = top_level(plan, name, &format!("variable {path:?}:"))?;
        let field = &plan.fields[index];
        let Some(descriptor) = message.get_field_by_name(name) else {
            return Err(format!("variable {path:?}: {name:?} is no field of {}", plan.name));
        };
        steps.push(index);
        if !field.is_one() {
            return Err(format!("variable {path:?}: {name:?} is repeated"));
        }
        let nested = match field.ty {
            Type::Message(id) => Some(types.message(id)),
            Type::Group(_) => return Err(format!("variable {path:?}: {name:?} is a group")),
            _ => None,
        };
        if names.peek().is_none() {
            let text = nested.is_none_or(|plan| {
                matches!(plan.form, Form::Timestamp | Form::Duration | Form::FieldMask | Form::Wrapper)
            });
            return if text {
                Ok((steps, descriptor))
            } else {
                Err(format!("variable {path:?} is a message, not a scalar"))
            };
        }
        match (nested, descriptor.kind()) {
            (Some(next), Described::Message(inner)) if next.form == Form::Plain => {
                plan = next;
                message = inner;
            }
            _ => return Err(format!("variable {path:?}: {name:?} has no fields")),
        }
    }
    Err(format!("variable {path:?} is empty"))
}

/// Whether one path is within the other, or both choose in the same oneof.
fn clash<'t>(types: &'t Types, mut plan: &'t Message, a: &[usize], b: &[usize]) -> bool {
    for (x, y) in a.iter().zip(b) {
        let (p, q) = (&plan.fields[*x], &plan.fields[*y]);
        if x != y {
            return p.slot == q.slot;
        }
        if let Type::Message(id) = p.ty {
            plan = types.message(id);
        }
    }
    true
}
