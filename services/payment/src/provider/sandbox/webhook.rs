//! The sandbox's webhooks: signed as Stripe signs its own, `t=<seconds>,v1=<HMAC-SHA256 of "t.body">`, and sent to the market's
//! own webhook endpoint in this process, late, twice or out of order as the card says.

use super::{Sandbox, standing};
use crate::{
    provider::{About, Forged, News, Notice, Verified},
    store::sandbox::{self as store, Model, webhook::Model as Row},
};
use jangteo_core::{Error, Id, Result, Time, micros};
use kit::db::Tx;
use ring::hmac;
use serde::{Deserialize, Serialize};

pub const HEADER: &str = "sandbox-signature";

/// Seconds; older messages, and those from the future, are not believed.
const TOLERANCE: i64 = 300;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    event_id: String,
    key: String,
    provider_ref: String,
    standing: String,
    decline_reason: String,
}

/// A message on its way: its row, its bytes and their signature.
pub struct Outgoing {
    pub row: Row,
    pub body: Vec<u8>,
    pub signature: String,
}

/// Puts a message up for sending in so many milliseconds, so many times.
pub async fn queue(tx: &Tx, charge: &Model, standing: &str, in_ms: u64, copies: i64) -> Result<()> {
    let row = Row {
        event_id: Id::<Event>::new().to_string(),
        provider: charge.provider.clone(),
        charge_key: charge.key.clone(),
        provider_ref: charge.provider_ref.clone(),
        standing: standing.to_owned(),
        decline_reason: charge.decline_reason.clone(),
        copies,
        due: micros(tx.now()) + i64::try_from(in_ms).unwrap_or(0) * 1_000,
    };
    store::webhook::insert(tx, row).await
}

enum Event {}

impl jangteo_core::Entity for Event {
    const NAME: &'static str = "sandbox_event";
    const PREFIX: &'static str = "evt";
}

pub fn verify(key: &hmac::Key, signature: &str, body: &[u8], now: Time) -> Verified {
    let part = |name: &str| signature.split(',').find_map(|p| p.trim().strip_prefix(name)?.strip_prefix('='));
    let time: i64 = part("t").and_then(|t| t.parse().ok()).ok_or(Forged("its signature has no time"))?;
    let tag = part("v1").and_then(unhex).ok_or(Forged("its signature has no tag"))?;
    if (now.timestamp() - time).abs() > TOLERANCE {
        return Err(Forged("it is too old").into());
    }
    hmac::verify(key, &signed(time, body), &tag).map_err(|_| Forged("its signature is wrong"))?;
    let m: Message = serde_json::from_slice(body).map_err(|_| Forged("it can't be read"))?;
    let redirect_url = String::new();
    let news = match m.standing.as_str() {
        "ACTION_REQUIRED" => News::Changed,
        state => News::Standing(standing(state, m.provider_ref, redirect_url, &m.decline_reason)),
    };
    Ok(vec![Notice { event_id: m.event_id, about: About::Key(m.key), news }])
}

fn signed(time: i64, body: &[u8]) -> Vec<u8> {
    [time.to_string().as_bytes(), b".", body].concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).ok().filter(|p| p.len() == 2)?, 16).ok()).collect()
}

impl Sandbox {
    /// The messages to send now. A charge that was undecided is decided before its message goes out.
    pub async fn outgoing(&self, now: Time) -> Result<Vec<Outgoing>> {
        let rows = store::webhooks(self.db.primary(), &self.name, micros(now), 100).await?;
        let mut out = Vec::new();
        for row in rows {
            let key = &row.charge_key;
            let decide = async |tx: Tx| match store::locked(&tx, &self.name, key).await? {
                Some(charge) if charge.state == "PENDING" => {
                    store::save(&tx, Model { state: "AUTHORISED".into(), ..charge }).await
                }
                _ => Ok(()),
            };
            self.db.write(&self.call(), decide).await?;
            let message = Message {
                event_id: row.event_id.clone(),
                key: row.charge_key.clone(),
                provider_ref: row.provider_ref.clone(),
                standing: row.standing.clone(),
                decline_reason: row.decline_reason.clone(),
            };
            let body = serde_json::to_vec(&message).map_err(Error::internal)?;
            let signature = self.sign(&body, now);
            out.push(Outgoing { row, body, signature });
        }
        Ok(out)
    }

    pub fn sign(&self, body: &[u8], now: Time) -> String {
        let tag = hmac::sign(&self.key, &signed(now.timestamp(), body));
        let tag: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("t={},v1={tag}", now.timestamp())
    }

    /// It arrived; the next copy follows soon.
    pub async fn arrived(&self, outgoing: Outgoing) -> Result<()> {
        let row = &outgoing.row;
        let write = async |tx: Tx| store::sent(&tx, row.clone(), micros(tx.now()) + 100_000).await;
        self.db.write(&self.call(), write).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    #[test]
    fn only_what_was_signed_lately_is_believed() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        let body =
            br#"{"eventId":"evt_1","key":"ord_1:1","providerRef":"sbx_1","standing":"AUTHORISED","declineReason":""}"#;
        let tag: String = hmac::sign(&key, &signed(100, body)).as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let at = |seconds: i64| from_micros(seconds * 1_000_000);
        let good = format!("t=100,v1={tag}");
        assert_eq!(verify(&key, &good, body, at(100)).unwrap()[0].about, About::Key("ord_1:1".into()));
        for (signature, body, seconds) in [
            (good.as_str(), body.as_slice(), 401),
            (&good, b"{}", 100),
            (&format!("t=101,v1={tag}"), body, 100),
            (&format!("v1={tag}"), body, 100),
            ("t=100,v1=00", body, 100),
            ("t=100,v1=\u{e9}", body, 100),
            ("", body, 100),
        ] {
            assert!(verify(&key, signature, body, at(seconds)).is_err(), "{signature}");
        }
    }
}
