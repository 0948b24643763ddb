//! What others' events make of the rows, and the loops and jobs behind them.

pub mod loops;

use crate::{
    Search,
    kinds::product::{self, Body, Event},
    store::document::{self, Change},
};
use jangteo_core::{Result, Time, micros};
use kit::{Received, crash_point, db::Tx};
use prost::Message;
use proto::jangteo::{
    catalog::v1::{ProductCreated, ProductDeleted, ProductStatusChanged, ProductStockChanged, ProductUpdated},
    order::v1::{OrderCancelled, OrderPaid, OrderPlaced},
};
use std::{collections::BTreeSet, sync::Arc};

/// Writes what an event of a product makes of its row. What is late changes nothing that is newer.
pub async fn project(tx: &Tx, event: &Event, version: i64, time: Time) -> Result<()> {
    let id = event.product_id();
    let (last, mut body) = match document::body(tx, product::NAME, id).await? {
        Some((last, body)) => (last, product::decode(&body)?),
        None => (0, Body::default()),
    };
    body.apply(event, version);
    let change = Change {
        kind: product::NAME,
        id,
        version: version.max(last),
        deleted: body.deleted,
        body: body.encode_to_vec(),
        event_time: micros(time),
    };
    document::put(tx, change).await
}

impl Search {
    async fn product<E>(&self, ev: &Received<E>, event: Event) -> Result<()> {
        let (event, envelope) = (&event, ev.envelope());
        let time = envelope.time.as_ref().map_or(ev.call().now, proto::time);
        let write = async |tx: Tx| {
            self.wake_after(&tx);
            project(&tx, event, envelope.version, time).await
        };
        ev.apply(&self.db, write).await?;
        crash_point!("search.project.after_commit");
        Ok(())
    }

    pub async fn product_created(self: Arc<Self>, ev: Received<ProductCreated>) -> Result<()> {
        self.product(&ev, Event::Created(ev.event.clone())).await
    }

    pub async fn product_updated(self: Arc<Self>, ev: Received<ProductUpdated>) -> Result<()> {
        self.product(&ev, Event::Updated(ev.event.clone())).await
    }

    pub async fn product_status_changed(self: Arc<Self>, ev: Received<ProductStatusChanged>) -> Result<()> {
        self.product(&ev, Event::StatusChanged(ev.event.clone())).await
    }

    pub async fn product_stock_changed(self: Arc<Self>, ev: Received<ProductStockChanged>) -> Result<()> {
        self.product(&ev, Event::StockChanged(ev.event.clone())).await
    }

    pub async fn product_deleted(self: Arc<Self>, ev: Received<ProductDeleted>) -> Result<()> {
        self.product(&ev, Event::Deleted(ev.event.clone())).await
    }

    pub async fn order_placed(self: Arc<Self>, ev: Received<OrderPlaced>) -> Result<()> {
        let write = async |tx: Tx| {
            self.wake_after(&tx);
            order_placed(&tx, &ev.event).await
        };
        ev.apply(&self.db, write).await
    }

    pub async fn order_paid(self: Arc<Self>, ev: Received<OrderPaid>) -> Result<()> {
        let write = async |tx: Tx| {
            self.wake_after(&tx);
            order_paid(&tx, &ev.event.order_id).await
        };
        ev.apply(&self.db, write).await
    }

    pub async fn order_cancelled(self: Arc<Self>, ev: Received<OrderCancelled>) -> Result<()> {
        let write = async |tx: Tx| {
            self.wake_after(&tx);
            order_cancelled(&tx, &ev.event.order_id).await
        };
        ev.apply(&self.db, write).await
    }
}

/// An order counts once for each of its products, however many it takes.
pub async fn order_placed(tx: &Tx, event: &OrderPlaced) -> Result<()> {
    let lines = event.parts.iter().flat_map(|p| &p.lines);
    let ids: Vec<String> = lines.map(|l| l.product_id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let fresh = document::order_opened(tx, &event.order_id, &ids).await?;
    document::count(tx, product::NAME, &fresh, 1, 0, micros(tx.now())).await
}

pub async fn order_paid(tx: &Tx, order_id: &str) -> Result<()> {
    let ids = document::order_closed(tx, order_id).await?;
    document::count(tx, product::NAME, &ids, 0, 1, micros(tx.now())).await
}

/// An order that was never paid counts nothing, so that nobody makes products popular by ordering and cancelling.
pub async fn order_cancelled(tx: &Tx, order_id: &str) -> Result<()> {
    let ids = document::order_closed(tx, order_id).await?;
    document::count(tx, product::NAME, &ids, -1, 0, micros(tx.now())).await
}
