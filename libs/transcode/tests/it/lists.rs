//! Lists of numbers are read and printed in loops of their own. What these do with an element is what is done with it
//! alone: a list of one element takes the general way.

use proptest::prelude::*;

use crate::{ALL, to_json, to_wire, types};

/// JSON name, number and bytes of an element (0: a varint).
const FIELDS: [(&str, u32, usize); 12] = [
    ("repeatedInt32", 31, 0),
    ("repeatedInt64", 32, 0),
    ("repeatedUint32", 33, 0),
    ("repeatedUint64", 34, 0),
    ("repeatedSint32", 35, 0),
    ("repeatedSint64", 36, 0),
    ("repeatedFixed32", 37, 4),
    ("repeatedFixed64", 38, 8),
    ("repeatedSfixed32", 39, 4),
    ("repeatedSfixed64", 40, 8),
    ("repeatedFloat", 41, 4),
    ("repeatedDouble", 42, 8),
];

/// Numbers as people, and their enemies, write them.
const FORMS: &str = r#"
    0 -0 1 9 -1 127 128 300 16384 2147483647 2147483648 -2147483648 -2147483649 4294967295 4294967296 9007199254740993
    9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551615 18446744073709551616
    1e2 1E+2 -1e-2 1.0 12.50e1 0.1 16777217 1.00000005960464478 102.11999999999999 0.30000000000000004 1e400 1e-400
    123456789012345678901234567890 "5" "-5" "1e2" "1.5" "NaN" "5\n" 01 1. +1 null
"#;

fn element() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => (0..100u32).prop_map(|v| v.to_string()),
        2 => any::<i32>().prop_map(|v| v.to_string()),
        2 => (any::<i64>(), 0..64u32, any::<bool>()).prop_map(|(v, shift, quoted)| {
            if quoted { format!("\"{}\"", v >> shift) } else { (v >> shift).to_string() }
        }),
        1 => any::<f64>().prop_map(|v| v.to_string()),
        1 => any::<f32>().prop_map(|v| v.to_string()),
        1 => prop::sample::select(FORMS.split_whitespace().collect::<Vec<_>>()).prop_map(str::to_owned),
    ]
}

/// The wire bytes of one element, or what is wrong with it.
fn alone(name: &str, element: &str) -> Result<Vec<u8>, transcode::Error> {
    // Two bytes of tag, one of length.
    to_wire(types(), ALL, format!("{{\"{name}\":[{element}]}}").as_bytes()).map(|wire| wire[3..].to_vec())
}

fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// One record: the payload with its tag and, if it is packed, its length.
fn put_record(out: &mut Vec<u8>, number: u32, width: usize, packed: bool, payload: &[u8]) {
    let wire_type = match (packed, width) {
        (true, _) => 2,
        (false, 0) => 0,
        (false, 4) => 5,
        (false, _) => 1,
    };
    put_varint(out, u64::from(number << 3 | wire_type));
    if packed {
        put_varint(out, payload.len() as u64);
    }
    out.extend_from_slice(payload);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_read_as_its_elements_are(
        field in 0..FIELDS.len(),
        elements in prop::collection::vec((element(), prop::sample::select(&[",", " , ", ",\n\t", ",\r\n  "])), 1..40),
    ) {
        let (name, number, width) = FIELDS[field];
        let mut json = format!("{{\"{name}\":[");
        for (i, (element, separator)) in elements.iter().enumerate() {
            json.push_str(if i == 0 { "" } else { separator });
            json.push_str(element);
        }
        json.push_str("]}");
        let read = to_wire(types(), ALL, json.as_bytes());
        let each: Vec<_> = elements.iter().map(|(element, _)| alone(name, element)).collect();
        match each.iter().position(|one| one.is_err()) {
            Some(wrong) => {
                let (all, one) = (read.unwrap_err(), each[wrong].as_ref().unwrap_err());
                prop_assert_eq!((all.kind(), all.message()), (one.kind(), one.message()), "{}", json);
                prop_assert_eq!(all.path().replace(&format!("[{wrong}]"), "[0]"), one.path(), "{}", json);
            }
            None => {
                let payload = each.into_iter().flat_map(Result::unwrap).collect::<Vec<_>>();
                let mut want = Vec::new();
                put_record(&mut want, number, width, true, &payload);
                prop_assert_eq!(read.unwrap(), want, "{}", json);
            }
        }
    }

    #[test]
    fn a_list_is_printed_as_its_elements_are(
        field in 0..FIELDS.len(),
        records in prop::collection::vec((any::<bool>(), prop::collection::vec((any::<u64>(), 0..64u32), 0..90)), 1..4),
        cut in prop::option::weighted(0.1, 1..4usize),
    ) {
        let (name, number, width) = FIELDS[field];
        let (mut wire, mut each) = (Vec::new(), Vec::new());
        for (packed, values) in &records {
            let payloads = values.iter().map(|(v, shift)| {
                let mut payload = Vec::new();
                match width {
                    0 => put_varint(&mut payload, v >> shift),
                    width => payload.extend_from_slice(&v.to_le_bytes()[..width]),
                }
                payload
            });
            let payloads: Vec<Vec<u8>> = payloads.collect();
            for payload in &payloads {
                let mut one = Vec::new();
                put_record(&mut one, number, width, false, payload);
                let one = to_json(types(), ALL, &one).unwrap();
                each.push(one[format!("{{\"{name}\":[").len()..one.len() - 2].to_owned());
                if !packed {
                    put_record(&mut wire, number, width, false, payload);
                }
            }
            if *packed {
                put_record(&mut wire, number, width, true, &payloads.concat());
            }
        }
        let printed = to_json(types(), ALL, &wire).unwrap();
        if each.is_empty() {
            prop_assert_eq!(printed, "{}");
        } else {
            prop_assert_eq!(printed, format!("{{\"{name}\":[{}]}}", each.join(",")));
        }
        // A last element that is cut off: as many are there before it.
        if let Some(cut) = cut {
            let mut payload = Vec::new();
            let whole = 20;
            for v in 0..whole {
                match width {
                    0 => put_varint(&mut payload, 1 << 60 | v),
                    width => payload.extend_from_slice(&v.to_le_bytes()[..width]),
                }
            }
            payload.truncate(payload.len() - cut);
            put_record(&mut wire, number, width, true, &payload);
            let error = to_json(types(), ALL, &wire).unwrap_err();
            prop_assert_eq!(error.path(), format!("{name}[{}]", each.len() + whole as usize - 1));
        }
    }
}
