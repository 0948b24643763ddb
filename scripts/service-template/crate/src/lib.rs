//! {{Plural}}: say here what one is, and what it is for.
//!
//! Owns: {{plural}}.
//! Calls: nobody. Emits: `{{Name}}Created`. Listens to: its own `{{Name}}Created`.

mod api;
pub mod domain;
mod events;
mod migrations;
mod store;

pub use migrations::MIGRATIONS;

use jangteo_core::Result;
use kit::{
    Boot, Mount, Service,
    db::{Db, Migrations},
};
use proto::jangteo::{{name}}::v1::{{name}}_service;
use serde::Deserialize;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

pub struct {{Plural}} {
    db: Db,
}

impl Service for {{Plural}} {
    const NAME: &'static str = "{{name}}";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        Ok({{Plural}} { db: cx.db() })
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc({{name}}_service::routes).on(Self::{{name}}_created);
    }
}
