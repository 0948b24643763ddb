"""Pieces of Envoy's configuration: transport sockets, clusters, routes, connection managers."""

from meshrig.fields import Unknown, duration

TRUST = "cluster.local"
T = "type.googleapis.com/envoy."
ANY = 4294967295  # Istio sets every breaker that nobody sets to this

# What a sidecar does when nobody says anything: VirtualService's documentation of `retries`.
DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


def spiffe(namespace, account):
    return f"spiffe://{TRUST}/ns/{namespace}/sa/{account}"


def address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


# ---- TLS


def certificates(certs, uris, exact=True):
    """Our certificate, and the URIs that the other side's must carry."""
    kind = "exact" if exact else "prefix"
    return {
        "tls_certificates": [{
            "certificate_chain": {"filename": str(certs.cert)},
            "private_key": {"filename": str(certs.key)},
        }],
        "validation_context": {
            "trusted_ca": {"filename": str(certs.ca)},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {kind: uri}} for uri in uris],
        },
    }


def upstream_tls(certs, uris, sni, http2):
    common = certificates(certs, uris)
    if http2:  # otherwise each connection says which HTTP it speaks
        common["alpn_protocols"] = ["istio", "h2"]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": T + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common,
            "sni": sni,
        },
    }


def downstream_tls(certs, client=True, oldest=None):
    common = certificates(certs, [f"spiffe://{TRUST}/"], exact=False) if client else {
        "tls_certificates": certificates(certs, [])["tls_certificates"]
    }
    common["alpn_protocols"] = ["h2", "http/1.1"]
    if oldest:
        common["tls_params"] = {"tls_minimum_protocol_version": oldest}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": T + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            "require_client_certificate": client,
        },
    }


# ---- clusters


def cluster_name(host, port, subset=""):
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster(port, ip, http2):
    return {
        "name": f"inbound|{port}||",
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": [breaker()]},
        "load_assignment": {
            "cluster_name": f"inbound|{port}||",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(ip, port)}}]}],
        },
        "typed_extension_protocol_options": http_options(http2),
    }


def http_options(http2, policy=None):
    """HTTP/2 for gRPC. Other HTTP as the client speaks it: into a pod always, out of one where a DestinationRule says so."""
    options = {"@type": T + "extensions.upstreams.http.v3.HttpProtocolOptions"}
    two, common = {}, {}
    if policy and policy.idle is not None:
        common["idle_timeout"] = duration(policy.idle)
    if policy and policy.per_connection:
        common["max_requests_per_connection"] = policy.per_connection
    if policy and policy.streams:
        two["max_concurrent_streams"] = policy.streams
    if http2:
        options["explicit_http_config"] = {"http2_protocol_options": two}
    elif policy is None or policy.client_protocol:
        options["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": two}
    else:
        options["explicit_http_config"] = {"http_protocol_options": {}}
    if common:
        options["common_http_protocol_options"] = common
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def breaker(policy=None):
    values = {"max_connections": ANY, "max_pending_requests": ANY, "max_requests": ANY, "max_retries": ANY, "track_remaining": True}
    if policy:
        given = {
            "max_connections": policy.connections,
            "max_pending_requests": policy.pending,
            "max_requests": policy.requests,
            "max_retries": policy.retries,
        }
        values |= {k: v for k, v in given.items() if v}
        if policy.retry_budget:
            percent, least = policy.retry_budget
            values["retry_budget"] = {"budget_percent": {"value": percent}, "min_retry_concurrency": least}
    return values


def outlier(given):
    """A zero turns a detector off; the success rate's is never on."""
    out = {"enforcing_success_rate": 0}
    for name, count, enforcing in (
        ("consecutive5xxErrors", "consecutive_5xx", "enforcing_consecutive_5xx"),
        ("consecutiveGatewayErrors", "consecutive_gateway_failure", "enforcing_consecutive_gateway_failure"),
    ):
        if given.get(name) is not None:
            out[enforcing] = 100 if given[name] else 0
            if given[name]:
                out[count] = given[name]
    for name, key in (("interval", "interval"), ("baseEjectionTime", "base_ejection_time")):
        if given.get(name):
            out[key] = given[name]
    if given.get("maxEjectionPercent") is not None:
        out["max_ejection_percent"] = given["maxEjectionPercent"]
    if given.get("splitExternalLocalOriginErrors"):
        out["split_external_local_origin_errors"] = True
    if given.get("consecutiveLocalOriginFailures"):
        out["consecutive_local_origin_failure"] = given["consecutiveLocalOriginFailures"]
    return out


def outbound_cluster(name, http2, policy, socket, places, healthy=0):
    """Endpoints are written into the cluster: a watch of each would cost an inotify instance, of which a user has 128."""
    cluster = {
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(*place)}} for place in places]}],
        },
        "connect_timeout": duration(policy.connect_timeout or 10),
        "lb_policy": policy.balancer or "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [breaker(policy)]},
        "common_lb_config": {"healthy_panic_threshold": {"value": healthy}},
        "typed_extension_protocol_options": http_options(http2, policy),
    }
    if socket:
        cluster["transport_socket"] = socket
    if policy.outlier:
        cluster["outlier_detection"] = outlier(policy.outlier)
    if policy.keepalive:
        cluster["upstream_connection_options"] = {"tcp_keepalive": policy.keepalive}
    return cluster


# ---- routes


def string_match(match):
    kind, value = match
    if kind == "regex":
        return {"safe_regex": {"regex": value}}
    return {kind: value}


def header_match(name, match):
    if match[0] == "present":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_match(match)}


def route_match(match):
    out = {}
    if match.uri is None:
        out["prefix"] = "/"
    elif match.uri[0] == "exact":
        out["path"] = match.uri[1]
    elif match.uri[0] == "prefix":
        out["prefix"] = match.uri[1]
    else:
        out["safe_regex"] = {"regex": match.uri[1]}
    headers = [header_match(name, m) for name, m in match.headers.items()]
    if match.method:
        headers.append(header_match(":method", match.method))
    if headers:
        out["headers"] = headers
    return out


def retry_policy(retries):
    """None where nothing is tried again."""
    if retries.attempts <= 0:
        return None
    on = retries.on or DEFAULT_RETRY_ON
    codes = [int(part) for part in on.split(",") if part.strip().isdigit()]
    words = [part.strip() for part in on.split(",") if not part.strip().isdigit()]
    if codes and "retriable-status-codes" not in words:
        words.append("retriable-status-codes")
    policy = {
        "retry_on": ",".join(words),
        "num_retries": retries.attempts,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": T + "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }],
        "host_selection_retry_max_attempts": 5,
    }
    if codes or retries.on is None:
        policy["retriable_status_codes"] = codes or [503]
    if retries.per_try:
        policy["per_try_timeout"] = duration(retries.per_try)
    return policy


def changes(prefix, given):
    out = {}
    add = [("OVERWRITE_IF_EXISTS_OR_ADD", k, v) for k, v in given.get("set", {}).items()]
    add += [("APPEND_IF_EXISTS_OR_ADD", k, v) for k, v in given.get("add", {}).items()]
    if add:
        out[f"{prefix}_headers_to_add"] = [{"header": {"key": k, "value": v}, "append_action": a} for a, k, v in add]
    if given.get("remove"):
        out[f"{prefix}_headers_to_remove"] = given["remove"]
    return out


def action(route, port_of, default_retries):
    """What becomes of a request that the route has taken."""
    timeout = duration(route.timeout or 0)
    # A shorter `grpc-timeout` of the caller's counts as well, as under Istio.
    out = {"timeout": timeout, "max_grpc_timeout": timeout}
    policy = retry_policy(route.retries or default_retries)
    if policy:
        out["retry_policy"] = policy
    if len(route.targets) == 1 and not any((route.targets[0].request, route.targets[0].response)):
        target = route.targets[0]
        out["cluster"] = cluster_name(target.host, port_of(target), target.subset)
        return out
    total = sum(t.weight for t in route.targets)
    if total == 0:
        raise Unknown(f"route {route.name}: all weights are 0")
    out["weighted_clusters"] = {
        "clusters": [
            {"name": cluster_name(t.host, port_of(t), t.subset), "weight": t.weight}
            | changes("request", t.request) | changes("response", t.response)
            for t in route.targets
        ],
    }
    return out


def routes(virtual, port_of, default_retries):
    """Of all VirtualServices of a host, in their order: the first that matches counts."""
    out = []
    for route in virtual.routes:
        for match in route.matches:
            one = {"match": route_match(match), "route": action(route, port_of, default_retries)}
            if route.name:
                one["name"] = route.name
            out.append(one | changes("request", route.request) | changes("response", route.response))
    return out


# ---- listeners

LOG = {
    "start": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "authority": "%REQ(:AUTHORITY)%",
    "code": "%RESPONSE_CODE%", "grpc": "%GRPC_STATUS_NUMBER%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
    "route": "%ROUTE_NAME%", "cluster": "%UPSTREAM_CLUSTER%", "upstream": "%UPSTREAM_HOST%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%", "ms": "%DURATION%", "id": "%REQ(X-CHECK)%",
}


def access_log(path):
    return [{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": T + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": LOG},
        },
    }]


ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": T + "extensions.filters.http.router.v3.Router"}}


def manager(prefix, hosts, filters, log, **more):
    """An HTTP connection manager. Streams may be silent for as long as they like, as in Istio's sidecars."""
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": T + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": prefix,
            "codec_type": "AUTO",
            "normalize_path": True,
            "stream_idle_timeout": "0s",
            "route_config": {"name": prefix, "virtual_hosts": hosts, "validate_clusters": False},
            "http_filters": [*filters, ROUTER],
            "access_log": access_log(log),
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            **more,
        },
    }


INSPECTOR = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {"@type": T + "extensions.filters.listener.tls_inspector.v3.TlsInspector"},
}


def listener(name, ip, port, chains, inspect=False):
    out = {
        "@type": T + "config.listener.v3.Listener",
        "name": name,
        "address": address(ip, port),
        "filter_chains": chains,
    }
    if inspect:
        out["listener_filters"] = [INSPECTOR]
    return out
