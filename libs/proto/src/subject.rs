//! What an audited call is about, as the trail keeps it: ids, numbers, enums and amounts of the request, as far as the
//! proto marks them neither personal nor secret. Free text never is among them.

use crate::pool;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use std::fmt::Write;

/// So much of it is kept.
const LONGEST: usize = 1_000;

/// `order_id=ord_…&part=1`, in the order of the fields' numbers. `path`: `/jangteo.payment.v1.PaymentService/Settle`.
pub(crate) fn subject(path: &str, request: &[u8]) -> String {
    let mut out = String::new();
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else { return out };
    let Some(service) = pool().get_service_by_name(service) else { return out };
    let Some(method) = service.methods().find(|m| m.name() == method) else { return out };
    let Ok(message) = DynamicMessage::decode(method.input(), request) else { return out };
    for (field, value) in message.fields() {
        if is_marked(&field) {
            continue;
        }
        let Some(text) = shown(&field, value) else { continue };
        let and = if out.is_empty() { "" } else { "&" };
        let _ = write!(out, "{and}{}={text}", field.name());
    }
    let end = out.char_indices().map(|(at, _)| at).find(|at| *at >= LONGEST).unwrap_or(out.len());
    out.truncate(end);
    out
}

fn is_marked(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let name = "jangteo.options.v1.sensitivity";
    pool().get_extension_by_name(name).is_some_and(|e| options.has_extension(&e))
}

fn shown(field: &FieldDescriptor, value: &Value) -> Option<String> {
    match (field.kind(), value) {
        // A request's id is its caller's own word.
        (Kind::String, Value::String(id)) if field.name().ends_with("_id") && field.name() != "request_id" => {
            let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            (plain && !id.is_empty()).then(|| id.clone())
        }
        (Kind::Enum(kind), Value::EnumNumber(n)) => Some(kind.get_value(*n)?.name().to_owned()),
        (Kind::Bool, Value::Bool(b)) => Some(b.to_string()),
        (Kind::Int32, Value::I32(n)) => Some(n.to_string()),
        (Kind::Int64, Value::I64(n)) => Some(n.to_string()),
        (Kind::Message(m), Value::Message(money)) if m.full_name() == "google.type.Money" => {
            let units = money.get_field_by_name("units")?.as_i64()?;
            Some(format!("{units}{}", money.get_field_by_name("currency_code")?.as_str()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{google::r#type::Money, jangteo::payment::v1 as payment};
    use prost::Message;

    #[test]
    fn ids_and_amounts_are_kept_and_nothing_personal() {
        let amount = Some(Money { currency_code: "KRW".into(), units: 900, nanos: 0 });
        let req = payment::RefundOrderRequest { order_id: "ord_1".into(), part: 2, amount, ..Default::default() };
        let text = subject("/jangteo.payment.v1.PaymentService/RefundOrder", &req.encode_to_vec());
        assert!(text.contains("order_id=ord_1") && text.contains("part=2") && text.contains("amount=900KRW"), "{text}");
        let card = payment::CardInput { number: "4242424242424242".into(), expiry_month: 12, expiry_year: 2031 };
        let req = payment::CreatePaymentMethodRequest { card: Some(card), request_id: "k1".into() };
        let path = "/jangteo.payment.v1.PaymentService/CreatePaymentMethod";
        assert_eq!(subject(path, &req.encode_to_vec()), "");
        let req = payment::PutPayoutAccountRequest {
            bank: "kb".into(),
            account_number: "99170012345678".into(),
            holder: "Minsu".into(),
            ..Default::default()
        };
        assert_eq!(subject("/jangteo.payment.v1.PaymentService/PutPayoutAccount", &req.encode_to_vec()), "");
        assert_eq!(subject("/nowhere/Nothing", &[]), "");
    }
}
