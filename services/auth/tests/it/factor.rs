use crate::world::{PASSWORD, Reason, World, credentials};
use auth::MailKind;
use chrono::TimeDelta;
use futures::future::join_all;
use jangteo_core::Call;
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};

const NEW: &str = "another-pass-77";

/// RFC 4648 base32.
pub fn bytes(base32: &str) -> Vec<u8> {
    let (mut out, mut bits, mut n) = (Vec::new(), 0u32, 0);
    for c in base32.chars() {
        bits = bits << 5 | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap() as u32;
        n += 5;
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}

struct Protected {
    secret: Vec<u8>,
    codes: Vec<String>,
    cx: Call,
}

async fn protect(w: &World, email: &str) -> Protected {
    let set = w.person(email).await;
    let cx = w.signed_in(&set).await;
    let secret = bytes(&w.enroll(&cx, PASSWORD).await.unwrap().secret);
    let code = auth::totp_code(&secret, cx.now).unwrap();
    let codes = w.auth.confirm_totp(cx.clone(), pb::ConfirmTotpRequest { code }).await.unwrap().recovery_codes;
    w.advance(TimeDelta::seconds(60));
    Protected { secret, codes, cx }
}

fn with_code(code: &str) -> pb::LoginRequest {
    pb::LoginRequest { totp_code: code.into(), ..credentials("a@b.kr", PASSWORD) }
}

fn with_recovery(code: &str) -> pb::LoginRequest {
    pb::LoginRequest { recovery_code: code.into(), ..credentials("a@b.kr", PASSWORD) }
}

#[tokio::test]
async fn nothing_is_asked_for_until_the_factor_is_confirmed() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    let confirm = |code: &str| w.auth.confirm_totp(cx.clone(), pb::ConfirmTotpRequest { code: code.into() });
    assert_eq!(confirm("123456").await.reason(), "TOTP_NOT_ENROLLED");
    let first = w.enroll(&cx, PASSWORD).await.unwrap();
    w.login("a@b.kr", PASSWORD).await.unwrap();
    let second = w.enroll(&cx, PASSWORD).await.unwrap();
    assert_ne!(first.secret, second.secret);
    assert!(second.otpauth_url.contains(&second.secret) && second.otpauth_url.contains("a%40b.kr"));

    let stale = auth::totp_code(&bytes(&first.secret), cx.now).unwrap();
    assert_eq!(confirm(&stale).await.reason(), "INVALID_TOTP_CODE");
    let code = auth::totp_code(&bytes(&second.secret), cx.now).unwrap();
    assert_eq!(confirm(&code).await.unwrap().recovery_codes.len(), 10);
    assert_eq!(confirm(&code).await.reason(), "TOTP_ALREADY_ENABLED");
    assert_eq!(w.enroll(&cx, PASSWORD).await.reason(), "TOTP_ALREADY_ENABLED");
    assert_eq!(w.login("a@b.kr", PASSWORD).await.reason(), "TOTP_REQUIRED");
    // The code that started the protection is spent.
    assert_eq!(w.auth.login(w.anybody(), with_code(&code)).await.reason(), "INVALID_TOTP_CODE");
}

#[tokio::test]
async fn a_code_opens_one_session() {
    let w = World::new().await;
    let p = protect(&w, "a@b.kr").await;
    let code = auth::totp_code(&p.secret, w.anybody().now).unwrap();
    w.auth.login(w.anybody(), with_code(&code)).await.unwrap();
    assert_eq!(w.auth.login(w.anybody(), with_code(&code)).await.reason(), "INVALID_TOTP_CODE");
    assert_eq!(w.auth.login(w.anybody(), with_code("000000")).await.reason(), "INVALID_TOTP_CODE");
    // The one before it is spent with it.
    let before = auth::totp_code(&p.secret, w.anybody().now - TimeDelta::seconds(30)).unwrap();
    assert_eq!(w.auth.login(w.anybody(), with_code(&before)).await.reason(), "INVALID_TOTP_CODE");
    // A wrong password is not told apart by the factor.
    let mut wrong = with_code(&code);
    wrong.password = "wrong-password-9".into();
    assert_eq!(w.auth.login(w.anybody(), wrong).await.reason(), "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_submissions_of_a_code_one_succeeds() {
    submissions_race(&World::with(|c| c.limits.pair = 1000).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_submissions_of_a_code_one_succeeds_on_postgres() {
    submissions_race(&World::postgres(|c| c.limits.pair = 1000).await).await;
}

async fn submissions_race(w: &World) {
    let p = protect(w, "a@b.kr").await;
    let code = auth::totp_code(&p.secret, w.anybody().now).unwrap();
    for req in [with_code(&code), with_recovery(&p.codes[0])] {
        let outcomes = join_all((0..100).map(|_| w.auth.login(w.anybody(), req.clone()))).await;
        assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
        for e in outcomes.into_iter().filter(Result::is_err) {
            let reason = e.reason();
            assert!(["INVALID_TOTP_CODE", "INVALID_RECOVERY_CODE"].contains(&reason.as_str()), "{reason}");
        }
    }
}

#[tokio::test]
async fn guessing_codes_is_throttled() {
    let w = World::new().await;
    protect(&w, "a@b.kr").await;
    for _ in 0..10 {
        assert_eq!(w.auth.login(w.anybody(), with_code("000000")).await.reason(), "INVALID_TOTP_CODE");
    }
    assert_eq!(w.auth.login(w.anybody(), with_code("000000")).await.reason(), "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn recovery_codes_work_once_each_however_they_are_typed() {
    let w = World::new().await;
    let p = protect(&w, "a@b.kr").await;
    w.auth.login(w.anybody(), with_recovery(&p.codes[3].to_lowercase().replace('-', ""))).await.unwrap();
    assert_eq!(w.auth.login(w.anybody(), with_recovery(&p.codes[3])).await.reason(), "INVALID_RECOVERY_CODE");
    assert_eq!(w.auth.login(w.anybody(), with_recovery("0000-0000-0000-0000")).await.reason(), "INVALID_RECOVERY_CODE");
    w.auth.login(w.anybody(), with_recovery(&p.codes[4])).await.unwrap();
    // They are the account's own.
    let other = protect(&w, "b@b.kr").await;
    assert_eq!(w.auth.login(w.anybody(), with_recovery(&other.codes[0])).await.reason(), "INVALID_RECOVERY_CODE");
}

#[tokio::test]
async fn dropping_the_factor_needs_a_proof() {
    let w = World::new().await;
    let p = protect(&w, "a@b.kr").await;
    let drop = |req: pb::DisableTotpRequest| w.auth.disable_totp(p.cx.clone(), req);
    assert_eq!(drop(pb::DisableTotpRequest::default()).await.reason(), "REQUIRED");
    let wrong = pb::DisableTotpRequest { password: "wrong-password-9".into(), ..Default::default() };
    assert_eq!(drop(wrong).await.reason(), "WRONG_PASSWORD");
    let wrong = pb::DisableTotpRequest { code: "000000".into(), ..Default::default() };
    assert_eq!(drop(wrong).await.reason(), "INVALID_TOTP_CODE");
    let wrong = pb::DisableTotpRequest { recovery_code: "x".into(), ..Default::default() };
    assert_eq!(drop(wrong).await.reason(), "INVALID_RECOVERY_CODE");
    assert_eq!(w.login("a@b.kr", PASSWORD).await.reason(), "TOTP_REQUIRED");

    drop(pb::DisableTotpRequest { password: PASSWORD.into(), ..Default::default() }).await.unwrap();
    w.login("a@b.kr", PASSWORD).await.unwrap();
    let again = pb::DisableTotpRequest { password: PASSWORD.into(), ..Default::default() };
    assert_eq!(drop(again).await.reason(), "TOTP_NOT_ENABLED");
    w.post().await;
    assert_eq!(w.kinds("a@b.kr"), [MailKind::VerifyEmail, MailKind::TotpEnabled, MailKind::TotpDisabled]);
}

#[tokio::test]
async fn a_stolen_access_token_changes_nothing_about_the_factor() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    assert_eq!(w.enroll(&cx, "wrong-password-9").await.reason(), "WRONG_PASSWORD");
    assert_eq!(w.auth.confirm_totp(cx.clone(), right_now(&[7; 20], &cx)).await.reason(), "TOTP_NOT_ENROLLED");
    let secret = bytes(&w.enroll(&cx, PASSWORD).await.unwrap().secret);
    w.auth.logout(cx.clone(), pb::LogoutRequest::default()).await.unwrap();
    assert_eq!(w.enroll(&cx, PASSWORD).await.reason(), "SESSION_ENDED");
    assert_eq!(w.auth.confirm_totp(cx.clone(), right_now(&secret, &cx)).await.reason(), "SESSION_ENDED");
}

fn right_now(secret: &[u8], cx: &Call) -> pb::ConfirmTotpRequest {
    pb::ConfirmTotpRequest { code: auth::totp_code(secret, cx.now).unwrap() }
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_not_switched_on() {
    confirm_and_enroll(&World::new().await).await;
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_not_switched_on_on_postgres() {
    confirm_and_enroll(&World::postgres(|_| {}).await).await;
}

async fn confirm_and_enroll(w: &World) {
    let (one, other) = (w.person("a@b.kr").await, w.person("b@b.kr").await);
    let cx = w.signed_in(&one).await;
    let secret = bytes(&w.enroll(&cx, PASSWORD).await.unwrap().secret);
    w.enroll(&w.signed_in(&other).await, PASSWORD).await.unwrap();
    let replace = format!(
        "UPDATE account SET totp_secret = (SELECT totp_secret FROM account WHERE user_id = '{}') WHERE user_id = '{}'",
        other.user_id, one.user_id
    );
    let confirm = w.auth.confirm_totp(cx.clone(), right_now(&secret, &cx));
    assert_eq!(w.meanwhile(&replace, confirm).await.reason(), "INVALID_TOTP_CODE");
    w.login("a@b.kr", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_password_that_was_replaced_drops_no_factor() {
    let w = World::new().await;
    let p = protect(&w, "a@b.kr").await;
    let reset = w.new_password_for(p.cx.user_id().unwrap(), NEW).await;
    let by_password = pb::DisableTotpRequest { password: PASSWORD.into(), ..Default::default() };
    let outcome = w.meanwhile(&reset, w.auth.disable_totp(p.cx, by_password)).await;
    assert_eq!(outcome.reason(), "WRONG_PASSWORD");
    assert_eq!(w.login("a@b.kr", NEW).await.reason(), "TOTP_REQUIRED");
}

#[tokio::test]
async fn a_password_that_was_replaced_prepares_no_factor() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    let reset = w.new_password_for(&set.user_id, NEW).await;
    assert_eq!(w.meanwhile(&reset, w.enroll(&cx, PASSWORD)).await.reason(), "WRONG_PASSWORD");
    let confirmed = w.auth.confirm_totp(cx.clone(), right_now(&[7; 20], &cx)).await;
    assert_eq!(confirmed.reason(), "TOTP_NOT_ENROLLED");
}
