//! The port to those who carry parcels, and who of them is there.
//!
//! Booking needs a contract with each carrier (CJ Logistics, Hanjin, GS25 and CU Post hand out their interfaces with
//! it), so outside the sandbox none is booked here: the seller books where they have an account and gives us the
//! number. DHL and FedEx publish an interface for tracking, which [`dhl`] and [`fedex`] speak.

pub mod dhl;
pub mod fedex;
pub mod sandbox;
pub mod signature;

use crate::domain::{Fault, Sight};
use async_trait::async_trait;
use jangteo_core::{Call, Code, Error, Result};
use proto::jangteo::shipping::v1::{Destination, ShippingOption};
use ring::digest;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A parcel to be booked.
pub struct Parcel<'a> {
    pub shipment_id: &'a str,
    /// The carrier books once for each key.
    pub key: &'a str,
    pub weight_grams: i32,
    pub sum_cm: i32,
    pub from_region_id: &'a str,
    /// Where the seller leaves it; empty: the carrier calls.
    pub store_id: &'a str,
    pub to: &'a Destination,
}

/// What a carrier answers to a booking.
#[derive(Clone, PartialEq, Eq)]
pub struct Booked {
    pub tracking_number: String,
    /// For the seller to print: UTF-8 text.
    pub label: Vec<u8>,
}

/// A sighting of the parcel with this number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEvent {
    pub tracking_number: String,
    pub sight: Sight,
}

/// The most that a carrier takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub weight_grams: i32,
    pub sum_cm: i32,
}

/// One carrier. Errors that [`is_final`] holds for are the carrier's last word; after any other the outcome is unknown.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Who it is, and what it takes.
    fn profile(&self) -> &'static Profile;

    /// Every scan so far, the oldest first; none for a number that it doesn't know (yet).
    async fn track(&self, cx: &Call, tracking_number: &str) -> Result<Vec<ScanEvent>>;

    /// Whether parcels are booked here, or only followed.
    fn books(&self) -> bool {
        false
    }

    /// Whether it tells of parcels that were booked elsewhere.
    fn follows(&self) -> bool {
        true
    }

    /// Whether it reports by webhook, so that polling is for what got lost.
    fn reports(&self) -> bool {
        false
    }

    async fn book(&self, _cx: &Call, _parcel: &Parcel<'_>) -> Result<Booked> {
        Err(self.unavailable())
    }

    /// What became of a booking; `None`: the carrier knows of none.
    async fn find(&self, _cx: &Call, _parcel: &Parcel<'_>) -> Result<Option<Booked>> {
        Ok(None)
    }

    /// Before it is picked up. Cancelling again is fine.
    async fn cancel(&self, _cx: &Call, _tracking_number: &str) -> Result<()> {
        Err(self.unavailable())
    }

    /// The scans of a report that is signed by the carrier. `signature` is the header `x-carrier-signature`.
    fn verify_webhook(&self, _cx: &Call, _signature: Option<&str>, _body: &[u8]) -> Result<Vec<ScanEvent>> {
        Err(Fault::SignatureInvalid { carrier: self.name().to_owned() }.into())
    }

    /// `cj`, as in the routes and in `Shipment.carrier`.
    fn name(&self) -> &'static str {
        self.profile().name
    }

    fn unavailable(&self) -> Error {
        Fault::CarrierUnavailable { carrier: self.name().to_owned() }.into()
    }
}

/// The carrier understood and said no; asking again would not help.
pub fn is_final(e: &Error) -> bool {
    matches!(
        e.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

/// What each carrier takes, whether we book with it or not: the options, and the limits of its ordinary service.
pub struct Profile {
    pub name: &'static str,
    pub options: &'static [ShippingOption],
    pub limits: Limits,
}

pub const PROFILES: [Profile; 6] = [
    Profile { name: "cj", options: &[ShippingOption::Parcel], limits: Limits { weight_grams: 20_000, sum_cm: 160 } },
    Profile {
        name: "hanjin",
        options: &[ShippingOption::Parcel],
        limits: Limits { weight_grams: 20_000, sum_cm: 160 },
    },
    Profile {
        name: "gs25",
        options: &[ShippingOption::ConvenienceStore],
        limits: Limits { weight_grams: 5_000, sum_cm: 80 },
    },
    Profile {
        name: "cu",
        options: &[ShippingOption::ConvenienceStore],
        limits: Limits { weight_grams: 5_000, sum_cm: 80 },
    },
    Profile {
        name: "dhl",
        options: &[ShippingOption::International],
        limits: Limits { weight_grams: 30_000, sum_cm: 160 },
    },
    Profile {
        name: "fedex",
        options: &[ShippingOption::International],
        limits: Limits { weight_grams: 30_000, sum_cm: 160 },
    },
];

pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|p| p.name == name)
}

/// An id for scans that come without one: what makes them unique for their parcel, and unreadable.
pub(crate) fn scan_id(parts: &[&str]) -> String {
    let hash = digest::digest(&digest::SHA256, parts.join("\u{1f}").as_bytes());
    hash.as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
}

/// The carriers of this market, by name.
#[derive(Clone, Default)]
pub struct Carriers(BTreeMap<&'static str, Arc<dyn Carrier>>);

impl Carriers {
    pub fn new(carriers: impl IntoIterator<Item = Arc<dyn Carrier>>) -> Carriers {
        Carriers(carriers.into_iter().map(|c| (c.name(), c)).collect())
    }

    pub fn get(&self, name: &str) -> Option<&dyn Carrier> {
        self.0.get(name).map(Arc::as_ref)
    }
}

/// A client for carriers' interfaces. TLS by ring, as everywhere here.
pub(crate) fn http() -> Result<reqwest::Client> {
    // reqwest panics without a provider; somebody else's earlier choice is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none());
    client.build().map_err(Error::internal)
}
