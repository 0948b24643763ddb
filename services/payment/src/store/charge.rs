//! Charges: each provider that was asked in an attempt.

use super::rows;
use crate::{
    domain::{charge::State, krw},
    provider::{About, Charge, ChargeRef, Instrument, Method},
};
use jangteo_core::{Error, Result, Time, micros};
use kit::db::{DbResult, Tx};
use sea_orm::{ConnectionTrait, QueryFilter, QueryOrder, QuerySelect, entity::prelude::*};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "charge")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    pub key: String,
    pub buyer_id: String,
    pub state: String,
    pub amount: i64,
    /// CARD, EASY_PAY or BANK_TRANSFER.
    pub method: String,
    pub instrument: String,
    /// Empty when the provider's answer never came.
    pub provider_ref: String,
    /// A JSON list of (provider, instrument).
    pub others: String,
    pub due: i64,
    pub tries: i64,
    pub capture_time: i64,
    pub create_time: i64,
    pub update_time: i64,
    /// The last part of the address of its own page; empty in older rows.
    pub checkout_token: String,
    /// What its buyer's browser came back with; empty: it has not.
    pub slip: String,
    /// When the provider was told to go on with it; 0: it was not.
    pub confirm_time: i64,
}

rows!(insert, save);

/// The live states, for filters.
pub const LIVE: [&str; 4] = ["ASKED", "ACTION_REQUIRED", "AUTHORISED", "CAPTURED"];

impl Model {
    pub fn state(&self) -> Result<State> {
        State::parse(&self.state).ok_or_else(|| Error::internal(format!("{} is {:?}", self.key, self.state)))
    }

    pub fn set_state(&mut self, state: State) {
        state.name().clone_into(&mut self.state);
    }

    /// As the provider is asked for it. `public_url` is before the address of its page.
    pub fn charge(&self, return_url: &str, public_url: &str) -> Charge {
        let instrument = self.instrument.clone();
        Charge {
            key: self.key.clone(),
            order_id: self.order_id.clone(),
            buyer_id: self.buyer_id.clone(),
            amount: krw(self.amount),
            instrument: match self.method.as_str() {
                "CARD" => Instrument::Card(instrument),
                "EASY_PAY" => Instrument::EasyPay(instrument),
                _ => Instrument::BankTransfer(instrument),
            },
            return_url: return_url.to_owned(),
            checkout_url: match public_url.is_empty() || self.checkout_token.is_empty() {
                true => String::new(),
                false => format!("{}/v1/payments/checkout/{}", public_url.trim_end_matches('/'), self.checkout_token),
            },
        }
    }

    pub fn reference(&self, now: Time) -> ChargeRef {
        let provider_ref = (!self.provider_ref.is_empty()).then(|| self.provider_ref.clone());
        let wanted = self.state().is_ok_and(State::is_live);
        let age = u64::try_from(micros(now) - self.confirm_time).unwrap_or(0);
        let confirmed = (self.confirm_time > 0).then(|| Duration::from_micros(age));
        ChargeRef { key: self.key.clone(), amount: krw(self.amount), provider_ref, wanted, confirmed }
    }

    /// Whether its buyer is to confirm it, and has not come back yet.
    pub fn awaits_return(&self) -> Result<bool> {
        Ok(self.state()? == State::ActionRequired && self.slip.is_empty())
    }

    /// The providers that may still be asked, each with its instrument.
    pub fn others(&self) -> Result<Vec<(String, String)>> {
        serde_json::from_str(&self.others).map_err(Error::internal)
    }
}

pub fn method_name(method: &Method) -> &'static str {
    match method {
        Method::Card => "CARD",
        Method::EasyPay(_) => "EASY_PAY",
        Method::BankTransfer(_) => "BANK_TRANSFER",
    }
}

/// The order's one charge that counts or may yet.
pub async fn live<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Option<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).filter(Column::State.is_in(LIVE)).one(conn).await.db()
}

pub async fn about<C: ConnectionTrait>(conn: &C, provider: &str, about: &About) -> Result<Option<Model>> {
    let select = Entity::find().filter(Column::Provider.eq(provider));
    let select = match about {
        About::Key(key) => select.filter(Column::Key.eq(key)),
        About::ProviderRef(id) => select.filter(Column::ProviderRef.eq(id)),
    };
    select.one(conn).await.db()
}

pub async fn at_checkout<C: ConnectionTrait>(conn: &C, token: &str) -> Result<Model> {
    let row = Entity::find().filter(Column::CheckoutToken.eq(token)).one(conn).await.db()?;
    row.filter(|row| !row.checkout_token.is_empty()).ok_or_else(|| Error::not_found("checkout", token))
}

pub async fn change(tx: &Tx, row: Model) -> Result<()> {
    save(tx, Model { update_time: micros(tx.now()), ..row }).await
}

/// Those to give up at the provider, the longest waiting first.
pub async fn due<C: ConnectionTrait>(conn: &C, now: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Due.gt(0)).filter(Column::Due.lte(now));
    select.order_by_asc(Column::Due).limit(limit).all(conn).await.db()
}

/// Those to give up of one order.
pub async fn due_of<C: ConnectionTrait>(conn: &C, order_id: &str) -> Result<Vec<Model>> {
    Entity::find().filter(Column::OrderId.eq(order_id)).filter(Column::Due.gt(0)).all(conn).await.db()
}

/// Those that a provider captured in a time.
pub async fn captured<C: ConnectionTrait>(conn: &C, provider: &str, from: i64, to: i64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Provider.eq(provider)).filter(Column::CaptureTime.gte(from.max(1)));
    select.filter(Column::CaptureTime.lt(to)).all(conn).await.db()
}
