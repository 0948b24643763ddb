//! Placing an order: what is offered, what sending it costs, one transaction, and then the saga.

use crate::{
    Orders,
    domain::{Fault, Order, OrderId, basket, units, won},
    saga::within,
    store::{
        self,
        order::Fresh,
        saga::{Model as Saga, Step},
    },
};
use jangteo_core::{Call, Code, Error, Result, from_micros};
use kit::crash_point;
use prost::Message;
use proto::jangteo::{
    catalog::v1::GetOffersRequest,
    order::v1 as wire,
    payment::v1::AuthoriseRequest,
    shipping::v1::{PrepareShipmentsRequest, QuoteShippingRequest},
};

impl Orders {
    pub(super) async fn place(&self, cx: Call, req: wire::PlaceOrderRequest) -> Result<wire::Order> {
        let buyer = cx.user_id()?.to_owned();
        let key = cx.request_id.clone().unwrap_or_default();
        if let Some(row) = store::order::requested(self.db.primary(), &buyer, &key).await? {
            same_request(&cx, &row)?;
            return self.answer(&cx, &row.order_id, 1, Vec::new()).await;
        }
        let (fresh, saga) = self.decide(&cx, &buyer, &req).await?;
        crash_point!("order.place.before_tx");
        let write = async |tx: kit::db::Tx| {
            store::order::insert(&tx, &fresh).await?;
            store::saga::insert(&tx, &saga).await?;
            Ok(wire::Order { order_id: fresh.placed.order_id.clone(), ..wire::Order::default() })
        };
        let order_id = self.db.write(&cx, write).await?.order_id;
        crash_point!("order.place.after_commit");
        // A twin of this request may have been faster: then the order is the twin's, and so is its saga.
        let claimed = if order_id == saga.order_id { vec![saga.clone()] } else { Vec::new() };
        self.answer(&cx, &order_id, 1, claimed).await
    }

    /// What is to be written, if everything can be had.
    async fn decide(&self, cx: &Call, buyer: &str, req: &wire::PlaceOrderRequest) -> Result<(Fresh, Saga)> {
        let wanted = basket::merge(&req.items)?;
        let product_ids = wanted.iter().map(|w| w.product_id.clone()).collect();
        let peer = self.peer(cx);
        let offers =
            within(&peer, self.peers.catalog.get_offers(&peer, GetOffersRequest { product_ids })).await?.offers;
        let (parts, specs) = basket::split(buyer, &wanted, &offers, req.shipping_option())?;
        let peer = self.peer(cx);
        let (buyer_id, address_id) = (buyer.to_owned(), req.address_id.clone());
        let quote = QuoteShippingRequest { buyer_id, address_id, parts: specs.clone() };
        let quotes = within(&peer, self.peers.shipping.quote_shipping(&peer, quote)).await?.parts;
        let (order_id, pay_by) = (OrderId::new().to_string(), self.pay_by());
        let times = (cx.now, from_micros(pay_by));
        let placed = basket::placed(&order_id, buyer, parts, &quotes, req.points, times)?;
        if req.source.is_none() && units(&placed.total) > req.points {
            return Err(Error::invalid("source", "SOURCE_REQUIRED", "is required while money is left to pay"));
        }
        let payment = AuthoriseRequest {
            order_id: order_id.clone(),
            attempt: 1,
            buyer_id: buyer.to_owned(),
            amount: placed.total.clone().or_else(|| Some(won(0))),
            points: req.points,
            source: req.source.clone(),
        };
        let saga = Saga { deadline: pay_by, payment: payment.encode_to_vec(), ..self.claimed(&order_id, 0, Step::Pay) };
        let (buyer_id, address_id) = (buyer.to_owned(), req.address_id.clone());
        let fresh = Fresh {
            placed,
            request_id: cx.request_id.clone().unwrap_or_default(),
            fingerprint: cx.fingerprint,
            shipments: PrepareShipmentsRequest { order_id, buyer_id, address_id, parts: specs },
        };
        Ok((fresh, saga))
    }

    /// What came of an attempt to pay, as soon as it is known: the order as it was then, or why there is none. The
    /// same whenever it is asked.
    pub(super) async fn answer(
        &self,
        cx: &Call,
        order_id: &str,
        attempt: i32,
        claimed: Vec<Saga>,
    ) -> Result<wire::Order> {
        let look = || store::order::when(&self.db, order_id, |o| o.outcome(attempt));
        match self.pursue(cx, order_id, claimed, look).await? {
            Some(order) => order.answer(attempt),
            None => Err(Error::from(Fault::OrderPending { order_id: order_id.to_owned() }).with_retry_after(AGAIN)),
        }
    }
}

const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// A key stands for one request.
fn same_request(cx: &Call, row: &store::order::Model) -> Result<()> {
    if row.fingerprint == cx.fingerprint {
        return Ok(());
    }
    let message = "this request id was used before, for another request";
    Err(Error::new(Code::InvalidArgument, "REQUEST_ID_REUSED", message).with("request_id", &row.request_id))
}

impl Order {
    /// What whoever asked for this attempt is told, at the moment that it had an outcome.
    fn answer(&self, attempt: i32) -> Result<wire::Order> {
        use proto::jangteo::payment::v1::PaymentStatus;
        let order_id = self.order_id.clone();
        if let Some(v) = &self.cancelled {
            let detail = |name: &str| v.details.get(name).cloned().unwrap_or_default();
            let product_id = detail("product_id");
            let fault = match v.reason.as_str() {
                "OUT_OF_STOCK" => Fault::OutOfStock { product_id, left: detail("left").parse().unwrap_or(0) },
                "NOT_ON_SALE" => Fault::NotOnSale { product_id, status: detail("status") },
                reason => Fault::OrderCancelled { order_id: order_id.clone(), reason: reason.to_owned() },
            };
            return Err(Error::from(fault).with("order_id", order_id));
        }
        if self.payment.attempt == attempt && self.payment.status == PaymentStatus::Declined {
            let decline_reason = self.payment.decline_reason.clone();
            return Err(Fault::PaymentDeclined { order_id, decline_reason }.into());
        }
        Ok(self.wire())
    }
}
