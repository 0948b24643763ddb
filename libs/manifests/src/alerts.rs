//! Objectives as Prometheus rules: what each method may fail and how slow it may be, and alerts on how fast that
//! allowance is used up. <https://sre.google/workbook/alerting-on-slos/>, "multiwindow, multi-burn-rate alerts".
//!
//! Recorded for each method, with the label `app`, the service's short name:
//!
//! | series | |
//! | --- | --- |
//! | `method:grpc_server_calls:rate5m` | calls a second |
//! | `method:grpc_server_errors:rate5m` | of these, failed through our fault |
//! | `method:grpc_server_slow:rate5m` | of these, later than promised; labels `within`, the promise, and `deadline` |
//! | `method:grpc_server_{errors,slow}:ratio_rate{5m,…}` | their share of the calls, over each of the [`WINDOWS`] |
//!
//! The edge has the same by route, from `http_requests_total`: its codes are numbers, and its 405 carries UNIMPLEMENTED, which
//! there is the client's fault. How late the edge answers is up to the services behind it, whose promises are kept here.
//!
//! The metrics' own `service` and `job` labels are meant, so whatever scrapes has to honour labels (`honorLabels: true`).

use crate::{
    files::{self, File},
    inputs::Objectives,
    model::{GATEWAY, Model, NAMESPACE, Unit, method_name},
    workload::metadata,
};
use proto::policy::Policy;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Codes that are the service's fault. A full house (RESOURCE_EXHAUSTED) is an answer, and has an alert of its own.
const FAULTS: &str = "UNAVAILABLE|INTERNAL|UNKNOWN|DATA_LOSS|DEADLINE_EXCEEDED|UNIMPLEMENTED";
/// The same as the edge counts them, without UNIMPLEMENTED.
const EDGE_FAULTS: &str = "2|4|13|14|15";

/// Upper bounds of the histograms, as `libs/kit/src/telemetry.rs` sets them and `/metrics` prints them.
/// `scripts/monitoring/check` fails on one that is not there.
const BOUNDS: [(&str, u64); 14] = [
    ("0.0005", 500),
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
];

/// A file as Prometheus itself reads it.
const BY_HAND: &str = "monitoring/rules.yaml";

/// Windows over which shares are recorded.
const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// An alert when an allowance of 30 days is used up `factor` times as fast as it may, over both windows.
struct Burn {
    factor: &'static str,
    long: &'static str,
    seconds: u32,
    short: &'static str,
    severity: &'static str,
}

const BURNS: [Burn; 4] = [
    Burn { factor: "14.4", long: "1h", seconds: 3_600, short: "5m", severity: "page" },
    Burn { factor: "6", long: "6h", seconds: 21_600, short: "30m", severity: "page" },
    Burn { factor: "3", long: "1d", seconds: 86_400, short: "2h", severity: "ticket" },
    Burn { factor: "1", long: "3d", seconds: 259_200, short: "6h", severity: "ticket" },
];

/// One failure among three calls of a quiet night calls nobody: so many there have to be in the long window.
const LEAST: u32 = 10;

/// A method that may take longer than others is slow by nature: it promises half its deadline.
const SLOW: Duration = Duration::from_secs(5);

pub fn files(model: &Model) -> Vec<File> {
    let mut files = vec![file("objectives", json!([{"name": "objectives", "rules": shares()}]))];
    files.extend(by_hand(model));
    files.extend(model.units.iter().map(|unit| {
        let name = &unit.name;
        let counted = json!({"name": format!("{name}-counts"), "rules": records(unit)});
        let watched = json!({"name": format!("{name}-alerts"), "rules": alerts(unit)});
        file(name, json!([counted, watched]))
    }));
    files
}

/// What is the same for every service is written by hand; here it only gets to where all objects are.
fn by_hand(model: &Model) -> Option<File> {
    let rules = files::parse(model.inputs.hand.get(BY_HAND)?).unwrap_or_else(|e| panic!("{BY_HAND}: {e}"));
    Some(
        file("market", rules.first()?["groups"].clone())
            .comment(vec![format!("Copied from {BY_HAND}, which says why.")]),
    )
}

fn file(name: &str, groups: Value) -> File {
    let rule = json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(name, name),
        "spec": {"groups": groups},
    });
    File::yaml(format!("k8s/components/monitoring/services/{name}-rules.yaml"), vec![rule])
}

/// The shares of calls over each window, of every service at once; from recorded rates, which cost little and outlive the
/// pods that were counted.
fn shares() -> Vec<Value> {
    let mut rules = Vec::new();
    for (prefix, by) in [SERVICE, EDGE] {
        for kind in kinds(prefix) {
            rules.extend(WINDOWS.map(|window| {
                let over = |name: &str| match window {
                    "5m" => format!("{prefix}_{name}:rate5m"),
                    longer => format!("avg_over_time({prefix}_{name}:rate5m[{longer}])"),
                };
                let expr = format!("{}\n/ on (app, {by}) group_left ()\n({} > 0)", over(kind), over("calls"));
                json!({"record": format!("{prefix}_{kind}:ratio_rate{window}"), "expr": expr})
            }));
        }
    }
    rules
}

/// What the recorded names begin with, and the labels by which calls are kept apart.
type Level = (&'static str, &'static str);
const SERVICE: Level = ("method:grpc_server", "namespace, service, method");
const EDGE: Level = ("route:http", "namespace, method, route");

/// What calls are counted by: series of the edge and of services differ in names and labels only.
struct Signal {
    app: String,
    level: Level,
}

impl Signal {
    fn of(unit: &Unit) -> Signal {
        Signal { app: unit.name.clone(), level: if unit.is_gateway() { EDGE } else { SERVICE } }
    }
    fn record(&self, name: &str, expr: String) -> Value {
        json!({"record": format!("{}_{name}:rate5m", self.level.0), "expr": expr, "labels": {"app": self.app}})
    }
    fn rate(&self, metric: &str, selector: &str) -> String {
        format!("sum by ({}) (rate({metric}{{{selector}}}[5m]))", self.level.1)
    }
    fn recorded(&self, name: &str) -> String {
        format!("{}_{name}{{app=\"{}\"}}", self.level.0, self.app)
    }
}

/// What is promised: that few calls fail, and, where there are deadlines, that few are slow.
fn kinds(prefix: &str) -> &'static [&'static str] {
    if prefix == EDGE.0 { &["errors"] } else { &["errors", "slow"] }
}

fn records(unit: &Unit) -> Vec<Value> {
    let signal = Signal::of(unit);
    let (counter, selector, faults) = match unit.is_gateway() {
        // Whoever looks for what isn't there gets what they ask for.
        true => ("http_requests_total", "route!=\"unmatched\"".to_owned(), EDGE_FAULTS),
        false => ("grpc_server_calls", services(&unit.methods), FAULTS),
    };
    let calls = signal.rate(counter, &selector);
    let errors = signal.rate(counter, &format!("{selector}, code=~\"{faults}\""));
    let mut rules = vec![
        signal.record("calls", calls.clone()),
        // A code that never occurred has no series, and no share of zero either.
        signal.record("errors", format!("{errors}\nor 0 * {calls}")),
    ];
    rules.extend(slow(unit, &signal));
    rules
}

fn services(methods: &[Policy]) -> String {
    let mut names: Vec<_> = methods.iter().filter_map(|m| m.path.trim_start_matches('/').split('/').next()).collect();
    names.dedup();
    match names[..] {
        [name] => format!("service=\"{name}\""),
        _ => format!("service=~\"{}\"", names.join("|").replace('.', "[.]")),
    }
}

/// The bound that counts for a method, and its deadline. A stream takes as long as its client likes.
fn promise(method: &Policy, objectives: &Objectives) -> Option<(&'static str, Duration)> {
    let deadline = method.timeout.filter(|_| !method.streaming)?;
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let bound = match deadline > SLOW {
        true => BOUNDS.iter().rfind(|(_, b)| *b <= micros(deadline / 2)),
        false => {
            let mut below = BOUNDS.iter().filter(|(_, b)| *b < micros(deadline));
            let wanted = below.clone().find(|(_, b)| *b >= u64::from(objectives.latency_ms) * 1000);
            wanted.or_else(|| below.next_back())
        }
    };
    bound.map(|(text, _)| (*text, deadline))
}

/// One rule for all methods with the same promise.
fn slow(unit: &Unit, signal: &Signal) -> Vec<Value> {
    let mut alike: BTreeMap<(Duration, &str), Vec<&str>> = BTreeMap::new();
    for method in &unit.methods {
        if let Some((bound, deadline)) = promise(method, &unit.size.objectives) {
            alike.entry((deadline, bound)).or_default().push(method_name(method));
        }
    }
    let rule = |((deadline, bound), names): ((Duration, &str), Vec<&str>)| {
        let selector = format!("{}, method=~\"{}\"", services(&unit.methods), names.join("|"));
        // Prometheus 3 writes 1 as 1.0.
        let le = if bound.contains('.') { format!("le=\"{bound}\"") } else { format!("le=~\"{bound}([.]0)?\"") };
        let all = signal.rate("grpc_server_seconds_count", &selector);
        let quick = signal.rate("grpc_server_seconds_bucket", &format!("{selector}, {le}"));
        let mut rule = signal.record("slow", format!("{all}\n- {quick}"));
        rule["labels"]["within"] = json!(format!("{bound}s"));
        rule["labels"]["deadline"] = json!(format!("{}s", deadline.as_secs_f64()));
        rule
    };
    alike.into_iter().map(rule).collect()
}

fn alerts(unit: &Unit) -> Vec<Value> {
    let signal = Signal::of(unit);
    let o = &unit.size.objectives;
    let mut rules = Vec::new();
    for kind in kinds(signal.level.0) {
        let objective = if *kind == "errors" { o.availability } else { o.latency_share };
        rules.extend(BURNS.iter().map(|burn| alert(&signal, kind, objective, burn)));
    }
    rules.push(json!({
        "alert": "JangteoServiceDown",
        "expr": format!("absent(up{{namespace=\"{NAMESPACE}\", app_kubernetes_io_name=\"{}\"}} == 1)", unit.name),
        "for": "2m",
        "labels": {"app": unit.name, "severity": "page"},
        "annotations": {
            "summary": format!("No pod of {} answers", unit.name),
            "runbook": runbook("JangteoServiceDown"),
        },
    }));
    rules
}

fn alert(signal: &Signal, kind: &str, objective: f64, burn: &Burn) -> Value {
    let Burn { factor, long, seconds, short, severity } = burn;
    let allowed = trimmed(1.0 - objective);
    let share = |window| signal.recorded(&format!("{kind}:ratio_rate{window}"));
    let expr = format!(
        "{} > {factor} * {allowed}\nand {} > {factor} * {allowed}\nand avg_over_time({}[{long}]) * {seconds} >= {LEAST}",
        share(long),
        share(short),
        signal.recorded(&format!("{kind}:rate5m")),
    );
    let what = if signal.app == GATEWAY { "{{ $labels.method }} {{ $labels.route }}" } else { "{{ $labels.method }}" };
    let (name, text) = match kind {
        "errors" => ("JangteoErrorBudgetBurn", "of the calls failed".to_owned()),
        _ => ("JangteoLatencyBudgetBurn", "of the calls took over {{ $labels.within }}".to_owned()),
    };
    let promised = format!("{} % are allowed", trimmed((1.0 - objective) * 100.0));
    json!({
        "alert": name,
        "expr": expr,
        "labels": {"severity": severity, "window": long},
        "annotations": {
            "summary": format!("{} {what}: {{{{ $value | humanizePercentage }}}} {text} in {long}; {promised}", signal.app),
            "runbook": runbook(name),
        },
    })
}

fn runbook(alert: &str) -> String {
    format!("docs/operations/observe.md#{}", alert.to_lowercase())
}

/// Without the noise of binary fractions: 0.001 for 1 - 0.999.
fn trimmed(n: f64) -> String {
    format!("{n:.6}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
