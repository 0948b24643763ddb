//! Lines of carts. The cart's row is locked by whoever changes them.

use crate::domain::{Fault, Line, MAX_LINES, MAX_QUANTITY};
use jangteo_core::Result;
use kit::db::{DbResult, Tx};
use sea_orm::{
    ConnectionTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder,
    entity::prelude::*,
    sea_query::{Expr, OnConflict},
};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cart_line")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub cart_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub product_id: String,
    pub seller_id: String,
    pub title: String,
    pub image_id: String,
    pub quantity: i64,
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
            quantity: row.quantity,
            added_price: row.added_price,
            add_time: row.add_time,
        }
    }
}

fn row(cart_id: &str, l: Line) -> ActiveModel {
    let row = Model {
        cart_id: cart_id.to_owned(),
        product_id: l.product_id,
        seller_id: l.seller_id,
        title: l.title,
        image_id: l.image_id,
        quantity: l.quantity,
        added_price: l.added_price,
        add_time: l.add_time,
    };
    ActiveModel::from(row).reset_all()
}

/// A cart's, the oldest first.
pub async fn all<C: ConnectionTrait>(conn: &C, cart_id: &str) -> Result<Vec<Line>> {
    let select = Entity::find().filter(Column::CartId.eq(cart_id));
    let rows = select.order_by_asc(Column::AddTime).order_by_asc(Column::ProductId).all(conn).await.db()?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// Adds units in one statement, so that adds at the same time all count. The price is what the person sees now.
pub async fn add(tx: &Tx, cart_id: &str, line: Line) -> Result<()> {
    let sum = || Expr::col((Entity, Column::Quantity)).add(line.quantity);
    let mut conflict = OnConflict::columns([Column::CartId, Column::ProductId]);
    conflict
        .value(Column::Quantity, sum())
        .update_columns([Column::AddedPrice, Column::Title, Column::ImageId])
        .action_and_where(sum().lte(MAX_QUANTITY));
    let insert = Entity::insert(row(cart_id, line.clone())).on_conflict(conflict);
    if insert.exec_without_returning(tx).await.db()? == 0 {
        return Err(Fault::QuantityTooLarge { product_id: line.product_id, limit: MAX_QUANTITY }.into());
    }
    let lines = Entity::find().filter(Column::CartId.eq(cart_id)).count(tx).await.db()?;
    match lines as usize > MAX_LINES {
        true => Err(Fault::CartFull { limit: MAX_LINES }.into()),
        false => Ok(()),
    }
}

/// Writes lines as they are to be: new, or in place of old ones.
pub async fn put(tx: &Tx, cart_id: &str, lines: Vec<Line>) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let conflict = OnConflict::columns([Column::CartId, Column::ProductId]).update_column(Column::Quantity).to_owned();
    let rows = lines.into_iter().map(|l| row(cart_id, l));
    Entity::insert_many(rows).on_conflict(conflict).exec_without_returning(tx).await.db()?;
    Ok(())
}

pub async fn set_quantity(tx: &Tx, cart_id: &str, product_id: &str, quantity: i64) -> Result<()> {
    let done = Entity::update_many()
        .col_expr(Column::Quantity, Expr::value(quantity))
        .filter(Column::CartId.eq(cart_id))
        .filter(Column::ProductId.eq(product_id))
        .exec(tx)
        .await
        .db()?;
    match done.rows_affected {
        0 => Err(Fault::NotInCart { product_id: product_id.to_owned() }.into()),
        _ => Ok(()),
    }
}

/// One product's line, or all of them.
pub async fn remove(tx: &Tx, cart_id: &str, product_id: Option<&str>) -> Result<()> {
    let mut delete = Entity::delete_many().filter(Column::CartId.eq(cart_id));
    if let Some(product_id) = product_id {
        delete = delete.filter(Column::ProductId.eq(product_id));
    }
    delete.exec(tx).await.db()?;
    Ok(())
}

/// Takes so many units of each product out, as far as they are in.
pub async fn take(tx: &Tx, cart_id: &str, units: &BTreeMap<&str, i64>) -> Result<()> {
    for (product_id, n) in units {
        Entity::delete_many()
            .filter(Column::CartId.eq(cart_id))
            .filter(Column::ProductId.eq(*product_id))
            .filter(Column::Quantity.lte(*n))
            .exec(tx)
            .await
            .db()?;
        Entity::update_many()
            .col_expr(Column::Quantity, Expr::col(Column::Quantity).sub(*n))
            .filter(Column::CartId.eq(cart_id))
            .filter(Column::ProductId.eq(*product_id))
            .filter(Column::Quantity.gt(*n))
            .exec(tx)
            .await
            .db()?;
    }
    Ok(())
}
