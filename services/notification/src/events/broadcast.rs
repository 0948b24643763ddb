//! The job that writes a campaign's notices, so many people in one transaction with how far it is: nobody is left out and
//! nobody is told twice, whenever the process dies.

use crate::{
    Notifications,
    domain::{kind::Kind, split},
    store::{
        self,
        campaign::Model,
        notification::{self, Model as Notice},
    },
};
use jangteo_core::{Call, Result};
use kit::db::Tx;
use proto::jangteo::notification::v1::{BroadcastRequest, CampaignStatus, Channel, broadcast_request::Audience};
use std::sync::Arc;

/// Campaigns at a time.
const CAMPAIGNS: u64 = 10;
/// People in one transaction.
const PEOPLE: u64 = 200;

impl Notifications {
    pub async fn broadcast_due(self: Arc<Self>, cx: Call) -> Result<()> {
        for campaign in store::campaign::due(self.db.primary(), cx.now, CAMPAIGNS).await? {
            let request = campaign.request()?;
            let mut at = Some(campaign);
            while let Some(seen) = at {
                at = self.broadcast_some(&cx, &seen, &request).await?;
            }
        }
        Ok(())
    }

    /// Tells the next people; `None`: nobody is left, or somebody else is at it or stopped it.
    async fn broadcast_some(&self, cx: &Call, seen: &Model, request: &BroadcastRequest) -> Result<Option<Model>> {
        let filter = match &request.audience {
            Some(Audience::Filter(filter)) => Some(filter),
            _ => None,
        };
        let conn = self.db.primary();
        let people = store::recipient::audience(conn, &seen.campaign_id, filter, &seen.progress, PEOPLE).await?;
        let (status, progress) = match people.last() {
            Some(last) => (CampaignStatus::Running, last.clone()),
            None => (CampaignStatus::Done, seen.progress.clone()),
        };
        let (people, to) = (&people, progress.as_str());
        let write = async |tx: Tx| {
            let mine = store::campaign::advance(&tx, seen, status, to).await?;
            if mine && !people.is_empty() {
                self.write_campaign(&tx, &seen.campaign_id, request, people).await?;
            }
            Ok(mine)
        };
        let mine = self.db.write(cx, write).await?;
        let next = Model { status: i32::from(status).into(), progress, ..seen.clone() };
        Ok((mine && status == CampaignStatus::Running).then_some(next))
    }

    async fn write_campaign(&self, tx: &Tx, id: &str, request: &BroadcastRequest, people: &[String]) -> Result<()> {
        let kind = Kind::of_campaign(request.category());
        let weights: Vec<i32> = request.variants.iter().map(|v| v.weight).collect();
        let channels: Vec<[Channel; 1]> = request.channels().map(|c| [c]).collect();
        let legs: Vec<&[Channel]> = channels.iter().map(<[Channel; 1]>::as_slice).collect();
        let preferences = store::preference::find_many(tx, people).await?;
        let mut drafts = Vec::with_capacity(people.len() * legs.len());
        for user_id in people {
            let own = preferences.get(user_id).cloned().unwrap_or_default();
            let row = Notice {
                in_app: own.allows(kind.category(), Channel::InApp),
                campaign_id: Some(id.to_owned()),
                variant: Some(split::variant(id, user_id, &weights) as i64),
                ..Notice::new(user_id, id, kind, tx.now())
            };
            if notification::insert(tx, &row).await? {
                drafts.extend(store::delivery::drafts(&row, kind, &legs, &own, tx.now()));
            }
        }
        // SQLite takes 32,766 values in a statement.
        for drafts in drafts.chunks(500) {
            store::delivery::insert(tx, drafts.to_vec()).await?;
        }
        self.news.tell_after(tx, people.iter().map(String::as_str));
        Ok(())
    }
}
