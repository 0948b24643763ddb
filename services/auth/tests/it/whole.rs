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
    the_trail_tells(dir.path()).await;
}

/// What was audited above is in the trail, whole; and whatever is done to it is found.
async fn the_trail_tells(data: &std::path::Path) {
    use kit::db::sea_orm::{ConnectionTrait, Database, Statement};
    let wrong = async || {
        let market = Market::build(Config::embedded(data), Arc::new(SystemClock), &SERVICES, &SERVICES).await.unwrap();
        let found = market.verify().await.unwrap();
        found.into_iter().find(|f| f.check == "audit").unwrap().wrong
    };
    assert_eq!(wrong().await, Vec::<String>::new());
    let url = format!("sqlite://{}?mode=rw", data.join("auth.db").display());
    let conn = Database::connect(url).await.unwrap();
    let select = "SELECT method || ' ' || code || ' ' || actor || ' ' || subject AS line FROM audit ORDER BY seq";
    let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), select)).await.unwrap();
    let lines: Vec<String> = rows.iter().map(|r| r.try_get("", "line").unwrap()).collect();
    let about = |method: &str, code: &str| lines.iter().filter(|l| l.contains(&format!("/{method} {code} "))).count();
    assert_eq!((about("GrantRole", "OK"), about("GrantRole", "PERMISSION_DENIED")), (1, 1), "{lines:#?}");
    assert!(lines.iter().any(|l| l.contains("/GrantRole OK user:usr_") && l.contains("user_id=usr_")), "{lines:#?}");
    assert!(lines.iter().all(|l| !l.contains("b.kr") && !l.contains(PASSWORD)), "{lines:#?}");

    // Cut off at its end, so that all hashes fit: the signed checkpoints know better.
    let cut = "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq > 1; \
         UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit WHERE seq = 1)";
    conn.execute_unprepared(cut).await.unwrap();
    let found = wrong().await;
    assert!(found[0].starts_with("chain 0: it ends at row 1, and row "), "{found:?}");
    // Nobody else's checkpoints count.
    let file = data.join("audit").join("auth.jsonl");
    let forged = std::fs::read_to_string(&file).unwrap().replace("\"seq\":", "\"seq\":1");
    std::fs::write(&file, forged).unwrap();
    assert!(wrong().await[0].starts_with("checkpoint 1 of auth is not signed by us"));
}

async fn list(client: &Client, token: &str) -> Result<pb::ListSessionsResponse> {
    client.list_sessions(&call(Some(token)), pb::ListSessionsRequest::default()).await
}

async fn refresh(client: &Client, token: &str) -> Result<pb::TokenSet> {
    client.refresh(&call(None), pb::RefreshRequest { refresh_token: token.to_owned() }).await
}
