"""How to reach the edge from outside: the ingress gateway's host and port."""


def hosts_of(rig):
    """(host, port) of the servers that take HTTPS, those first that lead to the edge."""
    found = []
    for gateway in rig.mesh.gateways:
        for server in gateway["servers"]:
            if server["mode"] == "SIMPLE":
                found += [(h.rpartition("/")[2], server["port"]) for h in server["hosts"]]
    return sorted(found, key=lambda pair: (not pair[0].startswith("api."), pair))


def url_of(rig):
    """(url, what curl needs to know besides)."""
    host, number = hosts_of(rig)[0]
    pod = next(p for p in rig.pods if p.ingress)
    ip, port = rig.net.pod(pod.number), rig.translator().gateway_port(pod, number)
    return f"https://{host}:{port}", f"--cacert {rig.authority.ca} --resolve {host}:{port}:{ip}"
