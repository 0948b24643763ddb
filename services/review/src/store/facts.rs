//! What is known of a person, counted; and what the checks look for.

use super::{rating, review, temperature, trade};
use crate::domain::{self, standing::Facts};
use jangteo_core::{Result, Time, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::review::v1::{ReviewStatus, TagCount, TemperatureReason, TradeRole};
use sea_orm::{
    ConnectionTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};
use std::time::Duration;

/// How long a cancelled sale or a lost dispute is remembered against a person.
const REMEMBERED: Duration = Duration::from_secs(180 * 24 * 60 * 60);

pub mod paid {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "paid_order")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub order_id: String,
        pub paid_time: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub mod shipped {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shipped_part")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub order_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub part: i64,
        pub seller_id: String,
        pub on_time: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub async fn paid(tx: &Tx, order_id: &str, at: Time) -> Result<()> {
    let row = paid::Model { order_id: order_id.to_owned(), paid_time: micros(at) };
    let conflict = OnConflict::column(paid::Column::OrderId).do_nothing().to_owned();
    let insert = paid::Entity::insert(paid::ActiveModel::from(row).reset_all()).on_conflict(conflict);
    insert.exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Nothing of the order will ship any more.
pub async fn closed(tx: &Tx, order_id: &str) -> Result<()> {
    paid::Entity::delete_by_id(order_id).exec(tx).await.db()?;
    Ok(())
}

/// Notes whether a part left within `grace` of its payment. Nothing is noted of an order whose payment nobody told of.
pub async fn shipped(tx: &Tx, order_id: &str, part: i64, seller_id: &str, at: Time, grace: Duration) -> Result<()> {
    let Some(order) = paid::Entity::find_by_id(order_id).one(tx).await.db()? else { return Ok(()) };
    let on_time = micros(at) <= micros(jangteo_core::from_micros(order.paid_time) + grace);
    let row = shipped::Model { order_id: order_id.to_owned(), part, seller_id: seller_id.to_owned(), on_time };
    let conflict = OnConflict::columns([shipped::Column::OrderId, shipped::Column::Part]).do_nothing().to_owned();
    let insert = shipped::Entity::insert(shipped::ActiveModel::from(row).reset_all()).on_conflict(conflict);
    insert.exec_without_returning(tx).await.db()?;
    Ok(())
}

fn revealed() -> Expr {
    review::is(ReviewStatus::Revealed)
}

/// What is known of a person now.
pub async fn of<C: ConnectionTrait>(conn: &C, user_id: &str, registered: Time, now: Time) -> Result<Facts> {
    let bought = || trade::Entity::find().filter(trade::Column::BuyerId.eq(user_id));
    let shipped = || shipped::Entity::find().filter(shipped::Column::SellerId.eq(user_id));
    let ratings: Vec<(i64, i64)> = review::Entity::find()
        .select_only()
        .column(review::Column::Rating)
        .column_as(review::Column::ReviewId.count(), "n")
        .filter(review::Column::SubjectId.eq(user_id))
        .filter(revealed())
        .group_by(review::Column::Rating)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    let lapses = [TemperatureReason::SellerCancelled, TemperatureReason::DisputeLost].map(|r| i64::from(i32::from(r)));
    let lapses = temperature::Entity::find()
        .filter(temperature::Column::UserId.eq(user_id))
        .filter(temperature::Column::Reason.is_in(lapses))
        .filter(temperature::Column::CreateTime.gt(micros(now - REMEMBERED)));
    let written = review::Entity::find().filter(review::Column::AuthorId.eq(user_id)).filter(revealed());
    Ok(Facts {
        sold: count(conn, trade::Entity::find().filter(trade::Column::SellerId.eq(user_id))).await?,
        bought: count(conn, bought()).await?,
        confirmed: count(conn, bought().filter(trade::Column::ByDeadline.eq(false))).await?,
        shipped: count(conn, shipped()).await?,
        on_time: count(conn, shipped().filter(shipped::Column::OnTime.eq(true))).await?,
        ratings: rating::tally(&ratings),
        written: count(conn, written).await?,
        lapses: count(conn, lapses).await?,
        milli: temperature::milli(conn, user_id).await?,
        age_days: Facts::days_since(registered, now),
    })
}

async fn count<C: ConnectionTrait, E: EntityTrait>(conn: &C, select: sea_orm::Select<E>) -> Result<i64>
where
    E::Model: Sync,
{
    Ok(select.count(conn).await.db()? as i64)
}

/// How often each tag was given to a person, the most frequent first.
pub async fn tags<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<Vec<TagCount>> {
    use rating::tag;
    let received = review::Entity::find()
        .select_only()
        .column(review::Column::ReviewId)
        .filter(review::Column::SubjectId.eq(user_id))
        .filter(revealed())
        .into_query();
    let counts: Vec<(i64, i64)> = tag::Entity::find()
        .select_only()
        .column(tag::Column::Tag)
        .column_as(tag::Column::ReviewId.count(), "n")
        .filter(tag::Column::ReviewId.in_subquery(received))
        .group_by(tag::Column::Tag)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    let small = domain::standing::small;
    let mut counts: Vec<_> = counts.into_iter().map(|(tag, n)| TagCount { tag: small(tag), count: small(n) }).collect();
    counts.sort_by_key(|c| (-c.count, c.tag));
    Ok(counts)
}

/// Reviews that can't be: of no confirmed trade, of other people than its sides, unnoted in it, or seen too early.
pub async fn check<C: ConnectionTrait>(conn: &C) -> Result<Vec<String>> {
    let role = |role: TradeRole| review::Column::SubjectRole.eq(i64::from(i32::from(role)));
    let (of_seller, of_buyer) = (|| role(TradeRole::Seller), || role(TradeRole::Buyer));
    let same = |r: review::Column, t: trade::Column| Expr::col((review::Entity, r)).eq(Expr::col((trade::Entity, t)));
    let sides = |author, subject| same(review::Column::AuthorId, author).and(same(review::Column::SubjectId, subject));
    let noted =
        (of_seller().and(trade::Column::BuyerWrote.eq(true))).or(of_buyer().and(trade::Column::SellerWrote.eq(true)));
    let theirs = (of_seller().and(sides(trade::Column::BuyerId, trade::Column::SellerId)))
        .or(of_buyer().and(sides(trade::Column::SellerId, trade::Column::BuyerId)));
    let open = (trade::Column::BuyerWrote.eq(true).and(trade::Column::SellerWrote.eq(true))).or(Expr::col((
        review::Entity,
        review::Column::RevealTime,
    ))
    .gte(Expr::col((trade::Entity, trade::Column::RevealTime))));
    let proper = noted.and(theirs).and(revealed().not().or(open));
    let in_trade = sea_orm::sea_query::Query::select()
        .expr(Expr::value(1))
        .from(trade::Entity)
        .and_where(same(review::Column::OrderId, trade::Column::OrderId))
        .and_where(same(review::Column::Part, trade::Column::Part))
        .and_where(proper)
        .to_owned();
    let wrong: Vec<(String, String)> = review::Entity::find()
        .select_only()
        .columns([review::Column::ReviewId, review::Column::OrderId])
        .filter(Expr::exists(in_trade).not())
        .limit(100)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    Ok(wrong.into_iter().map(|(review, order)| format!("{review} doesn't fit its trade in {order}")).collect())
}
