"""`scripts/mesh/canary`: a second version of a service beside the stable one. Standard library only.

Changes istio/canary.toml, and nothing else by hand: the manifests are rendered from it. `analyse` asks Prometheus whether the canary
is good. A failed gRPC call is an HTTP 200, so it is the gRPC status that counts, never `response_code`."""

import argparse
import json
import re
import subprocess
import sys
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from meshrig.tools import ROOT

GOOD, BAD, UNKNOWN = 0, 1, 2  # exit codes of `analyse`
# Faults of ours; the other codes are the callers' own. As numbers in Istio's metrics, as names in the market's.
FAULTS = {"2": "UNKNOWN", "4": "DEADLINE_EXCEEDED", "12": "UNIMPLEMENTED", "13": "INTERNAL", "14": "UNAVAILABLE", "15": "DATA_LOSS"}


class Refused(Exception):
    """What the caller asked for can't be done; says why."""


# ---- the file


@dataclass
class Canary:
    tag: str
    weight: int
    replicas: int


class File:
    """istio/canary.toml: its tables are changed line by line, so that what people wrote beside them stays."""

    def __init__(self, root):
        self.path = Path(root) / "istio" / "canary.toml"
        self.text = self.path.read_text()

    def canaries(self):
        return {name: Canary(**table) for name, table in tomllib.loads(self.text).get("services", {}).items()}

    def put(self, service, canary):
        values = {"tag": json.dumps(canary.tag), "weight": str(canary.weight), "replicas": str(canary.replicas)}
        begin, end = self.table(service)
        lines = self.text.splitlines()
        if begin is None:
            lines += ["", f"[services.{service}]", *(f"{k} = {v}" for k, v in values.items())]
        else:
            for i in range(begin + 1, end):
                key = lines[i].partition("=")[0].strip()
                if key in values:
                    comment = re.search(r"\s*#.*$", lines[i])
                    lines[i] = f"{key} = {values.pop(key)}{comment[0] if comment else ''}"
            lines[end:end] = [f"{k} = {v}" for k, v in values.items()]
        self.write(lines)

    def remove(self, service):
        begin, end = self.table(service)
        lines = self.text.splitlines()
        while begin > 0 and not lines[begin - 1].strip():
            begin -= 1
        self.write(lines[:begin] + lines[end:])

    def table(self, service):
        """(first line, line behind the last key) of a service's table; (None, None) when there is none."""
        lines = self.text.splitlines()
        begin = next((i for i, line in enumerate(lines) if line.strip() == f"[services.{service}]"), None)
        if begin is None:
            return None, None
        end = begin + 1
        for i in range(begin + 1, len(lines)):
            if lines[i].lstrip().startswith("["):
                break
            if lines[i].strip() and not lines[i].lstrip().startswith("#"):
                end = i + 1
        return begin, end

    def write(self, lines):
        self.text = "\n".join(lines).rstrip("\n") + "\n"
        tomllib.loads(self.text)  # what we write has to be readable
        self.path.write_text(self.text)


def services(root):
    return sorted(p.stem for p in (Path(root) / "istio" / "services").glob("*.yaml") if "kind: VirtualService" in p.read_text())


def stable_version(root):
    return tomllib.loads((Path(root) / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def render(root, command):
    done = subprocess.run(command, cwd=root, text=True)
    if done.returncode != 0:
        raise Refused(f"{' '.join(command)} failed; istio/canary.toml is changed, what is rendered from it is not")


def known(root, service):
    if service not in services(root):
        raise Refused(f"there is no service {service}; there are: {', '.join(services(root))}")


def put(args):
    known(args.root, args.service)
    file = File(args.root)
    old = file.canaries().get(args.service)
    tag = args.version or (old.tag if old else None)
    if tag is None:
        raise Refused(f"{args.service} has no canary yet: which version? VERSION=0.2.0, the tag of an image")
    if not 0 <= args.weight <= 100:
        raise Refused(f"a weight is a percentage, not {args.weight}")
    replicas = args.replicas or (old.replicas if old else 1)
    file.put(args.service, Canary(tag, args.weight, replicas))
    render(args.root, args.render)
    print(f"{args.service}: {args.weight} % of calls to {tag}, {100 - args.weight} % to {stable_version(args.root)}")
    header = tomllib.loads(file.text)["header"]
    print(f"with the header {header}: {args.service} a call goes to {tag} whatever the weight")
    print("apply it (kubectl apply --kustomize k8s/overlays/…), and ask `scripts/mesh/canary analyse` before the next step")


def promote(args):
    """All calls; or, once its version is the stable one, the end of the canary."""
    known(args.root, args.service)
    file = File(args.root)
    canary = file.canaries().get(args.service)
    if canary is None:
        raise Refused(f"{args.service} has no canary")
    if canary.tag == stable_version(args.root):
        file.remove(args.service)
        said = f"{args.service}: {canary.tag} is the stable version; the canary is gone"
    else:
        file.put(args.service, Canary(canary.tag, 100, canary.replicas))
        said = (f"{args.service}: all calls to {canary.tag}. Make it the stable version (release {canary.tag}, `jangteo manifests`), "
                f"then promote again: the canary's pods go then")
    render(args.root, args.render)
    print(said)


def rollback(args):
    """Back to the stable version, at once."""
    known(args.root, args.service)
    file = File(args.root)
    if args.service not in file.canaries():
        raise Refused(f"{args.service} has no canary")
    file.remove(args.service)
    render(args.root, args.render)
    print(f"{args.service}: all calls to the stable version; the canary is gone")


# ---- is it good?


class Prometheus:
    def __init__(self, url):
        self.url = url.rstrip("/")

    def query(self, text):
        """[(labels, value)] of an instant query."""
        url = f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                answer = json.load(reply)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise Refused(f"{self.url}: {error}") from error
        if answer.get("status") != "success":
            raise Refused(f"{self.url}: {answer.get('error', answer)}")
        return [(r["metric"], float(r["value"][1])) for r in answer["data"]["result"]]


@dataclass
class Seen:
    """What one source of metrics counted of one version."""

    calls: float
    faults: dict  # code -> calls

    @property
    def ratio(self):
        return sum(self.faults.values()) / self.calls if self.calls else 0.0


def mesh_calls(service, version, window, reporter):
    workload = service if version == "stable" else f"{service}-canary"
    return (f'sum by (grpc_response_status) (increase(istio_requests_total{{reporter="{reporter}", request_protocol="grpc", '
            f'destination_workload_namespace="jangteo", destination_workload="{workload}"}}[{window}]))')


def own_calls(service, version, window):
    return (f'sum by (code) (increase(grpc_server_calls{{namespace="jangteo", service=~"jangteo[.]{service}[.].+", '
            f'version="{version}"}}[{window}]))')


def latency(service, version, window):
    workload = service if version == "stable" else f"{service}-canary"
    return (f'histogram_quantile(0.99, sum by (le) (increase(istio_request_duration_milliseconds_bucket{{reporter="destination", '
            f'request_protocol="grpc", destination_workload_namespace="jangteo", destination_workload="{workload}"}}[{window}])))')


def seen(rows, label):
    by_code = {}
    for labels, value in rows:
        code = FAULTS.get(labels.get(label, ""), labels.get(label, ""))
        by_code[code] = by_code.get(code, 0.0) + value
    return Seen(sum(by_code.values()), {c: n for c, n in by_code.items() if c in FAULTS.values() and n > 0})


def analyse(prometheus, service, window, availability, slower, least):
    """(exit code, lines). Bad is: more faults than `availability` allows and than the stable version has twice; or a p99 `slower` times its."""
    verdict, lines = GOOD, []
    sources = {
        "the canary's sidecars": lambda v: seen(prometheus.query(mesh_calls(service, v, window, "destination")), "grpc_response_status"),
        # What never reached a pod is known to the callers' sidecars alone.
        "its callers' sidecars": lambda v: seen(prometheus.query(mesh_calls(service, v, window, "source")), "grpc_response_status"),
        "the processes": lambda v: seen(prometheus.query(own_calls(service, v, window)), "code"),
    }
    for name, ask in sources.items():
        canary, stable = ask("canary"), ask("stable")
        allowed = max(1 - availability, 2 * stable.ratio)
        said = f"{canary.calls:.0f} calls, {canary.ratio:.2%} faults {faults(canary)}; stable {stable.calls:.0f} calls, {stable.ratio:.2%}"
        if canary.calls < least:
            word, verdict = "too few", max(verdict, UNKNOWN) if verdict != BAD else BAD
        elif canary.ratio > allowed:
            word, verdict = f"BAD: over {allowed:.2%}", BAD
        else:
            word = "good"
        lines.append(f"{name}: {said}: {word}")
    times = {v: finite(prometheus.query(latency(service, v, window))) for v in ("canary", "stable")}
    if times["canary"] is not None and times["stable"] is not None:
        late = times["canary"] > max(slower * times["stable"], times["stable"] + 25)
        verdict = BAD if late else verdict
        lines.append(f"p99: {times['canary']:.0f} ms; stable {times['stable']:.0f} ms: {'BAD: slower' if late else 'good'}")
    else:
        lines.append("p99: not known of both versions")
    return verdict, lines


def faults(one):
    return "(" + ", ".join(f"{code} {count:.0f}" for code, count in sorted(one.faults.items())) + ")" if one.faults else ""


def finite(rows):
    values = [v for _, v in rows if v == v and v not in (float("inf"), float("-inf"))]
    return values[0] if values else None


def judge(args):
    known(args.root, args.service)
    canary = File(args.root).canaries().get(args.service)
    if canary is None:
        raise Refused(f"{args.service} has no canary")
    verdict, lines = analyse(
        Prometheus(args.prometheus), args.service, args.window, args.availability, args.slower, args.least)
    print("\n".join(lines))
    print({
        GOOD: f"good: {args.service} {canary.tag} may get more calls",
        BAD: f"bad: scripts/mesh/canary rollback {args.service}",
        UNKNOWN: f"no verdict: fewer than {args.least} calls in {args.window}",
    }[verdict])
    return verdict


# ---- the command


def parser():
    top = argparse.ArgumentParser(description="a second version of a service beside the stable one")
    top.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    top.add_argument("--render", type=str.split, help="the command that renders",
                     default=["cargo", "run", "--quiet", "--locked", "--package", "jangteo", "--", "manifests"])
    commands = top.add_subparsers(required=True)

    def command(name, run, text):
        one = commands.add_parser(name, help=text)
        one.add_argument("service")
        one.set_defaults(run=run)
        return one

    one = command("set", put, "give a version a share of the calls; 0 keeps it for those who ask by header")
    one.add_argument("--weight", type=int, required=True, help="percent of calls")
    one.add_argument("--version", help="tag of the image; as before when there is a canary already")
    one.add_argument("--replicas", type=int, help="pods at least [default: as before, or 1]")
    command("promote", promote, "all calls to the canary; when its version is the stable one, end it")
    command("rollback", rollback, "all calls to the stable version, and the canary's pods away")
    one = command("analyse", judge, "ask Prometheus; exit code 0 good, 1 bad, 2 no verdict")
    one.add_argument("--prometheus", required=True, help="http://localhost:9090, as by kubectl port-forward")
    one.add_argument("--window", default="10m", help="how far back to look [default: %(default)s]")
    one.add_argument("--availability", type=float, default=0.995, help="share of calls without a fault [default: %(default)s]")
    one.add_argument("--slower", type=float, default=1.5, help="a p99 so many times the stable one's is bad [default: %(default)s]")
    one.add_argument("--least", type=int, default=100, help="calls below which there is no verdict [default: %(default)s]")
    return top


def main(arguments=None):
    args = parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except Refused as why:
        print(f"canary: {why}", file=sys.stderr)
        return UNKNOWN
