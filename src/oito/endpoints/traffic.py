"""What an endpoint answered lately, as figures and blocks to look at. One prediction's story is `explanation`'s work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from oito.clock import text
from oito.endpoints import feedback, journal
from oito.endpoints.journal import Block
from oito.endpoints.predictions import journals
from oito.endpoints.requests import as_json
from oito.flow.site import Site
from oito.show import Block as Shown
from oito.show import Cell, Chart, Facts, Link, Series, Table

Floats = NDArray[np.float64]
BINS = 20
STEPS_S = (1, 10, 60, 600, 3600, 6 * 3600, 86_400, 7 * 86_400)
MOST_STEPS = 60


@dataclass(frozen=True)
class Traffic:
    """The newest predictions of one endpoint in one environment, in the blocks they were scored and written in."""

    environment: str
    folder: Path | None
    blocks: Sequence[Block]

    @property
    def count(self) -> int:
        return sum(len(block.ids) for block in self.blocks)

    def listed(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest predictions as plain data, newest first."""
        rows = [(block, row) for block in self.blocks[-limit:] for row in range(len(block.ids))]
        return [
            {
                "prediction_id": block.ids[row].hex(),
                "at": _at(block),
                "version": block.about.version,
                "model": block.about.model,
                "request": msgspec.json.decode(block.requests[row]),
                "outputs": dict(zip(block.about.outputs, map(as_json, block.outputs[row].tolist()), strict=True)),
                "latency_s": block.latency_s,
            }
            for block, row in reversed(rows[-limit:])
        ]

    def table(self, limit: int) -> Table:
        """Return the newest predictions, each with a link to its explanation."""
        rows: list[list[Cell]] = [
            [
                Link(each["prediction_id"], f"/predictions/{each['prediction_id']}"),
                each["at"],
                each["version"],
                ", ".join(
                    f"{name} {value:.4g}" if value is not None else name for name, value in each["outputs"].items()
                ),
                _shortened(each["request"]),
                each["latency_s"] * 1000,
            ]
            for each in self.listed(limit)
        ]
        columns = ["prediction", "answered at", "version", "answer", "request", "ms"]
        return Table(columns, rows, title=f"Latest predictions in {self.environment}", empty="nothing was asked yet")

    def charts(self) -> list[Shown]:
        """Return requests over time, the answers as histograms, and how long answers took."""
        if not self.blocks:
            return []
        latencies = np.repeat([block.latency_s * 1000 for block in self.blocks], [len(b.ids) for b in self.blocks])
        quantiles = {f"p{share:g}": float(np.quantile(latencies, share / 100)) for share in (50, 90, 99, 99.9)}
        outputs = dict.fromkeys(name for block in self.blocks for name in block.about.outputs)
        return [
            self._over_time(),
            *(_histogram(name, self._said(name)) for name in list(outputs)[:4]),
            Facts([*quantiles.items(), ("slowest", float(latencies.max()))], title="From arrival to written down, ms"),
        ]

    def feedback_count(self) -> int:
        """Return how many truths callers have sent."""
        return sum(1 for _ in feedback.read(self.folder, damaged=lambda _: None)) if self.folder else 0

    def _said(self, name: str) -> Floats:
        parts = [b.outputs[:, b.about.outputs.index(name)] for b in self.blocks if name in b.about.outputs]
        said = np.concatenate(parts)
        return said[np.isfinite(said)]

    def _over_time(self) -> Chart:
        first, last = self.blocks[0].time_ns / 1e9, self.blocks[-1].time_ns / 1e9
        step = next((step for step in STEPS_S if (last - first) / step <= MOST_STEPS), STEPS_S[-1])
        counts: Counter[tuple[str, int]] = Counter()
        for block in self.blocks:
            counts[block.about.version, int(block.time_ns / 1e9 // step)] += len(block.ids)
        ticks = range(int(first // step), int(last // step) + 1)
        series = [
            Series(
                version,
                [_moment(tick * step) for tick in ticks],
                [counts[version, tick] for tick in ticks],
                mark="step",
            )
            for version in dict.fromkeys(block.about.version for block in self.blocks)
        ]
        return Chart(f"Predictions per {_span(step)}, the newest {self.count}", series, y="predictions")


def of(site: Site, endpoint: str, count: int) -> Traffic:
    """Return the newest `count` predictions of an endpoint: of the site's environment, else of the first that has any."""
    for environment, folder in journals(site):
        if folder.name == endpoint:
            return Traffic(environment, folder, journal.newest(folder, count))
    return Traffic(site.environment, None, [])


def _histogram(name: str, said: Floats) -> Chart:
    is_share = len(said) > 0 and bool((said >= 0).all() and (said <= 1).all())
    counts, edges = np.histogram(said, bins=BINS, range=(0.0, 1.0) if is_share else None)
    middles = [round(float(middle), 6) for middle in (edges[:-1] + edges[1:]) / 2]
    return Chart(f"Answers: {name}", [Series(name, middles, counts.tolist(), mark="bar")], x=name, y="predictions")


def _shortened(request: Any) -> str:
    told = ", ".join(f"{name} {value}" for name, value in request.items())
    return told if len(told) <= 120 else told[:117] + "…"


def _moment(seconds: float) -> str:
    return text(datetime.fromtimestamp(seconds, UTC))


def _at(block: Block) -> str:
    return _moment(block.time_ns / 1e9)


def _span(step: int) -> str:
    names = {1: "second", 60: "minute", 3600: "hour", 86_400: "day", 7 * 86_400: "week"}
    return names.get(step, f"{step // 3600} hours" if step > 3600 else f"{step} seconds")
