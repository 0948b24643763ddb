//! Push by Firebase Cloud Messaging, HTTP v1,
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>. The parcel's key is the notice's tag
//! and collapse key, so that a double takes the place of the first on the device.

use super::{GONE, Parcel, Sender, http};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use chrono::TimeDelta;
use jangteo_core::{Clock, Error, Result, Time};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde::Deserialize;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Mutex;

#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FcmConfig {
    pub url: String,
    /// The file with the service account's key, as Google gives it out.
    pub service_account: PathBuf,
}

impl Default for FcmConfig {
    fn default() -> Self {
        FcmConfig { url: "https://fcm.googleapis.com".to_owned(), service_account: PathBuf::new() }
    }
}

/// What we read of that file.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

pub struct Fcm {
    url: String,
    account: ServiceAccount,
    key: RsaKeyPair,
    client: Client,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<(String, Time)>>,
}

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long before its end a token is renewed.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

fn misconfigured(text: &str) -> Error {
    Error::invalid("notification.fcm.service_account", "INVALID_CONFIGURATION", text)
}

impl Fcm {
    pub fn new(cfg: &FcmConfig, clock: Arc<dyn Clock>) -> Result<Self> {
        let text = std::fs::read_to_string(&cfg.service_account).map_err(|_| misconfigured("can't be read"))?;
        let account: ServiceAccount =
            serde_json::from_str(&text).map_err(|_| misconfigured("is no service account's key"))?;
        let der = http::pem("notification.fcm.service_account", &account.private_key)?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| misconfigured("holds no RSA key"))?;
        let url = cfg.url.trim_end_matches('/').to_owned();
        Ok(Fcm { url, account, key, client: http::client()?, clock, token: Mutex::default() })
    }

    /// RFC 7523, as in <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>. One asks, the
    /// others wait for the answer.
    async fn token(&self) -> Result<String, Outcome> {
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        if let Some((token, _)) = kept.as_ref().filter(|(_, until)| now + AHEAD < *until) {
            return Ok(token.clone());
        }
        let assertion = self.assertion(now).map_err(|_| Outcome::Elsewhere { why: "UNSIGNED" })?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form = http::form(&[("grant_type", grant), ("assertion", &assertion)]);
        let request = self.client.post(&self.account.token_uri).body(form);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        // Nothing is sent yet, whatever became of this request.
        let answer =
            http::ask(request, Some(now)).await.map_err(|_| Outcome::Later { after: None, why: "NO_TOKEN" })?;
        let (Some(token), Some(seconds)) = (answer.body["access_token"].as_str(), answer.body["expires_in"].as_i64())
        else {
            let why = "NO_TOKEN";
            let denied = answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS;
            return Err(if denied {
                Outcome::Elsewhere { why }
            } else {
                Outcome::Later { after: answer.retry_after, why }
            });
        };
        *kept = Some((token.to_owned(), now + TimeDelta::seconds(seconds.clamp(0, 86_400))));
        Ok(token.to_owned())
    }

    fn assertion(&self, now: Time) -> Result<String> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.account.private_key_id});
        let (iat, uri) = (now.timestamp(), &self.account.token_uri);
        let claims = json!({
            "iss": self.account.client_email, "scope": SCOPE, "aud": uri, "iat": iat, "exp": iat + 3600,
        });
        http::jwt(&header, &claims, |text| {
            let mut signature = vec![0; self.key.public().modulus_len()];
            let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature);
            signed.map(|()| signature).map_err(|_| Error::internal("signing failed"))
        })
    }
}

#[async_trait]
impl Sender for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        let token = match self.token().await {
            Ok(token) => token,
            Err(outcome) => return outcome,
        };
        let priority = if parcel.urgent { "HIGH" } else { "NORMAL" };
        let body = json!({"message": {
            "token": to,
            "notification": {"title": parcel.title, "body": parcel.body},
            "data": {"notification_id": parcel.notification_id, "link": parcel.link},
            "android": {"priority": priority, "collapse_key": parcel.key, "notification": {"tag": parcel.key}},
            "webpush": {"notification": {"tag": parcel.key}},
        }});
        let url = format!("{}/v1/projects/{}/messages:send", self.url, self.account.project_id);
        let request = self.client.post(url).bearer_auth(token).json(&body);
        let answer = match http::ask(request, Some(self.clock.now())).await {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        if answer.status.is_success() {
            return Outcome::Sent(answer.body["name"].as_str().unwrap_or_default().to_owned());
        }
        let details = answer.body["error"]["details"].as_array();
        let mut codes = details.into_iter().flatten().filter_map(|d| d["errorCode"].as_str());
        match codes.next_back() {
            // The app is gone from the device, or the token was given out for another project.
            Some("UNREGISTERED" | "SENDER_ID_MISMATCH") => Outcome::Never { why: GONE },
            Some("QUOTA_EXCEEDED") => {
                Outcome::Later { after: answer.retry_after.or(Some(TimeDelta::minutes(1))), why: "TOO_MANY" }
            }
            _ if answer.status == StatusCode::UNAUTHORIZED => {
                *self.token.lock().await = None;
                Outcome::Later { after: None, why: "TOKEN_REFUSED" }
            }
            _ => http::outcome(&answer),
        }
    }
}
