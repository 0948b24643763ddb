//! The live stream of a shipment's way.

use super::party;
use crate::{
    Shipping,
    domain::is_end,
    store::{shipment, tracking},
};
use futures::stream;
use jangteo_core::{Call, Result};
use kit::db::Db;
use proto::{
    Streaming,
    jangteo::shipping::v1::{self as wire, ShipmentStatus, TrackShipmentResponse},
};
use std::{collections::VecDeque, time::Duration};
use tokio::sync::watch;

const BATCH: u64 = 100;
/// After a wake-up: where much is written, a stream looks so often and no more.
const SETTLE: Duration = Duration::from_millis(50);

struct Follow {
    db: Db,
    shipment_id: String,
    /// The last line that was read.
    after: i64,
    ready: VecDeque<TrackShipmentResponse>,
    ended: bool,
    /// Wakes when this process wrote something; what another replica writes is found by looking.
    changed: watch::Receiver<u64>,
    every: Duration,
}

impl Follow {
    async fn next(&mut self) -> Result<Option<TrackShipmentResponse>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.changed.mark_unchanged();
            if !self.read().await? {
                self.wait().await;
            }
        }
    }

    /// Whether anything came of it. The status is read before the lines: an end that is seen has its line.
    async fn read(&mut self) -> Result<bool> {
        let conn = self.db.primary();
        let status: ShipmentStatus = shipment::find(conn, &self.shipment_id).await?.status();
        let lines = tracking::behind(conn, &self.shipment_id, self.after, BATCH).await?;
        let all = (lines.len() as u64) < BATCH;
        for line in lines {
            self.after = line.sequence;
            self.ready.push_back(TrackShipmentResponse { event: Some(line.into()), status: status.into() });
        }
        self.ended = all && is_end(status);
        Ok(self.ended || !self.ready.is_empty())
    }

    async fn wait(&mut self) {
        tokio::select! {
            // The sender lives as long as the database does.
            _ = self.changed.changed() => tokio::time::sleep(self.every.min(SETTLE)).await,
            () = tokio::time::sleep(self.every) => {}
        }
    }
}

impl Shipping {
    pub(super) async fn track(
        &self,
        cx: Call,
        req: wire::TrackShipmentRequest,
    ) -> Result<Streaming<TrackShipmentResponse>> {
        let row = shipment::find(self.db.primary(), &req.shipment_id).await?;
        party::party(&cx, &row)?;
        let follow = Follow {
            db: self.db.clone(),
            shipment_id: req.shipment_id,
            after: req.after_sequence.into(),
            ready: VecDeque::new(),
            ended: false,
            changed: self.db.changed(),
            every: Duration::from_millis(self.cfg.track_poll_ms.max(10)),
        };
        let lines =
            stream::try_unfold(follow, |mut follow| async move { Ok(follow.next().await?.map(|line| (line, follow))) });
        Ok(Box::pin(lines))
    }
}
