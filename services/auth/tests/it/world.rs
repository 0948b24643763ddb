//! A market of one service.

use async_trait::async_trait;
use auth::{Auth, Config, MailKind, Parts, Peers};
use chrono::TimeDelta;
use jangteo_core::{Call, Clock, Error, ManualClock, PageTokens, Principal, Result, from_micros};
use kit::{
    Service,
    cache::{Cache, CacheConfig},
    db::{Db, DbConfig, Envelope, crypt::Keyring},
    rpc::Verifier,
};
use mail::{Letter, Mailer};
use proto::{
    Client as _,
    google::r#type::Money,
    jangteo::{
        auth::v1::{self as pb, auth_service::Api},
        order::v1::{CountOpenPartsRequest, OpenParts, order_service},
        payment::v1::{GetWalletOfRequest, Wallet, payment_service},
    },
};
use sea_orm::ConnectionTrait;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use testbed::Fake;
use tokio::sync::Notify;

pub const PASSWORD: &str = "kf83-lq02-xx";

pub struct World {
    pub auth: Arc<Auth>,
    pub db: Db,
    pub clock: ManualClock,
    pub outbox: Arc<Outbox>,
    pub open: Open,
    pub store: Store,
}

/// What keeps the rows, for as long as the test runs.
pub enum Store {
    Sqlite(tempfile::TempDir),
    #[expect(dead_code, reason = "kept for its drop")]
    Postgres(testkit::servers::Database),
}

/// What order and payment say of everybody: purchases, sales, won in the wallet.
#[derive(Clone, Default)]
pub struct Open(Arc<Mutex<(i64, i64, i64)>>);

impl Open {
    pub fn set(&self, bought: i64, sold: i64, balance: i64) {
        *self.0.lock().unwrap() = (bought, sold, balance);
    }

    pub fn peers(&self) -> Peers {
        let (parts, wallet) = (self.0.clone(), self.0.clone());
        let order = Fake::new().on(move |_: CountOpenPartsRequest| {
            let (bought, sold, _) = *parts.lock().unwrap();
            async move { Ok(OpenParts { bought, sold }) }
        });
        let payment = Fake::new().on(move |_: GetWalletOfRequest| {
            let balance = Money { currency_code: "KRW".into(), units: wallet.lock().unwrap().2, nanos: 0 };
            async move { Ok(Wallet { balance: Some(balance), ..Wallet::default() }) }
        });
        Peers {
            order: order_service::Client::new(order.channel()),
            payment: payment_service::Client::new(payment.channel()),
        }
    }
}

/// Keeps mails; loses the connection on demand.
#[derive(Default)]
pub struct Outbox {
    pub letters: Mutex<Vec<Letter>>,
    pub down: AtomicBool,
}

#[async_trait]
impl Mailer for Outbox {
    async fn send(&self, letter: &Letter) -> Result<()> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the mail server"));
        }
        self.letters.lock().unwrap().push(letter.clone());
        Ok(())
    }
}

impl World {
    pub async fn new() -> World {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> World {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("auth.db").display());
        Self::over(Store::Sqlite(dir), DbConfig { url, ..DbConfig::default() }, configure).await
    }

    pub async fn postgres(configure: impl FnOnce(&mut Config)) -> World {
        let database = testkit::servers::fresh_database().await;
        let cfg = DbConfig { url: database.url().to_owned(), schema: Some("auth".into()), ..DbConfig::default() };
        Self::over(Store::Postgres(database), cfg, configure).await
    }

    async fn over(store: Store, db: DbConfig, configure: impl FnOnce(&mut Config)) -> World {
        let db = Db::open("auth", &db, &[Auth::MIGRATIONS]).await.unwrap();
        db.migrate().await.unwrap();
        let mut cfg = Config::default();
        configure(&mut cfg);
        let outbox = Arc::new(Outbox::default());
        let open = Open::default();
        let auth = Self::build(&db, outbox.clone(), cfg, &open).await;
        World { open, auth, db, clock: ManualClock::at(from_micros(1_800_000_000_000_000)), outbox, store }
    }

    /// Another replica over the same rows.
    pub async fn service(db: &Db, mailer: Arc<dyn Mailer>, cfg: Config) -> Arc<Auth> {
        Self::build(db, mailer, cfg, &Open::default()).await
    }

    async fn build(db: &Db, mailer: Arc<dyn Mailer>, cfg: Config, open: &Open) -> Arc<Auth> {
        let parts = Parts {
            db: db.clone(),
            cache: Cache::new(&CacheConfig::default()).unwrap(),
            keyring: Keyring::from_keys("1", [("1".to_owned(), [1; 32])], [2; 32]).unwrap(),
            page_tokens: PageTokens::new(&[3; 32]),
            mailer,
            peers: open.peers(),
            embedded: false,
        };
        Arc::new(Auth::new(parts, cfg).await.unwrap())
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// A call without a token, from an address.
    pub fn from(&self, address: &str) -> Call {
        let mut cx = Call::system("auth", "test", self.clock.now());
        cx.principal = Principal::Anonymous;
        cx.client_addr = Some(address.into());
        cx.user_agent = Some("Mozilla/5.0 (Jangteo test)".into());
        cx.caller = Some("gateway".into());
        cx
    }

    pub fn anybody(&self) -> Call {
        self.from("203.0.113.7")
    }

    /// A call with the access token of a session, verified as every service does it.
    pub async fn signed_in(&self, set: &pb::TokenSet) -> Call {
        let mut cx = self.anybody();
        cx.principal = Principal::User(self.verify(&set.access_token).await.unwrap());
        cx
    }

    pub async fn verify(&self, token: &str) -> Result<jangteo_core::User> {
        let jwks = self.auth.get_jwks(self.anybody(), pb::GetJwksRequest {}).await?;
        let verifier = Verifier::default();
        verifier.set_keys(jwks.keys.iter().map(|k| (k.kid.as_str(), k.x.as_str())));
        verifier.verify(token, self.clock.now()).await
    }

    pub async fn register(&self, email: &str, password: &str) -> Result<pb::RegisterResponse> {
        self.auth.register(self.anybody(), registration(email, password)).await
    }

    pub async fn login(&self, email: &str, password: &str) -> Result<pb::TokenSet> {
        self.auth.login(self.anybody(), credentials(email, password)).await
    }

    /// A registered person, signed in.
    pub async fn person(&self, email: &str) -> pb::TokenSet {
        self.register(email, PASSWORD).await.unwrap();
        self.login(email, PASSWORD).await.unwrap()
    }

    pub async fn enroll(&self, cx: &Call, password: &str) -> Result<pb::EnrollTotpResponse> {
        self.auth.enroll_totp(cx.clone(), pb::EnrollTotpRequest { password: password.into() }).await
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<pb::TokenSet> {
        let req = pb::RefreshRequest { refresh_token: refresh_token.to_owned() };
        self.auth.refresh(self.anybody(), req).await
    }

    /// Runs the mail job.
    pub async fn post(&self) {
        self.auth.clone().send_mail(Call::system("auth", "send-mail", self.clock.now())).await.unwrap();
    }

    /// What was sent to an address, the newest last.
    pub fn mails(&self, to: &str) -> Vec<Letter> {
        self.outbox.letters.lock().unwrap().iter().filter(|l| l.to == to).cloned().collect()
    }

    /// The kinds of those mails.
    pub fn kinds(&self, to: &str) -> Vec<MailKind> {
        self.mails(to).iter().map(|l| MailKind::from_name(l.kind).expect("a kind")).collect()
    }

    /// The token in the newest mail of a kind.
    pub async fn mailed_token(&self, to: &str, kind: MailKind) -> String {
        self.post().await;
        let letter = self.mails(to).into_iter().rfind(|l| l.kind == kind.name()).expect("a mail");
        letter.body.lines().find(|l| l.starts_with("jtv_") || l.starts_with("jtp_")).expect("a token").to_owned()
    }

    /// Runs `act` while a transaction that has run `sql` is open, for long enough that `act` decides by what was before
    /// and writes after it.
    pub async fn meanwhile<T>(&self, sql: &str, act: impl Future<Output = T>) -> T {
        let cx = Call::system("auth", "test", self.clock.now());
        let begun = Notify::new();
        let transaction = self.db.write(&cx, async |tx| {
            assert_eq!(tx.execute_unprepared(sql).await.unwrap().rows_affected(), 1);
            begun.notify_one();
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let act = async {
            begun.notified().await;
            act.await
        };
        // Boxed: both are too large for the stack of a test's thread.
        let (committed, outcome) = tokio::join!(Box::pin(transaction), Box::pin(act));
        committed.unwrap();
        outcome
    }

    /// What a reset does to a person's password.
    pub async fn new_password_for(&self, user_id: &str, password: &str) -> String {
        let email = format!("{}@passwords.kr", &user_id[user_id.len() - 20..]);
        self.register(&email, password).await.unwrap();
        let with = self.login(&email, password).await.unwrap().user_id;
        format!(
            "UPDATE account SET password_hash = (SELECT password_hash FROM account WHERE user_id = '{with}') \
             WHERE user_id = '{user_id}'"
        )
    }

    pub async fn history(&self, user_id: &str) -> Vec<Envelope> {
        self.db.history("user", user_id, 0, 10_000).await.unwrap()
    }

    /// The names of a person's events, in order.
    pub async fn events(&self, user_id: &str) -> Vec<String> {
        let name = |e: Envelope| e.r#type.rsplit('.').next().unwrap_or_default().to_owned();
        self.history(user_id).await.into_iter().map(name).collect()
    }

    pub async fn revoked(&self) -> Vec<String> {
        let req = pb::ListRevocationsRequest::default();
        let list = self.auth.list_revocations(self.anybody(), req).await.unwrap();
        list.revocations.into_iter().map(|r| r.session_id).collect()
    }
}

pub fn registration(email: &str, password: &str) -> pb::RegisterRequest {
    pb::RegisterRequest {
        email: email.into(),
        password: password.into(),
        display_name: "민지".into(),
        ..Default::default()
    }
}

pub fn credentials(email: &str, password: &str) -> pb::LoginRequest {
    pb::LoginRequest { email: email.into(), password: password.into(), ..Default::default() }
}

pub trait Reason {
    /// The reason of a refusal, or of its first violation.
    fn reason(self) -> String;
}

impl<T> Reason for Result<T> {
    fn reason(self) -> String {
        let e = self.err().expect("a refusal");
        e.field_violations().first().map_or_else(|| e.reason().to_owned(), |v| v.reason.clone())
    }
}
