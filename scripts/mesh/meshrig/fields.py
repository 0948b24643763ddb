"""Reading manifests strictly: a field that nobody has asked for is an error, never overlooked."""

import re


class Unknown(Exception):
    """A manifest says something that the rig would silently not do."""


class Fields:
    """A mapping of a manifest that remembers which of its fields were read."""

    def __init__(self, data, where):
        if not isinstance(data, dict):
            raise Unknown(f"{where}: a mapping is expected, not {data!r}")
        self.data, self.where, self.seen = data, where, set()

    def take(self, name, default=None):
        self.seen.add(name)
        value = self.data.get(name)
        return default if value is None else value

    def need(self, name):
        value = self.take(name)
        if value is None:
            raise Unknown(f"{self.where}.{name} is missing")
        return value

    def one_of(self, name, values, default=None):
        value = self.take(name, default)
        if value not in values:
            raise Unknown(f"{self.where}.{name}: {value!r} is none of {', '.join(map(str, values))}")
        return value

    def sub(self, name):
        """A mapping inside; empty when it isn't there."""
        return Fields(self.take(name, {}), f"{self.where}.{name}")

    def list(self, name):
        items = self.take(name, [])
        if not isinstance(items, list):
            raise Unknown(f"{self.where}.{name}: a list is expected, not {items!r}")
        return items

    def subs(self, name):
        return [Fields(item, f"{self.where}.{name}[{i}]") for i, item in enumerate(self.list(name))]

    def has(self, name):
        return self.data.get(name) is not None

    def leave(self, reasons):
        """Fields that are left out on purpose: name -> why. The reason is for whoever reads the call."""
        for name, reason in reasons.items():
            assert reason, f"{name} needs a reason"
            self.seen.add(name)

    def done(self):
        left = sorted(set(self.data) - self.seen)
        if left:
            raise Unknown(f"{self.where}: not translated and not known to need none: {', '.join(left)}")


UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text, where):
    """`1.25s`, `1m30s`, `500ms`, as Istio writes durations."""
    if text is None:
        return None
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", str(text))
    if not parts or "".join(n + u for n, u in parts) != str(text):
        raise Unknown(f"{where}: {text!r} is no duration")
    return sum(float(n) * UNITS[u] for n, u in parts)


def duration(value):
    """Seconds as protobuf's JSON writes a Duration."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
