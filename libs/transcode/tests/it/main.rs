//! Tests of the crate from outside, against descriptors of its own.

mod corpus;
mod differential;
mod http;
mod json;
mod json_table;
mod lists;
mod load;
mod published;
mod templates;
mod wire;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost_reflect::DescriptorPool;
use transcode::{Api, Options, Types};

/// Descriptors of the test protos.
fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut compiler = protox::Compiler::new([root.join("tests/it"), root.join("../../proto")]).unwrap();
        compiler.include_imports(true);
        compiler.open_files(["all_types.proto", "legacy.proto", "library.proto"]).unwrap();
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(compiler.encode_file_descriptor_set().as_slice()).unwrap();
        pool
    })
}

/// Descriptors of a proto file given as text, beside those of google.api.
fn pool_of(source: &str) -> DescriptorPool {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let unique = format!("transcode-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(unique);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("inline.proto"), source).unwrap();
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([dir.clone(), protos]).unwrap();
    compiler.open_file("inline.proto").unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
    let mut pool = pool().clone();
    pool.decode_file_descriptor_set(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    pool
}

fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| types_with(Options::default()))
}

fn types_with(options: Options) -> Types {
    Types::load(pool(), options).unwrap()
}

fn library() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| library_with(Options::default()))
}

fn library_with(options: Options) -> Api {
    Api::load(pool(), &["transcode.test.v1.Library"], options).unwrap()
}

const ALL: &str = "transcode.test.v1.AllTypes";

/// Wire bytes of a document of the named type.
fn to_wire(types: &Types, name: &str, json: &[u8]) -> Result<Vec<u8>, transcode::Error> {
    let mut out = Vec::new();
    types.json_to_wire(types.get(name).unwrap(), json, &mut out)?;
    Ok(out)
}

/// JSON of wire bytes of the named type.
fn to_json(types: &Types, name: &str, wire: &[u8]) -> Result<String, transcode::Error> {
    let mut out = Vec::new();
    types.wire_to_json(types.get(name).unwrap(), wire, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}
