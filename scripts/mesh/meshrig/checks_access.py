"""Who gets in: transport, callers, identities, tokens."""

import concurrent.futures
import contextlib
import socket
import ssl
import time

from meshrig import calls, network, tokens
from meshrig.calls import PERMISSION_DENIED, UNAVAILABLE
from meshrig.core import EDGE
from meshrig.lab import ADMIN, CATALOG, must
from meshrig.pods import fetch

GARBAGE = b"\xff\xff"  # no message: whoever lets it in fails on it, and nothing happens
DECLARED = "is not declared as a caller"  # what the application says of a caller that its policy refuses
SKEW = 60  # seconds that Envoy forgives clocks


def refusals(pod, port, name):
    """Connections that the listener of a pod's port turned away for what they were, by its own counters."""
    ip = pod.proxy.net.pod(pod.number)
    stats = pod.proxy.stats(f"^listener%5C.{ip}_{port}%5C..*{name}$")
    return sum(stats.values())


def plaintext(lab, short):
    """Without a certificate of the mesh nobody gets as far as a request."""
    rig = lab.rig
    for name in [*lab.services, EDGE]:
        pod = rig.pod(name)
        port = next(p for label, p in pod.ports.items() if label != "http-admin")
        ip, path = rig.net.pod(pod.number), "/grpc.health.v1.Health/Check"
        before = refusals(pod, port, "no_filter_chain_match")
        with calls.Channel(ip, port) as channel:
            reply = channel.call(path, timeout=3)
        must(reply.code == UNAVAILABLE, f"{name} answered a plaintext call: {reply}")
        counted = refusals(pod, port, "no_filter_chain_match") - before
        must(counted > 0, f"{name}: it was not the sidecar's listener that closed the connection")
        must(not tls_accepted(ip, port, None), f"{name} takes a TLS client without a certificate")
    pod = rig.pod("catalog")
    foreign = lab.foreign.issue("jangteo", EDGE)
    must(not tls_accepted(rig.net.pod(pod.number), 50051, foreign), "catalog takes a certificate of another authority")
    must(tls_accepted(rig.net.pod(pod.number), 50051, rig.authority.issue("jangteo", EDGE)), "catalog refuses a certificate of the mesh")
    # The one exception: operators' port, and of it the metrics alone.
    status, text = fetch(rig.net.pod(pod.number), 9090, "/metrics")
    must(status == 200 and "# TYPE" in text, f"Prometheus can't read /metrics: {status} {text[:80]}")
    status, _ = fetch(rig.net.pod(pod.number), 9090, "/readyz")
    must(status == 403, f"/readyz on the operators' port answers {status} to anybody")
    return f"{len(lab.services) + 1} services: plaintext, no certificate, another authority's; /metrics alone is open"


def tls_accepted(ip, port, files):
    """Whether a TLS client gets an answer; in TLS 1.3 a refusal comes after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if files:
        context.load_cert_chain(files.cert, files.key)
    try:
        with socket.create_connection((ip, port), timeout=3) as raw, context.wrap_socket(raw) as tls:
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            return len(tls.recv(9)) > 0  # the server's SETTINGS
    except OSError:
        return False


def callers(lab, short):
    """For each method: who is declared gets through, who is not is refused by the sidecar; the process would say the same."""
    asked = denied = 0
    everybody = [*lab.services, EDGE, "operator", "stranger"]
    for service in lab.services:
        pod = lab.rig.pod(service)
        questions = []
        with lab.probe(service) as probe:
            for method in (m for m in lab.methods if m.service == service):
                # A service does not call itself over the mesh.
                others = [c for c in everybody if c != service]
                declared = [c for c in others if lab.admits(method, c)]
                strange = [c for c in others if not lab.admits(method, c)]
                for caller in [*declared[: 1 if short else None], *strange, "elsewhere/gateway"]:
                    questions.append((method, caller, caller in declared))
            ask = lambda q: (*q, probe(q[1], q[0].path, payload=GARBAGE, timeout=10))  # noqa: E731
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                questions = list(pool.map(ask, questions))
            nothing = probe(EDGE, f"/jangteo.{service}.v1.Nothing/Nothing", payload=GARBAGE, timeout=10)
        entries = lab.entries(pod, [q[3] for q in questions] + [nothing])
        for method, caller, expected, reply in questions:
            entry = entries.get(reply.id)
            must(entry is not None, f"{method.path} by {caller}: never reached {service}'s sidecar: {reply}")
            refused = entry["details"].startswith("rbac_access_denied")
            asked, denied = asked + 1, denied + refused
            if expected:
                must(not refused, f"{method.path}: {caller} is declared, and the sidecar refuses it")
            else:
                must(refused and reply.code == PERMISSION_DENIED, f"{method.path}: {caller} is not declared, and was answered {reply}")
                must(entry["upstream"] is None, f"{method.path}: refused, but {caller}'s call reached the process")
        must(entries[nothing.id]["details"].startswith("rbac_access_denied"), f"{service}: a method that does not exist gets through")
    return f"{asked} calls, {denied} of them refused by sidecars before they reached a process"


def agree(lab, short):
    """The sidecar, the process, the Sidecar scopes and the NetworkPolicies know the same callers."""
    rig, asked = lab.rig, 0
    for service in lab.services:
        pod = rig.pod(service)
        mine = [m for m in lab.methods if m.service == service]
        others = [c for c in [*lab.services, EDGE, "operator"] if c != service]
        with calls.Channel(rig.net.inner(pod.number), 50051) as process:
            for method in mine[:: 5 if short else 1]:
                for caller in others:
                    if "*" in method.callers and caller == "operator":
                        continue  # a process can't know which accounts are services; the mesh does
                    by = f"By=spiffe://x;URI=spiffe://cluster.local/ns/jangteo/sa/{caller}"
                    reply = process.call(method.path, GARBAGE, 10, [("x-forwarded-client-cert", by)])
                    asked += 1
                    must(reply.code != calls.UNIMPLEMENTED, f"the program is older than the protos, {method.path} is new to it: build it")
                    refused = reply.code == PERMISSION_DENIED and DECLARED in reply.text
                    must(refused != lab.admits(method, caller), f"{method.path}: the process says of {caller}: {reply}")
        for caller in others:
            wanted = any(lab.admits(m, caller) for m in mine)
            if caller in {p.name for p in rig.pods}:
                seen = service in {s.name for s in rig.translator().scope(rig.pod(caller))}
                must(seen == wanted, f"the Sidecar of {caller} {'lacks' if wanted else 'reaches'} {service}")
            ends = ("jangteo", lab.labels(caller)), ("jangteo", pod.labels)
            comes, goes = network.enters(rig.mesh.network, *ends, 50051), network.leaves(rig.mesh.network, *ends, 50051)
            must(comes == wanted, f"the NetworkPolicy of {service} {'closes' if wanted else 'opens'} the way from {caller}")
            must(goes == wanted, f"the NetworkPolicy of {caller} {'closes' if wanted else 'opens'} the way to {service}")
        stranger = ("elsewhere", {"app.kubernetes.io/name": EDGE})
        must(not network.enters(rig.mesh.network, stranger, ("jangteo", pod.labels), 50051), f"{service} is open to another namespace")
    return f"{asked} questions to the processes; scopes and NetworkPolicies of {len(lab.services)} services"


def identity(lab, short):
    """Who a process believes is calling is who the certificate names, whatever headers say."""
    fake = lab.fakes[0]
    fake.app.reset()
    forged = "By=x;URI=spiffe://cluster.local/ns/jangteo/sa/order"
    with lab.rig.only("catalog", [fake]), lab.rig.channel("cart", "catalog") as channel:
        reply = channel.call(CATALOG + "GetOffers", timeout=5, metadata=[("x-forwarded-client-cert", forged)])
    must(reply.code == calls.OK, f"cart can't call GetOffers: {reply}")
    said = fake.app.metadata.get("x-forwarded-client-cert", "")
    # Of several the last was added by whoever is nearest; that is the one that libs/rpc believes.
    last = said.rsplit(",", 1)[-1]
    must("URI=spiffe://cluster.local/ns/jangteo/sa/cart" in last, f"the process reads {said!r}")
    return "a forged x-forwarded-client-cert changes nothing"


@contextlib.contextmanager
def short_lived(lab):
    """Tokens are signed for one second while this lasts: a second `auth` with the same keys."""
    pod = lab.rig.new_pod(lab.rig.workload("auth"), "auth-short")
    lab.rig.start_pods([pod], {"JANGTEO_AUTH__ACCESS_TTL": "1"}, join=False)
    try:
        with lab.rig.only("auth", [pod]):
            yield
    finally:
        lab.rig.remove(pod)


def expired_token(lab):
    """(a token of the market's own key that is good for a second, when it was made)"""
    with short_lived(lab):
        browser = lab.browser()
        token = lab.person(browser)
        return token, time.monotonic()


def jwt_tokens(lab, short):
    """Forged, unsigned and expired tokens end at the ingress gateway; good ones get through and are passed on."""
    browser, me = lab.browser(), "/v1/users/me"

    def ask(token, path=me, host=browser):
        before = len(browser.pod.entries())
        headers = {"authorization": f"Bearer {token}"} if token else {}
        status, said = host.json("GET", path, headers=headers)
        until = time.monotonic() + 3
        while len(browser.pod.entries()) == before and time.monotonic() < until:
            time.sleep(0.02)
        return status, said, browser.pod.entries(before)[0]

    good = lab.person(browser)
    status, said, _ = ask(good)
    must(status == 200 and said.get("userId"), f"a good token: {status} {said}")
    status, said, entry = ask(None)
    must(status == 401 and entry["upstream"], f"no token: {status} {said}; it is the edge that refuses it")
    status, said, _ = ask(None, "/v1/categories")
    must(status == 200, f"no token, a public method: {status} {said}")
    header, claims, signature = good.split(".")
    bad = {
        "forged": tokens.forge(good, roles=["user", "admin"]),
        "unsigned": tokens.text(b'{"alg":"none","typ":"at+jwt"}') + f".{claims}.",
        "tampered": f"{header}.{claims}.{signature[:-4]}AAAA",
        "not a token": "nonsense",
        "expired": lab.expired[0],
    }
    for name, token in bad.items():
        if name == "expired":
            time.sleep(max(0, SKEW + 3 - (time.monotonic() - lab.expired[1])))
        status, said, entry = ask(token)
        must(status == 401, f"{name}: {status} {said}")
        must(entry["details"].startswith("jwt_authn_access_denied"), f"{name}: refused, but not by the gateway: {entry['details']}")
    admin = lab.browser("admin.")
    status, said, entry = ask(None, "/v1/categories", admin)
    must(status == 403 and entry["details"].startswith("rbac"), f"admin. without a token: {status} {entry['details']}")
    status, said, entry = ask(good, "/v1/categories", admin)
    must(status == 403 and entry["details"].startswith("rbac"), f"admin. with an ordinary person's token: {status}")
    lab.admin = lab.admin or lab.person(browser, ADMIN)
    status, said, _ = ask(lab.admin, "/v1/categories", admin)
    must(status == 200, f"admin. with an administrator's token: {status} {said}")
    return f"{', '.join(bad)}: 401 by Envoy; a good one: 200; admin. for administrators alone"
