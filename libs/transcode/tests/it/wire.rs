//! Wire to JSON: records in any order, malformed ones, what serializers leave out.

use transcode::{Kind, Place};

use crate::{ALL, to_json, to_wire, types};

/// Wire bytes of a message by its fields.
#[derive(Default, Clone)]
struct Wire(Vec<u8>);

impl Wire {
    fn varint(mut v: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
        out
    }
    fn tag(mut self, number: u32, wire_type: u32) -> Self {
        self.0.extend(Self::varint(u64::from(number << 3 | wire_type)));
        self
    }
    fn int(self, number: u32, v: i64) -> Self {
        let mut wire = self.tag(number, 0);
        wire.0.extend(Self::varint(v as u64));
        wire
    }
    fn bytes(self, number: u32, bytes: impl AsRef<[u8]>) -> Self {
        let mut wire = self.tag(number, 2);
        wire.0.extend(Self::varint(bytes.as_ref().len() as u64));
        wire.0.extend(bytes.as_ref());
        wire
    }
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

impl AsRef<[u8]> for Wire {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn wire() -> Wire {
    Wire::default()
}

#[track_caller]
fn prints(wire: &Wire, want: &str) {
    assert_eq!(to_json(types(), ALL, &wire.0).unwrap(), want);
}

#[track_caller]
fn fails(wire: &Wire, kind: Kind) {
    let error = to_json(types(), ALL, &wire.0).unwrap_err();
    assert_eq!((error.kind(), error.place()), (kind, Place::Response), "{error:?}");
}

#[test]
fn the_last_scalar_wins() {
    prints(&wire().int(1, 5).int(1, 7), r#"{"optionalInt32":7}"#);
    prints(&wire().int(1, 5).int(1, 0), "{}");
    prints(&wire().int(1, 0).int(1, 5), r#"{"optionalInt32":5}"#);
    prints(&wire().int(1, 5).bytes(14, "x").int(1, 6).bytes(14, "y"), r#"{"optionalInt32":6,"optionalString":"y"}"#);
    prints(&wire().int(331, 5).int(331, 0), r#"{"presentInt32":0}"#);
}

#[test]
fn messages_merge() {
    let nested = |a| wire().int(1, a);
    prints(&wire().bytes(18, nested(1)).bytes(18, nested(2)), r#"{"optionalNestedMessage":{"a":2}}"#);
    let deep = |inner: Wire| wire().bytes(27, wire().bytes(27, inner));
    let both = deep(wire().int(1, 1).bytes(44, "a")).raw(&deep(wire().int(2, 2).bytes(44, "b")).0);
    prints(
        &both,
        r#"{"recursiveMessage":{"recursiveMessage":{"optionalInt32":1,"optionalInt64":"2","repeatedString":["a","b"]}}}"#,
    );
    prints(
        &wire().bytes(302, wire().int(1, 5)).bytes(302, wire().int(2, 1_000_000)),
        r#"{"optionalTimestamp":"1970-01-01T00:00:05.001Z"}"#,
    );
    prints(&wire().bytes(202, wire().int(1, 5)).bytes(202, ""), r#"{"optionalInt32Wrapper":5}"#);
    let value = |v| wire().int(4, v);
    prints(&wire().bytes(306, value(1)).bytes(306, wire().bytes(3, "x")), r#"{"optionalValue":"x"}"#);
    let entry = |k: &str| wire().bytes(1, wire().bytes(1, k).bytes(2, wire().int(4, 1)));
    prints(
        &wire().bytes(306, wire().bytes(5, entry("a"))).bytes(306, wire().bytes(5, entry("b"))),
        r#"{"optionalValue":{"a":true,"b":true}}"#,
    );
    let any = wire().bytes(1, "a/transcode.test.v1.AllTypes").bytes(2, wire().int(1, 1).int(2, 1).int(1, 2));
    prints(
        &wire().bytes(305, any),
        r#"{"optionalAny":{"@type":"a/transcode.test.v1.AllTypes","optionalInt32":2,"optionalInt64":"1"}}"#,
    );
}

#[test]
fn oneofs_keep_the_last_member() {
    prints(&wire().int(111, 1).bytes(113, "x"), r#"{"oneofString":"x"}"#);
    prints(&wire().bytes(113, "x").int(111, 1), r#"{"oneofUint32":1}"#);
    let nested = |a| wire().int(1, a);
    // The string in between clears what the first message said.
    let cleared = wire().bytes(112, wire().bytes(2, wire().int(1, 9))).bytes(113, "x").bytes(112, nested(2));
    prints(&cleared, r#"{"oneofNestedMessage":{"a":2}}"#);
    let merged = wire().bytes(113, "x").bytes(112, wire().bytes(2, wire().int(1, 9))).bytes(112, nested(2));
    prints(&merged, r#"{"oneofNestedMessage":{"corecursive":{"optionalInt32":9},"a":2}}"#);
    prints(&wire().int(111, 1).int(111, 2), r#"{"oneofUint32":2}"#);
}

#[test]
fn lists_come_packed_or_not_and_in_pieces() {
    prints(&wire().bytes(31, [1, 2, 3]), r#"{"repeatedInt32":[1,2,3]}"#);
    prints(&wire().int(31, 1).int(31, 2), r#"{"repeatedInt32":[1,2]}"#);
    prints(&wire().bytes(31, [1, 2]).int(31, 3).bytes(31, []).bytes(31, [4]), r#"{"repeatedInt32":[1,2,3,4]}"#);
    prints(&wire().bytes(89, [1, 2]), r#"{"unpackedInt32":[1,2]}"#);
    prints(&wire().bytes(31, [1]).int(1, 5).int(31, 2), r#"{"optionalInt32":5,"repeatedInt32":[1,2]}"#);
    prints(&wire().bytes(44, "a").int(1, 5).bytes(44, "b"), r#"{"optionalInt32":5,"repeatedString":["a","b"]}"#);
    prints(&wire().bytes(44, "a").int(9999, 5).bytes(44, "b"), r#"{"repeatedString":["a","b"]}"#);
    prints(&wire().bytes(31, []), "{}");
    prints(&wire().int(1, 1).bytes(31, []).int(2, 2), r#"{"optionalInt32":1,"optionalInt64":"2"}"#);
    prints(&wire().bytes(37, [1, 0, 0, 0, 2, 0, 0, 0]), r#"{"repeatedFixed32":[1,2]}"#);
    fails(&wire().bytes(37, [1, 0, 0, 0, 2]), Kind::Wire);
    fails(&wire().bytes(31, [0x80]), Kind::Wire);
}

/// Serializers, prost among them, leave a key or a value out of a map entry when it is the default.
#[test]
fn map_entries_may_lack_key_and_value() {
    prints(&wire().bytes(56, ""), r#"{"mapInt32Int32":{"0":0}}"#);
    prints(&wire().bytes(56, wire().int(1, 5)), r#"{"mapInt32Int32":{"5":0}}"#);
    prints(&wire().bytes(56, wire().int(2, 5)), r#"{"mapInt32Int32":{"0":5}}"#);
    prints(&wire().bytes(57, ""), r#"{"mapInt64Int64":{"0":"0"}}"#);
    prints(&wire().bytes(62, ""), r#"{"mapFixed32Fixed32":{"0":0}}"#);
    prints(&wire().bytes(63, ""), r#"{"mapFixed64Fixed64":{"0":"0"}}"#);
    prints(&wire().bytes(66, ""), r#"{"mapInt32Float":{"0":0}}"#);
    prints(&wire().bytes(67, ""), r#"{"mapInt32Double":{"0":0}}"#);
    prints(&wire().bytes(68, ""), r#"{"mapBoolBool":{"false":false}}"#);
    prints(&wire().bytes(69, ""), r#"{"mapStringString":{"":""}}"#);
    prints(&wire().bytes(69, wire().bytes(1, "a")), r#"{"mapStringString":{"a":""}}"#);
    prints(&wire().bytes(70, ""), r#"{"mapStringBytes":{"":""}}"#);
    prints(&wire().bytes(71, ""), r#"{"mapStringNestedMessage":{"":{}}}"#);
    prints(&wire().bytes(73, ""), r#"{"mapStringNestedEnum":{"":"FOO"}}"#);
    prints(&wire().bytes(74, wire().bytes(1, "a")), r#"{"mapStringValue":{"a":null}}"#);
    prints(&wire().bytes(75, wire().bytes(1, "a")), r#"{"mapStringTimestamp":{"a":"1970-01-01T00:00:00Z"}}"#);
    prints(&wire().bytes(304, wire().bytes(1, "")), r#"{"optionalStruct":{"":null}}"#);
}

#[test]
fn map_entries_come_in_any_shape() {
    let entry = |k, v| wire().int(1, k).int(2, v);
    prints(&wire().bytes(56, wire().int(2, 2).int(1, 1)), r#"{"mapInt32Int32":{"1":2}}"#);
    prints(&wire().bytes(56, entry(1, 2)).bytes(56, entry(1, 3)), r#"{"mapInt32Int32":{"1":3}}"#);
    prints(
        &wire().bytes(56, entry(1, 2)).int(1, 9).bytes(56, entry(3, 4)),
        r#"{"optionalInt32":9,"mapInt32Int32":{"1":2,"3":4}}"#,
    );
    prints(&wire().bytes(56, wire().int(1, 1).int(1, 2).int(2, 3).int(2, 4)), r#"{"mapInt32Int32":{"2":4}}"#);
    prints(&wire().bytes(56, entry(1, 2).int(3, 7)), r#"{"mapInt32Int32":{"1":2}}"#);
    let merged = wire().bytes(1, "k").bytes(2, wire().int(1, 1)).bytes(2, wire().bytes(2, ""));
    prints(&wire().bytes(71, merged), r#"{"mapStringNestedMessage":{"k":{"a":1,"corecursive":{}}}}"#);
    prints(
        &wire().bytes(71, wire().bytes(1, "k").bytes(2, wire().int(1, 7)).bytes(1, "l")),
        r#"{"mapStringNestedMessage":{"l":{"a":7}}}"#,
    );
    prints(&wire().bytes(60, wire().int(1, 3).int(2, 1)), r#"{"mapSint32Sint32":{"-2":-1}}"#);
    let mut many = wire();
    for i in 0..100 {
        many = many.bytes(56, entry(i % 40, i));
    }
    let json: serde_json::Value = serde_json::from_str(&to_json(types(), ALL, &many.0).unwrap()).unwrap();
    let map = json["mapInt32Int32"].as_object().unwrap();
    assert_eq!(map.len(), 40);
    assert!(
        map.iter()
            .all(|(k, v)| { v.as_i64().unwrap() == (60..100).find(|i| i % 40 == k.parse::<i64>().unwrap()).unwrap() })
    );
    assert_eq!(to_json(types(), ALL, &many.0).unwrap().matches(':').count(), 41, "no key is printed twice");
}

#[test]
fn unknown_and_mistyped_records_are_passed_over() {
    prints(
        &wire().int(9999, 1).bytes(9998, "x").tag(9997, 5).raw(&[0; 4]).tag(9996, 1).raw(&[0; 8]).int(1, 1),
        r#"{"optionalInt32":1}"#,
    );
    let group = wire().tag(9999, 3).int(1, 7).tag(5, 3).tag(5, 4).tag(9999, 4).int(1, 1);
    prints(&group, r#"{"optionalInt32":1}"#);
    prints(&wire().bytes(1, "xx").int(2, 3), r#"{"optionalInt64":"3"}"#);
    prints(&wire().int(14, 3).int(2, 3), r#"{"optionalInt64":"3"}"#);
    prints(&wire().tag(1, 5).raw(&[1, 0, 0, 0]), "{}");
    prints(&wire().tag(31, 5).raw(&[1, 0, 0, 0]).int(31, 1), r#"{"repeatedInt32":[1]}"#);
    prints(&wire().tag(18, 3).int(1, 1).tag(18, 4), "{}");
}

#[test]
fn numbers_are_cut_to_their_width() {
    prints(&wire().int(1, 1 << 32 | 5), r#"{"optionalInt32":5}"#);
    prints(&wire().int(1, 1 << 32), "{}");
    prints(&wire().int(1, -1), r#"{"optionalInt32":-1}"#);
    prints(&wire().int(3, -1), r#"{"optionalUint32":4294967295}"#);
    prints(&wire().int(13, 7), r#"{"optionalBool":true}"#);
    prints(&wire().int(21, -1), r#"{"optionalNestedEnum":"NEG"}"#);
    prints(&wire().int(21, 77), r#"{"optionalNestedEnum":77}"#);
    prints(&wire().tag(1, 0).raw(&[0x81, 0x80, 0x80, 0x00]), r#"{"optionalInt32":1}"#);
    prints(&wire().tag(1, 0).raw(&[0x80, 0x80, 0x00]), "{}");
    prints(&wire().tag(11, 5).raw(&0x7fa1_2345u32.to_le_bytes()), r#"{"optionalFloat":"NaN"}"#);
    prints(&wire().tag(12, 1).raw(&0xfffb_cba9_8765_4321u64.to_le_bytes()), r#"{"optionalDouble":"NaN"}"#);
}

#[test]
fn malformed_wire_is_an_error() {
    for bytes in [
        &[0x08][..],                                                            // no value
        &[0x08, 0x80],                                                          // varint without end
        &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], // eleven bytes
        &[0x72, 5, b'a'],                                                       // length beyond the end
        &[0x72, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],       // huge length
        &[0x5d, 1, 2],                                                          // half a fixed32
        &[0x61, 1, 2, 3, 4],                                                    // half a fixed64
        &[0x00, 1],                                                             // field 0
        &[0x02, 0],                                                             // field 0, length
        &[0x0e],                                                                // wire type 6
        &[0x0f],                                                                // wire type 7
        &[0x0c],                                                                // end of no group
        &[0x0b],                                                                // group without end
        &[0x0b, 0x14],                                                          // ended by another
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],                                  // field number too large
        &[0x92, 0x01, 2, 0x08],                                                 // within a message
        &[0xc2, 0x03, 2, 0x08, 0x80],                                           // within a map entry
    ] {
        fails(&wire().raw(bytes), Kind::Wire);
    }
    let error = to_json(types(), ALL, &wire().bytes(48, "").bytes(48, wire().bytes(2, [0x08])).0).unwrap_err();
    assert_eq!(error.path(), "repeatedNestedMessage[1].corecursive.optionalInt32");
    let bad = wire().bytes(71, wire().bytes(1, "k\"").bytes(2, [0x08]));
    assert_eq!(to_json(types(), ALL, &bad.0).unwrap_err().path(), r#"mapStringNestedMessage["k\""].a"#);
}

#[test]
fn what_json_cannot_say_is_an_error() {
    fails(&wire().bytes(14, [0xff]), Kind::Utf8);
    fails(&wire().bytes(69, wire().bytes(1, [0xff])), Kind::Utf8);
    let time = |number, seconds, nanos| wire().bytes(number, wire().int(1, seconds).int(2, nanos));
    for (seconds, nanos) in [
        (-315_576_000_001, 0),
        (315_576_000_001, 0),
        (1, -1),
        (-1, 1),
        (-1, -1_000_000_000),
        (1, 1_000_000_000),
        (i64::MIN, i64::from(i32::MIN)),
    ] {
        fails(&time(301, seconds, nanos), Kind::Unrepresentable);
    }
    for (seconds, nanos) in
        [(-62_135_596_801, 0), (253_402_300_800, 0), (5000, -1), (5000, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0)]
    {
        fails(&time(302, seconds, nanos), Kind::Unrepresentable);
    }
    for path in ["fooBar", "foo_3_bar", "foo__bar", "foo_", "", "föö"] {
        fails(&wire().bytes(303, wire().bytes(1, path)), Kind::Unrepresentable);
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        fails(&wire().bytes(306, wire().tag(2, 1).raw(&number.to_le_bytes())), Kind::Unrepresentable);
    }
    fails(&wire().bytes(305, wire().bytes(1, "a/no.Such")), Kind::UnknownType);
    fails(&wire().bytes(305, wire().bytes(2, "x")), Kind::UnknownType);
    fails(&wire().bytes(305, wire().bytes(1, "a/transcode.test.v1.AllTypes").bytes(2, [0x08])), Kind::Wire);
}

#[test]
fn depth_is_limited() {
    let nest = |levels| (0..levels).fold(wire(), |inner, _| wire().bytes(27, inner));
    assert!(to_json(types(), ALL, &nest(99).0).is_ok());
    fails(&nest(100), Kind::Depth);
    fails(&nest(5_000), Kind::Depth);
    let map = |levels| (0..levels).fold(wire(), |inner, _| wire().bytes(71, wire().bytes(2, wire().bytes(2, inner))));
    fails(&map(2_000), Kind::Depth);
    let any = |levels| (0..levels).fold(wire(), |inner, _| wire().bytes(1, "a/google.protobuf.Any").bytes(2, inner));
    fails(&wire().bytes(305, any(500)), Kind::Depth);
    fails(&wire().raw(&[0x0b; 100_000]), Kind::Wire);
}

#[test]
fn error_details_are_printed_one_by_one() {
    let mut out = Vec::new();
    types().any_to_json("type.googleapis.com/google.protobuf.Duration", &wire().int(1, 3).0, &mut out).unwrap();
    assert_eq!(out, br#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}"#);
    let error = types().any_to_json("type.googleapis.com/no.Such", &[], &mut out).unwrap_err();
    assert_eq!((error.kind(), error.place()), (Kind::UnknownType, Place::Response));
}

#[test]
fn fields_come_in_the_order_of_the_wire() {
    let wire = to_wire(types(), ALL, br#"{"optionalString":"a","optionalInt32":1,"oneofUint32":0}"#).unwrap();
    assert_eq!(to_json(types(), ALL, &wire).unwrap(), r#"{"optionalString":"a","optionalInt32":1,"oneofUint32":0}"#);
}
