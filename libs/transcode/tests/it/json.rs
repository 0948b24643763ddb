//! JSON to wire: the table, and what a table cannot say.

use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions};
use transcode::{Error, Kind, Options, Place};

use crate::json_table::{CASES, Verdict};
use crate::{ALL, pool, to_json, to_wire, types, types_with};

fn refused(json: &str) -> Error {
    to_wire(types(), ALL, json.as_bytes()).expect_err(json)
}

#[test]
fn the_table_holds() {
    let mut wrong = Vec::new();
    for (name, json, verdict) in CASES {
        let got = to_wire(types(), ALL, json.as_bytes()).and_then(|wire| to_json(types(), ALL, &wire));
        let right = match (verdict, &got) {
            (Verdict::Is(want), Ok(got)) => got == want,
            (Verdict::Same, Ok(got)) => got == json,
            (Verdict::No(kind), Err(error)) => error.kind() == *kind && error.place() == Place::Body,
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {json}\n  -> {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases are wrong:\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
    assert!(CASES.len() > 450, "{}", CASES.len());
}

#[test]
fn names_in_the_table_are_told_apart() {
    let mut names: Vec<_> = CASES.iter().map(|(name, ..)| name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name comes twice");
}

/// What is accepted means the same to another implementation.
#[test]
fn an_independent_decoder_agrees_with_the_table() {
    let all = pool().get_message_by_name(ALL).unwrap();
    for (name, json, verdict) in CASES {
        let want = match verdict {
            Verdict::Is(want) => *want,
            Verdict::Same => json,
            Verdict::No(_) => continue,
        };
        // To prost-reflect minus zero is a default, and an Any has a type.
        if ["float minus zero is a value", "any list", "any without type or fields"].contains(name) {
            continue;
        }
        let wire = to_wire(types(), ALL, json.as_bytes()).unwrap();
        let message = DynamicMessage::decode(all.clone(), wire.as_slice()).unwrap();
        let mut text = Vec::new();
        let options = SerializeOptions::new().skip_default_fields(true);
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options).expect(name);
        let (want, got): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(want).unwrap(), serde_json::from_slice(&text).unwrap());
        assert_eq!(crate::differential::normal(got), crate::differential::normal(want), "{name}");
    }
}

#[test]
fn errors_say_where() {
    for (json, path, offset) in [
        (r#"{"optionalInt32":"x"}"#, "optionalInt32", 20),
        (r#"{"optional_int32":true}"#, "optionalInt32", 18),
        (r#"{"repeatedInt32":[1,2,3,true]}"#, "repeatedInt32[3]", 24),
        (r#"{"repeatedNestedMessage":[{},{"a":"x"}]}"#, "repeatedNestedMessage[1].a", 37),
        (r#"{"mapStringString":{"a.b":1}}"#, r#"mapStringString["a.b"]"#, 26),
        (r#"{"mapStringNestedMessage":{"x":{"a":[]}}}"#, r#"mapStringNestedMessage["x"].a"#, 36),
        (r#"{"mapInt32Int32":{"7":"x"}}"#, r#"mapInt32Int32["7"]"#, 25),
        (r#"{"optionalNestedMessage":{"zzz":1}}"#, "optionalNestedMessage.zzz", 26),
        (r#"{"nope":1}"#, "nope", 1),
        (r#"{"optionalStruct":{"a":[1,{"b":1e999}]}}"#, "optionalStruct.a[1].b", 36),
        (r#"{"optionalAny":{"@type":"a/b.C"}}"#, "optionalAny.@type", 31),
        (
            r#"{"optionalAny":{"@type":"a/transcode.test.v1.AllTypes","optionalInt32":""}}"#,
            "optionalAny.optionalInt32",
            73,
        ),
        (r#"{"mapInt32Int32":{"1":1,"2":2,"1":3}}"#, r#"mapInt32Int32["1"]"#, 30),
        (r#"{"optionalInt32":1,"optionalInt32":2}"#, "optionalInt32", 19),
        ("[]", "", 0),
    ] {
        let error = refused(json);
        assert_eq!((error.path(), error.offset()), (path, Some(offset)), "{json}: {error:?}");
        assert!(!error.message().is_empty() && !error.message().ends_with('.'));
    }
    let error = refused(r#"{"optionalNestedMessage":{"zzz":1}}"#);
    assert_eq!(error.to_string(), "optionalNestedMessage.zzz: no such field in transcode.test.v1.AllTypes.Nested");
}

#[test]
fn the_document_must_be_utf8() {
    for (json, offset) in
        [(&b"{\"optionalString\":\"\xff\"}"[..], 19), (b"{\"optionalString\":\"\xc0\x80\"}", 19), (b"\xed\xa0\x80", 0)]
    {
        let error = to_wire(types(), ALL, json).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (Kind::Utf8, Some(offset)));
    }
}

#[test]
fn nothing_is_left_behind_by_an_error() {
    let mut out = b"before".to_vec();
    let id = types().get(ALL).unwrap();
    types().json_to_wire(id, br#"{"optionalInt32":1,"nope":2}"#, &mut out).unwrap_err();
    assert_eq!(out, b"before");
    types().wire_to_json(id, &[0x08, 1, 0xff], &mut out).unwrap_err();
    assert_eq!(out, b"before");
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn depth_is_limited() {
    let message = |depth| nested(r#"{"recursiveMessage":"#, "{}", "}", depth);
    assert!(to_wire(types(), ALL, message(99).as_bytes()).is_ok());
    assert_eq!(refused(&message(100)).kind(), Kind::Depth);
    assert_eq!(refused(&message(100_000)).kind(), Kind::Depth);

    let object = |depth| format!(r#"{{"optionalStruct":{}}}"#, nested(r#"{"n":"#, r#"{"value":1}"#, "}", depth));
    let list = |depth| format!(r#"{{"optionalValue":{}}}"#, nested("[", "1", "]", depth));
    let value = |depth| format!(r#"{{"optionalValue":{}}}"#, nested(r#"{"n":"#, "1", "}", depth));
    for document in [object(25), list(25), value(25)] {
        let wire = to_wire(types(), ALL, document.as_bytes()).unwrap();
        assert_eq!(to_json(types(), ALL, &wire).unwrap(), document);
    }
    for document in [object(200), list(200), value(200)] {
        assert_eq!(refused(&document).kind(), Kind::Depth);
    }
    let lenient = types_with(Options { ignore_unknown: true, ..Options::default() });
    let unknown = |depth| format!(r#"{{"unknown":{}}}"#, nested("[", "", "]", depth));
    assert!(to_wire(&lenient, ALL, unknown(90).as_bytes()).is_ok());
    assert_eq!(to_wire(&lenient, ALL, unknown(100_000).as_bytes()).unwrap_err().kind(), Kind::Depth);
}

#[test]
fn unknown_things_can_be_ignored() {
    let lenient = types_with(Options { ignore_unknown: true, ..Options::default() });
    for (json, want) in [
        (r#"{"unknown":1}"#, "{}"),
        (r#"{"unknown":"a\"b"}"#, "{}"),
        (r#"{"unknown":true}"#, "{}"),
        (r#"{"unknown":false}"#, "{}"),
        (r#"{"unknown":null}"#, "{}"),
        (r#"{"unknown":{"a":[1,{},[]]},"optionalInt32":1}"#, r#"{"optionalInt32":1}"#),
        (r#"{"unknown":[],"unknown":{}}"#, "{}"),
        (r#"{"optionalNestedEnum":"NOPE"}"#, "{}"),
        (r#"{"presentEnum":"NOPE"}"#, "{}"),
        (r#"{"repeatedNestedEnum":["NOPE"]}"#, "{}"),
        (r#"{"repeatedNestedEnum":["FOO","NOPE","FOO"]}"#, r#"{"repeatedNestedEnum":["FOO","FOO"]}"#),
        (r#"{"mapStringNestedEnum":{"key":"NOPE"}}"#, "{}"),
        (r#"{"mapStringNestedEnum":{"key1":"FOO","key2":"NOPE"}}"#, r#"{"mapStringNestedEnum":{"key1":"FOO"}}"#),
        (
            r#"{"optionalAny":{"x":1,"@type":"a/google.protobuf.Empty","y":{}}}"#,
            r#"{"optionalAny":{"@type":"a/google.protobuf.Empty"}}"#,
        ),
    ] {
        let wire = to_wire(&lenient, ALL, json.as_bytes()).expect(json);
        assert_eq!(to_json(&lenient, ALL, &wire).unwrap(), want, "{json}");
    }
    for json in
        [r#"{"unknown":[1,]}"#, r#"{"unknown":01}"#, r#"{"unknown":"#, r#"{"unknown":{a:1}}"#, r#"{"unknown":nul}"#]
    {
        assert_eq!(to_wire(&lenient, ALL, json.as_bytes()).unwrap_err().kind(), Kind::Syntax, "{json}");
    }
}

#[test]
fn maps_of_many_keys_find_the_one_that_comes_twice() {
    let document = |keys: &[u32]| {
        let members: Vec<String> =
            keys.iter().map(|k| format!(r#""{k}":"{}""#, "v".repeat(*k as usize % 300))).collect();
        format!(r#"{{"mapStringString":{{{}}}}}"#, members.join(","))
    };
    let mut keys: Vec<u32> = (0..500).map(|i| i * 7919 % 1009).collect();
    let json = document(&keys);
    let wire = to_wire(types(), ALL, json.as_bytes()).unwrap();
    assert_eq!(to_json(types(), ALL, &wire).unwrap(), json);
    keys.push(7919 % 1009);
    let error = refused(&document(&keys));
    assert_eq!((error.kind(), error.path()), (Kind::Duplicate, r#"mapStringString["856"]"#));
}

#[test]
fn lengths_of_every_width_nest() {
    for len in [0, 100, 121, 122, 127, 128, 16_370, 16_384, 300_000] {
        let text = "x".repeat(len);
        let json = format!(
            r#"{{"optionalStruct":{{"k":["{text}"]}},"recursiveMessage":{{"optionalNestedMessage":{{"corecursive":{{"repeatedString":["{text}"]}}}},"mapStringString":{{"{text}":"{text}"}}}},"repeatedInt32":[{}]}}"#,
            vec!["1"; len % 1000 + 1].join(",")
        );
        let wire = to_wire(types(), ALL, json.as_bytes()).unwrap();
        assert_eq!(to_json(types(), ALL, &wire).unwrap(), json);
        DynamicMessage::decode(pool().get_message_by_name(ALL).unwrap(), wire.as_slice()).unwrap();
    }
}

#[test]
fn defaults_can_be_printed() {
    let verbose = types_with(Options { always_print_defaults: true, ..Options::default() });
    let json = to_json(&verbose, ALL, &[]).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["optionalInt32"], 0);
    assert_eq!(value["optionalInt64"], "0");
    assert_eq!(value["optionalBool"], false);
    assert_eq!(value["optionalBytes"], "");
    assert_eq!(value["optionalNestedEnum"], "FOO");
    assert_eq!(value["repeatedInt32"], serde_json::json!([]));
    assert_eq!(value["mapInt32Int32"], serde_json::json!({}));
    assert!(value["optionalNullValue"].is_null() && value.get("optionalNullValue").is_some());
    for absent in ["optionalNestedMessage", "oneofUint32", "presentInt32", "optionalInt32Wrapper", "optionalTimestamp"]
    {
        assert!(value.get(absent).is_none(), "{absent}");
    }
    let wire = to_wire(&verbose, ALL, json.as_bytes()).unwrap();
    assert!(wire.is_empty(), "defaults are read as nothing");
    // Defaults that are on the wire, and an empty packed list, are printed once.
    let json = to_json(&verbose, "transcode.test.v1.AllTypes.Nested", &[0x08, 0]).unwrap();
    assert_eq!(json, r#"{"a":0}"#);
    let json = to_json(&verbose, ALL, &[0xfa, 0x01, 0]).unwrap();
    assert_eq!(json.matches(r#""repeatedInt32":[]"#).count(), 1);
}

#[test]
fn enums_can_be_printed_as_numbers() {
    let numbers = types_with(Options { enums_as_numbers: true, ..Options::default() });
    let wire = to_wire(&numbers, ALL, br#"{"optionalNestedEnum":"BAR","oneofNullValue":null}"#).unwrap();
    assert_eq!(to_json(&numbers, ALL, &wire).unwrap(), r#"{"optionalNestedEnum":1,"oneofNullValue":null}"#);
}

#[test]
fn groups_and_extensions_of_proto2() {
    let legacy = "transcode.test.v1.Legacy";
    let json = r#"{"data":{"groupInt32":7,"groupString":"x"},"item":[{"n":1},{"n":2}],"unpacked":[1,2],"packed":[3,0],"defaulted":0,"needed":"","[transcode.test.v1.extension_int32]":5,"[transcode.test.v1.extension_string]":["a"]}"#;
    let wire = to_wire(types(), legacy, json.as_bytes()).unwrap();
    assert_eq!(to_json(types(), legacy, &wire).unwrap(), json);
    let message = DynamicMessage::decode(pool().get_message_by_name(legacy).unwrap(), wire.as_slice()).unwrap();
    assert_eq!(
        message.get_field_by_name("data").unwrap().as_message().unwrap().encode_to_vec(),
        [0x10, 7, 0x1a, 1, b'x']
    );
    let error = to_wire(types(), legacy, br#"{"[no.such]":1}"#).unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownField);
}

#[test]
fn strings_are_written_as_json() {
    let mut out = Vec::new();
    transcode::write_json_string("a\"\\\n\u{1}é", &mut out);
    assert_eq!(out, "\"a\\\"\\\\\\n\\u0001é\"".as_bytes());
}

#[test]
fn proto_paths_become_json_paths() {
    let id = types().get(ALL).unwrap();
    for (proto, json) in [
        ("optional_int32", "optionalInt32"),
        ("repeated_nested_message[3].corecursive.optional_int32", "repeatedNestedMessage[3].corecursive.optionalInt32"),
        (
            r#"map_string_nested_message["a.b]"].corecursive.field_name2"#,
            r#"mapStringNestedMessage["a.b]"].corecursive.fieldName2"#,
        ),
        ("optional_nested_message.no_such.optional_int32", "optionalNestedMessage.no_such.optional_int32"),
        ("no_such", "no_such"),
        ("", ""),
        ("optional_int32[", "optionalInt32["),
        ("[", "["),
        ("..", ".."),
    ] {
        assert_eq!(types().json_path(id, proto), json);
    }
}
