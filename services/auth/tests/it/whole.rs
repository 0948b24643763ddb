//! The service as it runs: built by the kit on embedded stores, called through the guard as the edge calls it.

use crate::world::{PASSWORD, Reason, credentials, registration};
use auth::Auth;
use jangteo_core::{Call, Code, Principal, Result, SystemClock};
use kit::{Config, Entry, Market, entry, telemetry};
use proto::{
    Client as _,
    jangteo::{
        auth::v1::{self as pb, auth_service::Client},
        options::v1::Role,
    },
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const SERVICES: [Entry; 1] = [entry::<Auth>()];

/// A call as the edge makes it, with or without a token.
fn call(token: Option<&str>) -> Call {
    let mut cx = Call::system("gateway", "test", jangteo_core::Clock::now(&SystemClock));
    cx.principal = Principal::Anonymous;
    cx.token = token.map(Into::into);
    cx.client_addr = Some("203.0.113.7".into());
    cx
}

/// Asks until the answer is a refusal; how long that took.
async fn until_refused<T, F: Future<Output = Result<T>>>(ask: impl Fn() -> F) -> (String, Duration) {
    let start = Instant::now();
    loop {
        if let Err(e) = ask().await {
            return (e.reason().to_owned(), start.elapsed());
        }
        assert!(start.elapsed() < Duration::from_secs(10), "never refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_service() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::embedded(dir.path());
    config.sections.insert("auth".into(), serde_json::json!({ "admin_email": "boss@b.kr" }));
    let telemetry = telemetry::init(&config, "auth-test").unwrap();
    let market = Market::build(config, Arc::new(SystemClock), &SERVICES, &SERVICES).await.unwrap();
    let client = Client::new(market.channel("gateway", "auth").unwrap());
    let from_user = Client::new(market.channel("user", "auth").unwrap());
    let running = market.start("test", &telemetry).await.unwrap();

    // Rules of the proto, before the handler.
    let e = client.register(&call(None), registration("nonsense", "short")).await.unwrap_err();
    let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
    assert_eq!((e.code(), fields), (Code::InvalidArgument, vec!["email", "password"]));

    for email in ["boss@b.kr", "a@b.kr"] {
        client.register(&call(None), registration(email, PASSWORD)).await.unwrap();
    }
    let boss = client.login(&call(None), credentials("boss@b.kr", PASSWORD)).await.unwrap();
    assert_eq!(boss.roles().collect::<Vec<_>>(), [Role::User, Role::Admin]);
    let here = client.login(&call(None), credentials("a@b.kr", PASSWORD)).await.unwrap();
    let there = client.login(&call(None), credentials("a@b.kr", PASSWORD)).await.unwrap();

    // Who may call what.
    assert_eq!(list(&client, &here.access_token).await.unwrap().sessions.len(), 2);
    let nobody = client.list_sessions(&call(None), pb::ListSessionsRequest::default()).await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    let seller =
        pb::GrantRoleRequest { user_id: here.user_id.clone(), role: Role::Seller as i32, ..Default::default() };
    let denied = client.grant_role(&call(Some(&here.access_token)), seller.clone()).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    client.grant_role(&call(Some(&boss.access_token)), seller).await.unwrap();
    let account = pb::GetAccountRequest { user_id: here.user_id.clone() };
    let denied = client.get_account(&call(None), account.clone()).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(from_user.get_account(&call(None), account).await.unwrap().email, "a@b.kr");

    // A revoked session is refused within a second, a used refresh token ends the rest.
    let req = pb::RevokeSessionRequest { session_id: here.session_id.clone() };
    client.revoke_session(&call(Some(&there.access_token)), req).await.unwrap();
    let (reason, took) = until_refused(|| list(&client, &here.access_token)).await;
    assert_eq!(reason, "SESSION_REVOKED");
    assert!(took < Duration::from_secs(1), "refused after {took:?}");
    refresh(&client, &there.refresh_token).await.unwrap();
    assert_eq!(refresh(&client, &there.refresh_token).await.reason(), "REFRESH_TOKEN_REUSED");
    let (reason, took) = until_refused(|| list(&client, &there.access_token)).await;
    assert_eq!(reason, "SESSION_REVOKED");
    assert!(took < Duration::from_secs(1), "refused after {took:?}");

    // The mails are where a developer reads them.
    let mails = || std::fs::read_dir(dir.path().join("mail")).map_or(0, Iterator::count);
    let start = Instant::now();
    while mails() < 2 {
        assert!(start.elapsed() < Duration::from_secs(10), "no mails");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop(std::future::ready(())).await;
}

async fn list(client: &Client, token: &str) -> Result<pb::ListSessionsResponse> {
    client.list_sessions(&call(Some(token)), pb::ListSessionsRequest::default()).await
}

async fn refresh(client: &Client, token: &str) -> Result<pb::TokenSet> {
    client.refresh(&call(None), pb::RefreshRequest { refresh_token: token.to_owned() }).await
}
