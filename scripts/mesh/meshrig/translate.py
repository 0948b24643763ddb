"""From the manifests to the listeners and clusters of one pod's Envoy, as istiod would push them.

The rig stands in for iptables by addresses. A pod `k` has three: its own (what others call; Envoy listens), an inner one (where the
application listens, and only its Envoy calls), and one for each service that its application calls (Envoy listens; the port is the
service's own)."""

import urllib.parse
from dataclasses import dataclass

from meshrig import envoy_auth, envoy_parts as parts
from meshrig.fields import Unknown
from meshrig.model import Match, Policy, Route, Target, VirtualService

ADMIN_PORT = 15000


@dataclass
class Net:
    """127.`octet`.x.y, so that two rigs on one machine don't meet."""

    octet: int

    def pod(self, k):
        return f"127.{self.octet}.0.{k}"

    def inner(self, k):
        return f"127.{self.octet}.1.{k}"

    def prober(self, k):
        return f"127.{self.octet}.2.{k}"

    def peer(self, k, service):
        return f"127.{self.octet}.{100 + k}.{service}"


class Translator:
    def __init__(self, mesh, net, numbers, accounts, ready):
        self.mesh, self.net = mesh, net
        # Numbers of services are kept from one translation to the next: applications have been told the addresses.
        self.numbers, self.accounts = numbers, accounts
        for service in mesh.services:
            numbers.setdefault(service.host, len(numbers) + 1)
        self.places = self.endpoints(ready)

    # ---- what a pod may reach

    def scope(self, pod):
        """The services that its Sidecar lists, or all."""
        scopes = self.mesh.of_kind("Sidecar", pod.namespace, pod.labels)
        chosen = next((s for s in scopes if s.labels), next(iter(scopes), None))
        if chosen is None or not chosen.spec.data.get("egress"):
            return self.mesh.services
        wanted = [h for egress in chosen.spec.data["egress"] for h in egress["hosts"]]
        return [s for s in self.mesh.services if any(self.in_scope(pod, s, w) for w in wanted)]

    @staticmethod
    def in_scope(pod, service, wanted):
        namespace, _, name = wanted.partition("/")
        if namespace not in ("*", service.namespace) and not (namespace == "." and service.namespace == pod.namespace):
            return False
        return name in ("*", service.host) or (name.startswith("*.") and service.host.endswith(name[1:]))

    def virtuals(self, host, gateway="mesh"):
        return [v for v in self.mesh.virtual if host in v.hosts and gateway in (None, *v.gateways)]

    def port_of(self, target):
        if target.port:
            return target.port
        service = self.mesh.service(target.host)
        if service is None:
            raise Unknown(f"a route leads to {target.host}, which no Service has")
        ports = [p.number for p in service.ports]
        if len(ports) != 1:
            # Istio takes the port that was called; ours are all called on their one port for calls.
            calls = [p.number for p in service.ports if p.protocol == "grpc"] or ports
            return calls[0]
        return ports[0]

    # ---- clusters

    def socket(self, pod, service, policy, port, subset):
        if policy.tls == "DISABLE":
            return None
        # Nothing said: both sides have a sidecar, so Istio turns mutual TLS on by itself.
        uris = sorted(self.accounts(service))
        sni = f"outbound_.{port.number}_.{subset}_.{service.host}"
        return parts.upstream_tls(pod.certs, uris, sni, port.protocol == "grpc")

    def clusters_of(self, pod, service):
        rule = self.mesh.rule(service.host)
        policy = rule.policy if rule else Policy()
        out = []
        for port in service.ports:
            for subset in ["", *(rule.subsets if rule else {})]:
                name = parts.cluster_name(service.host, port.number, subset)
                socket = self.socket(pod, service, policy, port, subset)
                healthy = (policy.outlier or {}).get("minHealthPercent") or 0
                out.append(parts.outbound_cluster(
                    name, port.protocol == "grpc", policy, socket, self.places[name], healthy))
        return out

    # ---- the two directions

    def outbound(self, pod):
        listeners, clusters = [], []
        for service in self.scope(pod):
            clusters += self.clusters_of(pod, service)
            for port in service.ports:
                host = {"name": f"{service.host}:{port.number}", "domains": ["*"], "routes": self.outbound_routes(service, port)}
                chain = {"filters": [self.manager(pod, f"outbound_{port.number}_{service.name}", [host], [])]}
                ip = self.net.peer(pod.number, self.numbers[service.host])
                listeners.append(parts.listener(f"outbound_{service.host}_{port.number}", ip, port.number, [chain]))
        known = {c["name"] for c in clusters}
        self.check_targets(pod, listeners, known)
        return listeners, clusters

    def manager(self, pod, prefix, hosts, filters, **more):
        return parts.manager(prefix, hosts, filters, pod.log, merge_slashes=self.mesh.merge_slashes, **more)

    def outbound_routes(self, service, port):
        virtuals = self.virtuals(service.host)
        if len(virtuals) > 1:
            raise Unknown(f"{service.host}: {' and '.join(v.name for v in virtuals)} both route it; Istio would merge neither")
        if virtuals:
            return parts.routes(virtuals[0], self.port_of, self.mesh.retries)
        target = Target(service.host, "", port.number, 100, {}, {})
        default = VirtualService("default", service.namespace, [], [], [Route("default", [Match()], [target])])
        return parts.routes(default, self.port_of, self.mesh.retries)

    @staticmethod
    def check_targets(pod, listeners, known):
        """A route to a service outside the pod's Sidecar scope would answer 503 in a cluster."""
        for one in listeners:
            manager = one["filter_chains"][0]["filters"][0]["typed_config"]
            for host in manager["route_config"]["virtual_hosts"]:
                for route in host["routes"]:
                    to = route["route"]
                    names = [to["cluster"]] if "cluster" in to else [c["name"] for c in to["weighted_clusters"]["clusters"]]
                    for name in names:
                        if name not in known:
                            raise Unknown(f"{pod.name}: a route leads to {name}, which is no subset, or not in its Sidecar's scope")

    def mode(self, pod, port):
        """STRICT, PERMISSIVE or DISABLE: the port's, the workload's, the namespace's; Istio's own is PERMISSIVE."""
        found = "PERMISSIVE"
        ordered = sorted(self.mesh.of_kind("PeerAuthentication", pod.namespace, pod.labels), key=lambda s: bool(s.labels))
        for one in ordered:
            spec = one.spec.data
            found = self.said(spec.get("mtls")) or found
            by_port = spec.get("portLevelMtls") or {}
            if by_port and not one.labels:
                raise Unknown(f"PeerAuthentication/{one.name}: portLevelMtls needs a selector")
            said = self.said(by_port.get(port) or by_port.get(str(port)))
            if said:
                found = said
        return found

    @staticmethod
    def said(mtls):
        mode = (mtls or {}).get("mode")
        return None if mode in (None, "UNSET") else mode

    def inbound(self, pod):
        listeners, clusters = [], []
        filters = self.filters(pod, "SIDECAR_INBOUND")
        for name, port in pod.ports.items():
            http2 = self.protocol(pod, name, port) == "grpc"
            clusters.append(parts.inbound_cluster(port, self.net.inner(pod.number), http2))
            route = {"match": {"prefix": "/"}, "name": "default", "route": {"cluster": f"inbound|{port}||", "timeout": "0s"}}
            if http2:
                # The application's GOAWAY may cross a request that it has not seen; Istio tries those again.
                route["route"]["retry_policy"] = {"retry_on": "reset-before-request", "num_retries": 2}
            host = {"name": f"inbound|{port}", "domains": ["*"], "routes": [route]}
            made = self.manager(
                pod, f"inbound_{port}", [host], filters,
                forward_client_cert_details=self.mesh.forwarded_cert,
                set_current_client_cert_details={"subject": True, "uri": True, "dns": True},
            )
            chains, mode = [], self.mode(pod, port)
            if mode != "DISABLE":
                chains.append({
                    "name": "mutual", "filters": [made], "transport_socket": parts.downstream_tls(pod.certs),
                    "filter_chain_match": {"transport_protocol": "tls"},
                })
            if mode != "STRICT":
                chains.append({"name": "plain", "filters": [made], "filter_chain_match": {"transport_protocol": "raw_buffer"}})
            listeners.append(parts.listener(f"inbound_{port}", self.net.pod(pod.number), port, chains, inspect=True))
        return listeners, clusters

    def protocol(self, pod, name, port):
        for service in self.mesh.services:
            if service.namespace == pod.namespace and service.selector and service.selector.items() <= pod.labels.items():
                for p in service.ports:
                    if p.target in (name, port):
                        return p.protocol
        return "grpc" if name.startswith("grpc") else "http"

    def filters(self, pod, context):
        """What looks at each request that comes to a pod, in its order."""
        policies = self.mesh.of_kind("AuthorizationPolicy", pod.namespace, pod.labels)
        tokens = self.mesh.of_kind("RequestAuthentication", pod.namespace, pod.labels)
        first = [p["filter"] for p in self.mesh.patches
                 if p["context"] == context and p["namespace"] == pod.namespace and p["labels"].items() <= pod.labels.items()]
        return first + envoy_auth.jwt(tokens, self.keys_at) + envoy_auth.rbac(policies)

    def keys_at(self, uri):
        """The cluster that a key set is fetched from, by the proxy itself and over mutual TLS."""
        url = urllib.parse.urlsplit(uri)
        service = self.mesh.service(url.hostname)
        if url.scheme != "http" or service is None:
            raise Unknown(f"jwksUri: {uri} is no plain URL of a Service of the mesh")
        return parts.cluster_name(service.host, url.port or 80)

    def ingress(self, pod):
        """Of the pods that Gateways select: listeners by port, hosts by VirtualService."""
        clusters, by_port = {}, {}
        filters = self.filters(pod, "GATEWAY")
        for gateway in self.mesh.gateways:
            if gateway["labels"].items() <= pod.labels.items():
                for server in gateway["servers"]:
                    by_port.setdefault(self.gateway_port(pod, server["port"]), []).append((gateway, server))
        listeners = []
        for port, servers in by_port.items():
            chains = []
            for gateway, server in servers:
                hosts = self.ingress_hosts(gateway, server, clusters, pod)
                made = self.manager(
                    pod, f"ingress_{port}", hosts, filters, use_remote_address=True, forward_client_cert_details="SANITIZE_SET",
                    set_current_client_cert_details={"subject": True, "uri": True, "dns": True},
                )
                chain = {"filters": [made]}
                if server["mode"] == "SIMPLE":
                    chain["transport_socket"] = parts.downstream_tls(pod.certs, client=False, oldest=server["min"])
                    chain["filter_chain_match"] = {"server_names": [h["name"] for h in hosts if h["name"] != "*"]}
                chains.append(chain)
            listeners.append(parts.listener(f"ingress_{port}", self.net.pod(pod.number), port, chains, inspect=True))
        return listeners, list(clusters.values())

    def gateway_port(self, pod, number):
        """A Gateway names the port of the Service before its pods; Envoy listens where that leads."""
        for service in self.mesh.services:
            if service.namespace == pod.namespace and service.selector and service.selector.items() <= pod.labels.items():
                for port in service.ports:
                    if port.number == number:
                        return self.target_port(pod, port)
        return number

    def ingress_hosts(self, gateway, server, clusters, pod):
        hosts = []
        name = f"{gateway['namespace']}/{gateway['name']}"
        for wanted in server["hosts"]:
            space, _, host = wanted.rpartition("/")
            routes = []
            if server["redirect"]:
                routes = [{"match": {"prefix": "/"}, "redirect": {"https_redirect": True}}]
            for virtual in [] if server["redirect"] else self.virtuals(host, None):
                own = {n if "/" in n else f"{virtual.namespace}/{n}" for n in virtual.gateways}
                if name in own and space in ("", "*", virtual.namespace):
                    routes += parts.routes(virtual, self.port_of, self.mesh.retries)
                    for target in {t.host for r in virtual.routes for t in r.targets}:
                        service = self.mesh.service(target)
                        if service is None:
                            raise Unknown(f"VirtualService/{virtual.name} leads to {target}, which no Service has")
                        clusters |= {c["name"]: c for c in self.clusters_of(pod, service)}
            hosts.append({"name": host, "domains": [host, f"{host}:*"], "routes": routes})
        return hosts

    # ---- endpoints

    def endpoints(self, pods):
        """name of a cluster -> the pods behind it, of those that are ready."""
        out = {}
        for service in self.mesh.services:
            rule = self.mesh.rule(service.host)
            behind = [p for p in pods if p.namespace == service.namespace and service.selector
                      and service.selector.items() <= p.labels.items()]
            for port in service.ports:
                for subset, labels in {"": {}, **(rule.subsets if rule else {})}.items():
                    chosen = [p for p in behind if labels.items() <= p.labels.items()]
                    places = [(self.net.pod(p.number), self.target_port(p, port)) for p in chosen]
                    out[parts.cluster_name(service.host, port.number, subset)] = places
        return out

    @staticmethod
    def target_port(pod, port):
        if isinstance(port.target, int):
            return port.target
        if port.target not in pod.ports:
            raise Unknown(f"{pod.name} has no port {port.target}")
        return pod.ports[port.target]


def discovery(kind, resources, version):
    return {"version_info": version, "resources": [{"@type": parts.T + kind, **r} for r in resources]}


def bootstrap(name, net, number, folder):
    return {
        "node": {"id": name, "cluster": name},
        "admin": {"address": parts.address(net.pod(number), ADMIN_PORT)},
        "dynamic_resources": {
            kind: {"path_config_source": {"path": str(folder / f"{kind[:3]}.json")}, "resource_api_version": "V3"}
            for kind in ("lds_config", "cds_config")
        },
    }
