//! Compiles `proto/` without a protoc: messages and tonic stubs by prost, and beside them what
//! thirty services would otherwise repeat by hand: handler traits and clients (`handlers`),
//! input checks (`rules`), the event trait (`events`) and logs without secrets (`redact`).

mod events;
mod handlers;
mod redact;
mod rules;

use prost_reflect::{FieldDescriptor, MessageDescriptor};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let out = told("OUT_DIR")?;
    let root = told("CARGO_MANIFEST_DIR")?.join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-changed=build");

    let mut files = Vec::new();
    for dir in ["jangteo", "google/api", "google/rpc", "google/type"] {
        find_protos(&root.join(dir), &root, &mut files)?;
    }
    files.sort();
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files)?;
    // The raw bytes: a round trip through prost_types would drop every custom option.
    fs::write(out.join("descriptors.binpb"), compiler.encode_file_descriptor_set())?;

    let pool = compiler.descriptor_pool();
    let mut config = prost_build::Config::new();
    config.enable_type_names();
    config.extern_path(".google.rpc", "::tonic_types::pb");
    // Read as descriptors only; nothing needs them as Rust types.
    config.extern_path(".buf.validate", "::prost_types");
    config.include_file("modules.rs");
    // A map's entries in one order, so that the same request has the same fingerprint everywhere.
    config.btree_map(["."]);
    config.service_generator(handlers::generator(pool.clone()));
    config.skip_debug(messages(&pool).filter(has_sensitive_field).map(|m| format!(".{}", m.full_name())));
    let mut set = compiler.file_descriptor_set();
    set.file.retain(|f| !f.package().starts_with("buf."));
    config.compile_fds(set)?;

    let mut code = rules::generate(&pool)?;
    code.push_str(&events::generate(&pool)?);
    code.push_str(&redact::generate(&pool)?);
    fs::write(out.join("impls.rs"), code)?;
    for_tests(&root, &out.join("tests"))
}

/// The same for `tests/rules.proto`, which holds every kind of rule and is no part of the market.
fn for_tests(root: &Path, out: &Path) -> Result {
    fs::create_dir_all(out)?;
    let tests = told("CARGO_MANIFEST_DIR")?.join("tests");
    println!("cargo:rerun-if-changed={}", tests.join("rules.proto").display());
    let mut compiler = protox::Compiler::new([&tests, root])?;
    compiler.include_imports(true).open_file("rules.proto")?;
    let pool = compiler.descriptor_pool();
    let mut config = prost_build::Config::new();
    config.out_dir(out).include_file("modules.rs").btree_map(["."]);
    config.skip_debug(messages(&pool).filter(has_sensitive_field).map(|m| format!(".{}", m.full_name())));
    let mut set = compiler.file_descriptor_set();
    set.file.retain(|f| !f.package().starts_with("buf."));
    config.compile_fds(set)?;
    fs::write(out.join("impls.rs"), rules::generate(&pool)? + &redact::generate(&pool)?)?;
    Ok(())
}

/// A directory that cargo tells of.
#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment alone")]
fn told(name: &str) -> Result<PathBuf> {
    Ok(env::var(name)?.into())
}

fn find_protos(dir: &Path, root: &Path, files: &mut Vec<PathBuf>) -> Result {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_protos(&path, root, files)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            files.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

/// Every message of ours.
fn messages(pool: &prost_reflect::DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    let mut all: Vec<_> =
        pool.all_messages().filter(|m| m.package_name().starts_with("jangteo.") && !m.is_map_entry()).collect();
    all.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    all.into_iter()
}

/// Such a message gets its `Debug` from `redact` instead of a derive.
fn has_sensitive_field(m: &MessageDescriptor) -> bool {
    m.fields().any(|f| is_sensitive(&f))
}

fn is_sensitive(f: &FieldDescriptor) -> bool {
    f.options()
        .extensions()
        .any(|(e, v)| e.full_name() == "jangteo.options.v1.sensitivity" && v.as_enum_number().is_some_and(|n| n != 0))
}

/// The Rust path of a message from the crate's root: `crate::jangteo::auth::v1::login_request::Device`.
fn rust_path(m: &MessageDescriptor) -> String {
    let mut path = String::from("crate");
    for part in m.package_name().split('.') {
        path.push_str("::");
        path.push_str(&ident(part));
    }
    let mut outer = Vec::new();
    let mut parent = m.parent_message();
    while let Some(p) = parent {
        outer.push(snake(p.name()));
        parent = p.parent_message();
    }
    for o in outer.iter().rev() {
        path.push_str("::");
        path.push_str(&ident(o));
    }
    path.push_str("::");
    path.push_str(m.name());
    path
}

/// The module of what is declared inside a message.
fn rust_module(m: &MessageDescriptor) -> String {
    let path = rust_path(m);
    let (outer, name) = path.rsplit_once("::").expect("a path");
    format!("{outer}::{}", ident(&snake(name)))
}

/// A name as prost writes it where it is a Rust keyword.
fn ident(name: &str) -> String {
    match name {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "fn" | "for" | "if" | "impl" | "in" | "let"
        | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static" | "struct" | "trait"
        | "type" | "unsafe" | "use" | "where" | "while" | "async" | "await" | "dyn" | "abstract" | "box" | "do"
        | "final" | "macro" | "override" | "priv" | "try" | "virtual" | "yield" => format!("r#{name}"),
        _ => name.to_owned(),
    }
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
