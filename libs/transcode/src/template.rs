//! Path templates of `google.api.http` (the grammar is in google/api/http.proto).
//!
//! ```text
//! Template = "/" [ Segments ] [ ":" LITERAL ]
//! Segments = Segment { "/" Segment }
//! Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
//! ```
//! Beyond the grammar `**` may be followed by further segments, as Envoy and grpc-gateway allow; it may come once.

use std::fmt;
use std::sync::Arc;

/// One segment of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Matches itself, byte for byte.
    Literal(String),
    /// `*`: one segment that is not empty.
    One,
    /// `**`: any number of segments.
    Any,
}

/// A variable and the segments it captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Proto field path, as `product.product_id`.
    pub path: String,
    /// First segment.
    pub start: usize,
    /// One past the last segment.
    pub end: usize,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: Arc<str>,
    segments: Vec<Segment>,
    captures: Vec<Capture>,
    verb: Option<String>,
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_literal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()+,;=@".contains(&b))
}

fn is_field_path(text: &str) -> bool {
    text.split('.').all(|name| {
        name.bytes().enumerate().all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
            && !name.is_empty()
    })
}

impl Template {
    /// Parses a template; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = |why: &str| Err(format!("path template {text:?}: {why}"));
        let Some(body) = text.strip_prefix('/') else { return fail("does not begin with a slash") };
        // A colon in braces is no verb, and field paths have none.
        let (body, verb) = match body.rfind(':') {
            Some(at) if !body[at..].contains(['}', '/']) => {
                let verb = &body[at + 1..];
                if !is_literal(verb) {
                    return fail("malformed verb after the colon");
                }
                (&body[..at], Some(verb.to_owned()))
            }
            _ => (body, None),
        };
        let mut template = Self { text: text.into(), segments: Vec::new(), captures: Vec::new(), verb };
        let mut rest = body;
        while !rest.is_empty() {
            let result = if let Some(inside) = rest.strip_prefix('{') {
                let Some((variable, tail)) = inside.split_once('}') else { return fail("brace without an end") };
                rest = tail;
                template.variable(variable)
            } else {
                let end = rest.find('/').unwrap_or(rest.len());
                let segment = &rest[..end];
                rest = &rest[end..];
                template.segment(segment)
            };
            if let Err(why) = result {
                return fail(&why);
            }
            rest = match rest.strip_prefix('/') {
                Some("") => return fail("ends with a slash"),
                Some(tail) => tail,
                None if rest.is_empty() => rest,
                None => return fail("a variable must be a whole segment"),
            };
        }
        if template.segments.is_empty() && template.verb.is_some() {
            return fail("a verb needs a segment before it");
        }
        if template.segments.iter().filter(|s| **s == Segment::Any).count() > 1 {
            return fail("\"**\" may come once");
        }
        Ok(template)
    }

    fn segment(&mut self, text: &str) -> Result<(), String> {
        self.segments.push(match text {
            "*" => Segment::One,
            "**" => Segment::Any,
            _ if is_literal(text) => Segment::Literal(text.to_owned()),
            _ => return Err(format!("malformed segment {text:?}")),
        });
        Ok(())
    }

    fn variable(&mut self, text: &str) -> Result<(), String> {
        let (path, pattern) = text.split_once('=').unwrap_or((text, "*"));
        if !is_field_path(path) {
            return Err(format!("malformed field path {path:?}"));
        }
        if self.captures.iter().any(|c| c.path == path) {
            return Err(format!("variable {path:?} comes twice"));
        }
        let start = self.segments.len();
        for segment in pattern.split('/') {
            self.segment(segment)?;
        }
        self.captures.push(Capture { path: path.to_owned(), start, end: self.segments.len() });
        Ok(())
    }

    /// As it was written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// All segments, those of variables included.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The variables in order.
    pub fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// What follows the last colon.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// The segments of a variable as written, `*` by default.
    pub(crate) fn pattern(&self, capture: &Capture) -> String {
        let parts = self.segments[capture.start..capture.end].iter().map(|s| match s {
            Segment::Literal(text) => text.as_str(),
            Segment::One => "*",
            Segment::Any => "**",
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Whether a variable may hold slashes.
    pub(crate) fn is_multi(&self, capture: &Capture) -> bool {
        capture.end - capture.start > 1 || self.segments[capture.start] == Segment::Any
    }

    /// The raw text that each variable captures of a path that matches (without its verb).
    pub(crate) fn capture<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let body = path.strip_prefix('/').unwrap_or(path);
        let count = if body.is_empty() { 0 } else { body.bytes().filter(|b| *b == b'/').count() + 1 };
        let wild = self.segments.iter().position(|s| *s == Segment::Any).unwrap_or(self.segments.len());
        let len = self.segments.len();
        // A position in the template as one in the path: what follows `**` counts from the end.
        let place = move |at: usize| if at <= wild { at } else { (count + at).saturating_sub(len) };
        self.captures.iter().map(move |capture| {
            let (from, to) = (place(capture.start), place(capture.end));
            if from >= to {
                return "";
            }
            let start = segment_start(body, from);
            let end = if to >= count { body.len() } else { segment_start(body, to).saturating_sub(1) };
            body.get(start..end).unwrap_or("")
        })
    }
}

/// Byte offset of the segment of that index.
fn segment_start(body: &str, index: usize) -> usize {
    match index {
        0 => 0,
        _ => memchr::memchr_iter(b'/', body.as_bytes()).nth(index - 1).map_or(body.len(), |at| at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(template: &str, path: &str) -> Vec<String> {
        Template::parse(template).unwrap().capture(path).map(str::to_owned).collect()
    }

    #[test]
    fn parses_what_the_grammar_has() {
        let t = Template::parse("/v1/{name=shelves/*/books/**}:read").unwrap();
        assert_eq!(t.verb(), Some("read"));
        assert_eq!(t.segments().len(), 5);
        assert_eq!(t.captures(), [Capture { path: "name".into(), start: 1, end: 5 }]);
        assert_eq!(t.pattern(&t.captures()[0]), "shelves/*/books/**");
        assert_eq!(t.to_string(), "/v1/{name=shelves/*/books/**}:read");
        assert_eq!(Template::parse("/").unwrap().segments(), []);
        assert_eq!(Template::parse("/.well-known/jwks.json").unwrap().segments().len(), 2);
        assert!(Template::parse("/a/{b.c_d.e1}/**/x").is_ok());
    }

    #[test]
    fn refuses_what_the_grammar_lacks() {
        for bad in [
            "",
            "v1",
            "//",
            "/v1/",
            "/v1//a",
            "/{",
            "/{}",
            "/{a",
            "/a}",
            "/{a}{b}",
            "/x{a}",
            "/{a}x",
            "/{a=}",
            "/{a=/b}",
            "/{a.}",
            "/{1a}",
            "/{a=b/}",
            "/{a}/{a}",
            "/**/**",
            "/{a=**}/{b=**}",
            "/{a={b}}",
            "/a:",
            "/a:b*",
            "/:x",
            "/a b",
            "/a?b",
            "/***",
            "/a*",
            "/{a-b}",
            "/a#",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn captures_count_from_both_ends() {
        assert_eq!(captured("/v1/{id}", "/v1/7"), ["7"]);
        assert_eq!(captured("/{a}/x/{b=**}", "/1/x/2/3"), ["1", "2/3"]);
        assert_eq!(captured("/{a}/x/{b=**}", "/1/x"), ["1", ""]);
        assert_eq!(captured("/{a=**}/x/{b}", "/1/2/3/x/4"), ["1/2/3", "4"]);
        assert_eq!(captured("/{a=**}/x/{b}", "/x/4"), ["", "4"]);
        assert_eq!(captured("/{n=p/*/**/q}/{z}", "/p/1/2/3/q/9"), ["p/1/2/3/q", "9"]);
        assert_eq!(captured("/{n=**}", "/"), [""]);
    }
}
