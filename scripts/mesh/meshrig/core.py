"""The rig: the market as one process a service, each behind an Envoy that the manifests configure."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

from meshrig import calls, envoy_parts as parts, model, tools, translate
from meshrig.certs import Authority
from meshrig.pods import BUSY, Failed, Pod, Process

# What differs from a cluster, and why.
OVERRIDES = {
    "JANGTEO_DATABASE__MIGRATE": "true",  # instead of the migration Job
    "JANGTEO_DATABASE__MAX_CONNECTIONS": "4",
    "JANGTEO_NATS__REPLICAS": "1",  # one NATS
    # The load of a check comes from one address.
    "JANGTEO_EDGE__LIMITS__ANONYMOUS_PER_MINUTE": "0",
    "JANGTEO_EDGE__LIMITS__SIGNED_IN_PER_MINUTE": "0",
    "JANGTEO_EDGE__LIMITS__LOGIN_PER_MINUTE": "0",
    "JANGTEO_EDGE__LIMITS__COSTLY_PER_HOUR": "0",
    "JANGTEO_AUTH__LIMITS__NETWORK": "100000",
    # Outside providers that play.
    "JANGTEO_PAYMENT__PROVIDERS__SANDBOX__ENABLED": "true",
    "JANGTEO_SHIPPING__SANDBOX": "true",
}
FOLDERS = {
    "JANGTEO_AUTH__MAIL__FOLDER": "mail",
    "JANGTEO_MEDIA__FOLDER": "media",
    "JANGTEO_NOTIFICATION__SANDBOX": "notices",
    "JANGTEO_DATA": "data",
}
# Settings of a cluster that the rig has no counterpart for.
DROPPED = ("JANGTEO_TELEMETRY__OTLP", "JANGTEO_AUTH__MAIL__SMTP", "JANGTEO_MEDIA__S3__", "JANGTEO_SEARCH__DIR", "JANGTEO_NATS__CREDENTIALS_FILE")
EDGE = "gateway"
# How long it takes in a cluster until every proxy knows that an endpoint is gone.
PROPAGATION = 1.0


def say(text):
    print(text, flush=True)


def free_octet():
    """A 127.x of our own, held by a socket as long as we live."""
    for octet in range(10, 250):
        holder = socket.socket()
        try:
            holder.bind((f"127.{octet}.255.254", 15999))
            return octet, holder
        except OSError:
            holder.close()
    raise Failed("no 127.x is free")


class Rig:
    def __init__(self, root=tools.ROOT, settings=None):
        self.root, self.settings = Path(root), settings or {}
        self.mesh = model.read(self.root)
        self.folder = Path(tempfile.mkdtemp(prefix="jangteo-mesh-"))
        self.octet, self.holder = free_octet()
        self.net = translate.Net(self.octet)
        self.authority = Authority(self.folder / "certs")
        self.pods, self.numbers, self.next = [], {}, 1
        self.secret = secrets.token_hex(32)
        self.extra = []  # proxies beside the pods'

    # ---- translation

    def translator(self):
        ready = [p for p in self.pods if p.ready]
        return translate.Translator(self.mesh, self.net, self.numbers, self.accounts, ready)

    def accounts(self, service):
        """The SPIFFE ids behind a Service: what callers must see in its certificate."""
        behind = [w for w in self.mesh.workloads if w.namespace == service.namespace and service.selector
                  and service.selector.items() <= w.labels.items()]
        return {parts.spiffe(w.namespace, w.account) for w in behind} or {"spiffe://nobody"}

    def configure(self, wait=True):
        """Pushes to every Envoy what the manifests say and who is ready; waits until it counts. True when anything changed."""
        translator = self.translator()
        changed = []
        for pod in self.pods:
            if pod.ingress:
                listeners, clusters = translator.ingress(pod)
            else:
                listeners, clusters = translator.inbound(pod)
                out_listeners, out_clusters = translator.outbound(pod)
                listeners, clusters = listeners + out_listeners, clusters + out_clusters
            if pod.proxy.configure(listeners, clusters):
                changed.append(pod)
        for pod in self.pods:
            if wait and pod.proxy.process.running():
                pod.proxy.wait()
        return bool(changed)

    def use(self, root):
        """Other manifests, for the same pods. Waits until connections under the old ones are gone."""
        self.mesh = model.read(root)
        now = {w.name: w for w in self.mesh.workloads}
        for pod in self.pods:
            pod.workload = now.get(pod.workload.name, pod.workload)
        if self.configure():
            time.sleep(1.5)

    # ---- pods

    def workload(self, name):
        found = next((w for w in self.mesh.workloads if w.name == name), None)
        if found is None:
            raise Failed(f"no Deployment {name} in k8s/base")
        return found

    def pod(self, name):
        return next(p for p in self.pods if p.name == name)

    def new_pod(self, workload, name=None):
        taken = {p.name for p in self.pods}
        name = name or next(n for n in (f"{workload.name}-{i}" for i in range(1, 100)) if n not in taken)
        pod = Pod(name, workload, self.next, self)
        self.next += 1
        pod.ingress = self.is_ingress(workload)
        self.pods.append(pod)
        return pod

    def environment(self, pod):
        env = {k: v for k, v in os.environ.items() if not k.startswith("JANGTEO_")}
        given = {k: v for k, v in pod.workload.env.items() if not k.startswith(DROPPED)}
        inner = self.net.inner(pod.number)
        for key in ("JANGTEO_GRPC", "JANGTEO_ADMIN", "JANGTEO_HTTP"):
            if key in given:
                given[key] = given[key].replace("0.0.0.0", inner)
        # A port of another role would be listened on as well.
        env |= given | OVERRIDES | self.settings
        env |= {key: str(self.folder / name) for key, name in FOLDERS.items()}
        stores = {"JANGTEO_DATABASE__URL": "POSTGRES", "JANGTEO_NATS__URL": "NATS", "JANGTEO_REDIS__URL": "REDIS"}
        wanted = ["JANGTEO_REDIS__URL"] if pod.workload.args[:1] == [EDGE] else list(stores)
        env |= {key: os.environ[f"JANGTEO_TEST_{stores[key]}"] for key in wanted}
        env |= {"JANGTEO_SECRET": self.secret, "TMPDIR": str(pod.folder)}
        for service in self.mesh.services:
            for port in service.ports:
                if port.protocol == "grpc" and service.namespace == pod.namespace and service.name != pod.workload.name:
                    ip = self.net.peer(pod.number, self.numbers[service.host])
                    env[f"JANGTEO_PEERS__{service.name.upper().replace('-', '_')}"] = f"http://{ip}:{port.number}"
        return env

    def start_app(self, pod, settings=None):
        command = [tools.program(), *pod.workload.args]
        env = self.environment(pod) | (settings or {})
        pod.app = Process(pod.name, command, pod.folder / "app.log", env, pod.folder)
        pod.app.start()

    def start_pods(self, pods, settings=None, join=True):
        """Envoys first: an application that is up before its sidecar calls nobody. With `join` they are endpoints once ready."""
        self.configure()
        for pod in pods:
            pod.proxy.process.start()
        for pod in pods:
            pod.proxy.wait()
            if not pod.ingress and pod.app is None:
                self.start_app(pod, settings)
        self.await_ready(pods, join)

    def await_ready(self, pods, join=True):
        until, left = time.monotonic() + BUSY, list(pods)
        while left:
            came = [p for p in left if p.application_ready(self.net)]
            left = [p for p in left if p not in came]
            if came and join:
                for pod in came:
                    pod.ready = True
                self.configure(wait=False)
            if time.monotonic() > until:
                raise Failed("\n".join(f"{p.name} is not ready:\n{p.app.tail()}" for p in left[:3]))
            time.sleep(0.05)
        self.configure()

    @contextlib.contextmanager
    def only(self, service, pods):
        """These pods alone are behind a service, for a while; afterwards those that were before."""
        before = [p for p in self.pods if p.workload.namespace == "jangteo" and p.service == service and p.ready]
        self.join(before, pods)
        try:
            yield
        finally:
            self.join(pods, before)

    def join(self, leave, come):
        for pod in leave:
            pod.ready = False
        for pod in come:
            pod.ready = True
        self.configure()

    def channel(self, caller, service):
        """As the application of pod `caller` calls a service: through its own sidecar."""
        ip = self.net.peer(self.pod(caller).number, self.numbers[model.full_host(service, "jangteo")])
        return calls.Channel(ip, 50051)

    def retire(self, pod):
        """The end of a pod in Kubernetes: its endpoint goes while it is told to stop; the sidecar outlives the application."""
        began = time.monotonic()
        gone = threading.Thread(target=self._leave, args=(pod,))
        gone.start()
        time.sleep(pod.workload.pre_stop)
        pod.app.stop(pod.workload.grace)
        took = time.monotonic() - began
        gone.join()
        # A native sidecar drains when the application is gone.
        pod.proxy.admin("/drain_listeners?graceful&skip_exit", "POST")
        until = time.monotonic() + 5
        while time.monotonic() < until and sum(pod.proxy.stats("^http%5C.inbound_.*downstream_cx_active$").values()):
            time.sleep(0.1)
        pod.proxy.process.stop()
        self.pods.remove(pod)
        return took

    def _leave(self, pod):
        time.sleep(PROPAGATION)
        pod.ready = False
        self.configure()

    def remove(self, pod):
        """Takes a pod out and ends it, at once."""
        pod.ready = False
        self.configure()
        pod.stop()
        self.pods.remove(pod)

    def rename(self, service):
        """After a roll-over: one pod carries the plain name again, since callers are found by it."""
        fresh = [p for p in self.pods if p.workload.name == service and p.ready and p.name != service]
        if fresh and all(p.name != service for p in self.pods):
            fresh[0].name = service

    # ---- everything

    def is_ingress(self, workload):
        return any(g["namespace"] == workload.namespace and g["labels"].items() <= workload.labels.items() for g in self.mesh.gateways)

    def start(self):
        began = time.monotonic()
        for name in FOLDERS.values():
            (self.folder / name).mkdir(exist_ok=True)
        for workload in filter(self.is_ingress, self.mesh.workloads):
            hosts = {h.rpartition("/")[2] for g in self.mesh.gateways for s in g["servers"] for h in s["hosts"]}
            self.authority.issue(workload.namespace, workload.account, sorted(hosts - {"*"}))
        pods = [self.new_pod(w, w.name) for w in self.mesh.workloads]
        self.start_pods(pods)
        return time.monotonic() - began

    def stop(self):
        """The edge first, the rest after it, all at once; nothing stays."""
        for pod in self.pods:
            if isinstance(pod.app, Process):
                pod.app.signal(signal.SIGTERM)
        for pod in self.pods:
            with contextlib.suppress(Exception):
                pod.stop()
        for proxy in self.extra:
            proxy.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.holder.close()


@contextlib.contextmanager
def running(rig):
    """The rig from its start to its end, whatever happens in between; SIGTERM ends it as Ctrl-C does."""

    def interrupted(number, _):
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield rig
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        rig.stop()
