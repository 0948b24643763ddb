"""Reading manifests strictly, and what Envoy is told, on a service of the test's own."""

import copy
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from meshrig import envoy_auth, envoy_parts, model, network, translate  # noqa: E402
from meshrig.certs import Files  # noqa: E402
from meshrig.fields import Unknown, seconds  # noqa: E402
from meshrig.pods import Pod  # noqa: E402

LABELS = {"app.kubernetes.io/name": "shop", "version": "stable"}
HOST = "shop.jangteo.svc.cluster.local"


def of(kind, spec, name="shop", api="networking.istio.io/v1"):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "jangteo"}, "spec": spec}


def documents():
    container = {"name": "shop", "args": ["serve", "shop"], "ports": [{"name": "grpc-api", "containerPort": 50051}]}
    pod = {"serviceAccountName": "shop", "containers": [container]}
    route = {
        "name": "Buy", "match": [{"uri": {"exact": "/shop.Shop/Buy"}}], "timeout": "1.25s",
        "retries": {"attempts": 2, "perTryTimeout": "500ms", "retryOn": "unavailable,reset"},
        "route": [{"destination": {"host": "shop", "subset": "stable"}, "weight": 90}, {"destination": {"host": "shop", "subset": "canary"}, "weight": 10}],
    }
    subsets = [{"name": v, "labels": {"version": v}} for v in ("stable", "canary")]
    return {
        "deployment": of("Deployment", {"template": {"metadata": {"labels": LABELS}, "spec": pod}}, api="apps/v1"),
        "service": of("Service", {"selector": {"app.kubernetes.io/name": "shop"}, "ports": [{"name": "grpc-api", "port": 50051}]}, api="v1"),
        "virtual": of("VirtualService", {"hosts": ["shop"], "http": [route]}),
        "rule": of("DestinationRule", {"host": HOST, "subsets": subsets, "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}, "outlierDetection": {
            "consecutive5xxErrors": 0, "consecutiveGatewayErrors": 5, "maxEjectionPercent": 50}, "retryBudget": {"percent": 20.0, "minRetryConcurrency": 3}}}),
        "policy": of("AuthorizationPolicy", {"selector": {"matchLabels": {"app.kubernetes.io/name": "shop"}}, "rules": [{
            "from": [{"source": {"principals": ["cluster.local/ns/jangteo/sa/cart"]}}], "to": [{"operation": {"paths": ["/shop.Shop/Buy"]}}]}]}),
        "peers": of("PeerAuthentication", {"mtls": {"mode": "STRICT"}}),
    }


class Case(unittest.TestCase):
    def read(self, given):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "istio").mkdir()
            (Path(folder) / "istio" / "all.yaml").write_text(yaml.safe_dump_all(given.values()))
            return model.read(folder)

    def translator(self, given):
        return translate.Translator(self.read(given), translate.Net(10), {}, lambda _: ["spiffe://x"], [])

    def pod(self):
        pod = Pod.__new__(Pod)
        pod.name, pod.number, pod.namespace, pod.labels, pod.ports, pod.log = "shop", 1, "jangteo", LABELS, {"grpc-api": 50051}, "/dev/null"
        pod.certs = Files(Path("c"), Path("k"), Path("a"))
        return pod


class Strict(Case):
    def test_a_field_that_nobody_knows_is_an_error(self):
        places = {
            "virtual": [["spec"], ["spec", "http", 0], ["spec", "http", 0, "retries"], ["spec", "http", 0, "match", 0], ["spec", "http", 0, "route", 0, "destination"]],
            "rule": [["spec"], ["spec", "trafficPolicy"], ["spec", "trafficPolicy", "outlierDetection"], ["spec", "subsets", 0]],
            "policy": [["spec"], ["spec", "rules", 0], ["spec", "rules", 0, "from", 0, "source"], ["spec", "rules", 0, "to", 0, "operation"]],
            "peers": [["spec"], ["spec", "mtls"]],
            "service": [["spec"], ["spec", "ports", 0]],
        }
        self.read(documents())
        for name, paths in places.items():
            for path in paths:
                given = copy.deepcopy(documents())
                at = given[name]
                for step in path:
                    at = at[step]
                at["somethingNew"] = 1
                with self.assertRaises(Unknown, msg=f"{name}: {path}") as raised:
                    self.read(given)
                self.assertIn("somethingNew", str(raised.exception))

    def test_a_kind_that_nobody_knows_is_an_error(self):
        with self.assertRaises(Unknown):
            self.read(documents() | {"new": of("WasmPlugin", {})})

    def test_durations(self):
        self.assertEqual([seconds(t, "") for t in ("1.25s", "500ms", "1m30s", "0s")], [1.25, 0.5, 90, 0])
        with self.assertRaises(Unknown):
            seconds("1 s", "")


class Routes(Case):
    def route(self, **changes):
        given = documents()
        for key, value in changes.items():
            if value is None:
                given["virtual"]["spec"]["http"][0].pop(key)
            else:
                given["virtual"]["spec"]["http"][0][key] = value
        listeners, clusters = self.translator(given).outbound(self.pod())
        manager = listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
        return manager["route_config"]["virtual_hosts"][0]["routes"][0], {c["name"]: c for c in clusters}

    def test_timeouts_retries_and_weights(self):
        route, clusters = self.route()
        action = route["route"]
        self.assertEqual(route["match"], {"path": "/shop.Shop/Buy"})
        self.assertEqual((action["timeout"], action["max_grpc_timeout"]), ("1.25s", "1.25s"))
        retry = action["retry_policy"]
        self.assertEqual((retry["num_retries"], retry["retry_on"], retry["per_try_timeout"]), (2, "unavailable,reset", "0.5s"))
        self.assertEqual([c["weight"] for c in action["weighted_clusters"]["clusters"]], [90, 10])
        canary = clusters[f"outbound|50051|canary|{HOST}"]
        self.assertEqual(canary["outlier_detection"]["enforcing_consecutive_5xx"], 0)
        self.assertEqual(canary["outlier_detection"]["consecutive_gateway_failure"], 5)
        self.assertEqual(canary["circuit_breakers"]["thresholds"][0]["retry_budget"]["min_retry_concurrency"], 3)

    def test_no_attempts_are_no_retries_and_nothing_said_is_istios_own_two(self):
        self.assertNotIn("retry_policy", self.route(retries={"attempts": 0})[0]["route"])
        self.assertEqual(self.route(retries=None)[0]["route"]["retry_policy"]["num_retries"], 2)

    def test_without_a_timeout_there_is_none(self):
        self.assertEqual(self.route(timeout=None)[0]["route"]["timeout"], "0s")

    def test_a_subset_that_does_not_exist_is_an_error(self):
        with self.assertRaises(Unknown):
            self.route(route=[{"destination": {"host": "shop", "subset": "old"}}])


class Access(Case):
    def rbac(self, given):
        mesh = self.read(given)
        return envoy_auth.rbac(mesh.of_kind("AuthorizationPolicy", "jangteo", LABELS))

    def test_no_policy_lets_everybody_in_and_an_empty_one_nobody(self):
        given = documents()
        del given["policy"]
        self.assertEqual(self.rbac(given), [])
        given["deny"] = of("AuthorizationPolicy", {}, "deny-all")
        self.assertEqual(self.rbac(given)[0]["typed_config"]["rules"], {"action": "ALLOW", "policies": {}})

    def test_who_and_what(self):
        (policy,) = self.rbac(documents())[0]["typed_config"]["rules"]["policies"].values()
        cart = {"authenticated": {"principal_name": {"exact": "spiffe://cluster.local/ns/jangteo/sa/cart"}}}
        self.assertEqual(policy, {"permissions": [{"url_path": {"path": {"exact": "/shop.Shop/Buy"}}}], "principals": [cart]})

    def test_another_pods_policy_is_not_ours(self):
        given = documents()
        given["policy"]["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] = "cart"
        self.assertEqual(self.rbac(given), [])

    def test_modes_of_mutual_tls(self):
        given = documents()
        translator = self.translator(given)
        self.assertEqual(translator.mode(self.pod(), 9090), "STRICT")
        metrics = {"selector": {"matchLabels": {"version": "stable"}}, "portLevelMtls": {"9090": {"mode": "PERMISSIVE"}}}
        translator = self.translator(given | {"metrics": of("PeerAuthentication", metrics, "metrics")})
        self.assertEqual([translator.mode(self.pod(), p) for p in (9090, 50051)], ["PERMISSIVE", "STRICT"])
        del given["peers"]
        self.assertEqual(self.translator(given).mode(self.pod(), 50051), "PERMISSIVE")

    def test_plaintext_has_no_chain_under_strict(self):
        listeners, _ = self.translator(documents()).inbound(self.pod())
        chains = listeners[0]["filter_chains"]
        self.assertEqual([c["filter_chain_match"] for c in chains], [{"transport_protocol": "tls"}])
        self.assertTrue(chains[0]["transport_socket"]["typed_config"]["require_client_certificate"])

    def test_request_principals(self):
        every = envoy_auth.request_principal("jangteo/*")["and_ids"]["ids"]
        self.assertEqual(every[0]["metadata"]["value"], {"string_match": {"exact": "jangteo"}})
        with self.assertRaises(Unknown):
            envoy_auth.request_principal("jangteo")


class Network(unittest.TestCase):
    def test_both_ends(self):
        def policy(name, **spec):
            return {"metadata": {"namespace": "jangteo"}, "spec": {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress", "Egress"]} | spec}

        def to(*names):
            return [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": list(names)}]}}]

        ports = [{"port": 50051, "protocol": "TCP"}]
        policies = [policy("shop", ingress=[{"from": to("cart"), "ports": ports}]), policy("cart", egress=[{"to": to("shop"), "ports": ports}]), policy("order")]
        cart, shop, order, other = (("jangteo", {"app": n}) for n in ("cart", "shop", "order", "elsewhere"))
        for source, port, comes, goes in (
            (cart, 50051, True, True), (cart, 9090, False, False), (order, 50051, False, False),
            (("elsewhere", {"app": "cart"}), 50051, False, True), (other, 50051, False, True),
        ):
            self.assertEqual(network.enters(policies, source, shop, port), comes, (source, port))
            self.assertEqual(network.leaves(policies, source, shop, port), goes, (source, port))


class Retries(unittest.TestCase):
    def test_codes_among_the_words(self):
        policy = envoy_parts.retry_policy(model.Retries(1, None, "reset,503"))
        self.assertEqual((policy["retry_on"], policy["retriable_status_codes"]), ("reset,retriable-status-codes", [503]))


if __name__ == "__main__":
    unittest.main()
