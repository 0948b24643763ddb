//! The order in which to call at places: nearest neighbour, then 2-opt and Or-opt until neither helps.
//! Lin (1965), "Computer solutions of the traveling salesman problem"; Or (1976), for moving short chains.
//!
//! What is made small is the way, and before it the lateness at stops that close: a metre weighs one, a second too late
//! a thousand. Roads are great circles times 1.3, the usual detour of a street network.

/// In degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub latitude: f64,
    pub longitude: f64,
}

/// Times in seconds after the departure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stop {
    pub at: Point,
    pub service: f64,
    /// Not before.
    pub open: f64,
    /// Not after.
    pub close: f64,
}

pub struct Task {
    pub start: Point,
    pub stops: Vec<Stop>,
    pub round_trip: bool,
    /// Metres a second.
    pub speed: f64,
}

/// A visit, in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// Index into the task's stops.
    pub stop: usize,
    /// From the place before.
    pub metres: f64,
    pub arrive: f64,
    pub late: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub visits: Vec<Visit>,
    /// With the way back, where there is one.
    pub metres: f64,
    pub seconds: f64,
    /// Metres, and a thousand for each second of lateness.
    pub cost: f64,
}

const EARTH_METRES: f64 = 6_371_008.8;
const DETOUR: f64 = 1.3;
const LATE_WEIGHT: f64 = 1000.0;
/// What counts as better; less is rounding.
const GAIN: f64 = 1e-6;
/// Passes over all moves; a hundred stops settle in about ten.
const MAX_PASSES: usize = 30;

/// By the haversine formula, and the detour.
pub fn metres(a: Point, b: Point) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let (d_lat, d_lon) = (lat_b - lat_a, (b.longitude - a.longitude).to_radians());
    let h = (d_lat / 2.0).sin().powi(2) + lat_a.cos() * lat_b.cos() * (d_lon / 2.0).sin().powi(2);
    2.0 * EARTH_METRES * h.sqrt().min(1.0).asin() * DETOUR
}

/// All distances, once. The start is the last index.
struct Map<'a> {
    task: &'a Task,
    metres: Vec<Vec<f64>>,
}

impl<'a> Map<'a> {
    fn new(task: &'a Task) -> Self {
        let points: Vec<_> = task.stops.iter().map(|s| s.at).chain([task.start]).collect();
        let metres = points.iter().map(|a| points.iter().map(|b| metres(*a, *b)).collect()).collect();
        Map { task, metres }
    }

    fn start(&self) -> usize {
        self.task.stops.len()
    }

    fn walk(&self, order: &[usize]) -> Plan {
        let (mut at, mut clock, mut way, mut lateness) = (self.start(), 0.0, 0.0, 0.0);
        let mut visits = Vec::with_capacity(order.len());
        for &stop in order {
            let leg = self.metres[at][stop];
            let Stop { service, open, close, .. } = self.task.stops[stop];
            clock += leg / self.task.speed;
            let late = (clock - close).max(0.0);
            visits.push(Visit { stop, metres: leg, arrive: clock, late });
            clock = clock.max(open) + service;
            (way, lateness, at) = (way + leg, lateness + late, stop);
        }
        if self.task.round_trip {
            let back = self.metres[at][self.start()];
            (way, clock) = (way + back, clock + back / self.task.speed);
        }
        Plan { visits, metres: way, seconds: clock, cost: way + LATE_WEIGHT * lateness }
    }

    /// As [`Map::walk`], without the visits: this is asked a million times.
    fn cost(&self, order: impl Iterator<Item = usize>) -> f64 {
        let (mut at, mut clock, mut way, mut lateness) = (self.start(), 0.0, 0.0, 0.0);
        for stop in order {
            let leg = self.metres[at][stop];
            let Stop { service, open, close, .. } = self.task.stops[stop];
            clock += leg / self.task.speed;
            lateness += (clock - close).max(0.0);
            clock = clock.max(open) + service;
            (way, at) = (way + leg, stop);
        }
        let back = if self.task.round_trip { self.metres[at][self.start()] } else { 0.0 };
        way + back + LATE_WEIGHT * lateness
    }

    /// From each place to the nearest one left.
    fn nearest_neighbour(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.start()).collect();
        let (mut order, mut at) = (Vec::with_capacity(left.len()), self.start());
        while !left.is_empty() {
            let by_distance = |a: &(usize, &usize), b: &(usize, &usize)| {
                self.metres[at][*a.1].total_cmp(&self.metres[at][*b.1]).then(a.1.cmp(b.1))
            };
            let nearest = left.iter().enumerate().min_by(by_distance).map_or(0, |(n, _)| n);
            at = left.swap_remove(nearest);
            order.push(at);
        }
        order
    }

    /// By the time at which they close, for those that do: a better beginning where the windows are narrow.
    fn by_closing(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.start()).collect();
        order.sort_by(|a, b| self.task.stops[*a].close.total_cmp(&self.task.stops[*b].close).then(a.cmp(b)));
        order
    }

    fn improve(&self, mut order: Vec<usize>) -> Vec<usize> {
        let mut best = self.cost(order.iter().copied());
        for _ in 0..MAX_PASSES {
            let before = best;
            self.two_opt(&mut order, &mut best);
            self.or_opt(&mut order, &mut best);
            if before - best <= GAIN {
                break;
            }
        }
        order
    }

    /// Turns every stretch around, and keeps what is shorter.
    fn two_opt(&self, order: &mut [usize], best: &mut f64) {
        for i in 0..order.len() {
            for j in i + 1..order.len() {
                order[i..=j].reverse();
                let cost = self.cost(order.iter().copied());
                match cost < *best - GAIN {
                    true => *best = cost,
                    false => order[i..=j].reverse(),
                }
            }
        }
    }

    /// Moves chains of one to three stops elsewhere, and keeps what is shorter.
    fn or_opt(&self, order: &mut Vec<usize>, best: &mut f64) {
        for length in 1..=3.min(order.len()) {
            for from in 0..=order.len() - length {
                let mut rest = order.clone();
                let chain: Vec<usize> = rest.drain(from..from + length).collect();
                for to in (0..=rest.len()).filter(|to| *to != from) {
                    let (head, tail) = rest.split_at(to);
                    let cost = self.cost(head.iter().chain(&chain).chain(tail).copied());
                    if cost < *best - GAIN {
                        *order = [head, &chain, tail].concat();
                        *best = cost;
                        break;
                    }
                }
            }
        }
    }
}

/// The best order that was found; never a costlier one than nearest neighbour gives.
pub fn plan(task: &Task) -> Plan {
    let map = Map::new(task);
    let mut best = map.walk(&map.improve(map.nearest_neighbour()));
    if task.stops.iter().any(|s| s.close.is_finite()) {
        let other = map.walk(&map.improve(map.by_closing()));
        if other.cost < best.cost {
            best = other;
        }
    }
    best
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
