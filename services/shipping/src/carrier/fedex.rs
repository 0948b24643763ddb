//! FedEx, tracking alone: the Track API, `POST /track/v1/trackingnumbers` with a bearer token of `POST /oauth/token`
//! (client credentials). <https://developer.fedex.com/api/en-us/catalog/track/v1/docs.html>

use super::{Carrier, Profile, ScanEvent, dhl::failed};
use crate::domain::Sight;
use async_trait::async_trait;
use chrono::DateTime;
use jangteo_core::{Call, Error, Result, from_micros};
use proto::jangteo::shipping::v1::ShipmentStatus;
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "url")]
    pub url: String,
    pub client_id: String,
    pub client_secret: String,
}

fn url() -> String {
    "https://apis.fedex.com".to_owned()
}

/// A token is given up this much before it ends.
const LEEWAY: Duration = Duration::from_secs(60);

pub struct Fedex {
    http: reqwest::Client,
    config: Config,
    profile: &'static Profile,
    token: Mutex<Option<(String, Instant)>>,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

#[derive(Deserialize)]
struct Answer {
    output: Output,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Output {
    #[serde(default)]
    complete_track_results: Vec<Complete>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complete {
    #[serde(default)]
    track_results: Vec<Track>,
}

/// A number that FedEx doesn't know comes as a result with an error, and without scans.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Track {
    #[serde(default)]
    scan_events: Vec<Scan>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scan {
    date: String,
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    scan_location: Location,
}

#[derive(Deserialize, Default)]
struct Location {
    #[serde(default)]
    city: String,
}

/// The event types that move a parcel; others (delays, notes, clearance) leave it where it is.
fn status(event_type: &str) -> Option<ShipmentStatus> {
    match event_type {
        "OC" => Some(ShipmentStatus::Booked),
        "PU" => Some(ShipmentStatus::PickedUp),
        "AR" | "DP" | "IT" | "AF" | "LO" | "PD" | "TR" => Some(ShipmentStatus::InTransit),
        "OD" => Some(ShipmentStatus::OutForDelivery),
        "DL" => Some(ShipmentStatus::Delivered),
        _ => None,
    }
}

impl Scan {
    fn event(self, tracking_number: &str) -> Option<ScanEvent> {
        let time = from_micros(DateTime::parse_from_rfc3339(&self.date).ok()?.timestamp_micros());
        let (status, place) = (status(&self.event_type)?, self.scan_location.city);
        let event_id = super::scan_id(&[&self.date, &self.event_type, &place]);
        Some(ScanEvent { tracking_number: tracking_number.to_owned(), sight: Sight { event_id, status, place, time } })
    }
}

fn away(e: reqwest::Error) -> Error {
    Error::unavailable("fedex").with_source(e.without_url())
}

impl Fedex {
    pub fn new(config: Config, profile: &'static Profile) -> Result<Fedex> {
        Ok(Fedex { http: super::http()?, config, profile, token: Mutex::new(None) })
    }

    /// One at a time asks for a token; the others wait for it.
    async fn token(&self) -> Result<String> {
        let mut held = self.token.lock().await;
        if let Some((token, until)) = held.as_ref()
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            escaped(&self.config.client_id),
            escaped(&self.config.client_secret)
        );
        let ask = self.http.post(format!("{}/oauth/token", self.config.url)).body(form);
        let answer = ask.header("content-type", "application/x-www-form-urlencoded").send().await.map_err(away)?;
        if !answer.status().is_success() {
            return Err(failed("fedex", &answer));
        }
        let Token { access_token, expires_in } = answer.json().await.map_err(away)?;
        let lives = Duration::from_secs(expires_in).saturating_sub(LEEWAY);
        *held = Some((access_token.clone(), Instant::now() + lives));
        Ok(access_token)
    }

    async fn ask(&self, tracking_number: &str) -> Result<reqwest::Response> {
        let body = json!({
            "includeDetailedScans": true,
            "trackingInfo": [{"trackingNumberInfo": {"trackingNumber": tracking_number}}],
        });
        let ask = self.http.post(format!("{}/track/v1/trackingnumbers", self.config.url)).json(&body);
        ask.bearer_auth(self.token().await?).send().await.map_err(away)
    }
}

/// RFC 3986: everything but the unreserved in percent.
fn escaped(text: &str) -> String {
    let one = |b: u8| match b {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(one).collect()
}

#[async_trait]
impl Carrier for Fedex {
    fn profile(&self) -> &'static Profile {
        self.profile
    }

    async fn track(&self, _cx: &Call, tracking_number: &str) -> Result<Vec<ScanEvent>> {
        let mut answer = self.ask(tracking_number).await?;
        if answer.status().as_u16() == 401 {
            // The token was withdrawn before its time; one new one is worth asking for.
            *self.token.lock().await = None;
            answer = self.ask(tracking_number).await?;
        }
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Vec::new()),
            _ => return Err(failed("fedex", &answer)),
        }
        let Answer { output } = answer.json().await.map_err(away)?;
        let results = output.complete_track_results.into_iter().flat_map(|c| c.track_results);
        let mut scans: Vec<_> = results.flat_map(|t| t.scan_events).filter_map(|s| s.event(tracking_number)).collect();
        scans.sort_by_key(|s| s.sight.time);
        Ok(scans)
    }
}
