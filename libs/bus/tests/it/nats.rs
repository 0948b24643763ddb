//! What only a server can do: die, come back, be away, hold garbage; and several processes on one durable.

use crate::memory::{Fixture, MemoryInbox, Plan, Relay, Store, connect, dice, spec, until};
use async_nats::jetstream;
use bus::{EventBus, Stop};
use prost::Message;
use std::{sync::Arc, time::Duration};
use testkit::servers::NatsServer;
use tokio::task::JoinSet;

async fn raw(f: &Fixture) -> jetstream::Context {
    jetstream::new(async_nats::connect(f.nats.as_ref().unwrap().url()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_in_the_middle() {
    let mut f = Fixture::jetstream().await;
    let inbox = MemoryInbox::new(|_| Plan::Slow(Duration::from_millis(2)));
    f.consume(spec(), &inbox);
    for round in 1..=3 {
        for _ in 0..20 {
            for id in 0..10 {
                f.store.emit("item", &format!("itm_{id}"));
            }
        }
        until("part of the round", || inbox.effects() > (round - 1) * 200 + 30).await;
        f.nats.as_mut().unwrap().kill9();
        for id in 0..10 {
            f.store.emit("item", &format!("itm_late_{id}"));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        f.nats.as_mut().unwrap().restart().await;
        let all = f.store.all().len();
        until("the round", || inbox.effects() == all).await;
    }
    inbox.assert_complete(&f.store.all());
    assert_eq!((inbox.dead(), f.store.unpublished()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_comes_late() {
    let mut nats = NatsServer::start().await;
    nats.kill9();
    let js = Arc::new(connect(&nats.url()).await);
    assert!(!js.healthy());
    let (store, inbox, stop) = (Store::new("shop"), MemoryInbox::plain(), Stop::new());
    let mut tasks = JoinSet::new();
    let (bus, outbox, token) = (js.clone(), Arc::new(Relay { store: store.clone(), owner: 1 }), stop.clone());
    tasks.spawn(async move { bus.relay(outbox, token).await.unwrap() });
    let (bus, to, token) = (js.clone(), inbox.clone(), stop.clone());
    tasks.spawn(async move { bus.consume(spec(), to, token).await.unwrap() });
    for _ in 0..5 {
        store.emit("item", "itm_a");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.unpublished(), 5);
    nats.restart().await;
    until("5 effects", || inbox.effects() == 5).await;
    assert!(js.healthy());
    inbox.assert_complete(&store.all());

    // A stop while the server hangs ends all the same.
    nats.freeze();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(8), tasks.join_all()).await.expect("both end");
    nats.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_relay_leaves_nothing_behind() {
    let mut f = Fixture::jetstream().await;
    let store = Store::new("depot");
    let (stop, bus) = (Stop::new(), f.bus.clone());
    for n in 0..600 {
        store.emit("box", &format!("box_{}", n % 50));
    }
    stop.cancel();
    let outbox = Arc::new(Relay { store: store.clone(), owner: 1 });
    let (tx, rx) = tokio::sync::oneshot::channel();
    f.spawn(async move {
        bus.relay(outbox, stop).await.unwrap();
        let _ = tx.send(());
    });
    rx.await.unwrap();
    assert_eq!(store.unpublished(), 0);
    let mut stream = raw(&f).await.get_stream("EVT_DEPOT").await.unwrap();
    let info = stream.info().await.unwrap();
    assert_eq!(info.state.messages, 600);
    assert_eq!(info.config.discard, jetstream::stream::DiscardPolicy::New);
    assert_eq!(info.config.storage, jetstream::stream::StorageType::File);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_relay_asks_little_and_misses_nothing() {
    let f = Fixture::jetstream().await;
    f.store.emit("item", "itm_a");
    until("published", || f.store.unpublished() == 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = f.store.asked();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Two partitions with leases of two seconds, and the watch; a poll every 200 ms would ask 30 times.
    let asked = f.store.asked() - before;
    assert!(asked <= 20, "{asked} questions in three idle seconds");

    f.store.emit_elsewhere("item", "itm_a");
    f.store.emit_elsewhere("item", "itm_b");
    let begun = std::time::Instant::now();
    until("rows of another process", || f.store.unpublished() == 0).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    f.store.emit("item", "itm_a");
    let begun = std::time::Instant::now();
    until("a row of this process", || f.store.unpublished() == 0).await;
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_and_replicas_share_the_work() {
    let mut f = Fixture::jetstream().await;
    f.relay(2, Stop::new());
    // Two processes on one durable and one inbox: versions of an aggregate are spread over both.
    let roll = std::sync::Mutex::new(dice(3));
    let inbox = MemoryInbox::new(move |_| Plan::Slow(Duration::from_micros(roll.lock().unwrap()(4000))));
    let other = Arc::new(connect(&f.nats.as_ref().unwrap().url()).await);
    f.consume(spec(), &inbox);
    let to = inbox.clone();
    f.spawn(async move { other.consume(spec(), to, Stop::new()).await.unwrap() });
    for _ in 0..50 {
        for id in 0..10 {
            f.store.emit("item", &format!("itm_{id}"));
        }
    }
    until("500 effects", || inbox.effects() == 500).await;
    inbox.assert_complete(&f.store.all());
    assert_eq!(inbox.dead(), 0);
    let mut stream = raw(&f).await.get_stream("EVT_SHOP").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 500, "each event is in the stream once");
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_copies_in_the_stream_have_one_effect() {
    let mut f = Fixture::jetstream().await;
    let copies = Store::new("shop");
    let mut out = Vec::new();
    let mut roll = dice(5);
    for _ in 0..20 {
        for id in 0..10 {
            let e = copies.emit("item", &format!("itm_{id}"));
            out.extend((0..=roll(3)).map(|_| e.clone()));
        }
    }
    for i in (1..out.len()).rev() {
        out.swap(i, roll(i as u64 + 1) as usize);
    }
    // The first of each aggregate has to be first: an aggregate whose first stored event isn't version 1 counts as
    // one whose beginning has left the stream.
    out.sort_by_key(|e| e.version > 1);
    let inbox = MemoryInbox::plain();
    let mut spec = spec();
    // All of a shuffled stream may be missing its predecessor at once.
    spec.max_in_flight = 1000;
    let (stop, ended) = f.consume(spec.clone(), &inbox);
    until("the stream", || f.bus.healthy()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let js = raw(&f).await;
    for e in &out {
        let subject = format!("evt.shop.item.{}", e.aggregate_id);
        js.publish(subject, e.encode_to_vec().into()).await.unwrap().await.unwrap();
    }
    until("200 effects", || inbox.effects() == 200).await;
    inbox.assert_complete(&copies.all());
    stop.cancel();
    ended.await.unwrap();
    assert_eq!(inbox.dead(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_put_aside_and_an_old_beginning_is_no_gap() {
    let mut f = Fixture::jetstream().await;
    f.store.emit("item", "itm_a");
    until("published", || f.store.unpublished() == 0).await;
    let js = raw(&f).await;
    js.publish("evt.shop.item.itm_x", "no envelope".into()).await.unwrap().await.unwrap();
    let old = Store::new("shop");
    for _ in 0..9 {
        let e = old.emit("item", "itm_old");
        // Versions 1 to 6 have left the stream.
        if e.version > 6 {
            js.publish("evt.shop.item.itm_old", e.encode_to_vec().into()).await.unwrap().await.unwrap();
        }
    }
    let inbox = MemoryInbox::plain();
    f.consume(spec(), &inbox);
    until("1 + 3 effects", || inbox.effects() == 4 && inbox.dead() == 1).await;
    let seen = inbox.seen.lock().unwrap();
    assert_eq!(seen.last["itm_old"], 9);
    let (d, _) = seen.dead.values().next().unwrap();
    assert_eq!((d.envelope.version, &d.envelope.payload[..]), (0, &b"no envelope"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_keeps_its_event() {
    let mut f = Fixture::jetstream().await;
    let inbox = MemoryInbox::new(|_| Plan::Slow(Duration::from_millis(1500)));
    let mut spec = spec();
    spec.ack_wait = Duration::from_millis(400);
    for _ in 0..2 {
        f.store.emit("item", "itm_a");
    }
    f.consume(spec.clone(), &inbox);
    f.consume(spec, &inbox);
    until("2 effects", || inbox.effects() == 2).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let tries = inbox.tries();
    // One version may be in the other consumer's hands meanwhile and ask in vain, but none is handled twice.
    let applied = inbox.effects();
    assert!(applied == 2 && tries <= 4, "{tries} tries");
}
