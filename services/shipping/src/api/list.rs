//! The caller's shipments, and labels.

use super::party::{self, Party};
use crate::{
    Shipping,
    domain::Fault,
    store::{
        booking::{self, State},
        shipment::{self, Query},
    },
};
use jangteo_core::{Call, Result};
use proto::{
    google::api::HttpBody,
    jangteo::shipping::v1::{self as wire, ShipmentParty},
};

impl Shipping {
    pub(super) async fn list(&self, cx: Call, req: wire::ListShipmentsRequest) -> Result<wire::ListShipmentsResponse> {
        let user = cx.user_id()?;
        let me = |as_: ShipmentParty, other: ShipmentParty| {
            (as_ == req.party() || other != req.party()).then(|| user.to_owned())
        };
        let query = Query {
            buyer_id: me(ShipmentParty::Buyer, ShipmentParty::Seller),
            seller_id: me(ShipmentParty::Seller, ShipmentParty::Buyer),
            order_id: req.order_id.clone(),
            statuses: req.statuses.iter().map(|s| i64::from(*s)).collect(),
        };
        // What must stay the same from page to page.
        let bound = format!("shipments {user} {query:?}");
        let page = self.pages.open(req.page_size, &req.page_token, &bound)?;
        let found = query.page(&self.db, &page).await?;
        let ids: Vec<_> = found.rows.iter().map(|row| row.shipment_id.clone()).collect();
        let bookings = booking::find_many(self.db.primary(), &ids).await?;
        let mut shipments = Vec::with_capacity(found.rows.len());
        for (row, personal) in shipment::open_all(self.db.primary(), &self.sealer, found.rows).await? {
            let pending = bookings.iter().any(|b| b.shipment_id == row.shipment_id && b.is(State::Asked));
            let party = party::party(&cx, &row)?;
            shipments.push(party::view(row, personal, pending, party));
        }
        let next_page_token = found.next.map_or_else(String::new, |last| self.pages.next(&bound, &last));
        Ok(wire::ListShipmentsResponse { shipments, next_page_token })
    }

    pub(super) async fn label(&self, cx: Call, req: wire::GetShippingLabelRequest) -> Result<HttpBody> {
        let conn = self.db.primary();
        let row = shipment::find(conn, &req.shipment_id).await?;
        party::only(&cx, &row, Party::Seller)?;
        let booking = booking::find(conn, &req.shipment_id).await?.filter(|b| b.is(State::Booked));
        let label = match booking {
            Some(booking) => booking.label(conn, &self.sealer, &row.buyer_id).await?,
            None => None,
        };
        let data = label.ok_or_else(|| Fault::NoLabel { shipment_id: req.shipment_id.clone() })?;
        Ok(HttpBody { content_type: "text/plain; charset=utf-8".to_owned(), data, extensions: Vec::new() })
    }
}
