//! `impl Checked` for every message: the `buf.validate` rules of its fields as plain Rust.
//!
//! A rule that isn't generated stops the build and names its field, so that no rule is ever
//! written in a proto and then not checked. CEL rules are among those.

use crate::{Result, ident, messages, rust_path, snake};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, OneofDescriptor, Value,
};
use std::fmt::Write;

const IGNORE_IF_ZERO_VALUE: i32 = 1;
const IGNORE_ALWAYS: i32 = 3;

pub fn generate(pool: &DescriptorPool) -> Result<String> {
    let rules =
        pool.get_extension_by_name("buf.validate.field").ok_or("buf/validate/validate.proto is not imported")?;
    let mut code = String::new();
    for m in messages(pool) {
        let mut checks = String::new();
        for f in m.fields() {
            field(&f, &rules, &mut checks).map_err(|e| format!("{}: {e}", f.full_name()))?;
        }
        for o in m.oneofs().filter(|o| !o.is_synthetic()) {
            if one_of(&o).map_err(|e| format!("{}: {e}", o.full_name()))? {
                let field = ident(&snake(o.name()));
                write!(checks, "if self.{field}.is_none() {{ rules::required(&path.field({:?}), out); }}", o.name())?;
            }
        }
        if m.options().extensions().any(|(e, _)| e.full_name() == "buf.validate.message") {
            return Err(format!("{}: rules of a whole message are not generated", m.full_name()).into());
        }
        let request_id = match m.get_field_by_name("request_id") {
            Some(f) if f.kind() == Kind::String && !f.is_list() && !f.supports_presence() => {
                "fn request_id(&self) -> &str { &self.request_id }"
            }
            _ => "",
        };
        let args = if checks.is_empty() {
            "_path: &Path<'_>, _out: &mut Vec<Violation>"
        } else {
            "path: &Path<'_>, out: &mut Vec<Violation>"
        };
        writeln!(code, "impl Checked for {} {{ fn check(&self, {args}) {{ {checks} }} {request_id} }}", rust_path(&m))?;
    }
    Ok(code)
}

fn field(f: &FieldDescriptor, extension: &ExtensionDescriptor, out: &mut String) -> Result {
    let rules = match f.options().has_extension(extension) {
        true => f.options().get_extension(extension).as_message().cloned(),
        false => None,
    };
    let rules =
        rules.unwrap_or_else(|| DynamicMessage::new(extension.kind().as_message().expect("FieldRules").clone()));
    let ignore = rules.get_field_by_name("ignore").and_then(|v| v.as_enum_number()).unwrap_or(0);
    if ignore == IGNORE_ALWAYS {
        return Ok(());
    }
    let one_of = f.containing_oneof().filter(|o| !o.is_synthetic());
    let name = ident(f.name());
    let path = format!("&path.field({:?})", f.name());
    let mut checks = String::new();
    let mut required = false;
    for (rule, value) in rules.fields() {
        match rule.name() {
            "required" => required = value.as_bool().unwrap_or(false),
            "ignore" => {}
            "cel" | "cel_expression" => return Err("CEL rules are not generated".into()),
            _ => {
                let value = value.as_message().ok_or("a rule set is a message")?;
                if f.is_list() || f.is_map() {
                    collection(f, rule.name(), value, &mut checks)?;
                } else {
                    scalar(&f.kind(), rule.name(), value, "v", "p", &mut checks)?;
                }
            }
        }
    }
    if f.is_list() && ours(&f.kind()) {
        checks.push_str("for (i, m) in v.iter().enumerate() { m.check(&p.index(i), out); }");
    }
    if let (true, Kind::Message(entry)) = (f.is_map(), f.kind())
        && ours(&entry.map_entry_value_field().kind())
    {
        checks.push_str("for (k, m) in v { m.check(&p.key(k), out); }");
    }
    if !f.is_list() && !f.is_map() && ours(&f.kind()) {
        checks.push_str("v.check(p, out);");
    }
    if required && one_of.is_some() {
        return Err("a member of a oneof can't be required".into());
    }
    if required {
        let missing = match (f.supports_presence(), f.is_list() || f.is_map(), f.kind()) {
            (true, ..) => format!("self.{name}.is_none()"),
            (_, true, _) | (.., Kind::String | Kind::Bytes) => format!("self.{name}.is_empty()"),
            _ => format!("rules::is_zero(&self.{name})"),
        };
        write!(out, "if {missing} {{ rules::required({path}, out); }} else")?;
        if checks.is_empty() {
            out.push_str(" {}");
        }
    }
    if checks.is_empty() {
        return Ok(());
    }
    let unused = if checks.contains('p') { "" } else { "_" };
    let body = format!("let {unused}p = {path}; {checks}");
    if let Some(o) = one_of {
        let parent = rust_path(o.parent_message());
        let (module, message) = parent.rsplit_once("::").expect("a path");
        let variant = format!("{module}::{}::{}::{}", ident(&snake(message)), pascal(o.name()), pascal(f.name()));
        write!(out, " if let Some({variant}(v)) = &self.{} {{ {body} }}", ident(&snake(o.name())))?;
    } else if f.supports_presence() {
        write!(out, " if let Some(v) = &self.{name} {{ {body} }}")?;
    } else if ignore == IGNORE_IF_ZERO_VALUE {
        write!(out, " if !rules::is_zero(&self.{name}) {{ let v = &self.{name}; {body} }}")?;
    } else {
        write!(out, " {{ let v = &self.{name}; {body} }}")?;
    }
    Ok(())
}

/// Whether one of the members must be set.
fn one_of(o: &OneofDescriptor) -> Result<bool> {
    let options = o.options();
    let Some((_, rules)) = options.extensions().find(|(e, _)| e.full_name() == "buf.validate.oneof") else {
        return Ok(false);
    };
    let mut required = false;
    for (rule, value) in rules.as_message().ok_or("oneof rules are a message")?.fields() {
        match rule.name() {
            "required" => required = value.as_bool().unwrap_or(false),
            other => return Err(format!("rule oneof.{other} is not generated").into()),
        }
    }
    Ok(required)
}

fn ours(kind: &Kind) -> bool {
    kind.as_message().is_some_and(|m| m.package_name().starts_with("jangteo.") && !m.is_map_entry())
}

fn pascal(name: &str) -> String {
    let capital = |w: &str| w[..1].to_uppercase() + &w[1..];
    name.split('_').filter(|w| !w.is_empty()).map(capital).collect()
}

fn collection(f: &FieldDescriptor, kind: &str, rules: &DynamicMessage, code: &mut String) -> Result {
    let (mut min, mut max) = (0, u64::MAX);
    let mut items = String::new();
    let out = &mut items;
    for (rule, value) in rules.fields() {
        match rule.name() {
            "min_items" | "min_pairs" => min = value.as_u64().unwrap_or(0),
            "max_items" | "max_pairs" => max = value.as_u64().unwrap_or(u64::MAX),
            "unique" => out.push_str("rules::unique(p, v, out);"),
            "items" => {
                let mut item = String::new();
                element(&f.kind(), value, "v", "p", &mut item)?;
                write!(out, "for (i, v) in v.iter().enumerate() {{ let p = &p.index(i); {item} }}")?;
            }
            "keys" | "values" => {
                let Kind::Message(entry) = f.kind() else { return Err("not a map".into()) };
                let keys = rule.name() == "keys";
                let kind = if keys { entry.map_entry_key_field().kind() } else { entry.map_entry_value_field().kind() };
                let mut item = String::new();
                element(&kind, value, if keys { "k" } else { "v" }, "p", &mut item)?;
                let pattern = if keys { "(k, _)" } else { "(k, v)" };
                write!(out, "for {pattern} in v {{ let p = &p.key(k); {item} }}")?;
            }
            other => return Err(format!("rule {kind}.{other} is not generated").into()),
        }
    }
    // Too many items are not looked at one by one: that would be the sender's way to keep us busy.
    match (min, max) {
        (0, u64::MAX) => code.push_str(&items),
        _ => write!(code, "if rules::size(p, v.len() as u64, {min}, {max}, out) {{ {items} }}")?,
    }
    Ok(())
}

/// The rules of one list item, map key or map value.
fn element(kind: &Kind, rules: &Value, v: &str, p: &str, out: &mut String) -> Result {
    for (rule, value) in rules.as_message().ok_or("element rules are a message")?.fields() {
        match value.as_message() {
            Some(value) if !rule.name().starts_with("cel") => scalar(kind, rule.name(), value, v, p, out)?,
            _ => return Err(format!("rule {} of an element is not generated", rule.name()).into()),
        }
    }
    Ok(())
}

fn scalar(kind: &Kind, set: &str, rules: &DynamicMessage, v: &str, p: &str, out: &mut String) -> Result {
    let mut fields = String::new();
    let set_type = match set {
        "string" => "StringRules",
        "bytes" => "BytesRules",
        "bool" => "BoolRules",
        "enum" => "EnumRules",
        "duration" => "DurationRules",
        "float" | "double" => "FloatRules",
        _ => "NumberRules",
    };
    for (rule, value) in rules.fields() {
        let rule = rule.name();
        let text = match (set, rule, value) {
            (_, "example", _) => continue,
            ("string", "pattern", Value::String(s)) => {
                regex::Regex::new(s)?;
                format!("Some({{ static P: rules::Pattern = rules::Pattern::new({s:?}, || rules::regex({s:?})); &P }})")
            }
            ("string" | "bytes", _, Value::U64(n)) => format!("Some({n})"),
            ("string", "const" | "prefix" | "suffix" | "contains" | "not_contains", Value::String(s)) => {
                format!("Some({s:?})")
            }
            ("string", "in" | "not_in", Value::List(l)) => {
                format!(
                    "&[{}]",
                    l.iter().map(|s| format!("{:?}", s.as_str().unwrap_or(""))).collect::<Vec<_>>().join(",")
                )
            }
            ("string", "email" | "hostname" | "ip" | "ipv4" | "ipv6" | "uri" | "uuid", Value::Bool(b)) => b.to_string(),
            ("bool", "const", Value::Bool(b)) => format!("Some({b})"),
            ("enum", "const", Value::I32(n)) => format!("Some({n})"),
            ("enum", "defined_only", Value::Bool(true)) => {
                let Kind::Enum(e) = kind else { return Err("enum rules on another kind".into()) };
                format!("&[{}]", e.values().map(|v| v.number().to_string()).collect::<Vec<_>>().join(","))
            }
            ("enum", "in" | "not_in", Value::List(l)) => list(l)?,
            ("duration", "gt" | "gte" | "lt" | "lte", Value::Message(m)) => {
                let part = |n: &str| m.get_field_by_name(n).map(|v| v.into_owned());
                let (Some(Value::I64(s)), Some(Value::I32(n))) = (part("seconds"), part("nanos")) else {
                    return Err("a bound is a duration".into());
                };
                format!("Some(({s}, {n}))")
            }
            ("float" | "double", "finite", Value::Bool(b)) => b.to_string(),
            (_, "const" | "gt" | "gte" | "lt" | "lte", n) if set_type.starts_with(['N', 'F']) => {
                format!("Some({})", number(n)?)
            }
            (_, "in" | "not_in", Value::List(l)) if set_type == "NumberRules" => list(l)?,
            _ => return Err(format!("rule {set}.{rule} is not generated").into()),
        };
        write!(fields, "{}: {text}, ", if rule == "const" { "equal".into() } else { ident(rule) })?;
    }
    write!(out, "rules::{set_type} {{ {fields}..rules::{set_type}::NONE }}.check({p}, {v}, out);")?;
    Ok(())
}

fn number(v: &Value) -> Result<String> {
    Ok(match v {
        Value::I32(n) => n.to_string(),
        Value::I64(n) => n.to_string(),
        Value::U32(n) => n.to_string(),
        Value::U64(n) => n.to_string(),
        Value::F32(n) => format!("{n:?}"),
        Value::F64(n) => format!("{n:?}"),
        other => return Err(format!("{other:?} is no number").into()),
    })
}

fn list(values: &[Value]) -> Result<String> {
    Ok(format!("&[{}]", values.iter().map(number).collect::<Result<Vec<_>>>()?.join(",")))
}
