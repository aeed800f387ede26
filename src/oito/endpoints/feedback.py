"""Truths that callers send for predictions: kept durably, also for ids nobody knows. Joining and judging them is a monitor's work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from oito import clock
from oito.endpoints import ids, journal, segment
from oito.errors import BadRequest, OitoError, UnknownPrediction
from oito.names import did_you_mean

if TYPE_CHECKING:
    import polars as pl

KIND = "feedback"
_FIELDS = frozenset(("prediction_id", "truth", "at"))

Truth = str | int | float | bool


@dataclass(frozen=True)
class Feedback:
    """One truth as received; `at_us` is when it was known, if the caller said so; `is_known` whether the id was, then."""

    prediction_id: bytes
    truth: Truth
    at_us: int | None
    received_us: int
    is_known: bool


class FeedbackJournal:
    """The writing side; `record` may be called from any thread and returns when the rows would survive a loss of power."""

    def __init__(self, folder: Path, *, now_ns: Callable[[], int]) -> None:
        self._folder, self._now_ns = folder, now_ns
        self._lock = threading.Lock()
        self._segment: segment.Segment | None = None

    def record(self, rows: Sequence[object]) -> list[Feedback | OitoError]:
        """Return for each row what was kept, or its error; a row with an unknown id is kept too (`UnknownPrediction`).

        Sending a row again is harmless: readers drop exact repetitions.

        Raises:
            StorageFull: nothing of this call was kept.
        """
        now_us = self._now_ns() // 1000
        parsed = [_parsed(row, self._folder, now_us) for row in rows]
        kept = [row for row in parsed if isinstance(row, Feedback)]
        if kept:
            self._write(kept)
        return [row if isinstance(row, OitoError) or row.is_known else _parked(row) for row in parsed]

    def close(self) -> None:
        with self._lock:
            if self._segment is not None:
                self._segment.close()
            self._segment = None

    def _write(self, rows: list[Feedback]) -> None:
        with self._lock:
            if self._segment is None or self._segment.size_bytes > journal.SEGMENT_BYTES:
                if self._segment is not None:
                    self._segment.close()
                self._segment = segment.Segment(self._folder, KIND, time_ns=self._now_ns())
            self._segment.append([msgspec.msgpack.encode(rows)])
            self._segment.sync()


def _parsed(row: object, folder: Path, now_us: int) -> Feedback | OitoError:
    try:
        name, truth, at_us = _fields(row)
    except OitoError as error:
        return error
    try:
        journal.find(folder, name)
    except UnknownPrediction:
        return Feedback(name, truth, at_us, now_us, False)
    return Feedback(name, truth, at_us, now_us, True)


def _fields(row: object) -> tuple[bytes, Truth, int | None]:
    if not isinstance(row, Mapping):
        raise BadRequest("a feedback row is no object", next='send {"prediction_id": …, "truth": …}')
    if unknown := sorted(row.keys() - _FIELDS):
        raise BadRequest(
            f"the field {unknown[0][:80]!r} is not known",
            known="fields are prediction_id, truth and at",
            next=did_you_mean(unknown[0][:80], _FIELDS - row.keys()),
        )
    truth: Any = row.get("truth")
    if not isinstance(truth, str | int | float | bool):
        raise BadRequest("truth is missing or no plain value", known="truth is a number, a text, true or false")
    if isinstance(truth, int) and not -(2**63) <= truth < 2**63:
        raise BadRequest("truth is too large for a number")
    at = row.get("at")
    if at is not None and not isinstance(at, str):
        raise BadRequest("at is no time", next='write "2013-11-01T06:30:00Z"')
    return ids.parse(row.get("prediction_id")), truth, _microseconds(at) if at is not None else None


def _microseconds(text: str) -> int:
    return round(clock.moment(text[:40]).timestamp() * 1e6)


def _parked(row: Feedback) -> UnknownPrediction:
    return UnknownPrediction(
        f"no prediction has the id {row.prediction_id.hex()}",
        known="the truth is kept, and counts as soon as the prediction is known",
        next="check that this endpoint gave the id",
    )


def read(folder: Path, *, damaged: Callable[[segment.Damage], None] = journal.raise_damage) -> Iterator[Feedback]:
    """Yield every truth once, in the order received; corrections (another truth or time) are rows of their own.

    Raises:
        CorruptFile: bytes of a segment changed after they were written.
    """
    seen: set[tuple[bytes, str, Truth, int | None]] = set()
    for path in segment.paths(folder, KIND):
        with segment.mapped(path) as frames:
            for payload in frames.walk(damaged=damaged):
                for row in msgspec.msgpack.decode(payload, type=list[Feedback]):
                    key = (row.prediction_id, type(row.truth).__name__, row.truth, row.at_us)
                    if key not in seen:
                        seen.add(key)
                        yield row


def frame(folder: Path, since: datetime | None = None) -> pl.DataFrame:
    """Return one row per truth received since: prediction_id, truth (JSON text), at (as given, else received), received_at, is_known.

    Raises:
        CorruptFile: as `read`.
    """
    import polars as pl

    since_us = int(since.timestamp() * 1e6) if since else 0
    rows = [row for row in read(folder) if row.received_us >= since_us]
    time = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "prediction_id": pl.Series([row.prediction_id.hex() for row in rows], dtype=pl.String),
            "truth": pl.Series([msgspec.json.encode(row.truth).decode() for row in rows], dtype=pl.String),
            "at": pl.Series([row.received_us if row.at_us is None else row.at_us for row in rows], dtype=pl.Int64),
            "received_at": pl.Series([row.received_us for row in rows], dtype=pl.Int64),
            "is_known": pl.Series([row.is_known for row in rows], dtype=pl.Boolean),
        }
    ).with_columns(pl.col("at", "received_at").cast(time))
