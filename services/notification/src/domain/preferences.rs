//! How a person wants to be told of what.

use super::{
    hours::{self, SEOUL, Window},
    kind::Kind,
};
use chrono_tz::Tz;
use jangteo_core::{Error, Result, Time};
use kit::patch::Wanted;
use proto::jangteo::notification::v1::{
    Category, Channel, Choice, Digest, Preferences as Shown, QuietHours, UpdatePreferencesRequest,
};
use std::collections::BTreeSet;

const FIELDS: [&str; 5] = ["choices", "quiet_hours", "digest", "locale", "time_zone"];

const CATEGORIES: [Category; 7] = [
    Category::Account,
    Category::Order,
    Category::Payment,
    Category::Shipping,
    Category::Review,
    Category::Notice,
    Category::Marketing,
];
const CHANNELS: [Channel; 4] = [Channel::InApp, Channel::Push, Channel::Sms, Channel::Email];

/// A person's own; by default everything comes, one by one, at any hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// What the person does not want: category and channel, by their numbers.
    pub refused: BTreeSet<(i32, i32)>,
    pub quiet: Option<Window>,
    pub digest: Digest,
    /// Empty: the one in the profile.
    pub locale: String,
    pub zone: Tz,
    /// 0: never changed.
    pub version: i64,
    pub update_time: Option<Time>,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
            refused: BTreeSet::new(),
            quiet: None,
            digest: Digest::Off,
            locale: String::new(),
            zone: SEOUL,
            version: 0,
            update_time: None,
        }
    }
}

impl Preferences {
    pub fn allows(&self, category: Category, channel: Channel) -> bool {
        !self.refused.contains(&(category.into(), channel.into()))
    }

    /// When a notice that would ring may come; `None`: now.
    pub fn not_before(&self, kind: Kind, channel: Channel, now: Time) -> Option<Time> {
        hours::quiet_until(now, self.zone, &self.windows(kind, channel))
    }

    /// The hours that counted for an attempt, for its record: `1320-480 Asia/Seoul`, several separated by commas.
    pub fn quiet_note(&self, kind: Kind, channel: Channel) -> String {
        let windows: Vec<_> = self.windows(kind, channel).iter().map(|w| format!("{}-{}", w.start, w.end)).collect();
        if windows.is_empty() { String::new() } else { format!("{} {}", windows.join(","), self.zone.name()) }
    }

    /// Whether a time lies in the hours of such a record.
    pub fn was_quiet(note: &str, at: Time) -> bool {
        let Some((windows, zone)) = note.split_once(' ') else { return false };
        let window = |text: &str| {
            let (start, end) = text.split_once('-')?;
            Some(Window { start: start.parse().ok()?, end: end.parse().ok()? })
        };
        let windows: Vec<Window> = windows.split(',').filter_map(window).collect();
        zone.parse().is_ok_and(|zone| hours::quiet_until(at, zone, &windows).is_some())
    }

    fn windows(&self, kind: Kind, channel: Channel) -> Vec<Window> {
        let advertising = kind.category() == Category::Marketing && channel != Channel::Email;
        let quiet = self.quiet.filter(|_| !kind.is_urgent());
        quiet.into_iter().chain(advertising.then_some(hours::NO_ADVERTISING)).collect()
    }

    /// When an e-mail comes as part of a digest; `None`: it comes alone.
    pub fn digest_time(&self, kind: Kind, now: Time) -> Option<Time> {
        let together = self.digest != Digest::Off && !kind.is_urgent() && kind != Kind::Digest;
        together.then(|| hours::next_digest(now, self.zone, self.digest == Digest::Weekly))
    }

    pub fn etag(&self) -> String {
        self.version.to_string()
    }

    pub fn shown(&self) -> Shown {
        let choice = |category, channel| Choice {
            category: i32::from(category),
            channel: i32::from(channel),
            enabled: self.allows(category, channel),
        };
        let choices = CATEGORIES.iter().flat_map(|ca| CHANNELS.iter().map(move |ch| choice(*ca, *ch)));
        let quiet = |w: Window| QuietHours { start: hours::clock(w.start), end: hours::clock(w.end) };
        Shown {
            choices: choices.collect(),
            quiet_hours: self.quiet.map(quiet),
            digest: self.digest.into(),
            locale: self.locale.clone(),
            time_zone: self.zone.name().to_owned(),
            update_time: self.update_time.map(proto::timestamp),
            etag: self.etag(),
        }
    }
}

/// What an update asks for; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patch {
    choices: Vec<Choice>,
    /// `Some(None)`: no quiet hours any more.
    quiet: Option<Option<Window>>,
    digest: Option<Digest>,
    locale: Option<String>,
    zone: Option<Tz>,
}

pub fn patch(req: &UpdatePreferencesRequest) -> Result<Patch> {
    let mut wanted = Wanted::new(req.update_mask.as_ref(), &FIELDS);
    let quiet = wanted.field("quiet_hours", &req.quiet_hours.as_ref().map(Some), Some(None));
    let digest = wanted.field("digest", &req.digest, Some(Digest::Off.into()));
    let locale = wanted.field("locale", &req.locale, Some(String::new()));
    let zone = wanted.field("time_zone", &req.time_zone, Some(SEOUL.name().to_owned()));
    let choices = wanted.field("choices", &Some(&req.choices), None);
    wanted.done()?;
    Ok(Patch {
        choices: choices.cloned().unwrap_or_default(),
        quiet: quiet.map(|hours| hours.map(window).transpose()).transpose()?,
        digest: digest.map(|d| Digest::try_from(d).unwrap_or(Digest::Off)),
        locale,
        zone: zone.map(|name| name.parse().map_err(|_| unknown_zone())).transpose()?,
    })
}

fn window(hours: &QuietHours) -> Result<Window> {
    let bad = || Error::invalid("quiet_hours", "INVALID_TIME", "must be times of the day like 22:00");
    let (start, end) = hours::minute(&hours.start).zip(hours::minute(&hours.end)).ok_or_else(bad)?;
    if start == end {
        return Err(Error::invalid("quiet_hours.end", "EMPTY", "must differ from the start"));
    }
    Ok(Window { start, end })
}

fn unknown_zone() -> Error {
    Error::invalid("time_zone", "UNKNOWN_TIME_ZONE", "must be the IANA name of a time zone, like Asia/Seoul")
}

impl Patch {
    /// Whether anything differs now.
    pub fn apply(&self, p: &mut Preferences) -> bool {
        let before = p.clone();
        for c in &self.choices {
            match c.enabled {
                true => p.refused.remove(&(c.category, c.channel)),
                false => p.refused.insert((c.category, c.channel)),
            };
        }
        p.quiet = self.quiet.unwrap_or(p.quiet);
        p.digest = self.digest.unwrap_or(p.digest);
        p.locale = self.locale.clone().unwrap_or_else(|| p.locale.clone());
        p.zone = self.zone.unwrap_or(p.zone);
        *p != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::FieldMask;

    fn choice(category: Category, channel: Channel, enabled: bool) -> Choice {
        Choice { category: category.into(), channel: channel.into(), enabled }
    }

    fn night() -> Option<QuietHours> {
        Some(QuietHours { start: "22:00".into(), end: "08:00".into() })
    }

    #[test]
    fn what_is_not_named_stays() {
        let mut p = Preferences::default();
        let req = UpdatePreferencesRequest {
            choices: vec![choice(Category::Order, Channel::Sms, false)],
            quiet_hours: night(),
            ..Default::default()
        };
        assert!(patch(&req).unwrap().apply(&mut p));
        assert!(!patch(&req).unwrap().apply(&mut p), "again is no change");
        let req = UpdatePreferencesRequest { digest: Some(Digest::Daily.into()), ..Default::default() };
        assert!(patch(&req).unwrap().apply(&mut p));
        assert!(!p.allows(Category::Order, Channel::Sms) && p.allows(Category::Order, Channel::Push));
        assert_eq!((p.quiet, p.digest), (Some(Window { start: 1320, end: 480 }), Digest::Daily));
        let shown = p.shown();
        assert_eq!(shown.choices.len(), 28);
        assert_eq!(shown.choices.iter().filter(|c| !c.enabled).count(), 1);
        assert_eq!(shown.quiet_hours, night());
    }

    #[test]
    fn a_mask_sets_back_what_it_names_and_the_body_lacks() {
        let quiet = Some(Window { start: 1, end: 2 });
        let mut p = Preferences { quiet, locale: "en".into(), zone: Tz::UTC, ..Preferences::default() };
        let paths = vec!["quiet_hours".to_owned(), "time_zone".to_owned()];
        let update_mask = Some(FieldMask { paths });
        let req = UpdatePreferencesRequest { update_mask, locale: Some("ko".into()), ..Default::default() };
        assert!(patch(&req).unwrap().apply(&mut p));
        assert_eq!((p.quiet, p.locale.as_str(), p.zone), (None, "en", SEOUL));
    }

    #[test]
    fn zones_have_names() {
        let zone = |name: &str| patch(&UpdatePreferencesRequest { time_zone: Some(name.into()), ..Default::default() });
        assert!(zone("Europe/Berlin").is_ok());
        assert_eq!(zone("Mars/Olympus").unwrap_err().field_violations()[0].field, "time_zone");
    }

    #[test]
    fn what_is_urgent_waits_for_nothing_and_advertising_always_for_the_morning() {
        let p =
            Preferences { quiet: Some(Window { start: 720, end: 780 }), digest: Digest::Daily, ..Default::default() };
        let noon: Time = "2026-11-21T03:30:00Z".parse().unwrap();
        let night: Time = "2026-11-21T12:30:00Z".parse().unwrap();
        assert!(p.not_before(Kind::OrderPaid, Channel::Push, noon).is_some());
        assert!(p.not_before(Kind::PaymentDeclined, Channel::Push, noon).is_none());
        assert!(p.not_before(Kind::OrderPaid, Channel::Push, night).is_none());
        assert!(p.not_before(Kind::Advertisement, Channel::Push, night).is_some());
        assert!(p.not_before(Kind::Advertisement, Channel::Email, night).is_none());
        assert!(p.digest_time(Kind::OrderPaid, noon).is_some());
        assert!(p.digest_time(Kind::PaymentDeclined, noon).is_none() && p.digest_time(Kind::Digest, noon).is_none());
    }
}
