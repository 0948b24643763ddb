//! Calls as `rpc` makes them of requests. Time goes on by a millisecond from call to call.

use jangteo_core::{Call, Principal, Time, User, from_micros};
use std::sync::atomic::{AtomicI64, Ordering};

/// As a service of the platform calls: a job, an event handler, a saga.
pub fn system(service: &str) -> Call {
    static NOW: AtomicI64 = AtomicI64::new(1_760_000_000_000_000);
    Call::system(service, "test", from_micros(NOW.fetch_add(1000, Ordering::Relaxed)))
}

pub fn anonymous() -> Call {
    Call { principal: Principal::Anonymous, ..system("gateway") }
}

/// A signed-in person with the role `user`.
pub fn by(user_id: &str) -> Call {
    with_roles(user_id, &["user"])
}

pub fn with_roles(user_id: &str, roles: &[&str]) -> Call {
    let cx = anonymous();
    let principal = Principal::User(User {
        user_id: user_id.into(),
        session_id: "ses_1".into(),
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        expires: cx.now,
    });
    Call { principal, ..cx }
}

/// With an idempotency key; the number stands for the request's bytes.
pub fn keyed(cx: Call, key: &str, body: u8) -> Call {
    Call { method: "/test/Keyed".into(), request_id: Some(key.to_owned()), fingerprint: [body; 32], ..cx }
}

/// At another time.
pub fn at(cx: Call, now: Time) -> Call {
    Call { now, ..cx }
}
