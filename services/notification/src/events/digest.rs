//! The job that makes one e-mail of many, for those who want it so.

use crate::{
    Notifications,
    domain::{
        course::State,
        facts::Facts,
        kind::Kind,
        preferences::Preferences,
        text::{Lang, Words},
    },
    store::{
        self,
        delivery::Model,
        notification::{self, Model as Notice},
    },
};
use jangteo_core::{Call, Error, Result};
use kit::db::Tx;
use proto::jangteo::{notification::v1::Channel, user::v1::Contact};
use std::{collections::HashMap, sync::Arc};

/// People at a time.
const PEOPLE: u64 = 100;
/// Lines of one digest; what is more comes with the next run, in another.
const LINES: u64 = 100;

impl Notifications {
    pub async fn digest(self: Arc<Self>, cx: Call) -> Result<()> {
        loop {
            let people = store::delivery::gatherers(self.db.primary(), cx.now, PEOPLE).await?;
            for user_id in &people {
                self.digest_of(&cx, user_id).await?;
            }
            if (people.len() as u64) < PEOPLE {
                return Ok(());
            }
        }
    }

    async fn digest_of(&self, cx: &Call, user_id: &str) -> Result<()> {
        let conn = self.db.primary();
        let gathered = store::delivery::gathered(conn, user_id, cx.now, LINES).await?;
        let Some(first) = gathered.first() else { return Ok(()) };
        let occasion = &format!("digest:{}", first.delivery_id);
        let preferences = &store::preference::find(conn, user_id).await?;
        let lang = self.language(preferences, &Contact::default(), user_id).await?;
        let (wanted, unwanted) = self.sort(&gathered, preferences, lang).await?;
        let ids: &Vec<String> = &wanted.iter().map(|(id, _)| id.clone()).collect();
        let lines: Vec<String> = wanted.iter().map(|(_, words)| format!("• {}", words.title)).collect();
        let facts = &Facts::default().with("count", lines.len().to_string()).with("lines", lines.join("\n"));
        let unwanted = &unwanted;
        let write = async |tx: Tx| {
            store::delivery::end_gathering(&tx, unwanted, State::Skipped, "NOT_WANTED").await?;
            if ids.is_empty() {
                return Ok(());
            }
            if store::delivery::end_gathering(&tx, ids, State::Merged, "DIGEST").await? != ids.len() as u64 {
                // Somebody else is at it; the next run sees what is left.
                return Err(Error::unavailable("the digest"));
            }
            self.write_digest(&tx, user_id, occasion, facts, preferences).await
        };
        self.db.write(cx, write).await
    }

    /// What belongs in a digest, in words, and what its person does not want or has read meanwhile.
    async fn sort(
        &self,
        gathered: &[Model],
        preferences: &Preferences,
        lang: Lang,
    ) -> Result<(Vec<(String, Words)>, Vec<String>)> {
        let ids: Vec<String> = gathered.iter().map(|d| d.notification_id.clone()).collect();
        let notices = notification::find_many(self.db.primary(), &ids).await?;
        let words = self.reader.words(&notices, lang).await?;
        let known: HashMap<&str, (&Notice, Option<Words>)> =
            notices.iter().zip(words).map(|(n, words)| (n.notification_id.as_str(), (n, words))).collect();
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for delivery in gathered {
            let notice = known.get(delivery.notification_id.as_str());
            let words = notice.filter(|(n, _)| {
                let allowed = n.kind().is_some_and(|k| preferences.allows(k.category(), Channel::Email));
                allowed && n.read_time.is_none()
            });
            match words.and_then(|(_, words)| words.clone()) {
                Some(words) => wanted.push((delivery.delivery_id.clone(), words)),
                None => unwanted.push(delivery.delivery_id.clone()),
            }
        }
        Ok((wanted, unwanted))
    }

    async fn write_digest(
        &self,
        tx: &Tx,
        user_id: &str,
        occasion: &str,
        facts: &Facts,
        preferences: &Preferences,
    ) -> Result<()> {
        let key = self.reader.sealer.person(tx, user_id).await?;
        let row = Notice {
            sealed: key.seal("notification", "sealed", &facts.to_bytes())?,
            ..Notice::new(user_id, occasion, Kind::Digest, tx.now())
        };
        if notification::insert(tx, &row).await? {
            let legs = Kind::Digest.legs();
            let drafts = store::delivery::drafts(&row, Kind::Digest, legs, preferences, tx.now());
            store::delivery::insert(tx, drafts).await?;
        }
        Ok(())
    }
}
