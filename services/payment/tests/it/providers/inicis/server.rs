//! A fake of KG Inicis: approvals for those who come back from its window, and INIAPI. It takes `confirmPrice` and does not look
//! at it, as nobody says that it does.

use super::super::{
    Confirm, GOOD, NOW, Rig, at,
    fake::{Api, Ask, Books, Fake},
};
use axum::http::HeaderMap;
use jangteo_core::ManualClock;
use kit::db::Db;
use payment::provider::{
    Charge, Instrument,
    inicis::{Config, Inicis},
};
use ring::digest::{SHA512, digest};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use testbed::{Kind, Stores};

pub const MID: &str = "jangteo001";
const API_KEY: &str = "api_key_1";

/// Where the fake is, in its books.
const URL: &str = "url";

pub fn config(url: &str, api_key: &str) -> Config {
    Config {
        mid: MID.into(),
        hash_key: "hash_key_1".to_owned().into(),
        api_key: api_key.to_owned().into(),
        url: url.to_owned(),
        ..Config::default()
    }
}

pub fn window() -> Instrument {
    Instrument::EasyPay("inicis".into())
}

#[derive(Clone, Default)]
pub struct Server {
    /// Whether what is given back is given back later: [`Server::arrive`].
    pub slow: Arc<AtomicBool>,
    /// Whether it gives no parts back.
    pub strict: Arc<AtomicBool>,
}

pub async fn start(server: Server) -> Arc<Fake> {
    let (fake, url) = Fake::start(server).await;
    fake.books().objects.insert(URL.into(), url.trim_end_matches('/').into());
    fake
}

pub fn provider(db: Db, clock: &ManualClock, cfg: Config) -> Arc<Inicis> {
    Arc::new(Inicis::new(cfg, db, Arc::new(clock.clone())).unwrap())
}

pub async fn rig() -> Rig {
    rig_with(Server::default()).await.0
}

pub async fn rig_with(server: Server) -> (Rig, ManualClock) {
    let (fake, clock) = (start(server).await, ManualClock::at(at(NOW)));
    let stores = Stores::open(Kind::Sqlite, "payment", payment::MIGRATIONS).await;
    let inicis = |url: &str, key: &str| provider(stores.db(), &clock, config(url, key));
    let rig = Rig {
        provider: inicis(&fake.url, API_KEY),
        stranger: inicis(&fake.url, "api_key_2"),
        nowhere: inicis("http://127.0.0.1:1", API_KEY),
        fake,
        confirms: Some((window(), Confirm::Here(come_back))),
        declines: &[],
        standing,
        message: |_, _, _| panic!("it sends none"),
        came_back: Default::default(),
        _stores: Some(stores),
    };
    (rig, clock)
}

/// Payments that were not given up, and won that were not given back.
pub fn standing(books: &Books) -> (usize, i64) {
    let given_up = |p: &&Value| ["VOID", "WRONG"].iter().any(|why| p["why"].as_str().unwrap().starts_with(why));
    let taken: Vec<_> = books.of("INIMX_CARD").filter(|p| !given_up(p)).collect();
    (taken.len(), books.of("INIMX_CARD").map(|p| p["left"].as_i64().unwrap()).sum())
}

fn oid(key: &str) -> String {
    key["ord_".len()..].replace(':', "-")
}

/// The buyer gets through in the window, and brings this back.
pub fn come_back(books: &mut Books, charge: &Charge) -> Vec<u8> {
    form(books, &oid(&charge.key), charge.amount.minor)
}

pub fn form(books: &mut Books, oid: &str, amount: i64) -> Vec<u8> {
    let number = books.objects.len();
    let tid = format!("INIMX_AUTH{MID}20270115170000{number:06}");
    let payer = if books.payer.is_empty() { GOOD.to_owned() } else { books.payer.clone() };
    books.objects.insert(tid.clone(), json!({ "oid": oid, "amount": amount, "payer": payer, "used": false }));
    let at = format!("{}/smart/payReq.ini", books.objects[URL].as_str().unwrap());
    form_of(&[
        ("P_STATUS", "00"),
        ("P_RMESG1", "성공"),
        ("P_TID", &tid),
        ("P_AMT", &amount.to_string()),
        ("P_REQ_URL", &at),
        ("P_NOTI", ""),
        ("idc_name", "fc"),
    ])
}

pub fn form_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut url = reqwest::Url::parse("form:").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap().as_bytes().to_vec()
}

impl Api for Server {
    fn admits(&self, _headers: &HeaderMap) -> bool {
        true
    }

    fn error(&self, code: &str) -> Value {
        json!({ "resultCode": "01", "resultMsg": code })
    }

    fn other_request(&self) -> (u16, Value) {
        panic!("there are no keys")
    }

    fn spares(&self, ask: &Ask) -> bool {
        ask.path.ends_with("/inquiry")
    }

    fn answer(&self, books: &mut Books, ask: &Ask) -> (u16, Value) {
        assert_eq!(ask.method, "POST");
        if ask.path == "/smart/payReq.ini" {
            return (200, approve(books, &ask.form));
        }
        let kind = ask.path.strip_prefix("/v2/pg/").unwrap();
        assert_eq!((&ask.json["type"], &ask.json["mid"]), (&json!(kind), &json!(MID)));
        if !is_signed(ask) {
            return (200, json!({ "resultCode": "01", "resultMsg": "hashData" }));
        }
        let data = &ask.json["data"];
        let answer = match kind {
            "inquiry" => inquire(books, data),
            "refund" => self.cancel(books, data),
            "partialRefund" => self.cancel_part(books, data),
            other => panic!("inicis has no {other}"),
        };
        (200, answer)
    }
}

/// Over the bytes of `data` as they came.
fn is_signed(ask: &Ask) -> bool {
    let data = ask.raw.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap();
    let field = |name: &str| ask.json[name].as_str().unwrap();
    assert_eq!(field("timestamp").len(), 14);
    let text = [API_KEY, MID, field("type"), field("timestamp"), data].concat();
    let hash: String = digest(&SHA512, text.as_bytes()).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    hash == field("hashData")
}

/// As text, since that is how approvals are answered. A proof is good for one.
fn approve(books: &mut Books, form: &BTreeMap<String, String>) -> Value {
    assert_eq!(form["P_MID"], MID);
    let number = books.objects.len();
    let Some(proof) = books.objects.get_mut(&form["P_TID"]).filter(|p| p["used"] == false) else {
        return "P_STATUS=1001&P_RMESG1=인증정보 없음".into();
    };
    proof["used"] = true.into();
    if proof["payer"] != GOOD {
        return "P_STATUS=01&P_RMESG1=[1234] 한도초과".into();
    }
    let (oid, amount) = (proof["oid"].clone(), proof["amount"].clone());
    let tid = format!("INIMX_CARD{MID}20270115170000{number:06}");
    let said = format!(
        "P_STATUS=00&P_RMESG1=성공적으로 처리 하였습니다.&P_TID={tid}&P_MID={MID}&P_OID={}&P_AMT={amount}&P_TYPE=CARD\n",
        oid.as_str().unwrap(),
    );
    let payment = json!({ "oid": oid, "price": amount, "left": amount, "why": "", "parts": [], "promised": [] });
    books.objects.insert(tid, payment);
    said.into()
}

fn inquire(books: &Books, data: &Value) -> Value {
    let mut payments = books.objects.iter().filter(|(id, _)| id.starts_with("INIMX_CARD"));
    let found = match data["tid"].as_str() {
        Some(tid) => payments.find(|(id, _)| *id == tid),
        None => payments.find(|(_, p)| p["oid"] == data["oid"]),
    };
    let Some((tid, p)) = found else { return json!({ "resultCode": "SUCCESS", "status": "9" }) };
    let status = match p["left"].as_i64().unwrap() {
        0 => "CANCEL",
        left if left < p["price"].as_i64().unwrap() => "PART_CANCEL",
        _ => "APPROVAL",
    };
    json!({
        "resultCode": "SUCCESS", "mid": MID, "tid": tid, "oid": p["oid"], "price": p["price"].to_string(),
        "transactionStatus": status, "availablePartCancelPrice": p["left"].to_string(),
    })
}

fn refused(detail: &str) -> Value {
    json!({ "resultCode": "01", "detailResultCode": detail })
}

impl Server {
    fn cancel(&self, books: &mut Books, data: &Value) -> Value {
        let payment = books.objects.get_mut(data["tid"].as_str().unwrap()).unwrap();
        if payment["left"] != payment["price"] {
            return refused("500626");
        }
        let all = payment["price"].as_i64().unwrap();
        self.give(payment, all, data)
    }

    fn cancel_part(&self, books: &mut Books, data: &Value) -> Value {
        assert_eq!(data["currency"], "WON");
        let payment = books.objects.get_mut(data["tid"].as_str().unwrap()).unwrap();
        let amount: i64 = data["price"].as_str().unwrap().parse().unwrap();
        if amount > payment["left"].as_i64().unwrap() || self.strict.load(Ordering::Relaxed) {
            return refused("500000");
        }
        payment["promised"].as_array_mut().unwrap().push(data["confirmPrice"].clone());
        self.give(payment, amount, data)
    }

    fn give(&self, payment: &mut Value, amount: i64, data: &Value) -> Value {
        payment["parts"].as_array_mut().unwrap().push(amount.into());
        payment["why"] = data["msg"].clone();
        if !self.slow.load(Ordering::Relaxed) {
            Server::arrive(payment);
        }
        json!({ "resultCode": "00", "prtcPrice": amount.to_string() })
    }

    /// What was slow has its effect.
    pub fn arrive(payment: &mut Value) {
        let given: i64 = payment["parts"].as_array().unwrap().iter().map(|p| p.as_i64().unwrap()).sum();
        payment["left"] = (payment["price"].as_i64().unwrap() - given).into();
    }
}

/// The only payment there is.
pub fn only(books: &mut Books) -> &mut Value {
    let mut all = books.objects.iter_mut().filter(|(id, _)| id.starts_with("INIMX_CARD"));
    let only = all.next().expect("a payment").1;
    assert!(all.next().is_none(), "there are two");
    only
}
