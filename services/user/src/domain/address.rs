//! Where parcels go.

use jangteo_core::{Result, Violations};
use kit::patch::{Wanted, set, tidy};
use proto::jangteo::user::v1::{Address, CreateAddressRequest, UpdateAddressRequest};

const FIELDS: [&str; 7] = ["label", "recipient", "phone_number", "postal_code", "line1", "line2", "is_default"];

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
        ..Address::default()
    };
    bad.none()?;
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
    };
    wanted.done()?;
    Ok(patch)
}

impl Patch {
    /// Names of the fields that differ now.
    pub fn apply(&self, a: &mut Address) -> Vec<String> {
        let mut changed = Vec::new();
        set("label", &mut a.label, self.label.clone(), &mut changed);
        set("recipient", &mut a.recipient, self.recipient.clone(), &mut changed);
        set("phone_number", &mut a.phone_number, self.phone_number.clone(), &mut changed);
        set("postal_code", &mut a.postal_code, self.postal_code.clone(), &mut changed);
        set("line1", &mut a.line1, self.line1.clone(), &mut changed);
        set("line2", &mut a.line2, self.line2.clone(), &mut changed);
        set("is_default", &mut a.is_default, self.is_default, &mut changed);
        changed
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
    fn the_default_comes_first() {
        let a = |id: &str, is_default| Address { address_id: id.into(), is_default, ..Address::default() };
        let mut all = [a("adr_1", false), a("adr_3", true), a("adr_2", false)];
        sort(&mut all);
        assert_eq!(all.map(|a| a.address_id), ["adr_3", "adr_1", "adr_2"]);
    }
}
