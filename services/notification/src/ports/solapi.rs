//! SMS by Solapi, for Korean numbers, <https://developers.solapi.com/references/messages/sendSimpleMessage>. It knows no
//! idempotency keys: a message whose answer is lost may come twice. Our key goes along as a custom field.

use super::{Parcel, Receipt, Sender, http};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use chrono::SecondsFormat;
use jangteo_core::{Clock, Error, Result};
use reqwest::Client;
use ring::hmac;
use serde::Deserialize;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SolapiConfig {
    pub url: String,
    pub api_key: String,
    pub api_secret: String,
    /// A sender's number that is registered with Solapi, without dashes: `0212345678`.
    pub from: String,
}

impl Default for SolapiConfig {
    fn default() -> Self {
        let nothing = String::new;
        SolapiConfig {
            url: "https://api.solapi.com".to_owned(),
            api_key: nothing(),
            api_secret: nothing(),
            from: nothing(),
        }
    }
}

pub struct Solapi {
    cfg: SolapiConfig,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl Solapi {
    pub fn new(cfg: SolapiConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        if [&cfg.api_key, &cfg.api_secret, &cfg.from].iter().any(|s| s.is_empty()) {
            let text = "needs api_key, api_secret and from";
            return Err(Error::invalid("notification.solapi", "INVALID_CONFIGURATION", text));
        }
        Ok(Solapi { cfg, client: http::client()?, clock })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/messages/v4/{path}", self.cfg.url.trim_end_matches('/'))
    }

    /// <https://developers.solapi.com/references/authentication/api-key>: HMAC-SHA256 of date and salt, in hexadecimal.
    fn authorization(&self) -> String {
        let date = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let salt = Uuid::new_v4().simple();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.cfg.api_secret.as_bytes());
        let tag = hmac::sign(&key, format!("{date}{salt}").as_bytes());
        let signature: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("HMAC-SHA256 apiKey={}, date={date}, salt={salt}, signature={signature}", self.cfg.api_key)
    }
}

/// `+821012345678` as Korean networks dial it: `01012345678`.
fn domestic(number: &str) -> Option<String> {
    number.strip_prefix("+82").map(|rest| format!("0{rest}"))
}

#[async_trait]
impl Sender for Solapi {
    fn name(&self) -> &'static str {
        "solapi"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        let Some(to) = domestic(to) else { return Outcome::Elsewhere { why: "FOREIGN_NUMBER" } };
        let text = super::sms(parcel);
        let body = serde_json::json!({
            "message": {"to": to, "from": self.cfg.from, "text": text, "customFields": {"key": parcel.key}},
        });
        let request = self.client.post(self.url("send")).header("authorization", self.authorization()).json(&body);
        let answer = match http::ask(request, Some(self.clock.now())).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        match (answer.status.is_success(), answer.body["statusCode"].as_str(), answer.body["messageId"].as_str()) {
            // 2xxx: taken. Others: refused for the sender's number, the balance or the like, and not taken.
            (true, Some(code), Some(id)) if code.starts_with('2') => Outcome::Sent(id.to_owned()),
            (true, Some(_), _) => Outcome::Elsewhere { why: "NOT_TAKEN" },
            (true, None, _) => Outcome::Unknown { why: "BROKEN_ANSWER" },
            (false, ..) => match answer.body["errorCode"].as_str() {
                Some("NotEnoughBalance" | "SignatureDoesNotMatch") => Outcome::Elsewhere { why: "NOT_ADMITTED" },
                _ => http::outcome(&answer),
            },
        }
    }

    fn gives_receipts(&self) -> bool {
        true
    }

    async fn receipt(&self, message_id: &str) -> Result<Receipt> {
        let query = [("criteria", "messageId"), ("cond", "eq"), ("value", message_id)];
        let request = self.client.get(self.url("list")).query(&query).header("authorization", self.authorization());
        let answer = http::ask(request, None).await.map_err(|_| Error::unavailable("solapi"))?;
        Ok(match answer.body["messageList"][message_id]["statusCode"].as_str() {
            Some("4000") => Receipt::Arrived,
            Some(code) if code.starts_with('3') && code != "3000" => Receipt::Lost("UNDELIVERED"),
            _ => Receipt::Pending,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn korean_numbers_are_dialled_as_at_home() {
        assert_eq!(domestic("+821012345678").as_deref(), Some("01012345678"));
        assert_eq!(domestic("+14155550100"), None);
    }
}
