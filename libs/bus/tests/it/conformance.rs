//! What holds whichever bus carries the events.

use crate::memory::{Fixture, MemoryInbox, Plan, dice, spec, time_of, until};
use bus::{Applied, ConsumerSpec, Delivery, Inbox, Lag, Position, Replay};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(crate::memory::Fixture::embedded().await).await })*
        }
        mod jetstream {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(crate::memory::Fixture::jetstream().await).await })*
        }
    };
}

on_both!(
    order_per_aggregate_and_many_at_once,
    lost_answers_and_old_copies_have_no_second_effect,
    a_failed_event_comes_again_before_the_next_of_its_aggregate,
    a_poison_event_stands_aside_and_the_rest_goes_on,
    what_is_nobodys_fault_is_never_poison,
    an_outage_of_the_store_makes_no_dead_letters,
    a_letter_that_cannot_be_stored_leads_to_another_delivery,
    an_outage_does_not_count_as_failures_of_the_event,
    replay_from_anywhere,
    a_consumer_goes_on_where_it_stopped,
    lag_is_seen,
    drain_finishes_what_is_in_hand_and_begins_nothing,
    other_aggregates_are_passed_over,
);

async fn order_per_aggregate_and_many_at_once(mut f: Fixture) {
    let roll = Mutex::new(dice(7));
    let inbox = MemoryInbox::new(move |_| Plan::Slow(Duration::from_micros(roll.lock().unwrap()(3000))));
    f.consume(spec(), &inbox);
    for n in 0..25 {
        for id in 0..40 {
            f.store.emit("item", &format!("itm_{id}"));
        }
        if n % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    until("1000 effects", || inbox.effects() == 1000).await;
    inbox.assert_complete(&f.store.all());
    assert!(inbox.most_at_once.load(Ordering::SeqCst) > 4, "aggregates must not wait for each other");
}

/// Hands each event over one to three times, and old ones again at any time.
struct Disorder(Arc<MemoryInbox>, Mutex<Box<dyn FnMut(u64) -> u64 + Send>>);

#[async_trait::async_trait]
impl Inbox for Disorder {
    async fn deliver(&self, d: &Delivery) -> jangteo_core::Result<Applied> {
        let (copies, back) = {
            let mut roll = self.1.lock().unwrap();
            (roll(3), roll(40) as usize)
        };
        let old = self.0.seen.lock().unwrap().came.iter().rev().nth(back).cloned();
        if let Some(old) = old {
            self.0.apply(&old);
        }
        let out = self.0.deliver(d).await;
        for _ in 0..copies {
            self.0.apply(d);
        }
        out
    }
    async fn dead_letter(&self, d: &Delivery, error: &str) -> jangteo_core::Result<()> {
        self.0.dead_letter(d, error).await
    }
    async fn position(&self) -> jangteo_core::Result<i64> {
        self.0.position().await
    }
    async fn advance(&self, cursor: i64) -> jangteo_core::Result<()> {
        self.0.advance(cursor).await
    }
}

async fn lost_answers_and_old_copies_have_no_second_effect(mut f: Fixture) {
    let roll = Mutex::new(dice(11));
    let inbox = MemoryInbox::new(move |_| if roll.lock().unwrap()(3) == 0 { Plan::LoseAnswer } else { Plan::Apply });
    let outer = Arc::new(Disorder(inbox.clone(), Mutex::new(Box::new(dice(13)))));
    let bus = f.bus.clone();
    f.spawn(async move { bus.consume(spec(), outer, bus::Stop::new()).await.unwrap() });
    for _ in 0..20 {
        for id in 0..20 {
            f.store.emit("item", &format!("itm_{id}"));
        }
    }
    until("400 effects", || inbox.effects() == 400).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    inbox.assert_complete(&f.store.all());
    assert_eq!(inbox.dead(), 0);
}

async fn a_failed_event_comes_again_before_the_next_of_its_aggregate(mut f: Fixture) {
    let inbox = MemoryInbox::new(|d| match d.envelope.version {
        3 if d.attempt < 3 => Plan::Refuse,
        5 if d.attempt < 2 => Plan::Panic,
        _ => Plan::Apply,
    });
    for _ in 0..8 {
        f.store.emit("item", "itm_a");
    }
    f.consume(spec(), &inbox);
    until("8 effects", || inbox.effects() == 8).await;
    inbox.assert_complete(&f.store.all());
    assert_eq!((inbox.tries(), inbox.dead()), (8 + 2 + 1, 0));
}

async fn a_poison_event_stands_aside_and_the_rest_goes_on(mut f: Fixture) {
    let inbox = MemoryInbox::new(|d| match (d.envelope.aggregate_id.as_str(), d.envelope.version) {
        ("itm_0", 2) => Plan::Refuse,
        ("itm_1", 3) => Plan::Panic,
        _ => Plan::Apply,
    });
    let mut spec = spec();
    spec.backoff.min = Duration::from_millis(200);
    spec.backoff.max = Duration::from_millis(400);
    // Far more behind the poison than the consumer may have in hand, where that must not matter.
    spec.max_in_flight = 64;
    let behind = if f.nats.is_some() { 20 } else { 300 };
    for _ in 0..behind {
        f.store.emit("item", "itm_0");
    }
    for _ in 0..10 {
        for id in 1..10 {
            f.store.emit("item", &format!("itm_{id}"));
        }
    }
    f.consume(spec, &inbox);
    until("the healthy ones", || inbox.effects() == 8 * 10 + 2 + 1).await;
    assert_eq!(inbox.dead(), 0, "the healthy ones must not wait for the poison");
    until("two dead letters", || inbox.dead() == 2).await;
    until("all but the poison", || inbox.effects() == behind + 90 - 2).await;
    inbox.assert_complete(&f.store.all());
    let seen = inbox.seen.lock().unwrap();
    for (d, error) in seen.dead.values() {
        assert_eq!(d.attempt, 4);
        let want = if d.envelope.aggregate_id == "itm_0" { "BAD_EVENT" } else { "a handler panics" };
        assert!(error.contains(want), "{error}");
    }
}

async fn what_is_nobodys_fault_is_never_poison(mut f: Fixture) {
    let inbox = MemoryInbox::new(|d| if d.attempt <= 12 { Plan::Away } else { Plan::Apply });
    f.store.emit("item", "itm_a");
    f.store.emit("item", "itm_a");
    f.consume(spec(), &inbox);
    until("2 effects", || inbox.effects() == 2).await;
    assert_eq!(inbox.dead(), 0);

    let mut spec = spec();
    spec.name = "impatient".into();
    spec.patience = Duration::from_millis(100);
    let inbox = MemoryInbox::new(|_| Plan::Away);
    f.consume(spec, &inbox);
    until("patience has an end", || inbox.dead() == 2).await;
}

async fn an_outage_of_the_store_makes_no_dead_letters(mut f: Fixture) {
    let inbox = MemoryInbox::plain();
    let mut spec = spec();
    spec.patience = Duration::from_millis(100);
    f.consume(spec, &inbox);
    f.store.emit("item", "itm_0");
    until("the first", || inbox.effects() == 1).await;
    for _ in 0..2 {
        inbox.down.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            for id in 0..30 {
                f.store.emit("item", &format!("itm_{id}"));
            }
        }
        // Many times the patience, also of those that wait for a version.
        tokio::time::sleep(Duration::from_millis(800)).await;
        inbox.down.store(false, Ordering::SeqCst);
        let all = f.store.all().len();
        until("all of them", || inbox.effects() + inbox.dead() >= all).await;
    }
    assert_eq!(inbox.dead(), 0);
    inbox.assert_complete(&f.store.all());
}

async fn a_letter_that_cannot_be_stored_leads_to_another_delivery(mut f: Fixture) {
    let peer = Arc::new(AtomicBool::new(false));
    let up = peer.clone();
    let inbox = MemoryInbox::new(move |d| match d.envelope.aggregate_id.as_str() {
        "itm_a" if !up.load(Ordering::SeqCst) => Plan::Away,
        "itm_b" if !up.load(Ordering::SeqCst) => Plan::Refuse,
        _ => Plan::Apply,
    });
    inbox.no_letters.store(true, Ordering::SeqCst);
    let mut spec = spec();
    spec.patience = Duration::from_millis(100);
    f.store.emit("item", "itm_a");
    f.store.emit("item", "itm_b");
    f.consume(spec, &inbox);
    tokio::time::sleep(Duration::from_millis(800)).await;
    peer.store(true, Ordering::SeqCst);
    until("2 effects", || inbox.effects() == 2).await;
    assert_eq!(inbox.dead(), 0);
}

async fn an_outage_does_not_count_as_failures_of_the_event(mut f: Fixture) {
    let inbox = MemoryInbox::new(|d| match d.attempt {
        ..=6 => Plan::Away,
        7..=9 => Plan::Refuse,
        _ => Plan::Apply,
    });
    f.store.emit("item", "itm_a");
    f.consume(spec(), &inbox);
    until("the effect", || inbox.effects() + inbox.dead() == 1).await;
    assert_eq!(inbox.dead(), 0, "three failures of its own, four are allowed");
}

async fn replay_from_anywhere(mut f: Fixture) {
    let live = MemoryInbox::plain();
    let (stop, ended) = f.consume(spec(), &live);
    for _ in 0..10 {
        for id in 0..5 {
            f.store.emit("item", &format!("itm_{id}"));
        }
        f.store.emit("shelf", "shf_1");
    }
    until("50 effects", || live.effects() == 50).await;
    let bus = f.bus.clone();
    let replay = async |replay: Replay, inbox: &Arc<MemoryInbox>| {
        bus.replay(spec(), replay, inbox.clone(), bus::Stop::new()).await.unwrap()
    };

    let done = replay(Replay::from_start(), &live).await;
    assert_eq!((done.delivered, done.duplicates), (0, 50), "what was applied stays applied once");
    let rebuilt = MemoryInbox::plain();
    let done = replay(Replay::from_start(), &rebuilt).await;
    assert_eq!((done.delivered, done.duplicates, done.dead_letters, done.last), (50, 0, 0, 60));
    assert_eq!(rebuilt.seen.lock().unwrap().last, live.seen.lock().unwrap().last);
    rebuilt.assert_complete(&live_items(&f));
    assert_eq!(replay(Replay::from_start(), &rebuilt).await.duplicates, 50);

    // Half of a history is taken only where that is asked for.
    for from in [Position::At(31), Position::Time(time_of(31))] {
        let half = MemoryInbox::plain();
        let done = replay(Replay { from, baseline: true }, &half).await;
        // The relay publishes several aggregates at once, so positions in a stream are a little out of step.
        assert!((23..=27).contains(&done.delivered), "{from:?}: {done:?}");
        assert!(half.seen.lock().unwrap().last.values().all(|v| *v == 10));
    }
    assert_eq!(replay(Replay { from: Position::At(1000), baseline: true }, &live).await.delivered, 0);
    let early = MemoryInbox::plain();
    let done = replay(Replay { from: Position::Time(time_of(0)), baseline: false }, &early).await;
    assert_eq!(done.delivered, 50);

    // The live consumer kept its place through all that.
    f.store.emit("item", "itm_0");
    until("one more", || live.effects() == 51).await;
    stop.cancel();
    ended.await.unwrap();

    let stopped = bus::Stop::new();
    stopped.cancel();
    let e = bus.replay(spec(), Replay::from_start(), MemoryInbox::plain(), stopped).await.unwrap_err();
    assert_eq!(e.reason(), "REPLAY_STOPPED");
}

fn live_items(f: &Fixture) -> Vec<bus::Envelope> {
    f.store.all().into_iter().filter(|e| e.aggregate == "item").collect()
}

async fn a_consumer_goes_on_where_it_stopped(mut f: Fixture) {
    let inbox = MemoryInbox::new(|_| Plan::Slow(Duration::from_millis(1)));
    // A message that was on its way when the consumer ended comes again after this time.
    let spec = || ConsumerSpec { ack_wait: Duration::from_secs(2), ..spec() };
    for round in 1..=4 {
        for _ in 0..10 {
            for id in 0..10 {
                f.store.emit("item", &format!("itm_{id}"));
            }
        }
        let (stop, ended) = f.consume(spec(), &inbox);
        until("half of the round", || inbox.effects() >= round * 100 - 50).await;
        stop.cancel();
        ended.await.unwrap();
    }
    let (_stop, _ended) = f.consume(spec(), &inbox);
    until("all", || inbox.effects() == 400).await;
    inbox.assert_complete(&f.store.all());
    assert_eq!(inbox.dead(), 0);
}

async fn lag_is_seen(mut f: Fixture) {
    let inbox = MemoryInbox::new(|_| Plan::Slow(Duration::from_millis(300)));
    for _ in 0..20 {
        f.store.emit("item", "itm_a");
    }
    let bus = f.bus.clone();
    let lag = async || bus.lag(&spec(), &*inbox).await.unwrap();
    if f.nats.is_some() {
        until("published", || f.store.unpublished() == 0).await;
    }
    assert_eq!(lag().await, Lag { pending: 20, in_flight: 0 });
    let (stop, ended) = f.consume(spec(), &inbox);
    until("the first", || inbox.effects() == 1).await;
    let now = lag().await;
    assert!((17..=20).contains(&now.pending) && now.in_flight > 0, "{now:?}");
    stop.cancel();
    ended.await.unwrap();

    let quick = MemoryInbox::plain();
    let mut spec = spec();
    spec.name = "quick".into();
    f.consume(spec.clone(), &quick);
    f.store.emit("shelf", "shf_1");
    until("all", || quick.effects() == 20).await;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if f.bus.lag(&spec, &*quick).await.unwrap() == Lag::default() {
            return;
        }
    }
    panic!("no lag must be left: {:?}", f.bus.lag(&spec, &*quick).await);
}

async fn drain_finishes_what_is_in_hand_and_begins_nothing(mut f: Fixture) {
    let inbox = MemoryInbox::new(|_| Plan::Slow(Duration::from_millis(150)));
    for id in 0..30 {
        for _ in 0..3 {
            f.store.emit("item", &format!("itm_{id}"));
        }
    }
    let mut spec = spec();
    spec.concurrency = 4;
    let (stop, ended) = f.consume(spec.clone(), &inbox);
    until("work", || inbox.tries() >= 4).await;
    stop.cancel();
    ended.await.unwrap();
    let (tries, effects) = (inbox.tries(), inbox.effects());
    assert_eq!(tries, effects, "what was begun is finished");
    assert!(effects < 20, "{effects}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(inbox.effects(), effects, "nothing runs on");

    // Given back, not held until a time-out.
    let rest = MemoryInbox::plain();
    std::mem::swap(&mut *rest.seen.lock().unwrap(), &mut *inbox.seen.lock().unwrap());
    f.consume(spec, &rest);
    let begun = std::time::Instant::now();
    until("the rest", || rest.effects() == 90).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    rest.assert_complete(&f.store.all());
}

async fn other_aggregates_are_passed_over(mut f: Fixture) {
    let (items, all) = (MemoryInbox::plain(), MemoryInbox::plain());
    f.consume(spec(), &items);
    let mut everything = spec();
    everything.name = "everything".into();
    everything.aggregate = "*".into();
    f.consume(everything, &all);
    for n in 0..50 {
        f.store.emit(if n % 2 == 0 { "item" } else { "shelf" }, &format!("id.{n}"));
    }
    until("both", || items.effects() == 25 && all.effects() == 50).await;
    items.assert_complete(&live_items(&f));
    all.assert_complete(&f.store.all());
}
