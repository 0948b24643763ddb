//! DHL, tracking alone: "Shipment Tracking - Unified", `GET /track/shipments?trackingNumber=…` with the header
//! `DHL-API-Key`. <https://developer.dhl.com/api-reference/shipment-tracking>
//!
//! Its status codes are `pre-transit`, `transit`, `delivered`, `failure` and `unknown`; the last one says nothing, and a
//! failure is an attempt that did not succeed: the parcel is still on its way.

use super::{Carrier, Profile, ScanEvent};
use crate::domain::Sight;
use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime};
use jangteo_core::{Call, Code, Error, Result, Time, from_micros};
use proto::jangteo::shipping::v1::ShipmentStatus;
use serde::Deserialize;
use std::time::Duration;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default = "url")]
    pub url: String,
    pub api_key: String,
}

fn url() -> String {
    "https://api-eu.dhl.com".to_owned()
}

pub struct Dhl {
    http: reqwest::Client,
    config: Config,
    profile: &'static Profile,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    shipments: Vec<Shipment>,
}

#[derive(Deserialize)]
struct Shipment {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    timestamp: String,
    #[serde(default)]
    location: Location,
    #[serde(default)]
    status_code: String,
}

#[derive(Deserialize, Default)]
struct Location {
    #[serde(default)]
    address: Address,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Address {
    #[serde(default)]
    address_locality: String,
}

impl Dhl {
    pub fn new(config: Config, profile: &'static Profile) -> Result<Dhl> {
        Ok(Dhl { http: super::http()?, config, profile })
    }
}

/// Times come with an offset, or without: local to the place, and taken for UTC then.
fn time(text: &str) -> Option<Time> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|t| t.timestamp_micros());
    let local = || text.parse::<NaiveDateTime>().map(|t| t.and_utc().timestamp_micros());
    zoned.or_else(|_| local()).ok().map(from_micros)
}

fn status(code: &str) -> Option<ShipmentStatus> {
    match code {
        "pre-transit" => Some(ShipmentStatus::Booked),
        "transit" | "failure" => Some(ShipmentStatus::InTransit),
        "delivered" => Some(ShipmentStatus::Delivered),
        _ => None,
    }
}

impl Event {
    fn scan(self, tracking_number: &str) -> Option<ScanEvent> {
        let (time, status) = (time(&self.timestamp)?, status(&self.status_code)?);
        let place = self.location.address.address_locality;
        let event_id = super::scan_id(&[&self.timestamp, &self.status_code, &place]);
        Some(ScanEvent { tracking_number: tracking_number.to_owned(), sight: Sight { event_id, status, place, time } })
    }
}

/// What an HTTP answer other than a good one means to us.
pub(super) fn failed(carrier: &str, answer: &reqwest::Response) -> Error {
    let status = answer.status();
    if status.as_u16() == 429 {
        let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok()).unwrap_or(60);
        let e = Error::new(Code::ResourceExhausted, "CARRIER_BUSY", format!("{carrier} wants fewer requests"));
        return e.with_retry_after(Duration::from_secs(after));
    }
    Error::unavailable(carrier).with("http_status", status.as_u16())
}

#[async_trait]
impl Carrier for Dhl {
    fn profile(&self) -> &'static Profile {
        self.profile
    }

    async fn track(&self, _cx: &Call, tracking_number: &str) -> Result<Vec<ScanEvent>> {
        let url = format!("{}/track/shipments", self.config.url);
        let ask = self.http.get(url).query(&[("trackingNumber", tracking_number)]);
        let answer = ask.header("DHL-API-Key", &self.config.api_key).send().await;
        let answer = answer.map_err(|e| Error::unavailable("dhl").with_source(e.without_url()))?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Vec::new()),
            _ => return Err(failed("dhl", &answer)),
        }
        let answer: Answer = answer.json().await.map_err(|e| Error::unavailable("dhl").with_source(e.without_url()))?;
        let events = answer.shipments.into_iter().flat_map(|s| s.events);
        let mut scans: Vec<_> = events.filter_map(|e| e.scan(tracking_number)).collect();
        scans.sort_by_key(|s| s.sight.time);
        Ok(scans)
    }
}
