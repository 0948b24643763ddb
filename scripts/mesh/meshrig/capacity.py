"""`scripts/mesh/capacity`: from CPU microseconds a request to cores. Standard library only, but for `--measure`."""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from meshrig.tools import ROOT

BEGIN, END = "<!-- capacity: begin -->", "<!-- capacity: end -->"
HEADING = "## The market"
CREATED = r"([\d,.]+) CPU microseconds each"  # of products created, in the text behind the table
TIERS = ("the edge", "services", "proxies")


class Wrong(Exception):
    """An input that does not say what it should."""


@dataclass
class Cost:
    edge: float
    service: float


def costs(text):
    """Row -> CPU microseconds in the edge and in the service, from docs/performance.md."""
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    if not rows or rows[0][1:3] != ["edge", "gRPC without the edge"]:
        raise Wrong(f"docs/performance.md: the table under {HEADING!r} has other columns")
    found = {}
    for name, edge, service, *_ in rows[2:]:
        # "list of 100 (62 KB)" is "list of 100"; the first column counts the service's work too.
        found[re.sub(r" \(.*\)$", "", name)] = Cost(float(edge) - float(service), float(service))
    created = re.search(CREATED, section)
    if not created or "one product" not in found:
        raise Wrong(f"docs/performance.md: under {HEADING!r} there is no cost of a product created, or of one read")
    whole, edge = float(created[1].replace(",", "")), found["one product"].edge
    found["a product created"] = Cost(edge, whole - edge)
    return found


def read(root):
    """(costs, model, utilisation)"""
    model = tomllib.loads((root / "docs/operations/capacity.toml").read_text())
    sizing = tomllib.loads((root / "k8s/sizing.toml").read_text())
    target = sizing["defaults"]["cpu_target"] / 100
    if sum(m["share"] for m in model["mix"]) != 100:
        raise Wrong("docs/operations/capacity.toml: the shares of the mix don't add up to 100")
    return costs((root / "docs/performance.md").read_text()), model, target


def per_request(cost, calls, proxy):
    """CPU microseconds by tier. The way in passes the ingress gateway and the edge's sidecar, each call two sidecars."""
    return dict(zip(TIERS, (cost.edge, cost.service, (2 + 2 * calls) * proxy)))


def tables(known, model, target):
    proxy, total, lines = model["proxy"]["microseconds"], dict.fromkeys(TIERS, 0.0), []
    lines += ["CPU microseconds a request:", "", "| request | share | " + " | ".join(TIERS) + " | in all |", "| --- | --- |" + " --- |" * 4]
    for one in model["mix"]:
        if one["cost"] not in known:
            raise Wrong(f"docs/performance.md has no row {one['cost']!r}; it has {', '.join(known)}")
        tiers = per_request(known[one["cost"]], one["calls"], proxy)
        for tier in TIERS:
            total[tier] += tiers[tier] * one["share"] / 100
        numbers = " | ".join(f"{tiers[t]:.0f}" for t in TIERS)
        lines.append(f"| {one['request']} | {one['share']} % | {numbers} | {sum(tiers.values()):.0f} |")
    numbers = " | ".join(f"{total[t]:.0f}" for t in TIERS)
    lines += [f"| **the mix** | 100 % | {numbers} | {sum(total.values()):.0f} |", ""]
    lines += [f"Cores, busy and to provide when pods are to be {target:.0%} busy:", ""]
    lines += ["| requests/s | " + " | ".join(TIERS) + " | busy in all | to provide |", "| --- |" + " --- |" * 5]
    for rate in model["rates"]:
        cores = {t: total[t] * rate / 1e6 for t in TIERS}
        busy = sum(cores.values())
        lines.append(f"| {rate:,} | " + " | ".join(number(cores[t]) for t in TIERS) + f" | {number(busy)} | {number(busy / target)} |")
    return "\n".join(lines)


def number(cores):
    return f"{cores:.1f}" if cores < 100 else f"{cores:,.0f}"


def replaced(document, text):
    begin, end = document.find(BEGIN), document.find(END)
    if begin < 0 or end < begin:
        raise Wrong(f"docs/operations/capacity.md: {BEGIN} and {END} are missing")
    return f"{document[:begin]}{BEGIN}\n{text}\n{document[end:]}"


def main(script, arguments=None):
    parser = argparse.ArgumentParser(description="cores for a rate of requests, from what a request costs")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="put the tables into docs/operations/capacity.md")
    what.add_argument("--check", action="store_true", help="fail when docs/operations/capacity.md says something else")
    what.add_argument("--measure", action="store_true", help="what a proxy spends on a call, on this machine: starts the mesh")
    args = parser.parse_args(arguments)
    if args.measure:
        return measured(script)
    path = args.root / "docs/operations/capacity.md"
    try:
        text = tables(*read(args.root))
        if not (args.write or args.check):
            print(text)
            return 0
        old = path.read_text()
        new = replaced(old, text)
    except (Wrong, KeyError) as why:
        print(f"capacity: {why}", file=sys.stderr)
        return 2
    if args.write:
        path.write_text(new)
    elif old != new:
        print("docs/operations/capacity.md is stale: make capacity", file=sys.stderr)
        return 1
    return 0


def measured(script):
    """CPU microseconds of the two Envoys between a caller and a replica that answers at once."""
    from meshrig import tools

    tools.with_packages(script)
    tools.envoy()
    tools.with_stores(script)
    from meshrig import core, lab

    with core.running(core.Rig(settings=lab.SETTINGS)) as rig:
        rig.start()
        bench = lab.Lab(rig)
        pod = bench.fake("catalog", "fake-1")
        rig.start_pods([pod], join=False)
        edge = rig.pod(core.EDGE)
        with bench.catalog(pod) as channel:
            calls(channel, 2_000)
            before, n = [cpu(p) for p in (edge, pod)], 20_000
            calls(channel, n)
            spent = [(cpu(p) - b) * 1e6 / n for p, b in zip((edge, pod), before)]
    print(f"the caller's proxy {spent[0]:.0f}, the callee's {spent[1]:.0f} CPU microseconds a call")
    return 0


def calls(channel, n):
    import concurrent.futures

    from meshrig.lab import CATALOG

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: channel.call(CATALOG + "GetProduct", timeout=10), range(n)))


def cpu(pod):
    """Seconds of CPU that a pod's Envoy has used."""
    import os

    fields = Path(f"/proc/{pod.proxy.process.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
