//! Bindings: what a `google.api.http` rule takes from path, query and body, and gives back.
//!
//! The path is a security boundary: neither query nor body can say otherwise than it. All names are resolved, and all
//! mistakes refused, at load.

mod load;
mod query;
mod request;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind as Described, MessageDescriptor};

use crate::api::Method;
use crate::error::{Error, Place, Result};
use crate::plan::{Form, Message, Type};
use crate::template::Template;
use crate::wire::{self, Cursor};
use crate::wire_to_json::Reader;

pub(crate) use load::load;
pub(crate) use request::Input;

const HTTP_BODY: &str = "google.api.HttpBody";

/// What of the request the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// The whole message; then nothing comes from the query.
    All,
    /// One top-level field, by its proto name.
    Field(String),
}

/// What a request or a response body is.
#[derive(Debug, Clone)]
pub enum BodyType {
    /// A whole message.
    Message(MessageDescriptor),
    /// One field of a message.
    Field(FieldDescriptor),
}

/// A path variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Proto field path, as `product.product_id`.
    pub path: String,
    /// May hold slashes; then `%2F` stays as it is.
    pub multi: bool,
    /// Its segments, as `*` or `shelves/*`.
    pub pattern: String,
    /// The field that it fills.
    pub field: FieldDescriptor,
}

/// Content of a `google.api.HttpBody`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpBody<'w> {
    /// Value of the header `content-type`; may be empty.
    pub content_type: Cow<'w, str>,
    /// The body as it is.
    pub data: Cow<'w, [u8]>,
    /// Each a `google.protobuf.Any`.
    pub extensions: Vec<Cow<'w, [u8]>>,
}

/// A field within a message within…: indices into the plans, from the request down.
pub(crate) type Steps = Vec<usize>;

/// A method with one of its http rules.
pub struct Binding {
    method: Arc<Method>,
    verb: String,
    template: Template,
    body: Body,
    body_field: Option<usize>,
    response_field: Option<usize>,
    variables: Vec<Variable>,
    /// Where the variables go.
    targets: Vec<Steps>,
    /// The `update_mask` to be filled from the body.
    mask: Option<usize>,
    takes_http_body: bool,
    returns_http_body: bool,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({} {} -> {})", self.verb, self.template, self.method.full_name())
    }
}

impl Binding {
    /// The method.
    pub fn method(&self) -> &Arc<Method> {
        &self.method
    }

    /// "GET", a custom kind as written, or "*" for any.
    pub fn verb(&self) -> &str {
        &self.verb
    }

    /// The path.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// What the request body is.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Proto name of the field that is the response body, if it is not the whole message.
    pub fn response_body(&self) -> Option<&str> {
        self.response_field.map(|i| &*self.output().fields[i].name)
    }

    /// Path variables in template order.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Type of the request body, if there is one.
    pub fn body_descriptor(&self) -> Option<BodyType> {
        let input = self.method.descriptor().input();
        match &self.body {
            Body::None => None,
            Body::All => Some(BodyType::Message(input)),
            Body::Field(name) => input.get_field_by_name(name).map(BodyType::Field),
        }
    }

    /// Type of the response body.
    pub fn response_descriptor(&self) -> BodyType {
        let output = self.method.descriptor().output();
        match self.response_body().and_then(|name| output.get_field_by_name(name)) {
            Some(field) => BodyType::Field(field),
            None => BodyType::Message(output),
        }
    }

    /// Fields that may come in the query, with their JSON paths. A message within itself is left out.
    pub fn query_parameters(&self) -> Vec<(String, FieldDescriptor)> {
        let mut out = Vec::new();
        if self.body != Body::All {
            self.list_parameters(&self.method.descriptor().input(), "", "", &mut Vec::new(), &mut out);
        }
        out
    }

    fn list_parameters(
        &self,
        message: &MessageDescriptor,
        json: &str,
        proto: &str,
        within: &mut Vec<String>,
        out: &mut Vec<(String, FieldDescriptor)>,
    ) {
        if within.iter().any(|name| name == message.full_name()) {
            return;
        }
        within.push(message.full_name().to_owned());
        let types = self.method.types();
        for field in message.fields() {
            let proto_path = format!("{proto}{}", field.name());
            if self.body == Body::Field(proto_path.clone()) || self.variables.iter().any(|v| v.path == proto_path) {
                continue;
            }
            let json_path = format!("{json}{}", field.json_name());
            let kind = match (field.is_map(), field.kind()) {
                (true, Described::Message(entry)) => entry.map_entry_value_field().kind(),
                (_, kind) => kind,
            };
            let Described::Message(nested) = kind else {
                out.push((json_path, field));
                continue;
            };
            match types.get(nested.full_name()).map(|id| types.message(id).form) {
                Some(Form::Timestamp | Form::Duration | Form::FieldMask | Form::Wrapper) => {
                    out.push((json_path, field));
                }
                Some(Form::Plain) if !field.is_list() && !field.is_map() => {
                    let (json, proto) = (format!("{json_path}."), format!("{proto_path}."));
                    self.list_parameters(&nested, &json, &proto, within, out);
                }
                _ => {}
            }
        }
        within.pop();
    }

    /// Whether the request body is a `google.api.HttpBody`.
    pub fn takes_http_body(&self) -> bool {
        self.takes_http_body
    }

    /// Whether the response, or its `response_body`, is a `google.api.HttpBody`.
    pub fn returns_http_body(&self) -> bool {
        self.returns_http_body
    }

    /// Whether the request has such a singular string field, as `request_id`.
    pub fn has_string_field(&self, proto_name: &str) -> bool {
        self.string_field(proto_name).is_some()
    }

    fn string_field(&self, proto_name: &str) -> Option<usize> {
        let input = self.input();
        let index = input.names.get(proto_name)?;
        let field = &input.fields[index];
        (*field.name == *proto_name && field.ty == Type::String && field.is_one()).then_some(index)
    }

    /// A proto path of the request as a path into the JSON that the client sent: names of JSON, without the body
    /// field in front.
    pub fn json_path(&self, proto_path: &str) -> String {
        let path = self.method.types().json_path(self.method.input(), proto_path);
        match self.body_field {
            Some(index) => {
                let rest = path.strip_prefix(&*self.input().fields[index].json);
                match rest.map(|rest| (rest.strip_prefix('.'), rest)) {
                    Some((Some(rest), _)) => rest.to_owned(),
                    Some((None, rest)) if rest.is_empty() || rest.starts_with('[') => rest.to_owned(),
                    _ => path,
                }
            }
            None => path,
        }
    }

    fn input(&self) -> &Message {
        self.method.types().message(self.method.input())
    }

    fn output(&self) -> &Message {
        self.method.types().message(self.method.output())
    }

    /// Appends the JSON of one response message, `response_body` applied; after an error `out` is as it was.
    pub fn response(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let Some(index) = self.response_field else { return self.method.response(wire, out) };
        let mark = out.len();
        let types = self.method.types();
        let result = Reader::new(types, out).field(self.output(), index, wire);
        result.map_err(|error| {
            out.truncate(mark);
            error.of(Place::Response)
        })
    }

    /// Of a binding that takes a stream of `google.api.HttpBody`: appends a message behind the first, which has said all
    /// else, that holds a piece of the body.
    pub fn http_body_piece(&self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.raw_body("", data, out)
    }

    /// Of a binding that returns `google.api.HttpBody`: its content.
    pub fn response_http_body<'w>(&self, wire: &'w [u8]) -> Result<HttpBody<'w>> {
        let body = match self.response_field {
            None => Cow::Borrowed(wire),
            Some(index) => records(self.output().fields[index].number, wire)?,
        };
        match body {
            Cow::Borrowed(wire) => http_body(wire),
            Cow::Owned(wire) => http_body(&wire).map(|body| HttpBody {
                content_type: Cow::Owned(body.content_type.into_owned()),
                data: Cow::Owned(body.data.into_owned()),
                extensions: body.extensions.into_iter().map(|any| Cow::Owned(any.into_owned())).collect(),
            }),
        }
        .map_err(|error| error.of(Place::Response))
    }
}

/// The content of a singular message field, if it is there.
pub fn message_field(number: u32, wire: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
    let found = records(number, wire).map_err(|error| error.of(Place::Response))?;
    Ok((!found.is_empty()).then_some(found))
}

/// All records of a singular message field, merged; borrowed if there is one.
fn records(field: u32, wire: &[u8]) -> Result<Cow<'_, [u8]>> {
    let mut found: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut cursor = Cursor::new(wire);
    while let Some((number, wire_type)) = cursor.tag()? {
        if (number, wire_type) != (field, wire::LEN) {
            cursor.skip(number, wire_type)?;
            continue;
        }
        let bytes = cursor.bytes()?;
        if found.is_empty() {
            found = Cow::Borrowed(bytes);
        } else {
            found.to_mut().extend_from_slice(bytes);
        }
    }
    Ok(found)
}

fn http_body(wire: &[u8]) -> Result<HttpBody<'_>> {
    let (mut content_type, mut data): (&[u8], &[u8]) = (b"", b"");
    let mut extensions = Vec::new();
    let mut cursor = Cursor::new(wire);
    while let Some((number, wire_type)) = cursor.tag()? {
        match (number, wire_type) {
            (1, wire::LEN) => content_type = cursor.bytes()?,
            (2, wire::LEN) => data = cursor.bytes()?,
            (3, wire::LEN) => extensions.push(Cow::Borrowed(cursor.bytes()?)),
            _ => cursor.skip(number, wire_type)?,
        }
    }
    let content_type =
        std::str::from_utf8(content_type).map_err(|_| Error::wire("a content type that is not UTF-8"))?;
    Ok(HttpBody { content_type: Cow::Borrowed(content_type), data: Cow::Borrowed(data), extensions })
}
