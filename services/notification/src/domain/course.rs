//! The course of a delivery: which way it tries next, when, and when it is over.

use chrono::TimeDelta;
use jangteo_core::Time;
use proto::jangteo::notification::v1::Channel;

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody else is responsible now; the name under which they know it.
    Sent(String),
    /// Certainly not sent; the same provider may take it later.
    Later { after: Option<TimeDelta>, why: &'static str },
    /// Certainly not sent, and this provider is at fault: another one may take it at once.
    Elsewhere { why: &'static str },
    /// Perhaps sent: the answer got lost.
    Unknown { why: &'static str },
    /// Nobody will take it on this channel.
    Never { why: &'static str },
}

impl Outcome {
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Sent(_) => "sent",
            Outcome::Later { .. } => "later",
            Outcome::Elsewhere { .. } => "elsewhere",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Never { .. } => "never",
        }
    }

    pub fn why(&self) -> &'static str {
        match self {
            Outcome::Sent(_) => "",
            Outcome::Later { why, .. }
            | Outcome::Elsewhere { why }
            | Outcome::Unknown { why }
            | Outcome::Never { why } => why,
        }
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Due at its time.
    Waiting,
    /// An attempt is under way until its time; after that whoever made it is dead.
    Sending,
    /// Part of the digest that is due at its time.
    Gathering,
    /// A provider took it.
    Sent,
    /// It is known to have arrived.
    Delivered,
    /// No way led anywhere.
    Failed,
    /// No way was wanted, or there was none.
    Skipped,
    /// It went with a digest.
    Merged,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Waiting,
        State::Sending,
        State::Gathering,
        State::Sent,
        State::Delivered,
        State::Failed,
        State::Skipped,
        State::Merged,
    ];

    /// As stored.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Sending => "sending",
            State::Gathering => "gathering",
            State::Sent => "sent",
            State::Delivered => "delivered",
            State::Failed => "failed",
            State::Skipped => "skipped",
            State::Merged => "merged",
        }
    }

    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.name() == name)
    }
}

/// A delivery on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// The ways to try, in order.
    pub channels: Vec<Channel>,
    /// The one tried now.
    pub at: usize,
    pub state: State,
    /// Why it is where it is; empty: nothing to say.
    pub reason: String,
    /// Which of the channel's providers is next.
    pub turn: usize,
    /// How often all providers of the channel were tried in vain.
    pub tries: u32,
    /// How many answers got lost.
    pub lost: u32,
    pub due: Time,
}

/// With the pauses between them a little over a day.
const TRIES: u32 = 30;
/// Where another way waits, this one gets no long time.
const TRIES_BEFORE_ANOTHER: u32 = 2;
/// A provider that asks for more patience than this isn't waited for longer.
const LONGEST: TimeDelta = TimeDelta::hours(6);

impl Course {
    pub fn channel(&self) -> Channel {
        self.channels.get(self.at).copied().unwrap_or_default()
    }

    fn is_last(&self) -> bool {
        self.at + 1 >= self.channels.len()
    }

    /// This way can't be gone: to the next one, or to the end.
    #[must_use]
    pub fn skip(self, reason: &str, now: Time) -> Course {
        if self.is_last() {
            // What was tried in earnest failed; what never could be was skipped.
            let state = if self.reason.is_empty() { State::Skipped } else { State::Failed };
            return Course { state, reason: reason.to_owned(), due: now, ..self };
        }
        self.next_channel(now)
    }

    fn next_channel(self, now: Time) -> Course {
        Course { at: self.at + 1, state: State::Waiting, turn: 0, tries: 0, lost: 0, due: now, ..self }
    }

    /// This way leads nowhere: to the next one, or to the end.
    #[must_use]
    pub fn fail(self, reason: &str, now: Time) -> Course {
        let reason = reason.to_owned();
        if self.is_last() {
            return Course { state: State::Failed, reason, due: now, ..self };
        }
        Course { reason, ..self }.next_channel(now)
    }

    /// Not now, and no attempt counts.
    #[must_use]
    pub fn defer(self, until: Time) -> Course {
        Course { state: State::Waiting, due: until, ..self }
    }

    /// `providers`: how many the channel has.
    #[must_use]
    pub fn after(self, outcome: &Outcome, providers: usize, now: Time) -> Course {
        match outcome {
            Outcome::Sent(_) => Course { state: State::Sent, reason: String::new(), due: now, ..self },
            Outcome::Never { why } => self.fail(why, now),
            // Once more and no more: nobody gets anything three times.
            Outcome::Unknown { why } if self.lost > 0 => {
                Course { state: State::Failed, reason: (*why).to_owned(), due: now, ..self }
            }
            Outcome::Unknown { why } => {
                let due = now + pause(self.tries);
                let (reason, lost, tries) = ((*why).to_owned(), self.lost + 1, self.tries + 1);
                Course { state: State::Waiting, reason, lost, tries, due, ..self }
            }
            Outcome::Elsewhere { why } | Outcome::Later { why, .. } if self.turn + 1 < providers => {
                Course { state: State::Waiting, reason: (*why).to_owned(), turn: self.turn + 1, due: now, ..self }
            }
            Outcome::Elsewhere { why } => self.again(why, None, now),
            Outcome::Later { after, why } => self.again(why, *after, now),
        }
    }

    fn again(self, why: &str, after: Option<TimeDelta>, now: Time) -> Course {
        let tries = self.tries + 1;
        if tries >= if self.is_last() { TRIES } else { TRIES_BEFORE_ANOTHER } {
            return self.fail(why, now);
        }
        let due = now + pause(self.tries).max(after.unwrap_or_default().min(LONGEST));
        Course { state: State::Waiting, reason: why.to_owned(), turn: 0, tries, due, ..self }
    }
}

/// 10 s, 20 s, 40 s … and an hour at most.
fn pause(tries: u32) -> TimeDelta {
    TimeDelta::seconds((10i64 << tries.min(9)).min(3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangteo_core::from_micros;
    use proptest::prelude::*;

    const LATER: Outcome = Outcome::Later { after: None, why: "BUSY" };
    const ELSEWHERE: Outcome = Outcome::Elsewhere { why: "REFUSED" };
    const UNKNOWN: Outcome = Outcome::Unknown { why: "TIMEOUT" };
    const NEVER: Outcome = Outcome::Never { why: "NO_SUCH_NUMBER" };

    fn now() -> Time {
        from_micros(1_800_000_000_000_000)
    }

    fn course(channels: &[Channel]) -> Course {
        let channels = channels.to_vec();
        Course { channels, at: 0, state: State::Sending, reason: String::new(), turn: 0, tries: 0, lost: 0, due: now() }
    }

    #[test]
    fn another_provider_takes_over_at_once_and_the_first_has_its_turn_again_later() {
        let c = course(&[Channel::Sms]).after(&ELSEWHERE, 2, now());
        assert_eq!((c.state, c.turn, c.tries, c.due), (State::Waiting, 1, 0, now()));
        let c = c.after(&LATER, 2, now());
        assert_eq!((c.state, c.turn, c.tries, c.due), (State::Waiting, 0, 1, now() + TimeDelta::seconds(10)));
    }

    #[test]
    fn another_channel_takes_over_after_two_rounds_or_a_refusal() {
        let c = course(&[Channel::Push, Channel::Sms]);
        let second = c.clone().after(&LATER, 1, now()).after(&LATER, 1, now());
        assert_eq!((second.channel(), second.state, second.due), (Channel::Sms, State::Waiting, now()));
        let second = c.clone().after(&NEVER, 1, now());
        assert_eq!(second.channel(), Channel::Sms);
        let end = second.after(&NEVER, 1, now());
        assert_eq!((end.state, end.reason.as_str()), (State::Failed, "NO_SUCH_NUMBER"));
        let unwanted = c.skip("NO_DEVICE", now()).skip("NOT_WANTED", now());
        assert_eq!((unwanted.state, unwanted.reason.as_str()), (State::Skipped, "NOT_WANTED"));
    }

    #[test]
    fn what_may_have_been_sent_is_tried_once_more_and_by_nobody_else() {
        let c = course(&[Channel::Push, Channel::Sms]).after(&UNKNOWN, 2, now());
        assert_eq!((c.state, c.turn, c.channel()), (State::Waiting, 0, Channel::Push));
        let c = c.after(&UNKNOWN, 2, now());
        assert_eq!((c.state, c.reason.as_str()), (State::Failed, "TIMEOUT"));
    }

    #[test]
    fn a_provider_that_asks_for_patience_gets_it() {
        let later = |minutes| Outcome::Later { after: Some(TimeDelta::minutes(minutes)), why: "BUSY" };
        assert_eq!(course(&[Channel::Sms]).after(&later(5), 1, now()).due, now() + TimeDelta::minutes(5));
        assert_eq!(course(&[Channel::Sms]).after(&later(600), 1, now()).due, now() + LONGEST);
    }

    proptest! {
        #[test]
        fn every_course_ends(outcomes in prop::collection::vec(0usize..4, 200), providers in 1usize..4) {
            let outcomes = outcomes.into_iter().map(|n| [LATER, ELSEWHERE, UNKNOWN, NEVER][n].clone());
            let mut c = course(&[Channel::Push, Channel::Sms]);
            let mut steps = 0;
            for outcome in outcomes {
                if c.state == State::Failed { break; }
                c = c.after(&outcome, providers, now());
                steps += 1;
            }
            prop_assert_eq!(c.state, State::Failed);
            prop_assert!(steps <= providers * 33);
        }
    }
}
