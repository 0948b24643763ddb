"""NetworkPolicies, as far as ours go: who may open a connection to whom."""

from meshrig.fields import Unknown


def selects(selector, labels):
    if selector is None:
        return True
    unknown = set(selector) - {"matchLabels", "matchExpressions"}
    if unknown:
        raise Unknown(f"NetworkPolicy: {unknown}")
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for one in selector.get("matchExpressions") or []:
        if one["operator"] != "In":
            raise Unknown(f"NetworkPolicy: operator {one['operator']}")
        if labels.get(one["key"]) not in one["values"]:
            return False
    return True


def peer_matches(peer, own, other):
    """Whether `other`, (namespace, labels), is the peer of a rule of a policy in the namespace `own`."""
    namespace, labels = other
    if "ipBlock" in peer:
        return False  # of the world outside
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}):
            return False
    elif namespace != own:
        return False
    return selects(peer.get("podSelector"), labels)


def one_way(policies, pod, other, port, direction):
    """Whether the policies of `pod` allow the connection in one direction."""
    kind, side = ("Ingress", "from") if direction == "ingress" else ("Egress", "to")
    namespace, labels = pod
    mine = [p for p in policies if p["metadata"].get("namespace") == namespace and selects(p["spec"].get("podSelector"), labels)]
    mine = [p for p in mine if kind in p["spec"].get("policyTypes", ["Ingress"])]
    if not mine:
        return True
    for policy in mine:
        for rule in policy["spec"].get(direction) or []:
            ports, peers = rule.get("ports"), rule.get(side)
            fits = not ports or any(p.get("port") == port and p.get("protocol", "TCP") == "TCP" for p in ports)
            if fits and (not peers or any(peer_matches(peer, namespace, other) for peer in peers)):
                return True
    return False


def enters(policies, source, target, port):
    """Whether the target's policies let the connection in. `source` and `target` are (namespace, labels of the pod)."""
    return one_way(policies, target, source, port, "ingress")


def leaves(policies, source, target, port):
    """Whether the source's policies let the connection out."""
    return one_way(policies, source, target, port, "egress")
