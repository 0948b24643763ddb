//! The two ways that mails leave: a mail server, and a developer's folder.

use crate::world::{PASSWORD, Reason, World};
use auth::{Auth, Config};
use chrono::TimeDelta;
use jangteo_core::{Call, Clock, SystemClock, Time};
use mail::{Folder, Mailer, Smtp};
use std::{
    fmt::{Debug, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

async fn post(auth: &Arc<Auth>, now: Time) {
    auth.clone().send_mail(Call::system("auth", "send-mail", now)).await.unwrap();
}

fn smtp(listener: &TcpListener) -> Smtp {
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    Smtp::new("auth.mail", &url, "Jangteo <no-reply@jangteo.invalid>").unwrap()
}

/// As much of RFC 5321 as one mail needs. `rcpt` is the reply to RCPT; answers what the client said.
async fn serve_one(listener: &TcpListener, rcpt: &str) -> Vec<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let (read, mut write) = stream.into_split();
    write.write_all(b"220 test\r\n").await.unwrap();
    let (mut lines, mut seen, mut data) = (BufReader::new(read).lines(), Vec::new(), false);
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match line.as_str() {
            "." => "250 taken",
            _ if data => "",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            l if l.starts_with("RCPT") => rcpt,
            _ => "250 ok",
        };
        data = (data || line == "DATA") && line != ".";
        let last = line == "." || line == "QUIT";
        seen.push(line);
        if !reply.is_empty() {
            write.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
        }
        if last {
            break;
        }
    }
    seen
}

#[tokio::test]
async fn a_mail_server_gets_the_mail() {
    let w = World::new().await;
    w.register("a@b.kr", PASSWORD).await.unwrap();
    w.post().await;
    let letter = w.mails("a@b.kr").remove(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let smtp = smtp(&listener);
    let (seen, sent) = tokio::join!(serve_one(&listener, "250 ok"), smtp.send(&letter));
    sent.unwrap();
    for part in ["MAIL FROM:<no-reply@jangteo.invalid>", "RCPT TO:<a@b.kr>"] {
        assert!(seen.iter().any(|l| l.starts_with(part)), "{part} is missing in {seen:?}");
    }
    // Nobody listens any longer.
    drop(listener);
    assert_eq!(smtp.send(&letter).await.reason(), "UNAVAILABLE");
}

#[tokio::test]
async fn a_refusal_of_the_mail_is_final_and_no_refusal_tells_the_address() {
    for (reply, text, is_final) in [
        ("550 5.1.1 <canary@b.kr>: no such user", "MAIL_REFUSED: the mail server refuses the mail for good: 550", true),
        ("451 4.7.1 <canary@b.kr>: come back later", "it answers 451", false),
        ("530 5.7.0 <canary@b.kr>: log in first", "it answers 530", false),
        ("<canary@b.kr> what is SMTP?", "its answer is no SMTP", false),
    ] {
        let w = World::new().await;
        w.register("canary@b.kr", PASSWORD).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let auth = World::service(&w.db, Arc::new(smtp(&listener)), Config::default()).await;
        let log = Log::default();
        let listening = tracing::subscriber::set_default(log.clone());
        let (seen, ()) = tokio::join!(serve_one(&listener, reply), post(&auth, w.clock.now()));
        drop(listening);
        assert!(seen.iter().any(|l| l.starts_with("RCPT TO:<canary@b.kr>")), "{seen:?}");
        let log = log.0.lock().unwrap().clone();
        assert!(log.contains(text), "{log}");
        assert_eq!(log.contains("given up"), is_final, "{log}");
        assert!(!log.contains("canary"), "{log}");
        // Whether it waits shows when the mails go elsewhere.
        w.advance(TimeDelta::hours(1));
        w.post().await;
        assert_eq!(w.mails("canary@b.kr").is_empty(), is_final, "{reply}");
    }
}

/// All events of this thread, with their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_developer_reads_mails_in_a_folder_for_a_day() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("mail");
    let w = World::new().await;
    let auth = World::service(&w.db, Arc::new(Folder::new(&folder)), Config::default()).await;
    let sweep = async |now| auth.clone().sweep(Call::system("auth", "sweep", now)).await.unwrap();
    // Files have the time of the machine.
    let now = SystemClock.now();
    sweep(now).await;

    w.register("a@b.kr", PASSWORD).await.unwrap();
    post(&auth, w.clock.now()).await;
    let [mail] = files(&folder).try_into().expect("one mail");
    assert!(mail.to_str().unwrap().ends_with("-verify_email.txt"));
    assert_eq!(std::fs::metadata(&mail).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&mail).unwrap();
    assert!(text.starts_with("To: a@b.kr\nSubject: [장터]") && text.contains("\njtv_"), "{text}");

    let notes = folder.join("notes.txt");
    std::fs::write(&notes, "not ours").unwrap();
    sweep(now + TimeDelta::hours(23)).await;
    assert_eq!(files(&folder), [mail, notes.clone()]);
    sweep(now + TimeDelta::hours(25)).await;
    assert_eq!(files(&folder), [notes]);
}
