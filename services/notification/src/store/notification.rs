//! Notices. `sealed` holds the facts; where they are a campaign's it is empty.

use crate::domain::{self, kind::Kind};
use jangteo_core::{Error, Id, Page, Result, Time, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::notification::v1::Category;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{OnConflict, SimpleExpr},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notification")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub notification_id: String,
    pub user_id: String,
    /// What it was written for: an event, a campaign, a digest.
    pub occasion: String,
    pub template: String,
    /// Number of the proto's enum.
    pub category: i64,
    /// Whether the list in the app shows it.
    pub in_app: bool,
    pub sealed: Vec<u8>,
    pub campaign_id: Option<String>,
    pub variant: Option<i64>,
    pub read_time: Option<i64>,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// A notice to be, with no facts yet.
    pub fn new(user_id: &str, occasion: &str, kind: Kind, now: Time) -> Model {
        Model {
            notification_id: Id::<domain::Notification>::new().to_string(),
            user_id: user_id.to_owned(),
            occasion: occasion.to_owned(),
            template: kind.name().to_owned(),
            category: i32::from(kind.category()).into(),
            in_app: false,
            sealed: Vec::new(),
            campaign_id: None,
            variant: None,
            read_time: None,
            create_time: micros(now),
        }
    }

    /// `None`: of a version that this one doesn't know.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_name(&self.template)
    }
}

/// Writes a notice. `false`: the person has it already.
pub async fn insert(tx: &Tx, row: &Model) -> Result<bool> {
    let known = OnConflict::columns([Column::Occasion, Column::UserId, Column::Template]).do_nothing().to_owned();
    let fresh = ActiveModel::from(row.clone()).reset_all();
    Ok(Entity::insert(fresh).on_conflict(known).exec_without_returning(tx).await.db()? == 1)
}

pub async fn find<C: ConnectionTrait>(conn: &C, notification_id: &str) -> Result<Option<Model>> {
    Entity::find_by_id(notification_id).one(conn).await.db()
}

pub async fn find_many<C: ConnectionTrait>(conn: &C, ids: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::NotificationId.is_in(ids)).all(conn).await.db()
}

/// What the list in the app shows a person.
fn shown(user_id: &str) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::InApp.eq(true))
}

pub async fn page(db: &Db, user_id: &str, unread: bool, category: Category, page: &Page) -> Result<Paged<Model>> {
    let mut select = shown(user_id);
    if unread {
        select = select.filter(Column::ReadTime.is_null());
    }
    if category != Category::Unspecified {
        select = select.filter(Column::Category.eq(i64::from(i32::from(category))));
    }
    let of = |row: &Model| vec![row.notification_id.clone()];
    db::page(db.primary(), select, page, &[Key::desc(Column::NotificationId)], of).await
}

pub async fn unread<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<u64> {
    shown(user_id).filter(Column::ReadTime.is_null()).count(conn).await.db()
}

/// Those behind `after`, the oldest first.
pub async fn since<C: ConnectionTrait>(conn: &C, user_id: &str, after: &str, limit: u64) -> Result<Vec<Model>> {
    let select = shown(user_id).filter(Column::NotificationId.gt(after)).order_by_asc(Column::NotificationId);
    select.limit(limit).all(conn).await.db()
}

/// Notes that a person has read one of their notices; the first time counts.
pub async fn read(tx: &Tx, user_id: &str, notification_id: &str) -> Result<Model> {
    let update = ActiveModel { read_time: Set(Some(micros(tx.now()))), ..Default::default() };
    Entity::update_many()
        .set(update)
        .filter(Column::NotificationId.eq(notification_id))
        .filter(Column::UserId.eq(user_id))
        .filter(Column::ReadTime.is_null())
        .exec(tx)
        .await
        .db()?;
    let row = shown(user_id).filter(Column::NotificationId.eq(notification_id)).one(tx).await.db()?;
    row.ok_or_else(|| Error::not_found("notification", notification_id))
}

/// How many were unread until now.
pub async fn read_all(tx: &Tx, user_id: &str, category: Category) -> Result<u64> {
    let update = ActiveModel { read_time: Set(Some(micros(tx.now()))), ..Default::default() };
    let mut all = Entity::update_many()
        .set(update)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::InApp.eq(true))
        .filter(Column::ReadTime.is_null());
    if category != Category::Unspecified {
        all = all.filter(Column::Category.eq(i64::from(i32::from(category))));
    }
    Ok(all.exec(tx).await.db()?.rows_affected)
}

/// Forgets notices from before `before` with everything that hangs on them; at most `limit`, 0: there are none left.
pub async fn sweep(tx: &Tx, before: Time, limit: u64) -> Result<u64> {
    remove(tx, Column::CreateTime.lt(micros(before)), limit).await
}

/// The same for a person's.
pub async fn forget(tx: &Tx, user_id: &str, limit: u64) -> Result<u64> {
    remove(tx, Column::UserId.eq(user_id), limit).await
}

async fn remove(tx: &Tx, which: SimpleExpr, limit: u64) -> Result<u64> {
    let found = Entity::find().select_only().column(Column::NotificationId).filter(which);
    let ids: Vec<String> = found.limit(limit).into_tuple().all(tx).await.db()?;
    if !ids.is_empty() {
        super::delivery::forget(tx, &ids).await?;
        Entity::delete_many().filter(Column::NotificationId.is_in(&ids)).exec(tx).await.db()?;
    }
    Ok(ids.len() as u64)
}
