//! The RPCs: authorise, load, decide, write, reply.

use crate::{
    {{Plural}},
    domain::{self, {{Name}}Id},
    store,
};
use jangteo_core::{Call, Result};
use kit::db::Tx;
use proto::jangteo::{{name}}::v1::{self as wire, {{name}}_service::Api};

impl Api for {{Plural}} {
    async fn create_{{name}}(&self, cx: Call, req: wire::Create{{Name}}Request) -> Result<wire::{{Name}}> {
        let event = &domain::created({{Name}}Id::new(), cx.user_id()?, &req, cx.now)?;
        let write = async |tx: Tx| {
            let row = store::insert(&tx, event).await?;
            tx.emit(event).await?;
            Ok(row.into_wire())
        };
        self.db.write(&cx, write).await
    }

    async fn get_{{name}}(&self, cx: Call, req: wire::Get{{Name}}Request) -> Result<wire::{{Name}}> {
        let row = store::find(self.db.primary(), &req.{{name}}_id).await?;
        cx.owns(&row.owner_id)?;
        Ok(row.into_wire())
    }
}
