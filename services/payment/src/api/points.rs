//! Points in the user service's account: taken when money is set aside, given back when it is let go.

use super::attempt::points_key;
use crate::{
    Payments,
    domain::again,
    store::{self, payment, points::Model},
    unkeyed,
};
use jangteo_core::{Call, Code, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::user::v1::AdjustPointsRequest;

impl Payments {
    pub(super) async fn adjust_points(&self, cx: &Call, user: &str, delta: i64, key: &str, reason: &str) -> Result<()> {
        let (user_id, key, reason) = (user.to_owned(), key.to_owned(), reason.to_owned());
        self.users.adjust_points(cx, AdjustPointsRequest { user_id, delta, key, reason }).await.map(drop)
    }

    /// Says to the user service what somebody is owed. When it was not certain that the points had been taken they are taken first,
    /// on the same occasion: so it becomes certain.
    pub(crate) async fn return_points(&self, cx: &Call, row: &Model) -> Result<()> {
        let owed = match row.taken_key.is_empty() {
            true => Ok(true),
            false => match self.adjust_points(cx, &row.user_id, -row.points, &row.taken_key, "PAYMENT").await {
                Ok(()) => Ok(true),
                Err(e) if e.code() == Code::FailedPrecondition => Ok(false),
                Err(e) => Err(e),
            },
        };
        let said = match owed {
            Ok(true) => self.adjust_points(cx, &row.user_id, row.points, &row.key, &row.reason).await,
            Ok(false) => Ok(()),
            Err(e) => Err(e),
        };
        crash_point!("payment.points.after_return");
        if let Err(error) = &said {
            tracing::warn!(key = row.key, error = ?error, "giving points back failed; a job tries again");
        }
        let write = async |tx: Tx| {
            let due = if said.is_ok() { 0 } else { again(tx.now(), self.cfg.ask_after_ms, row.tries) };
            store::points::set_due(&tx, &row.key, due).await
        };
        self.db.write(&unkeyed(cx), write).await
    }
}

/// Puts up for giving back what an attempt took, or may have taken.
pub(super) async fn give_back(tx: &Tx, payment: &payment::Model) -> Result<()> {
    if payment.points == 0 {
        return Ok(());
    }
    let taken = points_key(payment);
    let row = Model {
        key: format!("{taken}:back"),
        user_id: payment.buyer_id.clone(),
        points: payment.points,
        taken_key: if payment.taking_points { taken } else { String::new() },
        reason: "PAYMENT_RETURNED".to_owned(),
        due: micros(tx.now()),
        tries: 0,
    };
    store::points::insert(tx, row).await
}

/// Puts up what a buyer earns with a part that is settled.
pub(super) async fn earn(tx: &Tx, buyer_id: &str, part: &str, points: i64) -> Result<()> {
    if points == 0 {
        return Ok(());
    }
    let row = Model {
        key: format!("{part}:earned"),
        user_id: buyer_id.to_owned(),
        points,
        taken_key: String::new(),
        reason: "PURCHASE".to_owned(),
        due: micros(tx.now()),
        tries: 0,
    };
    store::points::insert(tx, row).await
}
