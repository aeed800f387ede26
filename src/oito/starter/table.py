"""What the columns of a table are to a first project: what is asked, who a row is about, and when. Writing it down is text.py's."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import polars as pl

from oito.errors import BadInput
from oito.names import did_you_mean

MOST_CLASSES = 20
LONG_TEXT = 255  # more values than a category may have
LEAST_ROWS = 50
_KEY = re.compile(r"(?i)(^|[_ -])(id|key|uuid|guid|code|number|no|nr)$|(?<=[a-z])I[dD]$")
_MOMENT = re.compile(r"(?i)(^|_|\b)(at|on|time|date|day|timestamp|ts|when|moment|month|created|asked)($|_|\b)")


@dataclass(frozen=True)
class Guess:
    """What a table's columns are. No `entity` is a table whose rows have no name; no `time`, one that tells no moments.

    `is_key` says that the entity alone names a row; `is_whole`, that the label is a whole number kept as one with decimals;
    `left_out` are columns that no model takes as they are: further times, and texts of too many values. `complete` are inputs
    without a gap. `test_days` is how many of the newest days hold about a fifth of the rows; 0 when time cannot split them.
    """

    label: str
    task: Literal["classification", "regression"]
    is_whole: bool
    entity: str
    is_key: bool
    time: str
    left_out: tuple[str, ...]
    inputs: tuple[str, ...]
    complete: tuple[str, ...]
    rows: int
    test_days: int


def guessed(rows: pl.DataFrame, *, label: str = "", entity: str = "", time: str = "", now: datetime) -> Guess:
    """Return what the columns are; those that are named are taken at their word.

    The label is the last column that can be one; an entity is a column named like a key without repeats or gaps; the time is
    the first column of moments without gaps that are all in the past, where a mere date must be named like one of asking.

    Raises:
        BadInput: a named column is not there or cannot be what it is named for, or the table is too small to learn from.

    Example:
        >>> table = pl.DataFrame({"id": range(60), "age": [20.5, None] * 30, "left": [True, False] * 30})
        >>> found = guessed(table, now=datetime(2024, 1, 1, tzinfo=UTC))
        >>> found.label, found.task, found.entity, found.inputs
        ('left', 'classification', 'id', ('age',))
    """
    for name in (label, entity, time):
        if name and name not in rows.columns:
            raise BadInput(
                f"the table has no column {name!r}",
                known=f"its columns: {', '.join(rows.columns)}",
                next=did_you_mean(name, rows.columns),
            )
    if rows.height < LEAST_ROWS:
        raise BadInput(f"the table has {rows.height} rows", known=f"a first model wants {LEAST_ROWS} or more")
    time = _checked_time(rows, time) if time else _time(rows, {label, entity}, now)
    entity = entity or _entity(rows, {label, time})
    label = label or _label(rows, {entity, time})
    task = _task(rows[label])
    _check_entity(rows, entity, time)
    others = [name for name in rows.columns if name not in {label, entity, time}]
    left_out = tuple(name for name in others if _is_unfit(rows[name]))
    inputs = tuple(name for name in others if name not in left_out)
    complete = tuple(name for name in inputs if rows[name].null_count() == 0)
    return Guess(
        label=label,
        task=task,
        is_whole=task == "classification" and rows[label].dtype.is_float(),
        entity=entity,
        is_key=bool(entity) and rows[entity].is_unique().all(),
        time=time,
        left_out=left_out,
        inputs=inputs,
        complete=complete,
        rows=rows.height,
        test_days=_test_days(rows[time]) if time else 0,
    )


def _time(rows: pl.DataFrame, taken: set[str], now: datetime) -> str:
    for name in rows.columns:
        values = rows[name]
        is_asking = isinstance(values.dtype, pl.Datetime) or _MOMENT.search(name)  # a plain date may be a birthday
        if name not in taken and is_asking and _is_moment(values) and not values.has_nulls() and values.n_unique() > 1:
            newest = _utc(values.max())
            if newest is not None and newest <= now:
                return name
    return ""


def _checked_time(rows: pl.DataFrame, name: str) -> str:
    values = rows[name]
    if not _is_moment(values):
        shown = ", ".join(map(repr, values.drop_nulls().head(3).to_list()))
        raise BadInput(
            f"{name!r} is no time",
            known=f"its values: {shown}",
            next="write moments like 2024-03-01T08:30:00 or 2024-03-01",
        )
    return name


def _entity(rows: pl.DataFrame, taken: set[str]) -> str:
    for name in rows.columns:
        values = rows[name]
        is_key_type = values.dtype.is_integer() or values.dtype == pl.String
        if (
            name not in taken
            and is_key_type
            and _KEY.search(name)
            and values.null_count() == 0
            and values.is_unique().all()
        ):
            return name
    return ""


def _check_entity(rows: pl.DataFrame, entity: str, time: str) -> None:
    if not entity:
        return
    if rows[entity].dtype.is_float():
        raise BadInput(
            f"{entity!r} cannot name rows: it is a number with decimals", next="name another column with --entity"
        )
    keys = [entity, *([time] if time else [])]
    missing = rows[entity].null_count()
    if missing:
        raise BadInput(
            f"{entity!r} is missing in {missing} of {rows.height} rows", next="fill it, or leave --entity out"
        )
    repeated = rows.height - rows.select(keys).n_unique()
    if repeated:
        raise BadInput(
            f"{repeated} rows repeat another's {' and '.join(keys)}",
            known="a question is named by its entity and its time",
            next="name a column without repeats, or leave --entity out: rows are then numbered",
        )


def _label(rows: pl.DataFrame, taken: set[str]) -> str:
    for name in reversed(rows.columns):
        if name not in taken and _can_be_label(rows[name]):
            return name
    raise BadInput(
        "no column can be what is asked for", known=f"columns: {', '.join(rows.columns)}", next="name it with --label"
    )


def _can_be_label(values: pl.Series) -> bool:
    distinct = values.drop_nulls().n_unique()
    if distinct < 2:
        return False
    return (
        values.dtype.is_numeric()
        or values.dtype == pl.Boolean
        or (values.dtype == pl.String and distinct <= MOST_CLASSES)
    )


def _task(label: pl.Series) -> Literal["classification", "regression"]:
    known = label.drop_nulls()
    distinct = known.n_unique()
    if distinct < 2:
        raise BadInput(
            f"{label.name!r} has {distinct} values: there is nothing to tell apart", next="name another with --label"
        )
    if label.dtype == pl.String and distinct > MOST_CLASSES:
        raise BadInput(
            f"{label.name!r} is a text of {distinct} values",
            known=f"a label has at most {MOST_CLASSES} classes, or is a number",
        )
    if label.dtype in (pl.Boolean, pl.String):
        return "classification"
    if not label.dtype.is_numeric():
        raise BadInput(f"{label.name!r} is {label.dtype}", known="a label is a number, a text or true and false")
    is_whole = label.dtype.is_integer() or bool((known == known.round()).all())
    return "classification" if is_whole and distinct <= MOST_CLASSES else "regression"


def _is_unfit(values: pl.Series) -> bool:
    if values.dtype.is_temporal() or values.null_count() == len(values):
        return True
    return values.dtype == pl.String and values.n_unique() > LONG_TEXT


def _is_moment(values: pl.Series) -> bool:
    return isinstance(values.dtype, pl.Datetime | pl.Date)


def _utc(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def _test_days(times: pl.Series) -> int:
    """Return how many days at the end hold a fifth of the rows, when as many before them and most rows before both are left."""
    moments = times.cast(pl.Datetime("us"))
    newest = moments.max()
    older = moments.quantile(0.8, "lower")
    if not isinstance(newest, datetime) or not isinstance(older, datetime):
        return 0
    days = math.ceil((newest - older) / timedelta(days=1))
    ages = (newest - moments).dt.total_seconds() / 86400
    valid = ((ages >= days) & (ages < 2 * days)).mean()
    train = (ages >= 2 * days).mean()
    return days if days and float(valid or 0) >= 0.05 and float(train or 0) >= 0.4 else 0
