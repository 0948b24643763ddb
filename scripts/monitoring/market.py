"""A market of its own on embedded stores, and a trade in it, so that there is something to measure."""

import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

PASSWORD = "a long enough passphrase"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def wait(what, ready, seconds, process):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            sys.exit(f"{what} ended with {process.returncode}")
        if found := ready():
            return found
        time.sleep(0.1)
    sys.exit(f"{what} is not ready after {seconds} s")


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def on_servers(folder):
    """Settings for the servers that scripts/with-servers started; nobody else is in their database."""
    return {
        "JANGTEO_DATABASE__URL": os.environ["JANGTEO_TEST_POSTGRES"],
        "JANGTEO_NATS__URL": os.environ["JANGTEO_TEST_NATS"],
        "JANGTEO_REDIS__URL": os.environ["JANGTEO_TEST_REDIS"],
        "JANGTEO_SECRET": f"{random.getrandbits(256):064x}",
        "JANGTEO_AUTH__MAIL__FOLDER": str(folder / "mail"),
        "JANGTEO_MEDIA__FOLDER": str(folder / "media"),
        "JANGTEO_NOTIFICATION__SANDBOX": str(folder / "notices"),
        "JANGTEO_PAYMENT__PROVIDERS__SANDBOX__ENABLED": "true",
        "JANGTEO_SHIPPING__SANDBOX": "true",
        "JANGTEO_TELEMETRY__JSON": "false",
    }


class Market:
    """`api` is where the edge is, `admin` where the metrics are."""

    def __init__(self, binary, folder, settings):
        self.admin = f"127.0.0.1:{free_port()}"
        # What the caller's environment says of other markets is not meant.
        env = {k: v for k, v in os.environ.items() if not k.startswith("JANGTEO_")}
        env |= {"JANGTEO_ADMIN": self.admin, "JANGTEO_TELEMETRY__LOG": "warn"} | settings
        command = [binary, "serve", "all", "--data", folder / "data", "--http", "127.0.0.1:0"]
        self.log = folder / "market.log"
        with open(self.log, "wb") as log:
            # Outside of its folder, so that it finds no jangteo.toml.
            self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        address = wait("the market", self.address, 60, self.process)
        self.api = f"http://{address}/v1"

    def address(self):
        found = re.search(r"listens on http://(\S+)", self.log.read_text(errors="replace"))
        return found and found[1]

    def call(self, method, path, token=None, body=None, fails=False):
        """The answer of one call, as a dict; `fails` wants it refused."""
        headers = {"idempotency-key": f"{random.getrandbits(64):x}"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        if isinstance(body, dict):
            body, headers["content-type"] = json.dumps(body).encode(), "application/json"
        elif body:
            headers["content-type"] = "image/png"
        # A machine with other work answers late; the same key makes a repetition harmless.
        for _ in range(5):
            status, text = self.ask(urllib.request.Request(self.api + path, body, headers, method=method))
            if status not in (503, 504):
                break
        if (status >= 400) != fails:
            sys.exit(f"{method} {path} answered {status}: {text.decode(errors='replace')[:500]}")
        return json.loads(text) if text[:1] == b"{" else {}

    def ask(self, request):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    def person(self, name):
        account = {"email": f"{name}@example.com", "password": PASSWORD}
        self.call("POST", "/auth/register", body=account | {"displayName": name})
        return self.call("POST", "/auth/login", body=account)["accessToken"]

    def until(self, seconds, look):
        """What `look` answers once it is there."""
        end = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > end:
                sys.exit(f"{look.__name__} waits in vain")
            time.sleep(0.3)
        return found

    def open_shop(self):
        """Two people, something to sell, and means to pay."""
        call = self.call
        self.seller, self.buyer = self.person("sora"), self.person("minho")
        device = {"pushService": "PUSH_SERVICE_FCM", "token": f"token-{random.getrandbits(128):x}"}
        call("POST", "/notifications/devices", self.seller, device)
        self.picture = call("POST", "/media", self.seller, picture_of(64))["mediaId"]
        self.product = self.sell()
        home = {"recipient": "민호", "phoneNumber": "+821012345678", "postalCode": "04524", "line1": "세종대로 1"}
        self.home = call("POST", "/users/me/addresses", self.buyer, home)["addressId"]

    def sell(self):
        listing = {
            "title": "무쇠 주전자", "price": {"currencyCode": "KRW", "units": "48000"}, "categoryId": "kitchen-appliances",
            "regionId": "seoul", "condition": "CONDITION_GOOD", "stock": 5, "imageIds": [self.picture],
            "parcel": {"weightGrams": 2400, "sumCm": 70},
        }  # fmt: skip
        return self.call("POST", "/products", self.seller, listing)["productId"]

    def order(self, card):
        card = {"number": card, "expiryMonth": 12, "expiryYear": 2035}
        method = self.call("POST", "/payments/methods", self.buyer, {"card": card})["paymentMethodId"]
        self.call("POST", "/cart/items", self.buyer, {"productId": self.product, "quantity": 1})
        return self.call("POST", "/orders", self.buyer, {
            "items": [{"productId": self.product, "quantity": 1}], "addressId": self.home,
            "shippingOption": "SHIPPING_OPTION_PARCEL", "source": {"paymentMethodId": method},
        })["orderId"]  # fmt: skip

    def trade(self):
        """Something of every service: docs/trade.md, shortened."""
        call = self.call
        self.open_shop()
        order = self.order("4242424242424242")

        def parcel():
            return call("GET", f"/shipments?orderId={order}", self.seller).get("shipments")

        shipment = self.until(20, parcel)[0]["shipmentId"]
        call("POST", f"/shipments/{shipment}:book", self.seller, {"parcel": {"carrier": "cj"}})
        self.order("4000000000000465")  # a webhook says how that one ends

        def delivered():
            self.browse()
            return "DELIVERED" in json.dumps(call("GET", f"/shipments/{shipment}", self.buyer))

        self.until(60, delivered)
        call("POST", f"/orders/{order}:confirm", self.buyer, {})
        call("POST", f"/orders/{order}/reviews", self.buyer, {"part": 1, "rating": 5, "text": "포장이 꼼꼼했어요"})

    def browse(self):
        """What is counted by rates has to go on for a while."""
        self.sell()
        for path in (
            "/products", f"/products/{self.product}", f"/products/{self.product}/reviews", "/categories", "/media",
            "/search/products?q=" + urllib.parse.quote("주전자"), "/search:suggest?q=" + urllib.parse.quote("ㅈㅈ"),
            f"/media/{self.picture}", "/users/me", "/cart", "/orders", "/notifications", "/wallet",
        ):  # fmt: skip
            self.call("GET", path, self.buyer)
        self.call("GET", "/products/prd_01890000000070008000000000000000", self.buyer, fails=True)
        self.call("GET", "/users/me", fails=True)
        time.sleep(1.5)  # the buyer may ask 600 times a minute


def picture_of(size):
    """A grey PNG."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes([128]) * size for _ in range(size))
    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
