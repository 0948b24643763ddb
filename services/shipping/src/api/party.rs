//! Who may see what of a shipment.

use crate::{
    Shipping,
    domain::is_paid,
    store::{
        booking::{self, State},
        shipment::{self, Model, Personal},
    },
};
use jangteo_core::{Call, Error, Principal, Result};
use proto::jangteo::shipping::v1 as wire;

/// Whom a shipment concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Buyer,
    Seller,
    /// Sees how it goes, but neither where to nor whom for.
    Staff,
}

/// Everybody else is told that there is no such shipment.
pub(super) fn party(cx: &Call, row: &Model) -> Result<Party> {
    match &cx.principal {
        Principal::System(_) => Ok(Party::Staff),
        Principal::Anonymous => Err(cx.user().err().unwrap_or_else(|| Error::not_found("shipment", &row.shipment_id))),
        Principal::User(u) if *u.user_id == *row.buyer_id => Ok(Party::Buyer),
        Principal::User(u) if *u.user_id == *row.seller_id => Ok(Party::Seller),
        Principal::User(_) if cx.has_role("admin") || cx.has_role("moderator") => Ok(Party::Staff),
        Principal::User(_) => Err(Error::not_found("shipment", &row.shipment_id)),
    }
}

/// What only one of them may do.
pub(super) fn only(cx: &Call, row: &Model, allowed: Party) -> Result<()> {
    match party(cx, row)? {
        p if p == allowed => Ok(()),
        _ => Err(Error::denied("NOT_YOURS", "this is for the other one to do")),
    }
}

/// A shipment as a party sees it.
pub(super) fn view(row: Model, personal: Personal, pending: bool, party: Party) -> wire::Shipment {
    let destination = match party {
        Party::Buyer => personal.destination,
        Party::Seller if is_paid(row.status()) => personal.destination,
        Party::Seller | Party::Staff => None,
    };
    let meet_up = if party == Party::Staff { None } else { personal.meet_up };
    wire::Shipment { destination, meet_up, booking_pending: pending, ..row.into_wire() }
}

impl Shipping {
    /// A shipment as the caller may see it.
    pub(super) async fn show(&self, cx: &Call, shipment_id: &str) -> Result<wire::Shipment> {
        let conn = self.db.primary();
        let row = shipment::find(conn, shipment_id).await?;
        let party = party(cx, &row)?;
        let personal = shipment::personal(conn, &self.sealer, &row).await?;
        let pending = booking::find(conn, shipment_id).await?.is_some_and(|b| b.is(State::Asked));
        Ok(view(row, personal, pending, party))
    }
}
