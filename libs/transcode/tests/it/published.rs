//! The cases of the published conformance suite that the table holds in other words only, under their published names
//! (protocolbuffers/protobuf, `conformance/binary_json_conformance_suite.cc`). All others are in `json_table`, word for word
//! but for spaces; those that begin with the wire are in `wire`, those that ignore the unknown in `json`.

use transcode::Kind;

use crate::{ALL, to_json, to_wire, types};

/// Name, document of type AllTypes, what is printed; `None`: it is refused.
const CASES: &[(&str, &str, Option<&str>)] = &[
    ("StringEndsWithEscapeChar", r#"{"optionalString": "abc\"#, None),
    ("JsonWithComments", "{\n// This is a comment.\n\"fieldname1\": 1\n}", None),
    ("Uint32FieldNotNumber", r#"{"optionalUint32": "3x3"}"#, None),
    ("Int64FieldBeString", r#"{"optionalInt64": 1}"#, Some(r#"{"optionalInt64":"1"}"#)),
    ("Uint64FieldBeString", r#"{"optionalUint64": 1}"#, Some(r#"{"optionalUint64":"1"}"#)),
    ("BoolFieldCamelCaseFalse", r#"{"optionalBool":False}"#, None),
    ("BoolFieldAllCapitalTrue", r#"{"optionalBool":TRUE}"#, None),
    ("DoubleFieldFalseValue", r#"{"optionalDouble": false}"#, None),
    ("Uint32MapFieldKeyNotQuoted", r#"{"mapUint32Uint32": {1: 2, 3: 4}}"#, None),
    ("Int64MapField", r#"{"mapInt64Int64": {"1": 2, "3": 4}}"#, Some(r#"{"mapInt64Int64":{"1":"2","3":"4"}}"#)),
    ("Int64MapFieldKeyNotQuoted", r#"{"mapInt64Int64": {1: 2, 3: 4}}"#, None),
    ("Uint64MapField", r#"{"mapUint64Uint64": {"1": 2, "3": 4}}"#, Some(r#"{"mapUint64Uint64":{"1":"2","3":"4"}}"#)),
    ("Uint64MapFieldKeyNotQuoted", r#"{"mapUint64Uint64": {1: 2, 3: 4}}"#, None),
    ("BoolMapFieldKeyNotQuoted", "{\"mapBoolBool\": {true: true, false: false}}", None),
    ("StringFieldSingleQuoteKey", r#"{'optionalString': "Hello world!"}"#, None),
    ("StringFieldSingleQuoteValue", r#"{"optionalString": 'Hello world!'}"#, None),
    ("StringFieldSingleQuoteBoth", r#"{'optionalString': 'Hello world!'}"#, None),
    (
        "EnumRepeatedField",
        r#"{"repeatedNestedEnum": ["FOO", "BAR", "BAZ"]}"#,
        Some(r#"{"repeatedNestedEnum":["FOO","BAR","BAZ"]}"#),
    ),
    (
        "StringRepeatedField",
        r#"{"repeatedString": ["Hello", "world"]}"#,
        Some(r#"{"repeatedString":["Hello","world"]}"#),
    ),
    ("BytesRepeatedField", r#"{"repeatedBytes": ["AAEC", "AQI="]}"#, Some(r#"{"repeatedBytes":["AAEC","AQI="]}"#)),
    (
        "MessageRepeatedField",
        r#"{"repeatedNestedMessage": [{"a": 1234}, {"a": 5678}]}"#,
        Some(r#"{"repeatedNestedMessage":[{"a":1234},{"a":5678}]}"#),
    ),
    (
        "WrapperTypesWithNullValue",
        r#"{"optionalBoolWrapper": null, "optionalInt32Wrapper": null, "optionalUint32Wrapper": null,
            "optionalInt64Wrapper": null, "optionalUint64Wrapper": null, "optionalFloatWrapper": null,
            "optionalDoubleWrapper": null, "optionalStringWrapper": null, "optionalBytesWrapper": null,
            "repeatedInt32Wrapper": null, "repeatedStringWrapper": null}"#,
        Some("{}"),
    ),
    (
        "DurationRepeatedValue",
        r#"{"repeatedDuration": ["1.5s", "-1.5s"]}"#,
        Some(r#"{"repeatedDuration":["1.500s","-1.500s"]}"#),
    ),
    (
        "TimestampHasZeroFractionalDigit",
        r#"{"optionalTimestamp": "1970-01-01T00:00:00.000000000Z"}"#,
        Some(r#"{"optionalTimestamp":"1970-01-01T00:00:00Z"}"#),
    ),
    ("RepeatedValue", r#"{"repeatedValue": [["a"]]}"#, Some(r#"{"repeatedValue":[["a"]]}"#)),
    ("RepeatedListValue", r#"{"repeatedListValue": [["a"]]}"#, Some(r#"{"repeatedListValue":[["a"]]}"#)),
    (
        "Any",
        r#"{"optionalAny": {"@type": "type.googleapis.com/transcode.test.v1.AllTypes", "optionalInt32": 12345}}"#,
        Some(r#"{"optionalAny":{"@type":"type.googleapis.com/transcode.test.v1.AllTypes","optionalInt32":12345}}"#),
    ),
    (
        "AnyUnorderedTypeTag",
        r#"{"optionalAny": {"optionalInt32": 12345, "@type": "type.googleapis.com/transcode.test.v1.AllTypes"}}"#,
        Some(r#"{"optionalAny":{"@type":"type.googleapis.com/transcode.test.v1.AllTypes","optionalInt32":12345}}"#),
    ),
    (
        "AnyNested",
        r#"{"optionalAny": {"@type": "type.googleapis.com/google.protobuf.Any", "value": {
            "@type": "type.googleapis.com/transcode.test.v1.AllTypes", "optionalInt32": 12345}}}"#,
        Some(
            r#"{"optionalAny":{"@type":"type.googleapis.com/google.protobuf.Any","value":{"@type":"type.googleapis.com/transcode.test.v1.AllTypes","optionalInt32":12345}}}"#,
        ),
    ),
    (
        "AnyWithDuration",
        r#"{"optionalAny": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.5s"}}"#,
        Some(r#"{"optionalAny":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"}}"#),
    ),
    // Extensions are proto2; a name in brackets is one that no message of proto3 has.
    ("FieldNameExtension", r#"{"[transcode.test.v1.ext]": 1}"#, None),
];

#[test]
fn the_published_cases_hold() {
    for (name, json, want) in CASES {
        let got = to_wire(types(), ALL, json.as_bytes()).and_then(|wire| to_json(types(), ALL, &wire));
        match (want, got) {
            (Some(want), Ok(got)) => assert_eq!(&got, want, "{name}"),
            (None, Err(error)) => assert_ne!(error.kind(), Kind::Wire, "{name}"),
            (_, got) => panic!("{name}: {got:?}"),
        }
    }
}
