//! What somebody uploaded.

use super::{content, object};
use crate::domain;
use jangteo_core::{Error, Page, Result, Time, from_micros, micros};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use proto::jangteo::media::v1 as wire;
use sea_orm::{ConnectionTrait, QueryFilter, QuerySelect, entity::prelude::*};
use std::collections::HashMap;
use wire::MediaStatus;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "media")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub media_id: String,
    pub owner_id: String,
    pub status: i64,
    pub content_hash: String,
    pub content_type: String,
    pub byte_size: i64,
    pub reject_reason: i64,
    pub upload_key: String,
    pub expire_time: i64,
    pub create_time: i64,
    pub update_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn status(&self) -> MediaStatus {
        MediaStatus::try_from(self.status as i32).unwrap_or_default()
    }

    fn into_wire(self, content: Option<&content::Model>, objects: &[object::Model]) -> wire::Media {
        let time = |t: i64| Some(proto::timestamp(from_micros(t)));
        let size = |n: i64| i32::try_from(n).unwrap_or(i32::MAX);
        let ready = self.status() == MediaStatus::Ready;
        let variant = |name: &str| {
            let found = objects.iter().find(|o| o.variant == name)?;
            Some(wire::MediaVariant {
                variant: name.to_owned(),
                path: domain::path(&self.media_id, name),
                width: size(found.width),
                height: size(found.height),
            })
        };
        let variants = domain::VARIANTS.iter().filter(|_| ready).filter_map(|v| variant(v.name)).collect();
        let content = content.filter(|_| ready);
        wire::Media {
            variants,
            status: self.status as i32,
            width: content.map_or(0, |c| size(c.width)),
            height: content.map_or(0, |c| size(c.height)),
            perceptual_hash: content.map_or_else(String::new, |c| c.perceptual_hash.clone()),
            reject_reason: self.reject_reason as i32,
            create_time: time(self.create_time),
            update_time: time(self.update_time),
            media_id: self.media_id,
            owner_id: self.owner_id,
            content_type: self.content_type,
            byte_size: self.byte_size,
        }
    }
}

/// As they are told, in the same order.
pub async fn told<C: ConnectionTrait>(conn: &C, rows: Vec<Model>) -> Result<Vec<wire::Media>> {
    let hashes: Vec<String> =
        rows.iter().filter(|r| r.status() == MediaStatus::Ready).map(|r| r.content_hash.clone()).collect();
    let (mut contents, mut objects) = (HashMap::new(), HashMap::<String, Vec<_>>::new());
    if !hashes.is_empty() {
        for content in content::all(conn, &hashes).await? {
            contents.insert(content.content_hash.clone(), content);
        }
        for object in object::all(conn, &hashes).await? {
            objects.entry(object.content_hash.clone()).or_default().push(object);
        }
    }
    let tell = |row: Model| {
        let hash = row.content_hash.clone();
        row.into_wire(contents.get(&hash), objects.get(&hash).map_or(&[], Vec::as_slice))
    };
    Ok(rows.into_iter().map(tell).collect())
}

pub async fn tell<C: ConnectionTrait>(conn: &C, row: Model) -> Result<wire::Media> {
    Ok(told(conn, vec![row]).await?.pop().unwrap_or_default())
}

pub async fn find<C: ConnectionTrait>(conn: &C, media_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(media_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("media", media_id))
}

/// All of a person's.
pub async fn of<C: ConnectionTrait>(conn: &C, owner_id: &str) -> Result<Vec<Model>> {
    Entity::find().filter(Column::OwnerId.eq(owner_id)).all(conn).await.db()
}

pub async fn insert(tx: &Tx, row: Model) -> Result<()> {
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Whether it was there.
pub async fn delete(tx: &Tx, media_id: &str) -> Result<bool> {
    Ok(Entity::delete_by_id(media_id).exec(tx).await.db()?.rows_affected == 1)
}

/// Of these, those that are this person's and will be or are shown.
pub async fn attachable<C: ConnectionTrait>(conn: &C, owner_id: &str, media_ids: &[String]) -> Result<Vec<String>> {
    let shown = [MediaStatus::Processing, MediaStatus::Ready].map(|s| s as i64);
    Entity::find()
        .select_only()
        .column(Column::MediaId)
        .filter(Column::MediaId.is_in(media_ids))
        .filter(Column::OwnerId.eq(owner_id))
        .filter(Column::Status.is_in(shown))
        .into_tuple()
        .all(conn)
        .await
        .db()
}

/// A person's, the newest first.
pub async fn page(db: &Db, owner_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::OwnerId.eq(owner_id));
    db::page(db.primary(), select, page, &[Key::desc(Column::MediaId)], |row: &Model| vec![row.media_id.clone()]).await
}

/// Those that wait for the variants of a content.
pub async fn waiting<C: ConnectionTrait>(conn: &C, content_hash: &str) -> Result<Vec<Model>> {
    let waits = Column::Status.eq(MediaStatus::Processing as i64);
    Entity::find().filter(Column::ContentHash.eq(content_hash)).filter(waits).all(conn).await.db()
}

/// Writes what changes about a medium: status, content, reason.
pub async fn update(tx: &Tx, row: Model) -> Result<()> {
    let row = Model { update_time: micros(tx.now()), ..row };
    let id = row.media_id.clone();
    let row = ActiveModel::from(row).reset_all();
    Entity::update_many().set(row).filter(Column::MediaId.eq(id)).exec(tx).await.db()?;
    Ok(())
}

/// Announced, never uploaded, and too late now.
pub async fn expired<C: ConnectionTrait>(conn: &C, before: Time, limit: u64) -> Result<Vec<Model>> {
    let announced = Entity::find().filter(Column::ExpireTime.gt(0));
    announced.filter(Column::ExpireTime.lt(micros(before))).limit(limit).all(conn).await.db()
}

/// Which of these objects some medium waits for.
pub async fn naming<C: ConnectionTrait>(conn: &C, keys: &[String]) -> Result<Vec<String>> {
    let named = Entity::find().select_only().column(Column::UploadKey).filter(Column::UploadKey.is_in(keys));
    named.into_tuple().all(conn).await.db()
}

/// How many media are of each content.
pub async fn references<C: ConnectionTrait>(conn: &C) -> Result<HashMap<String, i64>> {
    let counted: Vec<(String, i64)> = Entity::find()
        .select_only()
        .column(Column::ContentHash)
        .column_as(Column::MediaId.count(), "n")
        .filter(Column::ContentHash.ne(""))
        .group_by(Column::ContentHash)
        .into_tuple()
        .all(conn)
        .await
        .db()?;
    Ok(counted.into_iter().collect())
}
