//! Stripe's webhooks: `Stripe-Signature: t=<seconds>,v1=<HMAC-SHA256 of "t.body">`, several `v1` while a secret is rolled.
//! <https://docs.stripe.com/webhooks#verify-manually>

use super::{Config, standing};
use crate::provider::{
    About, Forged, News, Notice, Standing, Verified,
    http::{fresh, text, unhex},
};
use jangteo_core::Time;
use ring::hmac;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn verify(cfg: &Config, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
    let header = headers.get("stripe-signature").ok_or(Forged("it is not signed"))?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let time = parts().find(|(name, _)| *name == "t").map(|(_, time)| time);
    let time = time.ok_or(Forged("its signature has no time"))?;
    let seconds = time.parse().map_err(|_| Forged("its signature has no time"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, cfg.webhook_secret.show().as_bytes());
    let signed = [time.as_bytes(), b".", body].concat();
    let mut tags = parts().filter(|(name, _)| *name == "v1").filter_map(|(_, tag)| unhex(tag));
    if !tags.any(|tag| hmac::verify(&key, &signed, &tag).is_ok()) {
        return Err(Forged("its signature is wrong").into());
    }
    fresh(seconds, now.timestamp(), cfg.webhook_tolerance_secs)?;
    let event: Value = serde_json::from_slice(body).map_err(|_| Forged("it can't be read"))?;
    let object = &event["data"]["object"];
    let (kind, key) = (text(&event, "/type"), text(object, "/metadata/key"));
    // Not ours: somebody else's intent in the same account, or no intent at all.
    if !kind.starts_with("payment_intent.") || key.is_empty() {
        return Ok(Vec::new());
    }
    let news = match standing(object) {
        // A payment that has no confirmation yet may be decided by now.
        Standing::Pending | Standing::Absent => News::Changed,
        Standing::ActionRequired { .. } => News::Changed,
        // Says as well of an intent that is only made, which is what gives up a charge that never arrived.
        Standing::Declined(_) if kind != "payment_intent.payment_failed" => News::Other,
        seen => News::Standing(seen),
    };
    Ok(vec![Notice { event_id: text(&event, "/id").to_owned(), about: About::Key(key.to_owned()), news }])
}
