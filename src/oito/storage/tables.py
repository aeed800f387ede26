"""Tables as content-addressed Parquet parts: write, append, upsert, scan. Which table is whose version is the catalog's."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oito.errors import BadInput, DataError, MissingColumn
from oito.names import did_you_mean
from oito.storage.contents import LEAF_ROWS, TableDigest, content_of, digest_of, dtype_text, resume_row
from oito.storage.files import Files
from oito.storage.frames import to_frame
from oito.storage.parts import ROW_GROUP_ROWS, SMALL_ROWS, Part, fitted, gathered, held, rows_of, scanned, write_part

PART_ROWS = 1_000_000
_SMALL_PARTS = 32
_SPAN_LEAVES = 64  # hashed again at once, after an upsert
_GAP_LEAVES = ROW_GROUP_ROWS // LEAF_ROWS  # leaves of one row group are read together anyway
_KNOWN_SCHEMAS = 512

_Words = tuple[tuple[str, str], ...]
_schemas: dict[_Words, pl.Schema] = {}  # what a table's schema in words stands for, as seen in this process


@dataclass(frozen=True)
class Table:
    """A table that never changes: its parts in row order, its schema, and the digest of its content.

    `leaves` are the digests of each 16,384 rows; `blocks` those of the whole 1,024-row blocks in the last, unfinished
    leaf, from where an append goes on. Two tables with the same `content` hold the same rows, however they are cut.
    """

    parts: tuple[Part, ...]
    schema: tuple[tuple[str, str], ...]
    rows: int
    leaves: tuple[str, ...]
    blocks: tuple[str, ...]
    content: str

    @property
    def size_bytes(self) -> int:
        """The size of all parts together."""
        return sum(part.size_bytes for part in self.parts)

    def data(self) -> dict[str, Any]:
        """Return the table as plain JSON data; `from_data` reads it."""
        return {
            "parts": [[part.digest, part.rows, part.size_bytes] for part in self.parts],
            "schema": [list(column) for column in self.schema],
            "rows": self.rows,
            "leaves": list(self.leaves),
            "blocks": list(self.blocks),
            "content": self.content,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Table":
        """Return the table that `data` described."""
        return cls(
            parts=tuple(Part(*part) for part in data["parts"]),
            schema=tuple((name, dtype) for name, dtype in data["schema"]),
            rows=data["rows"],
            leaves=tuple(data["leaves"]),
            blocks=tuple(data["blocks"]),
            content=data["content"],
        )


def write(files: Files, frame: Any) -> Table:
    """Return a new table with the rows of any frame, in their order; rows are streamed, never all in memory when lazy.

    Raises:
        BadInput: it is no table, or has no column.
        StorageFull: there is no room.

    Example:
        >>> import tempfile
        >>> files = Files(Path(tempfile.mkdtemp()))
        >>> table = append(files, write(files, {"id": [1, 2]}), {"id": [3]})
        >>> table.rows, scan(files, table).collect()["id"].to_list()
        (3, [1, 2, 3])
    """
    rows = to_frame(frame)
    schema = _usable(rows.collect_schema())
    growing = TableDigest(schema)
    parts = []
    for batch in _batches(rows):
        growing.update(batch)
        parts.append(write_part(files, batch))
    return _table(parts or [write_part(files, pl.DataFrame(schema=schema))], schema, growing)


def append(files: Files, table: Table, frame: Any) -> Table:
    """Return the table with the rows of `frame` behind its own; its parts stay as they are, but for a tail of small ones.

    A column that only one side has is null on the other. A frame without rows and new columns gives the same table.

    Raises:
        DataError: a column has another type than in the table.
        StorageFull: there is no room.
    """
    rows = to_frame(frame)
    old = _schema_of(files, table)
    schema = _union(old, rows.collect_schema())
    batches = [fitted(batch, schema) for batch in _batches(rows)]
    if not batches and schema == old:
        return table
    parts = [part for part in table.parts if part.rows] + [write_part(files, batch) for batch in batches]
    if not batches:
        parts.append(write_part(files, pl.DataFrame(schema=schema)))  # the newest part always knows every column
    growing = _resumed(files, table, schema) if schema == old else _replayed(files, table, schema)
    for batch in batches:
        growing.update(batch)
    return _table(_with_short_tail(files, parts, schema), schema, growing)


def upsert(files: Files, table: Table, frame: Any, key: str | Sequence[str]) -> Table:
    """Return the table in which each row of `frame` has replaced the row of its key, or stands behind all others.

    Only parts that hold a changed row are written anew; when nothing changes, the same table comes back. A column that
    is new to the table is null in the rows that `frame` does not touch.

    Raises:
        DataError: a key stands twice in `frame` or is null, with the rows; or a column has another type.
        MissingColumn: `frame` lacks a column of the table or of the key.
        StorageFull: there is no room.
    """
    names = [key] if isinstance(key, str) else list(key)
    rows = to_frame(frame).lazy().collect()
    _check_columns(rows.columns, [*names, *(name for name, _ in table.schema)])
    _check_keys(rows, names)
    old = _schema_of(files, table)
    schema = _union(old, rows.schema)
    rows = fitted(rows, schema)
    touched = _touched(files, table, rows.select(names), schema)
    parts, changed = _replaced(files, table, rows, names, touched, schema)
    new = rows.join(touched, on=names, how="anti", maintain_order="left")
    if schema != old:  # then every leaf is another one, and `append` hashes them all
        return append(files, Table(parts, table.schema, table.rows, (), (), ""), new)
    upserted = _rehashed(files, table, parts, changed, schema) if changed else table
    return append(files, upserted, new) if new.height else upserted


def scan(files: Files, table: Table) -> pl.LazyFrame:
    """Return the rows of a table, lazily and in order, after making sure that its parts have the bytes they should.

    Raises:
        CorruptFile: a part was changed on the disk.
        StorageError: a part is gone.
    """
    return scanned(files, table.parts, _schema_of(files, table))


def paths(files: Files, table: Table) -> list[Path]:
    """Return the Parquet files of a table in row order, verified; an older one may lack columns that were added later."""
    return [files.verify(part.digest) for part in table.parts]


def leaf_rows(table: Table, leaf: int) -> range:
    """Return the rows that a leaf's digest covers: where to look when two tables differ in it."""
    return range(leaf * LEAF_ROWS, min((leaf + 1) * LEAF_ROWS, table.rows))


def _table(parts: Sequence[Part], schema: pl.Schema, growing: TableDigest) -> Table:
    words = tuple((name, dtype_text(dtype)) for name, dtype in schema.items())
    _remember(words, schema)
    content = growing.content()
    if growing.rest is not None:
        held.keep(content, growing.rest)
    return Table(tuple(parts), words, growing.rows, growing.leaves(), growing.blocks(), content)


def _batches(rows: pl.DataFrame | pl.LazyFrame) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from rows.iter_slices(PART_ROWS) if rows.height else ()
        return
    for batch in rows.collect_batches(chunk_size=PART_ROWS, maintain_order=True):
        yield from batch.iter_slices(PART_ROWS) if batch.height else ()


def _schema_of(files: Files, table: Table) -> pl.Schema:
    known = _schemas.get(table.schema)
    if known is None:
        known = pl.Schema(pl.read_parquet_schema(files.verify(table.parts[-1].digest)))
        _remember(table.schema, known)
    return known


def _remember(words: _Words, schema: pl.Schema) -> None:
    if len(_schemas) >= _KNOWN_SCHEMAS:
        _schemas.clear()
    _schemas[words] = schema


def _resumed(files: Files, table: Table, schema: pl.Schema) -> TableDigest:
    growing = TableDigest(schema, leaves=table.leaves, blocks=table.blocks, rows=table.rows)
    first = resume_row(table.rows)
    rest = held.get(table.content)
    if rest is not None:
        growing.update(rest)
    elif first < table.rows:
        ends = list(accumulate(part.rows for part in table.parts))
        tail = [part for part, end in zip(table.parts, ends, strict=True) if end > first]
        growing.update(gathered(files, tail, schema).tail(table.rows - first))
    return growing


def _replayed(files: Files, table: Table, schema: pl.Schema) -> TableDigest:
    growing = TableDigest(schema)
    for batch in _batches(rows_of(files, table.parts, schema)):
        growing.update(batch)
    return growing


def _with_short_tail(files: Files, parts: list[Part], schema: pl.Schema) -> list[Part]:
    """Return the parts with the small ones at the end made into one, once there are too many of them."""
    first = len(parts)
    while first and parts[first - 1].rows < SMALL_ROWS:
        first -= 1
    if len(parts) - first <= _SMALL_PARTS:
        return parts
    return [*parts[:first], write_part(files, gathered(files, parts[first:], schema))]


def _touched(files: Files, table: Table, keys: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return the rows' places (`_PLACE`) and keys where the table has one of the keys, in the order of the table."""
    have = rows_of(files, table.parts, schema).select(keys.columns).with_row_index(_PLACE)
    return have.join(keys.lazy(), on=keys.columns, how="semi").collect().sort(_PLACE)


def _replaced(
    files: Files, table: Table, rows: pl.DataFrame, names: list[str], touched: pl.DataFrame, schema: pl.Schema
) -> tuple[tuple[Part, ...], list[int]]:
    """Return the parts with the touched rows replaced, and the leaves whose rows are others now."""
    parts, changed = list(table.parts), set[int]()
    ends = list(accumulate(part.rows for part in parts))
    places = touched[_PLACE].to_numpy()
    for number in sorted({bisect_right(ends, place) for place in places.tolist()}):
        start = ends[number] - parts[number].rows
        is_here = (places >= start) & (places < ends[number])
        here = places[is_here] - start
        before = gathered(files, [parts[number]], schema)
        fresh = touched.filter(is_here).select(names).join(rows, on=names, how="left", maintain_order="left")
        fresh = fresh.select(list(schema))
        if digest_of(fresh) == digest_of(before[here]):
            continue
        order = np.arange(before.height)
        order[here] = before.height + np.arange(fresh.height)
        parts[number] = write_part(files, pl.concat([before, fresh])[order])
        changed.update(((here + start) // LEAF_ROWS).tolist())
    return tuple(parts), sorted(changed)


def _rehashed(files: Files, table: Table, parts: tuple[Part, ...], changed: list[int], schema: pl.Schema) -> Table:
    """Return the table with other parts of the same lengths, hashing only the leaves that changed and those between."""
    leaves, blocks = list(table.leaves), table.blocks
    for first, last in _spans(changed):
        start, stop = first * LEAF_ROWS, min((last + 1) * LEAF_ROWS, table.rows)
        again = TableDigest(schema)
        again.update(_slice(files, parts, start, stop, schema))
        leaves[first : last + 1] = again.leaves()
        blocks = again.blocks() if stop == table.rows else blocks
    return Table(parts, table.schema, table.rows, tuple(leaves), blocks, content_of(schema, table.rows, leaves))


def _spans(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of runs of numbers, with small gaps closed and none too long."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number - last > _GAP_LEAVES or number - first >= _SPAN_LEAVES:
            yield first, last
            first = number
        last = number
    yield first, last


def _slice(files: Files, parts: Sequence[Part], start: int, stop: int, schema: pl.Schema) -> pl.DataFrame:
    ends = list(accumulate(part.rows for part in parts))
    near = [(part, end) for part, end in zip(parts, ends, strict=True) if end > start and end - part.rows < stop]
    offset = start - (near[0][1] - near[0][0].rows)
    return rows_of(files, [part for part, _ in near], schema).slice(offset, stop - start).collect()


_PLACE = "\0place in the table"


def _usable(schema: pl.Schema) -> pl.Schema:
    if not schema:
        raise BadInput(
            "a table needs at least one column", next="return an empty frame with its columns named and typed"
        )
    return schema


def _union(old: pl.Schema, new: Mapping[str, pl.DataType]) -> pl.Schema:
    """Return the table's columns, then the frame's new ones; a type gives way only where one side is all null."""
    columns = dict(old)
    for name, dtype in new.items():
        known = columns.setdefault(name, dtype)
        if known == dtype or isinstance(dtype, pl.Null):
            continue
        if isinstance(known, pl.Null):
            columns[name] = dtype
            continue
        raise DataError(
            f"column {name!r} is {dtype_text(known)} in the table and {dtype_text(dtype)} in the new rows",
            next=f"cast it: pl.col({name!r}).cast(pl.{dtype_text(known)}), or write the table anew",
        )
    return pl.Schema(columns)


def _check_columns(have: Sequence[str], needed: Iterable[str]) -> None:
    for name in needed:
        if name not in have:
            raise MissingColumn(f"the rows to upsert have no column {name!r}", known=did_you_mean(name, have))


def _check_keys(rows: pl.DataFrame, names: list[str]) -> None:
    twice = rows.filter(pl.struct(names).is_duplicated())
    if twice.height:
        raise DataError(
            f"{twice.height} of {rows.height} rows to upsert share their key {', '.join(names)}",
            where=_shown(twice.sort(names, maintain_order=True)),
            next="keep one row of each key",
        )
    empty = rows.filter(pl.any_horizontal(pl.col(names).is_null()))
    if empty.height:
        raise DataError(
            f"{empty.height} of {rows.height} rows to upsert have no {', '.join(names)}",
            where=_shown(empty),
            next="fill or drop these rows",
        )


def _shown(rows: pl.DataFrame) -> str:
    lines = [", ".join(f"{name}={value!r}" for name, value in row.items()) for row in rows.head(5).to_dicts()]
    return "\n".join(lines + ([f"… and {rows.height - 5} more"] if rows.height > 5 else []))
