"""What has to be there before anything else: the packages, Envoy, and the stores. Standard library only."""

import contextlib
import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HERE = ROOT / "scripts" / "mesh"
TOOLS = ROOT / "target" / "tools"
VENV = TOOLS / "mesh"
ENVOY = TOOLS / "envoy" / "bin" / "envoy"
# Set for the process that already runs beside stores of its own.
STORES = "MESH_RIG_STORES"


def die(text, code=69):
    print(f"mesh: {text}", file=sys.stderr, flush=True)
    sys.exit(code)


@contextlib.contextmanager
def one_installer():
    """Two runs in the same checkout install one after the other."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with open(TOOLS / ".mesh.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def venv():
    """The Python of target/tools/mesh, with exactly the packages of requirements.txt."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp, python = VENV / "installed.txt", VENV / "bin" / "python"
    with one_installer():
        if stamp.exists() and stamp.read_text() == wanted and python.exists():
            return python
        make = [ROOT / "scripts" / "venv", VENV, "--requirement", HERE / "requirements.txt"]
        if subprocess.run(make, stdout=sys.stderr).returncode != 0:
            die("can't install scripts/mesh/requirements.txt from PyPI")
        stamp.write_text(wanted)
    return python


def envoy():
    with one_installer():
        if not ENVOY.exists() and subprocess.run(
            ["make", "--silent", "-C", ROOT, "target/tools/envoy"], stdout=sys.stderr
        ).returncode:
            die("can't install Envoy: see $(ENVOY) in the Makefile")
    return ENVOY


def program():
    """The market's program: of the release build when there is one that is newer."""
    built = [p for p in (ROOT / "target" / kind / "jangteo" for kind in ("debug", "release")) if p.exists()]
    if not built:
        die("there is no target/debug/jangteo: cargo build --package jangteo")
    return max(built, key=lambda p: p.stat().st_mtime)


def with_packages(script):
    """Runs `script` again under the Python that has the packages, unless this is it."""
    if Path(sys.prefix) != VENV:
        python = venv()
        os.execv(python, [str(python), script, *sys.argv[1:]])


def with_stores(script):
    """Runs `script` again beside PostgreSQL, NATS and Redis of its own, unless it does already."""
    if os.environ.get(STORES):
        return
    # Stores that somebody else set up may hold another market's streams.
    env = {k: v for k, v in os.environ.items() if not k.startswith("JANGTEO_")} | {STORES: "own"}
    servers = ROOT / "scripts" / "with-servers"
    os.execve(servers, [str(servers), sys.executable, script, *sys.argv[1:]], env)
