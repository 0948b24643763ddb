use super::*;
use proptest::prelude::*;

fn stop(latitude: f64, longitude: f64) -> Stop {
    Stop { at: Point { latitude, longitude }, service: 0.0, open: 0.0, close: f64::INFINITY }
}

fn task(stops: Vec<Stop>) -> Task {
    Task { start: Point { latitude: 37.5, longitude: 127.0 }, stops, round_trip: false, speed: 7.0 }
}

fn order(plan: &Plan) -> Vec<usize> {
    plan.visits.iter().map(|v| v.stop).collect()
}

#[test]
fn a_degree_of_latitude_is_a_hundred_and_eleven_kilometres() {
    let way = metres(Point { latitude: 37.0, longitude: 127.0 }, Point { latitude: 38.0, longitude: 127.0 });
    assert!((way / DETOUR - 111_195.0).abs() < 1.0, "{way}");
}

#[test]
fn stops_in_a_line_are_called_at_in_line() {
    let plan = plan(&task(vec![stop(37.53, 127.0), stop(37.51, 127.0), stop(37.54, 127.0), stop(37.52, 127.0)]));
    assert_eq!(order(&plan), [1, 3, 0, 2]);
    let straight = metres(Point { latitude: 37.5, longitude: 127.0 }, Point { latitude: 37.54, longitude: 127.0 });
    assert!((plan.metres - straight).abs() < 1e-6);
}

#[test]
fn improvement_mends_what_greed_spoils() {
    // From 0 to both sides of a line: greed runs back and forth over the start, 1 -1.1 3.4 -9.
    let mut t = task([0.010, -0.011, 0.034, -0.090].map(|d| stop(37.5 + d, 127.0)).to_vec());
    t.round_trip = false;
    let map = Map::new(&t);
    let greedy = map.cost(map.nearest_neighbour().into_iter());
    let best = plan(&t);
    assert!(best.cost < greedy * 0.95, "{} {greedy}", best.cost);
}

#[test]
fn a_stop_that_closes_soon_comes_first() {
    let mut far = stop(37.60, 127.0);
    far.close = 2_500.0;
    let near = Stop { service: 3_000.0, ..stop(37.51, 127.0) };
    let plan = plan(&task(vec![near, far]));
    assert_eq!(order(&plan), [1, 0]);
    assert!(plan.visits.iter().all(|v| v.late == 0.0), "{plan:?}");
}

#[test]
fn whoever_comes_before_the_opening_waits() {
    let early = Stop { open: 10_000.0, service: 60.0, ..stop(37.51, 127.0) };
    let plan = plan(&task(vec![early]));
    assert_eq!(plan.seconds, 10_060.0);
}

fn stops() -> impl Strategy<Value = Vec<Stop>> {
    let one = (37.4..37.7f64, 126.8..127.2f64, 0.0..900.0f64, prop::option::of(0.0..20_000.0f64));
    let one = one.prop_map(|(lat, lon, service, close)| Stop {
        service,
        close: close.unwrap_or(f64::INFINITY),
        ..stop(lat, lon)
    });
    prop::collection::vec(one, 1..25)
}

proptest! {
    #[test]
    fn every_stop_once_and_never_worse_than_nearest_neighbour(stops in stops(), round_trip: bool) {
        let t = Task { round_trip, ..task(stops) };
        let best = plan(&t);
        let mut seen = order(&best);
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..t.stops.len()).collect::<Vec<_>>());
        let map = Map::new(&t);
        prop_assert!(best.cost <= map.cost(map.nearest_neighbour().into_iter()) + GAIN);
    }

    #[test]
    fn without_windows_the_way_is_never_longer(points in prop::collection::vec((37.4..37.7f64, 126.8..127.2f64), 1..25)) {
        let t = task(points.into_iter().map(|(lat, lon)| stop(lat, lon)).collect());
        let map = Map::new(&t);
        prop_assert!(plan(&t).metres <= map.walk(&map.nearest_neighbour()).metres + GAIN);
    }
}
