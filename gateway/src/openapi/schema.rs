//! Messages and enums as JSON Schema, in the shape of proto3 JSON.
//! <https://protobuf.dev/programming-guides/json/>

use super::{comments::Comments, described, rules};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

const SIGNED: &str = "^(0|-?[1-9][0-9]{0,18})$";
pub(super) const UNSIGNED: &str = "^(0|[1-9][0-9]{0,19})$";
const DURATION: &str = "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$";
const FIELD_MASK: &str = "^([a-z][a-zA-Z0-9]*(\\.[a-z][a-zA-Z0-9]*)*(,[a-z][a-zA-Z0-9]*(\\.[a-z][a-zA-Z0-9]*)*)*)?$";
const BASE64: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

pub(super) struct Schemas {
    pub comments: Comments,
    done: Map<String, Value>,
}

impl Schemas {
    pub fn new(comments: Comments) -> Schemas {
        let mut done = Map::new();
        done.insert("google.rpc.Status".into(), status());
        Schemas { comments, done }
    }

    pub fn finish(self) -> Map<String, Value> {
        self.done
    }

    /// The schema of a field's value, with its comment and rules.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!("a map's entries are messages") };
            let value = self.kind(&entry.map_entry_value_field().kind());
            json!({"type": "object", "additionalProperties": value})
        } else if field.is_list() {
            json!({"type": "array", "items": self.kind(&field.kind())})
        } else {
            self.kind(&field.kind())
        };
        if let Some(object) = schema.as_object_mut() {
            rules::apply(field, object);
            if let Some(one) = field.containing_oneof().filter(|o| !o.is_synthetic()) {
                object.insert("x-oneof".into(), one.name().into());
            }
        }
        described(schema, &self.comments.at(&field.parent_message().parent_file(), field.path()))
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": SIGNED})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64", "pattern": UNSIGNED}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64}),
            Kind::Enum(e) => self.enumeration(e),
            Kind::Message(m) => self.reference(m),
        }
    }

    /// A reference to the message's schema, which is made if it isn't there yet.
    pub fn reference(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(known) = well_known(message.full_name()) {
            return known;
        }
        let name = message.full_name().to_owned();
        if !self.done.contains_key(&name) {
            // Its place is taken first, so that a message may hold itself.
            self.done.insert(name.clone(), Value::Null);
            let schema = self.object(message, &[]);
            self.done.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// The message without the fields that the path holds already.
    pub fn message_without(&mut self, message: &MessageDescriptor, paths: &[&str]) -> Value {
        let some = message.fields().any(|f| paths.contains(&f.name()));
        if some { self.object(message, paths) } else { self.reference(message) }
    }

    /// Whether a message must have any field.
    pub fn requires(&self, schema: &Value) -> bool {
        let name = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/components/schemas/"));
        name.and_then(|n| self.done.get(n)).unwrap_or(schema).get("required").is_some()
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|f| !without.contains(&f.name())) {
            if rules::is_required(&field) {
                required.push(Value::from(field.json_name()));
            }
            let schema = self.field(&field);
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        described(schema, &self.comments.at(&message.parent_file(), message.path()))
    }

    fn enumeration(&mut self, e: &EnumDescriptor) -> Value {
        let name = e.full_name().to_owned();
        if name == "google.protobuf.NullValue" {
            return json!({"type": "null"});
        }
        if !self.done.contains_key(&name) {
            let file = e.parent_file();
            let lines = e.values().filter_map(|v| {
                let text = self.comments.at(&file, v.path());
                (!text.is_empty()).then(|| format!("- `{}`: {}", v.name(), text.replace('\n', " ")))
            });
            let values = lines.collect::<Vec<_>>().join("\n");
            let text = [self.comments.at(&file, e.path()), values].join("\n\n");
            let names: Vec<Value> = e.values().map(|v| v.name().into()).collect();
            self.done.insert(name.clone(), described(json!({"type": "string", "enum": names}), text.trim()));
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn well_known(name: &str) -> Option<Value> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "format": "duration-seconds", "pattern": DURATION}),
        "FieldMask" => json!({"type": "string", "format": "field-mask", "pattern": FIELD_MASK}),
        "Empty" => json!({"type": "object", "additionalProperties": false}),
        "Struct" => json!({"type": "object"}),
        "ListValue" => json!({"type": "array", "items": {}}),
        "Value" => json!({}),
        "Any" => json!({
            "type": "object",
            "properties": {"@type": {"type": "string"}},
            "required": ["@type"],
            "additionalProperties": true,
        }),
        "BoolValue" => json!({"type": ["boolean", "null"]}),
        "Int32Value" => json!({"type": ["integer", "null"], "format": "int32"}),
        "UInt32Value" => json!({"type": ["integer", "null"], "format": "uint32", "minimum": 0}),
        "FloatValue" => json!({"type": ["number", "null"], "format": "float"}),
        "DoubleValue" => json!({"type": ["number", "null"], "format": "double"}),
        "Int64Value" => json!({"type": ["string", "null"], "format": "int64", "pattern": SIGNED}),
        "UInt64Value" => json!({"type": ["string", "null"], "format": "uint64", "pattern": UNSIGNED}),
        "StringValue" => json!({"type": ["string", "null"]}),
        "BytesValue" => json!({"type": ["string", "null"], "contentEncoding": "base64", "pattern": BASE64}),
        _ => return None,
    })
}

/// The same for every descriptor set, whether it holds google.rpc or not.
fn status() -> Value {
    json!({
        "type": "object",
        "description": "Why a request failed. <https://google.aip.dev/193>",
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "The gRPC code."},
            "message": {"type": "string", "description": "For developers, in English."},
            "details": {
                "type": "array",
                "description": "One google.rpc.ErrorInfo with the reason, and what else helps.",
                "items": {
                    "type": "object",
                    "properties": {"@type": {"type": "string"}},
                    "required": ["@type"],
                    "additionalProperties": true,
                },
            },
        },
        "required": ["code", "message"],
    })
}
