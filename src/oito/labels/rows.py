"""Label rows in their one form: columns checked, sorted, and named as items. Whose answers fill them is not known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from oito.errors import DataError, MissingColumn
from oito.labels.spec import LabelsSpec
from oito.names import did_you_mean

UTC = pl.Datetime("us", "UTC")
_SHOWN = 5


@dataclass(frozen=True)
class Columns:
    """What the columns of a label set are called."""

    entity: tuple[str, ...]
    time: str
    known_at: str
    label: str

    @property
    def key(self) -> list[str]:
        """The columns that tell one question from another."""
        return [*self.entity, self.time]

    @property
    def all(self) -> list[str]:
        return [*self.key, self.known_at, self.label]


def columns_of(spec: LabelsSpec, name: str) -> Columns:
    """Return what the columns of the label set `name` are called.

    Example:
        >>> columns_of(LabelsSpec(entity=("id",), time="at", known_at="seen"), "late").label
        'late'
    """
    return Columns(spec.entity, spec.time, spec.known_at or "known_at", spec.label or name)


def normalized(frame: pl.DataFrame, columns: Columns, *, classes: Sequence[str] = (), place: str = "") -> pl.DataFrame:
    """Return the rows sorted by time and entity, the standard columns first, with NaN labels as null.

    Raises:
        MissingColumn: a declared column is not there.
        DataError: a time that is none; an entity of floats; a null entity or time; two rows of one entity and time; a
            label without the moment at which it was known, of an unusable type, or of no declared class.

    Example:
        >>> from datetime import datetime
        >>> rows = pl.DataFrame({"id": [7], "at": [datetime(2024, 1, 1)], "seen": [datetime(2024, 1, 2)], "late": [True]})
        >>> normalized(rows, Columns(("id",), "at", "seen", "late")).columns
        ['id', 'at', 'seen', 'late']
    """
    _check_columns(frame, columns, place)
    frame = _typed(frame, columns, place)
    _check_keys(frame, columns, place)
    _check_labels(frame, columns, classes, place)
    others = [name for name in frame.columns if name not in columns.all]
    return frame.select([*columns.all, *others]).sort([columns.time, *columns.entity], maintain_order=True)


def items(frame: pl.DataFrame, columns: Columns) -> pl.Series:
    """Return the name of each row's question, the same for ever: `UA-17@2013-11-01T05:30:00Z`.

    Example:
        >>> from datetime import datetime
        >>> rows = pl.DataFrame({"id": [7], "at": [datetime(2024, 1, 1)]})
        >>> items(rows, Columns(("id",), "at", "seen", "late")).to_list()
        ['7@2024-01-01T00:00:00Z']
    """
    parts = [pl.col(name).cast(pl.String) for name in columns.entity]
    for sign, code in (("%", "%25"), ("/", "%2F"), ("@", "%40")):  # so that two keys never share a name
        parts = [part.str.replace_all(sign, code, literal=True) for part in parts]
    moment = pl.col(columns.time).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").str.replace(".000000Z", "Z", literal=True)
    return frame.select(pl.concat_str([pl.concat_str(parts, separator="/"), moment], separator="@").alias("item"))[
        "item"
    ]


def shown(frame: pl.DataFrame) -> str:
    """Return the first rows as a line each, for an error."""
    lines = [", ".join(f"{name}={value}" for name, value in row.items()) for row in frame.head(_SHOWN).to_dicts()]
    return "\n".join(lines + ([f"… and {frame.height - _SHOWN} more"] if frame.height > _SHOWN else []))


def _check_columns(frame: pl.DataFrame, columns: Columns, place: str) -> None:
    for name in columns.all:
        if name not in frame.columns:
            raise MissingColumn(
                f"the labels have no column {name!r}",
                where=place,
                known=f"their columns: {', '.join(frame.columns)}",
                next=did_you_mean(name, frame.columns),
            )
    twice = [name for name in columns.all if columns.all.count(name) > 1]
    if twice:
        raise DataError(
            f"the column {twice[0]!r} is declared as two things",
            where=place,
            known=f"entity={columns.entity}, time={columns.time!r}, known_at={columns.known_at!r}, label={columns.label!r}",
            next="name another column for one of them",
        )


def _typed(frame: pl.DataFrame, columns: Columns, place: str) -> pl.DataFrame:
    for name in (columns.time, columns.known_at):
        dtype = frame.schema[name]
        if not isinstance(dtype, pl.Datetime | pl.Date | pl.Null):
            known = f"it is {dtype}; a label's time is a date or a time"
            raise DataError(
                f"{name!r} is no time", where=place, known=known, next=f"parse it: pl.col({name!r}).str.to_datetime()"
            )
    floats = [name for name in columns.entity if frame.schema[name].is_float()]
    if floats:
        known = f"it is {frame.schema[floats[0]]}, and equal floats are an accident"
        raise DataError(
            f"the entity {floats[0]!r} cannot be a key", where=place, known=known, next="cast it to Int64 or String"
        )
    label = pl.col(columns.label)
    return frame.with_columns(
        _utc(frame, columns.time),
        _utc(frame, columns.known_at),
        label.fill_nan(None) if frame.schema[columns.label].is_float() else label,
    )


def _utc(frame: pl.DataFrame, name: str) -> pl.Expr:
    naive = getattr(frame.schema[name], "time_zone", None) is None
    moments = pl.col(name).cast(pl.Datetime("us")) if naive else pl.col(name)
    return (moments.dt.replace_time_zone("UTC") if naive else moments).cast(UTC)


def _check_keys(frame: pl.DataFrame, columns: Columns, place: str) -> None:
    empty = frame.filter(pl.any_horizontal(pl.col(columns.key).is_null()))
    if empty.height:
        raise DataError(
            f"{empty.height} of {frame.height} label rows have no entity or no time",
            where=f"{place}\n{shown(empty.select(columns.all))}",
            next="drop these rows in the function, or fill the column",
        )
    twice = frame.filter(pl.struct(columns.key).is_duplicated())
    if twice.height:
        raise DataError(
            f"{twice.height} of {frame.height} label rows share their entity and time",
            where=f"{place}\n{shown(twice.select(columns.all).sort(columns.key, maintain_order=True))}",
            known="one question has one answer",
            next=f"keep one row of each: .unique({columns.key!r}), or add a column to entity=",
        )


def _check_labels(frame: pl.DataFrame, columns: Columns, classes: Sequence[str], place: str) -> None:
    dtype, label = frame.schema[columns.label], pl.col(columns.label)
    if not (dtype.is_numeric() or dtype in (pl.Boolean, pl.String, pl.Null)):
        raise DataError(
            f"the label {columns.label!r} is {dtype}",
            where=place,
            known="a label is a text, a boolean or a number",
            next="turn it into one of these",
        )
    unseen = frame.filter(label.is_not_null() & pl.col(columns.known_at).is_null())
    if unseen.height:
        raise DataError(
            f"{unseen.height} of {frame.height} labels have no {columns.known_at!r}",
            where=f"{place}\n{shown(unseen.select(columns.all))}",
            known="without the moment at which it became known, a label would leak into every earlier training",
            next=f"fill {columns.known_at!r}, or make the label null where the truth is not known yet",
        )
    strange = (
        frame.filter(label.is_not_null() & ~label.is_in(list(classes))) if classes and dtype == pl.String else None
    )
    if strange is not None and strange.height:
        value = strange[columns.label][0]
        raise DataError(
            f"{strange.height} of {frame.height} labels are of no declared class, such as {value!r}",
            where=f"{place}\n{shown(strange.select(columns.all))}",
            known=f"classes are {', '.join(classes)}",
            next=did_you_mean(value, classes) if value else "",
        )
