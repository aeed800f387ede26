"""Logging metrics from inside a step, point by point. Where points lie while it runs is the catalog's; how they look is curves.py's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from oito.catalog.points import Point, PointFile, checked, read
from oito.flow.dimensions import named

if TYPE_CHECKING:
    import polars as pl

    from oito.flow.site import Context, Made
    from oito.flow.stored import Stored

POINTS = "points"  # the table of a version that keeps what its step logged

_current: ContextVar[Recorder | None] = ContextVar("recorder", default=None)
_running: list[Recorder] = []


def log_metric(name: str, value: float, *, step: int | None = None) -> None:
    """Keep one point of a metric of the step that is running, such as the loss after each epoch; it is seen at once.

    The points become part of the version that the step makes, drawn on its page; the last value of each name is the
    version's metric of that name, unless the step says another. Where no step runs, as in a unit test that calls the plain
    function, the point is printed instead.

    Args:
        step: where on the curve it is, such as the epoch; the next whole number of that name when it is left out.

    Raises:
        BadInput: the value is no number, the step no whole number, or the name no text.
        StorageFull: there is no room.

    Example:
        >>> log_metric("loss", 0.25, step=3)
        loss 0.25 (step 3)
    """
    recorder = _current.get()
    if recorder is None and len(_running) == 1:
        recorder = _running[0]  # a thread that the step has started
    if recorder is not None:
        recorder.add(name, value, step)
        return
    number, place = checked(name, value, step)
    sys.stdout.write(f"{name} {number:g}" + (f" (step {place})" if place is not None else "") + "\n")


class Recorder:
    """What one attempt of one step has logged; without a run, as in a reproduction, the last values alone are known."""

    def __init__(self, context: Context) -> None:
        site, asset = context.site, context.asset.name
        self._asset = named(asset, context.partition) if context.partition else asset
        self._file = PointFile(site.home, context.run, self._asset, site.clock) if context.run else None
        self._files = site.files
        self._last: dict[str, float] = {}

    def add(self, name: str, value: float, step: int | None) -> None:
        number, place = checked(name, value, step)
        if self._file is not None:
            self._file.add(name, number, place)
        self._last[name] = number

    def kept(self, made: Made, stored: Stored) -> Stored:
        """Return what was stored with the points beside it; they are no content: they tell the time."""
        made.metrics = {**self._last, **made.metrics}
        if self._file is None or not self._last:
            return stored
        from oito.storage import tables

        table = tables.write(self._files, frame(self._asset, read(self._file.path)[1]))
        size_bytes = stored.size_bytes + table.size_bytes
        return replace(stored, tables={**stored.tables, POINTS: table.data()}, size_bytes=size_bytes)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def recording(context: Context) -> Iterator[Recorder]:
    """Let `log_metric` know, inside the block, which step it is called from."""
    recorder = Recorder(context)
    _running.append(recorder)
    token = _current.set(recorder)
    try:
        yield recorder
    finally:
        _current.reset(token)
        _running.remove(recorder)
        recorder.close()


def frame(asset: str, points: list[Point]) -> pl.DataFrame:
    """Return points as rows: asset, name, step, value, at (UTC)."""
    import polars as pl

    schema = {"name": pl.String, "step": pl.Int64, "value": pl.Float64, "at": pl.Float64}
    rows = pl.DataFrame(points, schema=schema, orient="row")
    at = (pl.col("at") * 1_000_000).round().cast(pl.Int64).cast(pl.Datetime("us", "UTC"))
    return rows.select(pl.lit(asset).alias("asset"), "name", "step", "value", at)
