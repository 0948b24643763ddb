//! Notices on their way out of the app.

use super::{column, notification, rows};
use crate::domain::{
    self,
    course::{Course, State},
    kind::Kind,
    preferences::Preferences,
};
use jangteo_core::{Id, Result, Time, from_micros, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::notification::v1::Channel;
use sea_orm::{ActiveValue::Set, Condition, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub delivery_id: String,
    pub notification_id: String,
    pub user_id: String,
    /// Numbers of the ways to try, separated by commas.
    pub channels: String,
    pub position: i64,
    pub state: String,
    pub reason: String,
    pub turn: i64,
    pub tries: i64,
    pub lost: i64,
    pub due_time: i64,
    pub attempts: i64,
    pub provider: String,
    pub message_id: String,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// No receipt is asked for at this time.
pub const NEVER: i64 = i64::MAX;

fn small(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

impl Model {
    pub fn course(&self) -> Course {
        let channel = |n: &str| n.parse::<i32>().ok().and_then(|n| Channel::try_from(n).ok());
        Course {
            channels: self.channels.split(',').filter_map(channel).collect(),
            at: small(self.position) as usize,
            state: State::from_name(&self.state).unwrap_or(State::Failed),
            reason: self.reason.clone(),
            turn: small(self.turn) as usize,
            tries: small(self.tries),
            lost: small(self.lost),
            due: from_micros(self.due_time),
        }
    }
}

/// The ways that a notice takes, as rows to be.
pub fn drafts(notice: &notification::Model, kind: Kind, legs: &[&[Channel]], p: &Preferences, now: Time) -> Vec<Model> {
    let draft = |channels: &&[Channel]| {
        let digest = p.digest_time(kind, now).filter(|_| **channels == [Channel::Email]);
        let numbers: Vec<String> = channels.iter().map(|c| i32::from(*c).to_string()).collect();
        Model {
            delivery_id: Id::<domain::Delivery>::new().to_string(),
            notification_id: notice.notification_id.clone(),
            user_id: notice.user_id.clone(),
            channels: numbers.join(","),
            position: 0,
            state: if digest.is_some() { State::Gathering } else { State::Waiting }.name().to_owned(),
            reason: String::new(),
            turn: 0,
            tries: 0,
            lost: 0,
            due_time: micros(digest.unwrap_or(now)),
            attempts: 0,
            provider: String::new(),
            message_id: String::new(),
            create_time: micros(now),
            update_time: micros(now),
        }
    };
    legs.iter().map(draft).collect()
}

pub async fn insert(tx: &Tx, drafts: Vec<Model>) -> Result<()> {
    if drafts.is_empty() {
        return Ok(());
    }
    let rows = drafts.into_iter().map(|d| ActiveModel::from(d).reset_all());
    Entity::insert_many(rows).exec_without_returning(tx).await.db()?;
    Ok(())
}

fn in_state(state: State, until: Time) -> Condition {
    Condition::all().add(Column::State.eq(state.name())).add(Column::DueTime.lte(micros(until)))
}

async fn oldest<C: ConnectionTrait>(conn: &C, which: Condition, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(which).order_by_asc(Column::DueTime).order_by_asc(Column::DeliveryId);
    select.limit(limit).all(conn).await.db()
}

/// What is to be sent now, the longest due first, and what somebody took up and never ended.
pub async fn due<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<Model>> {
    let which = Condition::any().add(in_state(State::Waiting, now)).add(in_state(State::Sending, now));
    oldest(conn, which, limit).await
}

/// What a provider took and may know more of by now.
pub async fn unconfirmed<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<Model>> {
    oldest(conn, in_state(State::Sent, now), limit).await
}

/// People whose digest is due.
pub async fn gatherers<C: ConnectionTrait>(conn: &C, now: Time, limit: u64) -> Result<Vec<String>> {
    let select = Entity::find().select_only().column(Column::UserId).distinct();
    let due = select.filter(in_state(State::Gathering, now)).order_by_asc(Column::UserId);
    due.limit(limit).into_tuple().all(conn).await.db()
}

/// What belongs in a person's digest.
pub async fn gathered<C: ConnectionTrait>(conn: &C, user_id: &str, now: Time, limit: u64) -> Result<Vec<Model>> {
    oldest(conn, in_state(State::Gathering, now).add(Column::UserId.eq(user_id)), limit).await
}

/// Takes a delivery up at this point of its course, unless somebody else did since it was read.
pub async fn claim(tx: &Tx, seen: &Model, at: &Course, until: Time) -> Result<bool> {
    let update = ActiveModel {
        state: Set(State::Sending.name().to_owned()),
        attempts: Set(seen.attempts + 1),
        due_time: Set(micros(until)),
        ..moved(at, tx.now())
    };
    change(tx, seen, seen.attempts, update).await
}

/// Where a delivery stands from now on, unless somebody else took it up since it was `seen` with so many `attempts`.
pub async fn advance(tx: &Tx, seen: &Model, attempts: i64, to: &Course) -> Result<bool> {
    let update = moved(to, tx.now());
    change(tx, seen, attempts, update).await
}

/// A provider took it, and is asked for a receipt then.
pub async fn sent(
    tx: &Tx,
    seen: &Model,
    attempts: i64,
    to: &Course,
    provider: &str,
    message_id: &str,
    ask: i64,
) -> Result<bool> {
    let update = ActiveModel {
        provider: Set(provider.to_owned()),
        message_id: Set(message_id.to_owned()),
        due_time: Set(ask),
        ..moved(to, tx.now())
    };
    change(tx, seen, attempts, update).await
}

fn moved(to: &Course, now: Time) -> ActiveModel {
    ActiveModel {
        position: Set(to.at as i64),
        state: Set(to.state.name().to_owned()),
        reason: Set(to.reason.clone()),
        turn: Set(to.turn as i64),
        tries: Set(to.tries.into()),
        lost: Set(to.lost.into()),
        due_time: Set(micros(to.due)),
        update_time: Set(micros(now)),
        ..Default::default()
    }
}

async fn change(tx: &Tx, seen: &Model, attempts: i64, update: ActiveModel) -> Result<bool> {
    let state = if attempts == seen.attempts { seen.state.as_str() } else { State::Sending.name() };
    let own = Entity::update_many().set(update).filter(Column::DeliveryId.eq(&seen.delivery_id));
    let unchanged = own.filter(Column::Attempts.eq(attempts)).filter(Column::State.eq(state));
    Ok(unchanged.exec(tx).await.db()?.rows_affected == 1)
}

/// When a receipt is asked for next.
pub async fn ask_again(tx: &Tx, seen: &Model, ask: i64) -> Result<()> {
    let update = ActiveModel { due_time: Set(ask), ..Default::default() };
    change(tx, seen, seen.attempts, update).await.map(|_| ())
}

/// Ends those of `ids` that still gather; answers how many.
pub async fn end_gathering(tx: &Tx, ids: &[String], state: State, reason: &str) -> Result<u64> {
    let update = ActiveModel {
        state: Set(state.name().to_owned()),
        reason: Set(reason.to_owned()),
        update_time: Set(micros(tx.now())),
        ..Default::default()
    };
    let which = Entity::update_many().set(update).filter(Column::DeliveryId.is_in(ids));
    Ok(which.filter(Column::State.eq(State::Gathering.name())).exec(tx).await.db()?.rows_affected)
}

/// Removes the deliveries of notices, and their attempts.
pub async fn forget(tx: &Tx, notification_ids: &[String]) -> Result<()> {
    let of = || Column::NotificationId.is_in(notification_ids);
    let ids: Vec<String> =
        Entity::find().select_only().column(Column::DeliveryId).filter(of()).into_tuple().all(tx).await.db()?;
    super::attempt::forget(tx, &ids).await?;
    Entity::delete_many().filter(of()).exec(tx).await.db()?;
    Ok(())
}

/// Deliveries without their notice.
pub async fn orphans<C: ConnectionTrait>(conn: &C) -> Result<Vec<String>> {
    let sql = "SELECT delivery_id FROM delivery WHERE NOT EXISTS \
         (SELECT 1 FROM notification WHERE notification.notification_id = delivery.notification_id) LIMIT 100";
    rows(conn, sql, vec![]).await?.iter().map(|row| column(row, "delivery_id")).collect()
}
