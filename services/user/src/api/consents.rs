//! Consents: answers are added, never changed.

use crate::{Users, domain::consent, store};
use jangteo_core::{Call, Result};
use proto::jangteo::user::v1 as wire;

impl Users {
    pub(super) async fn decide_consents(&self, cx: Call, req: wire::PutConsentsRequest) -> Result<wire::Consents> {
        let user = cx.user_id()?;
        let choices = &req.consents;
        let write = async |tx: kit::db::Tx| {
            let current = store::consent::current(&tx, user).await?;
            for new in consent::decide(&current, choices, tx.now())? {
                // The event first: two answers at once want the same version, and the slower one runs again.
                let event = wire::ConsentDecided {
                    user_id: user.to_owned(),
                    purpose: new.purpose,
                    granted: new.granted,
                    document_version: new.document_version,
                };
                tx.emit(&event).await?;
                store::consent::insert(&tx, user, &new).await?;
            }
            Ok(wire::Consents { consents: store::consent::current(&tx, user).await? })
        };
        self.db.write(&cx, write).await
    }
}
