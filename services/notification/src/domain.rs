//! What people are told, when, and by which way. Pure: values and `now` in, decisions out.

pub mod course;
pub mod facts;
pub mod hours;
pub mod kind;
pub mod preferences;
pub mod split;
pub mod text;

use jangteo_core::{Entity, faults};

faults! {
    /// Why the notification service refuses.
    pub enum Fault in "notification.jangteo" {
        CampaignOver { status: &'static str } = FailedPrecondition "the campaign is {status} already",
    }
}

macro_rules! entities {
    ($($noun:ident: $name:literal $prefix:literal),* $(,)?) => {$(
        pub enum $noun {}

        impl Entity for $noun {
            const NAME: &'static str = $name;
            const PREFIX: &'static str = $prefix;
        }
    )*};
}

entities! {
    Notification: "notification" "ntf",
    Delivery: "delivery" "dlv",
    Device: "device" "dev",
    Campaign: "campaign" "cmp",
}
