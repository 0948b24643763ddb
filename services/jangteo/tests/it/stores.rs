//! What is in the stores, read behind the market's back.

use std::path::Path;

use futures::TryStreamExt;
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

    /// Every row of every table as text; bytes are in hexadecimal. PostgreSQL alone: files can be read as they are.
    pub async fn rows(&self) -> Vec<String> {
        let schema = self.schema.trim_matches(['"', '.']);
        let tables = format!("SELECT table_name AS row FROM information_schema.tables WHERE table_schema = '{schema}'");
        let mut rows = Vec::new();
        for table in self.texts(tables).await {
            rows.extend(self.texts(format!("SELECT t::text AS row FROM {}\"{table}\" t", self.schema)).await);
        }
        rows
    }

    async fn texts(&self, sql: String) -> Vec<String> {
        let rows = self.connection.query_all_raw(Statement::from_string(self.backend(), sql.clone())).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        rows.iter().map(|row| row.try_get("", "row").expect("a text")).collect()
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

/// Every message of every stream, with its subject and its headers.
pub async fn streams(market: &mut Market) -> Vec<Vec<u8>> {
    let url = market.nats().url();
    let nats = async_nats::connect(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    let jetstream = async_nats::jetstream::new(nats);
    let names: Vec<String> = jetstream.stream_names().try_collect().await.expect("the names of the streams");
    let mut messages = Vec::new();
    for name in names {
        let mut stream = jetstream.get_stream(&name).await.expect("a stream");
        let state = stream.info().await.expect("its state").state.clone();
        for seq in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(seq).await else { continue };
            messages
                .push([message.payload.to_vec(), format!("{} {:?}", message.subject, message.headers).into()].concat());
        }
    }
    messages
}

/// Every key of Redis and what is behind it, as the server writes it.
pub async fn cached(market: &mut Market) -> Vec<u8> {
    let url = market.redis().url();
    let address = url.trim_start_matches("redis://").to_owned();
    let keys = redis(&address, &[vec![b"KEYS".to_vec(), b"*".to_vec()]]).await;
    let mut commands = Vec::new();
    for key in bulks(&keys) {
        for (command, rest) in [("GET", ""), ("HGETALL", ""), ("SMEMBERS", ""), ("LRANGE", "0 -1"), ("ZRANGE", "0 -1")]
        {
            let rest = rest.split(' ').filter(|r| !r.is_empty()).map(|r| r.as_bytes().to_vec());
            commands.push([command.as_bytes().to_vec(), key.clone()].into_iter().chain(rest).collect());
        }
    }
    [keys, redis(&address, &commands).await].concat()
}

/// Sends commands in one go; gives all that was answered, <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
async fn redis(address: &str, commands: &[Vec<Vec<u8>>]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(address).await.expect("redis answers");
    let quit = vec![b"QUIT".to_vec()];
    let mut out = Vec::new();
    for command in commands.iter().chain([&quit]) {
        out.extend(format!("*{}\r\n", command.len()).bytes());
        for part in command {
            out.extend(format!("${}\r\n", part.len()).bytes());
            out.extend(part);
            out.extend(b"\r\n");
        }
    }
    connection.write_all(&out).await.expect("redis listens");
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.expect("redis answers");
    answer
}

/// The strings of an answer that is a list of them.
fn bulks(answer: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut rest) = (Vec::new(), answer);
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let (line, tail) = (&rest[..end], &rest[end + 2..]);
        let length = line.strip_prefix(b"$").and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok());
        rest = match length {
            Some(n) if tail.len() >= n + 2 => {
                found.push(tail[..n].to_vec());
                &tail[n + 2..]
            }
            _ => tail,
        };
    }
    found
}
