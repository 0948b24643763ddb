"""Processes, and pods: an application and its Envoy."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from meshrig import tools, translate

BUSY = 90  # seconds that a start may take on a machine that has other work
# On a signal that nobody can handle, what was started ends with the rig.
DIE_WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


class Failed(Exception):
    """The rig itself does not do what it should."""


class Process:
    def __init__(self, name, command, log, env=None, folder=None):
        self.name, self.command, self.log, self.env, self.folder = name, [str(c) for c in command], Path(log), env, folder
        self.child = None

    def start(self):
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen(
                [*DIE_WITH_US, *self.command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches the rig, which stops its processes in order
            )

    def running(self):
        return self.child is not None and self.child.poll() is None

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def signal(self, number):
        if self.running():
            os.kill(self.child.pid, number)

    def wait(self, seconds):
        """True when it ended within that time."""
        if self.child is None:
            return True
        try:
            self.child.wait(timeout=seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def stop(self, seconds=10):
        self.signal(signal.SIGTERM)
        if not self.wait(seconds):
            self.signal(signal.SIGKILL)
            self.wait(10)


def fetch(ip, port, path, method="GET", timeout=5):
    """(status, text) over plain HTTP; (None, why) when nobody answers."""
    connection = http.client.HTTPConnection(ip, port, timeout=timeout)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode(errors="replace")
    except OSError as error:
        return None, str(error)
    except http.client.HTTPException as error:
        return None, repr(error)
    finally:
        connection.close()


def write(path, value):
    """Atomically, since Envoy looks at files that are moved into place. False when it says so already."""
    text = json.dumps(value)
    if path.exists() and path.read_text() == text:
        return False
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.rename(path)
    return True


class Proxy:
    """One Envoy, configured by files that may change while it runs."""

    def __init__(self, name, number, net, folder):
        self.name, self.number, self.net, self.folder = name, number, net, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.version, self.said, self.counts = 0, None, None
        command = [
            tools.ENVOY, "-c", folder / "bootstrap.json", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning",
            # Old listeners end soon after a change, so that what was pushed counts for everybody.
            "--drain-time-s", "1", "--drain-strategy", "immediate", "--file-flush-interval-msec", "50",
        ]
        self.process = Process(f"{name}'s envoy", command, folder / "envoy.log", folder=folder)
        write(folder / "bootstrap.json", translate.bootstrap(name, net, number, folder))

    def configure(self, listeners, clusters):
        """True when something changed."""
        said = json.dumps([listeners, clusters])
        if said == self.said:
            return False
        self.said = said
        self.version += 1
        write(self.folder / "cds.json", translate.discovery("config.cluster.v3.Cluster", clusters, str(self.version)))
        write(self.folder / "lds.json", translate.discovery("config.listener.v3.Listener", listeners, str(self.version)))
        return True

    def admin(self, path, method="GET"):
        return fetch(self.net.pod(self.number), translate.ADMIN_PORT, path, method)

    def stats(self, pattern):
        """name -> value of the counters and gauges that match."""
        status, text = self.admin(f"/stats?format=json&filter={pattern}")
        if status != 200:
            raise Failed(f"{self.name}: {text}")
        found = json.loads(text)["stats"]
        return {s["name"]: s["value"] for s in found if "name" in s}

    def up_to_date(self):
        """None, or why not yet."""
        status, text = self.admin("/ready")
        if status != 200:
            return text
        for manager in ("cluster_manager.cds", "listener_manager.lds"):
            stats = self.stats(f"^{manager.replace('.', '%5C.')}%5C.(version_text|update_rejected)$")
            if stats.get(f"{manager}.version_text") != str(self.version):
                return f"{manager} is at {stats}, not at version {self.version}"
        if self.stats("^listener_manager%5C.total_listeners_warming$").get("listener_manager.total_listeners_warming"):
            return "listeners are still warming"
        return None

    def wait(self, seconds=BUSY):
        if self.counts == self.version:
            return
        until, why = time.monotonic() + seconds, "not started"
        while time.monotonic() < until:
            if not self.process.running():
                raise Failed(f"{self.process.name} ended:\n{self.process.tail()}")
            why = self.up_to_date()
            if why is None:
                self.counts = self.version
                return
            if "rejected" in self.process.tail():
                raise Failed(f"{self.process.name} refuses its configuration:\n{self.process.tail()}")
            time.sleep(0.05)
        raise Failed(f"{self.process.name}: {why}\n{self.process.tail()}")


class Pod:
    """What a Deployment makes: labels, an account, ports; and a Proxy beside the application."""

    def __init__(self, name, workload, number, rig):
        self.name, self.workload, self.number = name, workload, number
        self.namespace, self.account = workload.namespace, workload.account
        self.labels, self.ports = dict(workload.labels), workload.ports
        self.service = self.labels.get("app.kubernetes.io/name", workload.name)
        self.folder = rig.folder / "pods" / name
        self.proxy = Proxy(name, number, rig.net, self.folder)
        self.log = self.folder / "access.jsonl"
        self.certs = rig.authority.issue(self.namespace, self.account)
        self.app = None  # a Process, or a fake with stop()
        self.ready = False
        self.ingress = False

    def entries(self, since=0):
        """Its Envoy's access log, from the `since`th line on."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines[since:]]

    def application_ready(self, net):
        if isinstance(self.app, Process):
            if not self.app.running():
                raise Failed(f"{self.name} ended:\n{self.app.tail()}")
            status, _ = fetch(net.inner(self.number), self.ports["http-admin"], "/readyz")
            return status == 200
        return True

    def stop(self):
        """As the kubelet does: SIGTERM, the grace period, SIGKILL; the Envoy, a native sidecar, after the application."""
        if self.app is not None:
            self.app.stop(self.workload.grace)
        self.proxy.process.stop()
