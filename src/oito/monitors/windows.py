"""Windows of time: where they begin and end, what a verdict keeps of each, and when one is final. What is measured in them is looks'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

TIME = pl.Datetime("us", "UTC")
SETTLED_COVERAGE = 0.95
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """One model's work in one window.

    `labelled` of its `rows` have their truth; `loss` and `variance` are theirs, `accepted` is the loss at acceptance. A row
    is settled when nearly all truth is there or no more is usual; only then it counts as evidence. It is final when no
    more truth is usual; then it is not looked at again.
    """

    start: datetime
    end: datetime
    model: str
    rows: int
    labelled: int = 0
    loss: float | None = None
    variance: float | None = None
    accepted: float | None = None
    regret: float | None = None
    expected: float | None = None
    is_settled: bool = False
    is_final: bool = False

    @property
    def coverage(self) -> float:
        return self.labelled / self.rows if self.rows else 0.0


ROWS = {
    "start": TIME, "end": TIME, "model": pl.String, "rows": pl.Int64, "labelled": pl.Int64, "loss": pl.Float64,
    "variance": pl.Float64, "accepted": pl.Float64, "regret": pl.Float64, "expected": pl.Float64,
    "is_settled": pl.Boolean, "is_final": pl.Boolean,
}  # fmt: skip
FIGURES = {
    "start": TIME, "model": pl.String, "name": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    "rows": pl.Int64, "accepted": pl.Float64, "note": pl.String,
}  # fmt: skip
DRIFT = {
    "start": TIME, "model": pl.String, "column": pl.String, "kind": pl.String, "rows": pl.Int64, "p_value": pl.Float64,
    "p_adjusted": pl.Float64, "psi": pl.Float64, "threshold": pl.Float64, "js": pl.Float64, "ks": pl.Float64,
    "w1": pl.Float64, "missing": pl.Float64, "missing_reference": pl.Float64, "unseen": pl.Float64,
    "is_drifted": pl.Boolean, "is_alarm": pl.Boolean, "cause": pl.String, "text": pl.String,
}  # fmt: skip


def tick(now: datetime, every: timedelta) -> datetime:
    """Return the end of the last window that is over: `now` rounded down to a multiple of `every`.

    Example:
        >>> tick(datetime(2013, 11, 1, 6, 30, tzinfo=UTC), timedelta(hours=4)).hour
        4
    """
    return EPOCH + (now - EPOCH) // every * every


def starts(first: datetime, end: datetime, every: timedelta) -> list[datetime]:
    """Return the start of every window from that of the moment `first` to the one that ends at `end`."""
    begin = tick(first, every)
    return [begin + n * every for n in range(max(0, (end - begin) // every))]


def is_final(end: datetime, *, delay_s: float | None, known_until: datetime | None) -> bool:
    """Return whether truth has been coming in for so long after a window that the usual 95 % of it must be there.

    Args:
        delay_s: within how many seconds 95 % of the truth is usually known; known_until: when the newest truth was known,
            so that a window does not become final while no truth arrives at all.
    """
    if delay_s is None or known_until is None:
        return False
    return end + timedelta(seconds=delay_s) <= known_until


def frame(rows: Sequence[Any], schema: dict[str, Any]) -> pl.DataFrame:
    """Return records as a frame of exactly these columns."""
    plain = [row if isinstance(row, dict) else asdict(row) for row in rows]
    return pl.DataFrame(plain, schema=schema, orient="row")


def rows_of(kept: pl.DataFrame) -> list[Row]:
    """Return the rows that a verdict kept."""
    return [Row(**row) for row in kept.select(list(ROWS)).to_dicts()]
