//! Setting an order's money aside. The attempt is written down, then points are taken, then the provider is asked, each
//! outside of a transaction and each repeatable, so that a job can go on from wherever a crash or a silence left it.

use super::attempt::{advance, ask_first, decline, let_go, points_key, set_aside};
use crate::{
    Payments,
    domain::{
        self, Fault, again, charge,
        payment::{self, Start},
    },
    provider::{About, Decline, Method, Outcome, Standing},
    store::{self, charge::method_name, payment::Model},
    unkeyed,
};
use jangteo_core::{Call, Code, Error, Id, Result, micros};
use kit::{crash_point, db::Tx};
use proto::jangteo::payment::v1::{self as wire, PaymentStatus as Status, payment_source};
use std::time::Duration;

/// What is asked for, read and checked.
struct Ask {
    order_id: String,
    attempt: i64,
    buyer_id: String,
    amount: i64,
    points: i64,
    source: Option<payment_source::Kind>,
}

impl Ask {
    fn read(req: wire::AuthoriseRequest) -> Result<Ask> {
        let amount = domain::amount("amount", req.amount.as_ref(), 0)?;
        if req.points > amount {
            return Err(Error::invalid("points", "OUT_OF_RANGE", "must not be more than the amount"));
        }
        Ok(Ask {
            order_id: req.order_id,
            attempt: req.attempt.into(),
            buyer_id: req.buyer_id,
            amount,
            points: req.points,
            source: req.source.and_then(|s| s.kind),
        })
    }

    fn matches(&self, row: &Model) -> Result<()> {
        match row.buyer_id.is_empty() || (row.buyer_id == self.buyer_id && row.amount == self.amount) {
            true => Ok(()),
            false => Err(Fault::PaymentMismatch { order_id: self.order_id.clone() }.into()),
        }
    }
}

/// Where the money comes from.
enum Funding {
    /// Points pay for all, or there is nothing to pay.
    Nothing,
    Wallet,
    /// Providers to ask one after the other, each with its instrument.
    Provider {
        method: Method,
        label: String,
        legs: Vec<(String, String)>,
    },
}

impl Payments {
    pub(super) async fn authorise_order(&self, cx: Call, req: wire::AuthoriseRequest) -> Result<wire::Payment> {
        let ask = &Ask::read(req)?;
        let before = store::payment::of_order(self.db.primary(), &ask.order_id).await?;
        let start = payment::start(before.as_ref().map(|p| (p.status(), p.attempt)), ask.attempt);
        let begun = match start {
            Start::Try | Start::Replace => {
                let funding = &self.funding(ask).await?;
                let payment_id = &Id::<domain::Payment>::new().to_string();
                self.db.write(&cx, async |tx| self.begin(&tx, payment_id, ask, funding).await).await?
            }
            Start::Answer | Start::Wait => false,
        };
        let row = if begun {
            crash_point!("payment.authorise.after_intent");
            self.drive(&cx, &ask.order_id, true).await?
        } else {
            self.outcome(&cx, &ask.order_id).await?
        };
        ask.matches(&row)?;
        Ok(row.into())
    }

    async fn funding(&self, ask: &Ask) -> Result<Funding> {
        use payment_source::Kind as K;
        if ask.amount == ask.points {
            return Ok(Funding::Nothing);
        }
        let (method, label, tokens) = match &ask.source {
            None => return Err(Fault::SourceRequired { order_id: ask.order_id.clone() }.into()),
            Some(K::Wallet(_)) => return Ok(Funding::Wallet),
            Some(K::PaymentMethodId(id)) => {
                let card = store::method::find(self.db.primary(), &ask.buyer_id, id).await?;
                let tokens = store::method::tokens(self.db.primary(), id).await?;
                (Method::Card, card.label(), Some(tokens))
            }
            Some(K::EasyPay(s)) => (Method::EasyPay(s.service.clone()), s.service.clone(), None),
            Some(K::BankTransfer(s)) => (Method::BankTransfer(s.bank.clone()), s.bank.clone(), None),
        };
        if !self.router.offers(&method) {
            let method = method_name(&method).to_owned();
            return Err(Fault::MethodNotOffered { method }.into());
        }
        let instrument = |provider: &str| match &tokens {
            Some(tokens) => tokens.iter().find(|t| t.provider == provider).map(|t| t.token.clone()),
            None => Some(label.clone()),
        };
        let order = self.router.order(&method, ask.amount - ask.points);
        let legs = order.iter().filter_map(|p| Some((p.name().to_owned(), instrument(p.name())?))).collect();
        Ok(Funding::Provider { method, label, legs })
    }

    /// Writes the attempt down; `false` when it is not for this call to make.
    async fn begin(&self, tx: &Tx, payment_id: &str, ask: &Ask, funding: &Funding) -> Result<bool> {
        let before = store::payment::locked(tx, &ask.order_id).await?;
        match payment::start(before.as_ref().map(|p| (p.status(), p.attempt)), ask.attempt) {
            Start::Answer | Start::Wait => return Ok(false),
            Start::Try => {}
            Start::Replace => {
                let old = before.as_ref().expect("there is what is replaced");
                let_go(tx, old).await?;
            }
        }
        if let Some(before) = &before {
            ask.matches(before)?;
        }
        let fresh = before.is_none();
        let now = micros(tx.now());
        let (funding_name, provider, label) = match funding {
            Funding::Nothing => ("NONE", "", ""),
            Funding::Wallet => ("WALLET", "wallet", "wallet"),
            Funding::Provider { label, legs, .. } => {
                ("PROVIDER", legs.first().map_or("", |(provider, _)| provider.as_str()), label.as_str())
            }
        };
        let mut row = Model {
            payment_id: before.as_ref().map_or(payment_id, |p| &p.payment_id).to_owned(),
            order_id: ask.order_id.clone(),
            buyer_id: ask.buyer_id.clone(),
            status: i32::from(Status::Pending).into(),
            attempt: ask.attempt,
            amount: ask.amount,
            points: ask.points,
            captured: 0,
            refunded: 0,
            refunded_points: 0,
            funding: funding_name.to_owned(),
            provider: provider.to_owned(),
            method_label: label.to_owned(),
            redirect_url: String::new(),
            decline_reason: String::new(),
            taking_points: ask.points > 0,
            capturing: false,
            due: now + i64::try_from(2 * self.cfg.provider_timeout_ms + self.cfg.ask_after_ms).unwrap_or(0) * 1_000,
            tries: 0,
            create_time: before.as_ref().map_or(now, |p| p.create_time),
            update_time: now,
        };
        let leg = match funding {
            Funding::Provider { method, legs, .. } => Some((method_name(method), legs.split_first())),
            Funding::Nothing | Funding::Wallet => None,
        };
        if matches!(leg, Some((_, None))) {
            // Nobody is asked for anything, points included.
            (row.points, row.taking_points) = (0, false);
        }
        // Before its charge: a rival finds this row first, and waits for it.
        match fresh {
            true => store::payment::insert(tx, row.clone()).await?,
            false => store::payment::change(tx, row.clone()).await?,
        }
        match leg {
            Some((method, Some((leg, others)))) => ask_first(tx, &row, method, leg, others).await?,
            Some((_, None)) => decline(tx, row, Decline::ProviderUnavailable).await?,
            None => {}
        }
        Ok(true)
    }

    /// Takes the attempt as far as it goes, and answers how it stands. `fresh`: it was begun by this very call, so no provider can
    /// have been asked before.
    pub(crate) async fn drive(&self, cx: &Call, order_id: &str, fresh: bool) -> Result<Model> {
        loop {
            let row = store::payment::must_find(self.db.primary(), order_id).await?;
            if row.status() != Status::Pending {
                return Ok(row);
            }
            let moved = if row.taking_points {
                self.take_points(cx, &row).await?
            } else if row.funding == "PROVIDER" {
                match store::charge::live(self.db.primary(), order_id).await? {
                    Some(charge) => self.ask_provider(cx, &charge, fresh && charge.tries == 0).await?,
                    None => false,
                }
            } else {
                let write = async |tx: Tx| set_aside(&tx, order_id).await;
                self.db.write(&unkeyed(cx), write).await?;
                true
            };
            if !moved {
                return Ok(row);
            }
        }
    }

    /// `false`: the user service has not said.
    async fn take_points(&self, cx: &Call, row: &Model) -> Result<bool> {
        let taken = match self.adjust_points(cx, &row.buyer_id, -row.points, &points_key(row), "PAYMENT").await {
            Ok(()) => true,
            Err(e) if e.code() == Code::FailedPrecondition => false,
            Err(error) => {
                tracing::warn!(order_id = row.order_id, error = ?error, "taking points failed; a job goes on");
                return Ok(false);
            }
        };
        crash_point!("payment.points.after_take");
        let (order_id, attempt) = (&row.order_id, row.attempt);
        let write = async |tx: Tx| {
            let mut row = store::payment::must_lock(&tx, order_id).await?;
            if row.status() != Status::Pending || row.attempt != attempt || !row.taking_points {
                return Ok(());
            }
            row.taking_points = false;
            if taken {
                return store::payment::change(&tx, row).await;
            }
            // There is nothing to give back.
            row.points = 0;
            if let Some(mut charge) = store::charge::live(&tx, order_id).await? {
                charge.set_state(charge::State::NotTaken);
                store::charge::change(&tx, charge).await?;
            }
            decline(&tx, row, Decline::InsufficientFunds).await
        };
        self.db.write(&unkeyed(cx), write).await?;
        Ok(true)
    }

    /// Asks the provider for the charge. `fresh`: it was never asked before, so its "nothing was taken" can be believed.
    /// `false`: it has not said.
    pub(crate) async fn ask_provider(&self, cx: &Call, charge: &store::charge::Model, fresh: bool) -> Result<bool> {
        let provider = self.router.named(&charge.provider)?;
        let asked = charge.charge(&self.cfg.return_url, &self.cfg.public_url);
        let outcome = self.router.ask(&**provider, "authorise", self.limit(cx), provider.authorise(&asked)).await;
        crash_point!("payment.authorise.after_provider");
        let seen = match outcome {
            Outcome::Done(taken) => Standing::Authorised { provider_ref: taken.provider_ref },
            Outcome::Declined(why) => Standing::Declined(why),
            Outcome::ActionRequired { redirect_url, provider_ref } => {
                Standing::ActionRequired { redirect_url, provider_ref }
            }
            Outcome::NotTaken(why) if fresh => {
                tracing::warn!(key = charge.key, provider = charge.provider, why, "a provider took nothing");
                self.fail_over(cx, charge).await?;
                return Ok(true);
            }
            Outcome::NotTaken(why) | Outcome::Unknown(why) => {
                tracing::warn!(key = charge.key, provider = charge.provider, why, "a provider has not said");
                self.postpone(cx, charge).await?;
                return Ok(false);
            }
        };
        self.learn(cx, &charge.provider, &About::Key(charge.key.clone()), &seen).await?;
        crash_point!("payment.authorise.after_commit");
        Ok(true)
    }

    /// Goes on with the next provider, or gives the attempt up.
    async fn fail_over(&self, cx: &Call, charge: &store::charge::Model) -> Result<()> {
        let about = &About::Key(charge.key.clone());
        let write = async |tx: Tx| {
            let mut payment = store::payment::must_lock(&tx, &charge.order_id).await?;
            let Some(mut failed) = store::charge::about(&tx, &charge.provider, about).await? else { return Ok(()) };
            // Somebody else may have asked as well meanwhile, and not know.
            if failed.state()? != charge::State::Asked || failed.tries > 0 {
                return Ok(());
            }
            failed.set_state(charge::State::NotTaken);
            let (others, method) = (failed.others()?, failed.method.clone());
            store::charge::change(&tx, failed).await?;
            match others.split_first() {
                Some((leg, others)) => {
                    leg.0.clone_into(&mut payment.provider);
                    ask_first(&tx, &payment, &method, leg, others).await?;
                    store::payment::change(&tx, payment).await
                }
                None => decline(&tx, payment, Decline::ProviderUnavailable).await,
            }
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// Has a job ask again later. From now on nobody knows what the provider did.
    pub(crate) async fn postpone(&self, cx: &Call, charge: &store::charge::Model) -> Result<()> {
        let about = &About::Key(charge.key.clone());
        let write = async |tx: Tx| {
            let mut payment = store::payment::must_lock(&tx, &charge.order_id).await?;
            if let Some(mut row) = store::charge::about(&tx, &charge.provider, about).await? {
                row.tries += 1;
                store::charge::change(&tx, row).await?;
            }
            if payment::waits(payment.status()) {
                payment.due = again(tx.now(), self.cfg.ask_after_ms, payment.tries);
                payment.tries += 1;
                store::payment::change(&tx, payment).await?;
            }
            Ok(())
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// Declines a charge that its provider never heard of. It may be on its way still, so the provider is told to refuse it.
    pub(crate) async fn abandon(&self, cx: &Call, charge: &store::charge::Model) -> Result<()> {
        let about = &About::Key(charge.key.clone());
        let write = async |tx: Tx| {
            let payment = store::payment::must_lock(&tx, &charge.order_id).await?;
            let Some(mut row) = store::charge::about(&tx, &charge.provider, about).await? else { return Ok(()) };
            if row.state()? != charge::State::Asked {
                return Ok(());
            }
            row.set_state(charge::State::Voiding);
            (row.due, row.tries) = (micros(tx.now()), 0);
            store::charge::change(&tx, row).await?;
            decline(&tx, payment, Decline::ProviderUnavailable).await
        };
        self.db.write(&unkeyed(cx), write).await
    }

    /// What a charge's news make of it and of its payment.
    pub(crate) async fn learn(&self, cx: &Call, provider: &str, about: &About, seen: &Standing) -> Result<()> {
        let write = async |tx: Tx| advance(&tx, provider, about, seen).await.map(drop);
        self.db.write(&unkeyed(cx), write).await
    }

    /// The payment once it is no longer pending, or as it stands when that takes too long.
    async fn outcome(&self, cx: &Call, order_id: &str) -> Result<Model> {
        const PATIENCE: Duration = Duration::from_millis(40);
        let mut left = self.limit(cx);
        loop {
            let row = store::payment::must_find(self.db.primary(), order_id).await?;
            // Once a try was in vain a job has it, and is in no hurry.
            if row.status() != Status::Pending || row.tries > 0 || left < PATIENCE {
                return Ok(row);
            }
            left = left.saturating_sub(PATIENCE);
            tokio::time::sleep(PATIENCE).await;
        }
    }
}
