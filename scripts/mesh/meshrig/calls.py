"""Calls as applications make them, and applications that are not what they seem."""

import itertools
import threading
import time
from concurrent import futures
from dataclasses import dataclass

import grpc

OK, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNIMPLEMENTED, UNAVAILABLE = 0, 4, 7, 12, 14
NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
BYTES = {"request_serializer": lambda b: b, "response_deserializer": lambda b: b}
QUIET = [("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
IDS = itertools.count(1)


@dataclass
class Reply:
    code: int
    text: str
    seconds: float
    id: str
    message: bytes = b""

    def __str__(self):
        return f"{NAMES[self.code]} after {self.seconds:.2f} s ({self.text[:120]})"


class Channel:
    """h2c to an address: what an application's client does, whose Envoy does the rest."""

    def __init__(self, ip, port):
        self.channel = grpc.insecure_channel(f"{ip}:{port}", options=QUIET)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, path, payload=b"", timeout=None, metadata=()):
        name = f"c{next(IDS)}"
        began = time.monotonic()
        try:
            message, _ = self.channel.unary_unary(path, **BYTES).with_call(
                payload, timeout=timeout, metadata=[("x-check", name), *metadata])
            return Reply(OK, "", time.monotonic() - began, name, message)
        except grpc.RpcError as error:
            return Reply(error.code().value[0], error.details() or "", time.monotonic() - began, name)

    def stream(self, path, payload=b""):
        """(messages, code, seconds) of a server's stream, to its end."""
        began, messages = time.monotonic(), 0
        try:
            for _ in self.channel.unary_stream(path, **BYTES)(payload):
                messages += 1
            code = OK
        except grpc.RpcError as error:
            code = error.code().value[0]
        return messages, code, time.monotonic() - began


class Fake(grpc.GenericRpcHandler):
    """An application that answers every method as it is told to, and counts. Its sidecar is a real one."""

    def __init__(self, ip, port):
        self.code, self.delay, self.stream = OK, 0.0, []
        self.counts, self.deadlines, self.metadata, self.lock = {}, [], {}, threading.Lock()
        self.stopping = threading.Event()
        self.server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self,))
        if self.server.add_insecure_port(f"{ip}:{port}") == 0:
            raise OSError(f"{ip}:{port} is taken")
        self.server.start()

    def service(self, details):
        if self.stream:
            return grpc.unary_stream_rpc_method_handler(self.streamed(details.method))
        return grpc.unary_unary_rpc_method_handler(self.answer(details.method))

    def count(self, path, context):
        with self.lock:
            self.counts[path] = self.counts.get(path, 0) + 1
            self.deadlines.append(context.time_remaining())
            self.metadata = dict(context.invocation_metadata())

    def answer(self, path):
        def handler(_, context):
            self.count(path, context)
            until = time.monotonic() + self.delay
            while self.delay and time.monotonic() < until and context.is_active() and not self.stopping.is_set():
                time.sleep(0.02)
            if self.code != OK:
                code = next(c for c in grpc.StatusCode if c.value[0] == self.code)
                context.abort(code, "as it was told")
            return b""

        return handler

    def streamed(self, path):
        def handler(_, context):
            self.count(path, context)
            for pause in self.stream:
                if self.stopping.wait(pause):
                    return
                yield b""

        return handler

    def reset(self, code=OK, delay=0.0, stream=()):
        self.code, self.delay, self.stream = code, delay, list(stream)
        self.counts, self.deadlines = {}, []

    def seen(self, path=None):
        return self.counts.get(path, 0) if path else sum(self.counts.values())

    def stop(self, *_):
        self.stopping.set()
        self.server.stop(0).wait()
