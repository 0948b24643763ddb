//! What a person agrees to. An answer is never changed, only followed by another.

use super::Fault;
use jangteo_core::{Error, Result, Time};
use proto::jangteo::user::v1::{Consent, ConsentChoice, ConsentPurpose};

/// Without these there is no account.
fn is_required(purpose: ConsentPurpose) -> bool {
    matches!(purpose, ConsentPurpose::Terms | ConsentPurpose::Privacy)
}

/// The answers that are new, given the last one to each purpose.
pub fn decide(current: &[Consent], choices: &[ConsentChoice], now: Time) -> Result<Vec<Consent>> {
    let mut new: Vec<Consent> = Vec::new();
    for (n, choice) in choices.iter().enumerate() {
        let purpose = choice.purpose();
        if choices[..n].iter().any(|c| c.purpose == choice.purpose) {
            let field = format!("consents[{n}].purpose");
            return Err(Error::invalid(field, "DUPLICATE", "is answered twice in one request"));
        }
        if is_required(purpose) && !choice.granted {
            return Err(Fault::ConsentRequired { purpose: purpose.as_str_name() }.into());
        }
        let last = current.iter().find(|c| c.purpose == choice.purpose);
        if let Some(last) = last {
            if choice.document_version < last.document_version {
                let latest = last.document_version;
                return Err(Fault::StaleDocument { purpose: purpose.as_str_name(), latest }.into());
            }
            if (last.granted, last.document_version) == (choice.granted, choice.document_version) {
                continue;
            }
        }
        new.push(Consent {
            purpose: choice.purpose,
            granted: choice.granted,
            document_version: choice.document_version,
            version: last.map_or(0, |c| c.version) + 1,
            decide_time: Some(proto::timestamp(now)),
        });
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;

    fn choice(purpose: ConsentPurpose, granted: bool, document_version: i32) -> ConsentChoice {
        ConsentChoice { purpose: purpose.into(), granted, document_version }
    }

    #[test]
    fn answers_are_numbered_and_repetitions_are_not() {
        let now = from_micros(1);
        let yes = choice(ConsentPurpose::MarketingEmail, true, 1);
        let first = decide(&[], std::slice::from_ref(&yes), now).unwrap();
        assert_eq!((first[0].version, first[0].granted), (1, true));
        assert!(decide(&first, &[yes], now).unwrap().is_empty());
        let no = decide(&first, &[choice(ConsentPurpose::MarketingEmail, false, 1)], now).unwrap();
        assert_eq!((no[0].version, no[0].granted), (2, false));
    }

    #[test]
    fn what_an_account_needs_can_not_be_withdrawn() {
        let e = decide(&[], &[choice(ConsentPurpose::Terms, false, 1)], from_micros(0)).unwrap_err();
        assert_eq!(e.reason(), "CONSENT_REQUIRED");
    }

    #[test]
    fn an_older_text_can_not_be_answered_any_more() {
        let now = from_micros(0);
        let current = decide(&[], &[choice(ConsentPurpose::Privacy, true, 3)], now).unwrap();
        let e = decide(&current, &[choice(ConsentPurpose::Privacy, true, 2)], now).unwrap_err();
        assert_eq!(e.metadata()["latest"], "3");
    }

    #[test]
    fn one_request_answers_a_purpose_once() {
        let both = [choice(ConsentPurpose::Location, true, 1), choice(ConsentPurpose::Location, false, 1)];
        let e = decide(&[], &both, from_micros(0)).unwrap_err();
        assert_eq!(e.field_violations()[0].field, "consents[1].purpose");
    }
}
