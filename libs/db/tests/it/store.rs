//! A database of one test's own, and what the tests write into it.

use db::{Db, DbConfig, DbResult, Migration, Migrations, Tx, sea_orm::ConnectionTrait};
use jangteo_core::{Call, Result, from_micros};
use tempfile::TempDir;
use uuid::Uuid;

pub const CUPS: Migrations = Migrations(&[Migration {
    name: "0001_cup",
    sql: "CREATE TABLE cup (id TEXT PRIMARY KEY, shelf TEXT NOT NULL, place BIGINT NOT NULL, glaze BYTES);",
}]);

pub struct Store {
    pub cfg: DbConfig,
    _dir: Option<TempDir>,
}

impl Store {
    pub fn sqlite() -> Store {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/data/it.db?mode=rwc", dir.path().display());
        Store { cfg: DbConfig { url, ..Default::default() }, _dir: Some(dir) }
    }

    pub fn postgres() -> Store {
        let schema = Some(format!("db_{}", Uuid::now_v7().simple()));
        Store { cfg: DbConfig { url: testkit::servers::postgres(), schema, ..Default::default() }, _dir: None }
    }

    /// Another one of the same kind.
    pub fn sibling(&self) -> Store {
        if self.is_postgres() { Store::postgres() } else { Store::sqlite() }
    }

    pub fn is_postgres(&self) -> bool {
        self.cfg.schema.is_some()
    }

    pub async fn open(&self) -> Db {
        let db = Db::open("shop", &self.cfg, &[CUPS]).await.unwrap();
        db.migrate().await.unwrap();
        db
    }

    pub async fn open_with_relay(&self) -> Db {
        let db = Db::open("shop", &DbConfig { relay: true, ..self.cfg.clone() }, &[CUPS]).await.unwrap();
        db.migrate().await.unwrap();
        db
    }
}

pub fn cx() -> Call {
    Call::system("shop", "/test.v1.Shop/Do", from_micros(1_700_000_000_000_000))
}

pub fn keyed(key: &str, body: u8) -> Call {
    Call { request_id: Some(key.to_owned()), fingerprint: [body; 32], ..cx() }
}

pub async fn put_cup<C: ConnectionTrait>(conn: &C, id: &str, shelf: &str, place: i64) -> Result<()> {
    conn.execute_unprepared(&format!("INSERT INTO cup (id, shelf, place) VALUES ('{id}', '{shelf}', {place})"))
        .await
        .db()?;
    Ok(())
}

pub async fn count<C: ConnectionTrait>(conn: &C, what: &str) -> i64 {
    use db::sea_orm::Statement;
    let stmt = Statement::from_string(conn.get_database_backend(), format!("SELECT COUNT(*) FROM {what}"));
    conn.query_one_raw(stmt).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

/// The first event of the test's only aggregate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Opened {
    #[prost(string, tag = "1")]
    pub shop_id: String,
    #[prost(int64, tag = "2")]
    pub cups: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sold {
    #[prost(string, tag = "1")]
    pub shop_id: String,
    #[prost(int64, tag = "2")]
    pub cups: i64,
}

macro_rules! event {
    ($name:ident) => {
        impl prost::Name for $name {
            const NAME: &'static str = stringify!($name);
            const PACKAGE: &'static str = "test.v1";
        }
        impl proto::Event for $name {
            const SOURCE: &'static str = "shop";
            const AGGREGATE: &'static str = "shop";
            fn aggregate_id(&self) -> &str {
                &self.shop_id
            }
        }
    };
}
event!(Opened);
event!(Sold);

pub fn opened(shop_id: &str, cups: i64) -> Opened {
    Opened { shop_id: shop_id.to_owned(), cups }
}

pub fn sold(shop_id: &str, cups: i64) -> Sold {
    Sold { shop_id: shop_id.to_owned(), cups }
}

/// A reply that tells one run from another.
pub async fn put_and_tell(tx: &Tx) -> Result<Opened> {
    let id = Uuid::now_v7().simple().to_string();
    put_cup(tx, &id, "top", 1).await?;
    tx.emit(&opened("shp_1", 1)).await?;
    Ok(opened(&id, 1))
}
