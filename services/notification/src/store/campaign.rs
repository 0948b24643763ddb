//! What is told to many people at once.

use super::{column, rows};
use jangteo_core::{Error, Result, Time, from_micros, micros};
use kit::db::{DbResult, Tx};
use prost::Message;
use proto::jangteo::notification::v1::{BroadcastRequest, Campaign, CampaignStatus, VariantReport};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, entity::prelude::*,
    sea_query::SelectStatement,
};
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "campaign")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub campaign_id: String,
    pub created_by: String,
    /// A `BroadcastRequest` without its list of people.
    pub request: Vec<u8>,
    pub status: i64,
    pub send_time: i64,
    /// The last person told.
    pub progress: String,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

mod target {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "campaign_target")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub campaign_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Model {
    pub fn request(&self) -> Result<BroadcastRequest> {
        BroadcastRequest::decode(self.request.as_slice()).map_err(Error::internal)
    }

    pub fn status(&self) -> CampaignStatus {
        i32::try_from(self.status).ok().and_then(|n| n.try_into().ok()).unwrap_or_default()
    }
}

/// The people of a campaign's list.
pub fn targets(campaign_id: &str) -> SelectStatement {
    let of = target::Entity::find().select_only().column(target::Column::UserId);
    of.filter(target::Column::CampaignId.eq(campaign_id)).into_query()
}

pub async fn insert(tx: &Tx, row: &Model, user_ids: &[String]) -> Result<()> {
    Entity::insert(ActiveModel::from(row.clone()).reset_all()).exec_without_returning(tx).await.db()?;
    for user_ids in user_ids.chunks(500) {
        let rows = user_ids.iter().map(|user_id| target::ActiveModel {
            campaign_id: Set(row.campaign_id.clone()),
            user_id: Set(user_id.clone()),
        });
        target::Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    }
    Ok(())
}

/// Takes a person off every campaign's list.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    target::Entity::delete_many().filter(target::Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}

pub async fn find<C: ConnectionTrait>(conn: &C, campaign_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(campaign_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("campaign", campaign_id))
}

pub async fn find_many<C: ConnectionTrait>(conn: &C, ids: &[String]) -> Result<HashMap<String, Model>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = Entity::find().filter(Column::CampaignId.is_in(ids)).all(conn).await.db()?;
    Ok(rows.into_iter().map(|row| (row.campaign_id.clone(), row)).collect())
}

/// Campaigns whose people are to be told.
pub async fn due<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<Model>> {
    let open = [CampaignStatus::Scheduled, CampaignStatus::Running].map(|s| i64::from(i32::from(s)));
    let select = Entity::find().filter(Column::Status.is_in(open)).filter(Column::SendTime.lte(micros(now)));
    select.order_by_asc(Column::SendTime).limit(limit).all(conn).await.db()
}

/// Goes from what was `seen` on to `status` and `progress`, unless somebody else was faster.
pub async fn advance(tx: &Tx, seen: &Model, status: CampaignStatus, progress: &str) -> Result<bool> {
    let update =
        ActiveModel { status: Set(i32::from(status).into()), progress: Set(progress.to_owned()), ..Default::default() };
    let own = Entity::update_many().set(update).filter(Column::CampaignId.eq(&seen.campaign_id));
    let unchanged = own.filter(Column::Status.eq(seen.status)).filter(Column::Progress.eq(&seen.progress));
    Ok(unchanged.exec(tx).await.db()?.rows_affected == 1)
}

/// The campaign and what became of each of its wordings.
pub async fn report<C: ConnectionTrait>(conn: &C, row: Model) -> Result<Campaign> {
    let request = row.request()?;
    let people = "SELECT variant, COUNT(*) AS recipients, \
         SUM(CASE WHEN read_time IS NOT NULL THEN 1 ELSE 0 END) AS opened \
         FROM notification WHERE campaign_id = $1 GROUP BY variant";
    let ways = "SELECT n.variant AS variant, \
         SUM(CASE WHEN d.state IN ('sent', 'delivered') THEN 1 ELSE 0 END) AS sent, \
         SUM(CASE WHEN d.state = 'delivered' OR (d.state = 'sent' AND n.read_time IS NOT NULL) THEN 1 ELSE 0 END) \
         AS delivered, SUM(CASE WHEN d.state = 'failed' THEN 1 ELSE 0 END) AS failed \
         FROM notification n JOIN delivery d ON d.notification_id = n.notification_id \
         WHERE n.campaign_id = $1 GROUP BY n.variant";
    let name =
        |v: &proto::jangteo::notification::v1::Variant| VariantReport { name: v.name.clone(), ..Default::default() };
    let mut variants: Vec<VariantReport> = request.variants.iter().map(name).collect();
    let count =
        |row: &sea_orm::QueryResult, name: &str| column::<i64>(row, name).map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    for r in rows(conn, people, vec![row.campaign_id.clone().into()]).await? {
        if let Some(v) = usize::try_from(count(&r, "variant")?).ok().and_then(|n| variants.get_mut(n)) {
            (v.recipients, v.opened) = (count(&r, "recipients")?, count(&r, "opened")?);
        }
    }
    for r in rows(conn, ways, vec![row.campaign_id.clone().into()]).await? {
        if let Some(v) = usize::try_from(count(&r, "variant")?).ok().and_then(|n| variants.get_mut(n)) {
            (v.sent, v.delivered, v.failed) = (count(&r, "sent")?, count(&r, "delivered")?, count(&r, "failed")?);
        }
    }
    Ok(Campaign {
        category: request.category,
        channels: request.channels,
        status: row.status().into(),
        send_time: Some(proto::timestamp(from_micros(row.send_time))),
        variants,
        create_time: Some(proto::timestamp(from_micros(row.create_time))),
        campaign_id: row.campaign_id,
    })
}
