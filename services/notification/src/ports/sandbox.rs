//! Where no provider is configured: a folder in which developers and tests read what would have been sent.

use super::{Parcel, Sender};
use crate::domain::course::Outcome;
use async_trait::async_trait;
use jangteo_core::{Error, Result, Time};
use std::{io::ErrorKind, path::PathBuf};
use tokio::{fs, io::AsyncWriteExt};

/// One JSON file for each parcel, `dlv_….json`, with the number or token in the clear. Only its owner can read it, for a
/// day. The same parcel sent again is the same file.
pub struct Sandbox(PathBuf);

impl Sandbox {
    pub fn new(folder: PathBuf) -> Self {
        Sandbox(folder)
    }

    async fn write(&self, to: &str, parcel: &Parcel<'_>) -> std::io::Result<()> {
        let text = serde_json::json!({
            "to": to, "kind": parcel.kind, "title": parcel.title, "body": parcel.body, "link": parcel.link,
            "notification_id": parcel.notification_id,
        });
        // Push goes to each device of a person under one key.
        let device = ring::digest::digest(&ring::digest::SHA256, to.as_bytes());
        let device: String = device.as_ref()[..4].iter().map(|b| format!("{b:02x}")).collect();
        fs::create_dir_all(&self.0).await?;
        let name = format!("{}-{device}.json", parcel.key);
        let (hidden, path) = (self.0.join(format!(".{name}")), self.0.join(&name));
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&hidden).await?;
        file.write_all(text.to_string().as_bytes()).await?;
        file.sync_all().await?;
        fs::rename(&hidden, &path).await
    }
}

#[async_trait]
impl Sender for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    async fn send(&self, to: &str, parcel: &Parcel<'_>) -> Outcome {
        match self.write(to, parcel).await {
            Ok(()) => Outcome::Sent(parcel.key.to_owned()),
            Err(error) => {
                tracing::warn!(error = %error, "the sandbox's folder can't be written");
                Outcome::Later { after: None, why: "UNWRITABLE" }
            }
        }
    }

    async fn sweep(&self, before: Time) -> Result<()> {
        let mut files = match fs::read_dir(&self.0).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            files => files.map_err(unwritable)?,
        };
        while let Some(file) = files.next_entry().await.map_err(unwritable)? {
            let ours = file.file_name().to_str().is_some_and(|n| n.trim_start_matches('.').starts_with("dlv_"));
            let written = match file.metadata().await.and_then(|m| m.modified()) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                written => written.map_err(unwritable)?,
            };
            if ours && Time::from(written) < before {
                match fs::remove_file(file.path()).await {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(unwritable(e)),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn unwritable(e: std::io::Error) -> Error {
    Error::unavailable("the sandbox's folder").with_source(e)
}
