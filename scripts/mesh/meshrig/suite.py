"""`scripts/mesh/check`: shows on the running rig what the manifests promise, and that each check can fail."""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

from meshrig import checks_access, checks_rolling, checks_traffic, core, defects, lab, tools
from meshrig.core import say
from meshrig.fields import Unknown
from meshrig.lab import Wrong
from meshrig.pods import Failed

# In this order: what breaks nothing first.
CHECKS = {
    "plaintext": checks_access.plaintext,
    "callers": checks_access.callers,
    "agree": checks_access.agree,
    "identity": checks_access.identity,
    "retries": checks_traffic.retries,
    "hanging": checks_traffic.hanging,
    "budget": checks_traffic.budget,
    "deadlines": checks_traffic.deadlines,
    "ejection": checks_traffic.ejection,
    "streams": checks_traffic.streams,
    "weights": checks_traffic.weights,
    "rolling": checks_rolling.rolling,
    "tokens": checks_access.jwt_tokens,
    "every-method": checks_traffic.every_method,
}
LAST = "every-method"  # takes the processes away, and is for the long form alone


def main(script):
    parser = argparse.ArgumentParser(description="shows on a real Envoy what the manifests promise")
    parser.add_argument("--short", action="store_true", help="what CI runs: fewer calls, no planted defects but the quick ones")
    parser.add_argument("--only", action="append", choices=CHECKS, help="this check alone; may be repeated")
    parser.add_argument("--no-defects", action="store_true", help="don't plant defects")
    parser.add_argument("--manifests", type=Path, default=tools.ROOT, help="the folder that holds k8s/ and istio/")
    args = parser.parse_args()
    tools.envoy()
    tools.with_stores(script)
    began = time.monotonic()
    names = [n for n in CHECKS if (n in args.only if args.only else not (args.short and n == LAST))]
    try:
        with core.running(core.Rig(args.manifests, lab.SETTINGS)) as rig:
            failed = run(rig, args, names)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except (Failed, Unknown) as error:
        say(f"FAIL the rig: {error}")
        return 1
    say(f"{'FAILED: ' + ', '.join(failed) if failed else 'all passed'}, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def run(rig, args, names):
    took = rig.start()
    bench = lab.Lab(rig)
    bench.start_fakes()
    bench.start_prober()
    say(f"{len(rig.pods)} pods on {len(rig.mesh.virtual)} VirtualServices; the market was ready after {took:.0f} s")
    if "tokens" in names:
        bench.expired = checks_access.expired_token(bench)
    failed = [name for name in names if name != LAST and not passes(name, bench, args.short)]
    if not args.no_defects and not failed:
        chosen = [d for d in defects.DEFECTS if d.check in names and (d.quick or not args.short)]
        failed += planted(rig, bench, args, chosen)
    if LAST in names and not passes(LAST, bench, args.short):
        failed.append(LAST)
    return failed


def passes(name, bench, short):
    """On a busy CI machine a check that fails is made once more, and is called flaky when it passes then: a bug to fix."""
    if passes_once(name, bench, short):
        return True
    if os.environ.get("CI") and passes_once(name, bench, short):
        say(f"FLAKY {name}")
        return True
    return False


def passes_once(name, bench, short):
    began = time.monotonic()
    try:
        said = CHECKS[name](bench, short)
    except Wrong as wrong:
        say(f"FAIL {name}: {wrong} ({time.monotonic() - began:.1f} s)")
        return False
    except Exception:  # a check that can't be made is not passed
        say(f"FAIL {name}: {traceback.format_exc()}")
        return False
    say(f"PASS {name}: {said} ({time.monotonic() - began:.1f} s)")
    return True


def planted(rig, bench, args, chosen):
    """Each defect in a copy of the manifests, pushed to the running Envoys; its check has to see it."""
    missed = []
    for defect in chosen:
        with copy(args.manifests) as root:
            if defect.rendered:
                bench.spoil = defect.plant
            else:
                defect.plant(root)
            began, seen = time.monotonic(), None
            before, bench.manifests = bench.manifests, root
            try:
                rig.use(root)
                CHECKS[defect.check](bench, True)
            except (Wrong, Unknown, Failed) as wrong:
                seen = str(wrong).splitlines()[0]
            finally:
                bench.manifests, bench.spoil = before, lambda root: None
                rig.use(args.manifests)
        took = f"({time.monotonic() - began:.1f} s)"
        if seen is None:
            missed.append(defect.name)
        say(f"{'seen' if seen else 'FAIL'} {defect.name} [{defect.check}]: {seen or 'the check passes all the same'} {took}")
    return missed


class copy:
    """k8s/ and istio/ in a folder of their own."""

    def __init__(self, root):
        self.root = root

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="jangteo-mesh-copy-"))
        for name in ("k8s", "istio", "monitoring"):
            if (self.root / name).exists():
                shutil.copytree(self.root / name, self.folder / name)
        return self.folder

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


def render(root):
    """What `jangteo manifests` makes of the hand-written files below `root`."""
    done = subprocess.run([str(tools.program()), "manifests", "--root", str(root)], cwd=root, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"jangteo manifests: {done.stdout}{done.stderr}")
