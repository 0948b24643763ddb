//! The life of a charge at one provider. News comes late, twice and in any order; it only ever leads forward.

use crate::provider::{Decline, Standing};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The provider was asked, or is about to be; it may have been taken.
    Asked,
    /// The buyer has to confirm.
    ActionRequired,
    Authorised,
    Captured,
    /// To be given up at the provider, whatever became of it.
    Voiding,
    Voided,
    Declined,
    /// The provider could not be asked; another one was.
    NotTaken,
}

impl State {
    const ALL: [State; 8] = [
        State::Asked,
        State::ActionRequired,
        State::Authorised,
        State::Captured,
        State::Voiding,
        State::Voided,
        State::Declined,
        State::NotTaken,
    ];

    pub fn name(self) -> &'static str {
        match self {
            State::Asked => "ASKED",
            State::ActionRequired => "ACTION_REQUIRED",
            State::Authorised => "AUTHORISED",
            State::Captured => "CAPTURED",
            State::Voiding => "VOIDING",
            State::Voided => "VOIDED",
            State::Declined => "DECLINED",
            State::NotTaken => "NOT_TAKEN",
        }
    }

    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.name() == name)
    }

    /// It counts, or may yet: there is at most one such charge of an order.
    pub fn is_live(self) -> bool {
        matches!(self, State::Asked | State::ActionRequired | State::Authorised | State::Captured)
    }
}

/// What news makes of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Stay,
    /// The provider doesn't know it: ask again under the same key.
    AskAgain,
    Confirm {
        redirect_url: String,
        provider_ref: String,
    },
    Authorise {
        provider_ref: String,
    },
    Decline(Decline),
    /// Nobody wants it any more: give it up at the provider.
    GiveUp {
        provider_ref: String,
    },
    /// It is given up.
    GivenUp,
}

/// `capture` is not among the steps: a capture that we asked for is booked by whoever asked.
pub fn step(state: State, seen: &Standing) -> Step {
    match (state, seen) {
        (
            State::Asked | State::ActionRequired,
            Standing::Authorised { provider_ref } | Standing::Captured { provider_ref },
        ) => Step::Authorise { provider_ref: provider_ref.clone() },
        (State::Asked, Standing::ActionRequired { redirect_url, provider_ref }) => {
            Step::Confirm { redirect_url: redirect_url.clone(), provider_ref: provider_ref.clone() }
        }
        (State::Asked | State::ActionRequired, Standing::Declined(why)) => Step::Decline(*why),
        // Nobody but the provider can have ended it: the buyer let the confirmation lapse.
        (State::Asked | State::ActionRequired, Standing::Voided) => Step::Decline(Decline::CancelledByUser),
        (State::Asked, Standing::Absent) => Step::AskAgain,
        (
            State::Voiding | State::Voided | State::Declined | State::NotTaken,
            Standing::Authorised { provider_ref } | Standing::Captured { provider_ref },
        ) => Step::GiveUp { provider_ref: provider_ref.clone() },
        (State::Voiding, Standing::Voided | Standing::Declined(_)) => Step::GivenUp,
        _ => Step::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorised() -> Standing {
        Standing::Authorised { provider_ref: "ch_1".into() }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        assert!(State::ALL.into_iter().all(|s| State::parse(s.name()) == Some(s)));
    }

    #[test]
    fn an_authorisation_that_nobody_wants_any_more_is_given_up() {
        for state in State::ALL {
            let expected = match state {
                State::Asked | State::ActionRequired => Step::Authorise { provider_ref: "ch_1".into() },
                State::Authorised | State::Captured => Step::Stay,
                _ => Step::GiveUp { provider_ref: "ch_1".into() },
            };
            assert_eq!(step(state, &authorised()), expected, "{state:?}");
        }
    }

    #[test]
    fn old_news_changes_nothing() {
        let confirm = Standing::ActionRequired { redirect_url: "/".into(), provider_ref: "ch_1".into() };
        let old = [Standing::Absent, Standing::Pending, confirm];
        for state in [State::Authorised, State::Captured, State::Declined, State::Voided, State::NotTaken] {
            for seen in &old {
                assert_eq!(step(state, seen), Step::Stay, "{state:?} {seen:?}");
            }
        }
        for state in [State::Authorised, State::Captured] {
            assert_eq!(step(state, &Standing::Declined(Decline::CardDeclined)), Step::Stay);
            assert_eq!(step(state, &Standing::Voided), Step::Stay);
        }
    }
}
