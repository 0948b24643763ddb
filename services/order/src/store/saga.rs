//! What orders have still to do. Whoever takes a step claims the row: its epoch grows, and its time lies ahead until the
//! step should be over. Only the last one to claim a row can write it.

use jangteo_core::{Error, Result, from_micros};
use kit::db::{DbResult, Tx};
use prost::Message;
use proto::jangteo::{
    order::v1::{self as wire, OrderCancelled},
    payment::v1::AuthoriseRequest,
};
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, QueryFilter, QueryOrder, QuerySelect,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait, OnConflict},
};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "saga")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    /// 0: the order's way to being paid or given up.
    #[sea_orm(primary_key, auto_increment = false)]
    pub part: i64,
    pub step: String,
    pub due: i64,
    pub deadline: i64,
    pub attempts: i64,
    pub last_error: String,
    pub epoch: i64,
    pub signals: i64,
    /// An `AuthoriseRequest`.
    pub payment: Vec<u8>,
    /// An `OrderCancelled`.
    pub verdict: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Hold, prepare, authorise, confirm, capture, ready.
    Pay,
    /// The buyer or the provider has to say, until the deadline.
    Await,
    /// Give up the payment; if it is captured already, go on to pay.
    Void,
    /// The order is cancelled: release the stock, cancel the shipments.
    Undo,
    /// Stop a part's shipment, unless it is under way.
    Cancel,
    /// The buyer has to say whether a part is all right.
    AwaitConfirm,
    /// Empty a part's share of the escrow.
    Settle,
}

impl Step {
    pub const ALL: [Step; 7] =
        [Step::Pay, Step::Await, Step::Void, Step::Undo, Step::Cancel, Step::AwaitConfirm, Step::Settle];

    pub fn name(self) -> &'static str {
        match self {
            Step::Pay => "PAY",
            Step::Await => "AWAIT",
            Step::Void => "VOID",
            Step::Undo => "UNDO",
            Step::Cancel => "CANCEL",
            Step::AwaitConfirm => "AWAIT_CONFIRM",
            Step::Settle => "SETTLE",
        }
    }
}

impl Model {
    /// A saga of which somebody is about to take the first step, or with `due` in the past anybody may.
    pub fn new(order_id: &str, part: i32, step: Step, due: i64, epoch: i64) -> Model {
        Model {
            order_id: order_id.to_owned(),
            part: part.into(),
            step: step.name().to_owned(),
            due,
            deadline: 0,
            attempts: 0,
            last_error: String::new(),
            epoch,
            signals: 0,
            payment: Vec::new(),
            verdict: Vec::new(),
        }
    }

    pub fn step(&self) -> Result<Step> {
        let step = Step::ALL.into_iter().find(|s| s.name() == self.step);
        step.ok_or_else(|| Error::internal(format!("saga of {} has the step {:?}", self.order_id, self.step)))
    }

    pub fn at(&self, step: Step) -> bool {
        self.step == step.name()
    }

    pub fn part(&self) -> i32 {
        i32::try_from(self.part).unwrap_or(0)
    }

    pub fn payment(&self) -> Result<AuthoriseRequest> {
        AuthoriseRequest::decode(self.payment.as_slice()).map_err(Error::internal)
    }

    pub fn verdict(&self) -> Result<OrderCancelled> {
        OrderCancelled::decode(self.verdict.as_slice()).map_err(Error::internal)
    }

    pub fn wire(self) -> wire::Saga {
        wire::Saga {
            part: self.part(),
            order_id: self.order_id,
            step: self.step,
            due_time: Some(proto::timestamp(from_micros(self.due))),
            attempts: i32::try_from(self.attempts).unwrap_or(i32::MAX),
            last_error: self.last_error,
        }
    }
}

/// Writes a saga in place of whatever the order or part had to do before; who was at that has lost it.
pub async fn put(tx: &Tx, mut saga: Model) -> Result<Model> {
    if let Some(before) = find(tx, &saga.order_id, saga.part()).await? {
        saga.epoch = Ord::max(saga.epoch, before.epoch + 1);
    }
    let all = [
        Column::Step,
        Column::Due,
        Column::Deadline,
        Column::Attempts,
        Column::LastError,
        Column::Epoch,
        Column::Signals,
        Column::Payment,
        Column::Verdict,
    ];
    let replace = OnConflict::columns([Column::OrderId, Column::Part]).update_columns(all).to_owned();
    let row = ActiveModel::from(saga.clone()).reset_all();
    Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await.db()?;
    Ok(saga)
}

/// The first saga of a new order.
pub async fn insert(tx: &Tx, saga: &Model) -> Result<()> {
    let row = ActiveModel::from(saga.clone()).reset_all();
    Entity::insert(row).exec_without_returning(tx).await.db()?;
    Ok(())
}

pub async fn find<C: ConnectionTrait>(conn: &C, order_id: &str, part: i32) -> Result<Option<Model>> {
    Entity::find_by_id((order_id.to_owned(), i64::from(part))).one(conn).await.db()
}

pub async fn delete(tx: &Tx, order_id: &str, part: i32) -> Result<()> {
    Entity::delete_by_id((order_id.to_owned(), i64::from(part))).exec(tx).await.db()?;
    Ok(())
}

/// Whether `saga` is still as it was claimed.
pub async fn mine(tx: &Tx, saga: &Model) -> Result<Option<Model>> {
    let found = find(tx, &saga.order_id, saga.part()).await?;
    Ok(found.filter(|row| row.epoch == saga.epoch))
}

fn own(saga: &Model) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(Column::OrderId.eq(&saga.order_id))
        .add(Column::Part.eq(saga.part))
        .add(Column::Epoch.eq(saga.epoch))
}

/// The next step of a claimed saga; `false` when somebody else has claimed it.
pub async fn step(tx: &Tx, saga: &Model) -> Result<bool> {
    let set = ActiveModel {
        step: Set(saga.step.clone()),
        due: Set(saga.due),
        deadline: Set(saga.deadline),
        attempts: Set(saga.attempts),
        last_error: Set(saga.last_error.clone()),
        verdict: Set(saga.verdict.clone()),
        ..Default::default()
    };
    Ok(Entity::update_many().set(set).filter(own(saga)).exec(tx).await.db()?.rows_affected == 1)
}

/// A claimed saga is done; `false` when somebody else has claimed it.
pub async fn finish(tx: &Tx, saga: &Model) -> Result<bool> {
    Ok(Entity::delete_many().filter(own(saga)).exec(tx).await.db()?.rows_affected == 1)
}

/// There is news for whoever is at the order.
pub async fn signal(tx: &Tx, order_id: &str) -> Result<()> {
    Entity::update_many()
        .col_expr(Column::Signals, Expr::col(Column::Signals).add(1))
        .filter(Column::OrderId.eq(order_id))
        .filter(Column::Part.eq(0))
        .exec(tx)
        .await
        .db()?;
    Ok(())
}

/// Which sagas to claim.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those whose time has come, the longest overdue first.
    Due(u64),
    /// Those of one order whose time has come.
    DueOf(&'a str),
    /// Those of one order, whoever is at them and whenever they are due; but those that wait for somebody stay.
    AllOf(&'a str),
}

/// Claims sagas until `until`.
pub async fn claim(tx: &Tx, which: Which<'_>, now: i64, until: i64) -> Result<Vec<Model>> {
    let mut select = Entity::find().order_by_asc(Column::Due);
    select = match which {
        Which::Due(limit) => select.filter(Column::Due.lte(now)).limit(limit),
        Which::DueOf(order_id) => select.filter(Column::Due.lte(now)).filter(Column::OrderId.eq(order_id)),
        Which::AllOf(order_id) => {
            let waits = [Step::Await.name(), Step::AwaitConfirm.name()];
            let ripe = Column::Step.is_not_in(waits).or(Column::Due.lte(now));
            select.filter(ripe).filter(Column::OrderId.eq(order_id))
        }
    };
    let mut claimed = Vec::new();
    for mut saga in select.all(tx).await.db()? {
        let set = ActiveModel { due: Set(until), epoch: Set(saga.epoch + 1), ..Default::default() };
        if Entity::update_many().set(set).filter(own(&saga)).exec(tx).await.db()?.rows_affected == 1 {
            saga.due = until;
            saga.epoch += 1;
            claimed.push(saga);
        }
    }
    Ok(claimed)
}

/// Whether there is one whose time has come.
pub async fn any_due<C: ConnectionTrait>(conn: &C, now: i64) -> Result<bool> {
    Ok(Entity::find().filter(Column::Due.lte(now)).one(conn).await.db()?.is_some())
}

/// A step that failed so often in a row does not get on by itself: with the pauses in between, for a minute.
const HOPELESS: i64 = 12;

/// Those that do not get on: due since `before`, or failing again and again. The longest overdue first.
pub async fn stuck<C: ConnectionTrait>(conn: &C, before: i64, limit: u64) -> Result<Vec<Model>> {
    let stuck = Column::Due.lte(before).or(Column::Attempts.gte(HOPELESS));
    Entity::find().filter(stuck).order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

/// Those of one order, by part.
pub async fn of<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::OrderId.eq(order_id)).order_by_asc(Column::Part);
    select.all(conn).await.db()
}
