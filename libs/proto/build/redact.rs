//! `impl Debug` for every message with a sensitive field: it prints everything but that field,
//! so that no log line of ours can hold personal data or a secret by accident.
//!
//! prost leaves out the `Debug` of what is declared inside such a message too; it is written here as well.

use crate::{has_sensitive_field, ident, is_sensitive, messages, rust_module, rust_path, snake};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use std::fmt::Write;

pub fn generate(pool: &DescriptorPool) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for m in messages(pool).filter(|m| within(Some(m.clone()))) {
        write!(
            code,
            "impl std::fmt::Debug for {} {{ fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ \
             f.debug_struct({:?})",
            rust_path(&m),
            m.name()
        )?;
        let mut oneofs = Vec::new();
        for field in m.fields() {
            match field.containing_oneof().filter(|o| !o.is_synthetic()) {
                Some(o) if oneofs.contains(&o.name().to_owned()) => {}
                Some(o) => {
                    oneofs.push(o.name().to_owned());
                    write!(code, ".field({:?}, &\"[oneof]\")", snake(o.name()))?;
                }
                None if is_sensitive(&field) => write!(code, ".field({:?}, &\"[redacted]\")", field.name())?,
                None => write!(code, ".field({:?}, &self.{})", field.name(), ident(field.name()))?,
            }
        }
        writeln!(code, ".finish() }} }}")?;
    }
    for e in pool.all_enums().filter(|e| within(e.parent_message())) {
        let parent = e.parent_message().expect("it is inside one");
        let path = format!("{}::{}", rust_module(&parent), e.name());
        writeln!(
            code,
            "impl std::fmt::Debug for {path} {{ fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ \
             f.write_str(self.as_str_name()) }} }}"
        )?;
    }
    Ok(code)
}

/// Whether `m`, or a message around it, has a sensitive field.
fn within(m: Option<MessageDescriptor>) -> bool {
    m.is_some_and(|m| has_sensitive_field(&m) || within(m.parent_message()))
}
