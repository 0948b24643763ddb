//! Notices as people read them: opened, and put into words in their language.

use crate::{
    domain::{
        facts::Facts,
        kind::Kind,
        text::{Lang, Texts, Words},
    },
    store::{self, notification::Model},
};
use jangteo_core::{Result, from_micros};
use kit::db::{Db, crypt::Sealer};
use proto::jangteo::notification::v1 as wire;
use std::sync::Arc;

#[derive(Clone)]
pub struct Reader {
    pub db: Db,
    pub sealer: Sealer,
    pub texts: Arc<Texts>,
}

impl Reader {
    /// The words of each row; `None`: nobody can read it any longer, or this version doesn't know it.
    pub async fn words(&self, rows: &[Model], lang: Lang) -> Result<Vec<Option<Words>>> {
        let facts = self.facts(rows, lang).await?;
        let known = facts.iter().flatten().map(|(_, facts)| facts);
        let shelf = store::goods::of(self.db.primary(), known).await?;
        let write = |(kind, facts): &(Kind, Facts)| self.texts.words(*kind, lang, facts, shelf.find(facts));
        facts.iter().map(|f| f.as_ref().map(write).transpose()).collect()
    }

    async fn facts(&self, rows: &[Model], lang: Lang) -> Result<Vec<Option<(Kind, Facts)>>> {
        let mut people: Vec<String> = rows.iter().map(|r| r.user_id.clone()).collect();
        people.sort_unstable();
        people.dedup();
        let keys = self.sealer.find_many(self.db.primary(), &people).await?;
        let campaigns: Vec<String> = rows.iter().filter_map(|r| r.campaign_id.clone()).collect();
        let campaigns = store::campaign::find_many(self.db.primary(), &campaigns).await?;
        let open = |row: &Model| {
            let Some(kind) = row.kind() else { return Ok(None) };
            let facts = match (&row.campaign_id, keys.get(&row.user_id)) {
                (Some(id), _) => match campaigns.get(id) {
                    Some(campaign) => wording(&campaign.request()?, row.variant, lang),
                    None => None,
                },
                (None, Some(key)) => Some(Facts::from_bytes(&key.open("notification", "sealed", &row.sealed)?)?),
                (None, None) => None,
            };
            Ok(facts.map(|facts| (kind, facts)))
        };
        rows.iter().map(open).collect()
    }

    /// What the list in the app shows of them.
    pub async fn shown(&self, rows: Vec<Model>, lang: Lang) -> Result<Vec<wire::Notification>> {
        let words = self.words(&rows, lang).await?;
        let both = rows.into_iter().zip(words);
        Ok(both.filter_map(|(row, words)| words.map(|words| show(row, words))).collect())
    }
}

fn wording(request: &wire::BroadcastRequest, variant: Option<i64>, lang: Lang) -> Option<Facts> {
    let variant = request.variants.get(usize::try_from(variant?).ok()?)?;
    let wording = match lang {
        Lang::Ko => variant.ko.as_ref()?,
        Lang::En => variant.en.as_ref()?,
    };
    let facts = Facts::default().with("title", &wording.title).with("body", &wording.body);
    Some(facts.with("link", &wording.link))
}

fn show(row: Model, words: Words) -> wire::Notification {
    let time = |t: i64| proto::timestamp(from_micros(t));
    wire::Notification {
        category: i32::try_from(row.category).unwrap_or_default(),
        notification_id: row.notification_id,
        template: row.template,
        title: words.title,
        body: words.body,
        link: words.link,
        read: row.read_time.is_some(),
        read_time: row.read_time.map(time),
        create_time: Some(time(row.create_time)),
    }
}
