//! Routes for pick-ups.

use crate::{
    Shipping,
    domain::route::{self, Plan, Point, Stop, Task},
};
use jangteo_core::{Call, Error, Result, Time, Violations};
use proto::{
    google::r#type::LatLng,
    jangteo::shipping::v1::{self as wire, PlannedStop, RouteStop},
};
use std::collections::BTreeSet;

/// Metres a second in a kilometre an hour.
const KMH: f64 = 1.0 / 3.6;

fn point(field: &str, at: Option<&LatLng>, bad: &mut Violations) -> Point {
    let LatLng { latitude, longitude } = at.copied().unwrap_or_default();
    // Neither holds for NaN.
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        bad.add(field, "OUT_OF_RANGE", "must lie within 90 degrees of latitude and 180 of longitude");
    }
    Point { latitude, longitude }
}

/// Seconds after the departure.
fn after(depart: Time, t: &prost_types::Timestamp) -> f64 {
    (proto::time(t) - depart).as_seconds_f64()
}

fn stop(n: usize, stop: &RouteStop, depart: Time, bad: &mut Violations) -> Stop {
    let at = point(&format!("stops[{n}].location"), stop.location.as_ref(), bad);
    let open = stop.open_time.as_ref().map_or(0.0, |t| after(depart, t));
    let close = stop.close_time.as_ref().map_or(f64::INFINITY, |t| after(depart, t));
    if close < open {
        bad.add(format!("stops[{n}].close_time"), "OUT_OF_RANGE", "must not be before open_time");
    }
    let service = stop.service_time.as_ref().map_or(0.0, |d| d.seconds as f64 + f64::from(d.nanos) / 1e9);
    Stop { at, service, open, close }
}

fn task(req: &wire::PlanRouteRequest, depart: Time, speed_kmh: u32) -> Result<Task> {
    let mut bad = Violations::default();
    let start = point("start", req.start.as_ref(), &mut bad);
    let stops = req.stops.iter().enumerate().map(|(n, s)| stop(n, s, depart, &mut bad)).collect();
    let mut seen = BTreeSet::new();
    for (n, s) in req.stops.iter().enumerate() {
        if !seen.insert(&s.stop_id) {
            bad.add(format!("stops[{n}].stop_id"), "NOT_UNIQUE", "is named twice");
        }
    }
    bad.none()?;
    Ok(Task { start, stops, round_trip: req.round_trip, speed: f64::from(speed_kmh.max(1)) * KMH })
}

/// Whole ones, rounded; a way around the world is below the limit.
fn whole(x: f64) -> i32 {
    x.round().clamp(0.0, f64::from(i32::MAX)) as i32
}

fn duration(seconds: f64) -> prost_types::Duration {
    prost_types::Duration { seconds: seconds.round() as i64, nanos: 0 }
}

impl Shipping {
    pub(super) async fn plan(&self, cx: Call, req: wire::PlanRouteRequest) -> Result<wire::RoutePlan> {
        let depart = req.depart_time.as_ref().map_or(cx.now, proto::time);
        let task = task(&req, depart, self.cfg.route_speed_kmh)?;
        // Up to a second of arithmetic: not on a thread that others wait for.
        let plan = tokio::task::spawn_blocking(move || route::plan(&task)).await.map_err(Error::internal)?;
        let Plan { visits, metres, seconds, .. } = plan;
        let planned = |v: route::Visit| PlannedStop {
            stop_id: req.stops[v.stop].stop_id.clone(),
            distance_meters: whole(v.metres),
            arrive_time: Some(proto::timestamp(depart + chrono::TimeDelta::seconds(v.arrive.round() as i64))),
            late_by: (v.late >= 0.5).then(|| duration(v.late)),
        };
        Ok(wire::RoutePlan {
            stops: visits.into_iter().map(planned).collect(),
            distance_meters: whole(metres),
            duration: Some(duration(seconds)),
        })
    }
}
