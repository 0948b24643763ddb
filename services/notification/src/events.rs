//! What others' events make people read, and timed jobs.

mod broadcast;
mod checks;
mod deliver;
mod digest;
mod receipts;
pub mod table;

use crate::{
    Notifications,
    domain::facts::{self, Goods, Notice},
    store,
};
use chrono::TimeDelta;
use jangteo_core::{Call, Result, Time};
use kit::{Received, db::Tx};
use proto::jangteo::{
    auth::v1::UserRegistered, notification::v1::Channel, order::v1::OrderPlaced, user::v1::ConsentDecided,
};
use std::sync::Arc;
use table::Told;

/// What is kept of an event beside what people are told.
enum Also<'a> {
    Nothing,
    Recipient { user_id: &'a str, locale: &'a str, registered: Time },
    Goods(Vec<Goods>),
}

impl Notifications {
    /// Whoever an event concerns is told of it, once.
    pub async fn told<E: Told>(self: Arc<Self>, ev: Received<E>) -> Result<()> {
        self.tell(&ev, Also::Nothing).await
    }

    pub async fn user_registered(self: Arc<Self>, ev: Received<UserRegistered>) -> Result<()> {
        let registered = ev.register_time.as_ref().map_or(ev.call().now, proto::time);
        let also = Also::Recipient { user_id: &ev.user_id, locale: &ev.locale, registered };
        self.tell(&ev, also).await
    }

    /// The texts of everything that follows name the goods.
    pub async fn order_placed(self: Arc<Self>, ev: Received<OrderPlaced>) -> Result<()> {
        let titles = |p: &proto::jangteo::order::v1::PlacedPart| p.lines.iter().map(|l| l.title.clone()).collect();
        let parts: Vec<(i32, Vec<String>)> = ev.parts.iter().map(|p| (p.part, titles(p))).collect();
        let parts: Vec<_> = parts.iter().map(|(n, t)| (*n, t.iter().map(String::as_str).collect())).collect();
        self.tell(&ev, Also::Goods(facts::goods(&ev.order_id, &parts))).await
    }

    /// Advertising leaves the app on those channels alone.
    pub async fn consent_decided(self: Arc<Self>, ev: Received<ConsentDecided>) -> Result<()> {
        use proto::jangteo::user::v1::ConsentPurpose as Purpose;
        let channel = match ev.purpose() {
            Purpose::MarketingEmail => Channel::Email,
            Purpose::MarketingSms => Channel::Sms,
            Purpose::MarketingPush => Channel::Push,
            _ => return Ok(()),
        };
        let (user_id, granted) = (&ev.user_id, ev.granted);
        ev.apply(&self.db, async |tx| store::recipient::decide(&tx, user_id, channel, granted).await).await
    }

    async fn tell<E: Told>(&self, ev: &Received<E>, also: Also<'_>) -> Result<()> {
        let notices = ev.event.notices();
        let occasion = &ev.envelope().event_id;
        let also = &also;
        let write = async |tx: Tx| {
            match also {
                Also::Nothing => {}
                Also::Recipient { user_id, locale, registered } => {
                    store::recipient::add(&tx, user_id, locale, *registered).await?;
                }
                Also::Goods(goods) => store::goods::add(&tx, goods).await?,
            }
            for notice in &notices {
                self.write_notice(&tx, occasion, notice).await?;
            }
            Ok(())
        };
        ev.apply(&self.db, write).await?;
        kit::crash_point!("notification.event.after_commit");
        Ok(())
    }

    /// Writes a notice and the ways that it takes, unless the person has it already or nobody could read it.
    async fn write_notice(&self, tx: &Tx, occasion: &str, notice: &Notice) -> Result<()> {
        let (user_id, kind, now) = (&notice.user_id, notice.kind, tx.now());
        let key = match self.reader.sealer.person(tx, user_id).await {
            Err(e) if e.reason() == "PERSON_ERASED" => return Ok(()),
            key => key?,
        };
        let preferences = store::preference::find(tx, user_id).await?;
        let row = store::notification::Model {
            in_app: preferences.allows(kind.category(), Channel::InApp),
            sealed: key.seal("notification", "sealed", &notice.facts.to_bytes())?,
            ..store::notification::Model::new(user_id, occasion, kind, now)
        };
        if store::notification::insert(tx, &row).await? {
            let drafts = store::delivery::drafts(&row, kind, kind.legs(), &preferences, now);
            store::delivery::insert(tx, drafts).await?;
            self.news.tell_after(tx, [user_id.as_str()]);
        }
        Ok(())
    }

    /// All that is kept of an erased person: notices and their ways, devices, preferences, consents.
    pub async fn forget(self: Arc<Self>, tx: Tx, user_id: String) -> Result<()> {
        while store::notification::forget(&tx, &user_id, 500).await? > 0 {}
        store::device::forget(&tx, &user_id).await?;
        store::preference::forget(&tx, &user_id).await?;
        store::campaign::forget(&tx, &user_id).await?;
        store::recipient::forget(&tx, &user_id).await
    }

    /// Forgets old notices and what the sandboxes keep.
    pub async fn sweep(self: Arc<Self>, cx: Call) -> Result<()> {
        let old = cx.now - TimeDelta::days(self.cfg.keep_days.into());
        while self.db.write(&cx, async |tx| store::notification::sweep(&tx, old, 500).await).await? > 0 {}
        self.db.write(&cx, async |tx| store::goods::sweep(&tx, old).await).await?;
        for sender in self.senders.all() {
            sender.sweep(cx.now - TimeDelta::days(1)).await?;
        }
        Ok(())
    }
}
