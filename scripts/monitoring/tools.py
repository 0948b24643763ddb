"""Prometheus and Python packages, from Debian and PyPI into target/tools."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / "target" / "tools"


def apt(*args, **options):
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    env = ["env", "DEBIAN_FRONTEND=noninteractive"]
    subprocess.run([*root, *env, "apt-get", "-qq", *args], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, **options)


def venv(folder, requirements):
    print(f"installing {requirements.name} into {folder}", file=sys.stderr, flush=True)
    make = [Path(__file__).resolve().parent.parent / "venv", folder, "--requirement", requirements]
    subprocess.run(make, check=True, stdout=sys.stderr)


def program(name):
    """`prometheus` or `promtool`, of the PATH or of Debian's package. That is unpacked, not installed: installing it would
    start a service."""
    here = TOOLS / "prometheus" / "usr" / "bin" / name
    if found := shutil.which(name):
        return found
    if not here.exists():
        if not shutil.which("apt-get"):
            sys.exit(f"{name} is not in PATH; install Prometheus")
        print("unpacking Debian's prometheus into target/tools", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o777)  # apt fetches as a user of its own
            apt("update")
            apt("download", "prometheus", cwd=folder)
            package = next(Path(folder).glob("prometheus_*.deb"))
            TOOLS.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg", "-x", package, TOOLS / "prometheus"], check=True)
    return str(here)
