//! Pictures: uploaded, checked, stripped of all metadata, made into variants, served for ever under addresses that never change.
//!
//! Owns: media (what somebody uploaded), contents (the same bytes once, however many media there are of them) and their
//! objects in a folder or a bucket. What was uploaded is kept only until its variants are made: an original would need to
//! be stripped without loss, format by format, and nobody shows it; `full` takes its place.
//! Calls: nobody. Emits: `MediaUploaded`, `MediaReady`, `MediaRejected`, `MediaDeleted`. Listens to: auth's `AccountErased`.
//!
//! An object is written before a row names it, and deleted after no row does: between the two lies at most an object that
//! nobody needs, which the sweeper finds. So a medium is never READY without its bytes.

mod api;
mod config;
pub mod domain;
mod events;
mod migrations;
pub mod objects;
pub mod store;

pub use config::{Config, S3Config};
pub use migrations::MIGRATIONS;

use jangteo_core::{Clock, PageTokens, Result};
use kit::{
    Boot, Mount, Service,
    db::{Db, Migrations},
};
use objects::Objects;
use proto::jangteo::media::v1::media_service;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};

pub struct Media {
    db: Db,
    objects: Arc<Objects>,
    pages: PageTokens,
    clock: Arc<dyn Clock>,
    config: Config,
    /// There is work: a picture to make variants of, an object to delete.
    wake: Notify,
    /// How many pictures lie decoded in memory at once.
    decoders: Arc<Semaphore>,
}

impl Media {
    pub fn new(db: Db, objects: Objects, pages: PageTokens, clock: Arc<dyn Clock>, config: Config) -> Self {
        let decoders = Arc::new(Semaphore::new(config.decoders.max(1)));
        Media { db, objects: Arc::new(objects), pages, clock, config, wake: Notify::new(), decoders }
    }
}

impl Service for Media {
    const NAME: &'static str = "media";
    const MIGRATIONS: Migrations = MIGRATIONS;
    type Config = Config;

    async fn build(cx: &Boot<Config>) -> Result<Self> {
        let config = cx.config().clone();
        let objects = Objects::open(&config, cx.data_dir())?;
        Ok(Media::new(cx.db(), objects, cx.page_tokens(), cx.clock(), config))
    }

    fn mount(m: &mut Mount<Self>) {
        m.grpc(media_service::routes)
            .forget(Self::forget)
            .always("variants", Self::work)
            .every("sweep", Duration::from_secs(600), Self::sweep)
            .check("objects", Self::check_objects);
    }
}
