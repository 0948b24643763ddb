//! Providers' messages: believed when they are signed, applied once, in whatever order they come.

use super::attempt::advance;
use crate::{
    Payments,
    domain::Fault,
    provider::{About, Forged, News, Notice, Standing, Unverified},
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
        let verified = tokio::time::timeout(self.limit(cx), known.verify_webhook(headers, body, cx.now)).await;
        let verified = verified.unwrap_or_else(|_| Err(Unverified::Silent("no answer in time".into())));
        let notices = verified.map_err(|why| {
            let (outcome, error) = match why {
                Unverified::Forged(Forged(why)) => ("forged", Fault::WebhookForged { why }.into()),
                Unverified::Silent(why) => ("unverified", unasked(why)),
            };
            metrics::counter!("payment_webhooks_total", "provider" => provider.to_owned(), "outcome" => outcome)
                .increment(1);
            error
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
                let answer = self
                    .router
                    .call(&**named, "look_up", self.limit(cx), named.look_up(&charge.reference(cx.now)))
                    .await;
                answer.unwrap_or_else(|| Err("no answer in time".into())).map(Some).map_err(unasked)
            }
        }
    }
}

/// The provider sends a message again that is not accepted.
fn unasked(why: String) -> Error {
    Error::new(Code::Unavailable, "UNAVAILABLE", "the provider can't be asked").with_source(why)
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
