//! One service, `$service`: its methods, its stores and events, its pods.

use super::{Panel, Row};

pub const ROWS: &[Row] = &[
    Row(
        "Calls",
        &[
            Panel(
                "Calls",
                "A second, by method.",
                "reqps",
                &[(
                    r#"sum by (method) (method:grpc_server_calls:rate5m{app="$service", namespace=~"$namespace"})"#,
                    "{{method}}",
                )],
            ),
            Panel(
                "Failed calls",
                "Share of calls that failed through the service's fault.",
                "percentunit",
                &[(
                    r#"max by (method) (method:grpc_server_errors:ratio_rate5m{app="$service", namespace=~"$namespace"})"#,
                    "{{method}}",
                )],
            ),
            Panel(
                "Slow calls",
                "Share of calls that took longer than their method promises.",
                "percentunit",
                &[(
                    r#"max by (method, within) (method:grpc_server_slow:ratio_rate5m{app="$service", namespace=~"$namespace"})"#,
                    "{{method}} over {{within}}",
                )],
            ),
            Panel(
                "Failed calls, 3 days",
                "What the objective is about. Its alerts also look at 1 h, 6 h and 1 d.",
                "percentunit",
                &[(
                    r#"max by (method) (method:grpc_server_errors:ratio_rate3d{app="$service", namespace=~"$namespace"})"#,
                    "{{method}}",
                )],
            ),
            Panel(
                "Time to answer, 99 %",
                "",
                "s",
                &[(
                    r#"histogram_quantile(0.99, sum by (method, le) (rate(grpc_server_seconds_bucket{service=~"jangteo[.]$service[.].*", namespace=~"$namespace"}[$__rate_interval])))"#,
                    "{{method}}",
                )],
            ),
            Panel(
                "Codes",
                "Answers a second.",
                "reqps",
                &[(
                    r#"sum by (code) (rate(grpc_server_calls{service=~"jangteo[.]$service[.].*", namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{code}}",
                )],
            ),
        ],
    ),
    Row(
        "Stores and events",
        &[
            Panel(
                "Writes",
                "Transactions a second; an error may be a refusal.",
                "ops",
                &[(
                    r#"sum by (outcome) (rate(db_write_seconds_count{service="$service", namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{outcome}}",
                )],
            ),
            Panel(
                "Time of a write, 99 %",
                "",
                "s",
                &[(
                    r#"histogram_quantile(0.99, sum by (outcome, le) (rate(db_write_seconds_bucket{service="$service", namespace=~"$namespace"}[$__rate_interval])))"#,
                    "{{outcome}}",
                )],
            ),
            Panel(
                "Writes that ran again, and repeated requests",
                "A second.",
                "ops",
                &[
                    (
                        r#"sum by (cause) (rate(db_write_retries_total{service="$service", namespace=~"$namespace"}[$__rate_interval]))"#,
                        "again: {{cause}}",
                    ),
                    (
                        r#"sum(rate(db_write_replays_total{service="$service", namespace=~"$namespace"}[$__rate_interval]))"#,
                        "repeated request",
                    ),
                ],
            ),
            Panel(
                "Events it emits",
                "A second.",
                "ops",
                &[(
                    r#"sum by (type) (rate(db_events_total{service="$service", namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{type}}",
                )],
            ),
            Panel(
                "Events it consumes",
                "A second, and how many wait.",
                "ops",
                &[
                    (
                        r#"sum by (consumer, outcome) (rate(bus_delivered_total{consumer=~"$service[.].*", namespace=~"$namespace"}[$__rate_interval]))"#,
                        "{{consumer}} {{outcome}}",
                    ),
                    (
                        r#"max by (consumer) (bus_consumer_pending{consumer=~"$service[.].*", namespace=~"$namespace"})"#,
                        "{{consumer}} waiting",
                    ),
                ],
            ),
            Panel(
                "Jobs, mean time",
                "",
                "s",
                &[(
                    r#"sum by (job, outcome) (rate(job_seconds_sum{service="$service", namespace=~"$namespace"}[5m])) / (sum by (job, outcome) (rate(job_seconds_count{service="$service", namespace=~"$namespace"}[5m])) > 0)"#,
                    "{{job}} {{outcome}}",
                )],
            ),
        ],
    ),
    Row(
        "Pods",
        &[
            Panel(
                "CPU",
                "Cores, by pod.",
                "none",
                &[(
                    r#"sum by (pod) (rate(container_cpu_usage_seconds_total{pod=~"$service-.*", container="jangteo", namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{pod}}",
                )],
            ),
            Panel(
                "Memory",
                "Working set, by pod.",
                "bytes",
                &[(
                    r#"sum by (pod) (container_memory_working_set_bytes{pod=~"$service-.*", container="jangteo", namespace=~"$namespace"})"#,
                    "{{pod}}",
                )],
            ),
            Panel(
                "Calls by version",
                "A canary beside what is stable.",
                "reqps",
                &[(
                    r#"sum by (version, code) (rate(grpc_server_calls{service=~"jangteo[.]$service[.].*", namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{version}} {{code}}",
                )],
            ),
        ],
    ),
];
