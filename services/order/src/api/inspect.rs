//! For operators: what does not get on, and a push.

use crate::{
    Orders,
    store::{
        self,
        saga::{Model as Saga, Which},
    },
};
use jangteo_core::{Call, Result};
use proto::jangteo::order::v1 as wire;

/// So many are listed.
const MOST: u64 = 500;

impl Orders {
    pub(super) async fn overdue(&self, _cx: Call, req: wire::ListSagasRequest) -> Result<wire::ListSagasResponse> {
        let sagas = match req.order_id.as_str() {
            "" => {
                let before = self.now() - req.overdue_secs.min(MAX_SECS) * 1_000_000;
                store::saga::stuck(self.db.primary(), before, MOST).await?
            }
            order_id => store::saga::of(self.db.primary(), order_id).await?,
        };
        Ok(wire::ListSagasResponse { sagas: sagas.into_iter().map(Saga::wire).collect() })
    }

    pub(super) async fn retry(&self, cx: Call, req: wire::RetrySagasRequest) -> Result<wire::RetrySagasResponse> {
        store::order::find(self.db.primary(), &req.order_id).await?;
        for saga in self.claim(&cx, Which::AllOf(&req.order_id)).await? {
            self.drive(&cx, saga).await?;
        }
        let left = store::saga::of(self.db.primary(), &req.order_id).await?;
        Ok(wire::RetrySagasResponse { sagas: left.into_iter().map(Saga::wire).collect() })
    }
}

/// Ten years; what is asked beyond would leave 64 bits of microseconds.
const MAX_SECS: i64 = 10 * 366 * 24 * 3600;
