//! Points: booked once for each occasion, never below zero.

use crate::{
    Users,
    domain::{self, Fault},
    store::{self, points::Model},
};
use jangteo_core::{Call, Id, Result};
use proto::jangteo::user::v1 as wire;

impl Users {
    pub(super) async fn points(&self, cx: Call, req: wire::GetPointsRequest) -> Result<wire::Points> {
        let user = cx.user_id()?;
        let bound = format!("points {user}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let (balance, _) = store::points::balance(self.db.primary(), user).await?;
        let found = store::points::page(&self.db, user, &page).await?;
        Ok(wire::Points {
            balance: Some(balance),
            entries: found.rows.into_iter().map(Into::into).collect(),
            next_page_token: found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last)),
        })
    }

    pub(super) async fn book_points(&self, cx: Call, req: wire::AdjustPointsRequest) -> Result<wire::PointsEntry> {
        let wire::AdjustPointsRequest { user_id, delta, key, reason } = &req;
        let entry_id = &Id::<domain::PointsEntry>::new().to_string();
        let write = async |tx: kit::db::Tx| {
            if let Some(entry) = store::points::booked(&tx, user_id, key).await? {
                return match (entry.delta, entry.reason.as_str()) == (*delta, reason.as_str()) {
                    true => Ok(entry.into()),
                    false => Err(Fault::PointsKeyReused { key: key.clone() }.into()),
                };
            }
            let added = store::points::add(&tx, user_id, *delta).await?;
            let (balance, seq) = store::points::balance(&tx, user_id).await?;
            if !added {
                return Err(Fault::NotEnoughPoints { balance }.into());
            }
            let entry = Model {
                entry_id: entry_id.clone(),
                user_id: user_id.clone(),
                seq,
                occasion: key.clone(),
                delta: *delta,
                balance,
                reason: reason.clone(),
                create_time: 0,
            };
            let event = wire::PointsAdjusted {
                user_id: user_id.clone(),
                entry_id: entry_id.clone(),
                delta: *delta,
                balance,
                reason: reason.clone(),
            };
            tx.append(user_id, seq - 1, &[event]).await?;
            Ok(store::points::insert(&tx, entry).await?.into())
        };
        self.db.write(&cx, write).await
    }
}
