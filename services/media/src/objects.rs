//! Where the bytes are: a folder or a bucket. Objects are written whole or not at all, and are on disk when a write returns.

use crate::{Config, S3Config, domain::Fault};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jangteo_core::{Error, Result};
use object_store::{
    BackoffConfig, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    path::Path,
    signer::Signer,
};
use std::{
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Below this an object goes out in one request; the parts of a larger one are so long, as S3 wants it at least.
const PART: usize = 5 << 20;

pub struct Objects {
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<AmazonS3>>,
    folder: Option<PathBuf>,
}

impl Objects {
    /// What the configuration says; without a word the folder `media` under `data`.
    pub fn open(config: &Config, data: Option<&FilePath>) -> Result<Objects> {
        match (&config.s3, &config.folder, data) {
            (Some(s3), _, _) => Objects::s3(s3),
            (None, Some(folder), _) => Objects::folder(folder),
            (None, None, Some(data)) => Objects::folder(&data.join("media")),
            (None, None, None) => {
                let text = "outside the embedded mode media need media.s3 or a media.folder that all replicas see";
                Err(Error::invalid("media.s3", "INVALID_CONFIGURATION", text))
            }
        }
    }

    pub fn folder(folder: &FilePath) -> Result<Objects> {
        let unwritable = |e: &dyn std::fmt::Display| {
            Error::invalid("media.folder", "UNWRITABLE", format!("{}: {e}", folder.display()))
        };
        std::fs::create_dir_all(folder).map_err(|e| unwritable(&e))?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| unwritable(&e))?.with_fsync(true);
        Ok(Objects { store: Arc::new(store), signer: None, folder: Some(folder.to_owned()) })
    }

    pub fn s3(config: &S3Config) -> Result<Objects> {
        // Somebody else of this process may have chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(&config.secret_access_key)
            .with_retry(retry());
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let bad = |e: object_store::Error| Error::invalid("media.s3", "INVALID_CONFIGURATION", e.to_string());
        let store = Arc::new(builder.build().map_err(bad)?);
        Ok(Objects { store: store.clone(), signer: Some(store), folder: None })
    }

    /// An object to be written piece by piece.
    pub fn create(&self, key: &str) -> Sink {
        Sink { store: self.store.clone(), key: Path::from(key), small: BytesMut::new(), large: None }
    }

    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        self.store.put(&Path::from(key), PutPayload::from(bytes)).await.map_err(away)?;
        Ok(())
    }

    /// Some of an object's bytes; `None`: there is no such object.
    pub async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = match self.store.get_opts(&Path::from(key), options).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(away(e)),
        };
        found.bytes().await.map(Some).map_err(away)
    }

    /// An object from its beginning, as it is read.
    pub async fn stream(&self, key: &str) -> Result<Option<BoxStream<'static, Result<Bytes>>>> {
        match self.store.get(&Path::from(key)).await {
            Ok(found) => Ok(Some(found.into_stream().map_err(away).boxed())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(away(e)),
        }
    }

    /// An object's length; `None`: there is no such object.
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        match self.store.head(&Path::from(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(away(e)),
        }
    }

    /// One that is gone already is deleted.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&Path::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(away(e)),
        }
    }

    /// All objects of ours.
    pub fn list(&self) -> BoxStream<'static, Result<ObjectMeta>> {
        let under = |folder: &str| self.store.list(Some(&Path::from(folder)));
        under("uploads").chain(under("media")).map_err(away).boxed()
    }

    /// An address to which anybody who has it may PUT the object for so long. A folder has none.
    pub async fn presign(&self, key: &str, ttl: Duration) -> Result<String> {
        let signer = self.signer.as_ref().ok_or(Fault::PresignUnavailable)?;
        Ok(signer.signed_url(http::Method::PUT, &Path::from(key), ttl).await.map_err(away)?.into())
    }

    pub fn presigns(&self) -> Result<()> {
        if self.signer.is_some() { Ok(()) } else { Err(Fault::PresignUnavailable.into()) }
    }

    /// Files of writes that a crash cut off, which the store doesn't list; how many there were.
    pub async fn sweep_unfinished(&self, older_than: SystemTime) -> Result<usize> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let mut swept = 0;
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            let mut entries = tokio::fs::read_dir(folder).await.map_err(Error::internal)?;
            while let Some(entry) = entries.next_entry().await.map_err(Error::internal)? {
                let Ok(meta) = entry.metadata().await else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                // As object_store names what it has not finished.
                let staged = entry.file_name().to_string_lossy().contains('#');
                if staged && meta.modified().is_ok_and(|at| at < older_than) {
                    tokio::fs::remove_file(entry.path()).await.map_err(Error::internal)?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }
}

/// An object under way; nothing is there until it is finished.
pub struct Sink {
    store: Arc<dyn ObjectStore>,
    key: Path,
    small: BytesMut,
    large: Option<WriteMultipart>,
}

impl Sink {
    /// Waits while the store is behind.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(large) = &mut self.large {
            large.wait_for_capacity(2).await.map_err(away)?;
            large.write(bytes);
            return Ok(());
        }
        self.small.extend_from_slice(bytes);
        if self.small.len() >= PART {
            let upload = self.store.put_multipart(&self.key).await.map_err(away)?;
            let mut large = WriteMultipart::new_with_chunk_size(upload, PART);
            large.put(std::mem::take(&mut self.small).freeze());
            self.large = Some(large);
        }
        Ok(())
    }

    pub async fn finish(self) -> Result<()> {
        match self.large {
            Some(large) => large.finish().await.map_err(away)?,
            None => self.store.put(&self.key, PutPayload::from(self.small.freeze())).await.map_err(away)?,
        };
        Ok(())
    }

    /// Leaves nothing behind.
    pub async fn abort(self) {
        if let Some(large) = self.large
            && let Err(error) = large.abort().await
        {
            tracing::warn!(%error, key = %self.key, "an unfinished upload stays in the object store");
        }
    }
}

/// Somebody waits for the answer, and workers come back by themselves.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_secs(1),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(10) }
}

fn away(e: object_store::Error) -> Error {
    Error::unavailable("object store").with_source(e)
}
