"""`scripts/mesh/rig`: the mesh for a person to play with."""

import argparse
import subprocess
import time
from pathlib import Path

from meshrig import core, tools, translate
from meshrig.core import EDGE, say
from meshrig.methods import methods


def main(script):
    parser = argparse.ArgumentParser(description="the market as a mesh on this machine")
    parser.add_argument("--manifests", type=Path, default=tools.ROOT, help="the folder that holds k8s/ and istio/")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--serve", action="store_true", help="start it, print a map, stop on Ctrl-C")
    what.add_argument("--translate", metavar="DIR", type=Path, help="write Envoy's configurations there and validate them")
    args = parser.parse_args()
    tools.envoy()
    if args.translate:
        return translated(args.manifests, args.translate)
    tools.with_stores(script)
    try:
        with core.running(core.Rig(args.manifests)) as rig:
            say("starting the market; a minute on a busy machine")
            took = rig.start()
            say(f"ready after {took:.0f} s\n\n{plan(rig)}")
            while True:
                time.sleep(1)
                for pod in rig.pods:
                    for process in (pod.app, pod.proxy.process):
                        if process is not None and not process.running():
                            say(f"{process.name} has ended; its log is {process.log}")
                            return 1
    except KeyboardInterrupt:
        say("stopped")
        return 0


def translated(manifests, folder):
    """Without a market: each Envoy's listeners and clusters in one static file, and Envoy's own opinion of it."""
    import json

    rig = core.Rig(manifests)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for workload in rig.mesh.workloads:
            rig.new_pod(workload, workload.name)
        translator, bad = rig.translator(), 0
        for pod in rig.pods:
            listeners, clusters = translator.ingress(pod) if pod.ingress else map(
                lambda pair: pair[0] + pair[1], zip(translator.inbound(pod), translator.outbound(pod)))
            for listener in listeners:
                listener.pop("@type")
            path = folder / f"{pod.name}.json"
            path.write_text(json.dumps({"node": {"id": pod.name, "cluster": pod.name}, "static_resources": {"listeners": listeners, "clusters": clusters}}, indent=1))
            done = subprocess.run([tools.ENVOY, "--mode", "validate", "-c", path, "-l", "error"], capture_output=True, text=True)
            bad += done.returncode != 0
            say(f"{pod.name}\t{'ok' if done.returncode == 0 else done.stdout + done.stderr}")
        return 1 if bad else 0
    finally:
        rig.stop()


def plan(rig):
    """The map: where everything is, and who may call what."""
    known = methods(rig.root) if (rig.root / "proto").exists() else methods()
    lines = ["service        calls to it (mutual TLS)  its Envoy's admin page        its own port (behind Envoy)"]
    for pod in rig.pods:
        ip = rig.net.pod(pod.number)
        calls = ", ".join(f"{ip}:{port}" for name, port in pod.ports.items() if name != "http-admin")
        inner = "" if pod.ingress else f"{rig.net.inner(pod.number)}"
        lines.append(f"{pod.name:14} {calls or ip:25} http://{ip}:{translate.ADMIN_PORT:<14} {inner}")
    lines += ["", "who may call whom, by what the methods declare (the sidecars refuse the rest):"]
    for callee in sorted({m.service for m in known} & {p.name for p in rig.pods}):
        callers = {}
        for m in (m for m in known if m.service == callee):
            for caller in m.callers:
                callers[caller] = callers.get(caller, 0) + 1
        said = ", ".join(f"{'every service' if c == '*' else c} ({n})" for c, n in sorted(callers.items(), key=lambda i: -i[1]))
        lines.append(f"  {callee:13} {said}")
    return "\n".join(lines + ["", *hints(rig)])


def hints(rig):
    """Things to try."""
    from meshrig.ingress import url_of

    edge, ca = rig.pod(EDGE), rig.authority.ca
    base, options = url_of(rig)
    order = rig.pod("order")
    to_catalog = rig.net.peer(order.number, rig.numbers["catalog.jangteo.svc.cluster.local"])
    return [
        f"the edge: {base}   (folder with logs, configurations and certificates: {rig.folder})",
        f"  curl {options} {base}/v1/categories",
        f"  curl {options} {base}/v1/users/me -H 'authorization: Bearer forged.forged.forged' -i   # refused by Envoy",
        f"  curl http://{rig.net.pod(edge.number)}:{edge.ports['http-edge']}/v1/categories          # plaintext: the connection is closed",
        f"  what order's Envoy does with calls to catalog: http://{rig.net.pod(order.number)}:{translate.ADMIN_PORT}/clusters",
        f"  order's own way to catalog: {to_catalog}:50051 (h2c; its Envoy adds the certificate)",
        f"  one access log a pod: tail -f {rig.folder}/pods/*/access.jsonl",
        f"  the authority: {ca}",
        "Ctrl-C stops everything.",
    ]
