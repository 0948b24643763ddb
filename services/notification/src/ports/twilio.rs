//! SMS by Twilio, <https://www.twilio.com/docs/messaging/api/message-resource>. It knows no idempotency keys: a message
//! whose answer is lost may come twice.

use super::{GONE, Parcel, Receipt, Sender, http};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use jangteo_core::{Error, Result};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwilioConfig {
    pub url: String,
    pub account_sid: String,
    pub auth_token: String,
    /// `+15017122661`, or the id of a messaging service: `MG…`
    pub from: String,
}

impl Default for TwilioConfig {
    fn default() -> Self {
        let nothing = String::new;
        TwilioConfig {
            url: "https://api.twilio.com".to_owned(),
            account_sid: nothing(),
            auth_token: nothing(),
            from: nothing(),
        }
    }
}

pub struct Twilio {
    cfg: TwilioConfig,
    client: Client,
}

impl Twilio {
    pub fn new(cfg: TwilioConfig) -> Result<Self> {
        if [&cfg.account_sid, &cfg.auth_token, &cfg.from].iter().any(|s| s.is_empty()) {
            let text = "needs account_sid, auth_token and from";
            return Err(Error::invalid("notification.twilio", "INVALID_CONFIGURATION", text));
        }
        Ok(Twilio { cfg, client: http::client()? })
    }

    fn url(&self, path: &str) -> String {
        let (url, account) = (self.cfg.url.trim_end_matches('/'), &self.cfg.account_sid);
        format!("{url}/2010-04-01/Accounts/{account}/{path}")
    }
}

#[async_trait]
impl Sender for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        let sender = if self.cfg.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let text = super::sms(parcel);
        let request = self
            .client
            .post(self.url("Messages.json"))
            .basic_auth(&self.cfg.account_sid, Some(&self.cfg.auth_token))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(http::form(&[("To", to), (sender, &self.cfg.from), ("Body", &text)]));
        let answer = match http::ask(request, None).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        match (answer.status, answer.body["code"].as_i64()) {
            (s, _) if s.is_success() => match answer.body["sid"].as_str() {
                Some(sid) => Outcome::Sent(sid.to_owned()),
                None => Outcome::Unknown { why: "BROKEN_ANSWER" },
            },
            // No number, none that takes texts, one that said STOP.
            (_, Some(21211 | 21614 | 21610)) => Outcome::Never { why: GONE },
            // No permission for the country, no route to it, a sender that can't reach it.
            (_, Some(21408 | 21612 | 21606)) => Outcome::Elsewhere { why: "NO_ROUTE" },
            (StatusCode::NOT_FOUND, _) => Outcome::Elsewhere { why: "NOT_ADMITTED" },
            _ => http::outcome(&answer),
        }
    }

    fn gives_receipts(&self) -> bool {
        true
    }

    async fn receipt(&self, message_id: &str) -> Result<Receipt> {
        let request = self.client.get(self.url(&format!("Messages/{message_id}.json")));
        let request = request.basic_auth(&self.cfg.account_sid, Some(&self.cfg.auth_token));
        let answer = http::ask(request, None).await.map_err(|_| Error::unavailable("twilio"))?;
        Ok(match answer.body["status"].as_str() {
            Some("delivered" | "read") => Receipt::Arrived,
            Some("undelivered" | "failed" | "canceled") => Receipt::Lost("UNDELIVERED"),
            _ => Receipt::Pending,
        })
    }
}
