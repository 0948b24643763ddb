//! Grafana's dashboards: one of the whole market, one of any service by a variable. Small, so that they can be read and
//! compared: what Grafana fills in by itself is left out. Ids follow the order of the panels, uids are fixed.
//!
//! Every query is asked against a running market by `scripts/monitoring/check`.

mod overview;
mod service;

use crate::{
    files::{File, MARK},
    model::Model,
};
use serde_json::{Value, json};

/// Panels stand three in a row.
const WIDTH: u32 = 8;
const HEIGHT: u32 = 7;

pub fn files(_: &Model) -> Vec<File> {
    let dashboard = |name: &str, content| File::json(format!("monitoring/dashboards/{name}.json"), content);
    vec![dashboard("overview", market()), dashboard("service", any_service())]
}

/// A graph: a title, what it tells, its unit (Grafana's name of it), queries with their legends.
struct Panel(&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Graphs under a heading.
struct Row(&'static str, &'static [Panel]);

fn market() -> Value {
    dashboard("jangteo-overview", "Jangteo: the market", overview::ROWS, vec![])
}

fn any_service() -> Value {
    let variable = json!({
        "name": "service",
        "type": "query",
        "label": "Service",
        "datasource": source(),
        "query": {"query": "label_values(method:grpc_server_calls:rate5m, app)", "refId": "service"},
        "refresh": 2,
        "sort": 1,
    });
    dashboard("jangteo-service", "Jangteo: a service", service::ROWS, vec![variable])
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn dashboard(uid: &str, title: &str, rows: &[Row], variables: Vec<Value>) -> Value {
    let mut list = vec![
        json!({"name": "datasource", "type": "datasource", "label": "Prometheus", "query": "prometheus"}),
        json!({
            "name": "namespace",
            "type": "query",
            "label": "Namespace",
            "datasource": source(),
            "query": {"query": "label_values(grpc_server_calls, namespace)", "refId": "namespace"},
            "refresh": 2,
            "includeAll": true,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }),
    ];
    list.extend(variables);
    json!({
        "uid": uid,
        "title": title,
        "description": format!("{MARK} from libs/manifests/src/dashboards.rs."),
        "tags": ["jangteo"],
        "schemaVersion": 39,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list},
        "panels": panels(rows),
    })
}

fn panels(rows: &[Row]) -> Vec<Value> {
    let (mut all, mut y) = (Vec::new(), 0);
    for Row(title, graphs) in rows {
        let id = all.len() + 1;
        all.push(json!({"id": id, "type": "row", "title": title, "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}}));
        y += 1;
        for line in graphs.chunks(3) {
            for (x, graph) in (0..).step_by(WIDTH as usize).zip(line) {
                let id = all.len() + 1;
                all.push(panel(id, graph, json!({"x": x, "y": y, "w": WIDTH, "h": HEIGHT})));
            }
            y += HEIGHT;
        }
    }
    all
}

fn panel(id: usize, Panel(title, description, unit, queries): &Panel, place: Value) -> Value {
    let target = |(letter, (expr, legend)): (char, &(&str, &str))| {
        let id = letter.to_string();
        json!({"refId": id, "datasource": source(), "expr": expr, "legendFormat": legend})
    };
    let mut panel = json!({
        "id": id,
        "type": "timeseries",
        "title": title,
        "gridPos": place,
        "datasource": source(),
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": ('A'..).zip(queries.iter()).map(target).collect::<Vec<_>>(),
    });
    if !description.is_empty() {
        panel["description"] = json!(description);
    }
    panel
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_panels_do_not_overlap_and_everything_asks_the_chosen_source() {
        for dashboard in [market(), any_service()] {
            let panels = dashboard["panels"].as_array().unwrap();
            let ids: BTreeSet<_> = panels.iter().map(|p| p["id"].as_u64().unwrap()).collect();
            assert_eq!(ids.len(), panels.len());
            let mut taken = BTreeSet::new();
            for p in panels {
                let at = |k: &str| p["gridPos"][k].as_u64().unwrap();
                for (x, y) in
                    (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
                {
                    assert!(x < 24 && taken.insert((x, y)), "{}", p["title"]);
                }
                for target in p["targets"].as_array().into_iter().flatten() {
                    assert_eq!(target["datasource"]["uid"], "${datasource}");
                    assert!(target["expr"].as_str().unwrap().contains("namespace=~\"$namespace"), "{target}");
                }
            }
        }
    }
}
