//! A testee of protobuf's own conformance runner; `make conformance` starts both.
//!
//! Every answer goes through the plans that the edge transcodes with. What is asked from wire to
//! wire goes by way of JSON, so that both directions are tried on it. What the edge has no use for,
//! text format and types that its descriptors can't hold, is skipped.
//!
//! The protocol (`conformance/conformance.proto`): on either side a length, 32 bits little-endian,
//! and a message.

use std::io::{Read, Write};
use std::path::Path;

use prost::Message;
use prost_reflect::DescriptorPool;
use transcode::{Error, Kind, Options, Types};

/// conformance.ConformanceRequest
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    output: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    category: i32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(bytes = "vec", tag = "1")]
    Wire(Vec<u8>),
    #[prost(bytes = "vec", tag = "2")]
    Json(Vec<u8>),
}

/// conformance.WireFormat
const PROTOBUF: i32 = 1;
const JSON: i32 = 2;
/// conformance.TestCategory
const JSON_IGNORE_UNKNOWN: i32 = 3;

/// conformance.ConformanceResponse
#[derive(Clone, PartialEq, prost::Message)]
struct Response {
    #[prost(oneof = "Answer", tags = "1, 3, 4, 5, 6")]
    answer: Option<Answer>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Answer {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(bytes = "vec", tag = "3")]
    Wire(Vec<u8>),
    /// A string there; what is not UTF-8 fails at the runner.
    #[prost(bytes = "vec", tag = "4")]
    Json(Vec<u8>),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

struct Testee {
    strict: Types,
    lenient: Types,
}

impl Testee {
    /// `protos`: the folder of the protos that come with the runner.
    fn load(protos: &Path) -> Testee {
        let mut compiler = protox::Compiler::new([protos]).expect("the folder of the runner's protos");
        compiler.include_imports(true);
        let files = ["google/protobuf/test_messages_proto3.proto", "google/protobuf/test_messages_proto2.proto"];
        compiler.open_files(files).expect("good protos");
        let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("descriptors");
        let types = |ignore_unknown| {
            Types::load(&pool, Options { ignore_unknown, ..Options::default() }).expect("plans of every message")
        };
        Testee { strict: types(false), lenient: types(true) }
    }

    fn answer(&self, request: &Request) -> Answer {
        // The first request asks what is known to fail; the list of that is the runner's argument.
        if request.message_type == "conformance.FailureSet" {
            return Answer::Wire(Vec::new());
        }
        let types = if request.category == JSON_IGNORE_UNKNOWN { &self.lenient } else { &self.strict };
        let Some(id) = types.get(&request.message_type) else {
            return Answer::Skipped(format!("no plan of {}", request.message_type));
        };
        let to_json = |wire: &[u8]| {
            let mut out = Vec::new();
            types.wire_to_json(id, wire, &mut out).map(|()| out)
        };
        let to_wire = |json: &[u8]| {
            let mut out = Vec::new();
            types.json_to_wire(id, json, &mut out).map(|()| out)
        };
        let done = match (&request.payload, request.output) {
            (Some(Payload::Json(json)), PROTOBUF) => to_wire(json).map(Answer::Wire),
            (Some(Payload::Json(json)), JSON) => match to_wire(json) {
                Ok(wire) => to_json(&wire).map(Answer::Json),
                Err(error) => Err(error),
            },
            (Some(Payload::Wire(wire)), JSON) => to_json(wire).map(Answer::Json),
            (Some(Payload::Wire(wire)), PROTOBUF) => match to_json(wire) {
                Ok(json) => match to_wire(&json) {
                    Ok(wire) => Ok(Answer::Wire(wire)),
                    Err(error) => return Answer::SerializeError(format!("not read again: {error}")),
                },
                Err(error) => Err(error),
            },
            _ => return Answer::Skipped("only JSON and wire".to_owned()),
        };
        done.unwrap_or_else(refusal)
    }
}

/// A message that was understood but can't be JSON is no error of parsing.
fn refusal(error: Error) -> Answer {
    match error.kind() {
        Kind::Unrepresentable => Answer::SerializeError(error.to_string()),
        _ => Answer::ParseError(error.to_string()),
    }
}

fn main() {
    let protos = std::env::args_os().nth(1).expect("the folder of the runner's protos as argument");
    let testee = Testee::load(Path::new(&protos));
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut length = [0; 4];
    // The runner says no more when it is done.
    while input.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes).expect("a whole request");
        let request = Request::decode(bytes.as_slice()).expect("a request");
        let response = Response { answer: Some(testee.answer(&request)) }.encode_to_vec();
        output.write_all(&u32::try_from(response.len()).expect("below 4 GiB").to_le_bytes()).expect("write");
        output.write_all(&response).expect("write");
        output.flush().expect("write");
    }
}
