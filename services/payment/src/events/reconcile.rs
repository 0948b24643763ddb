//! Comparing providers' statements with the books, day by day, once a day is over.

use crate::{
    Payments,
    provider::{About, Line, LineKind, Provider},
    store::{
        self,
        discrepancy::{self, DAY, Model},
    },
};
use jangteo_core::{Call, Code, Error, Result, from_micros, micros};
use kit::db::Tx;
use proto::jangteo::payment::v1::RefundStatus;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Microseconds: a provider's clock and ours may differ, and a line is booked there before it is here.
const SLACK: i64 = 3_600_000_000;

/// How long a statement may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Payments {
    pub async fn reconcile(self: Arc<Self>, cx: Call) -> Result<()> {
        let now = micros(cx.now);
        let every = i64::try_from(self.cfg.reconcile_every_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let last = store::progress::get(self.db.primary(), "reconciled").await?;
        if last.is_some_and(|last| now - last < every) {
            return Ok(());
        }
        // The last day that is over, and was when the last lines of it can have been booked.
        let day = (now - SLACK).div_euclid(DAY) - 1;
        for provider in self.router.all().filter(|p| p.has_statement()) {
            if let Err(error) = self.reconcile_through(&cx, &**provider, day).await {
                tracing::warn!(provider = provider.name(), error = ?error, "a statement was not compared; it comes again");
            }
        }
        let write = async |tx: Tx| store::progress::set(&tx, "reconciled", now).await;
        self.db.write(&cx, write).await
    }

    /// The days since the last one that was compared, a week at most.
    async fn reconcile_through(&self, cx: &Call, provider: &dyn Provider, last: i64) -> Result<()> {
        let name = format!("statement:{}", provider.name());
        let done = store::progress::get(self.db.primary(), &name).await?;
        for day in done.map_or(last, |d| d + 1).max(last - 6)..=last {
            self.reconcile_day(cx, provider, day).await?;
            let write = async |tx: Tx| store::progress::set(&tx, &name, day).await;
            self.db.write(cx, write).await?;
        }
        Ok(())
    }

    /// Notes each line in which they differ; returns how many are new. `day` counts from 1970, UTC.
    pub async fn reconcile_day(&self, cx: &Call, provider: &dyn Provider, day: i64) -> Result<usize> {
        let (from, to) = (day * DAY, (day + 1) * DAY);
        let asked = provider.statement(from_micros(from - SLACK), from_micros(to + SLACK));
        let lines = self.router.call(provider, "statement", PATIENCE, asked).await;
        let lines = lines.unwrap_or_else(|| Err("no answer in time".into()));
        let lines =
            lines.map_err(|why| Error::unavailable(format!("statement of {}", provider.name())).with_source(why))?;
        let mut differences = Vec::new();
        for line in &lines {
            let ours = self.booked(provider.name(), line).await?;
            if ours != Some(line.amount.minor) {
                differences.push((line.kind, line.key.clone(), ours, Some(line.amount.minor)));
            }
        }
        let theirs: BTreeSet<_> = lines.iter().map(|l| (l.kind, l.key.as_str())).collect();
        for ((kind, key), amount) in self.books(provider.name(), from, to).await? {
            if !theirs.contains(&(kind, key.as_str())) {
                differences.push((kind, key, Some(amount), None));
            }
        }
        self.note(cx, provider.name(), day, differences).await
    }

    async fn note(
        &self,
        cx: &Call,
        provider: &str,
        day: i64,
        differences: Vec<(LineKind, String, Option<i64>, Option<i64>)>,
    ) -> Result<usize> {
        let mut new = 0;
        for (kind, key, ours, theirs) in differences {
            let row = &Model {
                discrepancy_id: discrepancy::id(provider, kind.name(), &key),
                provider: provider.to_owned(),
                day,
                kind: kind.name().to_owned(),
                key,
                ours,
                theirs,
                create_time: micros(cx.now),
            };
            let write = async |tx: Tx| discrepancy::note(&tx, row.clone()).await;
            if self.db.write(cx, write).await? {
                new += 1;
                let labels = [("provider", provider.to_owned()), ("kind", kind.name().to_owned())];
                metrics::counter!("payment_discrepancies_total", &labels).increment(1);
                tracing::error!(
                    provider,
                    kind = kind.name(),
                    key = row.key,
                    ours,
                    theirs,
                    "a statement and the books differ"
                );
            }
        }
        Ok(new)
    }

    /// What our books say of a line, whenever it was.
    async fn booked(&self, provider: &str, line: &Line) -> Result<Option<i64>> {
        let conn = self.db.primary();
        Ok(match line.kind {
            LineKind::Charge => {
                let row = store::charge::about(conn, provider, &About::Key(line.key.clone())).await?;
                row.filter(|r| r.capture_time > 0).map(|r| r.amount)
            }
            LineKind::Refund => {
                let row = store::refund::find(conn, &line.key).await?;
                row.filter(|r| r.provider == provider && r.done_time > 0).map(|r| r.money())
            }
            LineKind::Payout => match store::payout::find(conn, &line.key).await {
                Ok(row) => Some(row).filter(|r| r.done_time > 0).map(|r| r.amount),
                Err(e) if e.code() == Code::NotFound => None,
                Err(e) => return Err(e),
            },
        })
    }

    /// What our books have of a time.
    async fn books(&self, provider: &str, from: i64, to: i64) -> Result<BTreeMap<(LineKind, String), i64>> {
        let conn = self.db.primary();
        let charges = store::charge::captured(conn, provider, from, to).await?.into_iter();
        let refunds = store::refund::done(conn, provider, from, to).await?.into_iter();
        let refunds = refunds.filter(|r| r.status() == RefundStatus::Done);
        let payouts = store::payout::done(conn, provider, from, to).await?.into_iter();
        let mut books: BTreeMap<_, _> = charges.map(|r| ((LineKind::Charge, r.key), r.amount)).collect();
        books.extend(refunds.map(|r| ((LineKind::Refund, r.refund_id.clone()), r.money())));
        books.extend(payouts.map(|r| ((LineKind::Payout, r.payout_id), r.amount)));
        Ok(books)
    }
}
