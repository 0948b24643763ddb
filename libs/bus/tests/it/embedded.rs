//! What only the bus of a market in one process can show: its cursors.

use crate::memory::{Fixture, MemoryInbox, spec, until};
use bus::{Lag, Stop};

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_is_stored_now_and_then() {
    let mut f = Fixture::embedded().await;
    let inbox = MemoryInbox::plain();
    let (stop, ended) = f.consume(spec(), &inbox);
    for n in 0..3000 {
        let aggregate = if n % 3 == 0 { "item" } else { "other" };
        f.store.emit(aggregate, &format!("{aggregate}_{}", n % 7));
    }
    until("1000 effects", || inbox.effects() == 1000).await;
    let whole = async || f.bus.lag(&spec(), &*inbox).await.unwrap() == Lag { pending: 0, in_flight: 0 };
    while !whole().await {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    ended.await.unwrap();
    let seen = inbox.seen.lock().unwrap();
    assert_eq!(seen.cursor, 3000, "what was done is known at the end");
    assert!((3..20).contains(&seen.stored), "the cursor was stored {} times", seen.stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_repeats_events_and_no_effects() {
    let mut f = Fixture::embedded().await;
    let inbox = MemoryInbox::plain();
    for n in 0..1500 {
        f.store.emit("item", &format!("itm_{}", n % 5));
    }
    tokio::select! {
        _ = f.bus.consume(spec(), inbox.clone(), Stop::new()) => panic!("it ended by itself"),
        () = until("1500 effects", || inbox.effects() == 1500) => {}
    }
    let stored = inbox.seen.lock().unwrap().cursor;
    assert!(stored < 1500, "nothing is left to repeat");

    f.consume(spec(), &inbox);
    f.store.emit("item", "itm_0");
    until("the next event", || inbox.effects() == 1501).await;
    inbox.assert_complete(&f.store.all());
    until("what was not stored to come again", || inbox.tries() == 1501 + 1500 - stored as usize).await;
}
