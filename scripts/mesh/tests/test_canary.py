"""`scripts/mesh/canary` against a Prometheus that answers from a table, and on a tree of its own."""

import contextlib
import io
import json
import sys
import tempfile
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from meshrig import canary  # noqa: E402

TOML = """# Which services run a second version.

# A comment that stays.
header = "x-jangteo-canary"
"""


class FakePrometheus:
    """Answers in the form of Prometheus' HTTP API; `answers` gives the rows for a query."""

    def __init__(self, answers, status=200):
        queries = self.queries = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
                queries.append(query)
                rows = [{"metric": labels, "value": [1790000000.0, str(value)]} for labels, value in answers(query)]
                body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def answers(canary_calls, stable_calls, p99=(20, 20), own=None):
    """Rows by version; `own` where the processes count otherwise than the sidecars."""

    def rows(query):
        second = "order-canary" in query or 'version="canary"' in query
        if "histogram_quantile" in query:
            return [({}, p99[0] if second else p99[1])]
        if "grpc_server_calls" in query:
            counts = (own or canary_calls) if second else stable_calls
            return [({"code": canary.FAULTS.get(c, "OK")}, n) for c, n in counts.items()]
        return [({"grpc_response_status": c}, n) for c, n in (canary_calls if second else stable_calls).items()]

    return rows


class Analyse(unittest.TestCase):
    def verdict(self, rows, status=200):
        prometheus = FakePrometheus(rows, status)
        self.addCleanup(prometheus.close)
        verdict, lines = canary.analyse(canary.Prometheus(prometheus.url), "order", "10m", 0.995, 1.5, 100)
        self.queries = prometheus.queries
        return verdict, "\n".join(lines)

    def test_as_good_as_the_stable_one(self):
        verdict, text = self.verdict(answers({"0": 995, "5": 30}, {"0": 9000}))
        self.assertEqual(verdict, canary.GOOD, text)

    def test_failing_calls_are_seen_although_their_http_status_is_200(self):
        verdict, text = self.verdict(answers({"0": 900, "14": 100}, {"0": 9000}))
        self.assertEqual(verdict, canary.BAD, text)
        self.assertIn("UNAVAILABLE 100", text)
        self.assertFalse([q for q in self.queries if "response_code" in q])

    def test_faults_of_the_callers_count_for_nothing(self):
        verdict, text = self.verdict(answers({"0": 500, "3": 200, "5": 200, "16": 100}, {"0": 9000}))
        self.assertEqual(verdict, canary.GOOD, text)

    def test_no_worse_than_a_stable_version_that_fails_too(self):
        verdict, text = self.verdict(answers({"0": 980, "14": 20}, {"0": 8820, "14": 180}))
        self.assertEqual(verdict, canary.GOOD, text)

    def test_what_only_the_processes_know(self):
        verdict, text = self.verdict(answers({"0": 1000}, {"0": 9000}, own={"0": 900, "13": 100}))
        self.assertEqual(verdict, canary.BAD, text)

    def test_slower(self):
        self.assertEqual(self.verdict(answers({"0": 1000}, {"0": 9000}, p99=(200, 100)))[0], canary.BAD)
        # A few milliseconds are noise, however many times the other's they are.
        self.assertEqual(self.verdict(answers({"0": 1000}, {"0": 9000}, p99=(9, 3)))[0], canary.GOOD)

    def test_too_few_calls_are_no_verdict(self):
        self.assertEqual(self.verdict(answers({"0": 99}, {"0": 9000}))[0], canary.UNKNOWN)
        self.assertEqual(self.verdict(lambda _: [])[0], canary.UNKNOWN)

    def test_bad_stays_bad_when_another_source_has_too_few(self):
        verdict, text = self.verdict(answers({"0": 500, "13": 500}, {"0": 9000}, own={"0": 1}))
        self.assertEqual(verdict, canary.BAD, text)

    def test_a_prometheus_that_fails_is_no_verdict(self):
        with self.assertRaises(canary.Refused):
            self.verdict(answers({"0": 1000}, {"0": 9000}), status=503)


class Files(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "istio" / "services").mkdir(parents=True)
        (self.root / "istio" / "services" / "order.yaml").write_text("kind: VirtualService\n")
        (self.root / "istio" / "services" / "cart.yaml").write_text("kind: VirtualService\n")
        (self.root / "istio" / "canary.toml").write_text(TOML)
        (self.root / "Cargo.toml").write_text('[workspace.package]\nversion = "0.1.0"\n')

    def run_it(self, *arguments, render="true"):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = canary.main(["--root", str(self.root), "--render", render, *arguments])
        return code, out.getvalue()

    def text(self):
        return (self.root / "istio" / "canary.toml").read_text()

    def test_set_change_and_roll_back_leave_the_file_as_it_was(self):
        self.assertEqual(self.run_it("set", "order", "--weight", "10", "--version", "0.2.0")[0], 0)
        self.assertEqual(canary.File(self.root).canaries(), {"order": canary.Canary("0.2.0", 10, 1)})
        self.run_it("set", "cart", "--weight", "5", "--version", "0.3.0", "--replicas", "2")
        self.run_it("set", "order", "--weight", "50")
        both = canary.File(self.root).canaries()
        self.assertEqual(both, {"order": canary.Canary("0.2.0", 50, 1), "cart": canary.Canary("0.3.0", 5, 2)})
        self.assertIn("# A comment that stays.", self.text())
        self.run_it("rollback", "order")
        self.run_it("rollback", "cart")
        self.assertEqual(self.text(), TOML)

    def test_comments_in_a_table_stay(self):
        (self.root / "istio" / "canary.toml").write_text(
            TOML + '\n[services.order]\n# why\ntag = "0.2.0"  # of May\nweight = 10\nreplicas = 1\n\n[services.cart]\ntag = "1"\nweight = 1\nreplicas = 1\n')
        self.run_it("set", "order", "--weight", "20")
        self.assertIn("# why\n", self.text())
        self.assertIn('tag = "0.2.0"  # of May\nweight = 20\n', self.text())

    def test_promotion_takes_two_steps(self):
        self.run_it("set", "order", "--weight", "10", "--version", "0.2.0")
        self.assertEqual(self.run_it("promote", "order")[0], 0)
        self.assertEqual(canary.File(self.root).canaries()["order"].weight, 100)
        (self.root / "Cargo.toml").write_text('[workspace.package]\nversion = "0.2.0"\n')
        self.run_it("promote", "order")
        self.assertEqual(self.text(), TOML)

    def test_what_can_not_be_done_is_said(self):
        for arguments, said in (
            (("set", "orders", "--weight", "10", "--version", "1"), "there is no service orders"),
            (("set", "order", "--weight", "10"), "which version"),
            (("set", "order", "--weight", "110", "--version", "1"), "percentage"),
            (("promote", "order"), "has no canary"),
            (("rollback", "order"), "has no canary"),
        ):
            code, text = self.run_it(*arguments)
            self.assertEqual(code, 2, arguments)
            self.assertIn(said, text)
        self.assertEqual(self.text(), TOML)

    def test_a_failed_rendering_is_a_failure(self):
        code, text = self.run_it("set", "order", "--weight", "10", "--version", "0.2.0", render="false")
        self.assertEqual(code, 2)
        self.assertIn("failed", text)


if __name__ == "__main__":
    unittest.main()
