"""The cursor of a source: how far it has been collected, kept as plain data beside the rows, and from where to ask again."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import polars as pl

from oito.clock import moment, text
from oito.errors import ContractBroken
from oito.names import duration
from oito.storage.contents import dtype_text


def newest(rows: pl.DataFrame, column: str | None) -> Any:
    """Return the greatest value of the cursor column, or None when there is none."""
    if column is None or not rows.height:
        return None
    values = rows[column].drop_nans() if rows[column].dtype.is_float() else rows[column]
    return values.max()


def greater(one: Any, other: Any) -> Any:
    """Return the greater of two cursors; None is less than everything. A cursor never goes back."""
    return other if one is None else one if other is None else max(one, other)


def lesser(one: Any, other: Any) -> Any:
    """Return the lesser of two cursors; None says nothing."""
    return other if one is None else one if other is None else min(one, other)


def behind(cursor: Any, overlap: str | int | float) -> Any:
    """Return the cursor minus the overlap: a duration for times, a number for numbers. Texts have none.

    Example:
        >>> behind(moment("2013-11-04"), "3d"), behind(1000, 50), behind(1000, "3d")
        (datetime.datetime(2013, 11, 1, 0, 0, tzinfo=datetime.timezone.utc), 950, 1000)
    """
    if isinstance(cursor, date):
        if not isinstance(overlap, str):
            return cursor
        span = duration(overlap)
        whole_days = math.ceil(span.total_seconds() / 86_400)
        return cursor - span if isinstance(cursor, datetime) else date.fromordinal(cursor.toordinal() - whole_days)
    is_number = isinstance(cursor, int | float) and isinstance(overlap, int | float)
    return cursor - overlap if is_number else cursor


def plain(cursor: Any) -> Any:
    """Return a cursor as JSON can hold it."""
    if isinstance(cursor, datetime):
        return text(cursor)
    return cursor.isoformat() if isinstance(cursor, date) else cursor


def revived(kept: Any, dtype: str) -> Any:
    """Return a cursor from its plain form; `dtype` is the word of its column's type.

    Example:
        >>> revived("2013-11-01", "Date"), revived("2013-11-01", "String")
        (datetime.date(2013, 11, 1), '2013-11-01')
    """
    if not isinstance(kept, str):
        return kept
    if dtype.startswith("Datetime"):
        return moment(kept)
    return date.fromisoformat(kept) if dtype == "Date" else kept


def require_usable(rows: pl.DataFrame, column: str, *, place: str) -> None:
    """Make sure that the cursor column holds what can grow: times, dates, numbers or texts.

    Raises:
        ContractBroken: it holds anything else.
    """
    dtype = rows.schema[column]
    is_time = isinstance(dtype, pl.Datetime | pl.Date)
    if not (is_time or dtype.is_integer() or dtype.is_float() or isinstance(dtype, pl.String | pl.Null)):
        raise ContractBroken(
            f"the cursor {column!r} is {dtype_text(dtype)}",
            where=place,
            known="a cursor is a time, a date, a number or a text",
            next="choose another column, or cast it",
        )


def require_time(rows: pl.DataFrame, column: str, *, place: str) -> None:
    """Make sure that the column of the moment when rows become known holds moments.

    Raises:
        ContractBroken: it holds anything else.
    """
    dtype = rows.schema[column]
    if not isinstance(dtype, pl.Datetime | pl.Date | pl.Null):
        raise ContractBroken(
            f"known_at={column!r} is {dtype_text(dtype)}, no time",
            where=place,
            next=f'give it as times, such as pl.col("{column}").str.to_datetime(time_zone="UTC")',
        )
