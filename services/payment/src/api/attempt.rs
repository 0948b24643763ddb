//! What becomes of an attempt, inside of a transaction: each step takes charge and payment forward together.

use super::points::give_back;
use crate::{
    checkout::random_hex,
    domain::{
        self, again, charge,
        ledger::{Account, Kind, Transfer},
    },
    provider::{About, Decline, Standing},
    store::{self, payment::Model},
};
use jangteo_core::{Error, Result, micros};
use kit::db::Tx;
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status};

/// The occasion of taking an attempt's points.
pub(super) fn points_key(row: &Model) -> String {
    format!("payment:{}", row.key())
}

pub(super) async fn ask_first(
    tx: &Tx,
    payment: &Model,
    method: &str,
    (provider, instrument): &(String, String),
    others: &[(String, String)],
) -> Result<()> {
    let now = micros(tx.now());
    let row = store::charge::Model {
        order_id: payment.order_id.clone(),
        attempt: payment.attempt,
        provider: provider.clone(),
        key: payment.key(),
        buyer_id: payment.buyer_id.clone(),
        state: charge::State::Asked.name().to_owned(),
        amount: payment.money(),
        method: method.to_owned(),
        instrument: instrument.clone(),
        provider_ref: String::new(),
        others: serde_json::to_string(others).map_err(Error::internal)?,
        due: 0,
        tries: 0,
        capture_time: 0,
        create_time: now,
        update_time: now,
        checkout_token: random_hex()?,
        slip: String::new(),
        confirm_time: 0,
    };
    store::charge::insert(tx, row).await
}

/// The money of a wallet, or nothing at all, is set aside in one transaction.
pub(super) async fn set_aside(tx: &Tx, order_id: &str) -> Result<()> {
    let row = store::payment::must_lock(tx, order_id).await?;
    if row.status() != Status::Pending || row.taking_points {
        return Ok(());
    }
    if row.funding == "WALLET" && store::ledger::post(tx, &[reservation(&row)]).await?.is_err() {
        return decline(tx, row, Decline::InsufficientFunds).await;
    }
    authorised(tx, row).await
}

/// What sets a wallet's money aside.
pub(super) fn reservation(row: &Model) -> Transfer {
    let from = Account::of(Kind::Wallet, &row.buyer_id);
    let to = Account::of(Kind::Escrow, &row.order_id);
    Transfer::new("RESERVATION", &row.key(), (from, to), row.money(), &row.order_id).pending()
}

async fn authorised(tx: &Tx, mut row: Model) -> Result<()> {
    row.set_status(Status::Authorised);
    row.redirect_url.clear();
    (row.due, row.tries) = (0, 0);
    let event = wire::PaymentAuthorised {
        payment_id: row.payment_id.clone(),
        order_id: row.order_id.clone(),
        buyer_id: row.buyer_id.clone(),
        attempt: i32::try_from(row.attempt).unwrap_or(i32::MAX),
        amount: Some(domain::won(row.amount)),
    };
    store::payment::change(tx, row).await?;
    tx.emit(&event).await.map(drop)
}

/// The attempt is over; its points go back.
pub(super) async fn decline(tx: &Tx, mut row: Model, why: Decline) -> Result<()> {
    give_back(tx, &row).await?;
    row.set_status(Status::Declined);
    why.name().clone_into(&mut row.decline_reason);
    row.redirect_url.clear();
    (row.taking_points, row.capturing, row.due, row.tries) = (false, false, 0, 0);
    let event = wire::PaymentDeclined {
        payment_id: row.payment_id.clone(),
        order_id: row.order_id.clone(),
        buyer_id: row.buyer_id.clone(),
        attempt: i32::try_from(row.attempt).unwrap_or(i32::MAX),
        decline_reason: row.decline_reason.clone(),
    };
    store::payment::change(tx, row).await?;
    tx.emit(&event).await.map(drop)
}

/// Gives up what an attempt has set aside so far: the provider is told after the commit, by whoever is first.
pub(super) async fn let_go(tx: &Tx, row: &Model) -> Result<()> {
    give_back(tx, row).await?;
    if let Some(mut charge) = store::charge::live(tx, &row.order_id).await? {
        charge.set_state(charge::State::Voiding);
        (charge.due, charge.tries) = (micros(tx.now()), 0);
        store::charge::change(tx, charge).await?;
    }
    if row.funding == "WALLET" && row.status() == Status::Authorised {
        store::ledger::must_post(tx, &[reservation(row).void("RESERVATION_RELEASED")]).await?;
    }
    Ok(())
}

/// Brings a charge and its payment forward; `None`: there is no such charge; `false`: it is nothing new.
pub(super) async fn advance(tx: &Tx, provider: &str, about: &About, seen: &Standing) -> Result<Option<bool>> {
    use charge::{State, Step};
    let Some(found) = store::charge::about(tx, provider, about).await? else { return Ok(None) };
    let mut payment = store::payment::must_lock(tx, &found.order_id).await?;
    let mut row = found;
    match charge::step(row.state()?, seen) {
        Step::Stay | Step::AskAgain => return Ok(Some(false)),
        Step::Confirm { redirect_url, provider_ref } => {
            row.set_state(State::ActionRequired);
            row.provider_ref = provider_ref;
            store::charge::change(tx, row).await?;
            payment.set_status(Status::ActionRequired);
            payment.redirect_url = redirect_url;
            payment.due = again(tx.now(), 30_000, 0);
            let event = wire::PaymentActionRequired {
                payment_id: payment.payment_id.clone(),
                order_id: payment.order_id.clone(),
                buyer_id: payment.buyer_id.clone(),
                attempt: i32::try_from(payment.attempt).unwrap_or(i32::MAX),
            };
            store::payment::change(tx, payment).await?;
            tx.emit(&event).await?;
        }
        Step::Authorise { provider_ref } => {
            row.set_state(State::Authorised);
            row.provider_ref = provider_ref;
            store::charge::change(tx, row).await?;
            authorised(tx, payment).await?;
        }
        Step::Decline(why) => {
            row.set_state(State::Declined);
            store::charge::change(tx, row).await?;
            decline(tx, payment, why).await?;
        }
        Step::GiveUp { provider_ref } => {
            row.set_state(State::Voiding);
            row.provider_ref = provider_ref;
            (row.due, row.tries) = (micros(tx.now()), 0);
            store::charge::change(tx, row).await?;
        }
        Step::GivenUp => {
            row.set_state(State::Voided);
            row.due = 0;
            store::charge::change(tx, row).await?;
        }
    }
    Ok(Some(true))
}
