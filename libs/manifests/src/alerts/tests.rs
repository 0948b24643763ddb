use super::*;
use proto::policy;

fn policy_of(path: &str) -> Policy {
    policy::policies(proto::pool()).unwrap().remove(path).unwrap()
}

fn objectives(latency_ms: u32) -> Objectives {
    Objectives { availability: 0.999, latency_ms, latency_share: 0.99 }
}

#[test]
fn a_promise_lies_below_the_deadline_and_is_a_bound_of_the_histogram() {
    let mut method = policy_of("/jangteo.order.v1.OrderService/GetOrder");
    let mut promise = |deadline: Option<f64>, latency_ms| {
        method.timeout = deadline.map(Duration::from_secs_f64);
        super::promise(&method, &objectives(latency_ms)).map(|(bound, _)| bound)
    };
    assert_eq!(promise(Some(3.0), 500), Some("0.5"));
    assert_eq!(promise(Some(3.0), 2000), Some("2.5"), "the next bound");
    assert_eq!(promise(Some(2.0), 2000), Some("1"), "a call that ends at the deadline has failed already");
    assert_eq!(promise(Some(1.0), 1000), Some("0.5"));
    assert_eq!(promise(Some(10.0), 500), Some("5"), "slow by nature");
    assert_eq!(promise(Some(180.0), 500), Some("10"), "the largest bound there is");
    assert_eq!(promise(None, 500), None);
    assert_eq!(super::promise(&policy_of("/jangteo.media.v1.MediaService/UploadMedia"), &objectives(500)), None);
}

#[test]
fn budgets_are_written_as_people_do() {
    let budget = |objective: f64| trimmed(1.0 - objective);
    assert_eq!([0.999, 0.9995, 0.99, 0.995].map(budget), ["0.001", "0.0005", "0.01", "0.005"]);
}

/// The metrics' own `service` and `job` are meant, and `up` is asked for by the service's name.
#[test]
fn what_scrapes_leaves_our_labels_alone_and_names_the_service() {
    let unit = |size| Unit { name: "order".into(), methods: vec![], size, canary: None, external: vec![] };
    let sizing = crate::Sizing::parse(include_str!("../../../../k8s/sizing.toml")).unwrap();
    let monitor = crate::network::monitor(&unit(sizing.of("order").unwrap()));
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["honorLabels"], true);
    assert_eq!(
        monitor["spec"]["podTargetLabels"][0], "app.kubernetes.io/name",
        "`up` has the label app_kubernetes_io_name"
    );
}
