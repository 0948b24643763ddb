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
    user::v1::{Address, GetAddressOfRequest},
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
pub(super) fn quotes(parts: &[ShipmentSpec], to: Option<&Address>) -> Result<Vec<Quote>> {
    let to = to.map_or(Ok(To::Nowhere), place)?;
    let quote = |(n, spec): (usize, &ShipmentSpec)| {
        let quoted = tariff::quote(spec.option(), &goods(n, spec)?, &spec.from_region_id, to);
        quoted.map_err(|reason| {
            let (part, option) = (spec.part, option_name(spec.option()));
            Fault::OptionUnavailable { part, option, reason }.into()
        })
    };
    parts.iter().enumerate().map(quote).collect()
}

fn place(a: &Address) -> Result<To<'_>> {
    Ok(match a.country_code.as_str() {
        "" | "KR" => To::Korea(postal("address_id", &a.postal_code)?),
        abroad => To::Abroad(abroad),
    })
}

/// What a parcel's label says; abroad its last line is the country.
pub(super) fn label(a: Address) -> Destination {
    let line2 = match a.country_code.as_str() {
        "" | "KR" => a.line2,
        abroad if a.line2.is_empty() => abroad.to_owned(),
        abroad => format!("{}, {abroad}", a.line2),
    };
    let Address { recipient, phone_number, postal_code, line1, .. } = a;
    Destination { recipient, phone_number, postal_code, line1, line2 }
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
    ) -> Result<Option<Address>> {
        if parts.iter().all(|p| p.option() == ShippingOption::MeetUp) {
            return Ok(None);
        }
        if address_id.is_empty() {
            return Err(Error::invalid("address_id", "REQUIRED", "is required unless seller and buyer meet"));
        }
        let req = GetAddressOfRequest { user_id: buyer_id.to_owned(), address_id: address_id.to_owned() };
        self.users.get_address_of(cx, req).await.map(Some)
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
        let address;
        let to = match &req.to {
            Some(quote_options_request::To::PostalCode(code)) => To::Korea(postal("postal_code", code)?),
            Some(quote_options_request::To::CountryCode(country)) => To::Abroad(country),
            Some(quote_options_request::To::AddressId(address_id)) => {
                let user_id = cx.user_id()?.to_owned();
                let ask = GetAddressOfRequest { user_id, address_id: address_id.clone() };
                address = self.users.get_address_of(&cx, ask).await?;
                place(&address)?
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
