//! The job that sends what is due.
//!
//! An attempt is taken up by compare-and-set, with a lease: of two replicas one sends. One that dies in between leaves an
//! attempt without an end; after the lease it counts as one whose answer got lost, and is made once more with the same
//! key. So a crash sends a notice at most twice, and providers that know keys send it once.

use crate::{
    Notifications,
    domain::{
        course::{Course, Outcome, State},
        kind::Kind,
        preferences::Preferences,
        text::{Lang, Words},
    },
    ports::{GONE, Parcel, Sender},
    store::{self, delivery::Model},
};
use chrono::TimeDelta;
use futures::{TryStreamExt, stream};
use jangteo_core::{Call, Code, Result, micros};
use proto::jangteo::{
    notification::v1::{CampaignStatus, Category, Channel},
    user::v1::{Contact, GetContactRequest},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::OnceCell;

const BATCH: u64 = 64;
/// Deliveries that are under way at once.
const PARALLEL: usize = 16;
/// One run of the job goes by one time of the day; the next one looks at the clock again.
const RUN: usize = 1024;
/// How long what could not even be prepared waits.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// What the deliveries of a batch share.
struct Batch {
    notices: HashMap<String, store::notification::Model>,
    /// Of everybody in the batch.
    preferences: HashMap<String, Preferences>,
    contacts: Mutex<HashMap<String, Arc<OnceCell<Contact>>>>,
}

/// Where a parcel goes.
struct Address {
    sender: Arc<dyn Sender>,
    to: String,
    /// For push.
    device_id: Option<String>,
}

/// All that an attempt needs.
struct Ready {
    kind: Kind,
    words: Words,
    html: Option<String>,
    url: String,
    addresses: Vec<Address>,
    quiet: String,
}

/// What is known before an attempt.
enum Step {
    Go(Box<Ready>),
    /// No attempt: the course goes on like this.
    Turn(Course),
}

impl Notifications {
    pub async fn deliver(self: Arc<Self>, cx: Call) -> Result<()> {
        let mut done = 0;
        while done < RUN {
            let due = store::delivery::due(self.db.primary(), cx.now, BATCH).await?;
            if due.is_empty() {
                return Ok(());
            }
            done += due.len();
            let batch = &self.batch(&due).await?;
            let each = stream::iter(due.into_iter().map(|d| Ok(self.deliver_one(&cx, batch, d))));
            each.try_buffer_unordered(PARALLEL).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn batch(&self, due: &[Model]) -> Result<Batch> {
        let conn = self.db.primary();
        let notices: Vec<String> = due.iter().map(|d| d.notification_id.clone()).collect();
        let notices = store::notification::find_many(conn, &notices).await?;
        let mut people: Vec<String> = due.iter().map(|d| d.user_id.clone()).collect();
        people.sort_unstable();
        people.dedup();
        let mut preferences = store::preference::find_many(conn, &people).await?;
        for person in people {
            preferences.entry(person).or_default();
        }
        let notices = notices.into_iter().map(|n| (n.notification_id.clone(), n)).collect();
        Ok(Batch { notices, preferences, contacts: Mutex::default() })
    }

    async fn deliver_one(&self, cx: &Call, batch: &Batch, seen: Model) -> Result<()> {
        if seen.state == State::Sending.name() {
            return self.bury(cx, &seen).await;
        }
        let mut course = seen.course();
        loop {
            let step = match self.prepare(cx, batch, &seen, &course).await {
                Ok(step) => step,
                Err(e) if matches!(e.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted) => {
                    tracing::warn!(delivery_id = seen.delivery_id, error = ?e, "a delivery waits for what it needs");
                    Step::Turn(course.clone().defer(cx.now + PAUSE))
                }
                Err(e) => {
                    tracing::error!(delivery_id = seen.delivery_id, error = ?e, "a delivery can't be prepared");
                    Step::Turn(Course { state: State::Failed, reason: "BROKEN".to_owned(), ..course.clone() })
                }
            };
            match step {
                // Ways that can't be gone are passed at once; the claim of the one that can says so.
                Step::Turn(to) if to.state == State::Waiting && to.at > course.at => course = to,
                Step::Turn(to) => {
                    let write = async |tx| store::delivery::advance(&tx, &seen, seen.attempts, &to).await;
                    self.db.write(cx, write).await?;
                    return Ok(());
                }
                Step::Go(ready) => return self.attempt(cx, &seen, course, &ready).await,
            }
        }
    }

    /// Whoever took it up is dead: the answer got lost with them.
    async fn bury(&self, cx: &Call, seen: &Model) -> Result<()> {
        let course = seen.course();
        let lost = Outcome::Unknown { why: "CRASHED" };
        let to = &course.clone().after(&lost, self.providers(course.channel()), cx.now);
        let lost = &lost;
        let write = async |tx: kit::db::Tx| {
            if store::delivery::advance(&tx, seen, seen.attempts, to).await? {
                store::attempt::end(&tx, &seen.delivery_id, seen.attempts, lost).await?;
            }
            Ok(())
        };
        self.db.write(cx, write).await
    }

    fn providers(&self, channel: Channel) -> usize {
        self.senders.of(channel).len().max(1)
    }

    async fn prepare(&self, cx: &Call, batch: &Batch, seen: &Model, course: &Course) -> Result<Step> {
        let (now, channel) = (cx.now, course.channel());
        let turn = |to: Course| Ok(Step::Turn(to));
        let notice = batch.notices.get(&seen.notification_id);
        let (Some((notice, kind)), Some(preferences)) =
            (notice.and_then(|n| n.kind().map(|kind| (n, kind))), batch.preferences.get(&seen.user_id))
        else {
            return turn(Course { state: State::Skipped, reason: "FORGOTTEN".to_owned(), ..course.clone() });
        };
        if let Some(why) = self.unwanted(notice, kind, channel, preferences).await? {
            return turn(course.clone().skip(why, now));
        }
        if let Some(until) = preferences.not_before(kind, channel, now) {
            return turn(course.clone().defer(until));
        }
        let contact = self.contact(cx, batch, &seen.user_id, channel).await?;
        let (addresses, why) = self.addresses(seen, course, &contact).await?;
        if addresses.is_empty() {
            return turn(course.clone().skip(why, now));
        }
        let lang = self.language(preferences, &contact, &seen.user_id).await?;
        let words = self.reader.words(std::slice::from_ref(notice), lang).await?.remove(0);
        let Some(words) = words else {
            return turn(Course { state: State::Skipped, reason: "ERASED".to_owned(), ..course.clone() });
        };
        let site = self.cfg.site.trim_end_matches('/');
        let url = if words.link.is_empty() { String::new() } else { format!("{site}{}", words.link) };
        let html = match channel {
            Channel::Email => Some(self.reader.texts.html(lang, &words, &contact.display_name, site, &url)?),
            _ => None,
        };
        let quiet = preferences.quiet_note(kind, channel);
        Ok(Step::Go(Box::new(Ready { kind, words, html, url, addresses, quiet })))
    }

    /// Why a notice is not to take this way; `None`: it is.
    async fn unwanted(
        &self,
        notice: &store::notification::Model,
        kind: Kind,
        channel: Channel,
        preferences: &Preferences,
    ) -> Result<Option<&'static str>> {
        let conn = self.db.primary();
        // Each line of a digest was wanted.
        if kind != Kind::Digest && !preferences.allows(kind.category(), channel) {
            return Ok(Some("NOT_WANTED"));
        }
        if kind.category() == Category::Marketing && !store::recipient::consents(conn, &notice.user_id, channel).await?
        {
            return Ok(Some("NO_CONSENT"));
        }
        if let Some(campaign_id) = &notice.campaign_id {
            let campaign = store::campaign::find(conn, campaign_id).await?;
            return Ok((campaign.status() == CampaignStatus::Cancelled).then_some("CANCELLED"));
        }
        Ok(None)
    }

    /// Push needs no more than the devices.
    async fn contact(&self, cx: &Call, batch: &Batch, user_id: &str, channel: Channel) -> Result<Contact> {
        if channel == Channel::Push {
            return Ok(Contact::default());
        }
        let known = batch.contacts.lock().expect("no holder panics").entry(user_id.to_owned()).or_default().clone();
        let ask = async || match self.user.get_contact(cx, GetContactRequest { user_id: user_id.to_owned() }).await {
            Err(e) if e.code() == Code::NotFound => Ok(Contact::default()),
            contact => contact,
        };
        known.get_or_try_init(ask).await.cloned()
    }

    /// Where an attempt goes, or why it goes nowhere.
    async fn addresses(&self, seen: &Model, course: &Course, c: &Contact) -> Result<(Vec<Address>, &'static str)> {
        let (to, why) = match course.channel() {
            Channel::Push => return Ok((self.devices(&seen.user_id).await?, "NO_DEVICE")),
            Channel::Sms => (&c.phone_number, "NO_NUMBER"),
            Channel::Email => (&c.email, "NO_ADDRESS"),
            _ => return Ok((Vec::new(), "UNKNOWN_CHANNEL")),
        };
        let senders = self.senders.of(course.channel());
        if senders.is_empty() {
            return Ok((Vec::new(), "NOT_CONFIGURED"));
        }
        let sender = senders[course.turn % senders.len()].clone();
        let address = Address { sender, to: to.clone(), device_id: None };
        Ok((Some(address).filter(|a| !a.to.is_empty()).into_iter().collect(), why))
    }

    async fn devices(&self, user_id: &str) -> Result<Vec<Address>> {
        let conn = self.db.primary();
        let devices = store::device::of(conn, user_id).await?;
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let Some(key) = self.reader.sealer.find(conn, user_id).await? else { return Ok(Vec::new()) };
        let mut addresses = Vec::new();
        for device in devices {
            if let Some(sender) = self.senders.push(device.push_service()) {
                let (sender, to) = (sender.clone(), device.token(&key)?);
                addresses.push(Address { sender, to, device_id: Some(device.device_id) });
            }
        }
        Ok(addresses)
    }

    pub(super) async fn language(&self, p: &Preferences, contact: &Contact, user_id: &str) -> Result<Lang> {
        let said = [p.locale.as_str(), contact.locale.as_str()].into_iter().find(|l| !l.is_empty());
        Ok(match said {
            Some(locale) => Lang::of(locale),
            None => Lang::of(&store::recipient::locale(self.db.primary(), user_id).await?),
        })
    }

    async fn attempt(&self, cx: &Call, seen: &Model, course: Course, ready: &Ready) -> Result<()> {
        let (attempt, until) = (seen.attempts + 1, cx.now + TimeDelta::seconds(self.cfg.lease_secs as i64));
        let mut names: Vec<&str> = ready.addresses.iter().map(|a| a.sender.name()).collect();
        names.sort_unstable();
        names.dedup();
        let (provider, channel) = (&names.join(","), course.channel());
        let claim = async |tx: kit::db::Tx| {
            let mine = store::delivery::claim(&tx, seen, &course, until).await?;
            if mine {
                store::attempt::begin(&tx, &seen.delivery_id, attempt, channel, provider, &ready.quiet).await?;
            }
            Ok(mine)
        };
        if !self.db.write(cx, claim).await? {
            return Ok(());
        }
        let (outcome, gone) = self.send(seen, ready).await;
        kit::crash_point!("notification.deliver.after_send");
        let to = course.after(&outcome, self.providers(channel), cx.now);
        report(seen, provider, &outcome, &to);
        let ask = match ready.addresses.first() {
            Some(a) if a.sender.gives_receipts() => micros(cx.now + super::receipts::FIRST),
            _ => store::delivery::NEVER,
        };
        let (outcome, to, gone) = (&outcome, &to, &gone);
        let settle = async |tx: kit::db::Tx| {
            let mine = match outcome {
                Outcome::Sent(id) => store::delivery::sent(&tx, seen, attempt, to, provider, id, ask).await?,
                _ => store::delivery::advance(&tx, seen, attempt, to).await?,
            };
            if mine {
                store::attempt::end(&tx, &seen.delivery_id, attempt, outcome).await?;
            }
            for device_id in gone {
                store::device::remove(&tx, &seen.user_id, device_id).await?;
            }
            Ok(())
        };
        self.db.write(cx, settle).await
    }

    /// Sends to every address; taken by one is taken. Also answers which devices are gone.
    async fn send(&self, seen: &Model, ready: &Ready) -> (Outcome, Vec<String>) {
        let parcel = Parcel {
            key: &seen.delivery_id,
            notification_id: &seen.notification_id,
            kind: ready.kind.name(),
            title: &ready.words.title,
            body: &ready.words.body,
            html: ready.html.clone(),
            link: &ready.words.link,
            url: &ready.url,
            urgent: ready.kind.is_urgent(),
        };
        let (mut outcomes, mut gone) = (Vec::new(), Vec::new());
        for address in &ready.addresses {
            let outcome = address.sender.send(&address.to, &parcel).await;
            if outcome == (Outcome::Never { why: GONE }) {
                gone.extend(address.device_id.clone());
            }
            outcomes.push(outcome);
        }
        // What was taken counts most, then what may have been, then what may be tried again.
        let rank = |o: &Outcome| match o {
            Outcome::Sent(_) => 0,
            Outcome::Unknown { .. } => 1,
            Outcome::Later { .. } => 2,
            Outcome::Elsewhere { .. } => 3,
            Outcome::Never { .. } => 4,
        };
        let best = outcomes.into_iter().min_by_key(rank);
        (best.unwrap_or(Outcome::Never { why: "NOWHERE" }), gone)
    }
}

/// No line tells an address.
fn report(seen: &Model, provider: &str, outcome: &Outcome, to: &Course) {
    let (delivery_id, reason, state) = (&seen.delivery_id, outcome.why(), to.state.name());
    match outcome {
        Outcome::Sent(_) => tracing::debug!(delivery_id, provider, "a notice was sent"),
        Outcome::Never { .. } => tracing::info!(delivery_id, provider, reason, state, "a notice is not taken"),
        _ => tracing::warn!(delivery_id, provider, reason, state, "a notice could not be sent"),
    }
    let labels = [("provider", provider.to_owned()), ("outcome", outcome.name().to_owned())];
    metrics::counter!("notification_attempts_total", &labels).increment(1);
}
