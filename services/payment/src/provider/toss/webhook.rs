//! Toss's webhooks. Those about payouts are signed: `tosspayments-webhook-signature: v1:<base64>,v1:<base64>`, HMAC-SHA256 of
//! `body:transmission-time`, one of them by the key in use. Those about payments are not, and say only that something may have
//! changed. <https://docs.tosspayments.com/reference/using-api/webhook-events>

use super::{Config, key};
use crate::provider::{
    About, Forged, News, Notice, Verified,
    http::{fresh, text},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::DateTime;
use jangteo_core::Time;
use ring::{digest, hmac};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn verify(cfg: &Config, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
    if let Some(signature) = headers.get("tosspayments-webhook-signature") {
        let sent = headers.get("tosspayments-webhook-transmission-time").ok_or(Forged("its signature has no time"))?;
        signed(cfg, signature, sent, body)?;
        let time = DateTime::parse_from_rfc3339(sent).map_err(|_| Forged("its signature has no time"))?;
        fresh(time.timestamp(), now.timestamp(), cfg.webhook_tolerance_secs)?;
    }
    let message: Value = serde_json::from_slice(body).map_err(|_| Forged("it can't be read"))?;
    let order_id = match text(&message, "/data/orderId") {
        "" => text(&message, "/orderId"),
        order_id => order_id,
    };
    let Some(key) = key(order_id).filter(|key| key.starts_with("ord_")) else { return Ok(Vec::new()) };
    // It comes without an id. Nobody can guess the whole of it, so nobody can use its id up before it comes.
    let hash = digest::digest(&digest::SHA256, body);
    let event_id = hash.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect();
    Ok(vec![Notice { event_id, about: About::Key(key), news: News::Changed }])
}

fn signed(cfg: &Config, signature: &str, sent: &str, body: &[u8]) -> Result<(), Forged> {
    if cfg.security_key.is_empty() {
        return Err(Forged("there is no key to check it with"));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, cfg.security_key.show().as_bytes());
    let text = [body, b":", sent.as_bytes()].concat();
    let tags = signature.split(',').map(|tag| tag.trim().trim_start_matches("v1:"));
    let good = |tag: &str| BASE64_STANDARD.decode(tag).is_ok_and(|tag| hmac::verify(&key, &text, &tag).is_ok());
    if tags.into_iter().any(good) { Ok(()) } else { Err(Forged("its signature is wrong")) }
}
