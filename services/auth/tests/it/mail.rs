use crate::world::{PASSWORD, Reason, World, credentials};
use auth::MailKind;
use chrono::TimeDelta;
use futures::future::join_all;
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};
use std::sync::atomic::Ordering;

const NEW: &str = "another-pass-77";

async fn ask(w: &World, email: &str) {
    let req = pb::RequestPasswordResetRequest { email: email.into() };
    w.auth.request_password_reset(w.anybody(), req).await.unwrap();
}

async fn reset(w: &World, token: &str, password: &str) -> jangteo_core::Result<()> {
    let req = pb::ConfirmPasswordResetRequest { token: token.into(), new_password: password.into() };
    w.auth.confirm_password_reset(w.anybody(), req).await
}

async fn verify(w: &World, token: &str) -> jangteo_core::Result<()> {
    w.auth.verify_email(w.anybody(), pb::VerifyEmailRequest { token: token.into() }).await
}

#[tokio::test]
async fn a_reset_replaces_the_password_and_ends_every_session() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    ask(&w, "A@b.kr").await;
    let token = w.mailed_token("a@b.kr", MailKind::ResetPassword).await;
    // A refused password doesn't cost the token.
    assert_eq!(reset(&w, &token, "password123").await.reason(), "BREACHED_PASSWORD");
    reset(&w, &token, NEW).await.unwrap();
    assert_eq!(reset(&w, &token, "yet-another-88").await.reason(), "INVALID_TOKEN");
    assert_eq!(w.login("a@b.kr", PASSWORD).await.reason(), "INVALID_CREDENTIALS");
    assert!(w.login("a@b.kr", NEW).await.unwrap().email_verified, "the mail proved the address");
    assert_eq!(w.refresh(&set.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.revoked().await, [set.session_id.as_str()]);
    let events = w.events(&set.user_id).await;
    assert_eq!(events[2..5], ["EmailVerified", "SessionRevoked", "PasswordChanged"]);
    w.post().await;
    assert_eq!(*w.kinds("a@b.kr").last().unwrap(), MailKind::PasswordChanged);
}

#[tokio::test]
async fn asking_for_a_reset_does_the_same_for_unknown_addresses_and_mails_nobody() {
    let w = World::new().await;
    ask(&w, "nobody@b.kr").await;
    w.post().await;
    assert!(w.mails("nobody@b.kr").is_empty());
    // Registered later, the address gets nothing of what was asked before.
    w.register("nobody@b.kr", PASSWORD).await.unwrap();
    w.post().await;
    assert_eq!(w.kinds("nobody@b.kr"), [MailKind::VerifyEmail]);
}

#[tokio::test]
async fn nobody_is_flooded_with_mail() {
    let w = World::new().await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    for _ in 0..20 {
        ask(&w, "a@b.kr").await;
        w.register("a@b.kr", PASSWORD).await.unwrap();
    }
    w.post().await;
    let count = |kind| w.kinds("a@b.kr").into_iter().filter(|k| *k == kind).count();
    assert_eq!(count(MailKind::ResetPassword), 5);
    assert!(count(MailKind::AlreadyRegistered) <= 5);
}

#[tokio::test]
async fn tokens_expire_and_fit_their_own_purpose_only() {
    let w = World::new().await;
    w.person("a@b.kr").await;
    let verification = w.mailed_token("a@b.kr", MailKind::VerifyEmail).await;
    ask(&w, "a@b.kr").await;
    let token = w.mailed_token("a@b.kr", MailKind::ResetPassword).await;
    assert_eq!(reset(&w, &verification, NEW).await.reason(), "INVALID_TOKEN");
    assert_eq!(reset(&w, &verification.replace("jtv_", "jtp_"), NEW).await.reason(), "INVALID_TOKEN");
    assert_eq!(verify(&w, &token.replace("jtp_", "jtv_")).await.reason(), "INVALID_TOKEN");
    for garbage in ["", "x", "jtp_", "jtp_AAAA"] {
        assert_eq!(reset(&w, garbage, NEW).await.reason(), "INVALID_TOKEN");
    }
    w.advance(TimeDelta::minutes(30));
    assert_eq!(reset(&w, &token, NEW).await.reason(), "INVALID_TOKEN");
    w.advance(TimeDelta::hours(24));
    assert_eq!(verify(&w, &verification).await.reason(), "INVALID_TOKEN");
    w.login("a@b.kr", PASSWORD).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reset_token_works_once_at_whatever_speed() {
    let w = World::new().await;
    w.person("a@b.kr").await;
    ask(&w, "a@b.kr").await;
    let token = w.mailed_token("a@b.kr", MailKind::ResetPassword).await;
    let passwords: Vec<_> = (0..10).map(|n| format!("another-pass-{n}{n}")).collect();
    let outcomes = join_all(passwords.iter().map(|p| reset(&w, &token, p))).await;
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_second_reset_mail_does_not_outlive_the_first_one_that_is_used() {
    let w = World::new().await;
    w.person("a@b.kr").await;
    ask(&w, "a@b.kr").await;
    let one = w.mailed_token("a@b.kr", MailKind::ResetPassword).await;
    ask(&w, "a@b.kr").await;
    let two = w.mailed_token("a@b.kr", MailKind::ResetPassword).await;
    assert_ne!(one, two);
    reset(&w, &one, NEW).await.unwrap();
    assert_eq!(reset(&w, &two, PASSWORD).await.reason(), "INVALID_TOKEN");
}

/// Somebody registers an address that isn't theirs and locks it with a second factor. Its owner takes it back by mail.
#[tokio::test]
async fn the_first_proof_of_an_address_takes_the_account_whole() {
    let w = World::new().await;
    let thief = w.person("owner@b.kr").await;
    let cx = w.signed_in(&thief).await;
    let secret = crate::factor::bytes(&w.enroll(&cx, PASSWORD).await.unwrap().secret);
    let code = auth::totp_code(&secret, cx.now).unwrap();
    w.auth.confirm_totp(cx, pb::ConfirmTotpRequest { code }).await.unwrap();

    ask(&w, "owner@b.kr").await;
    let token = w.mailed_token("owner@b.kr", MailKind::ResetPassword).await;
    reset(&w, &token, NEW).await.unwrap();
    w.login("owner@b.kr", NEW).await.unwrap();
    assert_eq!(w.refresh(&thief.refresh_token).await.reason(), "SESSION_ENDED");

    // A factor that was set up behind a proven address stays through a reset.
    let cx = w.signed_in(&w.login("owner@b.kr", NEW).await.unwrap()).await;
    let secret = crate::factor::bytes(&w.enroll(&cx, NEW).await.unwrap().secret);
    let code = auth::totp_code(&secret, cx.now).unwrap();
    w.auth.confirm_totp(cx, pb::ConfirmTotpRequest { code }).await.unwrap();
    ask(&w, "owner@b.kr").await;
    let token = w.mailed_token("owner@b.kr", MailKind::ResetPassword).await;
    reset(&w, &token, "yet-another-88").await.unwrap();
    assert_eq!(w.login("owner@b.kr", "yet-another-88").await.reason(), "TOTP_REQUIRED");
}

#[tokio::test]
async fn an_address_is_proven_once() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let one = w.mailed_token("a@b.kr", MailKind::VerifyEmail).await;
    let again = |cx| w.auth.request_email_verification(cx, pb::RequestEmailVerificationRequest {});
    again(w.signed_in(&set).await).await.unwrap();
    let two = w.mailed_token("a@b.kr", MailKind::VerifyEmail).await;
    assert_ne!(one, two);
    verify(&w, &two).await.unwrap();
    assert_eq!(verify(&w, &two).await.reason(), "INVALID_TOKEN");
    assert_eq!(verify(&w, &one).await.reason(), "INVALID_TOKEN");
    assert!(w.login("a@b.kr", PASSWORD).await.unwrap().email_verified);
    again(w.signed_in(&set).await).await.unwrap();
    w.post().await;
    assert_eq!(w.mails("a@b.kr").len(), 2);
    let verified = w.events(&set.user_id).await.into_iter().filter(|e| e == "EmailVerified").count();
    assert_eq!(verified, 1);
}

#[tokio::test]
async fn a_mail_waits_until_the_server_is_back() {
    let w = World::new().await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    w.outbox.down.store(true, Ordering::Relaxed);
    for _ in 0..5 {
        w.post().await;
        w.advance(TimeDelta::minutes(10));
    }
    w.outbox.down.store(false, Ordering::Relaxed);
    assert!(w.mails("a@b.kr").is_empty());
    let token = w.mailed_token("a@b.kr", MailKind::VerifyEmail).await;
    verify(&w, &token).await.unwrap();
    w.advance(TimeDelta::hours(2));
    w.post().await;
    assert_eq!(w.mails("a@b.kr").len(), 1);
}

#[tokio::test]
async fn mails_are_written_in_the_person_s_language() {
    let w = World::new().await;
    for (email, locale) in [("ko@b.kr", "ko"), ("en@b.kr", "en")] {
        let mut cx = w.anybody();
        cx.locale = Some(if locale == "en" { "en-GB,en;q=0.9,ko;q=0.5".into() } else { "ko-KR".into() });
        w.auth.register(cx, crate::world::registration(email, PASSWORD)).await.unwrap();
    }
    w.post().await;
    assert!(w.mails("ko@b.kr")[0].subject.starts_with("[장터]"));
    assert!(w.mails("en@b.kr")[0].subject.starts_with("Confirm"));
}

#[tokio::test]
async fn changing_the_password_keeps_this_session_alone() {
    let w = World::new().await;
    let here = w.person("a@b.kr").await;
    let there = w.login("a@b.kr", PASSWORD).await.unwrap();
    let cx = w.signed_in(&here).await;
    assert_eq!(w.auth.change_password(cx.clone(), change("wrong-password-9", NEW)).await.reason(), "WRONG_PASSWORD");
    assert_eq!(w.auth.change_password(cx.clone(), change(PASSWORD, "12345678")).await.reason(), "BREACHED_PASSWORD");
    w.auth.change_password(cx, change(PASSWORD, NEW)).await.unwrap();
    w.refresh(&here.refresh_token).await.unwrap();
    assert_eq!(w.refresh(&there.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.login("a@b.kr", PASSWORD).await.reason(), "INVALID_CREDENTIALS");
    w.auth.login(w.anybody(), credentials("a@b.kr", NEW)).await.unwrap();
}

fn change(current: &str, new: &str) -> pb::ChangePasswordRequest {
    pb::ChangePasswordRequest { current_password: current.into(), new_password: new.into() }
}

#[tokio::test]
async fn a_change_does_not_undo_the_reset_that_came_between() {
    change_and_reset(&World::new().await).await;
}

#[tokio::test]
async fn a_change_does_not_undo_the_reset_that_came_between_on_postgres() {
    change_and_reset(&World::postgres(|_| {}).await).await;
}

async fn change_and_reset(w: &World) {
    let set = w.person("a@b.kr").await;
    let reset = w.new_password_for(&set.user_id, NEW).await;
    let cx = w.signed_in(&set).await;
    let outcome = w.meanwhile(&reset, w.auth.change_password(cx, change(PASSWORD, "yet-another-88"))).await;
    assert_eq!(outcome.reason(), "WRONG_PASSWORD");
    w.login("a@b.kr", NEW).await.unwrap();
}

/// A token is verified before the call; its session may end while the call runs.
#[tokio::test]
async fn an_ended_session_changes_no_password() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let cx = w.signed_in(&set).await;
    w.auth.logout(cx.clone(), pb::LogoutRequest::default()).await.unwrap();
    assert_eq!(w.auth.change_password(cx, change(PASSWORD, NEW)).await.reason(), "SESSION_ENDED");
    w.login("a@b.kr", PASSWORD).await.unwrap();
}
