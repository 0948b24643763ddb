//! Properties against prost-reflect, which reads and writes the same formats by quite other means.

use std::collections::HashMap;

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as Described, MapKey, MessageDescriptor, SerializeOptions, Value,
};
use transcode::Kind;

use crate::json_table::CASES;
use crate::{ALL, pool, to_json, to_wire, types};

/// Random numbers that proptest can shrink.
struct Dice {
    rolls: Vec<u64>,
    at: usize,
}

impl Dice {
    fn roll(&mut self) -> u64 {
        self.at += 1;
        self.rolls.get(self.at - 1).copied().unwrap_or(0)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
    fn done(&self) -> bool {
        self.at >= self.rolls.len()
    }
    fn int(&mut self) -> u64 {
        let v = self.roll();
        v >> (v % 64)
    }
    fn text(&mut self) -> String {
        let alphabet =
            ['a', 'Z', '0', '"', '\\', '/', '\n', '\u{1}', '\u{7f}', 'é', '谷', '😁', ' ', '<', '\u{2028}', '_'];
        (0..self.below(20)).map(|_| alphabet[self.below(16) as usize]).collect()
    }
    fn path(&mut self) -> String {
        ["foo", "foo_bar", "a.b_c.d", "x1_y"][self.below(4) as usize].to_owned()
    }
}

fn scalar(kind: &Described, dice: &mut Dice, depth: u32) -> Value {
    match kind {
        // Of all others serde_json may lose the last bit.
        Described::Double => Value::F64(f64::from(dice.int() as i32) / 8.0),
        Described::Float => Value::F32(f32::from(dice.int() as i16) / 8.0),
        Described::Int32 | Described::Sint32 | Described::Sfixed32 => Value::I32(dice.int() as i32),
        Described::Int64 | Described::Sint64 | Described::Sfixed64 => Value::I64(dice.int() as i64),
        Described::Uint32 | Described::Fixed32 => Value::U32(dice.int() as u32),
        Described::Uint64 | Described::Fixed64 => Value::U64(dice.int()),
        Described::Bool => Value::Bool(dice.below(2) == 1),
        Described::String => Value::String(dice.text()),
        Described::Bytes => Value::Bytes((0..dice.below(20)).map(|_| dice.roll() as u8).collect::<Vec<_>>().into()),
        Described::Enum(e) if e.full_name() == "google.protobuf.NullValue" => Value::EnumNumber(0),
        Described::Enum(_) => Value::EnumNumber(dice.below(5) as i32 - 1),
        Described::Message(m) => Value::Message(message(m, dice, depth + 1)),
    }
}

/// A message that JSON can carry.
fn message(descriptor: &MessageDescriptor, dice: &mut Dice, depth: u32) -> DynamicMessage {
    let mut out = DynamicMessage::new(descriptor.clone());
    let mut set = |name: &str, value: Value| out.set_field_by_name(name, value);
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            set("seconds", Value::I64((dice.int() % 253_402_300_800) as i64 - 1000));
            set("nanos", Value::I32([0, 1, 1_000, 500_000_000, 999_999_999][dice.below(5) as usize]));
        }
        "google.protobuf.Duration" => {
            let sign = if dice.below(2) == 0 { 1 } else { -1 };
            set("seconds", Value::I64(sign * (dice.int() % 315_576_000_000) as i64));
            set("nanos", Value::I32(sign as i32 * [0, 1, 1_000, 500_000_000][dice.below(4) as usize]));
        }
        "google.protobuf.FieldMask" => {
            set("paths", Value::List((0..dice.below(3)).map(|_| Value::String(dice.path())).collect()));
        }
        "google.protobuf.Value" => {
            let choice = if depth > 6 { dice.below(4) } else { dice.below(6) };
            let names = ["null_value", "number_value", "string_value", "bool_value", "struct_value", "list_value"];
            let field = descriptor.get_field_by_name(names[choice as usize]).unwrap();
            set(field.name(), scalar(&field.kind(), dice, depth));
        }
        "google.protobuf.Any" => {
            let inner = message(&pool().get_message_by_name(ALL).unwrap(), dice, depth + 3);
            set("type_url", Value::String(format!("type.googleapis.com/{ALL}")));
            set("value", Value::Bytes(inner.encode_to_vec().into()));
        }
        _ => {
            let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
            let count = if depth > 6 || fields.is_empty() { 0 } else { dice.below(if depth == 0 { 12 } else { 4 }) };
            for _ in 0..count {
                if dice.done() {
                    break;
                }
                let field = &fields[dice.below(fields.len() as u64) as usize];
                out.set_field(field, field_value(field, dice, depth));
            }
        }
    }
    out
}

fn field_value(field: &FieldDescriptor, dice: &mut Dice, depth: u32) -> Value {
    let kind = field.kind();
    if field.is_map() {
        let entry = kind.as_message().unwrap();
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        let most = if dice.below(10) == 0 { 40 } else { 4 };
        for _ in 0..dice.below(most) {
            let key = match scalar(&key, dice, depth) {
                Value::I32(v) => MapKey::I32(v),
                Value::I64(v) => MapKey::I64(v),
                Value::U32(v) => MapKey::U32(v),
                Value::U64(v) => MapKey::U64(v),
                Value::Bool(v) => MapKey::Bool(v),
                Value::String(v) => MapKey::String(v),
                other => panic!("{other:?} is no key"),
            };
            map.insert(key, scalar(&value, dice, depth));
        }
        Value::Map(map)
    } else if field.is_list() {
        Value::List((0..dice.below(4)).map(|_| scalar(&kind, dice, depth)).collect())
    } else {
        scalar(&kind, dice, depth)
    }
}

/// A message that shows itself as wire bytes: a dynamic one would show all its descriptors.
struct Sample(DynamicMessage);

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.0.encode_to_vec())
    }
}

fn any_message() -> impl Strategy<Value = Sample> {
    prop::collection::vec(any::<u64>(), 1..200)
        .prop_map(|rolls| Sample(message(&pool().get_message_by_name(ALL).unwrap(), &mut Dice { rolls, at: 0 }, 0)))
}

fn decode(wire: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(pool().get_message_by_name(ALL).unwrap(), wire).unwrap()
}

/// What prost-reflect reads from JSON.
fn read(json: &str) -> Result<DynamicMessage, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    DynamicMessage::deserialize(pool().get_message_by_name(ALL).unwrap(), &mut deserializer)
}

/// JSON with all numbers as floats and without Empty's value in an Any, which only some print.
pub fn normal(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::Number(n) => serde_json::json!(n.as_f64()),
        Json::Array(items) => items.into_iter().map(normal).collect(),
        Json::Object(members) => {
            let empty = members.get("@type").is_some_and(|t| t.as_str().is_some_and(|t| t.ends_with(".Empty")));
            members.into_iter().filter(|(k, _)| !(empty && k == "value")).map(|(k, v)| (k, normal(v))).collect()
        }
        other => other,
    }
}

/// Any holds bytes, and maps within them have no order: so messages are compared with their Any opened.
fn open(message: &DynamicMessage) -> String {
    let mut out = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut out), &SerializeOptions::new())
        .map(|()| normal(serde_json::from_slice(&out).unwrap()).to_string())
        .unwrap_or_else(|error| format!("{error}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn our_json_means_the_message(Sample(message) in any_message()) {
        let json = to_json(types(), ALL, &message.encode_to_vec()).unwrap();
        prop_assert_eq!(open(&read(&json).unwrap()), open(&message), "{}", json);
        let wire = to_wire(types(), ALL, json.as_bytes()).unwrap();
        prop_assert_eq!(open(&decode(&wire)), open(&message), "{}", &json);
        // The order of members is that of the wire, so a second round changes nothing.
        prop_assert_eq!(to_json(types(), ALL, &wire).unwrap(), json);
    }

    #[test]
    fn their_json_means_the_message(Sample(message) in any_message(), pretty in any::<bool>()) {
        let mut json = Vec::new();
        if pretty {
            message.serialize_with_options(&mut serde_json::Serializer::pretty(&mut json), &SerializeOptions::new()).unwrap();
        } else {
            let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
            message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).unwrap();
        }
        let wire = to_wire(types(), ALL, &json).unwrap();
        prop_assert_eq!(open(&decode(&wire)), open(&message));
    }

    /// To concatenate two encodings is to merge the messages.
    #[test]
    fn records_in_any_order_mean_what_a_parser_says(Sample(a) in any_message(), Sample(b) in any_message()) {
        let mut wire = a.encode_to_vec();
        wire.extend(b.encode_to_vec());
        match to_json(types(), ALL, &wire) {
            Ok(json) => prop_assert_eq!(open(&read(&json).unwrap()), open(&decode(&wire)), "{}", json),
            // Merged durations may have mixed signs.
            Err(error) => prop_assert_eq!(error.kind(), Kind::Unrepresentable),
        }
    }

    /// Every float comes back bit for bit, but that all NaN are one.
    #[test]
    fn floats_come_back(double in any::<u64>(), single in any::<u32>()) {
        let mut wire = vec![0x5d];
        wire.extend(single.to_le_bytes());
        wire.push(0x61);
        wire.extend(double.to_le_bytes());
        let (f32s, f64s) = (f32::from_bits(single), f64::from_bits(double));
        prop_assume!(!f32s.is_nan() && !f64s.is_nan() && single != 0 && double != 0);
        let json = to_json(types(), ALL, &wire).unwrap();
        prop_assert_eq!(to_wire(types(), ALL, json.as_bytes()).unwrap(), wire, "{}", json);
    }

    #[test]
    fn arbitrary_wire_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = to_json(types(), ALL, &bytes);
        let _ = to_json(types(), "transcode.test.v1.Legacy", &bytes);
        for known in ["Any", "Value", "Struct", "ListValue", "Timestamp", "Duration", "FieldMask", "StringValue"] {
            let _ = to_json(types(), &format!("google.protobuf.{known}"), &bytes);
        }
    }

    /// Damaged messages either fail or print JSON that is read again.
    #[test]
    fn damaged_wire_never_panics(Sample(message) in any_message(), damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6), cut in any::<usize>()) {
        let mut wire = message.encode_to_vec();
        wire.truncate(cut % (wire.len() + 1) + wire.len() / 2);
        for (at, byte) in damage {
            if !wire.is_empty() {
                let at = at % wire.len();
                wire[at] = byte;
            }
        }
        if let Ok(json) = to_json(types(), ALL, &wire) {
            let again = to_wire(types(), ALL, json.as_bytes());
            prop_assert!(again.is_ok(), "{}: {:?}", json, again);
        }
    }

    #[test]
    fn arbitrary_json_never_panics(text in "[\\[\\]{}:,\"\\\\a-z0-9eE.+ \u{0}-\u{20}é]{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = to_wire(types(), ALL, text.as_bytes());
        let _ = to_wire(types(), ALL, &bytes);
        let _ = to_wire(types(), ALL, format!("{{\"optionalValue\":{text}").as_bytes());
        let _ = to_wire(types(), ALL, format!("{{\"optionalAny\":{{{text}").as_bytes());
    }

    /// Damaged documents: what is accepted has one meaning, and serde_json calls it JSON.
    #[test]
    fn damaged_json_never_panics(case in 0..CASES.len(), damage in prop::collection::vec((any::<usize>(), any::<u8>(), any::<bool>()), 1..4)) {
        let mut json = CASES[case].1.as_bytes().to_vec();
        for (at, byte, replace) in damage {
            let at = at % (json.len() + 1);
            let byte = b"\"{}[],:0123456789eE.-+ntf\\u/ab \n"[byte as usize % 32];
            if replace && at < json.len() {
                json[at] = byte;
            } else {
                json.insert(at, byte);
            }
        }
        if let Ok(wire) = to_wire(types(), ALL, &json) {
            let text = String::from_utf8(json).unwrap();
            let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
            // serde_json has no numbers beyond doubles.
            prop_assert!(parsed.is_ok() || text.contains(['e', 'E']), "{}", text);
            let printed = to_json(types(), ALL, &wire);
            if let Ok(printed) = printed {
                prop_assert_eq!(open(&decode(&to_wire(types(), ALL, printed.as_bytes()).unwrap())), open(&decode(&wire)));
            }
        }
    }
}
