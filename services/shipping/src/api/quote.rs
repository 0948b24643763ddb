//! What sending costs, and where to.

use crate::{
    Shipping,
    domain::{
        Fault, option_name,
        postal::Postal,
        tariff::{self, Goods, OPTIONS, Quote, To},
        won,
    },
};
use jangteo_core::{Call, Currency, Error, Result};
use proto::jangteo::{
    shipping::v1::{self as wire, Destination, ShipmentSpec, ShippingOption, quote_options_request},
    user::v1::GetAddressOfRequest,
};
use std::collections::BTreeSet;

/// Each part of an order once.
pub(super) fn distinct(parts: &[ShipmentSpec]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match parts.iter().position(|p| !seen.insert(p.part)) {
        Some(n) => Err(Error::invalid(format!("parts[{n}].part"), "NOT_UNIQUE", "is named twice")),
        None => Ok(()),
    }
}

fn goods(n: usize, spec: &ShipmentSpec) -> Result<Goods> {
    let field = format!("parts[{n}].goods_value");
    let value = match &spec.goods_value {
        None => 0,
        some => match proto::money(&field, some.as_ref())? {
            m if m.currency == Currency::KRW => m.minor,
            _ => return Err(Error::invalid(field, "INVALID_CURRENCY", "must be in KRW")),
        },
    };
    Ok(Goods { weight_grams: spec.weight_grams.into(), sum_cm: spec.sum_cm.into(), value })
}

/// What each part costs, or the first one that can't go as asked.
pub(super) fn quotes(parts: &[ShipmentSpec], to: Option<&Destination>) -> Result<Vec<Quote>> {
    let to = match to {
        None => To::Nowhere,
        Some(d) => To::Korea(postal("address_id", &d.postal_code)?),
    };
    let quote = |(n, spec): (usize, &ShipmentSpec)| {
        let quoted = tariff::quote(spec.option(), &goods(n, spec)?, &spec.from_region_id, to);
        quoted.map_err(|reason| {
            let (part, option) = (spec.part, option_name(spec.option()));
            Fault::OptionUnavailable { part, option, reason }.into()
        })
    };
    parts.iter().enumerate().map(quote).collect()
}

fn postal(field: &str, code: &str) -> Result<Postal> {
    Postal::parse(code).ok_or_else(|| Error::invalid(field, "UNKNOWN_POSTAL_CODE", "no district has this postal code"))
}

impl Shipping {
    /// The buyer's address as it is now; `None` where every part is handed over in person.
    pub(super) async fn destination(
        &self,
        cx: &Call,
        buyer_id: &str,
        address_id: &str,
        parts: &[ShipmentSpec],
    ) -> Result<Option<Destination>> {
        if parts.iter().all(|p| p.option() == ShippingOption::MeetUp) {
            return Ok(None);
        }
        if address_id.is_empty() {
            return Err(Error::invalid("address_id", "REQUIRED", "is required unless seller and buyer meet"));
        }
        let req = GetAddressOfRequest { user_id: buyer_id.to_owned(), address_id: address_id.to_owned() };
        let a = self.users.get_address_of(cx, req).await?;
        Ok(Some(Destination {
            recipient: a.recipient,
            phone_number: a.phone_number,
            postal_code: a.postal_code,
            line1: a.line1,
            line2: a.line2,
        }))
    }

    pub(super) async fn quote_parts(
        &self,
        cx: Call,
        req: wire::QuoteShippingRequest,
    ) -> Result<wire::QuoteShippingResponse> {
        distinct(&req.parts)?;
        let to = self.destination(&cx, &req.buyer_id, &req.address_id, &req.parts).await?;
        let quotes = quotes(&req.parts, to.as_ref())?;
        let part = |(spec, q): (&ShipmentSpec, Quote)| wire::PartQuote { part: spec.part, fee: Some(won(q.fee)) };
        Ok(wire::QuoteShippingResponse { parts: req.parts.iter().zip(quotes).map(part).collect() })
    }

    pub(super) async fn quote_all(
        &self,
        cx: Call,
        req: wire::QuoteOptionsRequest,
    ) -> Result<wire::QuoteOptionsResponse> {
        let goods = Goods { weight_grams: req.weight_grams.into(), sum_cm: req.sum_cm.into(), value: 0 };
        let to = match &req.to {
            Some(quote_options_request::To::PostalCode(code)) => To::Korea(postal("postal_code", code)?),
            Some(quote_options_request::To::CountryCode(country)) => To::Abroad(country),
            Some(quote_options_request::To::AddressId(address_id)) => {
                let user_id = cx.user_id()?.to_owned();
                let ask = GetAddressOfRequest { user_id, address_id: address_id.clone() };
                To::Korea(postal("address_id", &self.users.get_address_of(&cx, ask).await?.postal_code)?)
            }
            None => To::Nowhere,
        };
        let option = |option: ShippingOption| {
            let quoted = tariff::quote(option, &goods, &req.from_region_id, to);
            wire::OptionQuote {
                option: option.into(),
                fee: quoted.ok().map(|q| won(q.fee)),
                unavailable_reason: quoted.err().unwrap_or_default().to_owned(),
                surcharge: quoted.ok().filter(|q| q.surcharge > 0).map(|q| won(q.surcharge)),
            }
        };
        Ok(wire::QuoteOptionsResponse { options: OPTIONS.into_iter().map(option).collect() })
    }
}
