"""What schemathesis has to know of the market beside its OpenAPI document: how to sign in, and where
the document is narrower than what a proto3 JSON reader must take."""

import json
import os
import re
import urllib.request

import schemathesis
from schemathesis.specs.openapi import checks

BASE = os.environ["FUZZ_BASE"]
# The demo data's first person.
LOGIN = {"email": "minsu@jangteo.example", "password": "jangteo-demo-2026"}


class SignedIn:
    def get(self, case, context):
        request = urllib.request.Request(
            f"{BASE}/v1/auth/login", json.dumps(LOGIN).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["accessToken"]

    def set(self, case, token, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


# These end the session that calls them, so each call has one of its own.
ENDS_SESSION = ["/v1/auth/logout", "/v1/auth/sessions/{sessionId}"]


@schemathesis.auth(refresh_interval=3000).skip_for(path=ENDS_SESSION)
class OneSession(SignedIn):
    pass


@schemathesis.auth(refresh_interval=None).apply_to(path=ENDS_SESSION)
class OwnSession(SignedIn):
    pass


# Refusals of the shape of a request, which the document must have told. Every other 400 is about
# what the request means: a page token nobody gave out, a term that can't be withdrawn.
SHAPE = re.compile(
    r"^(REQUIRED|WRONG_TYPE|INVALID_JSON|INVALID_UTF8|INVALID_FORMAT|UNKNOWN_FIELD|UNKNOWN_ENUM|DUPLICATE_FIELD"
    r"|ONEOF_CONFLICT|CONFLICTING_VALUES|INVALID_KEY"
    r"|(STRING|REPEATED|MAP|ENUM|BOOL|BYTES|NUMBER|INT32|INT64|UINT32|UINT64|DOUBLE|FLOAT)_[A-Z0-9_]+)$"
)


def told(violation):
    # Which fields a mask may name, its schema doesn't say.
    mask = violation.get("field", "").endswith("Mask") and violation.get("reason") == "UNKNOWN_FIELD"
    return bool(SHAPE.match(violation.get("reason", ""))) and not mask


def violations(response):
    try:
        details = response.json().get("details", [])
    except ValueError:
        return []
    return [v for d in details for v in d.get("fieldViolations", [])]


@schemathesis.check
def takes_what_it_documents(ctx, response, case):
    if response.status_code == 422:
        return None  # A key that the fuzzer used twice.
    try:
        return checks.positive_data_acceptance(ctx, response, case)
    except AssertionError:
        if response.status_code == 400 and not any(told(v) for v in violations(response)):
            return None
        raise


# Refused for what it is, in words of its own.
REFUSED = {408, 413, 414, 431, 501}


def canonical(schema, value, root):
    """`value` as it would be printed: what proto3 JSON takes beside the canonical form is undone.
    https://protobuf.dev/programming-guides/json/"""
    while isinstance(schema, dict) and "$ref" in schema:
        whole = root["components"]["schemas"].get(schema["$ref"].rsplit("/", 1)[-1], {})
        schema = {**whole, **{k: v for k, v in schema.items() if k != "$ref"}}
    if not isinstance(schema, dict):
        return value
    if isinstance(value, dict):
        names = schema.get("properties", {})
        # null is absence.
        return {k: canonical(names.get(k, {}), v, root) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [canonical(schema.get("items", {}), v, root) for v in value]
    kinds = schema.get("type")
    if "enum" in schema and kinds == "string" and is_number(value):
        # Enums may be numbers, also unknown ones.
        return schema["enum"][-1]
    if kinds in ("integer", "number") and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if kinds == "string" and schema.get("format") in ("int64", "uint64") and is_number(value):
        return str(int(value)) if float(value).is_integer() else value
    return value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@schemathesis.check
def refuses_what_it_does_not_document(ctx, response, case):
    if response.status_code in REFUSED:
        return None
    try:
        return checks.negative_data_rejection(ctx, response, case)
    except AssertionError:
        if lenient(case):
            return None
        raise


def lenient(case):
    import jsonschema_rs

    root = case.operation.schema.raw_schema
    item = root["paths"][case.operation.path][case.operation.method]
    pieces = []
    for parameter in item.get("parameters", []):
        holder = {"query": case.query, "path": case.path_parameters, "header": case.headers}.get(parameter["in"])
        if holder and parameter["name"] in holder:
            value = holder[parameter["name"]]
            schema = parameter["schema"]
            if schema.get("type") == "array" and not isinstance(value, list):
                value = [value]
            elif isinstance(value, list) and len(value) == 1:
                value = value[0]
            if schema.get("type") == "boolean":
                value = {"true": True, "false": False}.get(value, value)
            pieces.append((schema, as_number(schema, value, root)))
        elif parameter.get("required"):
            return False
    body = item.get("requestBody", {}).get("content", {}).get("application/json")
    if body and isinstance(case.body, (dict, list, str, int, float)):
        pieces.append((body["schema"], case.body))
    for schema, value in pieces:
        whole = {**schema, "components": root["components"]}
        if not jsonschema_rs.is_valid(whole, canonical(schema, value, root)):
            return False
    return True


def as_number(schema, value, root):
    """Everything in a query is text: a number of an enum too."""
    if isinstance(value, list):
        return [as_number(schema.get("items", {}), v, root) for v in value]
    target = root["components"]["schemas"].get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
    if "enum" in target and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return value


# `/v1/products/{productId}` takes any segment, `prd_1:sell` too, and only then refuses the id. So
# another verb on a path with a custom verb is 400 or 404 instead of 405, and Allow names the verbs of both.
def custom_verb(case):
    return ":" in case.operation.path


@schemathesis.check
def refuses_other_methods(ctx, response, case):
    if custom_verb(case) and response.status_code in (400, 401, 403, 404):
        return None
    return checks.unsupported_method(ctx, response, case)


@schemathesis.check
def allows_what_it_documents(ctx, response, case):
    if custom_verb(case):
        return None
    return checks.allow_header_conformance(ctx, response, case)
