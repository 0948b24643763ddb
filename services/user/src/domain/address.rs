//! Where parcels go.

use jangteo_core::{Error, Result, Violations};
use kit::patch::{Wanted, set, tidy};
use proto::jangteo::user::v1::{Address, CreateAddressRequest, UpdateAddressRequest};

const FIELDS: [&str; 8] =
    ["label", "recipient", "phone_number", "postal_code", "line1", "line2", "is_default", "country_code"];

/// Where an address lies that doesn't say.
pub const HOME: &str = "KR";

fn country(code: &str) -> String {
    if code.is_empty() { HOME.to_owned() } else { code.to_owned() }
}

/// Korean postal codes are five digits; others were checked by the request's own rule.
fn check_postal_code(a: &Address) -> Result<()> {
    let five = a.postal_code.len() == 5 && a.postal_code.bytes().all(|b| b.is_ascii_digit());
    match a.country_code != HOME || five {
        true => Ok(()),
        false => Err(Error::invalid("postal_code", "INVALID_POSTAL_CODE", "must be five digits in Korea")),
    }
}

/// An address without its id and its times.
pub fn new(req: &CreateAddressRequest) -> Result<Address> {
    let mut bad = Violations::default();
    let mut text =
        |name: &str, text: &str, may_be_empty: bool| bad.keep(tidy(name, text, may_be_empty)).unwrap_or_default();
    let address = Address {
        label: text("label", &req.label, true),
        recipient: text("recipient", &req.recipient, false),
        phone_number: text("phone_number", &req.phone_number, false),
        postal_code: text("postal_code", &req.postal_code, false),
        line1: text("line1", &req.line1, false),
        line2: text("line2", &req.line2, true),
        is_default: req.is_default,
        country_code: country(&req.country_code),
        ..Address::default()
    };
    bad.none()?;
    check_postal_code(&address)?;
    Ok(address)
}

/// What an update asks for; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    label: Option<String>,
    recipient: Option<String>,
    phone_number: Option<String>,
    postal_code: Option<String>,
    line1: Option<String>,
    line2: Option<String>,
    is_default: Option<bool>,
    country_code: Option<String>,
}

pub fn patch(req: &UpdateAddressRequest) -> Result<Patch> {
    let mut wanted = Wanted::new(req.update_mask.as_ref(), &FIELDS);
    let patch = Patch {
        label: wanted.text("label", &req.label, true),
        recipient: wanted.text("recipient", &req.recipient, false),
        phone_number: wanted.text("phone_number", &req.phone_number, false),
        postal_code: wanted.text("postal_code", &req.postal_code, false),
        line1: wanted.text("line1", &req.line1, false),
        line2: wanted.text("line2", &req.line2, true),
        is_default: wanted.field("is_default", &req.is_default, None),
        country_code: wanted.text("country_code", &req.country_code, true).map(|code| country(&code)),
    };
    wanted.done()?;
    Ok(patch)
}

impl Patch {
    /// Names of the fields that differ now.
    pub fn apply(&self, a: &mut Address) -> Result<Vec<String>> {
        let mut changed = Vec::new();
        set("label", &mut a.label, self.label.clone(), &mut changed);
        set("recipient", &mut a.recipient, self.recipient.clone(), &mut changed);
        set("phone_number", &mut a.phone_number, self.phone_number.clone(), &mut changed);
        set("postal_code", &mut a.postal_code, self.postal_code.clone(), &mut changed);
        set("line1", &mut a.line1, self.line1.clone(), &mut changed);
        set("line2", &mut a.line2, self.line2.clone(), &mut changed);
        set("is_default", &mut a.is_default, self.is_default, &mut changed);
        set("country_code", &mut a.country_code, self.country_code.clone(), &mut changed);
        check_postal_code(a)?;
        Ok(changed)
    }
}

/// The default first, then in the order in which they were added.
pub fn sort(addresses: &mut [Address]) {
    addresses.sort_by(|a, b| (!a.is_default, &a.address_id).cmp(&(!b.is_default, &b.address_id)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_carrier_needs_is_required() {
        let req = CreateAddressRequest { recipient: " ".into(), line1: "세종대로 1".into(), ..Default::default() };
        let e = new(&req).unwrap_err();
        let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["recipient", "phone_number", "postal_code"]);
    }

    #[test]
    fn a_postal_code_is_its_country_s() {
        let req = |country: &str, code: &str| CreateAddressRequest {
            recipient: "Emma".into(),
            phone_number: "+81312345678".into(),
            postal_code: code.into(),
            line1: "1-1 Chiyoda".into(),
            country_code: country.into(),
            ..Default::default()
        };
        assert_eq!(new(&req("", "04524")).unwrap().country_code, "KR");
        assert_eq!(new(&req("JP", "100-0001")).unwrap().country_code, "JP");
        for country in ["", "KR"] {
            let e = new(&req(country, "100-0001")).unwrap_err();
            assert_eq!(e.field_violations()[0].reason, "INVALID_POSTAL_CODE");
        }
        let mut abroad = new(&req("JP", "100-0001")).unwrap();
        let home = UpdateAddressRequest { country_code: Some("KR".into()), ..Default::default() };
        assert_eq!(patch(&home).unwrap().apply(&mut abroad).unwrap_err().field_violations()[0].field, "postal_code");
        let home = UpdateAddressRequest { postal_code: Some("04524".into()), ..home };
        let changed = patch(&home).unwrap().apply(&mut new(&req("JP", "100-0001")).unwrap()).unwrap();
        assert_eq!(changed, ["postal_code", "country_code"]);
    }

    #[test]
    fn the_default_comes_first() {
        let a = |id: &str, is_default| Address { address_id: id.into(), is_default, ..Address::default() };
        let mut all = [a("adr_1", false), a("adr_3", true), a("adr_2", false)];
        sort(&mut all);
        assert_eq!(all.map(|a| a.address_id), ["adr_3", "adr_1", "adr_2"]);
    }
}
