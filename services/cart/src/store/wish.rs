//! Wishes: one row a person and product.

use crate::domain::{Fault, Line, MAX_WISHES};
use jangteo_core::{Page, Result};
use kit::db::{self, Db, DbResult, Key, Paged, Tx};
use sea_orm::{ConnectionTrait, PaginatorTrait, QueryFilter, entity::prelude::*, sea_query::OnConflict};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "wish")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: String,
    pub seller_id: String,
    pub title: String,
    pub image_id: String,
    /// Whole won.
    pub added_price: i64,
    pub add_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Line {
    fn from(row: Model) -> Self {
        Line {
            product_id: row.product_id,
            seller_id: row.seller_id,
            title: row.title,
            image_id: row.image_id,
            quantity: 1,
            added_price: row.added_price,
            add_time: row.add_time,
        }
    }
}

pub async fn find<C: ConnectionTrait>(conn: &C, user_id: &str, product_id: &str) -> Result<Option<Line>> {
    let row = Entity::find_by_id((user_id.to_owned(), product_id.to_owned())).one(conn).await.db()?;
    Ok(row.map(Line::from))
}

/// All of a person's.
pub async fn forget(tx: &Tx, user_id: &str) -> Result<()> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(tx).await.db()?;
    Ok(())
}

/// Wishes for it, unless the person does already. The person's cart is locked meanwhile, for the limit.
pub async fn insert(tx: &Tx, user_id: &str, l: Line) -> Result<()> {
    let row = Model {
        user_id: user_id.to_owned(),
        product_id: l.product_id,
        seller_id: l.seller_id,
        title: l.title,
        image_id: l.image_id,
        added_price: l.added_price,
        add_time: l.add_time,
    };
    let conflict = OnConflict::columns([Column::UserId, Column::ProductId]).do_nothing().to_owned();
    let insert = Entity::insert(ActiveModel::from(row).reset_all()).on_conflict(conflict);
    let fresh = insert.exec_without_returning(tx).await.db()? == 1;
    if fresh && Entity::find().filter(Column::UserId.eq(user_id)).count(tx).await.db()? > MAX_WISHES {
        return Err(Fault::TooManyWishes { limit: MAX_WISHES }.into());
    }
    Ok(())
}

/// Whether it was on the list.
pub async fn delete(tx: &Tx, user_id: &str, product_id: &str) -> Result<bool> {
    let id = (user_id.to_owned(), product_id.to_owned());
    Ok(Entity::delete_by_id(id).exec(tx).await.db()?.rows_affected == 1)
}

/// A page, the newest first.
pub async fn page(db: &Db, user_id: &str, page: &Page) -> Result<Paged<Model>> {
    let select = Entity::find().filter(Column::UserId.eq(user_id));
    let keys = [Key::desc(Column::AddTime), Key::desc(Column::ProductId)];
    let of = |row: &Model| vec![row.add_time.to_string(), row.product_id.clone()];
    db::page(db.primary(), select, page, &keys, of).await
}
