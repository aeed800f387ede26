"""Exact sliding windows over events, as a table of the moments at which their values change."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import numpy as np
import numpy.typing as npt
import polars as pl

from oito.errors import BadInput, DataError
from oito.features.keys import UNKNOWN, Ints, Keys, require
from oito.features.packing import Packing, distinct
from oito.features.sums import Floats, Stretches, two_product, two_sum
from oito.features.times import UTC_TIME, known_from, microseconds
from oito.names import did_you_mean, duration

AGGREGATES = ("sum", "mean", "count", "min", "max", "std")
_EVENTS = "the event frame"


def sliding(
    events: pl.DataFrame | pl.LazyFrame,
    *,
    by: str | Sequence[str],
    time: str,
    known_at: str | None = None,
    windows: Mapping[str, str | timedelta] | Sequence[str],
    values: Mapping[str, tuple[str, str]],
    every: str | timedelta | None = None,
) -> pl.DataFrame:
    """Return what the events of the last 7 days, 30 days… add up to, as one row per moment at which that changes.

    The window at a moment T holds the events with T - window < `time` <= T that were known by T. So an event enters when
    it is known (never before it happens) and leaves when it is `window` old, and there is a row for each entering and
    leaving. One that becomes known when already too old is never seen. A row's value holds until the next row of its
    key; before the first there is none, and after the last event has left, counts and sums are 0 and the rest is null.
    The result is a feature table with `time` as its event time: nothing in a row was unknown at its time.

    Args:
        events: one row per event; a correction is a row of its own that adds the difference, known later.
        by: the columns of the key.
        time, known_at: when an event happened and when it became known; without the second, as it happened.
            Rows with a null in these or in the key are left out. Times without a zone are UTC.
        windows: lengths such as `["7d", "30d"]`, or names for them, `{"week": "7d"}`; the name ends the columns' names.
        values: column name -> (column of `events`, one of sum, mean, count, min, max, std). Numbers and booleans; nulls
            and NaN are not counted. `std` has n - 1 below and is null for fewer than two values.
        every: when given, rows stand only at whole multiples of it since 1970-01-01 UTC, and a change shows at the next
            one, so there are fewer rows and none looks ahead.

    Returns:
        The key's columns, `time` (UTC, microseconds) and `<value>_<window>` for each value and window, sorted by key
        and time. Sums of integers and booleans and all counts are Int64 and exact, sums of floats are rounded once (no
        error builds up over time), minima and maxima keep their type.

    Raises:
        MissingColumn: a named column is not there.
        BadInput: an unknown aggregate, no window or value, or a length that is not positive.
        DataError: a key of floats, a time that is none, a value that is no number or is infinite, two columns of one name.

    Example:
        >>> from datetime import datetime
        >>> landings = pl.DataFrame(
        ...     {
        ...         "carrier": ["UA", "UA"],
        ...         "arrived_at": [datetime(2013, 1, 1, 6), datetime(2013, 1, 1, 18)],
        ...         "late": [True, False],
        ...     }
        ... )
        >>> record = sliding(
        ...     landings, by="carrier", time="arrived_at", windows=["1d"], values={"late_share": ("late", "mean")}
        ... )
        >>> [(at.isoformat()[5:13], share) for _, at, share in record.rows()]
        [('01-01T06', 1.0), ('01-01T18', 0.5), ('01-02T06', 0.0), ('01-02T18', None)]
    """
    keys_by = [by] if isinstance(by, str) else list(by)
    spans_us = _spans(windows)
    step_us = 1 if every is None else _positive_us(every, "every")
    _check(keys_by, time, spans_us, values)
    require(
        events, [*keys_by, time, *filter(None, [known_at]), *(column for column, _ in values.values())], where=_EVENTS
    )
    frame = _needed(events, keys_by, time, known_at, values)
    keys = Keys.of(frame, keys_by, where=_EVENTS)
    frame, code, event_us, first_us = _usable(frame, keys, time, known_at)
    course = _Course.of(code, event_us, first_us, spans_us, step_us=step_us, keys=keys.frame.height)
    columns = {column: _Column.of(frame[column]) for column, _ in values.values()}
    made = [
        _aggregate(how, columns[column], stretches, rows).alias(f"{name}_{window}")
        for name, (column, how) in values.items()
        for window, (rows, stretches) in course.windows.items()
    ]
    at = pl.Series(time, course.at_us, dtype=pl.Int64).cast(UTC_TIME)
    return keys.frame.select(pl.all().gather(pl.Series(course.code, dtype=pl.Int64))).with_columns(at, *made)


@dataclass(frozen=True)
class _Course:
    """The moments of all keys in order, and per window its rows (those it sees at all) with their stretches."""

    code: Ints
    at_us: Ints
    windows: dict[str, tuple[Ints, Stretches]]

    @staticmethod
    def of(
        code: Ints, event_us: Ints, first_us: Ints, spans_us: Mapping[str, int], *, step_us: int, keys: int
    ) -> "_Course":
        enter = _up(first_us, step_us)
        leaves = {name: _up(event_us + span, step_us) for name, span in spans_us.items()}
        seen = {name: np.flatnonzero(enter < leave) for name, leave in leaves.items()}
        entering = np.flatnonzero(np.logical_or.reduce([enter < leave for leave in leaves.values()]))
        pairs = [(code[entering], enter[entering])] + [(code[rows], leaves[name][rows]) for name, rows in seen.items()]
        packing = Packing.over([moment for _, moment in pairs], keys=keys)
        packed, places = distinct(np.concatenate([packing.pack(*pair) for pair in pairs]))
        enter_place = np.zeros(len(code), dtype=np.int64)
        first, *others = np.split(places, np.cumsum([len(owner) for owner, _ in pairs])[:-1])
        enter_place[entering] = first
        stretches = {
            name: (rows, Stretches(enter_place[rows], leave, len(packed)))
            for (name, rows), leave in zip(seen.items(), others, strict=True)
        }
        codes, steps = packing.unpack(packed)
        return _Course(codes, steps * step_us, stretches)


@dataclass(frozen=True)
class _Column:
    """One column of values: which count, the values (0 elsewhere) as int64 or float64, and the type they came in."""

    counts: npt.NDArray[np.bool_]
    numbers: Ints | Floats
    dtype: pl.DataType

    @staticmethod
    def of(column: pl.Series) -> "_Column":
        dtype = column.dtype
        if dtype.is_float():
            plain = column.cast(pl.Float64).fill_nan(None)
            if plain.is_infinite().any():
                raise DataError(
                    f"{_EVENTS} has an infinite value in {column.name!r}, and no window could forget it",
                    next=f'make it null, such as pl.when(pl.col("{column.name}").is_finite()).then("{column.name}")',
                )
            return _Column(plain.is_not_null().to_numpy(), plain.fill_null(0.0).to_numpy(), dtype)
        if dtype.is_integer() or dtype in (pl.Boolean, pl.Null):
            whole = column.cast(pl.Int64)
            return _Column(whole.is_not_null().to_numpy(), whole.fill_null(0).to_numpy(), dtype)
        raise DataError(
            f"{_EVENTS} has {column.name!r} as {dtype}, which cannot be aggregated",
            known="values are numbers or booleans",
        )


def _aggregate(how: str, column: _Column, stretches: Stretches, rows: Ints) -> pl.Series:
    counted = column.counts[rows]
    stretches = Stretches(stretches.enter[counted], stretches.leave[counted], stretches.moments)
    numbers = column.numbers[rows[counted]]
    count = stretches.total(np.ones(len(numbers), dtype=np.int64))
    if how == "count":
        return pl.Series(count)
    if how in ("min", "max"):
        best = stretches.extreme(numbers, np.maximum if how == "max" else np.minimum)
        return _where(pl.Series(best), count >= 1).cast(column.dtype)
    if how == "std":
        return _where(pl.Series(_deviation(stretches, numbers.astype(np.float64), count)), count >= 2)
    is_float = column.dtype.is_float()
    total = stretches.total_float(cast(Floats, numbers))[0] if is_float else stretches.total(cast(Ints, numbers))
    if how == "sum":
        return pl.Series(total)
    return _where(pl.Series(total / np.maximum(count, 1)), count >= 1)


def _deviation(stretches: Stretches, numbers: Floats, count: Ints) -> Floats:
    """Return sqrt((n Σx² - (Σx)²) / (n (n - 1))), its numerator in 106 bits: the two halves may all but cancel."""
    n = count.astype(np.float64)
    exponent = int(np.frexp(np.abs(numbers).max(initial=0.0))[1])
    numbers = np.ldexp(numbers, -exponent)  # exact, and no square can overflow
    total, total_rest = stretches.total_float(numbers)
    square, square_rest = stretches.total_squares(numbers)
    left, left_rest = two_product(n, square)
    right, right_rest = two_product(total, total)
    gap, gap_rest = two_sum(left, -right)
    numerator = gap + (gap_rest + (left_rest + n * square_rest) - (right_rest + 2 * total * total_rest))
    return np.ldexp(np.sqrt(np.maximum(numerator, 0.0) / np.maximum(n * (n - 1), 1.0)), exponent)


def _where(values: pl.Series, valid: npt.NDArray[np.bool_]) -> pl.Series:
    return values.set(pl.Series(~valid), None)


def _up(moment_us: Ints, step_us: int) -> Ints:
    return moment_us if step_us == 1 else -(-moment_us // step_us)


def _usable(frame: pl.DataFrame, keys: Keys, time: str, known_at: str | None) -> tuple[pl.DataFrame, Ints, Ints, Ints]:
    code = keys.codes(frame, where=_EVENTS)
    event = microseconds(frame, time, where=_EVENTS, up=True)
    known = microseconds(frame, known_at, where=_EVENTS, up=True) if known_at else event
    usable = (event.is_not_null() & known.is_not_null() & pl.Series(code != UNKNOWN)).to_numpy()
    event_us, known_us = (moments.filter(usable).to_numpy() for moments in (event, known))
    return frame.filter(usable), code[usable], event_us, known_from(event_us, known_us)


def _needed(
    events: pl.DataFrame | pl.LazyFrame,
    by: Sequence[str],
    time: str,
    known_at: str | None,
    values: Mapping[str, tuple[str, str]],
) -> pl.DataFrame:
    names = dict.fromkeys([*by, time, *filter(None, [known_at]), *(column for column, _ in values.values())])
    return events.lazy().select(*names).collect()


def _spans(windows: Mapping[str, str | timedelta] | Sequence[str]) -> dict[str, int]:
    named = windows.items() if isinstance(windows, Mapping) else ((text, text) for text in windows)
    return {name: _positive_us(length, f"the window {name!r}") for name, length in named}


def _positive_us(length: str | timedelta, name: str) -> int:
    span = duration(length)
    if span <= timedelta():
        raise BadInput(f"{name} is {span}, and must be longer than nothing")
    return span // timedelta(microseconds=1)


def _check(by: Sequence[str], time: str, spans_us: Mapping[str, int], values: Mapping[str, tuple[str, str]]) -> None:
    if not spans_us or not values:
        raise BadInput(
            "sliding windows need at least one window and one value",
            next='write windows=["7d"] and values={"flights": ("flight_id", "count")}',
        )
    for name, (_, how) in values.items():
        if how not in AGGREGATES:
            raise BadInput(f"{name!r} asks for the aggregate {how!r}", known=did_you_mean(how, AGGREGATES))
    for name in _doubled([*by, time, *(f"{value}_{window}" for value in values for window in spans_us)]):
        raise DataError(f"the sliding windows would have two columns {name!r}", next="rename the value or the window")


def _doubled(names: Sequence[str]) -> Iterator[str]:
    return (name for place, name in enumerate(names) if name in names[:place])
