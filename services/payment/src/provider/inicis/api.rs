//! INIAPI v2: JSON, signed over the very text of its `data`. <https://manual.inicis.com/iniapi/>

use super::Inicis;
use crate::provider::{
    ChargeRef, Standing,
    http::{self, Answer, Silence},
};
use chrono::TimeDelta;
use jangteo_core::Time;
use ring::digest::{SHA512, digest};
use serde::Serialize;
use serde_json::Value;

/// What a request is about. Fields go out in this order, as in the manual's examples, since they are signed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<&'a str>,
    /// Won, as a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// What should be left afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    mid: &'a str,
    r#type: &'a str,
    timestamp: &'a str,
    client_ip: &'a str,
    hash_data: String,
    data: &'a Data<'a>,
}

/// A payment as the inquiry tells of it.
#[derive(Debug)]
pub(super) struct Payment {
    pub tid: String,
    pub oid: String,
    /// Whole won.
    pub price: i64,
    state: State,
}

#[derive(Debug)]
enum State {
    Approved,
    /// With what is left.
    PartCancelled(i64),
    Cancelled,
}

impl Payment {
    fn read(body: &Value) -> Option<Payment> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let state = match (text("transactionStatus"), text("status")) {
            ("APPROVAL", _) | ("", "0") => State::Approved,
            ("PART_CANCEL", _) => State::PartCancelled(won(&body["availablePartCancelPrice"])?),
            ("CANCEL", _) | ("", "1") => State::Cancelled,
            _ => return None,
        };
        let (tid, oid) = (text("tid").to_owned(), text("oid").to_owned());
        Some(Payment { tid, oid, price: won(&body["price"])?, state }).filter(|p| is_tid(&p.tid))
    }

    /// What of it was not given back, in won.
    pub fn left(&self) -> i64 {
        match self.state {
            State::Approved => self.price,
            State::PartCancelled(left) => left,
            State::Cancelled => 0,
        }
    }

    pub fn is_of(&self, charge: &ChargeRef) -> bool {
        self.price == charge.amount.minor
    }

    /// What was given back in parts to the last won may be called cancelled as well: whoever asks has captured it by then.
    pub fn standing(&self) -> Standing {
        match self.state {
            State::Approved | State::PartCancelled(_) => Standing::Captured { provider_ref: self.tid.clone() },
            State::Cancelled => Standing::Voided,
        }
    }
}

impl Inicis {
    pub(super) async fn ask(&self, kind: &str, data: &Data<'_>) -> Result<Answer, Silence> {
        let host = if self.cfg.test { "https://stginiapi.inicis.com" } else { "https://iniapi.inicis.com" };
        let base = self.base.as_deref().unwrap_or(host);
        let (cfg, timestamp) = (&self.cfg, timestamp(self.clock.now()));
        let hash_data = signature(cfg.api_key.show(), &cfg.mid, kind, &timestamp, data);
        let (mid, client_ip) = (cfg.mid.as_str(), cfg.client_ip.as_str());
        let body = Request { mid, r#type: kind, timestamp: &timestamp, client_ip, hash_data, data };
        http::ask(self.http.post(format!("{base}/v2/pg/{kind}")).json(&body)).await
    }

    /// `None`: Inicis knows no such payment, and says so.
    pub(super) async fn inquire(&self, data: &Data<'_>) -> Result<Option<Payment>, Silence> {
        let answer = self.ask("inquiry", data).await?;
        if answer.is_ok() && answer.text("/status") == "9" {
            return Ok(None);
        }
        let found = Payment::read(&answer.body).filter(|_| answer.is_ok() && answer.text("/resultCode") == "SUCCESS");
        found.map(Some).ok_or_else(|| Silence::Unknown(told(&answer)))
    }
}

pub(super) fn is_done(answer: &Answer) -> bool {
    answer.is_ok() && answer.text("/resultCode") == "00"
}

/// Inicis has heard it, and says no.
pub(super) fn is_refusal(answer: &Answer) -> bool {
    answer.is_ok() && !matches!(answer.text("/resultCode"), "" | "00")
}

/// For the log: codes alone, as messages may repeat what was sent.
pub(super) fn told(answer: &Answer) -> String {
    let code = |name| answer.text(name);
    format!("{} {} {} from inicis", answer.status, code("/resultCode"), code("/detailResultCode"))
}

/// 40 letters, digits and signs.
pub(super) fn is_tid(text: &str) -> bool {
    (20..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

fn won(amount: &Value) -> Option<i64> {
    amount.as_i64().or_else(|| amount.as_str()?.parse().ok()).filter(|won| *won >= 0)
}

/// Korea's time: `20260911093456`.
fn timestamp(now: Time) -> String {
    (now + TimeDelta::hours(9)).format("%Y%m%d%H%M%S").to_string()
}

fn signature(key: &str, mid: &str, kind: &str, timestamp: &str, data: &Data<'_>) -> String {
    let data = serde_json::to_string(data).expect("texts alone");
    let hash = digest(&SHA512, [key, mid, kind, timestamp, &data].concat().as_bytes());
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;
    use serde_json::json;

    /// By Python's hashlib, from the parts that two independent programs put together.
    #[test]
    fn requests_are_signed_over_the_text_of_their_data() {
        let now = timestamp(from_micros(1_789_086_896_000_000));
        assert_eq!(now, "20260911093456");
        let data = Data { tid: Some("TID-1"), ..Data::default() };
        let signed = signature("ItEQKi3rY7uvDS8l", "INIpayTest", "inquiry", &now, &data);
        assert!(signed.starts_with("f452577fbd6a313c6051731504f7344f5468b9b47f394519e7e1cba64bf2d678"), "{signed}");
        assert!(signed.ends_with("803558dfb464a547da1eef4266b948f292833335031c474f5c5c0cf469a76dd1"), "{signed}");
        let (price, confirm_price) = (Some("3000".into()), Some("7000".into()));
        let data = Data { tid: Some("T"), msg: Some("M"), price, confirm_price, currency: Some("WON"), oid: None };
        let text = r#"{"tid":"T","msg":"M","price":"3000","confirmPrice":"7000","currency":"WON"}"#;
        assert_eq!(serde_json::to_string(&data).unwrap(), text);
    }

    #[test]
    fn only_what_is_understood_is_a_payment() {
        let told = |status: &str, left: Value| {
            let tid = "INIMX_CARDINIpayTest20260911093456000001";
            let body = json!({
                "tid": tid, "oid": "o", "price": "1000", "transactionStatus": status, "availablePartCancelPrice": left,
            });
            Payment::read(&body).map(|p| (p.left(), p.standing() == Standing::Voided))
        };
        assert_eq!(told("APPROVAL", Value::Null), Some((1_000, false)));
        assert_eq!(told("PART_CANCEL", "400".into()), Some((400, false)));
        assert_eq!(told("CANCEL", Value::Null), Some((0, true)));
        for (status, left) in [("PART_CANCEL", Value::Null), ("PART_CANCEL", "-1".into()), ("READY", Value::Null)] {
            assert_eq!(told(status, left), None, "{status}");
        }
    }
}
