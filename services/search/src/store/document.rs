//! The projection: a row a document.
//!
//! `seq` orders changes so that an index can follow them without missing one. On SQLite, which has one writer, it is a count,
//! kept apart from the rows, so that it goes on when they are made again from all events.
//! On PostgreSQL it is the id of the writing transaction, since a count is given out before the commit and would show up out
//! of order: everything below [`bound`], the oldest transaction that is still open, is decided; what is at or above it is read
//! again until it is (<https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT>).

use crate::{domain::ranking, engine::Row};
use jangteo_core::Result;
use kit::db::{Db, DbResult, Tx};
use sea_orm::{
    ConnectionTrait, DbBackend, ExprTrait, FromQueryResult, IntoSimpleExpr, QueryFilter, QueryOrder, QuerySelect,
    Statement, Value, entity::prelude::*, sea_query::Expr,
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "document")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub document_id: String,
    pub version: i64,
    pub body: Vec<u8>,
    pub placed: i64,
    pub paid: i64,
    pub deleted: bool,
    pub seq: i64,
    pub event_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Row {
    fn from(row: Model) -> Row {
        Row {
            id: row.document_id,
            version: row.version,
            wanted: ranking::wanted(row.placed, row.paid),
            body: (!row.deleted && row.version > 0).then_some(row.body),
            seq: row.seq,
            event_time: row.event_time,
        }
    }
}

/// The place of a transaction in the order of changes of the kind `$1`.
fn seq(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(pg_current_xact_id()::text)::bigint",
        _ => "(SELECT seq FROM change WHERE kind = $1)",
    }
}

/// Counts a change where the store does not.
async fn step(tx: &Tx, kind: &str) -> Result<()> {
    match tx.get_database_backend() {
        DbBackend::Postgres => Ok(()),
        _ => {
            let sql =
                "INSERT INTO change (kind, seq) VALUES ($1, 1) ON CONFLICT (kind) DO UPDATE SET seq = change.seq + 1";
            run(tx, sql, [kind.into()]).await
        }
    }
}

/// Every change below it is committed or never will be.
pub async fn bound(db: &Db, kind: &str) -> Result<i64> {
    let statement = match db.backend() {
        DbBackend::Postgres => {
            let sql = "SELECT (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint AS bound";
            Statement::from_string(DbBackend::Postgres, sql)
        }
        other => {
            let sql = "SELECT COALESCE(MAX(seq), 0) + 1 AS bound FROM change WHERE kind = $1";
            Statement::from_sql_and_values(other, sql, [kind.into()])
        }
    };
    let row = db.primary().query_one_raw(statement).await.db()?;
    row.map_or(Ok(0), |row| row.try_get("", "bound").db())
}

/// Places and ids of documents that changed behind a place and id, the earliest first.
pub async fn changed(db: &Db, kind: &str, (seq, id): &(i64, String), limit: u64) -> Result<Vec<(i64, String)>> {
    let behind = Expr::tuple([Column::Seq.into_simple_expr(), Column::DocumentId.into_simple_expr()])
        .gt(Expr::tuple([Expr::val(*seq), Expr::val(id.as_str())]));
    Entity::find()
        .select_only()
        .columns([Column::Seq, Column::DocumentId])
        .filter(Column::Kind.eq(kind))
        .filter(behind)
        .order_by_asc(Column::Seq)
        .order_by_asc(Column::DocumentId)
        .limit(limit)
        .into_tuple()
        .all(db.primary())
        .await
        .db()
}

/// In no order. An id without a row gives none.
pub async fn by_ids(db: &Db, kind: &str, ids: &[String]) -> Result<Vec<Row>> {
    let mut out = Vec::with_capacity(ids.len());
    for ids in ids.chunks(500) {
        let select = Entity::find().filter(Column::Kind.eq(kind)).filter(Column::DocumentId.is_in(ids));
        out.extend(select.all(db.primary()).await.db()?.into_iter().map(Row::from));
    }
    Ok(out)
}

/// Rows behind the id `after`, in the order of ids.
pub async fn scan(db: &Db, kind: &str, after: &str, limit: u64) -> Result<Vec<Row>> {
    let select = Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::DocumentId.gt(after))
        .order_by_asc(Column::DocumentId)
        .limit(limit);
    Ok(select.all(db.primary()).await.db()?.into_iter().map(Row::from).collect())
}

/// A document's body, as far as there is one.
pub async fn body(tx: &Tx, kind: &str, id: &str) -> Result<Option<(i64, Vec<u8>)>> {
    let row = Entity::find_by_id((kind.to_owned(), id.to_owned())).one(tx).await.db()?;
    Ok(row.map(|row| (row.version, row.body)))
}

/// What an event made of a document.
pub struct Change<'a> {
    pub kind: &'a str,
    pub id: &'a str,
    pub version: i64,
    pub body: Vec<u8>,
    pub deleted: bool,
    pub event_time: i64,
}

pub async fn put(tx: &Tx, change: Change<'_>) -> Result<()> {
    let seq = seq(tx.get_database_backend());
    let sql = format!(
        "INSERT INTO document (kind, document_id, version, body, placed, paid, deleted, seq, event_time) \
         VALUES ($1, $2, $3, $4, 0, 0, $5, {seq}, $6) ON CONFLICT (kind, document_id) DO UPDATE SET \
         version = excluded.version, body = excluded.body, deleted = excluded.deleted, seq = excluded.seq, \
         event_time = excluded.event_time"
    );
    let Change { kind, id, version, body, deleted, event_time } = change;
    step(tx, kind).await?;
    let values = [kind.into(), id.into(), version.into(), body.into(), deleted.into(), event_time.into()];
    run(tx, &sql, values).await
}

/// Counts orders of documents, which may not be known yet.
pub async fn count(tx: &Tx, kind: &str, ids: &[String], placed: i64, paid: i64, event_time: i64) -> Result<()> {
    let seq = seq(tx.get_database_backend());
    let sql = format!(
        "INSERT INTO document (kind, document_id, version, body, placed, paid, deleted, seq, event_time) \
         VALUES ($1, $2, 0, $3, $4, $5, FALSE, {seq}, $6) ON CONFLICT (kind, document_id) DO UPDATE SET \
         placed = document.placed + $7, paid = document.paid + $5, seq = excluded.seq, event_time = excluded.event_time"
    );
    for id in ids {
        step(tx, kind).await?;
        let empty: Vec<u8> = Vec::new();
        let values: [Value; 7] = [
            kind.into(),
            id.as_str().into(),
            empty.into(),
            // Checked even where the row is there already, as it is for every order that is taken back.
            Ord::max(placed, 0).into(),
            paid.into(),
            event_time.into(),
            placed.into(),
        ];
        run(tx, &sql, values).await?;
    }
    Ok(())
}

/// Remembers what an open order is for; gives the documents that it was not known to be for.
pub async fn order_opened(tx: &Tx, order_id: &str, ids: &[String]) -> Result<Vec<String>> {
    let sql = "INSERT INTO ordered (order_id, document_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let mut fresh = Vec::new();
    for id in ids {
        let statement =
            Statement::from_sql_and_values(tx.get_database_backend(), sql, [order_id.into(), id.as_str().into()]);
        if tx.execute_raw(statement).await.db()?.rows_affected() == 1 {
            fresh.push(id.clone());
        }
    }
    Ok(fresh)
}

/// Forgets an open order; gives what it was for.
pub async fn order_closed(tx: &Tx, order_id: &str) -> Result<Vec<String>> {
    #[derive(FromQueryResult)]
    struct Ordered {
        document_id: String,
    }
    let sql = "DELETE FROM ordered WHERE order_id = $1 RETURNING document_id";
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, [order_id.into()]);
    let rows = Ordered::find_by_statement(statement).all(tx).await.db()?;
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.document_id).collect();
    // Always in one order, so that two transactions don't wait for each other.
    ids.sort();
    Ok(ids)
}

async fn run<const N: usize>(tx: &Tx, sql: &str, values: [Value; N]) -> Result<()> {
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await.db()?;
    Ok(())
}

/// Rows with a version that the inbox of `consumer` has not reached: id, the row's version, the inbox's.
pub async fn ahead_of_inbox(db: &Db, consumer: &str, limit: u64) -> Result<Vec<(String, i64, i64)>> {
    #[derive(FromQueryResult)]
    struct Ahead {
        document_id: String,
        version: i64,
        seen: i64,
    }
    let sql = "SELECT d.document_id, d.version, COALESCE(i.version, 0) AS seen FROM document d LEFT JOIN inbox i \
         ON i.consumer = $1 AND i.aggregate = d.kind AND i.aggregate_id = d.document_id \
         WHERE d.version > COALESCE(i.version, 0) ORDER BY d.document_id LIMIT $2";
    let values = [consumer.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let rows = Ahead::find_by_statement(statement).all(db.primary()).await.db()?;
    Ok(rows.into_iter().map(|row| (row.document_id, row.version, row.seen)).collect())
}

/// How many open orders there are of each document that has any.
pub async fn open_orders(db: &Db) -> Result<Vec<(String, i64)>> {
    #[derive(FromQueryResult)]
    struct Open {
        document_id: String,
        orders: i64,
    }
    let sql = "SELECT document_id, COUNT(*) AS orders FROM ordered GROUP BY document_id";
    let rows = Open::find_by_statement(Statement::from_string(db.backend(), sql)).all(db.primary()).await.db()?;
    Ok(rows.into_iter().map(|row| (row.document_id, row.orders)).collect())
}

/// How many orders each of these documents counts.
pub async fn placed(db: &Db, kind: &str, ids: &[String]) -> Result<Vec<(String, i64)>> {
    let mut out = Vec::with_capacity(ids.len());
    for ids in ids.chunks(500) {
        let select = Entity::find()
            .select_only()
            .columns([Column::DocumentId, Column::Placed])
            .filter(Column::Kind.eq(kind))
            .filter(Column::DocumentId.is_in(ids));
        out.extend(select.into_tuple::<(String, i64)>().all(db.primary()).await.db()?);
    }
    Ok(out)
}
