"""How calls travel: retries, deadlines, ejection, weights, streams."""

import concurrent.futures
import math
import signal
import time
import tomllib

from meshrig import calls
from meshrig.calls import DEADLINE_EXCEEDED, NAMES, OK, UNAVAILABLE
from meshrig.core import EDGE
from meshrig.lab import CATALOG, must
from meshrig.pods import Process

MARGIN = 0.25  # the route's timeout beyond the method's
MOST_RETRIES = 2
BUSY = 0.9  # seconds that a busy machine may take longer
TRACK = "/jangteo.shipping.v1.ShippingService/TrackShipment"
SILENCE = 17  # seconds; Envoy's own default for a route is 15


def retries(lab, short):
    """An UNAVAILABLE answer is tried again where the method may be repeated, elsewhere never, and at another replica."""
    one, two, three, _ = lab.fakes
    mine = [m for m in lab.methods if m.service == "catalog" and not m.streaming and EDGE in m.callers]
    repeated = single = 0
    with lab.catalog(one, two, three) as channel:
        for pod in (one, two, three):
            pod.app.reset(UNAVAILABLE)
        for method in mine:
            reply = channel.call(method.path, timeout=10)
            must(reply.code == UNAVAILABLE, f"{method.path}: every replica is unavailable, the answer is {reply}")
            seen = sum(pod.app.seen(method.path) for pod in (one, two, three))
            if method.repeatable:
                must(2 <= seen <= 1 + MOST_RETRIES, f"{method.path} may be repeated and was called {seen} times")
                repeated += 1
            else:
                must(seen == 1, f"{method.path} must not be repeated and was called {seen} times")
                single += 1
    with lab.catalog(one, two, three) as channel:
        one.app.reset(UNAVAILABLE)
        # Few failures, so that nobody is ejected: that is another check. Which replica is called is chance.
        replies = []
        while one.app.seen() < 3 and len(replies) < 200:
            replies.append(channel.call(CATALOG + "GetProduct", timeout=10))
        failed = [r for r in replies if r.code != OK]
        must(one.app.seen() >= 3, f"{len(replies)} reads, and one of three replicas was called {one.app.seen()} times")
        must(not failed, f"one of three replicas is down, and {len(failed)} of {len(replies)} reads failed")
        before = sum(p.app.seen() for p in (one, two, three))
        writes = [channel.call(CATALOG + "CreateProduct", timeout=10) for _ in range(9)]
        seen = sum(p.app.seen() for p in (one, two, three)) - before
        must(seen == len(writes), f"{len(writes)} writes became {seen} calls")
    return f"{repeated} methods called 2 to {1 + MOST_RETRIES} times, {single} once; a read survives a replica that is down"


def hanging(lab, short):
    """A read whose first replica hangs is answered by another, within the caller's deadline."""
    method = lab.method(CATALOG + "GetProduct")
    slow, good = lab.fakes[0], lab.fakes[1:3]
    with lab.catalog(slow, *good) as channel:
        slow.app.reset(delay=30)
        # So many at a time as the retry budget always allows.
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            replies = []
            while slow.app.seen() < 2 and len(replies) < 200:
                replies += pool.map(lambda _: channel.call(method.path, timeout=method.timeout), range(3))
        hit = slow.app.seen()
    bad = [str(r) for r in replies if r.code != OK]
    must(hit > 0, "no call met the replica that hangs")
    must(not bad, f"{len(bad)} of {len(replies)} reads failed, {hit} having met a replica that hangs: {bad[0] if bad else ''}")
    return f"{hit} of {len(replies)} reads met it, all were answered, the slowest after {max(r.seconds for r in replies):.2f} s"


def budget(lab, short):
    """Many failing calls at once don't become three times as many: the retry budget."""
    one, two, three, _ = lab.fakes
    with lab.catalog(one, two, three) as channel:
        for pod in (one, two, three):
            pod.app.reset(UNAVAILABLE, delay=0.2)
        with concurrent.futures.ThreadPoolExecutor(60) as pool:
            list(pool.map(lambda _: channel.call(CATALOG + "GetProduct", timeout=10), range(120)))
        seen = sum(pod.app.seen() for pod in (one, two, three))
    must(seen < 120 * 1.6, f"120 failing calls became {seen}")
    must(seen > 120, f"120 failing calls became {seen}: nothing was tried again at all")
    return f"120 failing calls, 60 at a time, became {seen}; without a budget 360"


def deadlines(lab, short):
    """The caller's deadline comes first; the route's, a little later, ends what a caller without one would wait for."""
    fake, said = lab.fakes[0], []
    with lab.catalog(fake) as channel:
        fake.app.reset(delay=30)
        for name in ("GetProduct", "CreateProduct"):
            method = lab.method(CATALOG + name)
            fake.app.reset(delay=30)
            reply = channel.call(method.path, timeout=method.timeout)
            # The sidecar reads the deadline too, and ends the call in the same millisecond: either's word may come first.
            must(reply.code in (DEADLINE_EXCEEDED, UNAVAILABLE), f"{name}, with a deadline of {method.timeout} s: {reply}")
            early, late = method.timeout - 0.05, method.timeout + MARGIN + BUSY
            must(early <= reply.seconds < late, f"{name}: with a deadline of {method.timeout} s it took {reply.seconds:.2f} s")
            fake.app.reset(delay=30)
            reply = channel.call(method.path, timeout=30)
            limit = method.timeout + MARGIN
            must(reply.code in (DEADLINE_EXCEEDED, UNAVAILABLE), f"{name}: the sidecar's timeout answers {reply}")
            must(limit - 0.05 <= reply.seconds < limit + BUSY, f"{name}: the sidecar should end it at {limit} s, not {reply.seconds:.2f} s")
            said.append(f"{name} {method.timeout:g} s: caller without one {reply.seconds:.2f} s")
        fake.app.reset(delay=30)
        reply = channel.call(CATALOG + "GetProduct", timeout=0.5)
        must(reply.code in (DEADLINE_EXCEEDED, UNAVAILABLE) and reply.seconds < 0.5 + BUSY, f"a deadline of 0.5 s: {reply}")
        told = max(fake.app.deadlines, default=99)
        must(told <= 0.51, f"the replica was told of {told:.2f} s where the caller had 0.5 s left")
        # The market's own edge in front of it: its deadline counts before its sidecar's.
        fake.app.reset(delay=30)
        browser = lab.browser()
        began = time.monotonic()
        status, answer = browser.json("GET", "/v1/products/prd_01890000-0000-7000-8000-000000000000")
        took = time.monotonic() - began
        must(status in (503, 504), f"a product page whose catalogue hangs: {status} {answer}")
        limit = lab.method(CATALOG + "GetProduct").timeout
        must(took < limit + MARGIN + BUSY, f"a product page whose catalogue hangs took {took:.2f} s")
    return "; ".join([*said, f"a page whose catalogue hangs: {status} after {took:.2f} s"])


def ejection(lab, short):
    """A replica that keeps failing is taken out, the others go on, and at most half of them ever are."""
    bad, good = lab.fakes[0], lab.fakes[1:]
    with lab.catalog(bad, *good) as channel:
        bad.app.reset(UNAVAILABLE)
        failed = 0
        for _ in range(200):
            failed += channel.call(CATALOG + "CreateProduct", timeout=5).code != OK
            if ejected(lab):
                break
        must(ejected(lab) == 1, f"a replica that fails every call was not taken out after {failed} failures")
        before = bad.app.seen()
        replies = [channel.call(CATALOG + "CreateProduct", timeout=5) for _ in range(60)]
        wrong = [str(r) for r in replies if r.code != OK]
        must(not wrong and bad.app.seen() == before, f"taken out, and still called: {wrong[:1]}")
        # All of them fail: the sidecar must not be left without anybody.
        for pod in good:
            pod.app.reset(UNAVAILABLE)
        for _ in range(80):
            channel.call(CATALOG + "CreateProduct", timeout=5)
        most = ejected(lab)
        must(most <= len(lab.fakes) / 2, f"all replicas fail, and {most} of {len(lab.fakes)} are taken out")
    return f"out after {failed} failures, 60 calls without one after it; when all fail {most} of {len(lab.fakes)} are out"


def ejected(lab):
    stats = lab.rig.pod(EDGE).proxy.stats("^cluster%5C.outbound.*catalog.*outlier_detection.ejections_active$")
    return max(stats.values(), default=0)


def weights(lab, short):
    """With a canary at 10 %, a tenth of the calls go there, and every call whose header asks for it."""
    rig, calls_ = lab.rig, 400 if short else 1000
    stable, canary = lab.fakes[:2]
    lab.render_canary("catalog", 10)
    stable.labels |= {"version": "stable"}
    canary.labels |= {"version": "canary"}
    header = tomllib.loads((lab.manifests / "istio" / "canary.toml").read_text())["header"]
    try:
        with lab.catalog(stable, canary) as channel:
            for _ in range(calls_):
                reply = channel.call(CATALOG + "GetProduct", timeout=5)
                must(reply.code == OK, f"a call was answered {reply}")
            got = canary.app.seen()
            # Five standard deviations of a coin with this weight: one run in two million is refused for nothing.
            wide = 5 * math.sqrt(calls_ * 0.1 * 0.9)
            must(abs(got - calls_ / 10) <= wide, f"{got} of {calls_} calls went to a canary of 10 %")
            before = stable.app.seen()
            for _ in range(40):
                reply = channel.call(CATALOG + "GetProduct", timeout=5, metadata=[(header, "catalog")])
                must(reply.code == OK, f"with the header: {reply}")
            must(stable.app.seen() == before, f"with {header}, {stable.app.seen() - before} of 40 calls went to the stable version")
            other = canary.app.seen()
            for _ in range(40):
                channel.call(CATALOG + "GetProduct", timeout=5, metadata=[(header, "order")])
            must(canary.app.seen() - other < 20, "the header of another service's canary leads to this one's")
    finally:
        canary.labels |= {"version": "stable"}
        rig.use(lab.manifests)
    return f"{got} of {calls_} to the canary of 10 %, 40 of 40 with {header}"


def start_stream(lab):
    """A server's stream that is silent for longer than any timeout of a call; it runs beside the other checks."""
    lab.stream.app.reset(stream=[0.1, SILENCE, 0.1])
    with lab.rig.only("shipping", [lab.stream]), lab.rig.channel(EDGE, "shipping") as channel:
        return channel.stream(TRACK)


def streams(lab, short):
    """A stream may be silent for as long as it likes."""
    messages, code, took = start_stream(lab)
    must((messages, code) == (3, OK), f"the stream ended after {took:.1f} s with {NAMES[code]} and {messages} of 3 messages")
    return f"open for {took:.1f} s, {SILENCE} of them silent"


def every_method(lab, short):
    """Retries and deadlines of every method of every service, between the real sidecars, whose processes give way to fakes."""
    rig, fakes, asked = lab.rig, {}, []
    # All of them, since whoever is left goes on calling.
    for pod in [p for p in rig.pods if isinstance(p.app, Process)]:
        pod.app.signal(signal.SIGKILL)
        pod.app.wait(10)
        pod.ready = pod.name in (*lab.services, EDGE)
    for service in lab.services:
        pod = rig.pod(service)
        fakes[service] = pod.app = calls.Fake(rig.net.inner(pod.number), 50051)
    rig.configure()

    def check(method):
        caller = next(c for c in [EDGE, *lab.services] if lab.admits(method, c) and c != method.service)
        fake = fakes[method.service]
        with rig.channel(caller, method.service) as channel:
            before = fake.seen(method.path)
            reply = channel.call(method.path, timeout=method.timeout + 10)
            seen = fake.seen(method.path) - before
        return method, reply, seen

    unary = [m for m in lab.methods if m.service in fakes and not m.streaming and any(lab.admits(m, c) and c != m.service for c in (EDGE, *lab.services))]
    for fake in fakes.values():
        fake.reset(UNAVAILABLE)
    for method, reply, seen in map(check, unary):
        low, high = (2, 1 + MOST_RETRIES) if method.repeatable else (1, 1)
        must(reply.code == UNAVAILABLE and low <= seen <= high, f"{method.path}: {seen} calls, answered {reply}")
        asked.append(method)
    for fake in fakes.values():
        fake.reset(delay=40)
    # So many at a time to one service as its retry budget always allows.
    pools = {service: concurrent.futures.ThreadPoolExecutor(3) for service in fakes}
    for answer in [pools[method.service].submit(check, method) for method in unary]:
        method, reply, _ = answer.result()
        limit = method.timeout + MARGIN
        must(limit - 0.05 <= reply.seconds < limit + 2 * BUSY, f"{method.path}: should end after {limit} s: {reply}")
    return f"{len(asked)} methods of {len(fakes)} services"
