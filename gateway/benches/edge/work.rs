//! What the proxies are asked to do, and what the server behind them answers.

use crate::common::load::{get, post};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message};
use serde_json::{Value, json};
use std::path::Path;

pub const SERVICE: &str = "edge.bench.v1.Bench";
const CHANGES: usize = 10_000;

pub struct Work {
    pub name: String,
    pub request: Vec<u8>,
    pub connections: usize,
}

pub fn all() -> Vec<Work> {
    let work =
        |name: &str, request, connections| Work { name: format!("{name}, {connections} conn"), request, connections };
    vec![
        work("GET small", get("/v1/items/item-1"), 32),
        work("GET small", get("/v1/items/item-1"), 256),
        work("POST 4 KiB", post("/v1/items", "", &large_item().to_string()), 32),
        work("GET list of 100", get("/v1/items?pageSize=100"), 32),
        work("POST 1 MiB", post("/v1/items:import", "", &import().to_string()), 8),
        work("GET 10k messages", get(&format!("/v1/items:watch?count={CHANGES}")), 8),
    ]
}

/// The messages that the server answers a method with, as JSON.
pub fn answers(method: &str) -> Vec<Value> {
    match method {
        "ListItems" => vec![json!({"items": (0..100).map(item).collect::<Vec<_>>(), "nextPageToken": "cGFnZS0y"})],
        "ImportItems" => vec![json!({"count": 1000})],
        "WatchItems" => {
            (1..=CHANGES).map(|n| json!({"number": n.to_string(), "itemId": format!("item-{n}")})).collect()
        }
        _ => vec![item(1)],
    }
}

/// No field is left at its default, which some would print and others not.
fn item(n: usize) -> Value {
    json!({
        "itemId": format!("item-{n}"),
        "title": "Rangefinder camera, 1962",
        "description": "Works well; the light meter reads one stop low. 한국어 설명도 있습니다.",
        "price": {"currencyCode": "KRW", "units": (100_000 + n).to_string(), "nanos": 500_000_000},
        "condition": "CONDITION_GOOD",
        "stock": 1,
        "createTime": "2026-01-02T03:04:05.678Z",
        "updateTime": "2026-02-03T04:05:06Z",
        "tags": ["camera", "film"],
        "sellerId": "user-42",
        "rating": 4.5,
        "ships": true,
        "attributes": [attribute(1)],
    })
}

fn attribute(n: usize) -> Value {
    json!({"name": format!("attribute-{n}"), "value": "A value of a usual length.", "weight": n})
}

fn large_item() -> Value {
    let mut item = item(1);
    item["attributes"] = (1..=48).map(attribute).collect();
    item
}

fn import() -> Value {
    let one = item(1).to_string().len() + 1;
    json!({"items": (0..(1 << 20) / one).map(item).collect::<Vec<_>>()})
}

pub fn descriptors() -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([here.join("benches/edge"), here.join("../proto")]).expect("the folders");
    compiler.include_imports(true).open_file("bench.proto").expect("a good proto");
    compiler.encode_file_descriptor_set()
}

pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(descriptors().as_slice()).expect("good descriptors")
}

/// A message of gRPC with its frame head.
pub fn frame(message: &DynamicMessage) -> Vec<u8> {
    let mut out = vec![0];
    out.extend_from_slice(&u32::try_from(message.encoded_len()).expect("below 4 GiB").to_be_bytes());
    message.encode(&mut out).expect("a Vec takes every byte");
    out
}

pub fn message(descriptor: MessageDescriptor, json: &Value) -> DynamicMessage {
    DynamicMessage::deserialize(descriptor, json).expect("JSON of this message")
}
