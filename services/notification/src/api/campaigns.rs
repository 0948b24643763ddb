//! What is told to many people at once.

use crate::{
    Notifications,
    domain::{self, Fault},
    store::{self, campaign::Model},
};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Id, Result, Time, Violations, micros};
use kit::db::Tx;
use prost::Message;
use proto::jangteo::notification::v1::{
    BroadcastRequest, Campaign, CampaignStatus, CancelCampaignRequest, UserList, broadcast_request::Audience,
};
use std::collections::BTreeSet;

/// How far ahead a campaign may be ordered.
const AHEAD: TimeDelta = TimeDelta::days(366);

/// What the rules of the single fields can't say.
fn checked(req: &BroadcastRequest, now: Time) -> Result<Time> {
    let mut bad = Violations::default();
    let names: BTreeSet<&str> = req.variants.iter().map(|v| v.name.as_str()).collect();
    if names.len() < req.variants.len() {
        bad.add("variants", "NOT_UNIQUE", "must have different names");
    }
    let time = req.send_time.as_ref().map_or(now, proto::time);
    if time > now + AHEAD {
        bad.add("send_time", "OUT_OF_RANGE", "must be within a year");
    }
    bad.none()?;
    Ok(time.max(now))
}

impl Notifications {
    pub(super) async fn begin_campaign(&self, cx: Call, mut req: BroadcastRequest) -> Result<Campaign> {
        let (created_by, send_time) = (cx.user_id()?, checked(&req, cx.now)?);
        let people = match &mut req.audience {
            Some(Audience::Users(list)) => std::mem::take(list).user_ids,
            _ => Vec::new(),
        };
        // The list has a table of its own.
        if !people.is_empty() {
            req.audience = Some(Audience::Users(UserList::default()));
        }
        let campaign_id = Id::<domain::Campaign>::new().to_string();
        let row = &Model {
            campaign_id,
            created_by: created_by.to_owned(),
            request: req.encode_to_vec(),
            status: i32::from(CampaignStatus::Scheduled).into(),
            send_time: micros(send_time),
            progress: String::new(),
            create_time: micros(cx.now),
        };
        let people = &people;
        let write = async |tx: Tx| {
            store::campaign::insert(&tx, row, people).await?;
            store::campaign::report(&tx, row.clone()).await
        };
        self.db.write(&cx, write).await
    }

    pub(super) async fn campaign(&self, campaign_id: &str) -> Result<Campaign> {
        let conn = self.db.primary();
        store::campaign::report(conn, store::campaign::find(conn, campaign_id).await?).await
    }

    pub(super) async fn stop_campaign(&self, cx: Call, req: CancelCampaignRequest) -> Result<Campaign> {
        let id = &req.campaign_id;
        let write = async |tx: Tx| {
            let row = store::campaign::find(&tx, id).await?;
            match row.status() {
                CampaignStatus::Cancelled => return store::campaign::report(&tx, row).await,
                CampaignStatus::Done => return Err(Fault::CampaignOver { status: "done" }.into()),
                _ => {}
            }
            // The job may have gone on since; on SQLite it can't, on PostgreSQL it is a race to run again.
            if !store::campaign::advance(&tx, &row, CampaignStatus::Cancelled, &row.progress).await? {
                return Err(Error::unavailable("the campaign"));
            }
            let cancelled = i32::from(CampaignStatus::Cancelled).into();
            store::campaign::report(&tx, Model { status: cancelled, ..row }).await
        };
        self.db.write(&cx, write).await
    }
}
