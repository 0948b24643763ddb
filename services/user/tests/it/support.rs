//! A user service of its own for each test, with an auth that knows two people.

use jangteo_core::{Error, from_micros};
use kit::db::Db;
use proto::{
    Client,
    jangteo::auth::v1::{Account, GetAccountRequest, auth_service},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use testbed::{Fake, Stores};
pub use testbed::{Kind, anonymous, by, keyed, system};
use user::{MIGRATIONS, Users};

pub struct World {
    pub users: Arc<Users>,
    pub db: Db,
    pub stores: Stores,
    /// How often auth was asked.
    pub asked: Arc<AtomicUsize>,
}

pub const MINSU: &str = "usr_00000000000000000000000000000001";
pub const EMMA: &str = "usr_00000000000000000000000000000002";
pub const NOBODY: &str = "usr_000000000000000000000000000000ff";

pub async fn world(kind: Kind) -> World {
    let stores = Stores::open(kind, "user", MIGRATIONS).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let auth = Fake::new().on(move |req: GetAccountRequest| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { account(&req.user_id).ok_or_else(|| Error::not_found("account", &req.user_id)) }
    });
    let auth = auth_service::Client::new(auth.channel());
    let users = Arc::new(Users::new(stores.db(), stores.keyring(), stores.pages(), auth));
    World { users, db: stores.db(), stores, asked }
}

fn account(user_id: &str) -> Option<Account> {
    let (email, name) = match user_id {
        MINSU => ("minsu@example.com", "표시이름민수"),
        EMMA => ("emma@example.com", "Emma"),
        _ => return None,
    };
    Some(Account {
        user_id: user_id.to_owned(),
        email: email.to_owned(),
        display_name: name.to_owned(),
        locale: "ko".to_owned(),
        email_verified: user_id == MINSU,
        create_time: Some(proto::timestamp(from_micros(1_750_000_000_000_000))),
        ..Account::default()
    })
}
