//! What a service is built from.

use jangteo_core::PageTokens;
use kit::{
    cache::{Cache, CacheConfig},
    db::{Db, DbConfig, Migrations, crypt::Keyring},
};
use std::path::Path;
use tempfile::TempDir;

/// Which kind of store a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Databases of one service, gone when dropped.
pub struct Stores {
    dbs: Vec<Db>,
    files: TempDir,
    _server: Option<testkit::servers::Database>,
}

impl Stores {
    /// One database with the schema of `service`.
    pub async fn open(kind: Kind, service: &'static str, migrations: Migrations) -> Stores {
        Stores::shards(kind, service, migrations, 1).await
    }

    /// So many of them, for a service whose rows lie in shards.
    pub async fn shards(kind: Kind, service: &'static str, migrations: Migrations, databases: usize) -> Stores {
        let files = TempDir::new().expect("create a temporary folder");
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(testkit::servers::fresh_database().await),
        };
        let mut dbs = Vec::new();
        for n in 0..databases {
            let config = match &server {
                Some(server) => {
                    DbConfig { url: server.url().into(), schema: Some(format!("{service}_{n}")), ..DbConfig::default() }
                }
                None => {
                    let url = format!("sqlite://{}/{service}_{n}.db?mode=rwc", files.path().display());
                    DbConfig { url, ..DbConfig::default() }
                }
            };
            let db = Db::open(service, &config, &[migrations]).await.expect("open a fresh database");
            db.migrate().await.expect("migrate a fresh database");
            dbs.push(db);
        }
        Stores { dbs, files, _server: server }
    }

    pub fn db(&self) -> Db {
        self.dbs[0].clone()
    }

    pub fn dbs(&self) -> Vec<Db> {
        self.dbs.clone()
    }

    /// A folder that goes with the databases.
    pub fn folder(&self) -> &Path {
        self.files.path()
    }

    pub fn keyring(&self) -> Keyring {
        Keyring::from_keys("k1", [("k1".to_owned(), [7; 32])], [8; 32]).expect("keys of the right length")
    }

    pub fn pages(&self) -> PageTokens {
        PageTokens::new(b"test")
    }

    /// A cache of this process alone.
    pub fn cache(&self) -> Cache {
        Cache::new(&CacheConfig::default()).expect("a cache without a server")
    }

    /// Whether any file of an embedded store contains the text; nothing is known of a server's files.
    pub fn stored(&self, text: &str) -> bool {
        let contains = |file: &Path| {
            std::fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
        };
        let files = std::fs::read_dir(self.files.path()).expect("read the folder of the stores");
        files.filter_map(|f| f.ok()).any(|f| contains(&f.path()))
    }
}
