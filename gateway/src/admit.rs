//! Who may come in: the token, the limits, the policy. The services check token and policy again.

use crate::{
    client,
    edge::{Inner, Visit},
    problem::{Problem, limited},
    site::Endpoint,
};
use http::{HeaderMap, HeaderValue, header};
use jangteo_core::{Error, Principal};
use proto::policy::{Access, RateClass};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How much of a limit is left, as the answer tells. <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    limit: u64,
    remaining: u64,
    reset: Duration,
}

impl Quota {
    pub fn mark(&self, headers: &mut HeaderMap) {
        let reset = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}

impl Inner {
    /// Lets a call to `endpoint` in, or says why not.
    pub(crate) async fn admit(
        &self,
        visit: &mut Visit,
        endpoint: &Endpoint,
        headers: &HeaderMap,
    ) -> Result<(), Problem> {
        let verified = self.identify(headers).await;
        if let Ok(principal) = &verified {
            visit.sign_in(principal.clone());
        }
        // Bad tokens count as their sender's requests.
        self.limit(visit, endpoint.policy.rate_class).await?;
        verified?;
        self.authorize(endpoint, &visit.principal)?;
        Ok(())
    }

    /// Requests that reach no method count too.
    pub(crate) async fn admit_stray(&self, visit: &mut Visit) -> Result<(), Problem> {
        self.limit(visit, RateClass::Unspecified).await
    }

    /// A token that is there must be valid, also where none is needed.
    pub(crate) async fn identify(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let Some(verifier) = &self.verifier else { return Ok(Principal::Anonymous) };
        let mut tokens = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = tokens.next() else { return Ok(Principal::Anonymous) };
        let bad =
            || Error::unauthenticated("TOKEN_INVALID", "send one Authorization header: Bearer and the access token");
        let text = value.to_str().map_err(|_| bad())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(bad)?;
        if tokens.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
            return Err(bad().into());
        }
        let user = verifier.verify(token.trim(), self.clock.now()).await?;
        Ok(Principal::User(user))
    }

    /// Without a verifier the services alone decide.
    fn authorize(&self, endpoint: &Endpoint, principal: &Principal) -> Result<(), Problem> {
        if self.verifier.is_none() || endpoint.policy.access != Access::SignedIn {
            return Ok(());
        }
        let Principal::User(user) = principal else {
            return Err(Error::unauthenticated("SIGN_IN_REQUIRED", "sign in first").into());
        };
        let roles = &endpoint.policy.roles;
        if roles.is_empty() || roles.iter().any(|r| user.roles.contains(r)) {
            return Ok(());
        }
        let names = roles.join(", ");
        Err(Error::denied("ROLE_REQUIRED", format!("needs one of the roles {names}")).with("roles", names).into())
    }

    async fn limit(&self, visit: &mut Visit, class: RateClass) -> Result<(), Problem> {
        let limits = &self.config.limits;
        // Whoever hides the address shares one limit.
        let address = visit.client.map_or_else(|| "unknown".to_owned(), client::limit_key);
        let address = Some(format!("addr:{address}"));
        let person = match &visit.principal {
            Principal::User(u) => Some(format!("user:{}", u.user_id)),
            _ => None,
        };
        let (name, limit, window, keys) = match class {
            RateClass::Login => ("login", limits.login_per_minute, MINUTE, [address, person]),
            RateClass::Costly => ("costly", limits.costly_per_hour, HOUR, [address, person]),
            RateClass::Unspecified if person.is_some() => ("all", limits.signed_in_per_minute, MINUTE, [None, person]),
            RateClass::Unspecified => ("all", limits.anonymous_per_minute, MINUTE, [address, None]),
        };
        if limit == 0 {
            return Ok(());
        }
        for key in keys.into_iter().flatten() {
            // Boxed: its room is that of a whole Redis client, and every request would carry it along.
            let taken = Box::pin(self.cache.take(&format!("{name}:{key}"), limit, window)).await;
            let quota = Quota { limit, remaining: taken.remaining, reset: taken.reset };
            if visit.quota.is_none_or(|q| quota.remaining <= q.remaining) {
                visit.quota = Some(quota);
            }
            if !taken.allowed {
                metrics::counter!("http_requests_limited_total", "class" => name).increment(1);
                visit.quota = Some(quota);
                return Err(limited(taken.reset.max(Duration::from_secs(1))));
            }
        }
        Ok(())
    }
}
