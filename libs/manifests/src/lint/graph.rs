//! What follows along calls. Which method calls which is not written down anywhere, so both rules take what the declared
//! callers allow:
//!
//! - A callee's route may wait no longer than the longest method of each declared caller, which is the most that any call
//!   can have left; a stream, having no deadline, waits long enough for anything. A finding is certainly a defect; the
//!   reverse does not hold: a short method may still call a slow one, and then the caller's own deadline ends both.
//! - Retries multiply: a call that three services on the way each try three times arrives 27 times. Along every path that
//!   the declared callers allow, from the edge and without a service twice, the product stays below [`BOUND`]. A service
//!   counts with its retry budget (a share of the calls under way, which is what matters under load), or, without one,
//!   with the most attempts of the methods that the caller may call.

use super::{
    GATEWAY, Report, Truth,
    objects::{Object, Objects, same_host, text_of},
    routes,
};
use std::time::Duration;

/// Calls that one call at the edge may become at the end of a path, while everything fails.
const BOUND: f64 = 5.0;

pub fn check(truth: &Truth, objects: &Objects, report: &mut Report) {
    deadlines(truth, objects, report);
    let mut path = vec![GATEWAY];
    let mut worst = (1.0, Vec::new());
    walk(truth, objects, &mut path, 1.0, &mut worst);
    if worst.0 <= BOUND {
        return;
    }
    // One finding for all paths, at the service that multiplies most on the worst.
    let steps = worst.1.windows(2).map(|w| (w[1], factor(truth, objects, w[0], w[1])));
    let Some((service, times)) = steps.max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
    let what = format!(
        "a call may arrive {:.0} times along {}, where {BOUND} is the most: {service} alone makes {times:.1} of one; \
         give it a retryBudget or fewer attempts",
        worst.0,
        worst.1.join(" > ")
    );
    match rule_of(objects, service) {
        Some(rule) => report.add(rule, "spec.trafficPolicy.retryBudget", "retry-amplification", what),
        None => report.missing(format!("DestinationRule {service}"), "retry-amplification", what),
    }
}

fn deadlines(truth: &Truth, objects: &Objects, report: &mut Report) {
    for callee in truth.methods.values().filter(|m| !m.streaming) {
        let Some((vs, i, route)) = routes::route_of(objects, callee) else { continue };
        let Some(waits) = routes::timeout(route) else { continue };
        for caller in truth.callers(callee) {
            let Some(longest) = longest(truth, caller) else { continue };
            if longest < waits {
                let what = format!(
                    "waits {waits:?} for {}, and no method of its caller {caller} may take longer than {longest:?}: \
                     lower the callee's deadline or raise the caller's in the proto",
                    callee.path
                );
                report.add(vs, format!("spec.http[{i}].timeout"), "deadline-chain", what);
            }
        }
    }
}

/// The longest deadline of a service's methods; none: it has a stream, or nothing that would limit it.
fn longest(truth: &Truth, service: &str) -> Option<Duration> {
    let deadlines: Option<Vec<Duration>> = truth.of(service).map(|m| m.timeout.filter(|_| !m.streaming)).collect();
    deadlines?.into_iter().max()
}

fn walk<'a>(
    truth: &'a Truth,
    objects: &Objects,
    path: &mut Vec<&'a str>,
    product: f64,
    worst: &mut (f64, Vec<&'a str>),
) {
    if product > worst.0 {
        *worst = (product, path.clone());
    }
    let caller = path[path.len() - 1];
    for callee in truth.callees_of(caller) {
        if !path.contains(&callee) {
            path.push(callee);
            walk(truth, objects, path, product * factor(truth, objects, caller, callee), worst);
            path.pop();
        }
    }
}

/// How many calls arrive at `callee` for one of `caller`.
fn factor(truth: &Truth, objects: &Objects, caller: &str, callee: &str) -> f64 {
    let methods = truth.of(callee).filter(|m| truth.callers(m).contains(caller));
    let attempts = methods.filter_map(|m| routes::route_of(objects, m)?.2["retries"]["attempts"].as_u64()).max();
    let tries = 1.0 + attempts.unwrap_or(0) as f64;
    let budget = rule_of(objects, callee).and_then(|r| r.spec()["trafficPolicy"]["retryBudget"]["percent"].as_f64());
    budget.map_or(tries, |percent| tries.min(1.0 + percent / 100.0))
}

fn rule_of<'a>(objects: &'a Objects, service: &str) -> Option<&'a Object> {
    let of = |r: &&Object| text_of(&r.spec()["host"]).is_some_and(|h| same_host(h, service, &r.namespace));
    objects.all.iter().filter(|o| o.kind == "DestinationRule").find(of)
}
