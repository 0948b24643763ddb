"""`scripts/mesh/capacity` on small inputs of its own."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from meshrig import capacity  # noqa: E402

PERFORMANCE = """# What a request costs
## The edge
| work | edge |
| --- | --- |
| one product | 1 |

## The market: `make bench`

| work | edge | gRPC without the edge | floor: hyper |
| --- | --- | --- | --- |
| one product | 50 | 30 | 5.0 |
| list of 100 (62 KB) | 900 | 700 | 15.2 |

Products created: about 1,300 a second, 500 CPU microseconds each.

## Later
"""
MODEL = """rates = [1000]
[proxy]
microseconds = 10
[[mix]]
request = "reads"
share = 90
cost = "one product"
calls = 1
[[mix]]
request = "writes"
share = 10
cost = "a product created"
calls = 4
"""


class Capacity(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for path, text in {
            "docs/performance.md": PERFORMANCE,
            "docs/operations/capacity.toml": MODEL,
            "docs/operations/capacity.md": f"before\n{capacity.BEGIN}\n{capacity.END}\nafter\n",
            "k8s/sizing.toml": "[defaults]\ncpu_target = 50\n",
        }.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)

    def run_it(self, *arguments):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = capacity.main("", ["--root", str(self.root), *arguments])
        return code, out.getvalue()

    def change(self, path, old, new):
        file = self.root / path
        self.assertIn(old, file.read_text())
        file.write_text(file.read_text().replace(old, new))

    def test_the_sum(self):
        code, text = self.run_it()
        # 90 % of 20 + 30 + 40 and 10 % of 20 + 480 + 100 microseconds.
        self.assertIn("| **the mix** | 100 % | 20 | 75 | 46 | 141 |", text)
        # 1,000 requests of 141 microseconds keep 0.14 cores busy; at half busy that is 0.28.
        self.assertIn("| 1,000 | 0.0 | 0.1 | 0.0 | 0.1 | 0.3 |", text)
        self.assertEqual(code, 0)

    def test_a_stale_document_is_seen(self):
        self.assertEqual(self.run_it("--check")[0], 1)
        self.assertEqual(self.run_it("--write")[0], 0)
        self.assertEqual(self.run_it("--check")[0], 0)
        text = (self.root / "docs/operations/capacity.md").read_text()
        self.assertTrue(text.startswith("before\n") and text.endswith("after\n"))
        for path, old, new in (
            ("docs/performance.md", "| one product | 50 | 30 |", "| one product | 55 | 30 |"),
            ("docs/performance.md", "500 CPU microseconds", "600 CPU microseconds"),
            ("docs/operations/capacity.toml", "microseconds = 10", "microseconds = 20"),
            ("k8s/sizing.toml", "50", "60"),
        ):
            self.change(path, old, new)
            self.assertEqual(self.run_it("--check")[0], 1, path)
            self.run_it("--write")

    def test_inputs_that_do_not_fit_are_errors(self):
        for path, old, new in (
            ("docs/operations/capacity.toml", 'cost = "one product"', 'cost = "another"'),
            ("docs/operations/capacity.toml", "share = 90", "share = 80"),
            ("docs/performance.md", "gRPC without the edge", "gRPC"),
            ("docs/performance.md", "500 CPU microseconds each", "cheap"),
            ("docs/operations/capacity.md", capacity.END, ""),
        ):
            before = (self.root / path).read_text()
            self.change(path, old, new)
            self.assertEqual(self.run_it("--check")[0], 2, path)
            (self.root / path).write_text(before)


if __name__ == "__main__":
    unittest.main()
