"""A Prometheus beside a running market: does what rules and dashboards ask for exist?"""

import json
import re
import subprocess
import tempfile
import time
import tomllib
import urllib.parse
from pathlib import Path

import tools
import yaml
from market import Market, free_port, get, on_servers, stop, wait
from rules import ROOT, each, load, write

CONFIG = ROOT / "monitoring" / "prometheus.yaml"
DASHBOARDS = sorted(ROOT.glob("monitoring/dashboards/*.json"))
EMPTY = ROOT / "monitoring" / "empty.toml"
PATIENCE = 40  # seconds, from the last call to the last answer


class Prometheus:
    def __init__(self, folder, target, specs, address=None, interval="1s"):
        self.address = address or f"127.0.0.1:{free_port()}"
        write(specs, folder / "rules")
        config = yaml.safe_load(CONFIG.read_text())
        config["global"] = {"scrape_interval": interval, "evaluation_interval": interval}
        config["rule_files"] = [str(folder / "rules" / "*.yaml")]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.log = folder / "prometheus.log"
        command = [
            tools.program("prometheus"), f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={self.address}",
        ]  # fmt: skip
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        wait("Prometheus", self.ready, 30, self.process)

    def ready(self):
        try:
            return get(f"http://{self.address}/-/ready", timeout=2)
        except OSError:
            return None

    def api(self, path, **query):
        return json.loads(get(f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"))["data"]

    def answers(self, expr):
        """Whether there is a number; NaN is none."""
        return any(sample["value"][1] != "NaN" for sample in self.api("query", query=expr)["result"])


def queries(apps):
    """`(where, expressions)` of the dashboards: with a variable of services one expression for each of them."""
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$namespace", ".*").replace("$__rate_interval", "1m")
                found = [expr.replace("$service", app) for app in apps] if "$service" in expr else [expr]
                yield f"{path.stem}: {panel['title']}: {target['expr']}", found
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                metric, label = re.fullmatch(r"label_values\((\S+), (\w+)\)", variable["query"]["query"]).groups()
                # A market outside of a cluster has no namespaces.
                yield f"{path.stem}: ${variable['name']}", [metric if label == "namespace" else f'{metric}{{{label}!=""}}']


def recorded(rule):
    labels = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
    return f"{rule['record']}{{{labels}}}"


def nobody_called(rule, prometheus):
    """Whether a rule is about methods that nobody called."""
    selector = re.search(r'grpc_server_seconds_count\{[^}]*method=~"[^"]*"\}', rule["expr"])
    return bool(selector) and not prometheus.answers(selector[0])


def bounds(rules, metrics):
    """Bounds that a rule names and the market does not have."""
    for rule in rules:
        for metric, le in re.findall(r'(\w+_bucket)\{[^}]*le=~?"([^"]+)"', rule["expr"]):
            le = le.removesuffix("([.]0)?")
            if not re.search(rf'^{metric}\{{.*le="{re.escape(le)}"', metrics, re.M):
                yield f"no {metric} has the bound {le}"


def unknown(expr, reasons):
    """Whether nothing in `expr` is listed as possibly missing."""
    return not any(name in expr for name in reasons)


def check(args):
    specs, wrong = load(), []
    rules = each(specs)
    listed = tomllib.loads(EMPTY.read_text())
    reasons = listed["market"] | listed["cluster"]
    sources = "".join(p.read_text() for d in ("libs", "services", "gateway") for p in (ROOT / d).rglob("src/**/*.rs"))
    wrong += [f"{EMPTY.name}: the program has no {name}" for name in listed["market"] if name.isidentifier() and f'"{name}"' not in sources]
    if not args.market.exists():
        subprocess.run(["cargo", "build", "--locked", "--package", "jangteo"], cwd=ROOT, check=True)
    started = []
    with tempfile.TemporaryDirectory(prefix="jangteo-monitoring-") as folder:
        folder = Path(folder)
        try:
            market = Market(args.market.resolve(), folder, on_servers(folder) if args.servers else {})
            started.append(market.process)
            prometheus = Prometheus(folder, market.admin, specs)
            started.append(prometheus.process)
            market.trade()
            began = time.monotonic()
            metrics = get(f"http://{market.admin}/metrics")
            wrong += bounds(rules, metrics)
            apps = sorted({rule["labels"]["app"] for rule in rules if "app" in rule.get("labels", {})})
            asked = [(f"rule {recorded(rule)}", [recorded(rule)], rule) for rule in rules if "record" in rule]
            asked += [(where, found, None) for where, found in queries(apps)]
            missing, total = asked, len(asked)
            while missing and time.monotonic() - began < PATIENCE:
                missing = [q for q in missing if not any(prometheus.answers(expr) for expr in q[1])]
                if all(excused(q, reasons, prometheus) for q in missing):
                    break
                market.browse()
            wrong += [f"no data: {q[0]}" for q in missing if not excused(q, reasons, prometheus)]
            for rule in (rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]):
                if rule["health"] != "ok":
                    wrong.append(f"{rule['name']}: {rule['health']}: {rule.get('lastError', '')}")
            # A busy machine is slow, and that is no defect.
            firing = {a["labels"]["alertname"] for a in prometheus.api("alerts")["alerts"] if a["state"] == "firing"}
            print(f"  firing: {', '.join(sorted(firing)) or 'nothing'}", flush=True)
            uncalled = [q for q in missing if q[2] and excused(q, reasons, prometheus)]
            listed = [q for q in missing if not q[2] and excused(q, reasons, prometheus)]
            print(f"  {total} queries, {total - len(missing)} answered; empty: {len(uncalled)} of methods that nobody called,")
            print(f"  {len(listed)} that {EMPTY.name} explains, {len(missing) - len(uncalled) - len(listed)} others", flush=True)
        finally:
            for process in reversed(started):
                stop(process)
    return wrong


def excused(question, reasons, prometheus):
    _, found, rule = question
    if rule:
        return nobody_called(rule, prometheus)
    return not unknown(found[0], reasons)


def watch(_):
    """For `make run`: its metrics are at the edge."""
    with tempfile.TemporaryDirectory(prefix="jangteo-monitoring-") as folder:
        prometheus = Prometheus(Path(folder), "127.0.0.1:8080", load(), "127.0.0.1:9091", "5s")
        print(f"http://{prometheus.address}/alerts", flush=True)
        try:
            prometheus.process.wait()
        finally:
            stop(prometheus.process)
    return []
