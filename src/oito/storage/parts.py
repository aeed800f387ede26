"""Parts: the Parquet files that tables are made of, written once; the rows of small new ones stay at hand. Tables are tables.py's."""

import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from threading import Lock

import polars as pl

from oito.storage.files import Files

SMALL_ROWS = 8_000
ROW_GROUP_ROWS = 131_072
_HELD_FRAMES = 64
_HELD_BYTES = 262_144  # each; so at most 16 MB are held


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table."""

    digest: str
    rows: int
    size_bytes: int


def write_part(files: Files, rows: pl.DataFrame) -> Part:
    """Return the part that holds the rows; the same rows always give the same bytes.

    Raises:
        StorageFull: there is no room.
    """
    rows = rows.rechunk()  # one chunk and fixed row groups, or the bytes would tell how the rows came
    if rows.height >= SMALL_ROWS:
        with files.writing() as path:
            rows.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP_ROWS, statistics=True)
            size_bytes = path.stat().st_size
            return Part(files.adopt(path), rows.height, size_bytes)
    memory = io.BytesIO()  # half the time of a file that is written, read for its digest and renamed
    rows.write_parquet(memory, compression="zstd", row_group_size=ROW_GROUP_ROWS, statistics=True)
    part = Part(files.put(memory.getvalue()), rows.height, memory.tell())
    held.keep(part.digest, rows)
    return part


def scanned(files: Files, parts: Iterable[Part], schema: pl.Schema) -> pl.LazyFrame:
    """Return the rows of parts, lazily and in order, from files that are verified now; a column that one lacks is null."""
    sources = [files.verify(part.digest) for part in parts]
    return pl.scan_parquet(sources, schema=schema, missing_columns="insert", glob=False)


def gathered(files: Files, parts: Sequence[Part], schema: pl.Schema) -> pl.DataFrame:
    """Return the rows of parts in order; those that this process wrote lately are not read again."""
    pieces = _pieces(files, parts, schema)
    frames = [piece for piece in pieces if isinstance(piece, pl.DataFrame)]
    return pl.concat(frames) if len(frames) == len(pieces) else pl.concat(pl.collect_all([p.lazy() for p in pieces]))


def rows_of(files: Files, parts: Sequence[Part], schema: pl.Schema) -> pl.LazyFrame:
    """Return the rows of parts as `gathered` does, lazily."""
    return pl.concat([piece.lazy() for piece in _pieces(files, parts, schema)])


def filled(have: Mapping[str, pl.DataType], schema: pl.Schema) -> list[pl.Expr]:
    """Return what makes a frame with the columns `have` one of the schema: a column that it lacks is null."""
    return [(pl.col(name) if name in have else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()]


def fitted(rows: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return the frame with the columns and types of the schema."""
    have = rows.schema
    return rows if list(have.items()) == list(schema.items()) else rows.select(filled(have, schema))


def _pieces(files: Files, parts: Sequence[Part], schema: pl.Schema) -> list[pl.DataFrame | pl.LazyFrame]:
    known = [(part, held.get(part.digest)) for part in parts]
    pieces: list[pl.DataFrame | pl.LazyFrame] = []
    for is_near, run in groupby(known, key=lambda each: each[1] is not None):
        if is_near:
            pieces += [fitted(rows, schema) for _, rows in run if rows is not None]
        else:
            pieces.append(scanned(files, [part for part, _ in run], schema))
    return pieces


class _Held:
    """The rows of small parts, and those behind the last whole block of tables, by digest: what lately went by here."""

    def __init__(self) -> None:
        self._frames: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._guard = Lock()

    def keep(self, digest: str, rows: pl.DataFrame) -> None:
        if rows.estimated_size() > _HELD_BYTES:
            return
        with self._guard:
            self._frames[digest] = rows
            self._frames.move_to_end(digest)
            while len(self._frames) > _HELD_FRAMES:
                self._frames.popitem(last=False)

    def get(self, digest: str) -> pl.DataFrame | None:
        with self._guard:
            return self._frames.get(digest)


held = _Held()
