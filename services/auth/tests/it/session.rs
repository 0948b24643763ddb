use crate::world::{PASSWORD, Reason, World, credentials};
use chrono::TimeDelta;
use futures::future::join_all;
use proto::jangteo::auth::v1::{self as pb, auth_service::Api};
use std::collections::HashSet;

#[tokio::test]
async fn a_used_refresh_token_ends_its_session() {
    let w = World::new().await;
    let first = w.person("a@b.kr").await;
    let second = w.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(second.session_id, first.session_id);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(w.revoked().await.is_empty());

    assert_eq!(w.refresh(&first.refresh_token).await.reason(), "REFRESH_TOKEN_REUSED");
    assert_eq!(w.refresh(&second.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.refresh(&first.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.revoked().await, [first.session_id.as_str()]);
    assert_eq!(w.events(&first.user_id).await, ["UserRegistered", "SessionOpened", "SessionRevoked"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_refreshes_at_once_one_succeeds() {
    refreshes_race(&World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_refreshes_at_once_one_succeeds_on_postgres() {
    refreshes_race(&World::postgres(|_| {}).await).await;
}

async fn refreshes_race(w: &World) {
    let set = w.person("a@b.kr").await;
    let outcomes = join_all((0..50).map(|_| w.refresh(&set.refresh_token))).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for e in lost {
        let reason = e.reason();
        assert!(["REFRESH_TOKEN_REUSED", "SESSION_ENDED"].contains(&reason.as_str()), "{reason}");
    }
    let winner = won.into_iter().next().unwrap().unwrap();
    assert_eq!(w.refresh(&winner.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.revoked().await, [set.session_id.as_str()]);
    let revocations = w.events(&set.user_id).await.into_iter().filter(|e| e == "SessionRevoked").count();
    assert_eq!(revocations, 1);
}

#[tokio::test]
async fn a_session_ends_after_seven_days_however_often_it_is_refreshed() {
    let w = World::new().await;
    let mut set = w.person("a@b.kr").await;
    for _ in 0..6 {
        w.advance(TimeDelta::days(1));
        set = w.refresh(&set.refresh_token).await.unwrap();
    }
    w.advance(TimeDelta::hours(23) + TimeDelta::minutes(50));
    set = w.refresh(&set.refresh_token).await.unwrap();
    assert_eq!((set.expires_in, set.refresh_expires_in), (600, 600), "no token outlives its session");
    w.advance(TimeDelta::minutes(10));
    assert_eq!(w.refresh(&set.refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.verify(&set.access_token).await.reason(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn tokens_that_we_never_made_are_refused() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    let mut forged = set.refresh_token.clone();
    forged.replace_range(10..11, if &forged[10..11] == "A" { "B" } else { "A" });
    for token in ["", "x", "jtr_", &set.access_token, &forged, "jtr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(w.refresh(token).await.reason(), "INVALID_REFRESH_TOKEN", "{token}");
    }
    w.refresh(&set.refresh_token).await.unwrap();
}

#[tokio::test]
async fn access_tokens_live_for_an_hour() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    w.advance(TimeDelta::seconds(3599));
    w.verify(&set.access_token).await.unwrap();
    w.advance(TimeDelta::seconds(1));
    assert_eq!(w.verify(&set.access_token).await.reason(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn sessions_are_listed_in_pages_and_ended_by_their_owner_alone() {
    let w = World::new().await;
    let mut sets = vec![w.person("a@b.kr").await];
    for n in 0..4 {
        let cx = w.from(&format!("203.0.113.{}", 20 + n));
        sets.push(w.auth.login(cx, credentials("a@b.kr", PASSWORD)).await.unwrap());
    }
    let stranger = w.person("b@b.kr").await;
    let cx = w.signed_in(&sets[2]).await;
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let req = pb::ListSessionsRequest { page_size: 2, page_token: token };
        let page = w.auth.list_sessions(cx.clone(), req).await.unwrap();
        seen.extend(page.sessions);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let ids: Vec<_> = seen.iter().map(|s| s.session_id.clone()).collect();
    assert_eq!(ids, sets.iter().rev().map(|s| s.session_id.clone()).collect::<Vec<_>>());
    assert_eq!(seen.iter().filter(|s| s.current).map(|s| &s.session_id).collect::<Vec<_>>(), [&sets[2].session_id]);
    assert_eq!((seen[0].address.as_str(), seen[0].user_agent.as_str()), ("203.0.113.23", "Mozilla/5.0 (Jangteo test)"));

    let revoke = |id: &str| pb::RevokeSessionRequest { session_id: id.to_owned() };
    let theirs = w.auth.revoke_session(cx.clone(), revoke(&stranger.session_id)).await.unwrap_err();
    let absent = w.auth.revoke_session(cx.clone(), revoke("ses_00000000000000000000000000000000")).await.unwrap_err();
    assert_eq!((theirs.code(), theirs.reason()), (absent.code(), absent.reason()));
    w.refresh(&stranger.refresh_token).await.unwrap();

    w.auth.revoke_session(cx.clone(), revoke(&sets[0].session_id)).await.unwrap();
    w.auth.revoke_session(cx.clone(), revoke(&sets[0].session_id)).await.unwrap();
    assert_eq!(w.refresh(&sets[0].refresh_token).await.reason(), "SESSION_ENDED");
    assert_eq!(w.revoked().await, [sets[0].session_id.as_str()]);
    let left = w.auth.list_sessions(cx, pb::ListSessionsRequest::default()).await.unwrap();
    assert_eq!(left.sessions.len(), 4);
}

#[tokio::test]
async fn logging_out_ends_this_session_or_all() {
    let w = World::new().await;
    let one = w.person("a@b.kr").await;
    let two = w.login("a@b.kr", PASSWORD).await.unwrap();
    let three = w.login("a@b.kr", PASSWORD).await.unwrap();
    w.auth.logout(w.signed_in(&one).await, pb::LogoutRequest::default()).await.unwrap();
    assert_eq!(w.refresh(&one.refresh_token).await.reason(), "SESSION_ENDED");
    let two = w.refresh(&two.refresh_token).await.unwrap();
    w.auth.logout(w.signed_in(&two).await, pb::LogoutRequest { all_sessions: true }).await.unwrap();
    for set in [&two, &three] {
        assert_eq!(w.refresh(&set.refresh_token).await.reason(), "SESSION_ENDED");
    }
    assert_eq!(w.revoked().await.len(), 3);
    let nobody = w.auth.logout(w.anybody(), pb::LogoutRequest::default()).await;
    assert_eq!(nobody.reason(), "SIGN_IN_REQUIRED");
}

/// A reader that keeps its cursor sees every revocation, also one whose commit came late, until its tokens have expired.
#[tokio::test]
async fn revocations_are_followed_by_a_cursor() {
    let w = World::new().await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    let (mut cursor, mut seen, mut ended) = (String::new(), HashSet::new(), HashSet::new());
    let mut cursors = Vec::new();
    for n in 0..20 {
        let set = w.login("a@b.kr", PASSWORD).await.unwrap();
        let late = w.signed_in(&set).await;
        w.advance(TimeDelta::seconds(7 * (n % 4)));
        let req = pb::ListRevocationsRequest { cursor: cursor.clone() };
        let list = w.auth.list_revocations(w.anybody(), req).await.unwrap();
        seen.extend(list.revocations.into_iter().map(|r| r.session_id));
        cursor = list.cursor;
        cursors.push(cursor.parse::<i64>().unwrap());
        // Its call is older than what the reader has just read.
        w.auth.logout(late, pb::LogoutRequest::default()).await.unwrap();
        ended.insert(set.session_id);
    }
    let req = pb::ListRevocationsRequest { cursor: cursor.clone() };
    seen.extend(w.auth.list_revocations(w.anybody(), req).await.unwrap().revocations.into_iter().map(|r| r.session_id));
    assert_eq!(seen, ended);
    assert!(cursors.is_sorted());
    w.advance(TimeDelta::minutes(66));
    assert!(w.revoked().await.is_empty(), "their tokens have expired");
    let bad = w.auth.list_revocations(w.anybody(), pb::ListRevocationsRequest { cursor: "x".into() }).await;
    assert_eq!(bad.reason(), "INVALID_CURSOR");
}

#[tokio::test]
async fn what_is_long_over_is_swept() {
    let w = World::new().await;
    let set = w.person("a@b.kr").await;
    w.advance(TimeDelta::days(9));
    let cx = jangteo_core::Call::system("auth", "sweep", jangteo_core::Clock::now(&w.clock));
    w.auth.clone().sweep(cx).await.unwrap();
    assert_eq!(w.refresh(&set.refresh_token).await.reason(), "INVALID_REFRESH_TOKEN");
    w.login("a@b.kr", PASSWORD).await.unwrap();
}
