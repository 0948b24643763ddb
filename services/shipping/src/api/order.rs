//! What the order service asks for. Every method may be asked again, and the same comes out.

use super::quote::{distinct, label, quotes};
use crate::{
    Shipping,
    domain::{Fault, Shipment, ShipmentId, tariff::Quote},
    store::{
        booking,
        shipment::{self, Model, Personal},
        tombstone, tracking,
    },
};
use futures::future::join_all;
use jangteo_core::{Call, Result};
use kit::{crash_point, db::Tx};
use proto::jangteo::shipping::v1::{self as wire, ShipmentSpec, ShipmentStatus, ShippingOption};

/// A part that was prepared before: the same, and not cancelled since.
fn same(row: &Model, buyer_id: &str, spec: &ShipmentSpec) -> Result<()> {
    if row.status() == ShipmentStatus::Cancelled {
        return Err(Fault::ShipmentCancelled { order_id: row.order_id.clone() }.into());
    }
    let same = row.buyer_id == buyer_id && row.seller_id == spec.seller_id && row.option() == spec.option();
    match same {
        true => Ok(()),
        false => Err(Fault::ShipmentDiffers { order_id: row.order_id.clone(), part: spec.part }.into()),
    }
}

fn new(req: &wire::PrepareShipmentsRequest, spec: &ShipmentSpec, quote: &Quote) -> Shipment {
    Shipment {
        shipment_id: ShipmentId::new().to_string(),
        order_id: req.order_id.clone(),
        part: spec.part,
        buyer_id: req.buyer_id.clone(),
        seller_id: spec.seller_id.clone(),
        option: spec.option(),
        fee: quote.fee,
        weight_grams: spec.weight_grams,
        sum_cm: spec.sum_cm,
        from_region_id: spec.from_region_id.clone(),
        ..Shipment::default()
    }
}

impl Shipping {
    pub(super) async fn prepare(
        &self,
        cx: Call,
        req: wire::PrepareShipmentsRequest,
    ) -> Result<wire::PrepareShipmentsResponse> {
        distinct(&req.parts)?;
        let known = shipment::of_order(self.db.primary(), &req.order_id).await?;
        let missing = req.parts.iter().filter(|p| known.iter().all(|row| row.part != i64::from(p.part)));
        let missing: Vec<_> = missing.cloned().collect();
        let to = self.destination(&cx, &req.buyer_id, &req.address_id, &missing).await?;
        let new: &Vec<_> =
            &missing.iter().zip(quotes(&missing, to.as_ref())?).map(|(spec, q)| new(&req, spec, &q)).collect();
        let (req, to) = (&req, &to.map(label));
        let write = async |tx: Tx| self.prepare_parts(&tx, req, new, to.as_ref()).await;
        let shipments = self.db.write(&cx, write).await?;
        crash_point!("shipping.prepare.after_commit");
        Ok(shipments)
    }

    async fn prepare_parts(
        &self,
        tx: &Tx,
        req: &wire::PrepareShipmentsRequest,
        new: &[Shipment],
        to: Option<&wire::Destination>,
    ) -> Result<wire::PrepareShipmentsResponse> {
        let known = shipment::of_order(tx, &req.order_id).await?;
        let dead = tombstone::parts(tx, &req.order_id).await?;
        let mut shipments = Vec::with_capacity(req.parts.len());
        for spec in &req.parts {
            if dead.contains(&tombstone::ALL) || dead.contains(&spec.part.into()) {
                return Err(Fault::ShipmentCancelled { order_id: req.order_id.clone() }.into());
            }
            let row = match known.iter().find(|row| row.part == i64::from(spec.part)) {
                Some(row) => {
                    same(row, &req.buyer_id, spec)?;
                    row.clone()
                }
                None => {
                    let state = new.iter().find(|s| s.part == spec.part);
                    let state = state.ok_or_else(|| Fault::NotPrepared { order_id: req.order_id.clone() })?;
                    let destination = to.filter(|_| state.option != ShippingOption::MeetUp).cloned();
                    let personal = Personal { destination, meet_up: None };
                    tracking::begin(tx, shipment::insert(tx, &self.sealer, state, &personal).await?).await?
                }
            };
            shipments.push(row.into_wire());
        }
        Ok(wire::PrepareShipmentsResponse { shipments })
    }

    pub(super) async fn ready(
        &self,
        cx: Call,
        req: wire::ReadyShipmentsRequest,
    ) -> Result<wire::ReadyShipmentsResponse> {
        let order_id = &req.order_id;
        let write = async |tx: Tx| {
            let rows = shipment::of_order(&tx, order_id).await?;
            let cancelled = |row: &Model| row.status() == ShipmentStatus::Cancelled;
            let dead = tombstone::parts(&tx, order_id).await?;
            match rows.as_slice() {
                [] if dead.is_empty() => return Err(Fault::NotPrepared { order_id: order_id.clone() }.into()),
                rows if rows.iter().all(cancelled) => {
                    return Err(Fault::ShipmentCancelled { order_id: order_id.clone() }.into());
                }
                _ => {}
            }
            let mut shipments = Vec::with_capacity(rows.len());
            for row in rows {
                let events = row.state().ready(tx.now());
                shipments.push(tracking::own(&tx, row, &events).await?.into_wire());
            }
            Ok(wire::ReadyShipmentsResponse { shipments })
        };
        let shipments = self.db.write(&cx, write).await?;
        crash_point!("shipping.ready.after_commit");
        Ok(shipments)
    }

    pub(super) async fn cancel(&self, cx: Call, req: wire::CancelShipmentsRequest) -> Result<()> {
        let named = |row: &Model| req.parts.is_empty() || req.parts.iter().any(|p| i64::from(*p) == row.part);
        let rows = shipment::of_order(self.db.primary(), &req.order_id).await?;
        join_all(rows.iter().filter(|row| named(row)).map(|row| self.look(&cx, row))).await;
        let req = &req;
        let write = async |tx: Tx| {
            let rows = shipment::of_order(&tx, &req.order_id).await?;
            if req.parts.is_empty() {
                tombstone::insert(&tx, &req.order_id, tombstone::ALL).await?;
            }
            for part in &req.parts {
                tombstone::insert(&tx, &req.order_id, (*part).into()).await?;
            }
            for row in rows.into_iter().filter(named) {
                let events = row.state().cancel(tx.now())?;
                if !events.is_empty() {
                    booking::cancel(&tx, &row).await?;
                    tracking::own(&tx, row, &events).await?;
                }
            }
            Ok(())
        };
        self.db.write(&cx, write).await?;
        crash_point!("shipping.cancel.after_commit");
        Ok(())
    }
}
