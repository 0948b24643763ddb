//! A user service of its own for each test, with an auth that knows whom the test tells it.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use jangteo_core::{Call, Error, PageTokens, Principal, User, from_micros};
use kit::db::{Db, DbConfig, crypt::Keyring};
use prost::Message;
use proto::{
    Channel, Client,
    jangteo::auth::v1::{Account, GetAccountRequest, auth_service},
};
use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tonic::body::Body;
use user::{MIGRATIONS, Users};

/// Which kind of store a test runs on.
#[derive(Clone, Copy)]
pub enum Store {
    Sqlite,
    Postgres,
}

pub struct World {
    pub users: Arc<Users>,
    pub db: Db,
    /// How often auth was asked.
    pub asked: Arc<AtomicUsize>,
    files: TempDir,
    _server: Option<testkit::servers::Database>,
}

pub const MINSU: &str = "usr_00000000000000000000000000000001";
pub const EMMA: &str = "usr_00000000000000000000000000000002";
pub const NOBODY: &str = "usr_000000000000000000000000000000ff";

impl Store {
    pub async fn world(self) -> World {
        let files = TempDir::new().unwrap();
        let server = match self {
            Store::Sqlite => None,
            Store::Postgres => Some(testkit::servers::fresh_database().await),
        };
        let config = match &server {
            Some(server) => DbConfig { url: server.url().into(), schema: Some("user".into()), ..DbConfig::default() },
            None => {
                let url = format!("sqlite://{}/user.db?mode=rwc", files.path().display());
                DbConfig { url, ..DbConfig::default() }
            }
        };
        let db = Db::open("user", &config, &[MIGRATIONS]).await.unwrap();
        db.migrate().await.unwrap();
        let keyring = Keyring::from_keys("k1", [("k1".to_owned(), [7; 32])], [8; 32]).unwrap();
        let account = |id: &str, name: &str| {
            let create_time = Some(proto::timestamp(from_micros(1_750_000_000_000_000)));
            let account = Account {
                user_id: id.into(),
                email: "minsu@example.com".into(),
                display_name: name.into(),
                locale: "ko".into(),
                create_time,
                ..Account::default()
            };
            (id.to_owned(), account)
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let accounts = HashMap::from([account(MINSU, "표시이름민수"), account(EMMA, "Emma")]);
        let auth = auth_service::Client::new(auth(accounts, asked.clone()));
        let users = Arc::new(Users::new(db.clone(), keyring, PageTokens::new(b"test"), auth));
        World { users, db, asked, files, _server: server }
    }
}

impl World {
    /// Whether any file of the store contains the text.
    pub fn stored(&self, text: &str) -> bool {
        let contains = |file: &Path| std::fs::read(file).unwrap().windows(text.len()).any(|w| w == text.as_bytes());
        let mut files = std::fs::read_dir(self.files.path()).unwrap().map(|f| f.unwrap().path());
        files.any(|f| contains(&f))
    }
}

/// Answers `GetAccount` and nothing else.
fn auth(accounts: HashMap<String, Account>, asked: Arc<AtomicUsize>) -> Channel {
    let accounts = Arc::new(accounts);
    let answer = move |req: Request<Body>| {
        let (accounts, asked) = (accounts.clone(), asked.clone());
        async move {
            assert_eq!(req.uri().path(), "/jangteo.auth.v1.AuthService/GetAccount");
            asked.fetch_add(1, Ordering::Relaxed);
            let body = req.into_body().collect().await.unwrap().to_bytes();
            let req = GetAccountRequest::decode(&body[5..]).unwrap();
            Ok::<_, std::convert::Infallible>(match accounts.get(&req.user_id) {
                Some(account) => reply(account),
                None => proto::status::to_status(Error::not_found("account", &req.user_id), "auth.jangteo").into_http(),
            })
        }
    };
    Channel::new(tower::service_fn(answer))
}

/// One message and its trailers, <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn reply(message: &impl Message) -> Response<Body> {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

/// Time goes on by a millisecond from call to call.
pub fn anonymous() -> Call {
    static NOW: AtomicI64 = AtomicI64::new(1_760_000_000_000_000);
    let mut cx = Call::system("test", "test", from_micros(NOW.fetch_add(1000, Ordering::Relaxed)));
    cx.principal = Principal::Anonymous;
    cx
}

pub fn by(user_id: &str) -> Call {
    let mut cx = anonymous();
    cx.principal = Principal::User(User {
        user_id: user_id.into(),
        session_id: "ses_1".into(),
        roles: ["user".to_owned()].into(),
        expires: cx.now,
    });
    cx
}

/// As `rpc` makes it of a request with a key; the number stands for the request's bytes.
pub fn keyed(mut cx: Call, key: &str, body: u8) -> Call {
    cx.request_id = Some(key.to_owned());
    cx.fingerprint = [body; 32];
    cx
}
