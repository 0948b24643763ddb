//! Keeps this process's verifier up to date: the auth service's keys, and the sessions that were
//! revoked. Polled, so that nothing but the auth service itself has to be up.

use crate::process::Process;
use bus::Stop;
use jangteo_core::{Call, Result};
use proto::{
    Client as _,
    jangteo::auth::v1::{GetJwksRequest, ListRevocationsRequest, auth_service::Client},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// A revoked session is refused within a second.
const REVOCATIONS: Duration = Duration::from_millis(300);
const KEYS: Duration = Duration::from_secs(60);
/// The least pause between two looks for an unknown key.
const LOOK: Duration = Duration::from_secs(1);
/// A list of so many may be followed by another.
const PAGE: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn follow(process: Arc<Process>, caller: &'static str, stop: Stop) {
    let client = match process.channel(caller, "auth") {
        Ok(channel) => Client::new(channel),
        Err(error) => {
            tracing::error!(error = ?error, "tokens can't be verified: the auth service has no address");
            return;
        }
    };
    let call = || {
        let mut cx = Call::system(caller, "verifier", process.clock.now());
        cx.deadline = Some(Instant::now() + TIMEOUT);
        cx
    };
    let mut cursor = String::new();
    let mut keys_at: Option<Instant> = None;
    let mut away = false;
    while !stop.is_cancelled() {
        let mut outcome = Ok(());
        if keys_at.is_none_or(|t| t.elapsed() >= KEYS) {
            outcome = keys(&process, &client, &call()).await;
            keys_at = outcome.is_ok().then(Instant::now);
        }
        if outcome.is_ok() {
            outcome = revocations(&process, &client, &call, &mut cursor).await;
        }
        if outcome.is_ok() {
            process.tokens_known.store(true, Ordering::Relaxed);
        }
        if let (Err(error), false) = (&outcome, away) {
            tracing::warn!(error = ?error, "the auth service does not answer; tokens are checked against what is known");
        }
        away = outcome.is_err();
        metrics::gauge!("auth_feed_up").set(if away { 0.0 } else { 1.0 });
        // Anybody can send a token with an unknown key: looking for it must not become a flood.
        let may_look = keys_at.is_none_or(|t| t.elapsed() >= LOOK);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(REVOCATIONS) => {}
            () = process.verifier.keys_wanted(), if may_look => keys_at = None,
        }
    }
}

async fn keys(process: &Process, client: &Client, cx: &Call) -> Result<()> {
    let jwks = client.get_jwks(cx, GetJwksRequest {}).await?;
    process.verifier.set_keys(jwks.keys.iter().map(|k| (k.kid.as_str(), k.x.as_str())));
    Ok(())
}

/// Everything since `cursor`; a process that was away catches up before it sleeps.
async fn revocations(process: &Process, client: &Client, call: &impl Fn() -> Call, cursor: &mut String) -> Result<()> {
    loop {
        let cx = call();
        let list = client.list_revocations(&cx, ListRevocationsRequest { cursor: cursor.clone() }).await?;
        for r in &list.revocations {
            let until = r.expire_time.as_ref().map(proto::time).unwrap_or(cx.now);
            process.verifier.revoke(&r.session_id, until, cx.now);
        }
        let known = list.revocations.len() < PAGE || list.cursor == *cursor;
        *cursor = list.cursor;
        if known {
            return Ok(());
        }
    }
}
