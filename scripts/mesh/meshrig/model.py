"""The committed manifests as plain values: what runs, and what Istio is told about it."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from meshrig.fields import Fields, Unknown, seconds

# The C parser where the wheel has it: ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Whole kinds that a proxy has no part in.
LEFT_KINDS = {
    "Namespace": "there is no cluster",
    "ServiceAccount": "the rig issues a certificate for each account that a Deployment names",
    "HorizontalPodAutoscaler": "nothing scales here",
    "PodDisruptionBudget": "nobody evicts here",
    "NetworkPolicy": "the kernel's, and compared with the declared callers by the check `agree`",
    "Job": "services migrate their schemas as they start",
    "Secret": "the rig's stores have passwords of their own",
    "ResourceQuota": "nothing is scheduled here",
    "LimitRange": "nothing is scheduled here",
    "PriorityClass": "nothing is scheduled here",
    "ServiceEntry": "nothing outside the market is called: providers are sandboxes",
    "Role": "there is no API server",
    "RoleBinding": "there is no API server",
    "Telemetry": "access logs are the rig's own, in a form that the checks read",
    "Kustomization": "says which files belong together",
    "Component": "says which files belong together",
}


@dataclass
class Workload:
    """A Deployment: the pods are alike."""

    name: str
    namespace: str
    labels: dict
    account: str
    args: list
    ports: dict  # name -> number
    env: dict
    grace: int  # seconds from SIGTERM to SIGKILL
    pre_stop: int  # seconds before SIGTERM


@dataclass
class Port:
    name: str
    number: int
    target: object
    protocol: str  # grpc, http, tcp


@dataclass
class KubeService:
    name: str
    namespace: str
    selector: dict
    ports: list
    host: str = ""

    def __post_init__(self):
        self.host = full_host(self.name, self.namespace)


@dataclass
class Match:
    """All of it has to hold. A string match is (kind, value): exact, prefix or regex."""

    uri: tuple = None
    method: tuple = None
    headers: dict = field(default_factory=dict)


@dataclass
class Target:
    host: str
    subset: str
    port: int
    weight: int
    request: dict  # set, add, remove
    response: dict


@dataclass
class Retries:
    attempts: int
    per_try: float = None
    on: str = None


@dataclass
class Route:
    name: str
    matches: list
    targets: list
    timeout: float = None  # None: not said, which is no limit
    retries: Retries = None
    request: dict = field(default_factory=dict)
    response: dict = field(default_factory=dict)


@dataclass
class VirtualService:
    name: str
    namespace: str
    hosts: list
    gateways: list
    routes: list


@dataclass
class Policy:
    """Of a DestinationRule: what holds for the connections to a host."""

    tls: str = None
    connections: int = None
    connect_timeout: float = None
    pending: int = None
    requests: int = None
    per_connection: int = None
    retries: int = None
    idle: float = None
    retry_budget: tuple = None  # percent, at least so many
    streams: int = None
    keepalive: dict = None
    outlier: dict = None
    balancer: str = None
    client_protocol: bool = False


@dataclass
class DestinationRule:
    name: str
    host: str
    policy: Policy
    subsets: dict  # name -> labels


@dataclass
class Selected:
    """PeerAuthentication, RequestAuthentication, AuthorizationPolicy, Sidecar: for the pods with these labels."""

    kind: str
    name: str
    namespace: str
    labels: dict
    spec: Fields

    def selects(self, namespace, labels):
        return self.namespace == namespace and self.labels.items() <= labels.items()


@dataclass
class Mesh:
    workloads: list = field(default_factory=list)
    services: list = field(default_factory=list)
    virtual: list = field(default_factory=list)
    rules: list = field(default_factory=list)
    selected: list = field(default_factory=list)
    gateways: list = field(default_factory=list)
    network: list = field(default_factory=list)
    # What Istio does where neither a route nor the mesh says anything.
    retries: Retries = field(default_factory=lambda: Retries(attempts=2))
    forwarded_cert: str = "APPEND_FORWARD"
    merge_slashes: bool = False
    patches: list = field(default_factory=list)  # of EnvoyFilters

    def of_kind(self, kind, namespace, labels):
        return [s for s in self.selected if s.kind == kind and s.selects(namespace, labels)]

    def rule(self, host):
        return next((r for r in self.rules if r.host == host), None)

    def service(self, host):
        return next((s for s in self.services if s.host == host), None)


def full_host(host, namespace):
    if host == "*" or "." in host:
        return host if host.count(".") != 1 else f"{host}.svc.cluster.local"
    return f"{host}.{namespace}.svc.cluster.local"


def read(root):
    """All manifests under k8s/base and istio of `root`, strictly."""
    documents, configs, mesh = [], {}, Mesh()
    files = sorted(p for folder in ("k8s/base", "istio") for p in (Path(root) / folder).rglob("*.yaml"))
    if not files:
        raise Unknown(f"there are no manifests under {root}/k8s/base and {root}/istio")
    for path in files:
        if path.name == "mesh-config.yaml":  # values of Istio's chart, no object of the cluster
            mesh_config(mesh, Fields(yaml.load(path.read_text(), LOADER), str(path.relative_to(root))))
            continue
        for document in yaml.load_all(path.read_text(), LOADER):
            if document:
                documents.append((path.relative_to(root), document))
    for _, document in documents:
        if document.get("kind") == "ConfigMap":
            configs[document["metadata"]["name"]] = document.get("data") or {}
    for path, document in documents:
        one(mesh, document, path, configs)
    return mesh


def one(mesh, document, path, configs):
    top = Fields(document, str(path))
    kind, version = top.need("kind"), top.need("apiVersion")
    if kind in LEFT_KINDS:
        if kind == "NetworkPolicy":
            mesh.network.append(document)
        return
    if kind == "ConfigMap":
        return
    reader = READERS.get(kind)
    if reader is None:
        raise Unknown(f"{path}: the rig knows nothing of the kind {kind} ({version})")
    meta = top.sub("metadata")
    name, namespace = meta.need("name"), meta.take("namespace", "jangteo")
    meta.leave({"labels": "found by nobody here", "annotations": "for people and for controllers of a cluster"})
    top.where = f"{path}: {kind}/{name}"
    spec = top.sub("spec")
    top.leave({"status": "a controller's"})
    top.done()
    meta.done()
    reader(mesh, name, namespace, spec, configs)


# ---- Kubernetes


def deployment(mesh, name, namespace, spec, configs):
    spec.leave({
        "selector": "repeats the template's labels",
        "replicas": "one each, unless a check wants more",
        "strategy": "the check `rolling` replaces pods one by one itself",
        "revisionHistoryLimit": "nothing is kept here",
        "minReadySeconds": "the rig waits for /readyz",
        "progressDeadlineSeconds": "the rig waits for /readyz",
    })
    template = spec.sub("template")
    spec.done()
    labels = template.sub("metadata").take("labels", {})
    pod = template.sub("spec")
    account = pod.need("serviceAccountName")
    containers = pod.subs("containers")
    if len(containers) != 1:
        raise Unknown(f"{pod.where}: one container is expected")
    env = {}
    container = containers[0]
    for source in container.subs("envFrom"):
        ref = source.sub("configMapRef")
        source.leave({"secretRef": "the rig's stores have passwords of their own"})
        source.done()
        if source.has("configMapRef"):
            env |= configs.get(ref.need("name"), {})
    for item in container.subs("env"):
        value = item.take("value")
        if value is not None:
            env[item.need("name")] = str(value)
        elif item.sub("valueFrom").has("configMapKeyRef"):
            ref = item.sub("valueFrom").sub("configMapKeyRef")
            env[item.need("name")] = configs.get(ref.need("name"), {}).get(ref.need("key"), "")
    ports = {port.need("name"): port.need("containerPort") for port in container.subs("ports")}
    args = container.take("args", [])
    # Image, probes, resources, volumes and the security context are the kubelet's: there is no container here.
    mesh.workloads.append(Workload(name, namespace, labels, account, args, ports, env,
                                   pod.take("terminationGracePeriodSeconds", 30), pre_stop(container)))


def pre_stop(container):
    hook = container.sub("lifecycle").sub("preStop")
    if set(hook.data) - {"sleep"}:
        raise Unknown(f"{hook.where}: only sleep is translated")
    return hook.sub("sleep").take("seconds", 0)


def kube_service(mesh, name, namespace, spec, _):
    ports = []
    for port in spec.subs("ports"):
        label, protocol = port.take("name", ""), port.take("appProtocol", "")
        port.leave({"protocol": "TCP everywhere", "nodePort": "no cluster"})
        kind = "tcp" if label.startswith(("tcp", "tls", "https")) else "http"
        if "grpc" in (label.split("-")[0], protocol) or protocol in ("http2", "kubernetes.io/h2c"):
            kind = "grpc"
        number = port.need("port")
        ports.append(Port(label, number, port.take("targetPort", number), kind))
        port.done()
    spec.leave({
        "type": "every port is reached by its pod's address",
        "clusterIP": "every port is reached by its pod's address",
        "publishNotReadyAddresses": "pods join when they are ready",
        "internalTrafficPolicy": "there is one node",
        "trafficDistribution": "there is one node",
        "ipFamilyPolicy": "IPv4 only",
        "sessionAffinity": "Istio ignores it",
        "externalTrafficPolicy": "there is one node",
    })
    selector = spec.take("selector", {})
    spec.done()
    mesh.services.append(KubeService(name, namespace, selector, ports))


# ---- Istio: traffic


def text_match(fields):
    if isinstance(fields, Fields):
        found = [(kind, fields.take(kind)) for kind in ("exact", "prefix", "regex") if fields.has(kind)]
        fields.done()
        # An empty match of a header asks that it is there.
        return found[0] if found else ("present", True)
    raise Unknown(f"{fields!r} is no match")


def matches(http):
    found = []
    for match in http.subs("match"):
        m = Match()
        if match.has("uri"):
            m.uri = text_match(match.sub("uri"))
        if match.has("method"):
            m.method = text_match(match.sub("method"))
        headers = match.sub("headers")
        m.headers = {name: text_match(headers.sub(name)) for name in headers.data}
        match.leave({"name": "for logs", "uri": "read above", "method": "read above"})
        match.done()
        found.append(m)
    return found or [Match()]


def header_changes(fields):
    headers = fields.sub("headers")
    both = []
    for side in ("request", "response"):
        one_side = headers.sub(side)
        both.append({"set": one_side.take("set", {}), "add": one_side.take("add", {}), "remove": one_side.list("remove")})
        one_side.done()
    headers.done()
    return both


def read_retries(fields):
    retries = Retries(
        attempts=fields.take("attempts", 2),
        per_try=seconds(fields.take("perTryTimeout"), fields.where),
        on=fields.take("retryOn"),
    )
    if isinstance(retries.attempts, bool) or not isinstance(retries.attempts, int):
        raise Unknown(f"{fields.where}.attempts: {retries.attempts!r} is no number")
    fields.leave({"retryRemoteLocalities": "there is one locality"})
    fields.done()
    return retries


def virtual_service(mesh, name, namespace, spec, _):
    routes = []
    for http in spec.subs("http"):
        request, response = header_changes(http)
        targets = []
        for target in http.subs("route"):
            d = target.sub("destination")
            t_request, t_response = header_changes(target)
            port = d.sub("port")
            targets.append(Target(
                full_host(d.need("host"), namespace), d.take("subset", ""), port.take("number"),
                target.take("weight", 100 if len(http.list("route")) == 1 else 0), t_request, t_response,
            ))
            for fields in (port, d, target):
                fields.done()
        if not targets:
            raise Unknown(f"{http.where} leads nowhere")
        routes.append(Route(
            name=http.take("name", ""),
            matches=matches(http),
            targets=targets,
            timeout=seconds(http.take("timeout"), http.where),
            retries=read_retries(http.sub("retries")) if http.has("retries") else None,
            request=request,
            response=response,
        ))
        http.done()
    hosts = [full_host(h, namespace) for h in spec.list("hosts")]
    gateways = spec.list("gateways") or ["mesh"]
    spec.leave({"exportTo": "there is one namespace of services"})
    spec.done()
    mesh.virtual.append(VirtualService(name, namespace, hosts, gateways, routes))


OUTLIER = (
    "consecutiveGatewayErrors", "consecutive5xxErrors", "interval", "baseEjectionTime", "maxEjectionPercent", "minHealthPercent",
    "splitExternalLocalOriginErrors", "consecutiveLocalOriginFailures",
)


def traffic_policy(fields):
    policy = Policy()
    tls = fields.sub("tls")
    if fields.has("tls"):
        policy.tls = tls.one_of("mode", ("ISTIO_MUTUAL", "DISABLE"))
    tls.done()
    pool = fields.sub("connectionPool")
    tcp, http = pool.sub("tcp"), pool.sub("http")
    policy.connections = tcp.take("maxConnections")
    policy.connect_timeout = seconds(tcp.take("connectTimeout"), tcp.where)
    if tcp.has("tcpKeepalive"):
        keepalive = tcp.sub("tcpKeepalive")
        policy.keepalive = {
            "keepalive_time": int(seconds(keepalive.take("time", "7200s"), keepalive.where)),
            "keepalive_interval": int(seconds(keepalive.take("interval", "75s"), keepalive.where)),
            "keepalive_probes": keepalive.take("probes", 9),
        }
        keepalive.done()
    policy.pending = http.take("http1MaxPendingRequests")
    policy.requests = http.take("http2MaxRequests")
    policy.per_connection = http.take("maxRequestsPerConnection")
    policy.retries = http.take("maxRetries")
    policy.idle = seconds(http.take("idleTimeout"), http.where)
    policy.streams = http.take("maxConcurrentStreams")
    policy.client_protocol = http.take("useClientProtocol", False)
    http.leave({"h2UpgradePolicy": "services speak HTTP/2 by their ports' names"})
    tcp.leave({"idleTimeout": "for TCP, which no service speaks", "maxConnectionDuration": "runs are shorter"})
    for part in (tcp, http, pool):
        part.done()
    if fields.has("retryBudget"):
        budget = fields.sub("retryBudget")
        policy.retry_budget = (budget.take("percent", 20.0), budget.take("minRetryConcurrency", 3))
        budget.done()
    if fields.has("outlierDetection"):
        outlier = fields.sub("outlierDetection")
        policy.outlier = {name: outlier.take(name) for name in OUTLIER}
        outlier.done()
    if fields.has("loadBalancer"):
        balancer = fields.sub("loadBalancer")
        policy.balancer = balancer.one_of("simple", ("LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", None))
        balancer.leave({
            "localityLbSetting": "there is one locality",
            "warmupDurationSecs": "runs are shorter",
            "warmup": "runs are shorter",
        })
        balancer.done()
    fields.done()
    return policy


def destination_rule(mesh, name, namespace, spec, _):
    host = full_host(spec.need("host"), namespace)
    subsets = {}
    for subset in spec.subs("subsets"):
        subsets[subset.need("name")] = subset.take("labels", {})
        subset.done()
    policy = traffic_policy(spec.sub("trafficPolicy"))
    spec.leave({"exportTo": "there is one namespace of services"})
    spec.done()
    if mesh.rule(host):
        raise Unknown(f"{spec.where}: a second DestinationRule for {host}")
    mesh.rules.append(DestinationRule(name, host, policy, subsets))


def gateway(mesh, name, namespace, spec, _):
    servers = []
    for server in spec.subs("servers"):
        port, tls = server.sub("port"), server.sub("tls")
        servers.append({
            "hosts": server.list("hosts"),
            "port": port.need("number"),
            "protocol": port.one_of("protocol", ("HTTP", "HTTPS", "HTTP2", "GRPC")),
            "mode": tls.one_of("mode", ("SIMPLE", None)),
            "redirect": tls.take("httpsRedirect", False),
            "min": tls.take("minProtocolVersion"),
        })
        port.leave({"name": "for people"})
        tls.leave({"credentialName": "the rig's own authority issues it", "cipherSuites": "Envoy's own list", "maxProtocolVersion": "Envoy's own"})
        server.leave({"name": "for people"})
        for fields in (port, tls, server):
            fields.done()
    labels = spec.take("selector", {})
    spec.done()
    mesh.gateways.append({"name": name, "namespace": namespace, "labels": labels, "servers": servers})


# ---- Istio: security and scope


def selected(kind):
    def reader(mesh, name, namespace, spec, _):
        labels = {}
        if kind == "Sidecar":
            selector = spec.sub("workloadSelector")
            labels = selector.take("labels", {})
        else:
            selector = spec.sub("selector")
            labels = selector.take("matchLabels", {})
        selector.done()
        CHECKS[kind](spec)
        mesh.selected.append(Selected(kind, name, namespace, labels, spec))

    return reader


def peer_authentication(spec):
    modes = ("STRICT", "PERMISSIVE", "DISABLE", "UNSET", None)
    ports = spec.sub("portLevelMtls")
    for mtls in [spec.sub("mtls"), *(ports.sub(port) for port in ports.data)]:
        mtls.one_of("mode", modes)
        mtls.done()
    spec.done()


RULE_FROM = ("principals", "notPrincipals", "requestPrincipals", "notRequestPrincipals", "namespaces", "notNamespaces")
RULE_TO = ("paths", "notPaths", "methods", "notMethods", "hosts", "notHosts", "ports", "notPorts")


def authorization(spec):
    spec.one_of("action", ("ALLOW", "DENY", None))
    for rule in spec.subs("rules"):
        for kind, inside, names in (("from", "source", RULE_FROM), ("to", "operation", RULE_TO)):
            for item in rule.subs(kind):
                part = item.sub(inside)
                for name in names:
                    part.list(name)
                part.done()
                item.done()
        for when in rule.subs("when"):
            when.need("key"), when.list("values"), when.list("notValues")
            when.done()
        rule.done()
    spec.done()


def request_authentication(spec):
    for rule in spec.subs("jwtRules"):
        rule.need("issuer"), rule.list("audiences"), rule.take("jwksUri"), rule.take("jwks")
        rule.take("forwardOriginalToken"), rule.take("outputPayloadToHeader")
        for header in rule.subs("fromHeaders"):
            header.need("name"), header.take("prefix")
            header.done()
        rule.take("timeout")
        rule.done()
    spec.done()


def sidecar(spec):
    for egress in spec.subs("egress"):
        egress.list("hosts")
        egress.done()
    outbound = spec.sub("outboundTrafficPolicy")
    outbound.one_of("mode", ("REGISTRY_ONLY", "ALLOW_ANY", None))
    outbound.done()
    spec.done()


def envoy_filter(mesh, name, namespace, spec, _):
    """A patch that puts a filter of Envoy's own before the others of a gateway."""
    labels = spec.sub("workloadSelector").take("labels", {})
    for patch in spec.subs("configPatches"):
        patch.one_of("applyTo", ("HTTP_FILTER",))
        match, change = patch.sub("match"), patch.sub("patch")
        context = match.one_of("context", ("GATEWAY", "SIDECAR_INBOUND"))
        match.leave({"listener": "all of a rig's listeners have the one connection manager"})
        change.one_of("operation", ("INSERT_FIRST",))
        mesh.patches.append({"namespace": namespace, "labels": labels, "context": context, "filter": change.need("value")})
        for fields in (match, change, patch):
            fields.done()
    spec.take("workloadSelector")
    spec.done()


def mesh_config(mesh, values):
    config = values.sub("meshConfig")
    values.leave({"pilot": "there is no control plane: what its settings change is the rig's own way (key sets are fetched by the proxies)"})
    values.done()
    if config.take("trustDomain", "cluster.local") != "cluster.local":
        raise Unknown(f"{config.where}.trustDomain: the programs believe cluster.local alone")
    if config.has("defaultHttpRetryPolicy"):
        mesh.retries = read_retries(config.sub("defaultHttpRetryPolicy"))
    normal = config.sub("pathNormalization")
    mesh.merge_slashes = normal.one_of("normalization", ("MERGE_SLASHES", "BASE", None)) == "MERGE_SLASHES"
    outbound = config.sub("outboundTrafficPolicy")
    outbound.one_of("mode", ("REGISTRY_ONLY", "ALLOW_ANY", None))
    proxy = config.sub("defaultConfig")
    mesh.forwarded_cert = proxy.sub("proxyHeaders").take("forwardedClientCert", mesh.forwarded_cert)
    proxy.leave({
        "holdApplicationUntilProxyStarts": "the rig starts Envoy first",
        "terminationDrainDuration": "the rig ends an application before its Envoy, as with native sidecars",
        "proxyMetadata": "of the agent beside Envoy, which the rig has none of",
        "gatewayTopology": "no proxy stands before the rig's ingress",
        "tracing": "nothing collects traces here",
    })
    config.leave({
        "enablePrometheusMerge": "metrics are read from each port",
        "enableTracing": "nothing collects traces here",
        "extensionProviders": "access logs are the rig's own, in a form that the checks read",
        "accessLogFile": "access logs are the rig's own",
    })
    for fields in (normal, outbound, proxy, config):
        fields.done()


CHECKS = {
    "PeerAuthentication": peer_authentication,
    "AuthorizationPolicy": authorization,
    "RequestAuthentication": request_authentication,
    "Sidecar": sidecar,
}

READERS = {
    "Deployment": deployment,
    "Service": kube_service,
    "VirtualService": virtual_service,
    "DestinationRule": destination_rule,
    "Gateway": gateway,
    "EnvoyFilter": envoy_filter,
    **{kind: selected(kind) for kind in CHECKS},
}
