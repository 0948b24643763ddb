//! Meetings: one shows a code, the other enters it, and both have proof.

use super::party::{self, Party};
use crate::{
    Shipping,
    domain::{Fault, code::Codes},
    store::{
        handover,
        shipment::{self, Model},
        tracking,
    },
};
use chrono::TimeDelta;
use jangteo_core::{Call, Error, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::shipping::v1::{self as wire, ShipmentStatus, ShippingOption};

/// What a write answers when the code was right; otherwise the number of attempts left.
const RIGHT: i64 = -1;

fn met(row: &Model) -> Result<()> {
    match (row.option(), row.status()) {
        (ShippingOption::MeetUp, ShipmentStatus::Booked) => Ok(()),
        (ShippingOption::MeetUp, ShipmentStatus::Prepared | ShipmentStatus::Ready) => {
            Err(Fault::NoMeeting { shipment_id: row.shipment_id.clone() }.into())
        }
        _ => Err(row.state().wrong("handed over")),
    }
}

fn only_parties(cx: &Call, row: &Model) -> Result<()> {
    match party::party(cx, row)? {
        Party::Buyer | Party::Seller => Ok(()),
        Party::Staff => Err(Error::denied("NOT_YOURS", "this is for buyer and seller to do")),
    }
}

impl Shipping {
    pub(super) async fn issue_code(&self, cx: Call, req: wire::IssueHandoverCodeRequest) -> Result<wire::HandoverCode> {
        let (id, issuer) = (&req.shipment_id, cx.user_id()?);
        let code = &Codes::fresh()?;
        let expires = cx.now + TimeDelta::seconds(i64::try_from(self.cfg.code_ttl_secs).unwrap_or(600));
        let write = async |tx: Tx| {
            let row = shipment::find(&tx, id).await?;
            only_parties(tx.call(), &row)?;
            met(&row)?;
            handover::put(&tx, id, issuer, self.codes.tag(id, issuer, code), expires).await
        };
        self.db.write(&cx, write).await?;
        Ok(wire::HandoverCode { code: code.clone(), expire_time: Some(proto::timestamp(expires)) })
    }

    pub(super) async fn hand_over(&self, cx: Call, req: wire::HandOverShipmentRequest) -> Result<wire::Shipment> {
        let (id, code) = (&req.shipment_id, &req.code);
        // A wrong code is an answer, not a failure: that it was wrong has to be written.
        let left: i64 = self.db.write(&cx, async |tx: Tx| self.try_code(&tx, id, code).await).await?;
        if left != RIGHT {
            return Err(Fault::WrongCode { shipment_id: id.clone(), attempts_left: left }.into());
        }
        crash_point!("shipping.handover.after_commit");
        self.show(&cx, id).await
    }

    async fn try_code(&self, tx: &Tx, id: &str, code: &str) -> Result<i64> {
        let row = shipment::find(tx, id).await?;
        only_parties(tx.call(), &row)?;
        let live = handover::find(tx, id).await?;
        let right = |h: &handover::Model| self.codes.matches(id, &h.issuer_id, code, &h.tag);
        // Asked again after an answer that got lost.
        let done = row.option() == ShippingOption::MeetUp && row.status() == ShipmentStatus::Delivered;
        if done && live.as_ref().is_some_and(right) {
            return Ok(RIGHT);
        }
        met(&row)?;
        let most = i64::from(self.cfg.code_attempts);
        let counts = |h: &handover::Model| h.attempts < most && micros(tx.now()) < h.expire_time;
        let live = live.filter(counts).ok_or_else(|| Fault::NoCode { shipment_id: id.to_owned() })?;
        if tx.call().user_id()? == live.issuer_id {
            return Err(Fault::OwnCode { shipment_id: id.to_owned() }.into());
        }
        if !right(&live) {
            handover::count_wrong(tx, id).await?;
            return Ok(most - live.attempts - 1);
        }
        let events = row.state().hand_over(tx.now());
        tracking::own(tx, row, &events).await?;
        Ok(RIGHT)
    }
}
