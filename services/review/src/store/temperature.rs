//! Temperatures: an account of lines that are only added, and where it stands beside it in the same transaction.

use crate::domain::{
    standing::small,
    temperature::{self, Change, START, degrees},
};
use jangteo_core::{Entity as _, Id, Page, Result, Time, from_micros, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::review::v1::{TemperatureChange, TemperatureChanged, TemperatureReason};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};

pub mod now {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "temperature")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        pub milli: i64,
        /// How many lines the account has.
        pub entries: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "temperature_entry")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub change_id: String,
    pub user_id: String,
    pub seq: i64,
    pub occasion: String,
    /// Number of the proto's enum.
    pub reason: i64,
    pub delta: i64,
    pub before_milli: i64,
    pub after_milli: i64,
    pub review_id: String,
    pub rater_id: String,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    fn reason(&self) -> TemperatureReason {
        small(self.reason).try_into().unwrap_or(TemperatureReason::Unspecified)
    }

    pub fn into_wire(self) -> TemperatureChange {
        TemperatureChange {
            reason: small(self.reason),
            before: degrees(self.before_milli),
            after: degrees(self.after_milli),
            change_id: self.change_id,
            review_id: self.review_id,
            create_time: Some(proto::timestamp(from_micros(self.create_time))),
        }
    }
}

enum Line {}

impl jangteo_core::Entity for Line {
    const NAME: &'static str = "change";
    const PREFIX: &'static str = "tmc";
}

pub async fn milli<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<i64> {
    let row = now::Entity::find_by_id(user_id).one(conn).await.db()?;
    Ok(row.map_or(START, |row| row.milli))
}

/// What makes a temperature change.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    pub reason: TemperatureReason,
    /// Counts once, for ever.
    pub occasion: &'a str,
    /// Empty when no review did it.
    pub review_id: &'a str,
    pub rater_id: &'a str,
}

/// Adds a line to a person's account: `step` gives the change from where it stands. No change, no line.
pub async fn record(tx: &Tx, user_id: &str, cause: Cause<'_>, step: impl Fn(i64) -> i64 + Send) -> Result<()> {
    let fresh = now::ActiveModel { user_id: Set(user_id.to_owned()), milli: Set(START), entries: Set(0) };
    // Writing its own number into it locks the row.
    let lock = OnConflict::column(now::Column::UserId)
        .value(now::Column::Entries, Expr::col((now::Entity, now::Column::Entries)))
        .to_owned();
    let at = now::Entity::insert(fresh).on_conflict(lock).exec_with_returning(tx).await.db()?;
    let delta = step(at.milli);
    if delta == 0 || booked(tx, user_id, cause.occasion).await?.is_some() {
        return Ok(());
    }
    let row = Model {
        change_id: Id::<Line>::new().to_string(),
        user_id: user_id.to_owned(),
        seq: at.entries + 1,
        occasion: cause.occasion.to_owned(),
        reason: i32::from(cause.reason).into(),
        delta,
        before_milli: at.milli,
        after_milli: at.milli + delta,
        review_id: cause.review_id.to_owned(),
        rater_id: cause.rater_id.to_owned(),
        create_time: micros(tx.now()),
    };
    let event = TemperatureChanged {
        user_id: user_id.to_owned(),
        reason: cause.reason.into(),
        before_millidegrees: small(row.before_milli),
        after_millidegrees: small(row.after_milli),
    };
    now::Entity::update_many()
        .col_expr(now::Column::Milli, Expr::value(row.after_milli))
        .col_expr(now::Column::Entries, Expr::value(row.seq))
        .filter(now::Column::UserId.eq(user_id))
        .exec(tx)
        .await
        .db()?;
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(tx).await.db()?;
    tx.emit(&event).await?;
    Ok(())
}

/// What an occasion did to somebody's temperature.
pub async fn booked<C: ConnectionTrait>(conn: &C, user_id: &str, occasion: &str) -> Result<Option<i64>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::Occasion.eq(occasion));
    Ok(select.one(conn).await.db()?.map(|row| row.delta))
}

/// Whether the rater's word about the person counted since then.
pub async fn counted(tx: &Tx, user_id: &str, rater_id: &str, since: Time) -> Result<bool> {
    let rows = Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::RaterId.eq(rater_id))
        .filter(Column::CreateTime.gt(micros(since)))
        .all(tx)
        .await
        .db()?;
    let recent: Vec<_> = rows.into_iter().map(|row| (row.review_id.clone(), row.reason())).collect();
    Ok(temperature::counted(&recent))
}

/// A page of the account, the newest line first.
pub async fn page(db: &Db, user_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    db::page(db.primary(), select, page, &[Key::desc(Column::Seq)], |row: &Model| vec![row.seq.to_string()]).await
}

/// Accounts whose lines don't lead to where they stand. People are looked at in portions, by id.
pub async fn check<C: ConnectionTrait>(conn: &C) -> Result<Vec<String>> {
    const PEOPLE: u64 = 200;
    let mut wrong = Vec::new();
    let mut after = String::new();
    loop {
        let select = now::Entity::find().filter(now::Column::UserId.gt(&after)).order_by_asc(now::Column::UserId);
        let people = select.limit(PEOPLE).all(conn).await.db()?;
        let Some(last) = people.last() else { break };
        after.clone_from(&last.user_id);
        let ids = people.iter().map(|p| p.user_id.clone());
        let lines = Entity::find().filter(Column::UserId.is_in(ids)).order_by_asc(Column::Seq).all(conn).await.db()?;
        for p in &people {
            let own = lines.iter().filter(|line| line.user_id == p.user_id);
            let own: Vec<Change> = own
                .map(|l| Change { seq: l.seq, delta: l.delta, before: l.before_milli, after: l.after_milli })
                .collect();
            let found = temperature::audit(&own, p.milli, p.entries);
            wrong.extend(found.map(|what| format!("the temperature of {}: {what}", p.user_id)));
        }
    }
    let none = sea_orm::sea_query::Query::select().column(now::Column::UserId).from(now::Entity).to_owned();
    let lost = Entity::find().filter(Column::UserId.not_in_subquery(none)).limit(100).all(conn).await.db()?;
    wrong.extend(lost.into_iter().map(|row| format!("{} {} is of nobody's account", Line::NAME, row.change_id)));
    Ok(wrong)
}
