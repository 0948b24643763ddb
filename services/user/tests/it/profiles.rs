//! Profiles.

use crate::support::*;
use jangteo_core::Code;
use prost_types::FieldMask;
use proto::jangteo::user::v1::{self as wire, user_service::Api};
use std::sync::atomic::Ordering;

fn update() -> wire::UpdateMeRequest {
    wire::UpdateMeRequest::default()
}

pub async fn who_has_just_registered_has_a_profile(kind: Kind) {
    let w = world(kind).await;
    let me = w.users.get_me(by(MINSU), Default::default()).await.unwrap();
    assert_eq!((me.display_name.as_str(), me.locale.as_str(), me.etag.as_str()), ("표시이름민수", "ko", "1"));
    assert_eq!(w.users.get_me(by(NOBODY), Default::default()).await.unwrap_err().reason(), "USER_NOT_FOUND");
    assert_eq!(w.users.get_me(anonymous(), Default::default()).await.unwrap_err().code(), Code::Unauthenticated);
}

pub async fn the_first_update_writes_the_profile_and_auth_is_asked_no_more(kind: Kind) {
    let w = world(kind).await;
    let me = w.users.get_me(by(MINSU), Default::default()).await.unwrap();
    let req = wire::UpdateMeRequest { bio: Some("망원동".into()), etag: me.etag, ..update() };
    let changed = w.users.update_me(by(MINSU), req).await.unwrap();
    assert_eq!(
        (changed.bio.as_str(), changed.display_name.as_str(), changed.etag.as_str()),
        ("망원동", "표시이름민수", "2")
    );
    assert_eq!(changed.create_time, me.create_time);
    let asked = w.asked.load(Ordering::Relaxed);
    assert_eq!(w.users.get_me(by(MINSU), Default::default()).await.unwrap(), changed);
    assert_eq!(w.asked.load(Ordering::Relaxed), asked);
    let events = w.db.history("profile", MINSU, 0, 10).await.unwrap();
    let types: Vec<_> = events.iter().map(|e| e.r#type.rsplit('.').next().unwrap()).collect();
    assert_eq!(types, ["ProfileCreated", "ProfileUpdated"]);
}

pub async fn an_old_etag_is_refused(kind: Kind) {
    let w = world(kind).await;
    let to = |bio: &str, etag: &str| wire::UpdateMeRequest { bio: Some(bio.into()), etag: etag.into(), ..update() };
    w.users.update_me(by(MINSU), to("first", "1")).await.unwrap();
    let e = w.users.update_me(by(MINSU), to("second", "1")).await.unwrap_err();
    assert_eq!((e.code(), e.metadata()["etag"].as_str()), (Code::Aborted, "2"));
    assert_eq!(w.users.get_me(by(MINSU), Default::default()).await.unwrap().bio, "first");
}

pub async fn a_mask_names_exactly_what_changes(kind: Kind) {
    let w = world(kind).await;
    let first = wire::UpdateMeRequest {
        bio: Some("before".into()),
        phone_number: Some("+821011112222".into()),
        region_id: Some("seoul".into()),
        ..update()
    };
    w.users.update_me(by(MINSU), first).await.unwrap();
    let second = wire::UpdateMeRequest {
        bio: Some("after".into()),
        display_name: Some("ignored".into()),
        update_mask: Some(FieldMask { paths: vec!["bio".into(), "phone_number".into()] }),
        ..update()
    };
    let me = w.users.update_me(by(MINSU), second).await.unwrap();
    let got = (me.bio.as_str(), me.phone_number.as_str(), me.region_id.as_str(), me.display_name.as_str());
    assert_eq!(got, ("after", "", "seoul", "표시이름민수"));
    let bad = wire::UpdateMeRequest { update_mask: Some(FieldMask { paths: vec!["user_id".into()] }), ..update() };
    let e = w.users.update_me(by(MINSU), bad).await.unwrap_err();
    assert_eq!(e.field_violations()[0].field, "update_mask");
}

pub async fn others_see_what_is_public(kind: Kind) {
    let w = world(kind).await;
    let req = wire::UpdateMeRequest {
        bio: Some("안녕하세요".into()),
        real_name: Some("김민수".into()),
        phone_number: Some("+821011112222".into()),
        region_id: Some("seoul".into()),
        ..update()
    };
    w.users.update_me(by(MINSU), req).await.unwrap();
    for cx in [anonymous(), by(EMMA)] {
        let shown = w.users.get_user(cx, wire::GetUserRequest { user_id: MINSU.into() }).await.unwrap();
        let want = ("표시이름민수", "안녕하세요", "seoul");
        assert_eq!((shown.display_name.as_str(), shown.bio.as_str(), shown.region_id.as_str()), want);
        assert!(shown.join_time.is_some());
    }
    let fresh = w.users.get_user(anonymous(), wire::GetUserRequest { user_id: EMMA.into() }).await.unwrap();
    assert_eq!(fresh.display_name, "Emma");
    let e = w.users.get_user(anonymous(), wire::GetUserRequest { user_id: NOBODY.into() }).await.unwrap_err();
    assert_eq!(e.code(), Code::NotFound);
}

pub async fn a_key_gives_the_same_answer_and_refuses_another_request(kind: Kind) {
    let w = world(kind).await;
    let req = |bio: &str| wire::UpdateMeRequest { bio: Some(bio.into()), ..update() };
    let first = w.users.update_me(keyed(by(MINSU), "k", 1), req("one")).await.unwrap();
    w.users.update_me(by(MINSU), req("two")).await.unwrap();
    assert_eq!(w.users.update_me(keyed(by(MINSU), "k", 1), req("one")).await.unwrap(), first);
    assert_eq!(w.users.get_me(by(MINSU), Default::default()).await.unwrap().bio, "two");
    let e = w.users.update_me(keyed(by(MINSU), "k", 2), req("three")).await.unwrap_err();
    assert_eq!(e.reason(), "REQUEST_ID_REUSED");
}

/// On SQLite, whose files are at hand; what is written is the same on both.
#[tokio::test]
async fn nothing_personal_is_readable_in_the_store() {
    let w = world(Kind::Sqlite).await;
    let secrets = [
        "비밀소개글",
        "김실명",
        "+821098765432",
        "집별명",
        "받는사람",
        "+821055556666",
        "94107",
        "세종대로 999",
        "1004호",
    ];
    let req = wire::UpdateMeRequest {
        bio: Some(secrets[0].into()),
        real_name: Some(secrets[1].into()),
        phone_number: Some(secrets[2].into()),
        region_id: Some("gangwon".into()),
        ..update()
    };
    w.users.update_me(keyed(by(MINSU), "k1", 1), req).await.unwrap();
    let req = wire::CreateAddressRequest {
        label: secrets[3].into(),
        recipient: secrets[4].into(),
        phone_number: secrets[5].into(),
        postal_code: secrets[6].into(),
        line1: secrets[7].into(),
        line2: secrets[8].into(),
        ..Default::default()
    };
    w.users.create_address(keyed(by(MINSU), "k2", 2), req).await.unwrap();
    for secret in secrets.into_iter().chain(["표시이름민수", "minsu@example.com"]) {
        assert!(!w.stores.stored(secret), "{secret} is in the clear");
    }
    assert!(w.stores.stored("gangwon"), "the search finds what is there");
}

pub async fn an_erased_person_is_gone(kind: Kind) {
    let w = world(kind).await;
    w.users.update_me(by(MINSU), wire::UpdateMeRequest { bio: Some("x".into()), ..update() }).await.unwrap();
    let sealer = kit::db::crypt::Sealer::new(w.stores.keyring());
    let erase = async |tx: kit::db::Tx| sealer.erase(&tx, MINSU).await;
    assert!(w.db.write(&anonymous(), erase).await.unwrap());
    assert_eq!(w.users.get_me(by(MINSU), Default::default()).await.unwrap_err().code(), Code::NotFound);
    let e = w.users.get_user(anonymous(), wire::GetUserRequest { user_id: MINSU.into() }).await.unwrap_err();
    assert_eq!(e.code(), Code::NotFound);
    let e =
        w.users.update_me(by(MINSU), wire::UpdateMeRequest { bio: Some("y".into()), ..update() }).await.unwrap_err();
    assert_eq!(e.reason(), "PERSON_ERASED");
}

pub async fn what_was_kept_unsealed_goes_too(kind: Kind) {
    use kit::db::sea_orm::{ConnectionTrait, Statement};
    let w = world(kind).await;
    let home = wire::CreateAddressRequest {
        recipient: "김민수".into(),
        phone_number: "+821012345678".into(),
        postal_code: "04001".into(),
        line1: "서울 마포구 망원로 1".into(),
        ..Default::default()
    };
    for user in [MINSU, EMMA] {
        w.users.update_me(by(user), wire::UpdateMeRequest { bio: Some("x".into()), ..update() }).await.unwrap();
        w.users.create_address(by(user), home.clone()).await.unwrap();
    }
    for _ in 0..2 {
        let forget = async |tx: kit::db::Tx| w.users.clone().forget(tx, MINSU.to_owned()).await;
        w.db.write(&anonymous(), forget).await.unwrap();
    }
    let conn = w.db.primary();
    for table in ["profile", "address"] {
        let sql = format!("SELECT user_id FROM {table}");
        let rows = conn.query_all_raw(Statement::from_string(conn.get_database_backend(), sql)).await.unwrap();
        let left: Vec<String> = rows.iter().map(|r| r.try_get("", "user_id").unwrap()).collect();
        assert_eq!(left, [EMMA], "{table}");
    }
}

pub async fn a_person_s_contact_has_the_proven_address_of_their_account(kind: Kind) {
    let w = world(kind).await;
    let contact = async |user_id: &str| {
        w.users.get_contact(system("notification"), wire::GetContactRequest { user_id: user_id.into() }).await
    };
    let fresh = contact(MINSU).await.unwrap();
    let shown = (fresh.display_name.as_str(), fresh.phone_number.as_str(), fresh.locale.as_str(), fresh.email.as_str());
    assert_eq!(shown, ("표시이름민수", "", "ko", "minsu@example.com"));
    let req = wire::UpdateMeRequest {
        display_name: Some("민수".into()),
        phone_number: Some("+821011112222".into()),
        locale: Some("en".into()),
        ..update()
    };
    w.users.update_me(by(MINSU), req).await.unwrap();
    let changed = contact(MINSU).await.unwrap();
    let want = wire::Contact {
        user_id: MINSU.into(),
        display_name: "민수".into(),
        phone_number: "+821011112222".into(),
        locale: "en".into(),
        email: "minsu@example.com".into(),
    };
    assert_eq!(changed, want);
    assert_eq!(contact(EMMA).await.unwrap().email, "", "an address that nobody has proven");
    assert_eq!(contact(NOBODY).await.unwrap_err().reason(), "USER_NOT_FOUND");
}
