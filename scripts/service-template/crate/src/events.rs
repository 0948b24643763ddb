//! What happens elsewhere and is of interest here, and what happens by the clock.

use crate::{{{Plural}}, store};
use jangteo_core::Result;
use kit::{Received, db::Tx};
use proto::jangteo::{{name}}::v1::{{Name}}Created;
use std::sync::Arc;

impl {{Plural}} {
    pub async fn {{name}}_created(self: Arc<Self>, ev: Received<{{Name}}Created>) -> Result<()> {
        let {{name}}_id = &ev.{{name}}_id;
        ev.apply(&self.db, async |tx: Tx| store::announce(&tx, {{name}}_id).await).await
    }
}
