"""Keys and tokens of nobody: what a forger could make."""

import base64
import json
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_set(kid="nobody"):
    """(private key, key set) that signs no token of the market."""
    key = Ed25519PrivateKey.generate()
    x = text(key.public_key().public_bytes_raw())
    jwk = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}
    return key, json.dumps({"keys": [jwk]})


def parts(token):
    """(header, claims) of a token, unverified."""
    return [json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in token.split(".")[:2]]


def forge(token, **claims):
    """The same token, with other claims and another's signature."""
    header, said = parts(token)
    now = int(time.time())
    said |= {"iat": now, "nbf": now, "exp": now + 600} | claims
    key, _ = key_set()
    signed = ".".join(text(json.dumps(part, separators=(",", ":")).encode()) for part in (header, said))
    return f"{signed}.{text(key.sign(signed.encode()))}"
