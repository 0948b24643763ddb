//! The end of an account.

use crate::{
    factor::bytes,
    world::{PASSWORD, Reason, World, credentials},
};
use jangteo_core::{Call, Code, Result};
use kit::db::DbResult;
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};
use sea_orm::{ConnectionTrait, Statement};

fn with(password: &str) -> pb::EraseAccountRequest {
    pb::EraseAccountRequest { password: password.into(), ..Default::default() }
}

impl World {
    async fn erase(&self, cx: &Call, req: pb::EraseAccountRequest) -> Result<()> {
        self.auth.erase_account(cx.clone(), req).await
    }

    /// Rows of any table that name somebody or something of theirs.
    async fn rows(&self, table: &str, condition: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) AS n FROM {table} WHERE {condition}");
        let conn = self.db.primary();
        let row = conn.query_one_raw(Statement::from_string(conn.get_database_backend(), sql)).await.db().unwrap();
        row.unwrap().try_get("", "n").unwrap()
    }
}

async fn an_account_ends_with_all_that_opens_it(w: World) {
    let other = w.person("other@b.kr").await;
    let set = w.person("gone@b.kr").await;
    let second = w.login("gone@b.kr", PASSWORD).await.unwrap();
    let (cx, id) = (w.signed_in(&set).await, set.user_id.as_str());
    assert_eq!(w.erase(&cx, with("wrong-password-9")).await.reason(), "WRONG_PASSWORD");
    w.auth
        .request_password_reset(w.anybody(), pb::RequestPasswordResetRequest { email: "gone@b.kr".into() })
        .await
        .unwrap();
    w.erase(&cx, with(PASSWORD)).await.unwrap();

    let ended = w.revoked().await;
    assert!(ended.contains(&set.session_id) && ended.contains(&second.session_id), "{ended:?}");
    assert!(!ended.contains(&other.session_id));
    assert_eq!(w.refresh(&second.refresh_token).await.reason(), "INVALID_REFRESH_TOKEN");
    assert_eq!(w.login("gone@b.kr", PASSWORD).await.reason(), "INVALID_CREDENTIALS");
    let account = pb::GetAccountRequest { user_id: id.to_owned() };
    assert_eq!(w.auth.get_account(w.anybody(), account).await.unwrap_err().code(), Code::NotFound);
    // A token that nobody has heard of being revoked opens nothing either.
    assert_eq!(w.auth.list_sessions(cx.clone(), Default::default()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(w.enroll(&cx, PASSWORD).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(w.erase(&cx, with(PASSWORD)).await.unwrap_err().code(), Code::NotFound);

    for (table, condition) in [
        ("account", format!("user_id = '{id}'")),
        ("recovery_code", format!("user_id = '{id}'")),
        ("known_network", format!("user_id = '{id}'")),
        ("mail_token", format!("user_id = '{id}'")),
        ("mail", "kind <> 'verify_email' AND attempts = 0".to_owned()),
        ("refresh_token", format!("session_id IN ('{}', '{}')", set.session_id, second.session_id)),
        ("person_key", format!("person = '{id}' AND wrapped IS NOT NULL")),
    ] {
        assert_eq!(w.rows(table, &condition).await, 0, "{table}");
    }
    assert_eq!(w.events(id).await.last().unwrap(), "AccountErased");
    w.post().await;
    assert!(w.mails("gone@b.kr").is_empty(), "a mail to somebody who is gone");

    // The address is free: for another person.
    let again = w.person("gone@b.kr").await;
    assert_ne!(again.user_id, set.user_id);
    assert_eq!(w.refresh(&other.refresh_token).await.unwrap().user_id, other.user_id);
}

#[tokio::test]
async fn an_account_ends() {
    Box::pin(an_account_ends_with_all_that_opens_it(World::new().await)).await;
}

#[tokio::test]
async fn an_account_ends_on_postgres() {
    Box::pin(an_account_ends_with_all_that_opens_it(World::postgres(|_| {}).await)).await;
}

#[tokio::test]
async fn who_has_something_open_is_told_what() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    for (open, named) in [((1, 0, 0), "bought"), ((0, 2, 0), "sold"), ((0, 0, 300), "balance")] {
        w.open.set(open.0, open.1, open.2);
        let e = w.erase(&cx, with(PASSWORD)).await.unwrap_err();
        assert_eq!((e.code(), e.reason()), (Code::FailedPrecondition, "ACCOUNT_IN_USE"));
        assert_ne!(e.metadata()[named], "0", "{:?}", e.metadata());
    }
    w.login("a@b.kr", PASSWORD).await.unwrap();
    w.open.set(0, 0, 0);
    w.erase(&cx, with(PASSWORD)).await.unwrap();
}

#[tokio::test]
async fn the_second_factor_is_asked_for() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    let secret = bytes(&w.enroll(&cx, PASSWORD).await.unwrap().secret);
    let code = auth::totp_code(&secret, cx.now).unwrap();
    let codes = w.auth.confirm_totp(cx.clone(), pb::ConfirmTotpRequest { code: code.clone() }).await.unwrap();
    assert_eq!(w.erase(&cx, with(PASSWORD)).await.reason(), "REQUIRED");
    let spent = pb::EraseAccountRequest { code, ..with(PASSWORD) };
    assert_eq!(w.erase(&cx, spent).await.reason(), "INVALID_TOTP_CODE");
    let wrong = pb::EraseAccountRequest { recovery_code: "0000-0000-0000-0000".into(), ..with(PASSWORD) };
    assert_eq!(w.erase(&cx, wrong).await.reason(), "INVALID_RECOVERY_CODE");
    // What is open is said before a code is spent on it.
    w.open.set(1, 0, 0);
    let right = pb::EraseAccountRequest { recovery_code: codes.recovery_codes[0].clone(), ..with(PASSWORD) };
    assert_eq!(w.erase(&cx, right.clone()).await.reason(), "ACCOUNT_IN_USE");
    w.open.set(0, 0, 0);
    w.erase(&cx, right).await.unwrap();
    assert_eq!(w.rows("recovery_code", "1 = 1").await, 0);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let w = World::with(|c| {
        c.admin_email = Some("boss@b.kr".into());
        c.admin_must_verify = Some(false);
    })
    .await;
    let boss = w.person("boss@b.kr").await;
    let cx = w.signed_in(&boss).await;
    assert_eq!(w.erase(&cx, with(PASSWORD)).await.reason(), "LAST_ADMIN");
    w.auth.login(w.anybody(), credentials("boss@b.kr", PASSWORD)).await.unwrap();
}
