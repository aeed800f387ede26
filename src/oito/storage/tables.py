"""Tables as content-addressed Parquet parts: write, append, upsert, scan. Which table is whose version is the catalog's."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl

from oito.errors import BadInput, DataError, MissingColumn
from oito.names import did_you_mean
from oito.storage.contents import LEAF_ROWS, TableDigest, digest_of, dtype_text, resume_row
from oito.storage.files import Files
from oito.storage.frames import to_frame

PART_ROWS = 1_000_000
_SMALL_ROWS = 8_000
_SMALL_PARTS = 32
_ROW_GROUP_ROWS = 131_072


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table."""

    digest: str
    rows: int
    size_bytes: int


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
        parts.append(_write_part(files, batch))
    return _table(parts or [_write_part(files, pl.DataFrame(schema=schema))], schema, growing)


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
    batches = [batch.select(_filled(batch.schema, schema)) for batch in _batches(rows)]
    if not batches and schema == old:
        return table
    parts = [part for part in table.parts if part.rows] + [_write_part(files, batch) for batch in batches]
    if not batches:
        parts.append(_write_part(files, pl.DataFrame(schema=schema)))  # the newest part always knows every column
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
    rows = rows.select(_filled(rows.schema, schema))
    parts, seen = [], []
    for part in table.parts:
        fresh, keys = _updated_part(files, part, rows, names, schema)
        parts.append(part if fresh is None else _write_part(files, fresh))
        seen.append(keys)
    new = rows.join(pl.concat(seen), on=names, how="anti", maintain_order="left") if seen else rows
    changed = Table(tuple(parts), table.schema, table.rows, table.leaves, table.blocks, table.content)
    if parts != list(table.parts):
        changed = _table(parts, schema, _replayed(files, changed, schema))
    return append(files, changed, new) if new.height or schema != old else changed


def scan(files: Files, table: Table) -> pl.LazyFrame:
    """Return the rows of a table, lazily and in order, after making sure that its parts have the bytes they should.

    Raises:
        CorruptFile: a part was changed on the disk.
        StorageError: a part is gone.
    """
    return _scan(files, table.parts, _schema_of(files, table))


def paths(files: Files, table: Table) -> list[Path]:
    """Return the Parquet files of a table in row order, verified; an older one may lack columns that were added later."""
    return [files.verify(part.digest) for part in table.parts]


def leaf_rows(table: Table, leaf: int) -> range:
    """Return the rows that a leaf's digest covers: where to look when two tables differ in it."""
    return range(leaf * LEAF_ROWS, min((leaf + 1) * LEAF_ROWS, table.rows))


def _table(parts: Sequence[Part], schema: pl.Schema, growing: TableDigest) -> Table:
    words = tuple((name, dtype_text(dtype)) for name, dtype in schema.items())
    return Table(tuple(parts), words, growing.rows, growing.leaves(), growing.blocks(), growing.content())


def _batches(rows: pl.DataFrame | pl.LazyFrame) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from rows.iter_slices(PART_ROWS) if rows.height else ()
        return
    for batch in rows.collect_batches(chunk_size=PART_ROWS, maintain_order=True):
        yield from batch.iter_slices(PART_ROWS) if batch.height else ()


def _write_part(files: Files, rows: pl.DataFrame) -> Part:
    # one chunk and fixed row groups, so that the same rows always give the same bytes
    with files.writing() as path:
        rows.rechunk().write_parquet(path, compression="zstd", row_group_size=_ROW_GROUP_ROWS, statistics=True)
        size_bytes = path.stat().st_size
        return Part(files.adopt(path), rows.height, size_bytes)


def _schema_of(files: Files, table: Table) -> pl.Schema:
    return pl.Schema(pl.read_parquet_schema(files.verify(table.parts[-1].digest)))


def _scan(files: Files, parts: Iterable[Part], schema: pl.Schema) -> pl.LazyFrame:
    sources = [files.verify(part.digest) for part in parts]
    return pl.scan_parquet(sources, schema=schema, missing_columns="insert", glob=False)


def _resumed(files: Files, table: Table, schema: pl.Schema) -> TableDigest:
    growing = TableDigest(schema, leaves=table.leaves, blocks=table.blocks, rows=table.rows)
    first = resume_row(table.rows)
    if first < table.rows:
        ends = list(accumulate(part.rows for part in table.parts))
        tail = [part for part, end in zip(table.parts, ends, strict=True) if end > first]
        growing.update(_scan(files, tail, schema).collect().tail(table.rows - first))
    return growing


def _replayed(files: Files, table: Table, schema: pl.Schema) -> TableDigest:
    growing = TableDigest(schema)
    for batch in _batches(_scan(files, table.parts, schema)):
        growing.update(batch)
    return growing


def _with_short_tail(files: Files, parts: list[Part], schema: pl.Schema) -> list[Part]:
    """Return the parts with the small ones at the end made into one, once there are too many of them."""
    first = len(parts)
    while first and parts[first - 1].rows < _SMALL_ROWS:
        first -= 1
    if len(parts) - first <= _SMALL_PARTS:
        return parts
    return [*parts[:first], _write_part(files, _scan(files, parts[first:], schema).collect())]


def _updated_part(
    files: Files, part: Part, rows: pl.DataFrame, names: list[str], schema: pl.Schema
) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Return the part's rows after the upsert, or None when it stays as it is, and those of its keys that `rows` has."""
    old = _scan(files, [part], schema)
    touched = old.select(names).join(rows.lazy().select(names), on=names, how="semi").collect()
    if not touched.height:
        return None, touched
    before = old.collect()
    marked = rows.with_columns(pl.lit(True).alias(_MARK))
    after = before.select(names).join(marked, on=names, how="left", maintain_order="left")
    others = [name for name in schema if name not in names]
    fresh = before.select(
        *names,
        *(
            pl.when(after[_MARK].fill_null(False)).then(after[name]).otherwise(pl.col(name)).alias(name)
            for name in others
        ),
    ).select(list(schema))
    return (None if digest_of(fresh) == digest_of(before) else fresh), touched


_MARK = "\0is in the batch"


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


def _filled(have: Mapping[str, pl.DataType], schema: pl.Schema) -> list[pl.Expr]:
    return [(pl.col(name) if name in have else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()]


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
