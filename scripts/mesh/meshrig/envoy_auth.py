"""AuthorizationPolicy and RequestAuthentication as Envoy's RBAC and JWT filters."""

import re

from meshrig.envoy_parts import T
from meshrig.fields import Unknown

JWT = "envoy.filters.http.jwt_authn"


def istio_match(value):
    """Istio's strings: exact, `prefix*`, `*suffix`, or `*` for anything that is there."""
    if value == "*":
        return {"safe_regex": {"regex": ".+"}}
    if value.endswith("*"):
        return {"prefix": value[:-1]}
    if value.startswith("*"):
        return {"suffix": value[1:]}
    return {"exact": value}


def any_of(kind, items):
    return items[0] if len(items) == 1 else {f"or_{kind}": {kind: items}}


def all_of(kind, items):
    if not items:
        return {"any": True}
    return items[0] if len(items) == 1 else {f"and_{kind}": {kind: items}}


def negate(kind, item):
    return {"not_rule" if kind == "rules" else "not_id": item}


# ---- who


def principal(value):
    match = istio_match(value)
    if "exact" in match:
        match = {"exact": f"spiffe://{match['exact']}"}
    elif "prefix" in match:
        match = {"prefix": f"spiffe://{match['prefix']}"}
    return {"authenticated": {"principal_name": match}}


def namespace(value):
    return {"authenticated": {"principal_name": {"safe_regex": {"regex": f".*/ns/{re.escape(value)}/.*"}}}}


def claim(path, match):
    keys = [{"key": key} for key in ("payload", *path)]
    return {"metadata": {"filter": JWT, "path": keys, "value": {"string_match": match}}}


def request_principal(value):
    """`issuer/subject`, where either may be anything."""
    if value == "*":
        issuer = subject = "*"
    else:
        issuer, _, subject = value.rpartition("/")
        if not issuer or "*" in issuer:
            raise Unknown(f"requestPrincipals: {value!r} is neither * nor issuer/subject nor issuer/*")
    return all_of("ids", [claim(["iss"], istio_match(issuer)), claim(["sub"], istio_match(subject))])


SOURCES = {"principals": principal, "requestPrincipals": request_principal, "namespaces": namespace}


# ---- what


def path(value):
    if "{" in value:
        raise Unknown(f"paths: templates such as {value!r} are not translated")
    return {"url_path": {"path": istio_match(value)}}


def header(name):
    return lambda value: {"header": {"name": name, "string_match": istio_match(value)}}


def host(value):
    return {"header": {"name": ":authority", "string_match": istio_match(value) | {"ignore_case": True}}}


def port(value):
    return {"destination_port": int(value)}


OPERATIONS = {"paths": path, "methods": header(":method"), "hosts": host, "ports": port}


def part(kind, given, makers):
    """The fields of one source or operation: each a choice of values, all of them together."""
    out = []
    for name, make in makers.items():
        if given.get(name):
            out.append(any_of(kind, [make(v) for v in given[name]]))
        refused = given.get("not" + name[0].upper() + name[1:])
        if refused:
            out.append(negate(kind, any_of(kind, [make(v) for v in refused])))
    return all_of(kind, out)


def condition(when):
    """(kind, rule) of one `when`."""
    key, values, refused = when["key"], when.get("values") or [], when.get("notValues") or []
    claims = re.fullmatch(r"request\.auth\.claims((?:\[[^\]]+\])+)", key)
    named = re.fullmatch(r"request\.headers\[([^\]]+)\]", key)
    if claims:
        steps = re.findall(r"\[([^\]]+)\]", claims[1])
        keys = [{"key": key} for key in ("payload", *steps)]

        def make(value):
            # A claim may be one string or a list of them.
            one = {"string_match": istio_match(value)}
            both = [{"metadata": {"filter": JWT, "path": keys, "value": v}} for v in (one, {"list_match": {"one_of": one}})]
            return {"or_ids": {"ids": both}}
    elif named:
        make = lambda value: {"header": {"name": named[1], "string_match": istio_match(value)}}  # noqa: E731
    elif key == "source.principal":
        make = principal
    elif key == "request.auth.principal":
        make = request_principal
    else:
        raise Unknown(f"when: {key!r} is not translated")
    out = [any_of("ids", [make(v) for v in values])] if values else []
    if refused:
        out.append(negate("ids", any_of("ids", [make(v) for v in refused])))
    return all_of("ids", out)


def rules(policy):
    """name -> RBAC policy, one for each rule of an AuthorizationPolicy."""
    out = {}
    for i, rule in enumerate(policy.spec.data.get("rules") or []):
        who = [part("ids", item["source"], SOURCES) for item in rule.get("from") or []]
        what = [part("rules", item["operation"], OPERATIONS) for item in rule.get("to") or []]
        when = [condition(w) for w in rule.get("when") or []]
        ids = ([any_of("ids", who)] if who else []) + when
        out[f"ns[{policy.namespace}]-policy[{policy.name}]-rule[{i}]"] = {
            "permissions": [any_of("rules", what) if what else {"any": True}],
            "principals": [all_of("ids", ids)],
        }
    return out


def rbac(policies):
    """DENY before ALLOW; with no policy at all everything passes, with any ALLOW only what one of them names."""
    filters = []
    for action in ("DENY", "ALLOW"):
        chosen = [p for p in policies if (p.spec.data.get("action") or "ALLOW") == action]
        if not chosen:
            continue
        every = {name: rule for policy in chosen for name, rule in rules(policy).items()}
        filters.append({
            "name": "envoy.filters.http.rbac",
            "typed_config": {
                "@type": T + "extensions.filters.http.rbac.v3.RBAC",
                "rules": {"action": action, "policies": every},
                "rules_stat_prefix": f"{action.lower()}_",
            },
        })
    return filters


def jwt(authentications, keys_at):
    """A token that is there must be good; none at all is for AuthorizationPolicies to judge."""
    providers, names = {}, []
    for authentication in authentications:
        for rule in authentication.spec.data.get("jwtRules") or []:
            name = f"origins-{len(providers)}"
            provider = {
                "issuer": rule["issuer"],
                "forward": bool(rule.get("forwardOriginalToken")),
                "payload_in_metadata": "payload",
            }
            if rule.get("jwks"):
                provider["local_jwks"] = {"inline_string": rule["jwks"]}
            else:
                at = {"uri": rule["jwksUri"], "cluster": keys_at(rule["jwksUri"]), "timeout": rule.get("timeout") or "5s"}
                provider["remote_jwks"] = {"http_uri": at, "cache_duration": "300s"}
            if rule.get("audiences"):
                provider["audiences"] = rule["audiences"]
            if rule.get("outputPayloadToHeader"):
                provider["forward_payload_header"] = rule["outputPayloadToHeader"]
            if rule.get("fromHeaders"):
                provider["from_headers"] = [
                    {"name": h["name"], "value_prefix": h.get("prefix", "")} for h in rule["fromHeaders"]
                ]
            providers[name] = provider
            names.append(name)
    if not providers:
        return []
    any_good = [{"provider_name": name} for name in names] + [{"allow_missing": {}}]
    return [{
        "name": JWT,
        "typed_config": {
            "@type": T + "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": providers,
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": any_good}}}],
            "bypass_cors_preflight": True,
        },
    }]
