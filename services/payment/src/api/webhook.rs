//! Providers' messages: believed when they are signed, applied once, in whatever order they come.

use super::attempt::advance;
use crate::{
    Payments,
    domain::Fault,
    provider::{About, News, Notice, Standing},
    store, unkeyed,
};
use jangteo_core::{Call, Code, Error, Result};
use kit::{crash_point, db::Tx};
use std::collections::BTreeMap;

impl Payments {
    pub(crate) async fn receive(
        &self,
        cx: &Call,
        provider: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Result<()> {
        let known = self.router.all().find(|p| p.name() == provider);
        let known = known.ok_or_else(|| Error::not_found("provider", provider))?;
        let notices = known.verify_webhook(headers, body, cx.now).await.map_err(|forged| {
            metrics::counter!("payment_webhooks_total", "provider" => provider.to_owned(), "outcome" => "forged")
                .increment(1);
            Fault::WebhookForged { why: forged.0 }
        })?;
        let mut news = Vec::new();
        for notice in notices {
            let seen = self.seen(cx, provider, &notice).await?;
            news.push((notice, seen));
        }
        let news = &news;
        let write = async |tx: Tx| {
            for (notice, seen) in news {
                apply(&tx, provider, notice, seen.as_ref()).await?;
            }
            Ok(())
        };
        self.db.write(&unkeyed(cx), write).await?;
        crash_point!("payment.webhook.after_commit");
        metrics::counter!("payment_webhooks_total", "provider" => provider.to_owned(), "outcome" => "taken")
            .increment(1);
        Ok(())
    }

    /// What a notice says of the charge, asking the provider where it says no more than that something changed.
    async fn seen(&self, cx: &Call, provider: &str, notice: &Notice) -> Result<Option<Standing>> {
        match &notice.news {
            News::Standing(seen) => Ok(Some(seen.clone())),
            News::Other => Ok(None),
            News::Changed => {
                let Some(charge) = store::charge::about(self.db.primary(), provider, &notice.about).await? else {
                    return Ok(None);
                };
                let named = self.router.named(provider)?;
                let answer =
                    self.router.call(&**named, "look_up", self.limit(cx), named.look_up(&charge.reference())).await;
                // The provider sends a message again that is not accepted.
                let failed = |why: String| {
                    Error::new(Code::Unavailable, "UNAVAILABLE", "the provider can't be asked").with_source(why)
                };
                answer.unwrap_or_else(|| Err("no answer in time".into())).map(Some).map_err(failed)
            }
        }
    }
}

async fn apply(tx: &Tx, provider: &str, notice: &Notice, seen: Option<&Standing>) -> Result<()> {
    let about = match &notice.about {
        About::Key(id) | About::ProviderRef(id) => id,
    };
    if !store::webhook::note(tx, provider, &notice.event_id, about).await? {
        return Ok(());
    }
    let known = match seen {
        Some(seen) => advance(tx, provider, &notice.about, seen).await?,
        None => store::charge::about(tx, provider, &notice.about).await?.map(|_| false),
    };
    let outcome = match known {
        Some(true) => "APPLIED",
        Some(false) => "STALE",
        None => "UNKNOWN",
    };
    store::webhook::set_outcome(tx, provider, &notice.event_id, outcome).await
}
