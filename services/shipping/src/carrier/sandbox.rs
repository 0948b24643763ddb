//! A carrier that plays all of them, for development and tests. It keeps books of its own, so a parcel survives a
//! restart of ours, and moves each parcel by a script, a step at a time:
//!
//! | steps after the booking | seen | where |
//! | --- | --- | --- |
//! | 1 | picked up | the seller's region |
//! | 2 | in transit | the hub in Okcheon |
//! | 3 | in transit | the buyer's city |
//! | 4 | out for delivery | the buyer's city |
//! | 5 | delivered | the buyer's city |
//!
//! It reports by webhook, signed as a carrier would: not at all, once and in order, or as carriers do on a bad day
//! (the newest scan first, everything twice).

use super::{Booked, Carrier, Parcel, Profile, ScanEvent, signature::Signer};
use crate::{
    domain::{Fault, Sight, postal::Postal},
    store::sandbox::{self as store, Model},
};
use async_trait::async_trait;
use chrono::TimeDelta;
use jangteo_core::{Call, Result, Time, from_micros, micros};
use kit::db::{Db, Tx};
use proto::jangteo::shipping::v1::{ShipmentStatus, ShippingOption};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the sandbox reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reports {
    /// Not at all: parcels are found out about by polling.
    Never,
    /// Once and in order.
    #[default]
    InOrder,
    /// The newest scan first, everything twice.
    Rough,
}

const HUB: &str = "옥천";
const STEPS: i64 = 5;

fn step(n: i64) -> ShipmentStatus {
    match n {
        1 => ShipmentStatus::PickedUp,
        2 | 3 => ShipmentStatus::InTransit,
        4 => ShipmentStatus::OutForDelivery,
        _ => ShipmentStatus::Delivered,
    }
}

/// What all the played carriers share.
pub struct Sandbox {
    db: Db,
    signer: Signer,
    /// From one scan to the next.
    step: TimeDelta,
    reports: Reports,
}

/// One of the carriers that the sandbox plays.
pub struct Played {
    sandbox: Arc<Sandbox>,
    profile: &'static Profile,
}

/// A report, as it travels.
#[derive(Serialize, Deserialize)]
struct Report {
    scans: Vec<Scan>,
}

#[derive(Serialize, Deserialize)]
struct Scan {
    tracking_number: String,
    event_id: String,
    status: String,
    place: String,
    /// Microseconds since 1970.
    time: i64,
}

/// A webhook that is due.
pub struct Delivery {
    pub carrier: String,
    pub signature: String,
    pub body: Vec<u8>,
}

impl Sandbox {
    pub fn new(db: Db, secret: &[u8], step_ms: u64, reports: Reports) -> Arc<Sandbox> {
        let step = TimeDelta::milliseconds(i64::try_from(step_ms.max(1)).unwrap_or(i64::MAX / 2_000));
        Arc::new(Sandbox { db, signer: Signer::new(secret), step, reports })
    }

    pub fn play(self: &Arc<Self>, profile: &'static Profile) -> Arc<dyn Carrier> {
        Arc::new(Played { sandbox: self.clone(), profile })
    }

    /// How many scans of the parcel have happened by now.
    fn happened(&self, parcel: &Model, now: Time) -> i64 {
        let age = (micros(now) - parcel.create_time).max(0);
        (age / self.step.num_microseconds().unwrap_or(i64::MAX).max(1)).min(STEPS)
    }

    fn scan(&self, parcel: &Model, n: i64) -> ScanEvent {
        let place = match n {
            1 => parcel.from_place.clone(),
            2 => HUB.to_owned(),
            _ => parcel.to_place.clone(),
        };
        let time = from_micros(parcel.create_time) + self.step * i32::try_from(n).unwrap_or(0);
        let tracking_number = parcel.tracking_number.clone();
        let event_id = format!("{tracking_number}-{n}");
        ScanEvent { tracking_number, sight: Sight { event_id, status: step(n), place, time } }
    }

    /// The parcels with scans that no webhook told of, and the webhooks that would.
    pub async fn due(&self, now: Time, limit: u64) -> Result<Vec<(Model, i64, Vec<Delivery>)>> {
        if self.reports == Reports::Never {
            return Ok(Vec::new());
        }
        let open = store::open(self.db.primary(), limit).await?;
        let due = open.into_iter().filter_map(|parcel| {
            let happened = self.happened(&parcel, now);
            let news: Vec<_> = (parcel.reported + 1..=happened).map(|n| self.scan(&parcel, n)).collect();
            (!news.is_empty()).then(|| {
                let deliveries = self.deliveries(&parcel.carrier, now, news);
                (parcel, happened, deliveries)
            })
        });
        Ok(due.collect())
    }

    fn deliveries(&self, carrier: &str, now: Time, news: Vec<ScanEvent>) -> Vec<Delivery> {
        let reports: Vec<Vec<ScanEvent>> = match self.reports {
            Reports::Rough => news.iter().rev().flat_map(|s| [vec![s.clone()], vec![s.clone()]]).collect(),
            Reports::InOrder | Reports::Never => vec![news],
        };
        reports.iter().map(|scans| self.delivery(carrier, now, scans)).collect()
    }

    /// A report of these scans, signed.
    pub fn delivery(&self, carrier: &str, now: Time, scans: &[ScanEvent]) -> Delivery {
        let scans = scans.iter().map(|s| Scan {
            tracking_number: s.tracking_number.clone(),
            event_id: s.sight.event_id.clone(),
            status: s.sight.status.as_str_name().to_owned(),
            place: s.sight.place.clone(),
            time: micros(s.sight.time),
        });
        let body = serde_json::to_vec(&Report { scans: scans.collect() }).expect("text and numbers");
        Delivery { carrier: carrier.to_owned(), signature: self.signer.sign(now, &body), body }
    }

    /// Notes that the webhooks up to this scan arrived.
    pub async fn arrived(&self, cx: &Call, parcel: &Model, scans: i64) -> Result<()> {
        let number = &parcel.tracking_number;
        self.db.write(cx, async |tx: Tx| store::reported(&tx, number, scans, scans >= STEPS).await).await
    }
}

/// Without the caller's key, which is for another write.
fn plain(cx: &Call) -> Call {
    Call { request_id: None, ..cx.clone() }
}

/// Twelve digits that follow from the key, so that a number never depends on which attempt got through.
fn number(carrier: &str, key: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{carrier}\u{1f}{key}").as_bytes());
    let n = hash.as_ref()[..8].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    format!("{:012}", n % 1_000_000_000_000)
}

fn region_place(region_id: &str) -> &'static str {
    match region_id {
        "seoul" => "서울",
        "gyeonggi" => "경기",
        "gangwon" => "강원",
        "chungcheong" => "대전",
        "jeolla" => "광주",
        "gyeongsang" => "부산",
        _ => "",
    }
}

impl Played {
    fn booked(&self, parcel: &Parcel<'_>, row: &Model) -> Booked {
        let to = parcel.to;
        let label = format!(
            "{} {}\n{} {}\n({}) {} {}\n{} g, {} cm{}{}\n",
            self.profile.name.to_uppercase(),
            row.tracking_number,
            to.recipient,
            to.phone_number,
            to.postal_code,
            to.line1,
            to.line2,
            parcel.weight_grams,
            parcel.sum_cm,
            if parcel.store_id.is_empty() { "" } else { ", store " },
            parcel.store_id,
        );
        Booked { tracking_number: row.tracking_number.clone(), label: label.into_bytes() }
    }

    fn refused(&self, reason: &str) -> jangteo_core::Error {
        Fault::CarrierRefused { carrier: self.profile.name.to_owned(), reason: reason.to_owned() }.into()
    }
}

#[async_trait]
impl Carrier for Played {
    fn profile(&self) -> &'static Profile {
        self.profile
    }

    fn books(&self) -> bool {
        true
    }

    fn follows(&self) -> bool {
        false
    }

    fn reports(&self) -> bool {
        self.sandbox.reports != Reports::Never
    }

    async fn book(&self, cx: &Call, parcel: &Parcel<'_>) -> Result<Booked> {
        // Beyond Korea its postal codes say nothing.
        let domestic = !self.profile.options.contains(&ShippingOption::International);
        let to_place = Postal::parse(&parcel.to.postal_code).filter(|_| domestic).map_or("", Postal::place);
        let row = &Model {
            tracking_number: number(self.profile.name, parcel.key),
            carrier: self.profile.name.to_owned(),
            booking_key: parcel.key.to_owned(),
            from_place: region_place(parcel.from_region_id).to_owned(),
            to_place: to_place.to_owned(),
            cancelled: false,
            reported: 0,
            done: false,
            create_time: 0,
        };
        self.sandbox.db.write(&plain(cx), async |tx: Tx| store::insert(&tx, row.clone()).await).await?;
        Ok(self.booked(parcel, row))
    }

    async fn find(&self, _cx: &Call, parcel: &Parcel<'_>) -> Result<Option<Booked>> {
        let row = store::by_key(self.sandbox.db.primary(), parcel.key).await?;
        Ok(row.map(|row| self.booked(parcel, &row)))
    }

    async fn cancel(&self, cx: &Call, tracking_number: &str) -> Result<()> {
        let Some(row) = store::by_number(self.sandbox.db.primary(), tracking_number).await? else {
            return Err(self.refused("no such parcel"));
        };
        if row.cancelled {
            return Ok(());
        }
        if self.sandbox.happened(&row, cx.now) > 0 {
            return Err(self.refused("picked up already"));
        }
        self.sandbox.db.write(&plain(cx), async |tx: Tx| store::cancel(&tx, tracking_number).await).await
    }

    async fn track(&self, cx: &Call, tracking_number: &str) -> Result<Vec<ScanEvent>> {
        let row = store::by_number(self.sandbox.db.primary(), tracking_number).await?;
        let Some(row) = row.filter(|row| !row.cancelled) else { return Ok(Vec::new()) };
        Ok((1..=self.sandbox.happened(&row, cx.now)).map(|n| self.sandbox.scan(&row, n)).collect())
    }

    fn verify_webhook(&self, cx: &Call, signature: Option<&str>, body: &[u8]) -> Result<Vec<ScanEvent>> {
        let carrier = || self.profile.name.to_owned();
        if !signature.is_some_and(|s| self.sandbox.signer.verify(cx.now, s, body)) {
            return Err(Fault::SignatureInvalid { carrier: carrier() }.into());
        }
        let report: Report =
            serde_json::from_slice(body).map_err(|_| Fault::ReportUnreadable { carrier: carrier() })?;
        let event = |s: Scan| {
            let status = ShipmentStatus::from_str_name(&s.status)?;
            let sight = Sight { event_id: s.event_id, status, place: s.place, time: from_micros(s.time) };
            Some(ScanEvent { tracking_number: s.tracking_number, sight })
        };
        let events: Option<Vec<_>> = report.scans.into_iter().map(event).collect();
        events.ok_or_else(|| Fault::ReportUnreadable { carrier: carrier() }.into())
    }
}
