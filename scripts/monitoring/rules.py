"""The rules out of their Kubernetes objects, and what promtool says of them."""

import copy
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tools
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = "k8s/components/monitoring/services/*-rules.yaml"
TESTS = ROOT / "monitoring" / "tests"
RUNBOOK = ROOT / "docs" / "operations" / "observe.md"


def load():
    """`{"order": {"groups": […]}, …}`, by the file's name."""
    found = {}
    for path in sorted(ROOT.glob(SOURCE)):
        document = yaml.safe_load(path.read_text())
        assert document["kind"] == "PrometheusRule", path
        found[path.stem.removesuffix("-rules")] = document["spec"]
    assert len(found) > 1, "there are no rendered rules: make manifests"
    return found


def each(specs):
    return [rule for spec in specs.values() for group in spec["groups"] for rule in group["rules"]]


def write(specs, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in specs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(spec))


def promtool(*args):
    done = subprocess.run([tools.program("promtool"), *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def check(_):
    specs = load()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(specs, folder / "rules")
        shutil.copytree(TESTS, folder / "tests")
        code, text = promtool("check", "rules", "--lint=all", "--lint-fatal", *sorted(folder.glob("rules/*")))
        wrong = [text] if code else []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = sorted(folder.glob("tests/*"))
            for (code, text), file in zip(pool.map(lambda f: promtool("test", "rules", f), files), files):
                wrong += [f"{file.name}: {text}"] if code else []
    alerts = [rule for rule in each(specs) if "alert" in rule]
    tested = "".join(file.read_text() for file in TESTS.glob("*"))
    guide = RUNBOOK.read_text() if RUNBOOK.exists() else ""
    headings = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", guide, re.M)}
    for name, anchor in sorted({(a["alert"], a["annotations"]["runbook"].partition("#")[2]) for a in alerts}):
        wrong += [] if name in tested else [f"{name} has no test"]
        wrong += [] if anchor in headings else [f"{name}: {RUNBOOK.name} has no heading {anchor}"]
    print(f"  {len(each(specs))} rules, {len(alerts)} of them alerts", flush=True)
    return wrong


# ---- do the tests notice?

NUMBER = re.compile(r"([<>]=?) ([0-9.]+)")


def spoiled(alert):
    """An alert that never fires, one that always does, and its thresholds ten times as large and as small."""
    yield "never fires", "vector(1) < 0"
    yield "always fires", "vector(1)"
    for sign, number in sorted(set(NUMBER.findall(alert["expr"]))):
        for factor in (10, 0.1):
            if value := float(number) * factor:
                # A factor of burning stands twice, for the long window and the short one.
                expr = re.sub(rf"{sign} {re.escape(number)}(?![0-9.])", f"{sign} {value:g}", alert["expr"])
                yield f"{sign} {number} is {value:g}", expr


def variants(specs):
    """`(file, rule, what was done, the file's rules)`, for the files that have tests."""
    for name in sorted(path.stem for path in TESTS.glob("*.yaml")):
        for group, rules in enumerate(group["rules"] for group in specs[name]["groups"]):
            for place, rule in enumerate(rules):
                changes = spoiled(rule) if "alert" in rule else records(rule)
                for what, expr in changes:
                    spec = copy.deepcopy(specs[name])
                    spec["groups"][group]["rules"][place]["expr"] = expr
                    title = rule.get("alert") or rule["record"].replace(":rate5m", ":ratio_rate5m")
                    yield name, title, f"{rule['labels'].get('window', '')} {what}".strip(), spec


def records(rule):
    """One code less, one more."""
    codes = re.search(r'code=~"([^"]+)"', rule["expr"])
    for code in codes[1].split("|") if codes else []:
        rest = "|".join(c for c in codes[1].split("|") if c != code)
        yield f"without {code}", rule["expr"].replace(codes[1], rest)
    if codes:
        other = "RESOURCE_EXHAUSTED" if "UNKNOWN" in codes[1] else "8"
        yield f"with {other}", rule["expr"].replace(codes[1], f"{codes[1]}|{other}")


def planted(_):
    specs = load()

    def noticed(variant):
        name, title, what, spec = variant
        tests = yaml.safe_load((TESTS / f"{name}.yaml").read_text())
        tests["tests"] = [test for test in tests["tests"] if title in str(test)]
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            write(specs | {name: spec}, folder / "rules")
            write({name: tests}, folder / "tests")
            return promtool("test", "rules", folder / "tests" / f"{name}.yaml")[0] != 0, f"{name}: {title} {what}"

    whole = [(name, title, "as it is", specs[name]) for name, title in {v[:2] for v in variants(specs)}]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wrong = [f"fails unspoiled: {what}" for failed, what in pool.map(noticed, whole) if failed]
        results = list(pool.map(noticed, variants(specs)))
    print(f"  {len(results)} spoiled rules, {sum(ok for ok, _ in results)} noticed", flush=True)
    return wrong + [f"no test notices: {what}" for ok, what in results if not ok]
