//! Tests of the crate from outside, against descriptors of its own.

mod differential;
mod http;
mod json;
mod json_table;
mod load;
mod wire;

use std::path::Path;
use std::sync::OnceLock;

use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorSet;
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
fn pool_of(source: &str) -> Result<DescriptorPool, String> {
    let file = protox_file(source)?;
    let mut pool = pool().clone();
    pool.add_file_descriptor_set(FileDescriptorSet { file }).map_err(|e| e.to_string())?;
    Ok(pool)
}

fn protox_file(source: &str) -> Result<Vec<prost_reflect::prost_types::FileDescriptorProto>, String> {
    use prost_reflect::prost::Message as _;
    let dir = std::env::temp_dir().join(format!(
        "transcode-{}-{:?}-{}",
        std::process::id(),
        std::thread::current().id(),
        source.len()
    ));
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    std::fs::write(dir.join("inline.proto"), source).map_err(|e| e.to_string())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = (|| {
        let mut compiler = protox::Compiler::new([dir.clone(), root.join("../../proto")]).map_err(|e| e.to_string())?;
        compiler.include_source_info(false);
        compiler.open_file("inline.proto").map_err(|e| format!("{e:?}"))?;
        FileDescriptorSet::decode(compiler.encode_file_descriptor_set().as_slice()).map_err(|e| e.to_string())
    })();
    std::fs::remove_dir_all(&dir).map_err(|e| e.to_string())?;
    Ok(compiled?.file.into_iter().filter(|f| f.name() == "inline.proto").collect())
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
