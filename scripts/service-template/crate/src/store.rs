//! Rows and how they become messages; the only file that knows the ORM.

use jangteo_core::{Error, Result, from_micros, micros};
use kit::db::{DbResult, Tx};
use proto::jangteo::{{name}}::v1::{self as wire, {{Name}}Created};
use sea_orm::{ActiveValue::Set, ConnectionTrait, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "{{name}}")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub {{name}}_id: String,
    pub owner_id: String,
    pub title: String,
    pub announced: bool,
    pub create_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn into_wire(self) -> wire::{{Name}} {
        wire::{{Name}} {
            {{name}}_id: self.{{name}}_id,
            title: self.title,
            owner_id: self.owner_id,
            create_time: Some(proto::timestamp(from_micros(self.create_time))),
            announced: self.announced,
        }
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, {{name}}_id: &str) -> Result<Model> {
    let row = Entity::find_by_id({{name}}_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("{{name}}", {{name}}_id))
}

pub async fn insert(tx: &Tx, event: &{{Name}}Created) -> Result<Model> {
    let row = ActiveModel {
        {{name}}_id: Set(event.{{name}}_id.clone()),
        owner_id: Set(event.owner_id.clone()),
        title: Set(event.title.clone()),
        announced: Set(false),
        create_time: Set(micros(tx.now())),
    };
    row.insert(tx).await.db()
}

pub async fn announce(tx: &Tx, {{name}}_id: &str) -> Result<()> {
    let row = ActiveModel {
        {{name}}_id: Set({{name}}_id.to_owned()),
        announced: Set(true),
        ..Default::default()
    };
    row.update(tx).await.db()?;
    Ok(())
}
