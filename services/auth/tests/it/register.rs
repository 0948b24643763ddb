use crate::world::{PASSWORD, Reason, Store, World, registration};
use auth::MailKind;
use futures::future::join_all;
use jangteo_core::Code;
use proto::jangteo::{
    auth::v1::{self as pb, auth_service::Api},
    options::v1::Role,
};

#[tokio::test]
async fn a_new_account_logs_in_at_once() {
    let w = World::new().await;
    let set = w.person("Min.Ji@Example.kr").await;
    assert_eq!((set.token_type.as_str(), set.expires_in, set.refresh_expires_in), ("Bearer", 3600, 604_800));
    assert_eq!(set.roles().collect::<Vec<_>>(), [Role::User]);
    assert!(!set.email_verified);

    let user = w.verify(&set.access_token).await.unwrap();
    assert_eq!((&*user.user_id, &*user.session_id), (set.user_id.as_str(), set.session_id.as_str()));
    assert_eq!(&*user.roles, ["user"]);
    assert_eq!(w.events(&set.user_id).await, ["UserRegistered", "SessionOpened"]);

    let req = pb::GetAccountRequest { user_id: set.user_id.clone() };
    let account = w.auth.get_account(w.anybody(), req).await.unwrap();
    assert_eq!((account.email.as_str(), account.display_name.as_str()), ("min.ji@example.kr", "민지"));
    assert_eq!(account.locale, "ko");
    w.login(" MIN.JI@EXAMPLE.KR", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn registering_a_taken_address_tells_its_owner_and_nobody_else() {
    let w = World::new().await;
    let first = w.register("a@b.kr", PASSWORD).await.unwrap();
    let second = w.register("A@b.kr", "another-pass-77").await.unwrap();
    assert_eq!(first, second);
    w.login("a@b.kr", PASSWORD).await.unwrap();
    assert_eq!(w.login("a@b.kr", "another-pass-77").await.reason(), "INVALID_CREDENTIALS");
    w.post().await;
    assert_eq!(w.kinds("a@b.kr"), [MailKind::VerifyEmail, MailKind::AlreadyRegistered]);
}

#[tokio::test]
async fn registering_a_taken_address_takes_as_long() {
    let w = World::new().await;
    w.register("taken@b.kr", PASSWORD).await.unwrap();
    let (mut taken, mut free) = (Vec::new(), Vec::new());
    for n in 0..15 {
        for (email, times) in [("taken@b.kr".to_owned(), &mut taken), (format!("free{n}@b.kr"), &mut free)] {
            let start = std::time::Instant::now();
            w.register(&email, PASSWORD).await.unwrap();
            times.push(start.elapsed());
        }
    }
    taken.sort_unstable();
    free.sort_unstable();
    let ratio = taken[7].as_secs_f64() / free[7].as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "a taken address took {ratio} times as long as a free one");
}

#[tokio::test]
async fn a_burst_of_registrations_opens_one_account() {
    registrations_race(&World::new().await).await;
}

#[tokio::test]
async fn a_burst_of_registrations_opens_one_account_on_postgres() {
    registrations_race(&World::postgres(|_| {}).await).await;
}

async fn registrations_race(w: &World) {
    let passwords: Vec<_> = (0..8).map(|n| format!("kf83-lq02-{n}{n}")).collect();
    for done in join_all(passwords.iter().map(|p| w.register("a@b.kr", p))).await {
        done.unwrap();
    }
    let logins = join_all(passwords.iter().map(|p| w.login("a@b.kr", p))).await;
    assert_eq!(logins.iter().filter(|l| l.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_request_id_makes_registering_repeatable() {
    let w = World::new().await;
    let call = |fingerprint: u8| {
        let mut cx = w.anybody();
        cx.method = "/jangteo.auth.v1.AuthService/Register".into();
        cx.request_id = Some("key-1".into());
        cx.fingerprint = [fingerprint; 32];
        cx
    };
    for _ in 0..2 {
        w.auth.register(call(1), registration("a@b.kr", PASSWORD)).await.unwrap();
    }
    // Another body under the same key may be somebody else's: of anonymous callers it is a request of its own.
    w.auth.register(call(2), registration("b@b.kr", PASSWORD)).await.unwrap();
    w.post().await;
    assert_eq!(w.mails("a@b.kr").len(), 1, "no mail to the owner about himself");
    assert_eq!(w.mails("b@b.kr").len(), 1);
}

#[tokio::test]
async fn bad_passwords_and_names_are_refused_whether_or_not_the_address_is_taken() {
    let w = World::new().await;
    w.register("taken@b.kr", PASSWORD).await.unwrap();
    for email in ["taken@b.kr", "free@b.kr"] {
        assert_eq!(w.register(email, "password123").await.reason(), "BREACHED_PASSWORD");
        assert_eq!(w.register(email, email).await.reason(), "PERSONAL_PASSWORD");
        let mut req = registration(email, PASSWORD);
        req.display_name = "  ".into();
        let e = w.auth.register(w.anybody(), req).await.unwrap_err();
        assert_eq!((e.code(), e.field_violations()[0].field.as_str()), (Code::InvalidArgument, "display_name"));
    }
}

/// The database file holds none of what people told us, nor anything that opens an account.
#[tokio::test]
async fn nothing_personal_and_no_secret_is_readable_at_rest() {
    let w = World::new().await;
    let mut req = registration("canary-address@example.kr", "canary-password-1");
    req.display_name = "CanaryName".into();
    w.auth.register(w.from("198.51.100.77"), req).await.unwrap();
    let mut login = crate::world::credentials("canary-address@example.kr", "canary-password-1");
    let set = w.auth.login(w.from("198.51.100.77"), login.clone()).await.unwrap();
    let verify = w.mailed_token("canary-address@example.kr", MailKind::VerifyEmail).await;
    let cx = w.signed_in(&set).await;
    let enrolment = w.enroll(&cx, "canary-password-1").await.unwrap();
    let secret = crate::factor::bytes(&enrolment.secret);
    let code = auth::totp_code(&secret, cx.now).unwrap();
    let codes = w.auth.confirm_totp(cx, pb::ConfirmTotpRequest { code }).await.unwrap().recovery_codes;
    login.recovery_code = codes[0].clone();
    w.auth.login(w.from("198.51.100.77"), login).await.unwrap();

    let Store::Sqlite(dir) = &w.store else { unreachable!("SQLite") };
    let mut at_rest = Vec::new();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        at_rest.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |needle: &[u8]| at_rest.windows(needle.len()).any(|w| w == needle);
    assert!(holds(set.user_id.as_bytes()), "the file is the one that is written");
    let texts = ["canary-address", "canary-password", "CanaryName", "198.51.100.77", "Jangteo test"];
    let tokens = [&set.refresh_token, &set.access_token, &verify, &enrolment.secret, &codes[0], &codes[1]];
    for text in texts.into_iter().chain(tokens.into_iter().map(String::as_str)) {
        assert!(!holds(text.as_bytes()), "{text} is readable");
    }
    assert!(!holds(&secret), "the second factor's secret is readable");
}
