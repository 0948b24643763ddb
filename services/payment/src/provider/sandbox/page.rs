//! The page on which a buyer confirms a payment, as a bank or a simple-payment service would show one.

use super::{Sandbox, webhook};
use crate::{
    checkout::{document, escaped, link},
    domain::Fault,
    provider::Decline,
    store::sandbox::{self as store, Model},
};
use jangteo_core::{Error, Result};
use kit::db::Tx;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Approve,
    Decline,
}

impl Decision {
    /// Of a form or a JSON object.
    pub fn parse(body: &[u8]) -> Result<Decision> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let json = serde_json::from_str::<serde_json::Value>(text).ok();
        let json = json.as_ref().and_then(|v| v.get("decision")?.as_str());
        match json.or_else(|| text.split('&').find_map(|pair| pair.strip_prefix("decision="))) {
            Some("approve") => Ok(Decision::Approve),
            Some("decline") => Ok(Decision::Decline),
            _ => Err(Error::invalid("body", "INVALID_DECISION", "must say decision=approve or decision=decline")),
        }
    }
}

impl Sandbox {
    async fn at_checkout(&self, token: &str) -> Result<Model> {
        let row = store::at_checkout(self.db.primary(), &self.name, token).await?;
        row.ok_or_else(|| Error::not_found("checkout", token))
    }

    pub async fn page(&self, token: &str) -> Result<String> {
        let row = self.at_checkout(token).await?;
        if row.state != "ACTION_REQUIRED" {
            return Ok(done(&row));
        }
        let (order, won) = (escaped(&row.order_id), row.amount);
        Ok(html(&format!(
            "<p>Order {order}</p><p><strong>{won} KRW</strong></p>\
             <form method=\"post\" action=\"/v1/sandbox/checkout/{token}:decide\">\
             <button name=\"decision\" value=\"approve\">Approve</button> \
             <button name=\"decision\" value=\"decline\">Decline</button></form>"
        )))
    }

    /// Notes what the buyer decided, and has a webhook say so.
    pub async fn decide(&self, token: &str, decision: Decision) -> Result<String> {
        let key = &self.at_checkout(token).await?.key;
        let write = async |tx: Tx| {
            let row = store::locked(&tx, &self.name, key).await?.ok_or_else(|| Error::not_found("checkout", token))?;
            let (state, why) = match decision {
                Decision::Approve => ("AUTHORISED", ""),
                Decision::Decline => ("DECLINED", Decline::AuthenticationFailed.name()),
            };
            if row.state == state {
                return Ok(());
            }
            if row.state != "ACTION_REQUIRED" {
                return Err(Fault::AlreadyDecided.into());
            }
            let row = Model { state: state.into(), decline_reason: why.into(), ..row };
            store::save(&tx, row.clone()).await?;
            let copies = if row.scenario == "CONFIRM_THRICE" { 3 } else { 1 };
            webhook::queue(&tx, &row, state, 0, copies).await?;
            if row.scenario == "CONFIRM_SHUFFLED" {
                webhook::queue(&tx, &row, "ACTION_REQUIRED", 50, 2).await?;
            }
            Ok(())
        };
        self.db.write(&self.call(), write).await?;
        Ok(done(&self.at_checkout(token).await?))
    }
}

fn done(row: &Model) -> String {
    let said = if matches!(row.state.as_str(), "AUTHORISED" | "CAPTURED") { "Approved." } else { "Not approved." };
    html(&format!("<p>{said}{}</p>", link(&row.return_url, "Back to the shop")))
}

fn html(body: &str) -> String {
    document("en", "Sandbox bank", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_objects_are_read() {
        assert_eq!(Decision::parse(b"a=b&decision=approve").unwrap(), Decision::Approve);
        assert_eq!(Decision::parse(br#"{"decision":"decline"}"#).unwrap(), Decision::Decline);
        for bad in [b"".as_slice(), b"decision=maybe", b"\xff", b"{}"] {
            assert!(Decision::parse(bad).is_err());
        }
    }
}
