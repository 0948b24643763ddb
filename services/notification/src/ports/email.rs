//! E-mail, by whatever mailer is configured.

use super::{Parcel, Sender};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use jangteo_core::{Code, Result, Time};
use mail::{Letter, Mailer};
use std::sync::Arc;

pub struct Email(pub Arc<dyn Mailer>);

#[async_trait]
impl Sender for Email {
    fn name(&self) -> &'static str {
        "mail"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        let id = parcel.key.rsplit('_').next().unwrap_or_default();
        let end = if parcel.url.is_empty() { String::new() } else { format!("\n\n{}", parcel.url) };
        let letter = Letter {
            mail_id: format!("mal_{id}"),
            kind: parcel.kind,
            to: to.to_owned(),
            subject: parcel.title.to_owned(),
            body: format!("{}{end}\n", parcel.body),
            html: parcel.html.clone(),
        };
        match self.0.send(&letter).await {
            Ok(()) => Outcome::Sent(letter.mail_id),
            // A server that breaks off in the middle has no way to say whether it took the mail, but by far the most
            // failures are none of these, and the Message-ID lets readers tell doubles.
            Err(e) if e.code() == Code::Unavailable => Outcome::Later { after: None, why: "MAIL_SERVER_DOWN" },
            Err(_) => Outcome::Never { why: "MAIL_REFUSED" },
        }
    }

    async fn sweep(&self, before: Time) -> Result<()> {
        self.0.sweep(before).await
    }
}
