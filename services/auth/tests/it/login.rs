use crate::world::{Open, PASSWORD, Reason, World, credentials};
use auth::Config;
use chrono::TimeDelta;
use futures::future::join_all;
use jangteo_core::Code;
use kit::db::sea_orm::{ConnectionTrait, Statement};
use proto::jangteo::auth::v1::auth_service::Api;
use std::time::{Duration, Instant};

#[tokio::test]
async fn unknown_addresses_and_wrong_passwords_get_the_same_answer_in_the_same_time() {
    let w = World::with(|c| c.limits.pair = 1000).await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for n in 0..15 {
        for (email, times) in [("a@b.kr".to_owned(), &mut known), (format!("no{n}@b.kr"), &mut unknown)] {
            let start = Instant::now();
            let e = w.login(&email, "wrong-password-9").await.unwrap_err();
            times.push(start.elapsed());
            assert_eq!((e.code(), e.reason(), e.metadata().len()), (Code::Unauthenticated, "INVALID_CREDENTIALS", 0));
            assert_eq!(e.message(), "the address or the password is wrong");
        }
    }
    let median = |mut t: Vec<Duration>| {
        t.sort_unstable();
        t[t.len() / 2].as_secs_f64()
    };
    let ratio = median(known) / median(unknown);
    assert!((0.5..2.0).contains(&ratio), "known took {ratio} times as long as unknown");
}

#[tokio::test]
async fn guessing_is_throttled_by_account_and_network() {
    let w = World::new().await;
    for email in ["a@b.kr", "nobody@b.kr"] {
        for _ in 0..10 {
            assert_eq!(w.login(email, "wrong-password-9").await.reason(), "INVALID_CREDENTIALS");
        }
        let e = w.login(email, "wrong-password-9").await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::ResourceExhausted, "TOO_MANY_ATTEMPTS"));
        assert!(e.retry_after().is_some());
    }
}

#[tokio::test]
async fn a_burst_of_guesses_is_throttled_too() {
    let w = World::new().await;
    let guesses = join_all((0..40).map(|_| w.login("a@b.kr", "wrong-password-9"))).await;
    let tried = guesses.into_iter().filter(|g| g.as_ref().is_err_and(|e| e.reason() == "INVALID_CREDENTIALS")).count();
    assert_eq!(tried, 10);
}

#[tokio::test]
async fn successful_logins_are_not_counted() {
    let w = World::new().await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    for _ in 0..15 {
        w.login("a@b.kr", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn an_attacker_with_many_addresses_does_not_lock_the_owner_out() {
    let w = World::with(|c| c.limits.strangers = 20).await;
    w.person("a@b.kr").await;
    let guess = |n: usize| w.auth.login(w.from(&format!("198.51.100.{n}")), credentials("a@b.kr", "wrong-password-9"));
    for n in 0..20 {
        assert_eq!(guess(n).await.reason(), "INVALID_CREDENTIALS");
    }
    assert_eq!(guess(99).await.reason(), "TOO_MANY_ATTEMPTS");
    // The same for the right password from a network that the account doesn't know …
    let strange = w.auth.login(w.from("192.0.2.1"), credentials("a@b.kr", PASSWORD)).await;
    assert_eq!(strange.reason(), "TOO_MANY_ATTEMPTS");
    // … and the owner at home notices nothing.
    w.login("a@b.kr", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_network_that_tries_many_accounts_is_refused() {
    let w = World::with(|c| c.limits.network = 5).await;
    for n in 0..5 {
        assert_eq!(w.login(&format!("a{n}@b.kr"), "wrong-password-9").await.reason(), "INVALID_CREDENTIALS");
    }
    assert_eq!(w.login("a9@b.kr", "wrong-password-9").await.reason(), "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn hashes_follow_the_parameters_at_the_next_login() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let before = password_hash(&w, &set.user_id).await;
    assert!(before.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{before}");

    let mut cfg = Config::default();
    cfg.argon2.passes = 3;
    let stronger = World::service(&w.db, w.outbox.clone(), cfg).await;
    stronger.login(w.anybody(), credentials("a@b.kr", PASSWORD)).await.unwrap();
    let after = password_hash(&w, &set.user_id).await;
    assert!(after.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"), "{after}");
    stronger.login(w.anybody(), credentials("a@b.kr", PASSWORD)).await.unwrap();
    assert_eq!(password_hash(&w, &set.user_id).await, after);
}

#[tokio::test]
async fn parameters_below_the_minimum_stop_the_start() {
    let mut cfg = Config::default();
    cfg.argon2.memory_kib = 1024;
    let w = World::new().await;
    let parts = auth::Parts {
        db: w.db.clone(),
        cache: kit::cache::Cache::new(&Default::default()).unwrap(),
        keyring: kit::db::crypt::Keyring::from_keys("1", [("1".to_owned(), [1; 32])], [2; 32]).unwrap(),
        page_tokens: jangteo_core::PageTokens::new(&[3; 32]),
        mailer: w.outbox.clone(),
        peers: Open::default().peers(),
        embedded: false,
    };
    assert_eq!(auth::Auth::new(parts, cfg).await.reason(), "INVALID_CONFIGURATION");
}

#[tokio::test]
async fn the_oldest_session_makes_room() {
    let w = World::with(|c| c.max_sessions = 3).await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    let mut sets = Vec::new();
    for _ in 0..4 {
        sets.push(w.login("a@b.kr", PASSWORD).await.unwrap());
        w.advance(TimeDelta::seconds(1));
    }
    assert_eq!(w.refresh(&sets[0].refresh_token).await.reason(), "SESSION_ENDED");
    for set in &sets[1..] {
        w.refresh(&set.refresh_token).await.unwrap();
    }
    assert_eq!(w.revoked().await, [sets[0].session_id.as_str()]);
}

async fn password_hash(w: &World, user_id: &str) -> String {
    let sql = format!("SELECT password_hash FROM account WHERE user_id = '{user_id}'");
    let row = w.db.primary().query_one_raw(Statement::from_string(w.db.backend(), sql)).await.unwrap().unwrap();
    row.try_get("", "password_hash").unwrap()
}
