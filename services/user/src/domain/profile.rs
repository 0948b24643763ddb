//! What a person says about themselves, and how it changes.

use jangteo_core::Result;
use kit::patch::{Wanted, set};
use proto::jangteo::{
    auth::v1::Account,
    user::v1::{Contact, Profile, PublicProfile, UpdateMeRequest},
};

const FIELDS: [&str; 6] = ["display_name", "bio", "real_name", "phone_number", "region_id", "locale"];

/// What an update asks for; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    display_name: Option<String>,
    bio: Option<String>,
    real_name: Option<String>,
    phone_number: Option<String>,
    region_id: Option<String>,
    locale: Option<String>,
}

pub fn patch(req: &UpdateMeRequest) -> Result<Patch> {
    let mut wanted = Wanted::new(req.update_mask.as_ref(), &FIELDS);
    let patch = Patch {
        display_name: wanted.text("display_name", &req.display_name, false),
        bio: wanted.text("bio", &req.bio, true),
        real_name: wanted.text("real_name", &req.real_name, true),
        phone_number: wanted.text("phone_number", &req.phone_number, true),
        region_id: wanted.text("region_id", &req.region_id, true),
        locale: wanted.text("locale", &req.locale, true),
    };
    wanted.done()?;
    Ok(patch)
}

impl Patch {
    /// Names of the fields that differ now.
    pub fn apply(&self, p: &mut Profile) -> Vec<String> {
        let mut changed = Vec::new();
        set("display_name", &mut p.display_name, self.display_name.clone(), &mut changed);
        set("bio", &mut p.bio, self.bio.clone(), &mut changed);
        set("real_name", &mut p.real_name, self.real_name.clone(), &mut changed);
        set("phone_number", &mut p.phone_number, self.phone_number.clone(), &mut changed);
        set("region_id", &mut p.region_id, self.region_id.clone(), &mut changed);
        set("locale", &mut p.locale, self.locale.clone(), &mut changed);
        changed
    }
}

/// The profile that an account begins with. Its etag is that of the first version, written or not.
pub fn first(account: &Account) -> Profile {
    Profile {
        user_id: account.user_id.clone(),
        display_name: account.display_name.clone(),
        locale: account.locale.clone(),
        create_time: account.create_time,
        update_time: account.create_time,
        etag: "1".to_owned(),
        ..Profile::default()
    }
}

pub fn public(p: Profile) -> PublicProfile {
    PublicProfile {
        user_id: p.user_id,
        display_name: p.display_name,
        bio: p.bio,
        region_id: p.region_id,
        join_time: p.create_time,
    }
}

pub fn contact(p: Profile, account: Account) -> Contact {
    Contact {
        user_id: p.user_id,
        display_name: p.display_name,
        phone_number: p.phone_number,
        locale: p.locale,
        // An address that nobody has proven may be somebody else's.
        email: if account.email_verified { account.email } else { String::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost_types::FieldMask;

    fn mask(paths: &[&str]) -> Option<FieldMask> {
        Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
    }

    #[test]
    fn without_a_mask_the_present_fields_change() {
        let req = UpdateMeRequest { bio: Some(" 안녕하세요 ".into()), ..Default::default() };
        let mut p = Profile { display_name: "민수".into(), ..Profile::default() };
        assert_eq!(patch(&req).unwrap().apply(&mut p), ["bio"]);
        assert_eq!((p.display_name.as_str(), p.bio.as_str()), ("민수", "안녕하세요"));
    }

    #[test]
    fn a_mask_clears_what_it_names_and_the_body_lacks() {
        let req = UpdateMeRequest {
            display_name: Some("ignored".into()),
            update_mask: mask(&["phone_number"]),
            ..Default::default()
        };
        let mut p = Profile { phone_number: "+821012345678".into(), ..Profile::default() };
        assert_eq!(patch(&req).unwrap().apply(&mut p), ["phone_number"]);
        assert_eq!((p.display_name.as_str(), p.phone_number.as_str()), ("", ""));
    }

    #[test]
    fn every_broken_rule_is_named() {
        let req = UpdateMeRequest {
            real_name: Some("a\u{7}b".into()),
            update_mask: mask(&["display_name", "user_id", "real_name"]),
            ..Default::default()
        };
        let e = patch(&req).unwrap_err();
        let fields: Vec<_> = e.field_violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["update_mask", "display_name", "real_name"]);
    }

    #[test]
    fn others_see_nothing_that_is_not_public() {
        let p = Profile {
            user_id: "usr_1".into(),
            display_name: "민수".into(),
            real_name: "SECRET".into(),
            phone_number: "SECRET".into(),
            locale: "SECRET".into(),
            ..Profile::default()
        };
        let shown = public(p);
        let text = [&shown.user_id, &shown.display_name, &shown.bio, &shown.region_id];
        assert!(text.iter().all(|t| !t.contains("SECRET")));
    }

    proptest! {
        #[test]
        fn applying_a_patch_twice_changes_nothing_more(
            name in prop::option::of("[a-z]{1,9}"), bio in prop::option::of("[a-z ]{0,9}"), phone in prop::option::of("[0-9]{0,3}"),
        ) {
            let req = UpdateMeRequest { display_name: name, bio, phone_number: phone, ..Default::default() };
            let patch = patch(&req).unwrap();
            let mut p = Profile::default();
            patch.apply(&mut p);
            prop_assert!(patch.apply(&mut p).is_empty());
        }
    }
}
