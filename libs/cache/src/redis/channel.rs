//! The channel on which processes tell each other what to drop. It proves itself: each process hears its own beat
//! over the same connection, so that silence, however it came about, is noticed within a second.

use super::{EVICT, FETCH, Link, Redis, STORE};
use crate::memory::Memory;
use fred::{prelude::*, types::Message};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::broadcast::error::RecvError;

const BEAT: Duration = Duration::from_millis(250);
const SILENT: Duration = Duration::from_millis(800);
const CONNECT: Duration = Duration::from_secs(2);
/// After a break the others get this long to send the evictions that Redis missed, before anything is read from it.
/// Longer than the pauses between tries to connect.
const GRACE: Duration = Duration::from_secs(2);

impl Redis {
    /// Keeps the channel up, and never returns. `evicted` is told what others evicted: key and version.
    pub async fn listen(&self, memory: &Memory, evicted: impl Fn(&str, i64)) {
        drop(self.pool.connect());
        let mut failed = 0u32;
        loop {
            let begun = Instant::now();
            let grace = if failed == 0 { Duration::ZERO } else { GRACE };
            let why = self.session(memory, &evicted, grace).await;
            memory.distrust();
            *self.link.write().expect("no holder panics") = None;
            metrics::gauge!("cache_redis_up").set(0.0);
            failed = if begun.elapsed() > Duration::from_secs(5) { 1 } else { failed + 1 };
            if failed.is_power_of_two() {
                tracing::warn!(error = why, "redis channel is down, reading past the cache");
            }
            tokio::time::sleep(Duration::from_millis(50u64 << failed.min(4))).await;
        }
    }

    /// One time that the channel is up; returns why it ended.
    async fn session(&self, memory: &Memory, evicted: &impl Fn(&str, i64), grace: Duration) -> String {
        let mut builder = self.builder.clone();
        // A connection that broke is replaced rather than resumed, so that nothing is missed silently.
        builder.set_policy(ReconnectPolicy::new_constant(1, 1)).with_config(|c| c.fail_fast = true);
        let sub = match builder.build_subscriber_client() {
            Ok(sub) => sub,
            Err(e) => return e.to_string(),
        };
        let mut messages = sub.message_rx();
        let mut errors = sub.error_rx();
        let mut connection = sub.connect();
        let mut run = async || -> Result<String, String> {
            let text = |e: fred::error::Error| e.to_string();
            let timeout = |_| "timed out".to_owned();
            tokio::time::timeout(CONNECT, sub.wait_for_connect()).await.map_err(timeout)?.map_err(text)?;
            let (channel, beat) = (self.channel(), format!("{}:beat:{}", self.prefix, self.origin));
            let subscribe = sub.subscribe(vec![channel.clone(), beat.clone()]);
            tokio::time::timeout(CONNECT, subscribe).await.map_err(timeout)?.map_err(text)?;
            tokio::time::timeout(CONNECT, self.relink()).await.map_err(timeout)??;
            self.reopen();
            let mut settled = Box::pin(tokio::time::sleep(grace));
            let mut heard = Instant::now();
            let mut tick = tokio::time::interval(BEAT);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    m = messages.recv() => match m {
                        Ok(m) if m.channel == channel => self.hear(&m, evicted),
                        Ok(_) => heard = Instant::now(),
                        Err(RecvError::Lagged(n)) => return Err(format!("{n} evictions were missed")),
                        Err(RecvError::Closed) => return Err("closed".into()),
                    },
                    e = errors.recv() => {
                        if let Ok((e, _)) = e {
                            return Err(e.to_string());
                        }
                    }
                    ended = &mut connection => return Ok(format!("{ended:?}")),
                    () = &mut settled, if memory.epoch().is_none() => {
                        memory.trust();
                        metrics::gauge!("cache_redis_up").set(1.0);
                        tracing::debug!("redis channel is up");
                    }
                    () = self.relink.notified() => {
                        if self.link().is_none() {
                            tokio::time::timeout(CONNECT, self.relink()).await.map_err(timeout)??;
                        }
                    }
                    _ = tick.tick() => {
                        if heard.elapsed() > SILENT {
                            return Err("silent".into());
                        }
                        let client = self.client();
                        self.call(client.publish::<Value, _, _>(beat.clone(), "")).await;
                    }
                }
            }
        };
        let why = run().await.unwrap_or_else(|e| e);
        let _ = tokio::time::timeout(Duration::from_millis(100), sub.quit()).await;
        connection.abort();
        why
    }

    fn hear(&self, m: &Message, evicted: &impl Fn(&str, i64)) {
        let Some(text) = m.value.as_str() else { return };
        let mut parts = text.splitn(3, ' ');
        if let (Some(origin), Some(min), Some(key)) = (parts.next(), parts.next(), parts.next())
            && origin != self.origin
            && let Ok(min) = min.parse()
        {
            evicted(key, min);
        }
    }

    /// Learns which run of the server this is and gives it the scripts that only this run answers.
    async fn relink(&self) -> Result<(), String> {
        let text = |e: fred::error::Error| e.to_string();
        self.pool.wait_for_connect().await.map_err(text)?;
        let mut run = self.run_id().await.map_err(text)?;
        for _ in 0..3 {
            let client = self.pool.next();
            let mut hashes = Vec::with_capacity(3);
            for script in [FETCH, STORE, EVICT] {
                let script = format!("-- {run}\n{script}");
                hashes.push(client.script_load::<String, _>(script).await.map_err(text)?);
            }
            let [fetch, store, evict] = <[String; 3]>::try_from(hashes).expect("three scripts");
            let after = self.run_id().await.map_err(text)?;
            if after == run {
                *self.link.write().expect("no holder panics") = Some(Arc::new(Link { run, fetch, store, evict }));
                return Ok(());
            }
            run = after;
        }
        Err("the server keeps restarting".into())
    }

    async fn run_id(&self) -> Result<String, fred::error::Error> {
        let info: String = self.pool.next().info(Some(fred::types::InfoKind::Server)).await?;
        let id = info.lines().find_map(|l| l.strip_prefix("run_id:")).unwrap_or_default();
        Ok(id.trim().to_owned())
    }
}
