//! Who asks.

use crate::Time;
use std::sync::Arc;

/// The party on whose behalf a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Principal {
    #[default]
    Anonymous,
    User(User),
    /// The platform itself: a timed job or an event handler of the named service.
    System(Arc<str>),
}

/// A signed-in person, as the verified access token names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub user_id: Arc<str>,
    pub session_id: Arc<str>,
    /// Lower case, `admin`; the names of `jangteo.options.v1.Role` without their prefix.
    pub roles: Arc<[String]>,
    pub expires: Time,
}

impl Principal {
    /// A key for idempotency, limits and audit: `user:usr_…`, `system:order`, `anonymous`.
    pub fn key(&self) -> String {
        match self {
            Principal::Anonymous => "anonymous".to_owned(),
            Principal::User(u) => format!("user:{}", u.user_id),
            Principal::System(s) => format!("system:{s}"),
        }
    }
}
