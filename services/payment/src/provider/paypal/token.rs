//! The token that PayPal is asked with: fetched with the client's id and secret, kept until shortly before it ends.
//! <https://developer.paypal.com/api/rest/authentication/>

use super::Config;
use crate::provider::http::{self, Secret, Silence};
use reqwest::Client;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A token that ends sooner is not used any more.
const SPARE: Duration = Duration::from_secs(60);

/// One caller fetches; the others wait for what it gets.
#[derive(Default)]
pub(super) struct Tokens(Mutex<Option<(Secret, Instant)>>);

impl Tokens {
    /// Whatever goes wrong here, the request that wanted the token was not sent.
    pub async fn get(&self, client: &Client, base: &str, cfg: &Config) -> Result<Secret, Silence> {
        let mut kept = self.0.lock().await;
        if let Some((token, until)) = &*kept
            && *until > Instant::now()
        {
            return Ok(token.clone());
        }
        let request = client
            .post(format!("{base}/v1/oauth2/token"))
            .basic_auth(cfg.client_id.show(), Some(cfg.client_secret.show()))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let asked = Instant::now();
        let answer = http::ask(request).await.map_err(|silence| Silence::NotSent(silence.into()))?;
        let token = answer.text("/access_token");
        if !answer.is_ok() || token.is_empty() {
            let why = format!("{} {} from paypal, asked for a token", answer.status, answer.text("/error"));
            return Err(Silence::NotSent(why));
        }
        let token = Secret::from(token.to_owned());
        let lasts = Duration::from_secs(answer.body["expires_in"].as_u64().unwrap_or(0));
        *kept = Some((token.clone(), asked + lasts.saturating_sub(SPARE)));
        Ok(token)
    }

    /// Of a token that PayPal does not take.
    pub async fn drop(&self, token: &Secret) {
        let mut kept = self.0.lock().await;
        if kept.as_ref().is_some_and(|(kept, _)| kept.show() == token.show()) {
            *kept = None;
        }
    }
}
