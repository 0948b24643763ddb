//! A value that an environment may change: the default in the kustomize tree, a Helm expression in the chart.

use serde_json::{Value, json};
use std::cell::RefCell;

/// For whom objects are rendered.
pub enum Target {
    Kustomize,
    /// Keeps the defaults of the knobs that were asked for: they become the chart's `values.yaml`.
    Chart(RefCell<Value>),
}

impl Target {
    pub fn chart() -> Target {
        Target::Chart(RefCell::new(json!({})))
    }

    /// `path` below `.Values`: `resources`, `hpa.maxReplicas`.
    pub fn knob(&self, path: &str, default: Value) -> Value {
        let Target::Chart(values) = self else { return default };
        insert(&mut values.borrow_mut(), path, default);
        expression(&format!("toJson .Values.{path}"))
    }

    /// A Helm expression that shows no default of its own in `values.yaml`.
    pub fn computed(&self, helm: &str, default: Value) -> Value {
        match self {
            Target::Kustomize => default,
            Target::Chart(_) => expression(&format!("toJson ({helm})")),
        }
    }

    /// A key that is left out as long as nobody sets `path`; `helm` makes its value from `.`, what was set.
    pub fn optional(&self, path: &str, default: Option<&str>, helm: &str, value: Value) -> Value {
        let Target::Chart(values) = self else { return default.map_or(Value::Null, |_| value) };
        insert(&mut values.borrow_mut(), path, json!(default.unwrap_or_default()));
        hidden(OPTIONAL, &format!(".Values.{path}|{helm}"))
    }

    /// As `knob`, but a value for the whole market counts more: `.Values.global.<global>`.
    pub fn shared_knob(&self, path: &str, global: &str, default: Value) -> Value {
        let Target::Chart(values) = self else { return default };
        insert(&mut values.borrow_mut(), path, default);
        expression(&format!("toJson (coalesce .Values.global.{global} .Values.{path})"))
    }

    /// Text with `{{ .Values.<path> }}` in place of `default`.
    pub fn inside(&self, path: &str, default: &str, text: &str) -> Value {
        let Target::Chart(values) = self else { return json!(text) };
        insert(&mut values.borrow_mut(), path, json!(default));
        let format = text.replace('%', "%%").replace(default, "%s");
        let times = vec![format!(".Values.{path}"); text.matches(default).count()].join(" ");
        expression(&format!("toJson (printf {format:?} {times})"))
    }

    /// The defaults that were asked for.
    pub fn values(self) -> Value {
        match self {
            Target::Kustomize => json!({}),
            Target::Chart(values) => values.into_inner(),
        }
    }
}

fn insert(values: &mut Value, path: &str, default: Value) {
    let mut at = values;
    for part in path.split('.') {
        at = &mut at[part];
    }
    *at = default;
}

const OPEN: &str = "KNOBx";
const OPTIONAL: &str = "KNOBOPTIONALx";
const QUOTED: &str = "KNOBQUOTEDx";

fn expression(helm: &str) -> Value {
    hidden(OPEN, helm)
}

/// In letters and digits, so that no YAML printer quotes it.
fn hidden(open: &str, helm: &str) -> Value {
    let hex: String = helm.bytes().map(|b| format!("{b:02x}")).collect();
    Value::String(format!("{open}{hex}x"))
}

/// Text that is printed in quotation marks.
pub(crate) fn quoted(text: &str) -> Value {
    hidden(QUOTED, text)
}

/// Puts `{{ … }}` where knobs were hidden.
pub(crate) fn expand(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    if let Some((key, rest)) = line.split_once(OPTIONAL) {
        let (helm, end) = shown(rest);
        let (set, value) = helm.split_once('|').expect("what is set, and what is made of it");
        return format!("{{{{- with {set} }}}}\n{key}{{{{ toJson {value} }}}}\n{{{{- end }}}}{end}");
    }
    let line = replace(line, QUOTED, |text| format!("{text:?}"));
    replace(&line, OPEN, |helm| format!("{{{{ {helm} }}}}"))
}

fn replace(line: &str, open: &str, show: fn(&str) -> String) -> String {
    let mut parts = line.split(open);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (text, rest) = shown(part);
        out.push_str(&show(&text));
        out.push_str(rest);
    }
    out
}

fn shown(part: &str) -> (String, &str) {
    let (hex, rest) = part.split_once('x').expect("every knob is closed");
    let bytes = hex.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(digits, 16).expect("hexadecimal digits")
    });
    (String::from_utf8(bytes.collect()).expect("an expression is text"), rest)
}

/// Text that is no template, as a template: `{{` stays `{{`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        out.push_str(&rest[..at]);
        out.push_str("{{ \"{{\" }}");
        rest = &rest[at + 2..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knob_is_its_default_or_an_expression_whose_default_is_kept() {
        assert_eq!(Target::Kustomize.knob("hpa.max", json!(6)), json!(6));
        let chart = Target::chart();
        let text = crate::files::yaml(&[json!({"max": chart.knob("hpa.max", json!(6))})]);
        assert_eq!(text, "max: {{ toJson .Values.hpa.max }}\n");
        let text =
            crate::files::yaml(&[json!({"a": {"class": chart.optional("class", None, ".", json!(""))}, "b": 1})]);
        assert_eq!(text, "a:\n{{- with .Values.class }}\n  class: {{ toJson . }}\n{{- end }}\nb: 1\n");
        assert_eq!(chart.values(), json!({"hpa": {"max": 6}, "class": ""}));
        assert_eq!(escape("a {{ $x }} b"), "a {{ \"{{\" }} $x }} b");
    }
}
