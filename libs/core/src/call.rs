//! The context of one call: who asks, until when, under which key.

use crate::{Audit, Error, Principal, Result, Time, User};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// W3C trace context, <https://www.w3.org/TR/trace-context/>.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    pub traceparent: Option<String>,
    pub tracestate: Option<String>,
}

/// What a handler knows about its caller. Built by the `rpc` layers from a request's metadata
/// and carried on by the generated clients; nothing of it lives in a global.
#[derive(Debug, Clone)]
pub struct Call {
    /// `/jangteo.catalog.v1.CatalogService/GetProduct`; of a job, its name.
    pub method: Arc<str>,
    pub principal: Principal,
    /// The access token as it came, for the next service to verify again.
    pub token: Option<Arc<str>>,
    /// The service that calls, proven by its certificate, by the mesh, or by living in this process.
    pub caller: Option<Arc<str>>,
    pub deadline: Option<Instant>,
    /// The idempotency key of a mutation.
    pub request_id: Option<String>,
    /// SHA-256 of the request's bytes: the same key with another body is refused.
    pub fingerprint: [u8; 32],
    pub trace: Trace,
    /// The client's address as the edge saw it.
    pub client_addr: Option<Arc<str>>,
    pub user_agent: Option<Arc<str>>,
    /// `ko` or `en-US`, from `Accept-Language`.
    pub locale: Option<Arc<str>>,
    /// The service whose canary takes the call, and those that follow from it: `order`.
    pub canary: Option<Arc<str>>,
    /// The HTTP headers that the method's policy asks for, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Of a method whose policy asks for it.
    pub audit: Option<Arc<Audit>>,
    /// When the call arrived.
    pub now: Time,
}

impl Call {
    /// A call of the platform's own: a timed job or an event handler of `service`.
    pub fn system(service: &str, job: &str, now: Time) -> Self {
        Call {
            method: job.into(),
            principal: Principal::System(service.into()),
            token: None,
            caller: Some(service.into()),
            deadline: None,
            request_id: None,
            fingerprint: [0; 32],
            trace: Trace::default(),
            client_addr: None,
            user_agent: None,
            locale: None,
            canary: None,
            headers: BTreeMap::new(),
            audit: None,
            now,
        }
    }

    /// The signed-in person, or UNAUTHENTICATED.
    pub fn user(&self) -> Result<&User> {
        match &self.principal {
            Principal::User(u) => Ok(u),
            _ => Err(Error::unauthenticated("SIGN_IN_REQUIRED", "sign in first")),
        }
    }

    pub fn user_id(&self) -> Result<&str> {
        Ok(&self.user()?.user_id)
    }

    pub fn has_role(&self, role: &str) -> bool {
        matches!(&self.principal, Principal::User(u) if u.roles.iter().any(|r| r == role))
    }

    /// Passes the owner, an administrator and the platform itself; everybody else gets PERMISSION_DENIED.
    pub fn owns(&self, owner_id: &str) -> Result<()> {
        match &self.principal {
            Principal::System(_) => Ok(()),
            Principal::User(u) if *u.user_id == *owner_id => Ok(()),
            _ if self.has_role("admin") => Ok(()),
            Principal::User(_) => Err(Error::denied("NOT_YOURS", "this belongs to somebody else")),
            Principal::Anonymous => Err(Error::unauthenticated("SIGN_IN_REQUIRED", "sign in first")),
        }
    }

    /// Time left until the deadline; zero when it has passed, `None` when there is none.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|d| d.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, from_micros};

    fn user(id: &str, roles: &[&str]) -> Call {
        let mut cx = Call::system("test", "test", from_micros(0));
        cx.principal = Principal::User(User {
            user_id: id.into(),
            session_id: "ses_1".into(),
            roles: roles.iter().map(|r| (*r).to_owned()).collect(),
            expires: from_micros(0),
        });
        cx
    }

    #[test]
    fn owners_and_administrators_pass_and_others_do_not() {
        assert!(user("usr_1", &["user"]).owns("usr_1").is_ok());
        assert!(user("usr_2", &["user", "admin"]).owns("usr_1").is_ok());
        assert_eq!(user("usr_2", &["user"]).owns("usr_1").unwrap_err().code(), Code::PermissionDenied);
        let mut anonymous = user("usr_1", &[]);
        anonymous.principal = Principal::Anonymous;
        assert_eq!(anonymous.owns("usr_1").unwrap_err().code(), Code::Unauthenticated);
    }
}
