//! `impl Event` for every message that carries `(jangteo.options.v1.event)`.

use crate::{Result, ident, messages, rust_path};
use prost_reflect::{DescriptorPool, Kind, Value};
use std::fmt::Write;

pub fn generate(pool: &DescriptorPool) -> Result<String> {
    let option = pool.get_extension_by_name("jangteo.options.v1.event").ok_or("options.proto has no event option")?;
    let mut code = String::new();
    for m in messages(pool).filter(|m| m.options().has_extension(&option)) {
        let value = m.options().get_extension(&option).into_owned();
        let options = value.as_message().ok_or("the event option is a message")?;
        let text = |name: &str| match options.get_field_by_name(name).map(|v| v.into_owned()) {
            Some(Value::String(s)) if !s.is_empty() => Ok(s),
            _ => Err(format!("{}: the event option needs {name}", m.full_name())),
        };
        let (aggregate, key) = (text("aggregate")?, text("key")?);
        let field = m.get_field_by_name(&key).ok_or_else(|| format!("{} has no field {key}", m.full_name()))?;
        if field.kind() != Kind::String {
            return Err(format!("{}.{key} must be a string", m.full_name()).into());
        }
        let source = m.package_name().split('.').nth(1).ok_or("packages are jangteo.<service>.v1")?;
        writeln!(
            code,
            "impl crate::Event for {} {{ const SOURCE: &'static str = {source:?}; const AGGREGATE: &'static str = \
             {aggregate:?}; fn aggregate_id(&self) -> &str {{ &self.{} }} }}",
            rust_path(&m),
            ident(&key),
        )?;
    }
    Ok(code)
}
