//! Registered cards. A number is in memory while the providers are asked, and nowhere afterwards.

use crate::{
    Payments,
    domain::{self, Fault, MAX_METHODS},
    provider::{Card, Decline, Method, Outcome, Token},
    store::{self, method::Model},
};
use jangteo_core::{Call, Error, Id, Result, micros};
use kit::db::Tx;
use proto::jangteo::payment::v1 as wire;
use ring::hmac;

impl Payments {
    pub(super) async fn register_card(
        &self,
        cx: Call,
        req: wire::CreatePaymentMethodRequest,
    ) -> Result<wire::PaymentMethod> {
        let cx = self.disguised(cx);
        let user = cx.user_id()?;
        let input = req.card.unwrap_or_default();
        let card =
            Card { number: input.number.into(), expiry_month: input.expiry_month, expiry_year: input.expiry_year };
        let tokens = &self.tokenise(user, &card).await?;
        let (_, token) = tokens.first().ok_or_else(|| Error::internal("a card without a token"))?;
        let id = &Id::<domain::Method>::new().to_string();
        let write = async |tx: Tx| {
            for (provider, token) in tokens {
                if let Some(twin) = store::method::twin(&tx, user, provider, &token.fingerprint).await? {
                    return Ok(twin.into());
                }
            }
            if store::method::count(&tx, user).await? >= MAX_METHODS {
                return Err(Fault::TooManyMethods { limit: MAX_METHODS }.into());
            }
            let row = Model {
                payment_method_id: id.clone(),
                user_id: user.to_owned(),
                brand: token.brand.clone(),
                last4: token.last4.clone(),
                expiry_month: card.expiry_month.into(),
                expiry_year: card.expiry_year.into(),
                deleted: false,
                create_time: micros(tx.now()),
            };
            store::method::insert(&tx, row.clone()).await?;
            for (provider, token) in tokens {
                let row = store::method::token::Model {
                    payment_method_id: id.clone(),
                    provider: provider.clone(),
                    token: token.token.clone(),
                    fingerprint: token.fingerprint.clone(),
                };
                store::method::token::insert(&tx, row).await?;
            }
            Ok(row.into())
        };
        let kept: wire::PaymentMethod = self.db.write(&cx, write).await?;
        if kept.payment_method_id != *id {
            // It was registered before, with other tokens.
            self.forget(&cx, tokens.iter().map(|(provider, token)| (provider, &token.token))).await;
        }
        Ok(kept)
    }

    pub(super) async fn forget_card(&self, cx: Call, req: wire::DeletePaymentMethodRequest) -> Result<()> {
        let (user, id) = (cx.user_id()?, &req.payment_method_id);
        let tokens = store::method::tokens(self.db.primary(), id).await?;
        let write = async |tx: Tx| {
            let row = store::method::find(&tx, user, id).await?;
            store::method::save(&tx, Model { deleted: true, ..row }).await
        };
        self.db.write(&cx, write).await?;
        self.forget(&cx, tokens.iter().map(|t| (&t.provider, &t.token))).await;
        Ok(())
    }

    /// Best effort: a token that stays is of no use.
    async fn forget<'a>(&self, cx: &Call, tokens: impl Iterator<Item = (&'a String, &'a String)>) {
        for (provider, token) in tokens {
            let Ok(provider) = self.router.named(provider) else { continue };
            let forget = async {
                provider.forget(token).await;
                Ok::<_, String>(())
            };
            self.router.call(&**provider, "forget", self.limit(cx), forget).await;
        }
    }

    /// Has every provider that takes cards make a token, so that any of them may be asked later. One is enough.
    async fn tokenise(&self, user: &str, card: &Card) -> Result<Vec<(String, Token)>> {
        let (mut tokens, mut refused) = (Vec::new(), None);
        let limit = std::time::Duration::from_millis(self.cfg.provider_timeout_ms);
        for provider in self.router.all().filter(|p| p.can(&Method::Card)) {
            match self.router.ask(&**provider, "tokenise", limit, provider.tokenise(user, card)).await {
                Outcome::Done(token) => tokens.push((provider.name().to_owned(), token)),
                Outcome::Declined(why) => refused = Some(why),
                other => {
                    tracing::warn!(provider = provider.name(), outcome = ?Outcome::<()>::from(other), "no token for a card");
                    refused = refused.or(Some(Decline::ProviderUnavailable));
                }
            }
        }
        match (tokens.is_empty(), refused) {
            (false, _) => Ok(tokens),
            (true, Some(why)) => Err(Fault::CardRefused { decline_reason: why.name() }.into()),
            (true, None) => Err(Fault::MethodNotOffered { method: "CARD".to_owned() }.into()),
        }
    }

    /// The fingerprint of a request with a card number in it is a guess away from the number, so it is keyed before it is kept.
    fn disguised(&self, cx: Call) -> Call {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hmac::sign(&self.fingerprints, &cx.fingerprint).as_ref());
        Call { fingerprint, ..cx }
    }
}

/// Without the token, for the log.
impl From<Outcome<Token>> for Outcome<()> {
    fn from(outcome: Outcome<Token>) -> Self {
        match outcome {
            Outcome::Done(_) => Outcome::Done(()),
            Outcome::Declined(why) => Outcome::Declined(why),
            Outcome::ActionRequired { redirect_url, provider_ref } => {
                Outcome::ActionRequired { redirect_url, provider_ref }
            }
            Outcome::NotTaken(why) => Outcome::NotTaken(why),
            Outcome::Unknown(why) => Outcome::Unknown(why),
        }
    }
}
