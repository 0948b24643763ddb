//! The mailer port: SMTP, or a folder in which a developer reads what would have been sent.
//!
//! **The mail folder is a developer's mailbox.** Without a mail server, the embedded market writes mails to `mail` under
//! its data: addresses and live tokens in the clear, readable by the owner of the files alone and deleted after a day. A
//! market with other people in it needs an SMTP server.

mod folder;
mod smtp;

pub use folder::Folder;
pub use smtp::Smtp;

use async_trait::async_trait;
use jangteo_core::{Error, Result, Time};
use serde::Deserialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A mail, ready to be sent. Can't be printed: it holds an address and perhaps a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// `mal_…`; also in the `Message-ID`, so that the same mail sent twice can be told from two.
    pub mail_id: String,
    /// What sort of mail it is, for the name of the file: `verify_email`.
    pub kind: &'static str,
    pub to: String,
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// The same as HTML, for readers that show it.
    pub html: Option<String>,
}

/// Hands mails on.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// `Ok`: somebody else is responsible for the mail now. UNAVAILABLE: it may be tried again; any other error is final.
    /// No error tells an address.
    async fn send(&self, letter: &Letter) -> Result<()>;

    /// Forgets what was sent before `before`, where mails stay with us.
    async fn sweep(&self, _before: Time) -> Result<()> {
        Ok(())
    }
}

/// Without `smtp`, mails are written to `folder`, where a developer reads them and they go after a day; without either,
/// to `mail` under the embedded market's data.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// `smtps://user:password@host:465`, or `smtp://host:587?tls=required`.
    pub smtp: Option<String>,
    pub folder: Option<PathBuf>,
    /// The sender.
    pub from: String,
}

impl Default for MailConfig {
    fn default() -> Self {
        MailConfig { smtp: None, folder: None, from: "Jangteo <no-reply@jangteo.invalid>".to_owned() }
    }
}

/// As configured in the section `auth.mail`, say; `data` is where an embedded market may write.
pub fn choose(section: &str, cfg: &MailConfig, data: Option<&Path>) -> Result<Arc<dyn Mailer>> {
    match (&cfg.smtp, cfg.folder.clone().or_else(|| Some(data?.join("mail")))) {
        (Some(url), _) => Ok(Arc::new(Smtp::new(section, url, &cfg.from)?)),
        (None, Some(folder)) => Ok(Arc::new(Folder::new(folder))),
        (None, None) => {
            let variable = format!("JANGTEO_{}", section.to_uppercase().replace('.', "__"));
            let text = format!(
                "nobody is named who sends mails; set {variable}__SMTP=smtp://host:25 (smtps://user:password@host:465 \
                 with a login), or {variable}__FOLDER=/path to write them to files for a developer to read"
            );
            Err(misconfigured(section, text))
        }
    }
}

fn misconfigured(field: &str, text: impl std::fmt::Display) -> Error {
    Error::invalid(field, "INVALID_CONFIGURATION", text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_the_embedded_mode_a_mailer_is_needed() {
        let choose = |cfg: &MailConfig, data| choose("auth.mail", cfg, data);
        let refusal = choose(&MailConfig::default(), None).err().expect("a refusal").to_string();
        for setting in ["JANGTEO_AUTH__MAIL__SMTP=smtp://host:25", "JANGTEO_AUTH__MAIL__FOLDER="] {
            assert!(refusal.contains(setting), "{refusal}");
        }
        let smtp = MailConfig { smtp: Some("smtp://host:25".into()), ..MailConfig::default() };
        assert!(choose(&smtp, None).is_ok());
        assert!(choose(&MailConfig::default(), Some(Path::new("/tmp"))).is_ok());
    }
}
