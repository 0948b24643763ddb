//! What the targets share: the descriptors of transcode's own tests, and that what was read settles.

use prost_reflect::DescriptorPool;
use std::{path::Path, sync::LazyLock};
use transcode::{Api, MessageId, Options, Types};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut compiler = protox::Compiler::new([root.join("libs/transcode/tests/it"), root.join("proto")]).unwrap();
    compiler.include_imports(true).open_files(["all_types.proto", "legacy.proto", "library.proto"]).unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
});

pub static API: LazyLock<Api> =
    LazyLock::new(|| Api::load(&POOL, &["transcode.test.v1.Library"], Options::default()).unwrap());

static TYPES: LazyLock<Types> = LazyLock::new(|| Types::load(&POOL, Options::default()).unwrap());

fn all() -> MessageId {
    TYPES.get("transcode.test.v1.AllTypes").unwrap()
}

pub fn to_wire(json: &[u8]) -> Result<Vec<u8>, transcode::Error> {
    let mut out = Vec::new();
    TYPES.json_to_wire(all(), json, &mut out)?;
    Ok(out)
}

pub fn to_json(wire: &[u8]) -> Result<Vec<u8>, transcode::Error> {
    let mut out = Vec::new();
    TYPES.wire_to_json(all(), wire, &mut out)?;
    Ok(out)
}

/// What was printed is read, and printed again the same.
pub fn settles(text: &[u8]) {
    let wire = to_wire(text).expect("what is printed can be read");
    assert_eq!(to_json(&wire).expect("and printed again"), text);
}
