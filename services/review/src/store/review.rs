//! Reviews. The text is sealed by a key of its author's.

use crate::domain::{Draft, text::Verdict};
use jangteo_core::{Error, Page, Result, Time, from_micros, micros};
use kit::db::{
    self, Db, DbResult, Key, Paged, Tx,
    crypt::{PersonKey, Sealer},
};
use prost::Message;
use proto::jangteo::review::v1::{self as wire, HeldReview, ReviewStatus};
use sea_orm::{ConnectionTrait, QueryFilter, Select, entity::prelude::*, sea_query::Expr};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "review")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub review_id: String,
    pub order_id: String,
    pub part: i64,
    pub author_id: String,
    pub subject_id: String,
    /// Number of the proto's enum.
    pub subject_role: i64,
    /// Number of the proto's enum.
    pub status: i64,
    pub rating: i64,
    /// Empty: there is no text.
    pub sealed: Vec<u8>,
    /// Empty: too short to be found again.
    pub text_hash: String,
    pub score: i64,
    /// A `HeldReview` of which the findings alone are filled.
    pub findings: Vec<u8>,
    pub reject_reason: String,
    pub create_time: i64,
    pub reveal_time: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn status(&self) -> ReviewStatus {
        i32::try_from(self.status).ok().and_then(|n| n.try_into().ok()).unwrap_or(ReviewStatus::Unspecified)
    }

    /// Without tags and product ratings. An erased author's text is empty.
    pub fn into_wire(self, key: Option<&PersonKey>) -> Result<wire::Review> {
        let text = match key {
            Some(key) if !self.sealed.is_empty() => key.open_text("review", "sealed", &self.sealed)?,
            _ => String::new(),
        };
        let time = |t: i64| Some(proto::timestamp(from_micros(t)));
        Ok(wire::Review {
            text,
            status: self.status().into(),
            part: self.part as i32,
            subject_role: self.subject_role as i32,
            rating: self.rating as i32,
            review_id: self.review_id,
            order_id: self.order_id,
            author_id: self.author_id,
            subject_id: self.subject_id,
            tags: Vec::new(),
            product_ratings: Vec::new(),
            reject_reason: self.reject_reason,
            create_time: time(self.create_time),
            reveal_time: if self.reveal_time > 0 { time(self.reveal_time) } else { None },
        })
    }

    pub fn findings(&self) -> Result<Vec<wire::TextFinding>> {
        Ok(HeldReview::decode(self.findings.as_slice()).map_err(Error::internal)?.findings)
    }
}

fn number(status: ReviewStatus) -> i64 {
    i32::from(status).into()
}

/// In a word of its own and not as a parameter, so that SQLite finds the partial index.
pub fn is(status: ReviewStatus) -> Expr {
    Expr::cust(format!("review.status = {}", number(status)))
}

pub async fn find<C: ConnectionTrait>(conn: &C, review_id: &str) -> Result<Model> {
    let row = Entity::find_by_id(review_id).one(conn).await.db()?;
    row.ok_or_else(|| Error::not_found("review", review_id))
}

/// Finds the author's same text again, and nothing else.
pub fn text_hash(sealer: &Sealer, author_id: &str, essence: &str) -> String {
    sealer.keyring().lookup_hash("review", "text_hash", &format!("{author_id} {essence}"))
}

pub async fn wrote_before(tx: &Tx, author_id: &str, text_hash: &str) -> Result<bool> {
    if text_hash.is_empty() {
        return Ok(false);
    }
    let select = Entity::find().filter(Column::AuthorId.eq(author_id)).filter(Column::TextHash.eq(text_hash));
    Ok(select.one(tx).await.db()?.is_some())
}

/// Where a new review belongs.
pub struct Place<'a> {
    pub review_id: &'a str,
    pub order_id: &'a str,
    pub part: i64,
    pub text_hash: &'a str,
    pub status: ReviewStatus,
}

pub async fn insert(tx: &Tx, sealer: &Sealer, at: Place<'_>, draft: &Draft, verdict: &Verdict) -> Result<()> {
    let sealed = match draft.text.as_str() {
        "" => Vec::new(),
        text => sealer.person(tx, &draft.author_id).await?.seal("review", "sealed", text.as_bytes())?,
    };
    let findings = HeldReview { findings: verdict.findings.clone(), ..HeldReview::default() };
    let row = Model {
        review_id: at.review_id.to_owned(),
        order_id: at.order_id.to_owned(),
        part: at.part,
        author_id: draft.author_id.clone(),
        subject_id: draft.subject_id.clone(),
        subject_role: i32::from(draft.subject_role).into(),
        status: number(at.status),
        rating: draft.rating,
        sealed,
        text_hash: at.text_hash.to_owned(),
        score: verdict.score.into(),
        findings: findings.encode_to_vec(),
        reject_reason: String::new(),
        create_time: micros(tx.now()),
        reveal_time: 0,
    };
    Entity::insert(ActiveModel::from(row).reset_all()).exec_without_returning(tx).await.db()?;
    super::rating::insert(tx, at.review_id, draft).await
}

/// A trade's that wait to be seen; its row is locked.
pub async fn waiting(tx: &Tx, order_id: &str, part: i64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::OrderId.eq(order_id)).filter(Column::Part.eq(part));
    select.filter(is(ReviewStatus::Waiting)).all(tx).await.db()
}

/// The first time that everybody can see it; `None`: nobody can any more.
pub async fn turn(tx: &Tx, review_id: &str, status: ReviewStatus, seen: Option<Time>, reason: &str) -> Result<()> {
    let reveal_time = seen.map_or(0, micros);
    Entity::update_many()
        .col_expr(Column::Status, Expr::value(number(status)))
        .col_expr(Column::RevealTime, Expr::value(reveal_time))
        .col_expr(Column::RejectReason, Expr::value(reason))
        .filter(Column::ReviewId.eq(review_id))
        .exec(tx)
        .await
        .db()?;
    super::rating::reveal(tx, review_id, reveal_time).await
}

/// Which reviews a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List<'a> {
    /// Of a person, as everybody sees them.
    Received(&'a str),
    /// By a person; `all`: also those that only the author sees.
    Written { by: &'a str, all: bool },
    /// That wait for a moderator, the oldest first.
    Held,
}

impl List<'_> {
    fn select(&self) -> Select<Entity> {
        let of = |status| Entity::find().filter(is(status));
        match *self {
            List::Received(user_id) => of(ReviewStatus::Revealed).filter(Column::SubjectId.eq(user_id)),
            List::Written { by, all: true } => Entity::find().filter(Column::AuthorId.eq(by)),
            List::Written { by, all: false } => of(ReviewStatus::Revealed).filter(Column::AuthorId.eq(by)),
            List::Held => of(ReviewStatus::Held),
        }
    }

    pub async fn page(&self, db: &Db, page: &Page) -> Result<Paged<Model>> {
        let id = |row: &Model| row.review_id.clone();
        match self {
            List::Received(_) => {
                let keys = [Key::desc(Column::RevealTime), Key::desc(Column::ReviewId)];
                let of = |row: &Model| vec![row.reveal_time.to_string(), id(row)];
                db::page(db.primary(), self.select(), page, &keys, of).await
            }
            List::Written { .. } => {
                let keys = [Key::desc(Column::CreateTime), Key::desc(Column::ReviewId)];
                let of = |row: &Model| vec![row.create_time.to_string(), id(row)];
                db::page(db.primary(), self.select(), page, &keys, of).await
            }
            List::Held => {
                let keys = [Key::asc(Column::ReviewId)];
                db::page(db.primary(), self.select(), page, &keys, |row| vec![id(row)]).await
            }
        }
    }
}

/// An erased author's words: what is left to find them by, and what the checks quoted. The ratings stay.
pub async fn forget(tx: &Tx, author_id: &str) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Sealed, Expr::value(Vec::<u8>::new()))
        .col_expr(Column::TextHash, Expr::value(""))
        .col_expr(Column::Findings, Expr::value(Vec::<u8>::new()))
        .filter(Column::AuthorId.eq(author_id))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

pub async fn some<C: ConnectionTrait>(conn: &C, review_ids: &[String]) -> Result<Vec<Model>> {
    Entity::find().filter(Column::ReviewId.is_in(review_ids)).all(conn).await.db()
}

/// As messages, in the order of the rows, with all that belongs to them.
pub async fn wire<C: ConnectionTrait>(conn: &C, sealer: &Sealer, rows: Vec<Model>) -> Result<Vec<wire::Review>> {
    let mut authors: Vec<String> = rows.iter().map(|row| row.author_id.clone()).collect();
    authors.sort();
    authors.dedup();
    let keys = sealer.find_many(conn, &authors).await?;
    let reviews = rows.into_iter().map(|row| {
        let key = keys.get(&row.author_id);
        row.into_wire(key)
    });
    let mut reviews = reviews.collect::<Result<Vec<_>>>()?;
    super::rating::fill(conn, &mut reviews).await?;
    Ok(reviews)
}
