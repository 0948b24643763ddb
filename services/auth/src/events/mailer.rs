//! The mailer port: SMTP, or a folder in which a developer reads what would have been sent.

use crate::{MailConfig, domain::mail::Letter};
use async_trait::async_trait;
use jangteo_core::{Code, Error, Result, Time};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{self, response::Category},
};
use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

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

/// As configured; `data` is where an embedded market may write.
pub(crate) fn choose(cfg: &MailConfig, data: Option<&Path>) -> Result<Arc<dyn Mailer>> {
    match (&cfg.smtp, cfg.folder.clone().or_else(|| Some(data?.join("mail")))) {
        (Some(url), _) => Ok(Arc::new(Smtp::new(url, &cfg.from)?)),
        (None, Some(folder)) => Ok(Arc::new(Folder::new(folder))),
        (None, None) => Err(misconfigured("auth.mail", NO_MAILER)),
    }
}

const NO_MAILER: &str = "nobody is named who sends mails; set JANGTEO_AUTH__MAIL__SMTP=smtp://host:25 (smtps://user:password@host:465 \
    with a login), or JANGTEO_AUTH__MAIL__FOLDER=/path to write them to files for a developer to read";

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
        sent.map(drop).map_err(|e| failure(&e))
    }
}

/// What may be told of a failure: its class and the reply's code. A server's words quote the recipient, so neither they
/// nor the error that holds them go further.
///
/// A reply of 55x is about the mail, and final (RFC 5321, section 4.2). Other refusals, of a login for one, are about us:
/// they wait for an operator.
fn failure(e: &smtp::Error) -> Error {
    let class = match e.status() {
        Some(code) if e.is_permanent() && code.category == Category::MailSystem => {
            let text = format!("the mail server refuses the mail for good: {code}");
            return Error::new(Code::FailedPrecondition, "MAIL_REFUSED", text);
        }
        Some(code) => format!("it answers {code}"),
        None if e.is_timeout() => "it does not answer in time".to_owned(),
        None if e.is_tls() => "no TLS with it".to_owned(),
        None if e.is_response() => "its answer is no SMTP".to_owned(),
        None if e.is_client() => "it can't take such mails".to_owned(),
        None => "no connection".to_owned(),
    };
    Error::unavailable("the mail server").with_source(class)
}

/// A developer's mailbox: one text file for each mail, `mal_…-verify_email.txt`, with the address and the token in the
/// clear. Only its owner can read it, for a day.
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
        tokio::fs::create_dir_all(&self.0).await.map_err(unwritable)?;
        let (hidden, path) = (self.0.join(format!(".{name}")), self.0.join(&name));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&hidden).await.map_err(unwritable)?;
        tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await.map_err(unwritable)?;
        file.sync_all().await.map_err(unwritable)?;
        // Whole or not at all, for whoever watches the folder.
        tokio::fs::rename(&hidden, &path).await.map_err(unwritable)?;
        tracing::debug!(path = %path.display(), "a mail is in the folder");
        Ok(())
    }

    async fn sweep(&self, before: Time) -> Result<()> {
        let mut files = match tokio::fs::read_dir(&self.0).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            files => files.map_err(unwritable)?,
        };
        while let Some(file) = files.next_entry().await.map_err(unwritable)? {
            let written = file.metadata().await.and_then(|m| m.modified()).map_err(unwritable)?;
            if is_mail(&file.file_name()) && Time::from(written) < before {
                tokio::fs::remove_file(file.path()).await.map_err(unwritable)?;
            }
        }
        Ok(())
    }
}

fn unwritable(e: std::io::Error) -> Error {
    Error::unavailable("the mail folder").with_source(e)
}

/// Whether a file is one of ours, whole or half written. Whoever names a folder may keep other things in it.
fn is_mail(name: &OsStr) -> bool {
    name.to_str().is_some_and(|n| n.trim_start_matches('.').starts_with("mal_") && n.ends_with(".txt"))
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
        let refusal = choose(&MailConfig::default(), None).err().expect("a refusal").to_string();
        for setting in ["JANGTEO_AUTH__MAIL__SMTP=smtp://host:25", "JANGTEO_AUTH__MAIL__FOLDER="] {
            assert!(refusal.contains(setting), "{refusal}");
        }
        let smtp = MailConfig { smtp: Some("smtp://host:25".into()), ..MailConfig::default() };
        assert!(choose(&smtp, None).is_ok());
        assert!(choose(&MailConfig::default(), Some(Path::new("/tmp"))).is_ok());
    }
}
