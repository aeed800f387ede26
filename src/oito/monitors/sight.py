"""Going through the windows that are new or were left open: what is seen in them, and what of it is told. Deciding is run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from oito.flow.site import ROWS, Context
from oito.monitors import quality, windows
from oito.monitors.looks import Look, Looker, alarmed
from oito.monitors.quality import Alarm
from oito.monitors.windows import DRIFT, FIGURES, Row

FIGURES_TABLE, DRIFT_TABLE = "figures", "drift"


@dataclass(frozen=True)
class Before:
    """What the verdict before left: all rows and figures of final windows, and the columns of the last windows."""

    rows: list[Row]
    figures: pl.DataFrame
    drift: pl.DataFrame
    open_from: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, context: Context) -> Before:
        nothing = cls([], windows.frame([], FIGURES), windows.frame([], DRIFT))
        version = context.previous
        if version is None or context.is_redefined or ROWS not in version.tables:
            return nothing
        read = {name: context.site.table(version, name, as_type=pl.DataFrame) for name in version.tables}
        rows = windows.rows_of(read[ROWS])
        if not rows:
            return nothing
        until = max(row.end for row in rows)
        open_from = min((row.start for row in rows if not row.is_final), default=until)
        return cls(rows, read[FIGURES_TABLE], read[DRIFT_TABLE], open_from, until)

    @property
    def kept(self) -> list[Row]:
        """Rows of windows that are not looked at again."""
        return [row for row in self.rows if self.open_from is None or row.start < self.open_from]


@dataclass
class Seen:
    """All that a verdict is made of; alarms come with the window that they are about."""

    rows: list[Row]
    figures: list[dict[str, Any]]
    drift: list[dict[str, Any]]
    alarms: list[tuple[datetime, Alarm]]


@dataclass
class Sight:
    """Goes through the windows that are open or new."""

    looker: Looker
    predictions: pl.DataFrame
    before: Before
    every: timedelta
    span: timedelta
    delay_s: float | None
    known_until: datetime | None

    def looks(self, end: datetime, *, model: str) -> Seen:
        first = self.before.open_from or self.predictions["at"].min()
        assert isinstance(first, datetime)
        seen = Seen([], [], [], [])
        settled = {(row.start, row.model) for row in self.before.rows if row.is_settled}
        for start in windows.starts(first, end, self.every):
            look = self._one(start, seen, model)
            is_new = self.before.until is None or start >= self.before.until
            seen.alarms += [
                (start, each) for each in look.alarms if is_new or _is_news(each, look, settled)
            ]  # an alarm is told once
        return seen

    def _one(self, start: datetime, seen: Seen, model: str) -> Look:
        stop = start + self.every
        final = windows.is_final(stop, delay_s=self.delay_s, known_until=self.known_until)
        rows = self._between(start, stop)
        looked = self._between(stop - self.span, stop)
        if rows.height:
            look = self.looker.worked(rows, start=start, end=stop, is_final=final)
        else:
            look = Look(rows=[Row(start, stop, model, 0, is_settled=True, is_final=True)])
        look.figures += [_own_figure(start, model, *pair) for pair in self._own(looked, start, stop).items()]
        if "latency_s" in rows.columns and rows.height:
            slow = rows["latency_s"].quantile(0.95, "linear")
            look.figures.append(
                {
                    **_own_figure(start, model, "latency_p95_ms", (slow or 0.0) * 1000),
                    "rows": rows.height,
                    "note": "served",
                }
            )
        if self.before.until is None or start >= self.before.until:
            self._columns(look, looked, seen, start=start, stop=stop)
        seen.rows += look.rows
        seen.figures += look.figures
        return look

    def _columns(self, look: Look, looked: pl.DataFrame, seen: Seen, *, start: datetime, stop: datetime) -> None:
        counts = _counts([*self.before.kept, *seen.rows])
        look.alarms += quality.traffic(sum(row.rows for row in look.rows), counts, since=start, until=stop)
        drift, wild = self.looker.compared(looked)
        loud = alarmed(drift, self._earlier(seen, start))
        named = {each.column for each in loud}
        look.alarms += [
            Alarm(each.cause, each.text, each.column, {"psi": each.psi, "p": each.p_adjusted, "rows": each.rows})
            for each in loud
        ]
        look.alarms += [each for each in wild if each.column not in named]
        model = look.rows[0].model
        seen.drift += [{"start": start, "model": model, "is_alarm": e.column in named, **e.data()} for e in drift]

    def _earlier(self, seen: Seen, start: datetime) -> list[frozenset[str]]:
        rows = [*self.before.drift.select("start", "column", "is_drifted").to_dicts(), *seen.drift]
        wanted = [start - 2 * self.every, start - self.every]
        return [frozenset(r["column"] for r in rows if r["is_drifted"] and r["start"] == each) for each in wanted]

    def _own(self, looked: pl.DataFrame, start: datetime, stop: datetime) -> Mapping[str, float]:
        return self.looker.own_figures(looked, start=start, end=stop)

    def _between(self, start: datetime, stop: datetime) -> pl.DataFrame:
        if not self.predictions.height:
            return self.predictions
        return self.predictions.filter(pl.col("at").is_between(start, stop, closed="left"))


def _is_news(alarm: Alarm, look: Look, settled: set[tuple[datetime, str]]) -> bool:
    """Say whether an alarm about a window that was looked at before is told for the first time: its truth is there now."""
    fresh = any(row.is_settled and (row.start, row.model) not in settled for row in look.rows)
    return fresh and alarm.kind in {"performance", "concept"}


def _counts(rows: Sequence[Row]) -> list[int]:
    found: dict[datetime, int] = {}
    for row in sorted(rows, key=lambda row: row.start):
        found[row.start] = found.get(row.start, 0) + row.rows
    return list(found.values())


def _own_figure(start: datetime, model: str, name: str, value: float) -> dict[str, Any]:
    plain = {"low": None, "high": None, "rows": None, "accepted": None}
    return {"start": start, "model": model, "name": name, "value": float(value), **plain, "note": "own"}
