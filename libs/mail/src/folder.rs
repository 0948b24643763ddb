//! Mails as files.

use crate::{Letter, Mailer};
use async_trait::async_trait;
use jangteo_core::{Error, Result, Time};
use std::{ffi::OsStr, io::ErrorKind, path::PathBuf};
use tokio::{fs, io::AsyncWriteExt};

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
        let name = format!("{}-{}.txt", letter.mail_id, letter.kind);
        let text = format!("To: {}\nSubject: {}\n\n{}", letter.to, letter.subject, letter.body);
        fs::create_dir_all(&self.0).await.map_err(unwritable)?;
        let (hidden, path) = (self.0.join(format!(".{name}")), self.0.join(&name));
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&hidden).await.map_err(unwritable)?;
        file.write_all(text.as_bytes()).await.map_err(unwritable)?;
        file.sync_all().await.map_err(unwritable)?;
        // Whole or not at all, for whoever watches the folder.
        fs::rename(&hidden, &path).await.map_err(unwritable)?;
        tracing::debug!(path = %path.display(), "a mail is in the folder");
        Ok(())
    }

    async fn sweep(&self, before: Time) -> Result<()> {
        let mut files = match fs::read_dir(&self.0).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            files => files.map_err(unwritable)?,
        };
        while let Some(file) = files.next_entry().await.map_err(unwritable)? {
            // Several services may sweep one folder: what is gone already is gone.
            let written = match file.metadata().await.and_then(|m| m.modified()) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                written => written.map_err(unwritable)?,
            };
            if !is_mail(&file.file_name()) || Time::from(written) >= before {
                continue;
            }
            match fs::remove_file(file.path()).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(unwritable(e)),
                _ => {}
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
