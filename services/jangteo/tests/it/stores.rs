//! What is in the stores, read behind the market's back.

use std::path::Path;

use kit::db::sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use testkit::Market;

/// A service's own tables.
pub struct Store {
    connection: DatabaseConnection,
    /// Before each table's name.
    schema: String,
}

impl Store {
    pub async fn open(market: &Market, service: &str) -> Store {
        let (url, schema) = match market.database() {
            Some(url) => (url.to_owned(), format!("\"{service}\".")),
            None => (format!("sqlite://{}?mode=rw", file(market.folder(), service)), String::new()),
        };
        let connection = Database::connect(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        Store { connection, schema }
    }

    /// Rows of a table that meet a condition.
    pub async fn count(&self, table: &str, condition: &str) -> i64 {
        let sql = format!("SELECT COUNT(*) AS n FROM {}{table} WHERE {condition}", self.schema);
        let row = self.connection.query_one_raw(Statement::from_string(self.backend(), sql.clone())).await;
        let row = row.unwrap_or_else(|error| panic!("{sql}: {error}")).expect("a count");
        row.try_get("", "n").expect("a number")
    }

    fn backend(&self) -> DbBackend {
        self.connection.get_database_backend()
    }
}

fn file(folder: &Path, service: &str) -> String {
    folder.join("data").join(format!("{service}.db")).display().to_string()
}

/// Events of every service together: what any write leaves behind.
pub async fn events(market: &Market) -> i64 {
    let mut sum = 0;
    for entry in crate::services::SERVICES {
        sum += Store::open(market, entry.name).await.count("event", "1 = 1").await;
    }
    sum
}
