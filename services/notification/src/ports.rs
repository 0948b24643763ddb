//! The ports through which notices leave: e-mail, SMS by Twilio and Solapi, push by FCM and APNs, and a sandbox.

pub mod apns;
pub mod email;
pub mod fcm;
mod http;
pub mod sandbox;
pub mod solapi;
pub mod twilio;

use crate::{Config, domain::course::Outcome};
use async_trait::async_trait;
use email::Email;
use jangteo_core::{Clock, Result, Time};
use proto::jangteo::notification::v1::{Channel, PushService};
use sandbox::Sandbox;
use std::{path::Path, sync::Arc};

/// What leaves. Can't be printed: it may say something about a person.
pub struct Parcel<'a> {
    /// The delivery's id. The same parcel sent twice has the same one; providers that can tell doubles by a key get it.
    pub key: &'a str,
    pub notification_id: &'a str,
    /// What sort of notice it is: `order_paid`.
    pub kind: &'static str,
    /// One line.
    pub title: &'a str,
    pub body: &'a str,
    /// For e-mails alone.
    pub html: Option<String>,
    /// Where in the app it leads; empty: nowhere.
    pub link: &'a str,
    /// The same as a URL.
    pub url: &'a str,
    pub urgent: bool,
}

/// What a provider knows of a parcel that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    Pending,
    Arrived,
    Lost(&'static str),
}

/// One provider of one channel. No outcome, error or log line of it tells an address.
#[async_trait]
pub trait Sender: Send + Sync {
    /// `twilio`
    fn name(&self) -> &'static str;

    /// Makes one attempt. `to`: an address, a number in E.164, a token.
    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome;

    /// Whether `receipt` ever says more than that it knows nothing.
    fn gives_receipts(&self) -> bool {
        false
    }

    /// What became of the parcel that the provider took under this id.
    async fn receipt(&self, _message_id: &str) -> Result<Receipt> {
        Ok(Receipt::Pending)
    }

    /// Forgets what was sent before `before`, where it stays with us.
    async fn sweep(&self, _before: Time) -> Result<()> {
        Ok(())
    }
}

/// Why an address is of no use any more, whoever sends; a device with such a token is forgotten.
pub const GONE: &str = "GONE";

/// The providers of each channel, the preferred one first; none: the channel isn't used.
#[derive(Clone, Default)]
pub struct Senders {
    pub email: Vec<Arc<dyn Sender>>,
    pub sms: Vec<Arc<dyn Sender>>,
    pub fcm: Option<Arc<dyn Sender>>,
    pub apns: Option<Arc<dyn Sender>>,
}

impl Senders {
    /// As configured. What has no provider goes to a sandbox under `data` when the market is embedded, and nowhere
    /// otherwise.
    pub fn choose(cfg: &Config, data: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Senders> {
        let sandbox = cfg.sandbox.clone().or_else(|| Some(data?.join("outbox")));
        let sandbox = |name: &'static str| {
            sandbox.as_ref().map(|folder| -> Arc<dyn Sender> { Arc::new(Sandbox::new(folder.join(name))) })
        };
        let mut sms: Vec<Arc<dyn Sender>> = Vec::new();
        if let Some(cfg) = &cfg.solapi {
            sms.push(Arc::new(solapi::Solapi::new(cfg.clone(), clock.clone())?));
        }
        if let Some(cfg) = &cfg.twilio {
            sms.push(Arc::new(twilio::Twilio::new(cfg.clone())?));
        }
        let fcm: Option<Arc<dyn Sender>> = match &cfg.fcm {
            Some(cfg) => Some(Arc::new(fcm::Fcm::new(cfg, clock.clone())?)),
            None => sandbox("push"),
        };
        let apns: Option<Arc<dyn Sender>> = match &cfg.apns {
            Some(cfg) => Some(Arc::new(apns::Apns::new(cfg, clock)?)),
            None => sandbox("push"),
        };
        if sms.is_empty() {
            sms.extend(sandbox("sms"));
        }
        // A sandbox that somebody named gets the mails too, unless those have a place of their own.
        let has_place = cfg.mail.smtp.is_some() || cfg.mail.folder.is_some();
        let place = cfg.sandbox.as_deref().filter(|_| !has_place).or(data);
        let email: Vec<Arc<dyn Sender>> = match has_place || place.is_some() {
            true => vec![Arc::new(Email(mail::choose("notification.mail", &cfg.mail, place)?))],
            false => Vec::new(),
        };
        let senders = Senders { email, sms, fcm, apns };
        for (channel, used) in [
            ("e-mail", !senders.email.is_empty()),
            ("SMS", !senders.sms.is_empty()),
            ("FCM", senders.fcm.is_some()),
            ("APNs", senders.apns.is_some()),
        ] {
            if !used {
                tracing::warn!(channel, "nobody is named who sends it; notices take other ways");
            }
        }
        Ok(senders)
    }

    /// Who sends SMS and e-mail.
    pub fn of(&self, channel: Channel) -> &[Arc<dyn Sender>] {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.sms,
            _ => &[],
        }
    }

    pub fn push(&self, service: PushService) -> Option<&Arc<dyn Sender>> {
        match service {
            PushService::Fcm => self.fcm.as_ref(),
            PushService::Apns => self.apns.as_ref(),
            PushService::Unspecified => None,
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Sender>> {
        self.email.iter().chain(&self.sms).chain(&self.fcm).chain(&self.apns)
    }
}

/// What fits in a text message: the title alone. Advertising says more, and how to be rid of it.
fn sms(parcel: &Parcel<'_>) -> String {
    let body = if parcel.kind == "advertisement" { format!("\n{}", parcel.body) } else { String::new() };
    let sender = if parcel.title.contains("장터") || parcel.title.contains("Jangteo") { "" } else { "[장터] " };
    let url = if parcel.url.is_empty() { String::new() } else { format!("\n{}", parcel.url) };
    format!("{sender}{}{body}{url}", parcel.title)
}
