"""Defects to plant in a copy of the manifests, and the check that has to see each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import yaml

from meshrig.model import LOADER

HOST = "/jangteo.catalog.v1.CatalogService/"


@dataclass
class Defect:
    name: str
    check: str
    plant: Callable
    quick: bool = False
    rendered: bool = False  # in what is rendered with a canary, which the committed manifests have none of


def edit(kind, name, change, path=None):
    """A defect made by changing one object; it must be there, and the change must change it."""

    def plant(root):
        found = 0
        files = [Path(root) / path] if path else [p for f in ("istio", "k8s/base") for p in (Path(root) / f).rglob("*.yaml")]
        for file in files:
            text = file.read_text()
            if f"kind: {kind}" not in text:
                continue
            documents = list(yaml.load_all(text, LOADER))
            for document in documents:
                if document and document.get("kind") == kind and document["metadata"]["name"] == name:
                    before = yaml.safe_dump(document)
                    change(document)
                    assert yaml.safe_dump(document) != before, f"the defect changes nothing in {file}"
                    found += 1
            if found:
                file.write_text(yaml.safe_dump_all(documents))
                return
        raise AssertionError(f"no {kind}/{name} to plant a defect in")

    return plant


def route(name, change):
    """Of the VirtualService of catalog; `change` gets the list of routes and the position."""

    def edit_routes(document):
        routes = document["spec"]["http"]
        change(routes, next(i for i, r in enumerate(routes) if r.get("name") == name))

    return edit("VirtualService", "catalog", edit_routes)


def update(**fields):
    return lambda routes, i: routes[i].update(fields)


def permissive(document):
    document["spec"]["mtls"] = {"mode": "PERMISSIVE"}


def everywhere_permissive(root):
    for name in ("default", "metrics"):
        edit("PeerAuthentication", name, permissive, "istio/peer-authentication.yaml")(root)


def extra_caller(document):
    for rule in document["spec"]["rules"]:
        paths = [p for to in rule["to"] for p in to["operation"].get("paths", [])]
        if HOST + "HoldStock" in paths:
            rule["from"][0]["source"]["principals"].append("cluster.local/ns/jangteo/sa/review")


def any_method(document):
    for rule in document["spec"]["rules"]:
        if rule.get("from"):
            rule["to"] = [{"operation": {"methods": ["POST"], "paths": ["/jangteo.catalog.v1.CatalogService/*"]}}]


def lost_caller(document):
    rules = document["spec"]["rules"]
    rules[:] = [r for r in rules if "sa/gateway" not in str(r.get("from"))]


def narrow_scope(document):
    for egress in document["spec"]["egress"]:
        egress["hosts"] = [h for h in egress["hosts"] if "catalog" not in h]


def open_policy(document):
    document["spec"]["ingress"].append({"from": [{"podSelector": {}}]})


def no_outlier(document):
    del document["spec"]["trafficPolicy"]["outlierDetection"]


def eject_all(document):
    document["spec"]["trafficPolicy"]["outlierDetection"]["maxEjectionPercent"] = 100


def no_budget(document):
    document["spec"]["trafficPolicy"].pop("retryBudget")


def no_token_passed(document):
    document["spec"]["jwtRules"][0]["forwardOriginalToken"] = False


def no_rules(document):
    document["spec"]["jwtRules"][0]["issuer"] = "somebody-else"


def everybody_admin(document):
    document["spec"]["rules"] = [{}]


def stream_timeout(document):
    for http in document["spec"]["http"]:
        if http.get("name") == "TrackShipment":
            http["timeout"] = "5s"


def killed(document):
    spec = document["spec"]["template"]["spec"]
    spec["terminationGracePeriodSeconds"] = 0
    for container in spec["containers"]:
        container.pop("lifecycle", None)


def typo(document):
    document["spec"]["http"][0]["timeuot"] = "1s"


def half(document):
    for http in document["spec"]["http"]:
        if len(http["route"]) == 2:
            for target in http["route"]:
                target["weight"] = 50


def shadowed(document):
    document["spec"]["http"].sort(key=lambda http: any("headers" in match for match in http.get("match", [])))


RETRY = {"attempts": 2, "perTryTimeout": "1.5s", "retryOn": "connect-failure,refused-stream,unavailable,reset"}

DEFECTS = [
    Defect("plaintext let in", "plaintext", everywhere_permissive, quick=True),
    Defect("a caller that no method declares", "callers", edit("AuthorizationPolicy", "catalog", extra_caller), quick=True),
    Defect("callers allowed every method", "callers", edit("AuthorizationPolicy", "catalog", any_method)),
    Defect("a declared caller forgotten", "callers", edit("AuthorizationPolicy", "catalog", lost_caller)),
    Defect("a Sidecar that lacks a service", "agree", edit("Sidecar", "gateway", narrow_scope)),
    Defect("a NetworkPolicy open to the namespace", "agree", edit("NetworkPolicy", "catalog", open_policy)),
    Defect("retries of a method that must not be repeated", "retries", route("CreateProduct", update(retries=RETRY)), quick=True),
    Defect("no retries where they do no harm", "retries", route("GetProduct", update(retries={"attempts": 0}))),
    Defect("retries that don't hear UNAVAILABLE", "retries", route("GetProduct", update(retries=RETRY | {"retryOn": "connect-failure"}))),
    Defect("no retry budget", "budget", edit("DestinationRule", "catalog", no_budget)),
    Defect("a route's timeout before the caller's deadline", "deadlines", route("GetProduct", update(timeout="1s")), quick=True),
    Defect("a route without a timeout", "deadlines", route("CreateProduct", update(timeout="0s"))),
    Defect("no outlier detection", "ejection", edit("DestinationRule", "catalog", no_outlier)),
    Defect("ejection of everybody", "ejection", edit("DestinationRule", "catalog", eject_all)),
    Defect("half of the calls to the canary", "weights", edit("VirtualService", "catalog", half), rendered=True),
    Defect("a header's route behind the one that hides it", "weights", edit("VirtualService", "catalog", shadowed), rendered=True),
    Defect("a timeout on a stream", "streams", edit("VirtualService", "shipping", stream_timeout)),
    Defect("the token taken away at the gateway", "tokens", edit("RequestAuthentication", "access-token", no_token_passed)),
    Defect("tokens of another issuer", "tokens", edit("RequestAuthentication", "access-token", no_rules)),
    Defect("admin. open to everybody", "tokens", edit("AuthorizationPolicy", "public-hosts", everybody_admin)),
    Defect("pods killed instead of stopped", "rolling", edit("Deployment", "catalog", killed)),
    Defect("a field that nobody knows", "retries", edit("VirtualService", "catalog", typo), quick=True),
]
