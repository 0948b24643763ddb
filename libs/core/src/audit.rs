//! What an audited call leaves in the trail.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

/// Shared by all copies of a [`crate::Call`], from the layer that lets it in to the transaction that it writes in.
#[derive(Debug, Default)]
pub struct Audit {
    actor: OnceLock<String>,
    subject: OnceLock<String>,
    noted: AtomicBool,
}

impl Audit {
    /// Who calls, once that is known.
    pub fn by(&self, actor: &str) {
        let _ = self.actor.set(actor.to_owned());
    }

    /// Whom the call was refused to before anybody knew is `unknown`.
    pub fn actor(&self) -> &str {
        self.actor.get().map_or("unknown", String::as_str)
    }

    /// What the call is about: ids and amounts, nothing personal.
    pub fn about(&self, subject: String) {
        let _ = self.subject.set(subject);
    }

    pub fn subject(&self) -> &str {
        self.subject.get().map_or("", String::as_str)
    }

    /// The trail has a row of this call, committed together with its effect.
    pub fn note(&self) {
        self.noted.store(true, Ordering::Release);
    }

    pub fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Acquire)
    }
}
