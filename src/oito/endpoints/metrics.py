"""What a serving process counts, as Prometheus text. Names follow OpenTelemetry; no id and no value of a row is ever a label."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"))


@dataclass
class _Histogram:
    edges: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> list[str]:
        out, seen = [], 0
        separator = "," if labels else ""
        for edge, count in zip((*map(repr, self.edges), "+Inf"), self.counts, strict=True):
            seen += count
            out.append(f'{name}_bucket{{{labels}{separator}le="{edge}"}} {seen}')
        return [*out, f"{name}_sum{{{labels}}} {self.total!r}", f"{name}_count{{{labels}}} {seen}"]


class Metrics:
    """Counters and histograms of one process; used by its event loop only."""

    def __init__(self) -> None:
        self._requests: dict[tuple[bytes, str, int], _Histogram] = {}
        self._rows = _Histogram(_ROWS)
        self._predictions: Counter[str] = Counter()
        self._feedback: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self.swaps = 0

    def request(self, method: bytes, route: str, *, status: int, seconds: float) -> None:
        """Count a request under its route's template; `""` is a path that leads nowhere."""
        key = (method, route, status)
        known = self._requests.get(key)
        if known is None:
            key = (method if method in _METHODS else b"_OTHER", route, status)
            known = self._requests.setdefault(key, _Histogram(_BUCKETS))
        known.add(seconds)

    def scored(self, model: str, rows: int) -> None:
        self._rows.add(rows)
        self._predictions[model] += rows

    def feedback(self, *, known: int, parked: int) -> None:
        self._feedback["true"] += known
        self._feedback["false"] += parked

    def error(self, kind: str) -> None:
        self._errors[kind] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]], totals: Mapping[str, tuple[str, float]]) -> bytes:
        """Return the Prometheus exposition; `gauges` and `totals` are what others count: name to (help, value)."""
        lines = _head(
            "http_server_request_duration_seconds", "histogram", "Time from a request's first byte to its answer."
        )
        for (method, route, status), histogram in sorted(self._requests.items()):
            labels = (
                f'http_request_method="{method.decode()}",http_route="{route}",http_response_status_code="{status}"'
            )
            lines += histogram.lines("http_server_request_duration_seconds", labels)
        lines += _head("oito_model_call_rows", "histogram", "Rows scored in one call of the model.")
        lines += self._rows.lines("oito_model_call_rows", "")
        lines += _counters("oito_predictions_total", "Predictions written and answered.", "model", self._predictions)
        lines += _counters(
            "oito_feedback_total", "Truths received, by whether their prediction is known.", "known", self._feedback
        )
        lines += _counters(
            "oito_errors_total", "Rows and requests that were answered with an error.", "error", self._errors
        )
        for kind, group in (("gauge", gauges), ("counter", totals)):
            for name, (help_text, value) in group.items():
                lines += [*_head(name, kind, help_text), f"{name} {value:g}" if value % 1 else f"{name} {int(value)}"]
        return ("\n".join(lines) + "\n").encode()


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]


def _counters(name: str, help_text: str, label: str, counts: Mapping[str, int]) -> list[str]:
    return [
        *_head(name, "counter", help_text),
        *(f'{name}{{{label}="{value}"}} {count}' for value, count in sorted(counts.items())),
    ]
