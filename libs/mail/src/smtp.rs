//! Mails by SMTP.

use crate::{Letter, Mailer, misconfigured};
use async_trait::async_trait;
use jangteo_core::{Code, Error, Result};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart, header::ContentType},
    transport::smtp::{self, response::Category},
};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A mail server.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// `smtps://user:password@host:465`, `smtp://host:587?tls=required`. `section` is that of the configuration.
    pub fn new(section: &str, url: &str, from: &str) -> Result<Self> {
        // The URL holds a password, so neither it nor an error that may quote it is shown.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| misconfigured(&format!("{section}.smtp"), "is no smtp or smtps URL"))?
            .timeout(Some(TIMEOUT))
            .build();
        let from = from.parse().map_err(|e| misconfigured(&format!("{section}.from"), e))?;
        Ok(Smtp { transport, from })
    }

    fn message(&self, letter: &Letter) -> Result<Message> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(letter.to.parse().map_err(|_| Error::internal("the address is none that mail is sent to"))?)
            .message_id(Some(format!("<{}@jangteo>", letter.mail_id)))
            .subject(&letter.subject);
        let message = match &letter.html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(letter.body.clone(), html.clone())),
            None => message.header(ContentType::TEXT_PLAIN).body(letter.body.clone()),
        };
        message.map_err(Error::internal)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            mail_id: "mal_1".into(),
            kind: "verify_email",
            to: "min.ji@example.kr".into(),
            subject: "[장터] 이메일 주소를 확인해 주세요".into(),
            body: "민지님, 안녕하세요.\n".into(),
            html: None,
        }
    }

    #[test]
    fn a_message_is_one_that_servers_take() {
        let new = |url, from| Smtp::new("auth.mail", url, from);
        let smtp = new("smtp://127.0.0.1:2525", "장터 <no-reply@jangteo.invalid>").unwrap();
        let raw = String::from_utf8(smtp.message(&letter()).unwrap().formatted()).unwrap();
        assert!(raw.contains("To: min.ji@example.kr\r\n"), "{raw}");
        assert!(raw.contains("Subject: =?utf-8?"), "{raw}");
        assert!(raw.contains("charset=utf-8"), "{raw}");
        let html = Letter { html: Some("<p>안녕하세요</p>".into()), ..letter() };
        let raw = String::from_utf8(smtp.message(&html).unwrap().formatted()).unwrap();
        assert!(raw.contains("multipart/alternative") && raw.contains("text/html"), "{raw}");
        assert!(new("http://x", "a@b.kr").is_err());
        assert!(new("smtp://x", "nobody").is_err());
    }
}
