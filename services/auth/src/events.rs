//! Timed jobs: mails leave, signing keys rotate, what has expired goes. Auth listens to nobody's events.

use crate::{
    Auth,
    api::fresh_token,
    domain::mail::{self, Facts, Kind},
    store::{self, account::Account, mail::Waiting},
};
use ::mail::Letter;
use chrono::TimeDelta;
use jangteo_core::{Call, Code, Result};
use std::sync::Arc;

const BATCH: u64 = 50;
/// With the pauses between them a little over a day.
const ATTEMPTS: u32 = 30;
/// How long a network is remembered that an account isn't used from any longer.
const NETWORK_MEMORY: TimeDelta = TimeDelta::days(90);

impl Auth {
    /// Sends what is due. A mail may come twice, when the process dies between sending and noting it; none is lost.
    pub async fn send_mail(self: Arc<Self>, cx: Call) -> Result<()> {
        loop {
            let due = store::mail::due(self.db.primary(), cx.now, BATCH).await?;
            let last = (due.len() as u64) < BATCH;
            for waiting in due {
                if !self.send(&cx, &waiting).await? {
                    // The server is away, or dislikes this mail: no reason to hammer it, nor to keep the others waiting long.
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    /// `false`: it could not be sent and waits. One that is refused for good, or was tried in vain for a day, is forgotten.
    async fn send(&self, cx: &Call, waiting: &Waiting) -> Result<bool> {
        let account = store::account::by_email(self.db.primary(), &waiting.email_hash).await?;
        let (Some(account), Some(kind)) = (account, waiting.kind) else {
            return self.forget(cx, waiting).await.map(|()| true);
        };
        if kind == Kind::VerifyEmail && account.is_verified() {
            return self.forget(cx, waiting).await.map(|()| true);
        }
        let Some(letter) = self.write_letter(cx, waiting, kind, &account).await? else { return Ok(true) };
        match self.mailer.send(&letter).await {
            Ok(()) => tracing::debug!(mail_id = waiting.mail_id, kind = kind.name(), "a mail was sent"),
            Err(error) if error.code() != Code::Unavailable => {
                tracing::warn!(mail_id = waiting.mail_id, kind = kind.name(), error = ?error, "a mail is refused and given up");
            }
            Err(error) if waiting.attempts + 1 < ATTEMPTS => {
                let attempts = waiting.attempts + 1;
                tracing::warn!(mail_id = waiting.mail_id, attempts, error = ?error, "a mail could not be sent; it waits");
                return Ok(false);
            }
            Err(error) => tracing::error!(mail_id = waiting.mail_id, error = ?error, "a mail is given up"),
        }
        kit::crash_point!("auth.mail.after_send");
        self.forget(cx, waiting).await.map(|()| true)
    }

    /// Makes the token, notes the attempt, and writes the text. `None`: another replica is at it, or the person is gone.
    async fn write_letter(
        &self,
        cx: &Call,
        waiting: &Waiting,
        kind: Kind,
        account: &Account,
    ) -> Result<Option<Letter>> {
        let conn = self.db.primary();
        let Some(key) = self.sealer.find(conn, account.user_id()).await? else {
            return self.forget(cx, waiting).await.map(|()| None);
        };
        let ttl = if kind == Kind::VerifyEmail { self.cfg.verify_ttl } else { self.cfg.reset_ttl };
        let ttl = TimeDelta::seconds(i64::from(ttl));
        let token = kind.purpose().map(|p| fresh_token(p).map(|(token, hash)| (p, token, hash))).transpose()?;
        let next = cx.now + pause(waiting.attempts);
        let (fresh, user_id) = (&token, account.user_id());
        // Until the write is through, another replica may be sending the same mail.
        let mine = self
            .db
            .write(cx, async |tx| {
                let mine = store::mail::attempt(&tx, waiting, next).await?;
                if let (true, Some((purpose, _, hash))) = (mine, fresh) {
                    store::mail::add_token(&tx, *purpose, hash, user_id, tx.now() + ttl).await?;
                }
                Ok(mine)
            })
            .await?;
        let facts = Facts {
            display_name: &account.display_name(&key)?,
            site: self.cfg.site.trim_end_matches('/'),
            token: token.as_ref().map_or("", |(_, token, _)| token),
            minutes: ttl.num_minutes(),
        };
        let (subject, body) = mail::text(kind, account.locale(), &facts);
        let (mail_id, to) = (waiting.mail_id.clone(), account.email(&key)?);
        let letter = Letter { mail_id, kind: kind.name(), to, subject, body, html: None };
        Ok(mine.then_some(letter))
    }

    async fn forget(&self, cx: &Call, waiting: &Waiting) -> Result<()> {
        self.db.write(cx, async |tx| store::mail::done(&tx, &waiting.mail_id).await).await
    }

    /// Publish, wait, sign, retire: `domain/keys.rs` says when.
    pub async fn rotate_keys(self: Arc<Self>, cx: Call) -> Result<()> {
        self.advance_keys(&cx).await
    }

    /// Removes what nobody needs any longer.
    pub async fn sweep(self: Arc<Self>, cx: Call) -> Result<()> {
        let yesterday = cx.now - TimeDelta::days(1);
        while self.db.write(&cx, async |tx| store::session::sweep(&tx, yesterday, 500).await).await? {}
        self.db
            .write(&cx, async |tx| {
                store::mail::sweep_tokens(&tx).await?;
                store::session::sweep_networks(&tx, tx.now() - NETWORK_MEMORY).await
            })
            .await?;
        self.mailer.sweep(yesterday).await
    }
}

/// 10 s, 20 s, 40 s … and an hour at most.
fn pause(attempts: u32) -> TimeDelta {
    TimeDelta::seconds((10i64 << attempts.min(9)).min(3600))
}
