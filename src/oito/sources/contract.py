"""The contract of a source: what its columns were holds for what comes. Rows that do not fit are handed back with a reason, never lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from oito.clock import moment
from oito.errors import BadInput, ContractBroken, MissingColumn
from oito.names import did_you_mean
from oito.sources.spec import Contract
from oito.storage.contents import dtype_text

REASON = "set_aside_because"
_UTC = pl.Datetime("us", "UTC")


def hold(
    rows: pl.DataFrame, schema: Mapping[str, pl.DataType] | None, contract: Contract, *, place: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (rows that fit the schema, rows that do not, with the reason of each in a further column).

    A value fits when it becomes the column's type without loss, a text when it reads as one. Under `evolve` and
    `quarantine`, integers give way to a wider number when any value needs it: then the first frame has the wider type.

    Args:
        schema: the columns of the version before; None when there is none, and everything fits.

    Raises:
        MissingColumn: a column is gone.
        ContractBroken: under `freeze`, a column is new or has another type.

    Example:
        >>> new = pl.DataFrame({"n": ["1", "many"]})
        >>> fits, aside = hold(new, {"n": pl.Int64()}, "evolve", place="project.py:1")
        >>> fits["n"].to_list(), aside["set_aside_because"].to_list()
        ([1], ["n is 'many', no Int64"])
    """
    if schema is None or not rows.width:
        return rows, _none(rows)
    new = [name for name in rows.columns if name not in schema]
    for name, dtype in schema.items():
        if name not in rows.columns:
            raise _gone(name, dtype, new, place)
    changed = [name for name in schema if rows.schema[name] not in (schema[name], pl.Null())]
    if contract == "freeze" and (changed or new):
        raise _frozen((changed or new)[0], rows.schema, schema, place)
    marks = [_mark(rows[name], name, schema[name]) for name in changed]
    empty = [pl.col(name).cast(schema[name]) for name in schema if isinstance(rows.schema[name], pl.Null)]
    kept = rows.with_columns(*(fresh for fresh, _ in marks), *empty)
    if contract == "quarantine" and new:
        marks += [(rows[name], _copied(rows[name], name)) for name in new]
        kept = kept.drop(new)
    lost = [reason for (_, reason), name in zip(marks, [*changed, *new], strict=False) if name not in new]
    fits = kept.filter(_joined(lost, rows.height) == "")
    return fits, marked(rows, _joined([reason for _, reason in marks], rows.height))


def marked(rows: pl.DataFrame, reasons: pl.Series) -> pl.DataFrame:
    """Return the rows that have a reason, with it."""
    return rows.with_columns(reasons.alias(REASON)).filter(pl.col(REASON) != "")


def missing(rows: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """Return per row a reason when one of the columns has no value (null or NaN), else an empty text."""
    reasons = []
    for name in names:
        column = rows[name]
        gone = column.is_null() | column.is_nan().fill_null(False) if column.dtype.is_float() else column.is_null()
        reasons.append(_when(gone, pl.lit(f"{name} is missing")))
    return _joined(reasons, rows.height)


def _mark(column: pl.Series, name: str, old: pl.DataType) -> tuple[pl.Series, pl.Series]:
    """Return the column in the old type, or a wider one, and per row a reason where a value is lost by that."""
    if isinstance(old, pl.Null):
        return column, _when(column.is_null() & False, pl.lit(""))
    fresh = converted(column, old)
    is_lost = fresh.is_null() & column.is_not_null()
    if column.dtype.is_numeric() and fresh.dtype.is_numeric():
        back = fresh.cast(column.dtype, strict=False)
        is_lost = back.ne_missing(column)
        if is_lost.any() and _is_wider(column.dtype, old):
            wide = pl.Float64() if column.dtype.is_float() else column.dtype
            return column.cast(wide), _when(is_lost & False, pl.lit(""))
    text = pl.format("{} is '{}', no {}", pl.lit(name), as_text(name, column.dtype), pl.lit(dtype_text(old)))
    return fresh, column.to_frame(name).select(pl.when(is_lost).then(text).otherwise(pl.lit(""))).to_series()


def as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column as text, whatever it holds."""
    column = pl.col(name)
    if dtype.is_nested():
        return pl.struct(column).struct.json_encode().alias(name)
    return column.bin.encode("hex") if isinstance(dtype, pl.Binary) else column.cast(pl.String)


def _is_wider(new: pl.DataType, old: pl.DataType) -> bool:
    """Say whether the new number type holds everything the old one did."""
    if old.is_integer():
        return new.is_float() or (new.is_integer() and new.is_signed_integer() == old.is_signed_integer())
    return old.is_float() and new.is_float()


def converted(column: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Return the column in the wanted type, null where a value has no place in it; a text without a zone is UTC."""
    if isinstance(column.dtype, pl.String) and not isinstance(wanted, pl.String) and not wanted.is_numeric():
        read = {value: _read(value, wanted) for value in column.unique().drop_nulls().to_list()}
        return pl.Series(column.name, [read.get(value) for value in column.to_list()], dtype=wanted)
    if wanted.is_temporal() and not column.dtype.is_temporal():
        return pl.Series(column.name, [None] * len(column), dtype=wanted)  # a bare number is no time
    try:
        return column.cast(wanted, strict=False)
    except pl.exceptions.PolarsError:
        return pl.Series(column.name, [None] * len(column), dtype=wanted)


def _read(text: str, wanted: pl.DataType) -> Any:
    """Return the value that a text stands for, or None."""
    if isinstance(wanted, pl.Boolean):
        return {"true": True, "false": False}.get(text.strip().lower())
    try:
        if wanted == _UTC:
            return moment(text.strip().removesuffix(" UTC"))
        if isinstance(wanted, pl.Date):
            return date.fromisoformat(text.strip())
    except (BadInput, ValueError):
        return None
    return None


def _copied(column: pl.Series, name: str) -> pl.Series:
    return _when(column.is_not_null(), pl.lit(f"the column {name!r} is new; the row was kept without it"))


def _when(mask: pl.Series, text: pl.Expr) -> pl.Series:
    return mask.to_frame("mask").select(pl.when(pl.col("mask")).then(text).otherwise(pl.lit(""))).to_series()


def _joined(reasons: Sequence[pl.Series], height: int) -> pl.Series:
    """Return per row all its reasons in one text."""
    if not reasons:
        return pl.Series([""] * height, dtype=pl.String)
    columns = [reason.alias(f"{number}") for number, reason in enumerate(reasons)]
    filled = [pl.when(pl.col(column.name) != "").then(pl.col(column.name)) for column in columns]
    return pl.DataFrame(columns).select(pl.concat_str(filled, separator="; ", ignore_nulls=True)).to_series()


def _none(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.clear().with_columns(pl.lit("").alias(REASON))


def _gone(name: str, dtype: pl.DataType, new: Sequence[str], place: str) -> MissingColumn:
    hint = did_you_mean(name, new)
    return MissingColumn(
        f"the column {name!r} is gone",
        where=place,
        known=f"it was {dtype_text(dtype)}; new columns: {', '.join(new) or 'none'}",
        next=f"{hint} give the column, with nulls if need be".strip()
        if hint.startswith("did")
        else "give the column, with nulls if need be",
    )


def _frozen(name: str, have: pl.Schema, schema: Mapping[str, pl.DataType], place: str) -> ContractBroken:
    was = dtype_text(schema[name]) if name in schema else "absent"
    return ContractBroken(
        f"the column {name!r} is {dtype_text(have[name])}",
        where=place,
        known=f"it was {was}; the contract is frozen",
        next='mend the source, or declare contract="evolve"',
    )
