//! The mailer port: SMTP, or a folder in which a developer reads what would have been sent.

use crate::{MailConfig, domain::mail::Letter};
use async_trait::async_trait;
use jangteo_core::{Error, Result};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Hands mails on. `Ok` means that somebody else is responsible for the mail now.
#[async_trait]
pub trait Mailer: Send + Sync {
    async fn send(&self, letter: &Letter) -> Result<()>;
}

/// As configured; `data` is where an embedded market may write.
pub(crate) fn choose(cfg: &MailConfig, data: Option<&Path>) -> Result<Arc<dyn Mailer>> {
    match (&cfg.smtp, cfg.folder.clone().or_else(|| Some(data?.join("mail")))) {
        (Some(url), _) => Ok(Arc::new(Smtp::new(url, &cfg.from)?)),
        (None, Some(folder)) => Ok(Arc::new(Folder::new(folder))),
        (None, None) => Err(misconfigured("auth.mail.smtp", "or auth.mail.folder is needed outside the embedded mode")),
    }
}

fn misconfigured(field: &str, text: impl std::fmt::Display) -> Error {
    Error::invalid(field, "INVALID_CONFIGURATION", text.to_string())
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// A mail server.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// `smtps://user:password@host:465`, `smtp://host:587?tls=required`.
    pub fn new(url: &str, from: &str) -> Result<Self> {
        // The URL holds a password, so neither it nor an error that may quote it is shown.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| misconfigured("auth.mail.smtp", "is no smtp or smtps URL"))?
            .timeout(Some(TIMEOUT))
            .build();
        let from = from.parse().map_err(|e| misconfigured("auth.mail.from", e))?;
        Ok(Smtp { transport, from })
    }

    fn message(&self, letter: &Letter) -> Result<Message> {
        Message::builder()
            .from(self.from.clone())
            .to(letter.to.parse().map_err(|_| Error::internal("the address is none that mail is sent to"))?)
            .message_id(Some(format!("<{}@jangteo>", letter.mail_id)))
            .subject(&letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
            .map_err(Error::internal)
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, letter: &Letter) -> Result<()> {
        let sent = self.transport.send(self.message(letter)?).await;
        sent.map(drop).map_err(|e| Error::unavailable("the mail server").with_source(e))
    }
}

/// One text file for each mail: `mal_…-verify_email.txt`. Only its owner can read it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Folder(folder.into())
    }
}

#[async_trait]
impl Mailer for Folder {
    async fn send(&self, letter: &Letter) -> Result<()> {
        let name = format!("{}-{}.txt", letter.mail_id, letter.kind.name());
        let text = format!("To: {}\nSubject: {}\n\n{}", letter.to, letter.subject, letter.body);
        let unwritable = |e: std::io::Error| Error::unavailable("the mail folder").with_source(e);
        tokio::fs::create_dir_all(&self.0).await.map_err(unwritable)?;
        let (hidden, path) = (self.0.join(format!(".{name}")), self.0.join(&name));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&hidden).await.map_err(unwritable)?;
        tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await.map_err(unwritable)?;
        file.sync_all().await.map_err(unwritable)?;
        // Whole or not at all, for whoever watches the folder.
        tokio::fs::rename(&hidden, &path).await.map_err(unwritable)?;
        tracing::info!(path = %path.display(), "a mail is in the folder");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mail::Kind;

    fn letter() -> Letter {
        Letter {
            mail_id: "mal_1".into(),
            kind: Kind::VerifyEmail,
            to: "min.ji@example.kr".into(),
            subject: "[장터] 이메일 주소를 확인해 주세요".into(),
            body: "민지님, 안녕하세요.\n".into(),
        }
    }

    #[test]
    fn a_message_is_one_that_servers_take() {
        let smtp = Smtp::new("smtp://127.0.0.1:2525", "장터 <no-reply@jangteo.invalid>").unwrap();
        let raw = String::from_utf8(smtp.message(&letter()).unwrap().formatted()).unwrap();
        assert!(raw.contains("To: min.ji@example.kr\r\n"), "{raw}");
        assert!(raw.contains("Subject: =?utf-8?"), "{raw}");
        assert!(raw.contains("charset=utf-8"), "{raw}");
        assert!(Smtp::new("http://x", "a@b.kr").is_err());
        assert!(Smtp::new("smtp://x", "nobody").is_err());
    }

    #[test]
    fn outside_the_embedded_mode_a_mailer_is_needed() {
        assert!(choose(&MailConfig::default(), None).is_err());
        assert!(choose(&MailConfig::default(), Some(Path::new("/tmp"))).is_ok());
    }
}
