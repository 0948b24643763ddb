//! The whole market: golden signals of the edge and of each service, events, orders and money.

use super::{Panel, Row};

const ALERTS: Panel = Panel(
    "Alerts",
    "What fires now; docs/operations/observe.md says what to do.",
    "none",
    &[(
        r#"count by (alertname, severity) (ALERTS{alertname=~"Jangteo.*", alertstate="firing", namespace=~"$namespace|"})"#,
        "{{alertname}} ({{severity}})",
    )],
);

pub const ROWS: &[Row] = &[
    Row(
        "Edge",
        &[
            Panel(
                "Requests",
                "A second, by HTTP status.",
                "reqps",
                &[(
                    r#"sum by (status) (rate(http_requests_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{status}}",
                )],
            ),
            Panel(
                "Failed requests",
                "Share of requests that failed through our fault.",
                "percentunit",
                &[(
                    r#"sum(route:http_errors:rate5m{namespace=~"$namespace"}) / (sum(route:http_calls:rate5m{namespace=~"$namespace"}) > 0)"#,
                    "failed",
                )],
            ),
            Panel(
                "Time to answer",
                "From the first byte in to the last byte out; streams last as long as their clients stay.",
                "s",
                &[
                    (
                        r#"histogram_quantile(0.5, sum by (le) (rate(http_request_duration_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#,
                        "half",
                    ),
                    (
                        r#"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#,
                        "99 %",
                    ),
                ],
            ),
            Panel(
                "In flight",
                "Requests being answered, and open WebSockets.",
                "none",
                &[
                    (r#"sum(http_requests_in_flight{namespace=~"$namespace"})"#, "requests"),
                    (r#"sum(websockets_open{namespace=~"$namespace"})"#, "WebSockets"),
                ],
            ),
            Panel(
                "Refused by limits",
                "Requests a second over their sender's limit, by kind of limit.",
                "reqps",
                &[(
                    r#"sum by (class) (rate(http_requests_limited_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{class}}",
                )],
            ),
            ALERTS,
        ],
    ),
    Row(
        "Services",
        &[
            Panel(
                "Calls",
                "gRPC calls a second that each service answers.",
                "reqps",
                &[(r#"sum by (app) (method:grpc_server_calls:rate5m{namespace=~"$namespace"})"#, "{{app}}")],
            ),
            Panel(
                "Failed calls",
                "Share of calls that failed through the service's fault.",
                "percentunit",
                &[(
                    r#"sum by (app) (method:grpc_server_errors:rate5m{namespace=~"$namespace"}) / (sum by (app) (method:grpc_server_calls:rate5m{namespace=~"$namespace"}) > 0)"#,
                    "{{app}}",
                )],
            ),
            Panel(
                "Slow calls",
                "Share of calls that took longer than their method promises.",
                "percentunit",
                &[(
                    r#"sum by (app) (method:grpc_server_slow:rate5m{namespace=~"$namespace"}) / (sum by (app) (method:grpc_server_calls:rate5m{namespace=~"$namespace"}) > 0)"#,
                    "{{app}}",
                )],
            ),
            Panel(
                "Time to answer, 99 %",
                "",
                "s",
                &[(
                    r#"histogram_quantile(0.99, sum by (service, le) (rate(grpc_server_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#,
                    "{{service}}",
                )],
            ),
            Panel(
                "Short of room",
                "Calls a second refused with RESOURCE_EXHAUSTED, and writes a second that ran again.",
                "ops",
                &[
                    (
                        r#"sum by (service) (rate(grpc_server_calls{code="RESOURCE_EXHAUSTED", namespace=~"$namespace"}[$__rate_interval]))"#,
                        "refused {{service}}",
                    ),
                    (
                        r#"sum by (service, cause) (rate(db_write_retries_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                        "again {{service}} {{cause}}",
                    ),
                ],
            ),
            Panel(
                "Processes",
                "That answer a scrape.",
                "none",
                &[(
                    r#"count by (app_kubernetes_io_name) (up{namespace=~"$namespace"} == 1)"#,
                    "{{app_kubernetes_io_name}}",
                )],
            ),
        ],
    ),
    Row(
        "Events",
        &[
            Panel(
                "Waiting for NATS",
                "Age of the oldest event that a service has stored and NATS has not acknowledged.",
                "s",
                &[(r#"max by (source) (bus_outbox_oldest_seconds{namespace=~"$namespace"})"#, "{{source}}")],
            ),
            Panel(
                "Waiting for consumers",
                "Events stored and not finished. On NATS the value of an idle consumer is its last one.",
                "none",
                &[(r#"max by (consumer) (bus_consumer_pending{namespace=~"$namespace"})"#, "{{consumer}}")],
            ),
            Panel(
                "Delivered",
                "Events a second.",
                "ops",
                &[(
                    r#"sum by (consumer) (rate(bus_delivered_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{consumer}}",
                )],
            ),
            Panel(
                "Time of a delivery, 99 %",
                "",
                "s",
                &[(
                    r#"histogram_quantile(0.99, sum by (consumer, le) (rate(bus_delivery_seconds_bucket{namespace=~"$namespace"}[$__rate_interval])))"#,
                    "{{consumer}}",
                )],
            ),
            Panel(
                "Tried again",
                "Tries a second that came to nothing.",
                "ops",
                &[(
                    r#"sum by (consumer) (rate(bus_retries_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{consumer}}",
                )],
            ),
            Panel(
                "Dead letters",
                "Given up since the processes started.",
                "none",
                &[(r#"sum by (consumer) (bus_dead_letters_total{namespace=~"$namespace"})"#, "{{consumer}}")],
            ),
        ],
    ),
    Row(
        "Orders and money",
        &[
            Panel(
                "Orders",
                "What happens to orders, a minute.",
                "opm",
                &[(
                    r#"60 * sum by (type) (rate(db_events_total{service="order", namespace=~"$namespace"}[5m]))"#,
                    "{{type}}",
                )],
            ),
            Panel(
                "Failed steps of orders",
                "A minute; each is tried again.",
                "opm",
                &[(r#"60 * sum by (step) (rate(order_saga_failures_total{namespace=~"$namespace"}[5m]))"#, "{{step}}")],
            ),
            Panel(
                "Payments",
                "What happens to payments and wallets, a minute.",
                "opm",
                &[(
                    r#"60 * sum by (type) (rate(db_events_total{service="payment", namespace=~"$namespace"}[5m]))"#,
                    "{{type}}",
                )],
            ),
            Panel(
                "Providers",
                "Calls a second by outcome.",
                "ops",
                &[(
                    r#"sum by (provider, outcome) (rate(payment_provider_seconds_count{namespace=~"$namespace"}[5m]))"#,
                    "{{provider}} {{outcome}}",
                )],
            ),
            Panel(
                "Providers' health",
                "Share of failures as the router of charges sees it, and whether it avoids the provider.",
                "percentunit",
                &[
                    (
                        r#"max by (provider) (payment_provider_failure_rate{namespace=~"$namespace"})"#,
                        "{{provider}} fails",
                    ),
                    (
                        r#"max by (provider) (payment_provider_breaker_open{namespace=~"$namespace"})"#,
                        "{{provider}} avoided",
                    ),
                ],
            ),
            Panel(
                "Differences",
                "Lines in which a provider's statement and the ledger differ, and webhooks, since the processes started.",
                "none",
                &[
                    (
                        r#"sum by (provider, kind) (payment_discrepancies_total{namespace=~"$namespace"})"#,
                        "{{provider}} {{kind}}",
                    ),
                    (
                        r#"sum by (provider, outcome) (payment_webhooks_total{namespace=~"$namespace"})"#,
                        "webhooks {{provider}} {{outcome}}",
                    ),
                ],
            ),
        ],
    ),
    Row(
        "The rest",
        &[
            Panel(
                "Until it can be found, 95 %",
                "From the fact to the search index.",
                "s",
                &[(
                    r#"histogram_quantile(0.95, sum by (kind, le) (rate(search_index_lag_seconds_bucket{namespace=~"$namespace"}[5m])))"#,
                    "{{kind}}",
                )],
            ),
            Panel(
                "Cache",
                "Look-ups a second, by what answered.",
                "ops",
                &[(
                    r#"sum by (tier) (rate(cache_requests_total{namespace=~"$namespace"}[$__rate_interval]))"#,
                    "{{tier}}",
                )],
            ),
            Panel(
                "Jobs that did not end well",
                "A minute.",
                "opm",
                &[(
                    r#"60 * sum by (service, job, outcome) (rate(job_seconds_count{outcome!="done", namespace=~"$namespace"}[5m]))"#,
                    "{{service}} {{job}} {{outcome}}",
                )],
            ),
            Panel(
                "Notices",
                "Attempts a minute to reach people, by outcome.",
                "opm",
                &[(
                    r#"60 * sum by (provider, outcome) (rate(notification_attempts_total{namespace=~"$namespace"}[5m]))"#,
                    "{{provider}} {{outcome}}",
                )],
            ),
            Panel(
                "Links",
                "1: up. Tokens are verified with fresh keys; Redis answers.",
                "none",
                &[
                    (r#"min(auth_feed_up{namespace=~"$namespace"})"#, "tokens"),
                    (r#"min(cache_redis_up{namespace=~"$namespace"})"#, "Redis"),
                ],
            ),
            Panel(
                "Searches, 99 %",
                "",
                "s",
                &[(
                    r#"histogram_quantile(0.99, sum by (kind, le) (rate(search_seconds_bucket{namespace=~"$namespace"}[5m])))"#,
                    "{{kind}}",
                )],
            ),
        ],
    ),
];
