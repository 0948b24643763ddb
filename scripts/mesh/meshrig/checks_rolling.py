"""A rolling restart while people use the market."""

import threading
import time

from meshrig.core import EDGE
from meshrig.lab import must

THREADS = 4
PACE = 0.08  # seconds between one client's requests: about 50 requests a second in all


class Load:
    """Clients from outside: reads, and writes that must not be repeated."""

    def __init__(self, lab):
        self.lab, self.stopped, self.bad, self.done = lab, threading.Event(), [], 0
        browser = lab.browser()
        self.token = lab.person(browser)
        status, said = lab.product(browser, self.token)
        must(status == 200, f"listing something: {status} {said}")
        self.product, self.slowest, self.lock = said["productId"], 0.0, threading.Lock()
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(THREADS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    def client(self, number):
        browser, turn = self.lab.browser(), 0
        while not self.stopped.wait(PACE):
            turn += 1
            began = time.monotonic()
            write = turn % 5 == 0
            try:
                if write:
                    status, said = self.lab.product(browser, self.token, f"roll-{number}-{turn}-{began}")
                else:
                    status, said = browser.json("GET", f"/v1/products/{self.product}")
            except Exception as error:  # a connection that breaks is a failed request
                status, said = None, repr(error)
            took = time.monotonic() - began
            with self.lock:
                self.done, self.slowest = self.done + 1, max(self.slowest, took)
                if status != 200:
                    self.bad.append(f"{'POST' if write else 'GET'} after {took:.2f} s: {status} {str(said)[:200]}")
        browser.close()


def rolling(lab, short):
    """Every pod of the path is replaced, one after the other, while requests come in: none fails."""
    drains, services = [], ["catalog"] if short else ["catalog", EDGE]
    try:
        with Load(lab) as load:
            time.sleep(1)
            for service in services:
                drains += replace(lab.rig, service)
            time.sleep(1)
    finally:
        for service in services:
            lab.rig.rename(service)
        lab.aim()
    must(load.done > 50, f"only {load.done} requests were made")
    must(not load.bad, f"{len(load.bad)} of {load.done} requests failed, the first: {load.bad[0] if load.bad else ''}")
    return f"{load.done} requests, none failed, the slowest {load.slowest:.2f} s; {len(drains)} pods replaced, {max(drains):.1f} s at most to leave"


def replace(rig, service):
    """As a Deployment does that may have one pod more: a new one is ready before an old one leaves. How long each took to leave."""
    workload, drains = rig.workload(service), []
    rig.start_pods([rig.new_pod(workload)])
    old = [p for p in rig.pods if p.workload.name == service and p.ready]
    must(len(old) >= 2, f"{service} has {len(old)} pods")
    for pod in old:
        rig.start_pods([rig.new_pod(workload)])
        drains.append(rig.retire(pod))
        must(pod.app.child.returncode == 0, f"{pod.name} ended with {pod.app.child.returncode}:\n{pod.app.tail()}")
    return drains
