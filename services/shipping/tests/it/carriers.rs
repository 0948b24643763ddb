//! The adapters against servers that answer as the carriers' documents say.

use axum::{
    Json, Router,
    extract::{Query, Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use proto::jangteo::shipping::v1::ShipmentStatus;
use serde_json::{Value, json};
use shipping::carrier::{Carrier, dhl, fedex, is_final, profile};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use testbed::system;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a test's own server, gone with its runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn dhl_answer(headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Response {
    if headers.get("dhl-api-key").is_none_or(|k| k != "key") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match query["trackingNumber"].as_str() {
        "7777777770" => Json(json!({
            "url": "/shipments?trackingNumber=7777777770&offset=0&limit=5",
            "shipments": [{
                "id": "7777777770",
                "service": "express",
                "status": {"timestamp": "2026-03-02T07:53:47", "statusCode": "delivered", "description": "JESSICA"},
                "events": [
                    {"timestamp": "2026-03-02T07:53:47", "location": {"address": {"addressLocality": "Oderweg 2, AMSTERDAM"}},
                     "statusCode": "delivered", "description": "Delivered to JESSICA"},
                    {"timestamp": "2026-03-01T04:00:00+01:00", "location": {"address": {"addressLocality": "LEIPZIG"}},
                     "statusCode": "transit"},
                    {"timestamp": "2026-02-28T10:00:00Z", "statusCode": "unknown"},
                    {"timestamp": "2026-02-27T10:00:00Z", "statusCode": "pre-transit"}
                ]
            }]
        }))
        .into_response(),
        "BUSY0000" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]).into_response(),
        "BROKEN00" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "GARBLED0" => "not json".into_response(),
        _ => (StatusCode::NOT_FOUND, Json(json!({"title": "No result found", "status": 404}))).into_response(),
    }
}

#[tokio::test]
async fn dhl_is_followed_by_its_unified_interface() {
    let url = serve(Router::new().route("/track/shipments", get(dhl_answer))).await;
    let adapter =
        dhl::Dhl::new(dhl::Config { url: url.clone(), api_key: "key".into() }, profile("dhl").unwrap()).unwrap();
    let cx = &system("shipping");
    let scans = adapter.track(cx, "7777777770").await.unwrap();
    let seen: Vec<_> =
        scans.iter().map(|s| (s.sight.status, s.sight.place.as_str(), s.sight.time.to_rfc3339())).collect();
    assert_eq!(
        seen,
        [
            (ShipmentStatus::Booked, "", "2026-02-27T10:00:00+00:00".to_owned()),
            (ShipmentStatus::InTransit, "LEIPZIG", "2026-03-01T03:00:00+00:00".to_owned()),
            (ShipmentStatus::Delivered, "Oderweg 2, AMSTERDAM", "2026-03-02T07:53:47+00:00".to_owned()),
        ]
    );
    assert_eq!(adapter.track(cx, "0000000000").await.unwrap(), []);
    let busy = adapter.track(cx, "BUSY0000").await.unwrap_err();
    assert_eq!((busy.reason(), busy.retry_after().unwrap().as_secs()), ("CARRIER_BUSY", 7));
    for number in ["BROKEN00", "GARBLED0"] {
        let e = adapter.track(cx, number).await.unwrap_err();
        assert!(e.reason() == "UNAVAILABLE" && !is_final(&e), "{number}: {e:?}");
    }
    let wrong = dhl::Config { url, api_key: "secret-key".into() };
    let wrong = dhl::Dhl::new(wrong, profile("dhl").unwrap()).unwrap();
    let e = wrong.track(cx, "7777777770").await.unwrap_err();
    assert!(!format!("{e:?}").contains("secret-key"));
    assert!(!adapter.books());
    let nobody = dhl::Config { url: "http://127.0.0.1:1".into(), api_key: "key".into() };
    let nobody = dhl::Dhl::new(nobody, profile("dhl").unwrap()).unwrap();
    assert_eq!(nobody.track(cx, "1").await.unwrap_err().reason(), "UNAVAILABLE");
}

#[derive(Default)]
struct FedexServer {
    tokens: AtomicU32,
    withdrawn: AtomicU32,
}

async fn token(State(server): State<Arc<FedexServer>>, request: Request) -> Response {
    let body = axum::body::to_bytes(request.into_body(), 10_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    if body != "grant_type=client_credentials&client_id=me&client_secret=a%26b" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let n = server.tokens.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({"access_token": format!("t{n}"), "token_type": "bearer", "expires_in": 3600, "scope": "CXS"}))
        .into_response()
}

async fn tracked(State(server): State<Arc<FedexServer>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let bearer = headers["authorization"].to_str().unwrap().to_owned();
    let live = server.tokens.load(Ordering::SeqCst);
    if bearer != format!("Bearer t{live}") || server.withdrawn.load(Ordering::SeqCst) == live {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = &body["trackingInfo"][0]["trackingNumberInfo"]["trackingNumber"];
    let result = match number.as_str().unwrap() {
        "123456789012" => json!({"scanEvents": [
            {"date": "2026-02-03T12:01:00-07:00", "eventType": "DL", "eventDescription": "Delivered",
             "scanLocation": {"city": "SEATTLE", "countryCode": "US"}},
            {"date": "2026-02-03T06:01:00-07:00", "eventType": "OD", "scanLocation": {"city": "SEATTLE"}},
            {"date": "2026-02-02T22:00:00-07:00", "eventType": "DE", "scanLocation": {"city": "SEATTLE"}},
            {"date": "2026-02-02T12:01:00-07:00", "eventType": "AR", "scanLocation": {"city": "MEMPHIS"}},
            {"date": "2026-02-01T12:01:00+09:00", "eventType": "PU", "scanLocation": {"city": "SEOUL"}}
        ]}),
        _ => json!({"error": {"code": "TRACKING.TRACKINGNUMBER.NOTFOUND", "message": "…"}}),
    };
    Json(json!({"output": {"completeTrackResults": [{"trackingNumber": number, "trackResults": [result]}]}}))
        .into_response()
}

#[tokio::test]
async fn fedex_is_followed_with_one_token() {
    let server = Arc::new(FedexServer::default());
    let router = Router::new()
        .route("/oauth/token", post(token))
        .route("/track/v1/trackingnumbers", post(tracked))
        .with_state(server.clone());
    let url = serve(router).await;
    let config = fedex::Config { url: url.clone(), client_id: "me".into(), client_secret: "a&b".into() };
    let adapter = fedex::Fedex::new(config, profile("fedex").unwrap()).unwrap();
    let cx = &system("shipping");
    let scans = adapter.track(cx, "123456789012").await.unwrap();
    let seen: Vec<_> = scans.iter().map(|s| (s.sight.status, s.sight.place.as_str())).collect();
    use ShipmentStatus::{Delivered, InTransit, OutForDelivery, PickedUp};
    assert_eq!(
        seen,
        [(PickedUp, "SEOUL"), (InTransit, "MEMPHIS"), (OutForDelivery, "SEATTLE"), (Delivered, "SEATTLE")]
    );
    assert_eq!(adapter.track(cx, "999999999999").await.unwrap(), []);
    assert_eq!(server.tokens.load(Ordering::SeqCst), 1, "one token serves many questions");
    server.withdrawn.store(1, Ordering::SeqCst);
    assert_eq!(adapter.track(cx, "123456789012").await.unwrap().len(), 4);
    assert_eq!(server.tokens.load(Ordering::SeqCst), 2, "a withdrawn one is replaced, once");
    let wrong = fedex::Config { url, client_id: "me".into(), client_secret: "guess".into() };
    let wrong = fedex::Fedex::new(wrong, profile("fedex").unwrap()).unwrap();
    let e = wrong.track(cx, "123456789012").await.unwrap_err();
    assert!(e.reason() == "UNAVAILABLE" && !format!("{e:?}").contains("guess"), "{e:?}");
}

#[tokio::test]
async fn the_configuration_says_who_carries() {
    use shipping::{Config, carrier::sandbox::Sandbox, carriers};
    let stores = testbed::Stores::open(testbed::Kind::Sqlite, "shipping", shipping::MIGRATIONS).await;
    let sandbox = Sandbox::new(stores.db(), b"s", 1, Default::default());
    let there = |config: Value, sandbox: Option<&Arc<Sandbox>>| {
        let config: Config = serde_json::from_value(config).unwrap();
        let all = carriers(&config, sandbox).unwrap();
        let names = ["cj", "hanjin", "gs25", "cu", "dhl", "fedex"];
        names.map(|name| all.get(name).map(|c| c.books()))
    };
    assert_eq!(there(json!({}), Some(&sandbox)), [Some(true); 6]);
    assert_eq!(there(json!({}), None), [None; 6], "nobody pretends to carry parcels where the sandbox is off");
    let dhl = json!({"dhl": {"api_key": "k"}, "fedex": {"client_id": "c", "client_secret": "s"}});
    assert_eq!(there(dhl.clone(), None), [None, None, None, None, Some(false), Some(false)]);
    assert_eq!(there(dhl, Some(&sandbox)), [Some(true), Some(true), Some(true), Some(true), Some(false), Some(false)]);
    for typo in [json!({"sandbx": true}), json!({"dhl": {"key": "k"}}), json!({"sandbox_reports": "loud"})] {
        assert!(serde_json::from_value::<Config>(typo.clone()).is_err(), "{typo}");
    }
}
