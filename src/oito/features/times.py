"""Time columns as integer microseconds since 1970 in UTC, the one scale on which moments are compared here."""

from datetime import timedelta

import numpy as np
import polars as pl

from oito.errors import BadInput, DataError
from oito.features.keys import Ints, require

UTC_TIME = pl.Datetime("us", "UTC")
FOREVER_US = 2**62
"""Longer than any two moments are apart: the ttl of what never expires."""


def microseconds(frame: pl.DataFrame, name: str, *, where: str, up: bool = False) -> pl.Series:
    """Return a column's moments as Int64, nulls kept; one without a zone is UTC, a date is its first moment.

    Nanoseconds are cut off, or with `up` rounded up. Round events up and questions down: then an event is never taken
    for known in the microsecond before it happened.

    Raises:
        MissingColumn: there is no such column.
        DataError: it holds no dates or times.
    """
    require(frame, [name], where=where)
    column = frame[name]
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        ticks = column.to_physical()
        return -(-ticks // 1000) if up else ticks // 1000
    if isinstance(dtype, pl.Datetime | pl.Date):
        return column.cast(pl.Datetime("us", getattr(dtype, "time_zone", None))).to_physical()
    if dtype == pl.Null:
        return column.cast(pl.Int64)
    raise DataError(
        f"{where} has {name!r} as {dtype}, which is no time",
        next=f'parse it, such as pl.col("{name}").str.to_datetime(time_zone="UTC")',
    )


def known_from(event: Ints, known: Ints | None) -> Ints:
    """Return when each row could first be used: not before it happened, nor before it was known."""
    return event if known is None else np.maximum(event, known)


def span_us(span: timedelta | None, *, name: str) -> int:
    """Return a span in microseconds, `FOREVER_US` for none.

    Raises:
        BadInput: it is negative.
    """
    if span is None:
        return FOREVER_US
    if span < timedelta():
        raise BadInput(f"{name} is {span}, and a span cannot be negative")
    return min(span // timedelta(microseconds=1), FOREVER_US)
