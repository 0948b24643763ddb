//! The mobile window: the form that opens it, the one that it sends back, and the approval that takes the money.
//! <https://manual.inicis.com/pay/stdpay_m.html>

use super::{Inicis, api::is_tid};
use crate::provider::{
    Charge, Decline, Instrument, Outcome, Page, Taken,
    http::{self, Silence},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jangteo_core::Time;
use ring::digest::{SHA512, digest};

/// What buyers see in the window.
const ORDER_NAME: &str = "장터 주문";
/// The window wants a name. Whose it is, is nobody's business there.
const BUYER_NAME: &str = "장터 구매자";

/// Ours, and what opens the window right at the service.
const EASY_PAY: [(&str, &str); 7] = [
    ("inicis", ""),
    ("kakaopay", "&d_kakaopay=Y"),
    ("naverpay", "&d_npay=Y"),
    ("payco", "&d_payco=Y"),
    ("samsungpay", "&d_samsungpay=Y"),
    ("toss", "&d_tosspay=Y"),
    ("lpay", "&d_lpay=Y"),
];

pub(super) fn easy_pay(service: &str) -> Option<&'static str> {
    EASY_PAY.iter().find(|(name, _)| *name == service).map(|(_, option)| *option)
}

/// `P_INI_PAYMENT` and more for `P_RESERVED`.
pub(super) fn kind(instrument: &Instrument) -> Option<(&'static str, &'static str)> {
    match instrument {
        Instrument::Card(_) => None,
        Instrument::EasyPay(service) => Some(("CARD", easy_pay(service)?)),
        Instrument::BankTransfer(_) => Some(("BANK", "")),
    }
}

/// At most 40 letters, digits and dashes: `0123…-1` of `ord_0123…:1`.
pub(super) fn oid(key: &str) -> String {
    key.strip_prefix("ord_").unwrap_or(key).replace(':', "-")
}

impl Inicis {
    pub(super) fn window(&self, charge: &Charge, now: Time) -> Option<Page> {
        let (payment, option) = kind(&charge.instrument)?;
        let host = if self.cfg.test { "https://stgmobile.inicis.com" } else { "https://mobile.inicis.com" };
        let url = format!("{}/smart/payment/", self.base.as_deref().unwrap_or(host));
        let (amount, oid, time) =
            (charge.amount.minor.to_string(), oid(&charge.key), now.timestamp_millis().to_string());
        let hash = amount_hash(self.cfg.hash_key.show(), &amount, &oid, &time);
        let mut fields = vec![
            ("P_INI_PAYMENT", payment.to_owned()),
            ("P_MID", self.cfg.mid.clone()),
            ("P_OID", oid),
            ("P_AMT", amount),
            ("P_GOODS", ORDER_NAME.to_owned()),
            ("P_UNAME", BUYER_NAME.to_owned()),
            ("P_NEXT_URL", format!("{}:return", charge.checkout_url)),
            ("P_CHARSET", "utf8".to_owned()),
            ("P_RESERVED", format!("centerCd=Y&amt_hash=Y&below1000=Y{option}")),
            ("P_TIMESTAMP", time),
            ("P_CHKFAKE", hash),
        ];
        if !option.is_empty() {
            fields.push(("P_SKIP_TERMS", "Y".to_owned()));
        }
        Some(Page { url, charset: "euc-kr", fields })
    }

    /// What proves to Inicis that the buyer got through: its own id of that, and the centre that knows it. Of a form that is not
    /// plainly wrong; what is wrong otherwise, Inicis tells.
    pub(super) fn proof(&self, charge: &Charge, form: &[u8]) -> Option<String> {
        let form = http::fields(form)?;
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let (tid, centre) = (field("P_TID"), field("idc_name"));
        let ours = is_tid(tid) && tid.get(10..20) == Some(self.cfg.mid.as_str());
        let good = field("P_STATUS") == "00" && field("P_AMT") == charge.amount.minor.to_string() && ours;
        let there = self.centre(centre)?;
        (good && field("P_REQ_URL") == there).then(|| format!("{centre} {tid}"))
    }

    /// Where a centre takes approvals. No address from outside is ever asked; staging is no place where money moves.
    fn centre(&self, name: &str) -> Option<String> {
        let known = matches!(name, "fc" | "ks") || (self.cfg.test && name == "stg");
        let host = format!("https://{name}mobile.inicis.com");
        known.then(|| format!("{}/smart/payReq.ini", self.base.as_deref().unwrap_or(&host)))
    }

    pub(super) async fn approve(&self, charge: &Charge, slip: &str) -> Result<Outcome<Taken>, Silence> {
        let known = slip.split_once(' ').and_then(|(centre, tid)| Some((self.centre(centre)?, tid)));
        let Some((url, proof)) = known else { return Ok(Outcome::NotTaken("nobody approves that".into())) };
        let form = http::form(&[("P_MID", &self.cfg.mid), ("P_TID", proof)]);
        let request = self.http.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        let (status, answer) = http::fetch(request).await?;
        let answer = http::fields(&answer).filter(|_| status == 200).unwrap_or_default();
        let field = |name: &str| answer.get(name).map_or("", String::as_str);
        let tid = field("P_TID");
        match field("P_STATUS") {
            "" => Ok(Outcome::Unknown(format!("{status} from inicis"))),
            "00" if !is_tid(tid) => Ok(Outcome::Unknown("inicis approved without an id".into())),
            "00" => {
                let ours = field("P_OID") == oid(&charge.key) && field("P_AMT") == charge.amount.minor.to_string();
                match ours && field("P_MID") == self.cfg.mid {
                    true => Ok(Outcome::Done(Taken { provider_ref: tid.to_owned() })),
                    false => self.send_back(charge, tid).await,
                }
            }
            _ => Ok(Outcome::Declined(Decline::CardDeclined)),
        }
    }

    /// Money that is not what was asked for. It does not pay for the charge, and whose it is gets it back.
    async fn send_back(&self, charge: &Charge, tid: &str) -> Result<Outcome<Taken>, Silence> {
        tracing::error!(key = charge.key, tid, "another payment was brought to a charge; it goes back");
        Ok(match self.cancel(tid, "WRONG_PAYMENT").await? {
            Outcome::Done(()) => Outcome::Declined(Decline::SuspectedFraud),
            other => Outcome::Unknown(format!("another payment was taken; given back: {other:?}")),
        })
    }
}

/// `P_CHKFAKE`: what Inicis shows is what we asked for, whatever the browser makes of the form.
fn amount_hash(key: &str, amount: &str, oid: &str, time: &str) -> String {
    BASE64_STANDARD.encode(digest(&SHA512, [amount, oid, time, key].concat().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python's hashlib, with the key of Inicis' test shop.
    #[test]
    fn the_amount_is_signed() {
        let signed =
            amount_hash("3CB8183A4BE283555ACC8363C0360223", "1000", "INIpayTest_1717500000000", "1717500000000");
        let expected = "U+1K7flDjUS3yvoLz1NkS+HWx6wVKt0oe0b8QH7C7hzOSR9bTlqJ0W0SYhb8grgc+Cii3dg1yTnq26rNpRJKuQ==";
        assert_eq!(signed, expected);
    }

    #[test]
    fn order_numbers_fit() {
        let oid = oid("ord_0123456789abcdef0123456789abcdef:1000");
        assert_eq!(oid, "0123456789abcdef0123456789abcdef-1000");
        assert!(oid.len() <= 40);
    }
}
