//! Keyset pages: the rows behind the last one that the caller has, by a unique order. Rows that come and go
//! meanwhile neither repeat nor hide others.

use jangteo_core::{Error, Page, Result};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, IntoSimpleExpr, Order, QueryFilter, QueryOrder,
    QuerySelect, Select, Value,
    sea_query::{ColumnType, Expr, SimpleExpr},
};

use crate::DbResult;

/// One column of the order. It must be NOT NULL; the last one of a list must be unique.
#[derive(Debug, Clone)]
pub struct Key<C> {
    column: C,
    order: Order,
}

impl<C> Key<C> {
    pub fn asc(column: C) -> Self {
        Key { column, order: Order::Asc }
    }
    pub fn desc(column: C) -> Self {
        Key { column, order: Order::Desc }
    }
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<M> {
    pub rows: Vec<M>,
    /// The keys of the last row, for `PageTokens::next`; `None` on the last page.
    pub next: Option<Vec<String>>,
}

impl<M> Paged<M> {
    /// From rows of which one more than `size` was asked for.
    pub fn cut(mut rows: Vec<M>, size: u64, of: impl Fn(&M) -> Vec<String>) -> Self {
        let more = rows.len() as u64 > size;
        rows.truncate(size as usize);
        let next = if more { rows.last().map(of) } else { None };
        Paged { rows, next }
    }

    pub fn map<T>(self, f: impl FnMut(M) -> T) -> Paged<T> {
        Paged { rows: self.rows.into_iter().map(f).collect(), next: self.next }
    }

    pub fn try_map<T>(self, f: impl FnMut(M) -> Result<T>) -> Result<Paged<T>> {
        Ok(Paged { rows: self.rows.into_iter().map(f).collect::<Result<_>>()?, next: self.next })
    }
}

/// One page of `select`, which carries the filter and no order. `of` gives a row's keys, in the order of `keys`.
pub async fn page<E, C>(
    conn: &C,
    select: Select<E>,
    page: &Page,
    keys: &[Key<E::Column>],
    of: impl Fn(&E::Model) -> Vec<String>,
) -> Result<Paged<E::Model>>
where
    E: EntityTrait,
    C: ConnectionTrait,
{
    let mut select = select;
    if !page.after.is_empty() {
        select = select.filter(behind::<E>(keys, &page.after)?);
    }
    for key in keys {
        select = select.order_by(key.column, key.order.clone());
    }
    let rows = select.limit(page.size + 1).all(conn).await.db()?;
    Ok(Paged::cut(rows, page.size, of))
}

fn behind<E: EntityTrait>(keys: &[Key<E::Column>], after: &[String]) -> Result<Condition> {
    if keys.len() != after.len() {
        return Err(bad_token());
    }
    let values = keys.iter().zip(after).map(|(k, v)| value(&k.column, v)).collect::<Result<Vec<_>>>()?;
    let descending = |k: &Key<_>| matches!(k.order, Order::Desc);
    // All keys in one direction: a row comparison, which an index answers in one descent.
    if keys.iter().all(|k| descending(k) == descending(&keys[0])) {
        let left = Expr::tuple(keys.iter().map(|k| k.column.into_simple_expr()));
        let right = Expr::tuple(values.into_iter().map(SimpleExpr::from));
        return Ok(Condition::all().add(if descending(&keys[0]) { left.lt(right) } else { left.gt(right) }));
    }
    let mut any = Condition::any();
    for (n, key) in keys.iter().enumerate() {
        let mut all = Condition::all();
        for (equal, value) in keys[..n].iter().zip(&values) {
            all = all.add(equal.column.eq(value.clone()));
        }
        let value = values[n].clone();
        any = any.add(all.add(if descending(key) { key.column.lt(value) } else { key.column.gt(value) }));
    }
    Ok(any)
}

fn value<C: ColumnTrait>(column: &C, text: &str) -> Result<Value> {
    Ok(match column.def().get_column_type() {
        ColumnType::SmallInteger | ColumnType::Integer | ColumnType::BigInteger => {
            text.parse::<i64>().map_err(|_| bad_token())?.into()
        }
        ColumnType::Float | ColumnType::Double => text.parse::<f64>().map_err(|_| bad_token())?.into(),
        _ => text.into(),
    })
}

pub(crate) fn bad_token() -> Error {
    Error::invalid("page_token", "INVALID_PAGE_TOKEN", "is not one that this list gave out")
}
