"""What the checks share: a running rig, fake replicas, and a prober that calls under any account's certificate."""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import time

from meshrig import calls, envoy_parts as parts, ingress
from meshrig.certs import Authority
from meshrig.core import EDGE
from meshrig.fields import Unknown
from meshrig.methods import methods
from meshrig.pods import Proxy

CATALOG = "/jangteo.catalog.v1.CatalogService/"
PASSWORD = "seven-quiet-magpies"
ADMIN = "admin@jangteo.example"
SETTINGS = {"JANGTEO_AUTH__ADMIN_MUST_VERIFY": "false", "JANGTEO_AUTH__ADMIN_EMAIL": ADMIN}


class Wrong(Exception):
    """What a check has found."""


def must(holds, text):
    if not holds:
        raise Wrong(text)


class Lab:
    def __init__(self, rig):
        self.rig = rig
        self.methods = methods()
        self.services = sorted(w.name for w in rig.mesh.workloads if not rig.is_ingress(w) and w.name in {m.service for m in self.methods})
        self.fakes, self.stream, self.prober = [], None, None
        self.numbers = itertools.count(1)
        self.spoil = lambda root: None  # where a defect of what is rendered is planted
        self.manifests, self.foreign, self.admin, self.expired = rig.root, Authority(rig.folder / "foreign"), None, None

    def admits(self, method, caller):
        return method.admits(caller, [*self.services, EDGE])

    def method(self, path):
        return next(m for m in self.methods if m.path == path)

    # ---- fake replicas

    def start_fakes(self):
        """Four of catalog and one of shipping, outside the endpoints until a check lets them in."""
        for i in range(4):
            self.fakes.append(self.fake("catalog", f"fake-{i + 1}"))
        self.stream = self.fake("shipping", "fake-stream")
        self.rig.start_pods([*self.fakes, self.stream], join=False)

    def fake(self, service, name):
        pod = self.rig.new_pod(self.rig.workload(service), name)
        pod.app = calls.Fake(self.rig.net.inner(pod.number), 50051)
        return pod

    @contextlib.contextmanager
    def catalog(self, *pods):
        """Only these fakes are the catalogue."""
        for pod in pods:
            pod.app.reset()
        with self.rig.only("catalog", list(pods)), self.rig.channel(EDGE, "catalog") as channel:
            yield channel

    # ---- the prober

    def start_prober(self):
        """Calls every pod under the certificate of any account: the header x-as says whose."""
        number = self.rig.next
        self.rig.next += 1
        self.prober = Proxy("prober", number, self.rig.net, self.rig.folder / "pods" / "prober")
        self.rig.extra.append(self.prober)
        self.prober.configure(*self.probes())
        self.prober.process.start()
        self.prober.wait()

    def aim(self):
        """At the pods that there are now."""
        self.prober.configure(*self.probes())
        self.prober.wait()

    def probes(self):
        rig = self.rig
        accounts = [("jangteo", s) for s in (*self.services, EDGE, "operator", "stranger")] + [("elsewhere", EDGE)]
        listeners, clusters = [], []
        for service in self.services:
            pod = rig.pod(service)
            routes = []
            for namespace, account in accounts:
                certs = rig.authority.issue(namespace, account)
                name = f"{namespace}/{account} to {service}"
                cluster = parts.inbound_cluster(50051, rig.net.pod(pod.number), True)
                socket_ = parts.upstream_tls(certs, [parts.spiffe(pod.namespace, pod.account)], "", True)
                cluster |= {"name": name, "transport_socket": socket_}
                cluster["load_assignment"]["cluster_name"] = name
                clusters.append(cluster)
                header = {"name": "x-as", "string_match": {"exact": f"{namespace}/{account}"}}
                routes.append({"match": {"prefix": "/", "headers": [header]}, "route": {"cluster": name, "timeout": "0s"}})
            host = {"name": service, "domains": ["*"], "routes": routes}
            chain = {"filters": [parts.manager(f"to_{service}", [host], [], self.prober.folder / "access.jsonl")]}
            listeners.append(parts.listener(service, self.probe_ip(service), 50051, [chain]))
        return listeners, clusters

    def probe_ip(self, service):
        return self.rig.net.prober(self.rig.pod(service).number)

    @contextlib.contextmanager
    def probe(self, service):
        with calls.Channel(self.probe_ip(service), 50051) as channel:
            yield lambda account, path, **kw: channel.call(
                path, metadata=[("x-as", account if "/" in account else f"jangteo/{account}"), *kw.pop("metadata", ())], **kw)

    # ---- manifests

    def labels(self, caller):
        """The labels of the pods of a service, or of a person's job of that name."""
        found = next((w for w in self.rig.mesh.workloads if w.name == caller), None)
        return found.labels if found else {"app.kubernetes.io/name": caller}

    def render_canary(self, service, weight):
        """The manifests with a canary, as `make canary` makes them, pushed to the running Envoys."""
        from meshrig import suite

        with suite.copy(self.manifests) as root:
            file = root / "istio" / "canary.toml"
            file.write_text(file.read_text() + f'\n[services.{service}]\ntag = "0.0.0"\nweight = {weight}\nreplicas = 1\n')
            suite.render(root)
            self.spoil(root)
            self.rig.use(root)

    # ---- who answered

    def entry(self, pod, reply, seconds=3):
        """What a pod's Envoy wrote of a call."""
        return self.entries(pod, [reply], seconds)[reply.id]

    def entries(self, pod, replies, seconds=5):
        """id of a call -> what the pod's Envoy wrote of it; only those that reached it."""
        wanted, until = {r.id for r in replies}, time.monotonic() + seconds
        while True:
            found = {e["id"]: e for e in pod.entries() if e.get("id") in wanted}
            if len(found) == len(wanted) or time.monotonic() > until:
                return found
            time.sleep(0.05)

    # ---- the edge

    def browser(self, host=None):
        return Browser(self.rig, host)

    def person(self, browser, name=None):
        """Registers somebody and signs them in: their access token."""
        email = name or f"person{next(self.numbers)}-{time.time_ns()}@market.example"
        body = {"email": email, "password": PASSWORD, "displayName": "Nari"}
        until = time.monotonic() + 30
        status, said = browser.json("POST", "/v1/auth/register", body)
        while status in (503, 504) and time.monotonic() < until:
            time.sleep(0.3)
            status, said = browser.json("POST", "/v1/auth/register", body)
        must(status == 200, f"registering: {status} {said}")
        return self.login(browser, email)

    def login(self, browser, email):
        status, said = browser.json("POST", "/v1/auth/login", {"email": email, "password": PASSWORD})
        must(status == 200, f"signing in: {status} {said}")
        return said["accessToken"]

    def product(self, browser, token, key=None):
        """Lists something; (status, answer)."""
        body = {
            "title": "Desk lamp, warm light", "description": "Two years old, the switch is a little stiff.",
            "price": {"currencyCode": "KRW", "units": "15000"}, "categoryId": "audio", "regionId": "seoul",
            "condition": "CONDITION_GOOD", "stock": 3, "tags": ["lamp"],
        }
        headers = {"authorization": f"Bearer {token}"} | ({"idempotency-key": key} if key else {})
        return browser.json("POST", "/v1/products", body, headers)


class Pinned(http.client.HTTPSConnection):
    """To an address, under a name that no DNS knows."""

    def __init__(self, name, ip, port, context):
        super().__init__(name, port, timeout=15, context=context)
        self.ip, self.tls = ip, context

    def connect(self):
        self.sock = self.tls.wrap_socket(socket.create_connection((self.ip, self.port), timeout=self.timeout), server_hostname=self.host)


class Browser:
    """A client of the edge, from outside, over TLS."""

    def __init__(self, rig, host=None):
        hosts = ingress.hosts_of(rig)
        if not hosts:
            raise Unknown("no Gateway takes HTTPS")
        found = next((pair for pair in hosts if host is None or pair[0].startswith(host)), None)
        must(found, f"no host {host} in the Gateways")
        self.host, number = found
        self.pod = next(p for p in rig.pods if p.ingress)
        port = rig.translator().gateway_port(self.pod, number)
        context = ssl.create_default_context(cafile=str(rig.authority.ca))
        self.make = lambda: Pinned(self.host, rig.net.pod(self.pod.number), port, context)
        self.connection = self.make()

    def request(self, method, path, body=None, headers=None):
        """(status, bytes). A connection that was closed meanwhile is opened anew, once, as browsers do before they send."""
        if self.connection.sock is None:
            self.connection.connect()
        try:
            self.connection.request(method, path, body, headers or {})
            reply = self.connection.getresponse()
            return reply.status, reply.read()
        except Exception:
            self.connection.close()
            self.connection = self.make()
            raise

    def json(self, method, path, body=None, headers=None):
        headers = {"content-type": "application/json"} | (headers or {})
        status, data = self.request(method, path, json.dumps(body) if body is not None else None, headers)
        try:
            return status, json.loads(data)
        except ValueError:
            return status, data.decode(errors="replace")

    def close(self):
        self.connection.close()
