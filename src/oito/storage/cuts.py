"""Rows cut into partitions by columns: which key a row has, the digest of each key's rows, and the rows of some keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from oito.clock import FORMATS, span
from oito.errors import DataError, MissingColumn
from oito.names import ESCAPES, did_you_mean
from oito.storage import tables
from oito.storage.contents import digest_of
from oito.storage.files import Files

_KEY = "\0the key of its partition"


@dataclass(frozen=True)
class Cut:
    """One dimension that rows are cut by: the hour, day or month (UTC) of a column, or its value (`key`)."""

    unit: str
    column: str


Keys = Mapping[str, tuple[str, int]]  # key → digest of its rows, their number


def cut(
    files: Files,
    table: tables.Table,
    by: Sequence[Cut],
    *,
    before: tables.Table | None = None,
    known: Keys | None = None,
) -> Keys:
    """Return key → (digest, number of rows) of a table, in the order of the keys.

    The digest covers the rows of a key in their order, whatever parts they stand in. Only the keys of rows in parts that
    `before`, cut into `known`, does not have are looked at again.

    Raises:
        MissingColumn: the table has no such column.
        DataError: a row has no value to be cut by, or the column's type has no such unit.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> files = Files(Path(tempfile.mkdtemp()))
        >>> table = tables.write(files, {"carrier": ["UA", "B6", "UA"]})
        >>> {key: rows for key, (_, rows) in cut(files, table, [Cut("key", "carrier")]).items()}
        {'B6': 1, 'UA': 2}
    """
    rows = tables.scan(files, table)
    if before is None or known is None:
        return _digested(rows, by)
    old, new = set(before.parts), set(table.parts)
    changed = [part for part in (*before.parts, *table.parts) if (part in old) != (part in new)]
    touched: set[str] = set()
    for side, parts in ((before, old - new), (table, new - old)):
        if parts:
            there = tables.scan(files, replace(side, parts=tuple(part for part in side.parts if part in parts)))
            touched.update(there.select(_key_of(there, by)).unique().collect().to_series().drop_nulls().to_list())
    if not changed:
        return known
    fresh = _digested(picked(rows, by, sorted(touched)), by)
    kept = {key: facts for key, facts in known.items() if key not in touched}
    return dict(sorted({**kept, **fresh}.items()))


def picked(rows: pl.LazyFrame, by: Sequence[Cut], keys: Sequence[str]) -> pl.LazyFrame:
    """Return the rows that have one of the keys, in their order; Parquet parts without such a moment are not read."""
    near = (
        [_within(rows, each, {key.split("/")[place] for key in keys}) for place, each in enumerate(by)] if keys else []
    )
    bounds = [bound for bound in near if bound is not None]
    return rows.filter(*bounds, _key_of(rows, by).is_in(list(keys)))


def _digested(rows: pl.LazyFrame, by: Sequence[Cut]) -> Keys:
    keyed = rows.with_columns(_key_of(rows, by).alias(_KEY)).collect()
    bare = keyed[_KEY].null_count()
    if bare:
        names = ", ".join(each.column for each in by)
        raise DataError(
            f"{bare} of {keyed.height} rows have no {names} to be cut by",
            next="fill it, set these rows aside with a check, or cut by another column",
        )
    groups = keyed.partition_by(_KEY, as_dict=True, maintain_order=True, include_key=False)
    return {str(key): (digest_of(group), group.height) for (key,), group in sorted(groups.items())}


def _key_of(rows: pl.LazyFrame, by: Sequence[Cut]) -> pl.Expr:
    schema = rows.collect_schema()
    return pl.concat_str([_piece(each, schema) for each in by], separator="/")


def _piece(each: Cut, schema: pl.Schema) -> pl.Expr:
    if each.column not in schema:
        raise MissingColumn(f"there is no column {each.column!r} to cut by", known=did_you_mean(each.column, schema))
    dtype, column = schema[each.column], pl.col(each.column)
    if each.unit == "key":
        text = column.cast(pl.String)
        for plain, written in ESCAPES:
            text = text.str.replace_all(plain, written, literal=True)
        return text
    if not isinstance(dtype, pl.Datetime) and (not isinstance(dtype, pl.Date) or each.unit == "hour"):
        raise DataError(
            f"column {each.column!r} is {dtype} and has no {each.unit}", next="cut by a column of moments, or by Key"
        )
    return column.dt.strftime(FORMATS[each.unit])


def _within(rows: pl.LazyFrame, each: Cut, texts: set[str]) -> pl.Expr | None:
    """Return what the statistics of a Parquet part can tell: the column lies between the first and the last moment."""
    dtype = rows.collect_schema().get(each.column)
    if each.unit == "key" or not isinstance(dtype, pl.Datetime):
        return None
    spans = [span(each.unit, text) for text in texts]
    low, high = min(start for start, _ in spans), max(end for _, end in spans)
    return pl.col(each.column).is_between(low, high, closed="left")
