//! Each way, beside serde_json's untyped value (which knows no message) and prost-reflect's dynamic
//! message. Throughput counts bytes of JSON either way.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, prost::Message};
use serde_json::{Value, json};
use std::{hint::black_box, time::Duration};
use transcode::{MessageId, Options, Types};

const PROTO: &str = r#"
syntax = "proto3";
package bench;
import "google/protobuf/timestamp.proto";
message Item {
  string item_id = 1;
  string title = 2;
  string description = 3;
  Money price = 4;
  Condition condition = 5;
  int32 stock = 6;
  google.protobuf.Timestamp create_time = 7;
  repeated string tags = 8;
  double rating = 9;
  bool ships = 10;
  map<string, string> labels = 11;
}
message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }
enum Condition { CONDITION_UNSPECIFIED = 0; CONDITION_NEW = 1; CONDITION_GOOD = 2; }
message List { repeated Item items = 1; }
message Text { string text = 1; }
message Numbers { repeated int64 big = 1; repeated double real = 2; repeated int32 small = 3; }
message Blob { bytes data = 1; }
"#;

struct Case {
    name: &'static str,
    id: MessageId,
    descriptor: MessageDescriptor,
    json: Vec<u8>,
    wire: Vec<u8>,
}

fn item(n: usize) -> Value {
    json!({
        "itemId": format!("item-{n}"),
        "title": "Rangefinder camera, 1962",
        "description": "Works well; the light meter reads one stop low. It comes with its leather case, \
            a lens hood and two filters, and was last serviced in the spring.",
        "price": {"currencyCode": "KRW", "units": (100_000 + n).to_string()},
        "condition": "CONDITION_GOOD",
        "stock": 1 + n % 7,
        "createTime": "2026-01-02T03:04:05.678Z",
        "tags": ["camera", "film"],
        "rating": 4.5,
        "ships": true,
        "labels": {"brand": "Zorki"},
    })
}

fn cases(types: &Types, pool: &DescriptorPool) -> Vec<Case> {
    let items = |n| json!({"items": (0..n).map(item).collect::<Vec<_>>()});
    let numbers = json!({
        "big": (0..500i64).map(|n| (n * 1_234_567_891).to_string()).collect::<Vec<_>>(),
        "real": (0..500).map(|n| f64::from(n) * 0.37).collect::<Vec<_>>(),
        "small": (0..500).collect::<Vec<_>>(),
    });
    let text = "A line of plain text as people write it, 한국어도 있고, \"quoted\" now and then.\n".repeat(50);
    let blob = "AQIDBAUGBwgJCgsMDQ4P".repeat(500);
    [
        ("item", "Item", item(1)),
        ("list of 100", "List", items(100)),
        ("text", "Text", json!({"text": text})),
        ("numbers", "Numbers", numbers),
        ("bytes", "Blob", json!({"data": blob})),
    ]
    .into_iter()
    .map(|(name, message, value)| {
        let full_name = format!("bench.{message}");
        let descriptor = pool.get_message_by_name(&full_name).expect("it is there");
        let json = value.to_string().into_bytes();
        let wire = DynamicMessage::deserialize(descriptor.clone(), &value).expect("JSON of it").encode_to_vec();
        Case { name, id: types.get(&full_name).expect("it is there"), descriptor, json, wire }
    })
    .collect()
}

fn each_way(c: &mut Criterion) {
    let folder = std::env::temp_dir().join(format!("transcode-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    std::fs::write(folder.join("bench.proto"), PROTO).expect("write the proto");
    let mut compiler = protox::Compiler::new([&folder]).expect("the folder");
    compiler.include_imports(true).open_file("bench.proto").expect("a good proto");
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).expect("descriptors");
    let _ = std::fs::remove_dir_all(folder);
    let types = Types::load(&pool, Options::default()).expect("plans");
    for case in cases(&types, &pool) {
        let mut out = Vec::with_capacity(case.json.len() * 2);
        let mut group = c.benchmark_group("json to wire");
        group.throughput(Throughput::Bytes(case.json.len() as u64));
        group.bench_function(BenchmarkId::new("transcode", case.name), |b| {
            b.iter(|| {
                out.clear();
                types.json_to_wire(case.id, black_box(&case.json), &mut out).expect("good JSON");
                black_box(out.len())
            });
        });
        group.bench_function(BenchmarkId::new("serde_json::Value", case.name), |b| {
            b.iter(|| serde_json::from_slice::<Value>(black_box(&case.json)).expect("good JSON"));
        });
        group.bench_function(BenchmarkId::new("prost-reflect", case.name), |b| {
            b.iter(|| {
                let mut json = serde_json::Deserializer::from_slice(black_box(&case.json));
                DynamicMessage::deserialize(case.descriptor.clone(), &mut json).expect("good JSON").encode_to_vec()
            });
        });
        group.finish();

        let value: Value = serde_json::from_slice(&case.json).expect("good JSON");
        let mut group = c.benchmark_group("wire to json");
        group.throughput(Throughput::Bytes(case.json.len() as u64));
        group.bench_function(BenchmarkId::new("transcode", case.name), |b| {
            b.iter(|| {
                out.clear();
                types.wire_to_json(case.id, black_box(&case.wire), &mut out).expect("good bytes");
                black_box(out.len())
            });
        });
        group.bench_function(BenchmarkId::new("serde_json::Value", case.name), |b| {
            b.iter(|| serde_json::to_vec(black_box(&value)).expect("JSON"));
        });
        group.bench_function(BenchmarkId::new("prost-reflect", case.name), |b| {
            b.iter(|| {
                let message = DynamicMessage::decode(case.descriptor.clone(), black_box(&case.wire[..]));
                serde_json::to_vec(&message.expect("good bytes")).expect("JSON")
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = each_way
}
criterion_main!(benches);
