//! Everybody who registered, and which advertising they let come.

use crate::domain::text::Lang;
use jangteo_core::{Result, Time, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::notification::v1::{AudienceFilter, Channel};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*, sea_query::OnConflict,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "recipient")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    /// `ko` or `en`.
    pub locale: String,
    pub register_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

mod consent {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "consent")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub channel: i64,
        pub granted: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub async fn add(tx: &Tx, user_id: &str, locale: &str, registered: Time) -> Result<()> {
    let row = ActiveModel {
        user_id: Set(user_id.to_owned()),
        locale: Set(Lang::of(locale).name().to_owned()),
        register_time: Set(micros(registered)),
    };
    let known = OnConflict::column(Column::UserId).do_nothing().to_owned();
    Entity::insert(row).on_conflict(known).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// A person, and what they consented to.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    consent::Entity::delete_many().filter(consent::Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Entity::delete_by_id(user_id).exec(tx).await.db()?;
    Ok(())
}

/// The language that a person registered with; empty: not known here.
pub async fn locale<C: ConnectionTrait>(conn: &C, user_id: &str) -> Result<String> {
    Ok(Entity::find_by_id(user_id).one(conn).await.db()?.map_or_else(String::new, |r| r.locale))
}

pub async fn decide(tx: &Tx, user_id: &str, channel: Channel, granted: bool) -> Result<()> {
    let row = consent::ActiveModel {
        user_id: Set(user_id.to_owned()),
        channel: Set(i32::from(channel).into()),
        granted: Set(granted),
    };
    let keys = [consent::Column::UserId, consent::Column::Channel];
    let again = OnConflict::columns(keys).update_column(consent::Column::Granted).to_owned();
    consent::Entity::insert(row).on_conflict(again).exec_without_returning(tx).await.db()?;
    Ok(())
}

/// Whether advertising may come to a person by a channel.
pub async fn consents<C: ConnectionTrait>(conn: &C, user_id: &str, channel: Channel) -> Result<bool> {
    let key = (user_id.to_owned(), i64::from(i32::from(channel)));
    Ok(consent::Entity::find_by_id(key).one(conn).await.db()?.is_some_and(|c| c.granted))
}

/// People of a campaign behind `after`, in the order of their ids: those of its list, or all who fit.
pub async fn audience<C: ConnectionTrait>(
    conn: &C,
    campaign_id: &str,
    filter: Option<&AudienceFilter>,
    after: &str,
    limit: u64,
) -> Result<Vec<String>> {
    let mut select = Entity::find().select_only().column(Column::UserId).filter(Column::UserId.gt(after));
    if let Some(f) = filter {
        if !f.locale.is_empty() {
            select = select.filter(Column::Locale.eq(&f.locale));
        }
        if let Some(from) = &f.registered_from {
            select = select.filter(Column::RegisterTime.gte(micros(proto::time(from))));
        }
        if let Some(until) = &f.registered_until {
            select = select.filter(Column::RegisterTime.lt(micros(proto::time(until))));
        }
    } else {
        select = select.filter(Column::UserId.in_subquery(super::campaign::targets(campaign_id)));
    }
    select.order_by_asc(Column::UserId).limit(limit).into_tuple().all(conn).await.db()
}
