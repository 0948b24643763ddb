//! The providers' APIs, each as its documentation says.

use crate::support::noon;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, Version},
};
use base64::{Engine, prelude::*};
use chrono::TimeDelta;
use jangteo_core::ManualClock;
use notification::{
    Outcome,
    ports::{
        GONE, Parcel, Receipt, Sender,
        apns::{Apns, ApnsConfig},
        fcm::{Fcm, FcmConfig},
        solapi::{Solapi, SolapiConfig},
        twilio::{Twilio, TwilioConfig},
    },
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, KeyPair, RsaKeyPair},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A provider that answers from a script and remembers what it was asked.
#[derive(Clone, Default)]
struct Fake(Arc<Inner>);

/// Status, headers, body.
type Scripted = (u16, &'static [(&'static str, &'static str)], Value);

#[derive(Default)]
struct Inner {
    script: Mutex<VecDeque<Scripted>>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone)]
struct Seen {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Fake {
    async fn start() -> (Fake, String) {
        let fake = Fake::default();
        let app = Router::new().fallback(answer).with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "the server lives as long as the test")]
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (fake, url)
    }

    fn answers(&self, status: u16, headers: &'static [(&'static str, &'static str)], body: Value) {
        self.0.script.lock().unwrap().push_back((status, headers, body));
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.0.seen.lock().unwrap())
    }
}

async fn answer(
    State(fake): State<Fake>,
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let body = String::from_utf8(body.to_vec()).unwrap();
    fake.0.seen.lock().unwrap().push(Seen { method, uri, version, headers, body });
    let (status, headers, body) = fake.0.script.lock().unwrap().pop_front().unwrap_or((500, &[], Value::Null));
    let headers = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string())
}

pub const KEY: &str = "dlv_0192f1c2e4b87c3a9d5e6f708192a3b4";

pub fn parcel() -> Parcel<'static> {
    Parcel {
        key: KEY,
        notification_id: "ntf_1",
        kind: "order_paid",
        title: "결제가 완료되었습니다: 의자",
        body: "판매자가 상품을 준비합니다.",
        html: Some("<p>판매자가</p>".into()),
        link: "/orders/ord_1",
        url: "https://jangteo.example/orders/ord_1",
        urgent: true,
    }
}

fn clock() -> (ManualClock, Arc<ManualClock>) {
    let clock = ManualClock::at(noon());
    (clock.clone(), Arc::new(clock))
}

pub const TO: &str = "+821012345678";

fn later(seconds: i64, why: &'static str) -> Outcome {
    Outcome::Later { after: Some(TimeDelta::seconds(seconds)), why }
}

#[tokio::test]
async fn twilio() {
    let (fake, url) = Fake::start().await;
    let cfg = TwilioConfig { url, account_sid: "AC1".into(), auth_token: "secret".into(), from: "+15017122661".into() };
    let sender = Twilio::new(cfg.clone()).unwrap();
    fake.answers(201, &[], json!({"sid": "SM1", "status": "queued"}));
    assert_eq!(sender.send(TO, &parcel()).await, Outcome::Sent("SM1".into()));
    let seen = fake.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/2010-04-01/Accounts/AC1/Messages.json"));
    assert_eq!(seen.header("authorization"), format!("Basic {}", BASE64_STANDARD.encode("AC1:secret")));
    assert_eq!(seen.header("content-type"), "application/x-www-form-urlencoded");
    assert!(
        seen.body.starts_with("To=%2B821012345678&From=%2B15017122661&Body=%5B%EC%9E%A5%ED%84%B0%5D+"),
        "{}",
        seen.body
    );
    for (status, headers, code, expected) in [
        (400, &[] as &[_], 21211, Outcome::Never { why: GONE }),
        (400, &[], 21610, Outcome::Never { why: GONE }),
        (400, &[], 21408, Outcome::Elsewhere { why: "NO_ROUTE" }),
        (401, &[], 20003, Outcome::Elsewhere { why: "NOT_ADMITTED" }),
        (429, &[("retry-after", "17")], 20429, later(17, "TOO_MANY")),
        (503, &[], 20503, Outcome::Later { after: None, why: "PROVIDER_DOWN" }),
        (400, &[], 21617, Outcome::Never { why: "REFUSED" }),
    ] {
        fake.answers(status, headers, json!({"code": code, "message": "about +821012345678"}));
        assert_eq!(sender.send(TO, &parcel()).await, expected, "{code}");
    }
    fake.answers(201, &[], json!("no object"));
    assert_eq!(sender.send(TO, &parcel()).await, Outcome::Unknown { why: "BROKEN_ANSWER" });
    fake.seen();
    for (status, expected) in
        [("sent", Receipt::Pending), ("delivered", Receipt::Arrived), ("undelivered", Receipt::Lost("UNDELIVERED"))]
    {
        fake.answers(200, &[], json!({"sid": "SM1", "status": status}));
        assert_eq!(sender.receipt("SM1").await.unwrap(), expected);
        assert_eq!(fake.seen()[0].uri.path(), "/2010-04-01/Accounts/AC1/Messages/SM1.json");
    }
    let away = Twilio::new(TwilioConfig { url: "http://127.0.0.1:1".into(), ..cfg }).unwrap();
    assert_eq!(away.send(TO, &parcel()).await, Outcome::Elsewhere { why: "NO_CONNECTION" });
    assert!(Twilio::new(TwilioConfig::default()).is_err());
}

#[tokio::test]
async fn solapi() {
    let (fake, url) = Fake::start().await;
    let cfg = SolapiConfig { url, api_key: "NCS1".into(), api_secret: "secret".into(), from: "0212345678".into() };
    let (_, clock) = clock();
    let sender = Solapi::new(cfg, clock).unwrap();
    fake.answers(200, &[], json!({"groupId": "G4V1", "messageId": "M4V1", "statusCode": "2000", "to": "01012345678"}));
    assert_eq!(sender.send(TO, &parcel()).await, Outcome::Sent("M4V1".into()));
    let seen = fake.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.path()), ("POST", "/messages/v4/send"));
    let message = &seen.json()["message"];
    assert_eq!((message["to"].as_str(), message["from"].as_str()), (Some("01012345678"), Some("0212345678")));
    assert_eq!(message["text"], "[장터] 결제가 완료되었습니다: 의자\nhttps://jangteo.example/orders/ord_1");
    assert_eq!(message["customFields"]["key"], KEY);
    assert!(signed(seen.header("authorization")), "{}", seen.header("authorization"));
    for (status, body, expected) in [
        (200, json!({"messageId": "M4V1", "statusCode": "1062"}), Outcome::Elsewhere { why: "NOT_TAKEN" }),
        (400, json!({"errorCode": "ValidationError"}), Outcome::Never { why: "REFUSED" }),
        (400, json!({"errorCode": "NotEnoughBalance"}), Outcome::Elsewhere { why: "NOT_ADMITTED" }),
        (403, json!({"errorCode": "SignatureDoesNotMatch"}), Outcome::Elsewhere { why: "NOT_ADMITTED" }),
        (500, Value::Null, Outcome::Later { after: None, why: "PROVIDER_DOWN" }),
    ] {
        fake.answers(status, &[], body);
        assert_eq!(sender.send(TO, &parcel()).await, expected, "{status}");
    }
    fake.seen();
    assert_eq!(sender.send("+14155550100", &parcel()).await, Outcome::Elsewhere { why: "FOREIGN_NUMBER" });
    assert!(fake.seen().is_empty());
    for (code, expected) in [
        ("2000", Receipt::Pending),
        ("3000", Receipt::Pending),
        ("4000", Receipt::Arrived),
        ("3040", Receipt::Lost("UNDELIVERED")),
    ] {
        fake.answers(200, &[], json!({"messageList": {"M4V1": {"statusCode": code}}}));
        assert_eq!(sender.receipt("M4V1").await.unwrap(), expected, "{code}");
        assert_eq!(fake.seen()[0].uri.query(), Some("criteria=messageId&cond=eq&value=M4V1"));
    }
}

/// As the documentation asks the other side to check.
fn signed(authorization: &str) -> bool {
    let fields = authorization.strip_prefix("HMAC-SHA256 ").unwrap().split(", ");
    let fields: Vec<&str> = fields.map(|f| f.split_once('=').unwrap().1).collect();
    let [key, date, salt, signature] = fields[..] else { panic!("four fields") };
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"secret"), format!("{date}{salt}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    key == "NCS1" && date == "2026-11-21T03:00:00.000Z" && (12..=64).contains(&salt.len()) && signature == hex
}

/// The parts of a token: header, claims, what is signed, signature.
fn jwt(token: &str) -> (Value, Value, String, Vec<u8>) {
    let (text, signature) = token.rsplit_once('.').unwrap();
    let part = |n: usize| BASE64_URL_SAFE_NO_PAD.decode(text.split('.').nth(n).unwrap()).unwrap();
    let json = |n| serde_json::from_slice(&part(n)).unwrap();
    (json(0), json(1), text.to_owned(), BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn fcm_error(status: u16, code: &str) -> Value {
    let detail = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code});
    json!({"error": {"code": status, "status": "X", "details": [detail]}})
}

#[tokio::test]
async fn fcm() {
    let (fake, url) = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let pem = include_str!("rsa.pem");
    let account = json!({
        "type": "service_account", "project_id": "jangteo-1", "private_key_id": "kid1", "private_key": pem,
        "client_email": "push@jangteo-1.iam.gserviceaccount.com", "token_uri": format!("{url}/token"),
    });
    let service_account = folder.path().join("account.json");
    std::fs::write(&service_account, account.to_string()).unwrap();
    let (time, shared) = clock();
    let sender = Fcm::new(&FcmConfig { url: url.clone(), service_account }, shared).unwrap();
    fake.answers(200, &[], json!({"access_token": "ya29.1", "expires_in": 3599, "token_type": "Bearer"}));
    fake.answers(200, &[], json!({"name": "projects/jangteo-1/messages/1"}));
    assert_eq!(sender.send("device-1", &parcel()).await, Outcome::Sent("projects/jangteo-1/messages/1".into()));
    let seen = fake.seen();
    let (grant, assertion) = seen[0].body.split_once("&assertion=").unwrap();
    assert_eq!(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let (header, claims, text, signature) = jwt(assertion);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "kid1"}));
    let iat = noon().timestamp();
    assert_eq!(
        claims,
        json!({
            "iss": "push@jangteo-1.iam.gserviceaccount.com", "aud": format!("{url}/token"), "iat": iat, "exp": iat + 3600,
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
        })
    );
    let lines: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(lines).unwrap()).unwrap();
    let public = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(text.as_bytes(), &signature).unwrap();
    assert_eq!(
        (seen[1].uri.path(), seen[1].header("authorization")),
        ("/v1/projects/jangteo-1/messages:send", "Bearer ya29.1")
    );
    let message = &seen[1].json()["message"];
    assert_eq!((message["token"].as_str(), message["android"]["priority"].as_str()), (Some("device-1"), Some("HIGH")));
    assert_eq!(message["notification"], json!({"title": parcel().title, "body": parcel().body}));
    assert_eq!(message["data"], json!({"notification_id": "ntf_1", "link": "/orders/ord_1"}));
    assert_eq!(message["android"]["notification"]["tag"], KEY);

    for (status, headers, code, expected) in [
        (404, &[] as &[_], "UNREGISTERED", Outcome::Never { why: GONE }),
        (403, &[], "SENDER_ID_MISMATCH", Outcome::Never { why: GONE }),
        (400, &[], "INVALID_ARGUMENT", Outcome::Never { why: "REFUSED" }),
        (429, &[("retry-after", "Sat, 21 Nov 2026 03:02:00 GMT")], "QUOTA_EXCEEDED", later(120, "TOO_MANY")),
        (429, &[], "QUOTA_EXCEEDED", later(60, "TOO_MANY")),
        (503, &[("retry-after", "9")], "UNAVAILABLE", later(9, "PROVIDER_DOWN")),
    ] {
        fake.answers(status, headers, fcm_error(status, code));
        assert_eq!(sender.send("device-1", &parcel()).await, expected, "{code}");
    }
    assert_eq!(fake.seen().len(), 6, "the token is kept");
    fake.answers(401, &[], fcm_error(401, "THIRD_PARTY_AUTH_ERROR"));
    assert_eq!(sender.send("device-1", &parcel()).await, Outcome::Later { after: None, why: "TOKEN_REFUSED" });
    fake.answers(400, &[], json!({"error": "invalid_grant"}));
    assert_eq!(sender.send("device-1", &parcel()).await, Outcome::Elsewhere { why: "NO_TOKEN" });
    assert_eq!(fake.seen().last().unwrap().uri.path(), "/token", "a refused token is not used again");
    for _ in 0..2 {
        fake.answers(200, &[], json!({"access_token": "ya29.2", "expires_in": 3599}));
        fake.answers(200, &[], json!({"name": "2"}));
        assert_eq!(sender.send("device-1", &parcel()).await, Outcome::Sent("2".into()));
        assert_eq!(fake.seen().len(), 2);
        time.advance(TimeDelta::minutes(58));
    }
}

#[tokio::test]
async fn apns() {
    let (fake, url) = Fake::start().await;
    let folder = tempfile::tempdir().unwrap();
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    let public = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &SystemRandom::new()).unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der.as_ref()));
    let key = folder.path().join("AuthKey_1.p8");
    std::fs::write(&key, pem).unwrap();
    let cfg = ApnsConfig { url, key, key_id: "KID1".into(), team_id: "TEAM1".into(), topic: "kr.jangteo.app".into() };
    let (time, shared) = clock();
    let sender = Apns::new(&cfg, shared).unwrap();
    fake.answers(200, &[], Value::Null);
    let id = "0192f1c2-e4b8-7c3a-9d5e-6f708192a3b4";
    assert_eq!(sender.send("00fc13ad", &parcel()).await, Outcome::Sent(id.into()));
    let seen = fake.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.uri.path(), seen.version), ("POST", "/3/device/00fc13ad", Version::HTTP_2));
    for (name, value) in [
        ("apns-topic", "kr.jangteo.app"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-id", id),
        ("apns-collapse-id", KEY),
        ("apns-expiration", "1795316400"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(seen.json()["aps"]["alert"], json!({"title": parcel().title, "body": parcel().body}));
    let token = seen.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
    let (header, claims, text, signed) = jwt(&token);
    assert_eq!(header, json!({"alg": "ES256", "kid": "KID1"}));
    assert_eq!(claims, json!({"iss": "TEAM1", "iat": noon().timestamp()}));
    let public = signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, public.public_key().as_ref());
    public.verify(text.as_bytes(), &signed).unwrap();

    for (status, headers, reason, expected) in [
        (400, &[] as &[_], "BadDeviceToken", Outcome::Never { why: GONE }),
        (410, &[], "Unregistered", Outcome::Never { why: GONE }),
        (413, &[], "PayloadTooLarge", Outcome::Never { why: "REFUSED" }),
        (403, &[], "TopicDisallowed", Outcome::Elsewhere { why: "NOT_ADMITTED" }),
        (429, &[("retry-after", "30")], "TooManyRequests", later(30, "TOO_MANY")),
        (503, &[], "Shutdown", Outcome::Later { after: None, why: "PROVIDER_DOWN" }),
    ] {
        fake.answers(status, headers, json!({"reason": reason}));
        assert_eq!(sender.send("00fc13ad", &parcel()).await, expected, "{reason}");
    }
    let bearer = |seen: &Seen| seen.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
    assert!(fake.seen().iter().all(|s| bearer(s) == token), "the token is kept");
    time.advance(TimeDelta::minutes(41));
    fake.answers(403, &[], json!({"reason": "ExpiredProviderToken"}));
    assert_eq!(sender.send("00fc13ad", &parcel()).await, Outcome::Later { after: None, why: "TOKEN_REFUSED" });
    assert_ne!(bearer(&fake.seen()[0]), token);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let cfg = TwilioConfig { url, account_sid: "AC1".into(), auth_token: "s".into(), from: "+1".into() };
    let sender = Twilio::new(cfg).unwrap();
    let cut = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // The request has arrived; its answer never leaves.
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let parcel = parcel();
    let (outcome, ()) = tokio::join!(sender.send(TO, &parcel), cut);
    assert_eq!(outcome, Outcome::Unknown { why: "NO_ANSWER" });
}
