//! The stream of new notices.
//!
//! Ids grow with time but become visible by commit, so a stream looks back over the last few seconds each time and
//! leaves out what it has shown. Nothing is skipped unless its transaction took longer than that.

use crate::{Notifications, domain::text::Lang, reader::Reader, store};
use chrono::TimeDelta;
use futures::stream;
use jangteo_core::{Call, Clock, Result, Time};
use proto::{
    Streaming,
    jangteo::notification::v1::{Notification, WatchNotificationsRequest},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

const LOOK_BACK: TimeDelta = TimeDelta::seconds(10);
/// Other replicas can't wake this one.
const POLL: Duration = Duration::from_secs(1);
const BATCH: u64 = 100;

struct Watch {
    reader: Reader,
    clock: Arc<dyn Clock>,
    news: Receiver<Arc<str>>,
    user_id: String,
    lang: Lang,
    /// The stream ends with the token that opened it.
    until: Time,
    /// All up to here were shown.
    after: String,
    /// Those behind it that were shown.
    shown: BTreeSet<String>,
    waiting: VecDeque<Notification>,
}

impl Notifications {
    pub(super) async fn watch(&self, cx: &Call, req: WatchNotificationsRequest) -> Result<Streaming<Notification>> {
        let user = cx.user()?;
        let watch = Watch {
            reader: self.reader.clone(),
            clock: self.clock.clone(),
            news: self.news.listen(),
            user_id: user.user_id.to_string(),
            lang: self.reading(cx, &user.user_id).await?,
            until: user.expires,
            after: if req.after_id.is_empty() { first_id(self.clock.now()) } else { req.after_id },
            shown: BTreeSet::new(),
            waiting: VecDeque::new(),
        };
        Ok(Box::pin(stream::unfold(watch, |mut watch| async move {
            watch.next().await.transpose().map(|item| (item, watch))
        })))
    }
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Notification>> {
        loop {
            if let Some(one) = self.waiting.pop_front() {
                return Ok(Some(one));
            }
            if self.clock.now() >= self.until {
                return Ok(None);
            }
            if !self.look().await? {
                self.wait().await;
            }
        }
    }

    /// Whether there was anything new, or there may be more.
    async fn look(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let rows = store::notification::since(self.reader.db.primary(), &self.user_id, &self.after, BATCH).await?;
        let full = rows.len() as u64 == BATCH;
        let last = rows.last().map(|r| r.notification_id.clone());
        let fresh: Vec<_> = rows.into_iter().filter(|r| !self.shown.contains(&r.notification_id)).collect();
        let found = !fresh.is_empty();
        self.shown.extend(fresh.iter().map(|r| r.notification_id.clone()));
        self.waiting.extend(self.reader.shown(fresh, self.lang).await?);
        // What is older than the look back is complete; and a full batch has to be passed to see the next one.
        let settled = first_id(now - LOOK_BACK);
        let to = if full { last.unwrap_or_default().max(settled) } else { settled };
        if to > self.after {
            self.shown = self.shown.split_off(&to);
            self.after = to;
        }
        Ok(found || full)
    }

    async fn wait(&mut self) {
        let mine = async {
            loop {
                match self.news.recv().await {
                    Ok(person) if *person == *self.user_id => return,
                    Ok(_) => {}
                    // So much happened that some of it may have been ours.
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout(POLL, mine).await;
    }
}

/// Below every id made at `time` or later: they begin with its milliseconds (UUIDv7).
fn first_id(time: Time) -> String {
    format!("ntf_{:012x}{:020x}", time.timestamp_millis().max(0), 0)
}
