//! Who comes in, what is stripped, how often, how long.

use crate::world::{World, eventually, json_of, refusal, sent};
use gateway::{CorsConfig, EdgeConfig, Limits};
use jangteo_core::{Clock, SystemClock};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn tokens_and_roles() {
    let w = World::new().await;
    let create = || w.post("/v1/books", &json!({"title": "t"}));
    let purge = || w.post("/v1/books:purge", &json!({}));
    assert_eq!(refusal(create(), 401, 16).await, "SIGN_IN_REQUIRED");
    assert_eq!(sent(create()).await.headers()["www-authenticate"], "Bearer");
    let user = w.token("usr_1", &["user"]);
    assert_eq!(json_of(create().bearer_auth(&user)).await.0, 200);
    assert_eq!(refusal(purge().bearer_auth(&user), 403, 7).await, "ROLE_REQUIRED");
    assert_eq!(json_of(purge().bearer_auth(w.token("usr_2", &["admin"]))).await.0, 200);
    // A token that is there must be valid, also where none is needed.
    for bad in ["Bearer nonsense", "Bearer", "Basic dXNlcjpwdw==", ""] {
        assert_eq!(
            refusal(w.get("/v1/books/b1").header("authorization", bad), 401, 16).await,
            "TOKEN_INVALID",
            "{bad}"
        );
    }
    let twice = w.get("/v1/books/b1").bearer_auth(&user).header("authorization", "Bearer other");
    assert_eq!(refusal(twice, 401, 16).await, "TOKEN_INVALID");
    let now = SystemClock.now();
    let claims = json!({
        "iss": "jangteo", "aud": "jangteo", "sub": "usr_1", "sid": "s", "roles": ["user"],
        "iat": 0, "nbf": 0, "exp": now.timestamp() - 60, "jti": "j",
    });
    assert_eq!(refusal(create().bearer_auth(w.sign(claims)), 401, 16).await, "TOKEN_EXPIRED");
    w.verifier.revoke("ses_usr_1", now + Duration::from_secs(3600), now);
    assert_eq!(refusal(create().bearer_auth(&user), 401, 16).await, "SESSION_REVOKED");
    assert_eq!(w.seen.calls.load(Ordering::SeqCst), 2, "nothing refused reached the service");
}

#[tokio::test]
async fn claims_of_identity_do_not_come_through() {
    let w = World::with(EdgeConfig { forward_headers: vec!["x-api-*".into()], ..crate::world::unlimited() }).await;
    let token = w.token("usr_1", &["user"]);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = w
        .get("/v1/books/headers")
        .bearer_auth(&token)
        .header("x-user-id", "root")
        .header("x-forwarded-client-cert", "URI=spiffe://x/sa/admin")
        .header("x-forwarded-for", "6.6.6.6")
        .header("grpc-metadata-x", "1")
        .header("x-envoy-internal", "true")
        .header("x-jangteo-caller", "admin")
        .header("x-jangteo-client-addr", "6.6.6.6")
        .header("x-jangteo-canary", "library")
        .header("cookie", "c=1")
        .header("x-api-key", "k")
        .header("traceparent", trace)
        .header("user-agent", "shop/1.0")
        .header("accept-language", "en;q=0.3, ko-KR")
        .header("x-request-id", "mine-1");
    let response = sent(request).await;
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    assert_eq!(response.headers()["x-shop"], "open");
    assert!(!response.headers().contains_key("x-jangteo-private"));
    let book: serde_json::Value = response.json().await.unwrap();
    let got = book["labels"].as_object().unwrap();
    for stripped in
        ["x-user-id", "x-forwarded-client-cert", "grpc-metadata-x", "x-envoy-internal", "x-jangteo-caller", "cookie"]
    {
        assert!(!got.contains_key(stripped), "{stripped}");
    }
    assert_eq!(got["x-jangteo-client-addr"], "127.0.0.1");
    assert_eq!(got["x-jangteo-user-agent"], "shop/1.0");
    assert_eq!(got["x-jangteo-canary"], "library");
    assert_eq!(got["authorization"], format!("Bearer {token}"));
    assert_eq!(
        (&got["accept-language"], &got["x-api-key"], &got["x-request-id"]),
        (&json!("ko-KR"), &json!("k"), &json!("mine-1"))
    );
    assert!(got["traceparent"].as_str().unwrap().contains("0af7651916cd43dd8448eb211c80319c"));
    assert!(got["grpc-timeout"].as_str().unwrap().ends_with('u'));
}

#[tokio::test]
async fn limits_by_address_and_by_person() {
    let limits = Limits { anonymous_per_minute: 3, signed_in_per_minute: 5, login_per_minute: 2, costly_per_hour: 1 };
    let w = World::with(EdgeConfig { limits, trusted_hops: 1, ..EdgeConfig::default() }).await;
    let from = |ip: &str| w.get("/v1/books/b1").header("x-forwarded-for", ip);
    for left in [2, 1, 0] {
        let response = sent(from("9.9.9.9")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["ratelimit-limit"], "3");
        assert_eq!(response.headers()["ratelimit-remaining"], left.to_string().as_str());
        assert!(response.headers().contains_key("ratelimit-reset"));
    }
    let refused = sent(from("9.9.9.9")).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() <= 120);
    assert_eq!(refused.headers()["ratelimit-remaining"], "0");
    assert_eq!(refusal(from("9.9.9.9"), 429, 8).await, "RATE_LIMITED");
    assert_eq!(sent(from("8.8.8.8")).await.status(), 200, "another address");
    // A person has a limit of their own, whatever the address.
    let token = w.token("usr_1", &["user"]);
    for _ in 0..5 {
        assert_eq!(sent(from("9.9.9.9").bearer_auth(&token)).await.status(), 200);
    }
    assert_eq!(sent(from("7.7.7.7").bearer_auth(&token)).await.status(), 429);
    // Attempts to sign in have a stricter one.
    let login = || w.post("/v1/login", &json!({})).header("x-forwarded-for", "5.5.5.5");
    assert_eq!((sent(login()).await.status().as_u16(), sent(login()).await.status().as_u16()), (200, 200));
    assert_eq!(sent(login()).await.status(), 429);
    // So do addresses that lead nowhere.
    let stray = || w.get("/nothing").header("x-forwarded-for", "4.4.4.4");
    for expected in [404, 404, 404, 429] {
        assert_eq!(sent(stray()).await.status(), expected);
    }
    assert_eq!(sent(w.get("/healthz").header("x-forwarded-for", "4.4.4.4")).await.status(), 200, "probes are free");
}

#[tokio::test]
async fn deadlines() {
    let w = World::new().await;
    let started = std::time::Instant::now();
    let slow = w.get("/v1/books/slow").header("x-request-timeout", "150ms");
    assert_eq!(refusal(slow, 504, 4).await, "DEADLINE_EXCEEDED");
    let slow = w.get("/v1/books/slow").header("grpc-timeout", "100m");
    assert_eq!(refusal(slow, 504, 4).await, "DEADLINE_EXCEEDED");
    assert!(started.elapsed() < Duration::from_secs(2));
    for bad in [("grpc-timeout", "soon"), ("x-request-timeout", "-1")] {
        assert_eq!(refusal(w.get("/v1/books/b1").header(bad.0, bad.1), 400, 3).await, "INVALID_REQUEST");
    }
    let seen = w.seen.clone();
    eventually("late calls are cancelled", || seen.cancelled.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call() {
    let w = World::new().await;
    let mut socket = tokio::net::TcpStream::connect(w.address).await.unwrap();
    socket.write_all(b"GET /v1/books/slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let seen = w.seen.clone();
    eventually("the call arrives", || seen.calls.load(Ordering::SeqCst) == 1).await;
    drop(socket);
    eventually("HTTP/1.1: cancelled", || seen.cancelled.load(Ordering::SeqCst) == 1).await;
    let request = w.h2.get(format!("{}/v1/books/slow", w.url)).timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
    eventually("HTTP/2: cancelled", || seen.cancelled.load(Ordering::SeqCst) == 2).await;
}

#[tokio::test]
async fn pages_of_named_origins_may_call() {
    let cors = CorsConfig { origins: vec!["https://shop.example".into()], max_age_seconds: 600 };
    let w = World::with(EdgeConfig { cors, ..crate::world::unlimited() }).await;
    let preflight = |origin: &'static str, path: &str| {
        let request = w.http.request(http::Method::OPTIONS, format!("{}{path}", w.url));
        request.header("origin", origin).header("access-control-request-method", "POST")
    };
    let allowed = sent(preflight("https://shop.example", "/v1/books")).await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!(allowed.headers()["access-control-allow-methods"], "OPTIONS, POST");
    assert_eq!(allowed.headers()["access-control-max-age"], "600");
    assert!(allowed.headers()["access-control-allow-headers"].to_str().unwrap().contains("idempotency-key"));
    let web = sent(preflight("https://shop.example", "/edge.test.v1.Library/GetBook")).await;
    assert!(web.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let stranger = sent(preflight("https://evil.example", "/v1/books")).await;
    assert!(!stranger.headers().contains_key("access-control-allow-origin"));
    let answer = sent(w.get("/v1/books/b1").header("origin", "https://shop.example")).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example");
    assert!(answer.headers().get_all("vary").iter().any(|v| v == "origin"));
    // Refusals can be read by the page, too.
    let refused = sent(w.get("/nothing").header("origin", "https://shop.example")).await;
    assert_eq!(refused.headers()["access-control-allow-origin"], "https://shop.example");
}
