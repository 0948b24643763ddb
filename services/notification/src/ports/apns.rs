//! Push by Apple's APNs over HTTP/2,
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>. The parcel's key is
//! the collapse id, so that a double takes the place of the first on the device.

use super::{GONE, Parcel, Sender, http};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use chrono::TimeDelta;
use jangteo_core::{Clock, Error, Result, Time};
use reqwest::Client;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde::Deserialize;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Mutex;
use uuid::Uuid;

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApnsConfig {
    /// `https://api.sandbox.push.apple.com` for development builds of the app.
    pub url: String,
    /// The file with the signing key, `AuthKey_….p8`.
    pub key: PathBuf,
    pub key_id: String,
    pub team_id: String,
    /// The app's bundle id.
    pub topic: String,
}

impl Default for ApnsConfig {
    fn default() -> Self {
        let nothing = String::new;
        ApnsConfig {
            url: "https://api.push.apple.com".to_owned(),
            key: PathBuf::new(),
            key_id: nothing(),
            team_id: nothing(),
            topic: nothing(),
        }
    }
}

pub struct Apns {
    cfg: ApnsConfig,
    key: EcdsaKeyPair,
    client: Client,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<(String, Time)>>,
}

/// Apple wants a token no older than an hour and not renewed more often than every twenty minutes.
const TOKEN_LIFE: TimeDelta = TimeDelta::minutes(40);
/// How long Apple keeps trying to reach a device.
const KEEP: TimeDelta = TimeDelta::days(1);

fn misconfigured(field: &str, text: &str) -> Error {
    Error::invalid(format!("notification.apns.{field}"), "INVALID_CONFIGURATION", text)
}

impl Apns {
    pub fn new(cfg: &ApnsConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        if [&cfg.key_id, &cfg.team_id, &cfg.topic].iter().any(|s| s.is_empty()) {
            return Err(misconfigured("key_id", "is needed, as are team_id and topic"));
        }
        let text = std::fs::read_to_string(&cfg.key).map_err(|_| misconfigured("key", "can't be read"))?;
        let der = http::pem("notification.apns.key", &text)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new());
        let key = key.map_err(|_| misconfigured("key", "holds no key on the curve P-256"))?;
        let client = http::builder().http2_prior_knowledge().build().map_err(Error::internal)?;
        Ok(Apns { cfg: cfg.clone(), key, client, clock, token: Mutex::default() })
    }

    async fn token(&self) -> Result<String> {
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        if let Some((token, _)) = kept.as_ref().filter(|(_, made)| now < *made + TOKEN_LIFE) {
            return Ok(token.clone());
        }
        let header = json!({"alg": "ES256", "kid": self.cfg.key_id});
        let claims = json!({"iss": self.cfg.team_id, "iat": now.timestamp()});
        let token = http::jwt(&header, &claims, |text| {
            let signature = self.key.sign(&SystemRandom::new(), text);
            signature.map(|s| s.as_ref().to_vec()).map_err(|_| Error::internal("signing failed"))
        })?;
        *kept = Some((token.clone(), now));
        Ok(token)
    }
}

#[async_trait]
impl Sender for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        let Ok(token) = self.token().await else { return Outcome::Elsewhere { why: "UNSIGNED" } };
        let body = json!({
            "aps": {"alert": {"title": parcel.title, "body": parcel.body}, "sound": "default"},
            "notification_id": parcel.notification_id, "link": parcel.link,
        });
        let id = parcel.key.rsplit('_').next().and_then(|hex| Uuid::try_parse(hex).ok()).unwrap_or_default();
        let request = self
            .client
            .post(format!("{}/3/device/{to}", self.cfg.url.trim_end_matches('/')))
            .bearer_auth(token)
            .header("apns-topic", &self.cfg.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", if parcel.urgent { "10" } else { "5" })
            .header("apns-id", id.hyphenated().to_string())
            .header("apns-collapse-id", parcel.key)
            .header("apns-expiration", (self.clock.now() + KEEP).timestamp())
            .json(&body);
        let answer = match http::ask(request, Some(self.clock.now())).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if answer.status.is_success() {
            return Outcome::Sent(id.hyphenated().to_string());
        }
        match answer.body["reason"].as_str() {
            Some("BadDeviceToken" | "Unregistered" | "ExpiredToken" | "DeviceTokenNotForTopic") => {
                Outcome::Never { why: GONE }
            }
            Some("ExpiredProviderToken" | "InvalidProviderToken") => {
                *self.token.lock().await = None;
                Outcome::Later { after: None, why: "TOKEN_REFUSED" }
            }
            _ => http::outcome(&answer),
        }
    }
}
