"""What the proto says of each method: who may call it, how long it may take, whether it may be repeated."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from meshrig.tools import ROOT

DEFAULT_TIMEOUT = 5.0  # as in libs/proto/src/policy.rs


@dataclass
class Method:
    path: str
    service: str
    callers: list
    timeout: float  # None: a stream without a limit
    repeatable: bool
    streaming: bool
    client_streaming: bool
    http: tuple  # (verb, path), or None

    def admits(self, caller, services):
        """`*` is any service of the platform, and the gateway."""
        return caller in self.callers or ("*" in self.callers and caller in services)


def methods(root=ROOT):
    """Of every service of the market, from the protos themselves."""
    with tempfile.TemporaryDirectory(prefix="jangteo-mesh-") as folder:
        out = Path(folder) / "set.binpb"
        files = sorted(str(p.relative_to(root / "proto")) for p in (root / "proto" / "jangteo").rglob("*.proto"))
        well_known = Path(grpc_tools.__file__).parent / "_proto"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root / 'proto'}", f"-I{well_known}"]
        command += [f"--descriptor_set_out={out}", "--include_imports", *files]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"protoc: {done.stderr}")
        raw = out.read_bytes()
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(raw).file
    for file in files:
        pool.Add(file)
    # Options are read with this pool's own classes, which know the extensions.
    options = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
    policy = pool.FindExtensionByName("jangteo.options.v1.policy")
    rule = pool.FindExtensionByName("google.api.http")
    found = []
    for file in files:
        if not file.package.startswith("jangteo."):
            continue
        for service in file.service:
            for m in service.method:
                said = options.FromString(m.options.SerializeToString())
                one = said.Extensions[policy]
                streaming = m.client_streaming or m.server_streaming
                timeout = one.timeout.seconds + one.timeout.nanos / 1e9 if one.HasField("timeout") else None
                http = said.Extensions[rule]
                verb = http.WhichOneof("pattern")
                found.append(Method(
                    path=f"/{file.package}.{service.name}/{m.name}",
                    service=file.package.split(".")[1],
                    callers=list(one.callers) or ["gateway"],
                    timeout=timeout if timeout is not None else (None if streaming else DEFAULT_TIMEOUT),
                    repeatable=said.idempotency_level != 0,
                    streaming=streaming,
                    client_streaming=m.client_streaming,
                    http=(verb.upper(), getattr(http, verb)) if verb and verb != "custom" else None,
                ))
    return found
