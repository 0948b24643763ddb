//! What a caller may rely on, wherever the service runs. Every test runs in all three shapes.

use crate::{
    probe::{detailed, echo, reaches},
    world::World,
};
use futures::{StreamExt, stream};
use jangteo_core::{Code, Error, Trace};
use proto::{
    Client as _, Streaming,
    jangteo::probe::v1::{ChatRequest, CountRequest, CountResponse, EchoOnceRequest, EchoRequest, SumRequest},
};
use rpc::PeerConfig;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

everywhere! {
    a_unary_call_is_answered,
    the_handler_knows_its_caller,
    the_handler_knows_the_person,
    the_trace_goes_on,
    a_late_handler_is_ended,
    a_call_whose_time_is_up_does_not_run,
    the_policy_bounds_the_time,
    the_deadline_shrinks_from_hop_to_hop,
    a_deadline_reaches_through_two_hops,
    a_caller_that_goes_away_ends_the_handler,
    going_away_reaches_through_two_hops,
    an_error_keeps_its_details,
    an_error_with_too_many_details_is_cut,
    every_code_arrives,
    a_panic_is_internal_and_the_process_lives_on,
    a_panic_in_a_stream_is_internal,
    a_stream_arrives_in_order,
    a_stream_goes_in,
    a_stream_goes_both_ways,
    a_stream_may_fail_in_the_middle,
    a_stream_ends_at_its_deadline,
    a_stream_that_never_waits_ends_at_its_deadline,
    dropping_a_stream_ends_it,
    broken_rules_are_named,
    broken_rules_in_a_stream_are_named,
    a_repeatable_call_is_tried_again,
    trying_again_takes_from_the_same_deadline,
    other_calls_are_not_tried_again,
    retries_keep_to_their_budget,
    many_calls_at_once,
}

async fn a_unary_call_is_answered(w: World) {
    let answer = w.client().echo(&w.cx(), echo("안녕")).await.unwrap();
    assert_eq!(answer.text, "안녕");
    let big = "x".repeat(1 << 20);
    assert_eq!(w.client().echo(&w.cx(), echo(&big)).await.unwrap().text.len(), 1 << 20);
}

async fn the_handler_knows_its_caller(w: World) {
    let mut cx = w.cx();
    cx.locale = Some("ko-KR".into());
    cx.client_addr = Some("203.0.113.9".into());
    cx.user_agent = Some("curl/8".into());
    cx.canary = Some("probe".into());
    let answer = w.client_of("order").echo(&cx, echo("hi")).await.unwrap();
    assert_eq!((answer.caller.as_str(), answer.principal.as_str()), ("order", "anonymous"));
    assert_eq!(answer.locale, "ko-KR");
    let seen = w.probe.last();
    assert_eq!(seen.client_addr.as_deref(), Some("203.0.113.9"));
    assert_eq!(seen.user_agent.as_deref(), Some("curl/8"));
    assert_eq!(seen.canary.as_deref(), Some("probe"));
    assert_eq!(&*seen.method, "/jangteo.probe.v1.ProbeService/Echo");
    assert_eq!(seen.now, jangteo_core::Clock::now(&w.clock));
    assert_eq!((seen.request_id, seen.token), (None, None));
}

async fn the_handler_knows_the_person(w: World) {
    let cx = w.signed_in(&["user", "admin"]);
    let answer = w.client().echo(&cx, echo("hi")).await.unwrap();
    assert_eq!(answer.principal, "user:usr_1");
    let seen = w.probe.last();
    assert!(seen.has_role("admin") && !seen.has_role("seller"));
    assert_eq!(seen.token, cx.token, "for the next service to verify again");
    // A method for services is called by one in its own name, or on somebody's behalf.
    let line = || stream::iter([ChatRequest { text: "x".into() }]);
    let mut answers = w.client_of("order").chat(&w.cx(), line()).await.unwrap();
    assert!(answers.next().await.unwrap().is_ok());
    assert_eq!(w.probe.last().principal.key(), "system:order");
    let mut answers = w.client_of("order").chat(&cx, line()).await.unwrap();
    assert!(answers.next().await.unwrap().is_ok());
    assert_eq!(w.probe.last().principal.key(), "user:usr_1");
}

async fn the_trace_goes_on(w: World) {
    let mut cx = w.cx();
    let id = "0af7651916cd43dd8448eb211c80319c";
    cx.trace = Trace { traceparent: Some(format!("00-{id}-b7ad6b7169203331-01")), tracestate: Some("a=1".into()) };
    assert_eq!(w.client().echo(&cx, echo("hi")).await.unwrap().trace_id, id);
    assert_eq!(w.probe.last().trace.tracestate.as_deref(), Some("a=1"));
    cx.trace = Trace { traceparent: Some("garbage".into()), tracestate: None };
    let fresh = w.client().echo(&cx, echo("hi")).await.unwrap().trace_id;
    assert_eq!(fresh.len(), 32, "one that can't be read is replaced");
    cx.trace = Trace::default();
    assert_eq!(w.client().echo(&cx, echo("hi")).await.unwrap().trace_id.len(), 32);
}

fn within(mut cx: jangteo_core::Call, ms: u64) -> jangteo_core::Call {
    cx.deadline = Some(Instant::now() + Duration::from_millis(ms));
    cx
}

fn slow() -> EchoRequest {
    EchoRequest { delay_ms: 60_000, ..echo("slow") }
}

async fn a_late_handler_is_ended(w: World) {
    // A first call connects, so that the second one's time goes to the handler.
    w.client().echo(&w.cx(), echo("hi")).await.unwrap();
    let started = Instant::now();
    let e = w.client().echo(&within(w.cx(), 200), slow()).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(started.elapsed() >= Duration::from_millis(190));
    assert!(started.elapsed() < Duration::from_secs(20));
    reaches(&w.probe.dropped, 1).await;
}

async fn a_call_whose_time_is_up_does_not_run(w: World) {
    let e = w.client().echo(&within(w.cx(), 0), echo("hi")).await.unwrap_err();
    assert_eq!(e.code(), Code::DeadlineExceeded);
    assert_eq!(w.probe.runs(), 0);
}

async fn the_policy_bounds_the_time(w: World) {
    let left = w.client().echo(&w.cx(), echo("hi")).await.unwrap().remaining_ms;
    assert!((1000..=2000).contains(&left), "{left}: the method has two seconds");
    let left = w.client().echo(&within(w.cx(), 60_000), echo("hi")).await.unwrap().remaining_ms;
    assert!((1000..=2000).contains(&left), "{left}: and a caller can't give it more");
    let left = w.client().echo(&within(w.cx(), 900), echo("hi")).await.unwrap().remaining_ms;
    assert!((100..=900).contains(&left), "{left}: but less");
    let mut numbers = w.client().count(&w.cx(), CountRequest { upto: 1, ..Default::default() }).await.unwrap();
    assert!(numbers.next().await.unwrap().is_ok());
    assert_eq!(w.probe.last().deadline, None, "a stream has no limit unless one is given");
}

async fn the_deadline_shrinks_from_hop_to_hop(w: World) {
    assert!(w.probe.next.set(w.client_of("probe")).is_ok());
    let request = EchoRequest { delay_ms: 100, ..echo("hop") };
    let answer = w.client().echo(&within(w.cx(), 1900), request).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.caller.as_str()), ("hopped", "probe"));
    // Both hops wait 100 ms before they tell.
    assert!((100..=1700).contains(&answer.remaining_ms), "{}", answer.remaining_ms);
    let calls = w.probe.calls.lock().unwrap();
    let deadlines: Vec<_> = calls.iter().map(|c| c.deadline.unwrap()).collect();
    let later = deadlines[1].saturating_duration_since(deadlines[0]);
    assert!(later < Duration::from_millis(500), "the same deadline, but for the way: {later:?}");
}

async fn a_deadline_reaches_through_two_hops(w: World) {
    assert!(w.probe.next.set(w.client_of("probe")).is_ok());
    w.client().echo(&w.cx(), echo("hop")).await.unwrap();
    let before = *w.probe.dropped.borrow();
    let e = w.client().echo(&within(w.cx(), 300), echo("hop to the gate")).await.unwrap_err();
    assert_eq!(e.code(), Code::DeadlineExceeded);
    reaches(&w.probe.dropped, before + 2).await;
}

async fn a_caller_that_goes_away_ends_the_handler(w: World) {
    let (client, cx) = (w.client(), w.cx());
    tokio::select! {
        r = client.echo(&cx, echo("gate")) => panic!("{r:?}"),
        () = reaches(&w.probe.started, 1) => {}
    }
    reaches(&w.probe.dropped, 1).await;
    assert_eq!(w.client().echo(&cx, echo("hi")).await.unwrap().text, "hi");
}

async fn going_away_reaches_through_two_hops(w: World) {
    assert!(w.probe.next.set(w.client_of("probe")).is_ok());
    let (client, cx) = (w.client(), w.cx());
    tokio::select! {
        r = client.echo(&cx, echo("hop to the gate")) => panic!("{r:?}"),
        () = reaches(&w.probe.started, 2) => {}
    }
    reaches(&w.probe.dropped, 2).await;
}

async fn an_error_keeps_its_details(w: World) {
    let e = w.client().echo(&w.cx(), echo("details")).await.unwrap_err();
    let sent = detailed();
    assert_eq!((e.code(), e.reason(), e.message()), (sent.code(), sent.reason(), sent.message()));
    assert_eq!(e.metadata(), sent.metadata());
    assert_eq!(e.field_violations(), sent.field_violations());
    assert_eq!(e.retry_after(), sent.retry_after());
    assert_eq!(e.domain(), "probe.jangteo");
}

async fn an_error_with_too_many_details_is_cut(w: World) {
    let e = w.client().echo(&w.cx(), echo("long")).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert!((10..200).contains(&e.field_violations().len()), "{}", e.field_violations().len());
    assert_eq!(e.field_violations()[0].field, "items[0]");
}

async fn every_code_arrives(w: World) {
    for code in 1..=16 {
        let e = w.client().echo(&w.cx(), EchoRequest { fail_code: code, ..echo("") }).await.unwrap_err();
        assert_eq!((e.code() as i32, e.reason()), (code, "ASKED_FOR"));
    }
    let e = w.client().echo(&w.cx(), EchoRequest { fail_code: 99, ..echo("") }).await.unwrap_err();
    assert_eq!(e.code(), Code::Unknown);
}

fn is_internal(e: &Error) {
    assert_eq!((e.code(), e.reason(), e.message()), (Code::Internal, "INTERNAL", "internal error"));
    assert!(e.metadata().is_empty(), "nothing of ours leaves");
}

async fn a_panic_is_internal_and_the_process_lives_on(w: World) {
    let (client, cx) = (w.client(), w.cx());
    for _ in 0..3 {
        let request = EchoRequest { panic: true, secret: "canary".into(), ..echo("") };
        is_internal(&client.echo(&cx, request).await.unwrap_err());
    }
    assert_eq!(client.echo(&cx, echo("hi")).await.unwrap().text, "hi");
}

async fn numbers(stream: &mut Streaming<CountResponse>) -> (Vec<i32>, Option<Error>) {
    let mut seen = Vec::new();
    while let Some(item) = stream.next().await {
        match item {
            Ok(item) => seen.push(item.number),
            Err(e) => {
                assert!(stream.next().await.is_none(), "nothing comes behind an error");
                return (seen, Some(e));
            }
        }
    }
    (seen, None)
}

async fn a_panic_in_a_stream_is_internal(w: World) {
    let (client, cx) = (w.client(), w.cx());
    let request = CountRequest { upto: 10, delay_ms: 1, fail_after: -1 };
    let mut stream = client.count(&cx, request).await.unwrap();
    let (seen, e) = numbers(&mut stream).await;
    assert_eq!(seen, [1, 2]);
    is_internal(&e.expect("an error"));
    assert_eq!(client.echo(&cx, echo("hi")).await.unwrap().text, "hi");
}

async fn a_stream_arrives_in_order(w: World) {
    let mut stream = w.client().count(&w.cx(), CountRequest { upto: 2000, ..Default::default() }).await.unwrap();
    let (seen, e) = numbers(&mut stream).await;
    assert!(e.is_none(), "{e:?}");
    assert!(seen.into_iter().eq(1..=2000));
    let mut none = w.client().count(&w.cx(), CountRequest::default()).await.unwrap();
    assert!(none.next().await.is_none());
    assert_eq!(*w.probe.dropped.borrow(), 0);
}

async fn a_stream_goes_in(w: World) {
    let numbers = stream::iter((1..=1000).map(|number| SumRequest { number }));
    assert_eq!(w.client().sum(&w.cx(), numbers).await.unwrap().total, 500_500);
    assert_eq!(w.client().sum(&w.cx(), stream::empty()).await.unwrap().total, 0);
    // A caller that goes away in the middle ends the handler.
    let (client, cx) = (w.client(), w.cx());
    let endless = stream::iter([SumRequest { number: 1 }]).chain(stream::pending());
    tokio::select! {
        r = client.sum(&cx, endless) => panic!("{r:?}"),
        () = reaches(&w.probe.started, 3) => {}
    }
    reaches(&w.probe.dropped, 1).await;
}

async fn a_stream_goes_both_ways(w: World) {
    let (send, mut lines) = tokio::sync::mpsc::channel(1);
    let lines = stream::poll_fn(move |cx| lines.poll_recv(cx));
    let mut answers = w.client().chat(&w.cx(), lines).await.unwrap();
    for i in 0..20 {
        // Each line is answered before the next is sent.
        send.send(ChatRequest { text: format!("line {i}") }).await.unwrap();
        assert_eq!(answers.next().await.unwrap().unwrap().text, format!("line {i}"));
    }
    drop(send);
    assert!(answers.next().await.is_none());
}

async fn a_stream_may_fail_in_the_middle(w: World) {
    let request = CountRequest { upto: 10, fail_after: 3, ..Default::default() };
    let mut stream = w.client().count(&w.cx(), request).await.unwrap();
    let (seen, e) = numbers(&mut stream).await;
    let e = e.expect("an error");
    assert_eq!(seen, [1, 2, 3]);
    assert_eq!((e.code(), e.reason(), e.domain()), (Code::Aborted, "ASKED_FOR", "probe.jangteo"));
    assert_eq!(e.metadata()["number"], "4");
}

async fn a_stream_ends_at_its_deadline(w: World) {
    w.client().echo(&w.cx(), echo("hi")).await.unwrap();
    let request = CountRequest { upto: 1_000_000, delay_ms: 5, fail_after: 0 };
    let mut stream = w.client().count(&within(w.cx(), 500), request).await.unwrap();
    let (seen, e) = numbers(&mut stream).await;
    assert!(!seen.is_empty());
    assert_eq!(e.expect("an error").code(), Code::DeadlineExceeded);
    reaches(&w.probe.dropped, 1).await;
    // Also while it waits for a message that doesn't come.
    let request = CountRequest { upto: 2, delay_ms: 60_000, fail_after: 0 };
    let stream = w.client().count(&within(w.cx(), 200), request).await;
    let e = match stream {
        Ok(mut stream) => numbers(&mut stream).await.1.expect("an error"),
        Err(e) => e,
    };
    assert_eq!(e.code(), Code::DeadlineExceeded);
    reaches(&w.probe.dropped, 2).await;
}

async fn a_stream_that_never_waits_ends_at_its_deadline(w: World) {
    w.client().echo(&w.cx(), echo("hi")).await.unwrap();
    let request = CountRequest { upto: 1_000_000, ..Default::default() };
    let mut stream = w.client().count(&within(w.cx(), 200), request).await.unwrap();
    let (seen, e) = numbers(&mut stream).await;
    assert_eq!(e.expect("an error").code(), Code::DeadlineExceeded, "after {} numbers", seen.len());
    reaches(&w.probe.dropped, 1).await;
}

async fn dropping_a_stream_ends_it(w: World) {
    let request = CountRequest { upto: 1_000_000, delay_ms: 1, fail_after: 0 };
    let mut stream = w.client().count(&w.cx(), request).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().number, 1);
    assert_eq!(*w.probe.dropped.borrow(), 0);
    drop(stream);
    reaches(&w.probe.dropped, 1).await;
}

async fn broken_rules_are_named(w: World) {
    let request = EchoRequest { delay_ms: -1, text: "x".repeat((1 << 20) + 1), ..Default::default() };
    let e = w.client().echo(&w.cx(), request).await.unwrap_err();
    assert_eq!((e.code(), e.reason()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let fields: Vec<_> = e.field_violations().iter().map(|v| (v.field.as_str(), v.reason.as_str())).collect();
    assert_eq!(fields, [("text", "STRING_MAX_LEN"), ("delay_ms", "NUMBER_GTE")]);
    assert_eq!(w.probe.runs(), 0, "the handler sees valid input only");
}

async fn broken_rules_in_a_stream_are_named(w: World) {
    let numbers = stream::iter([1, 2, -3].map(|number| SumRequest { number }));
    let e = w.client().sum(&w.cx(), numbers).await.unwrap_err();
    assert_eq!(e.code(), Code::InvalidArgument);
    assert_eq!(e.field_violations()[0].field, "number");
}

async fn a_repeatable_call_is_tried_again(w: World) {
    w.probe.failures.store(2, Ordering::Relaxed);
    let answer = w.client().echo(&w.cx(), echo("again")).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.attempts), ("again", 3));
    w.probe.failures.store(3, Ordering::Relaxed);
    let e = w.client().echo(&w.cx(), echo("again")).await.unwrap_err();
    assert_eq!(e.code(), Code::Unavailable);
    assert_eq!(e.metadata()["dependency"], "the store", "the last answer is the caller's");
    assert_eq!(w.probe.runs(), 6);
    // An error that isn't the service's absence is an answer.
    let e = w.client().echo(&w.cx(), EchoRequest { fail_code: Code::Aborted as i32, ..echo("") }).await.unwrap_err();
    assert_eq!((e.code(), w.probe.runs()), (Code::Aborted, 7));
}

async fn trying_again_takes_from_the_same_deadline(w: World) {
    w.probe.failures.store(2, Ordering::Relaxed);
    w.client().echo(&within(w.cx(), 1900), EchoRequest { delay_ms: 50, ..echo("again") }).await.unwrap();
    let calls = w.probe.calls.lock().unwrap().clone();
    let first = calls[0].deadline.unwrap();
    for later in &calls[1..] {
        let later = later.deadline.unwrap().saturating_duration_since(first);
        assert!(later < Duration::from_millis(45), "an attempt was given {later:?} more");
    }
}

async fn other_calls_are_not_tried_again(w: World) {
    w.probe.failures.store(1, Ordering::Relaxed);
    let request = EchoOnceRequest { text: "once".into(), request_id: "key-1".into() };
    let e = w.client().echo_once(&w.signed_in(&["admin"]), request).await.unwrap_err();
    assert_eq!((e.code(), w.probe.runs()), (Code::Unavailable, 1));
}

async fn retries_keep_to_their_budget(w: World) {
    let config = PeerConfig { breaker: PeerConfig::meshed().breaker, ..Default::default() };
    let client = crate::probe::Client::new(w.channel("gateway", config));
    w.probe.failures.store(i32::MAX, Ordering::Relaxed);
    let calls = 40;
    for _ in 0..calls {
        assert_eq!(client.echo(&w.cx(), echo("")).await.unwrap_err().code(), Code::Unavailable);
    }
    let retries = w.probe.runs() - calls;
    assert!((3..=3 + calls / 5).contains(&retries), "{retries} retries for {calls} calls");
}

async fn many_calls_at_once(w: World) {
    let (client, cx) = (w.client(), w.cx());
    let calls = (0..200).map(|i| {
        let (client, cx) = (client.clone(), cx.clone());
        async move { client.echo(&cx, EchoRequest { delay_ms: i % 3, ..echo(&i.to_string()) }).await.unwrap().text }
    });
    let answers: Vec<_> = stream::iter(calls).buffered(50).collect().await;
    assert!(answers.into_iter().eq((0..200).map(|i| i.to_string())));
    assert_eq!(w.probe.runs(), 200);
}
