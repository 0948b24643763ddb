//! What PayPal says of an order, and of what was made of it: its authorisation, its capture and its refunds.

use super::money::{Label, Tender};
use crate::provider::{Decline, Outcome, Standing, http::text};
use serde_json::Value;

/// `authorizations`, `captures` or `refunds` of an order.
pub(super) fn payments<'a>(order: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    order["purchase_units"][0]["payments"][kind].as_array().into_iter().flatten()
}

pub(super) fn newest<'a>(order: &'a Value, kind: &str) -> Option<&'a Value> {
    payments(order, kind).last()
}

pub(super) fn label(payment: &Value) -> Option<Label> {
    Label::read(text(payment, "/custom_id"))
}

pub(super) fn amount(payment: &Value) -> Option<(i64, Tender)> {
    let tender = Tender::parse(text(payment, "/amount/currency_code"))?;
    Some((tender.read(text(payment, "/amount/value"))?, tender))
}

pub(super) fn captured(capture: &Value) -> Outcome<()> {
    match text(capture, "/status") {
        "COMPLETED" | "PARTIALLY_REFUNDED" | "REFUNDED" => Outcome::Done(()),
        "DECLINED" | "FAILED" => Outcome::Declined(Decline::CardDeclined),
        other => Outcome::Unknown(format!("the capture is {other}")),
    }
}

pub(super) fn refunded(refund: &Value) -> Outcome<()> {
    match text(refund, "/status") {
        "COMPLETED" => Outcome::Done(()),
        "FAILED" | "CANCELLED" => Outcome::Declined(Decline::CardDeclined),
        other => Outcome::Unknown(format!("the refund is {other}")),
    }
}

/// By its buyer, and nothing is held yet.
pub(super) fn approved(order: &Value) -> bool {
    text(order, "/status") == "APPROVED" && newest(order, "authorizations").is_none()
}

/// <https://developer.paypal.com/docs/api/orders/v2/>, `status` of an order and of its authorisation.
pub(super) fn standing(order: &Value) -> Standing {
    let provider_ref = text(order, "/id").to_owned();
    if let Some(capture) = newest(order, "captures")
        && !matches!(captured(capture), Outcome::Declined(_))
    {
        return Standing::Captured { provider_ref };
    }
    if let Some(held) = newest(order, "authorizations") {
        return match text(held, "/status") {
            "CREATED" => Standing::Authorised { provider_ref },
            "CAPTURED" | "PARTIALLY_CAPTURED" => Standing::Captured { provider_ref },
            "DENIED" => Standing::Declined(Decline::CardDeclined),
            "VOIDED" => Standing::Voided,
            _ => Standing::Pending,
        };
    }
    match text(order, "/status") {
        "CREATED" | "SAVED" | "PAYER_ACTION_REQUIRED" => {
            let page = |link: &&Value| matches!(text(link, "/rel"), "approve" | "payer-action");
            let link = order["links"].as_array().into_iter().flatten().find(page);
            let redirect_url = link.map_or("", |link| text(link, "/href")).to_owned();
            Standing::ActionRequired { redirect_url, provider_ref }
        }
        "VOIDED" => Standing::Voided,
        _ => Standing::Pending,
    }
}
