//! PayPal's webhooks. PayPal is asked whether it sent one (`verify-webhook-signature`): that takes no certificate from an address
//! that the message names. What it says is believed no further than that something may have changed.
//! <https://developer.paypal.com/api/rest/webhooks/rest/>

use super::{PayPal, decline, money::Label};
use crate::provider::{
    About, Forged, News, Notice, Unverified, Verified,
    http::{Silence, fresh, text},
};
use chrono::DateTime;
use jangteo_core::Time;
use reqwest::Url;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Ours, and theirs.
const FIELDS: [(&str, &str); 5] = [
    ("paypal-auth-algo", "auth_algo"),
    ("paypal-cert-url", "cert_url"),
    ("paypal-transmission-id", "transmission_id"),
    ("paypal-transmission-sig", "transmission_sig"),
    ("paypal-transmission-time", "transmission_time"),
];

impl PayPal {
    pub(super) async fn verify(&self, headers: &BTreeMap<String, String>, body: &[u8], now: Time) -> Verified {
        let mut question = json!({ "webhook_id": self.cfg.webhook_id.show() });
        for (header, field) in FIELDS {
            question[field] = headers.get(header).ok_or(Forged("it is not signed"))?.as_str().into();
        }
        // What is plainly not PayPal's is not worth a question.
        let sent = DateTime::parse_from_rfc3339(text(&question, "/transmission_time"));
        let sent = sent.map_err(|_| Forged("its signature has no time"))?;
        fresh(sent.timestamp(), now.timestamp(), self.cfg.webhook_tolerance_secs)?;
        let theirs = |url: Url| url.scheme() == "https" && url.host_str().is_some_and(|h| h.ends_with(".paypal.com"));
        if !Url::parse(text(&question, "/cert_url")).is_ok_and(theirs) {
            return Err(Forged("its certificate is somebody else's").into());
        }
        let event: Value = serde_json::from_slice(body).map_err(|_| Forged("it can't be read"))?;
        let body = std::str::from_utf8(body).map_err(|_| Forged("it can't be read"))?;
        if self.sent(&question, body).await.map_err(|silence| Unverified::Silent(silence.into()))? {
            return Ok(notice(&event).into_iter().collect());
        }
        Err(Forged("its signature is wrong").into())
    }

    /// The message goes along byte for byte, since that is what was signed.
    async fn sent(&self, question: &Value, body: &str) -> Result<bool, Silence> {
        let question = question.to_string();
        let question = format!(r#"{},"webhook_event":{body}}}"#, question.trim_end_matches('}'));
        let request = self.http.post(format!("{}/v1/notifications/verify-webhook-signature", self.base));
        let answer = self.ask(request.header("Content-Type", "application/json").body(question)).await?;
        match (answer.status, answer.text("/verification_status")) {
            (200, "SUCCESS") => Ok(true),
            (200, "FAILURE") => Ok(false),
            // It can't even read the signature.
            (400 | 422, _) => Ok(false),
            _ => Err(decline::unsure(&answer)),
        }
    }
}

/// Orders have our label in their purchase unit, what is made of them (authorisations, captures) has it itself.
fn notice(event: &Value) -> Option<Notice> {
    let label = ["/resource/custom_id", "/resource/purchase_units/0/custom_id"].map(|at| text(event, at));
    let key = label.into_iter().find_map(Label::read)?.key;
    let event_id = text(event, "/id").to_owned();
    // Refunds have labels too, and are ours alone to make.
    key.starts_with("ord_").then_some(Notice { event_id, about: About::Key(key), news: News::Changed })
}
