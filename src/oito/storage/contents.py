"""The content digest of a table: typed hashes of its values, whatever its chunks. How a table is kept is not known here.

Values are hashed in blocks of 1,024 rows; sixteen blocks make a leaf of 16,384 rows; the digest of a table is the SHA-256
of its schema digest, its row count and its leaves. So a changed cell is located to one leaf, and a table that grows
hashes again at most 1,023 old rows.

Rules: -0.0 is not 0.0; all NaN are one; null, NaN, 0 and "" differ; a column is its name, place and dtype (unit, zone,
scale, categories, nested types); `Categorical` is a way to keep `String`, so both give one digest.
"""

import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import polars as pl

from oito.errors import BadInput

BLOCK_ROWS = 1_024
LEAF_BLOCKS = 16
LEAF_ROWS = BLOCK_ROWS * LEAF_BLOCKS
_SPAN_ROWS = 64 * LEAF_ROWS  # rows made canonical at once: bounds the memory of a digest
_THREADED_BLOCKS = 64
_THREADED_BYTES = 12  # per row; with less, threads wait for the interpreter longer than they hash
_FORMAT = b"oito table 1"

_Mask = np.ndarray[Any, np.dtype[np.bool_]] | None


def digest_of(frame: pl.DataFrame) -> str:
    """Return the content digest (hex) of a frame.

    Example:
        >>> whole = pl.DataFrame({"a": [1, 2, 3]})
        >>> digest_of(whole) == digest_of(pl.concat([whole[:1], whole[1:]], rechunk=False))
        True
    """
    growing = TableDigest(frame.schema)
    growing.update(frame)
    return growing.content()


class TableDigest:
    """A content digest that grows by rows, and can go on where a table ended.

    To continue: give `leaves` and `blocks` as they were, the row count, and later `update` with the rows from
    `resume_row(rows)` on, first the old ones of the unfinished block, then the new ones.
    """

    def __init__(
        self,
        schema: Mapping[str, pl.DataType],
        *,
        leaves: Iterable[str] = (),
        blocks: Iterable[str] = (),
        rows: int = 0,
    ) -> None:
        self._schema = pl.Schema(schema)
        self._leaves = [bytes.fromhex(leaf) for leaf in leaves][: rows // LEAF_ROWS]
        self._blocks = [bytes.fromhex(block) for block in blocks]
        self.rest: pl.DataFrame | None = None  # the rows behind the last whole block
        self._last: list[bytes] | None = None
        self.rows = resume_row(rows)

    def update(self, frame: pl.DataFrame) -> None:
        """Take in more rows.

        Raises:
            BadInput: the frame has another schema, or a column of Python objects.
        """
        if frame.schema != self._schema:
            raise BadInput("rows of another schema cannot join a table's digest", known=f"{self._schema}")
        self.rows += frame.height
        self._last = None
        if self.rest is not None and self.rest.height:
            frame = pl.concat([self.rest, frame])
        whole = frame.height - frame.height % BLOCK_ROWS
        for start in range(0, whole, _SPAN_ROWS):
            self._blocks += _block_digests(frame.slice(start, min(_SPAN_ROWS, whole - start)))
            while len(self._blocks) >= LEAF_BLOCKS:
                self._leaves.append(_joined(self._blocks[:LEAF_BLOCKS]))
                del self._blocks[:LEAF_BLOCKS]
        self.rest = frame.slice(whole)

    def blocks(self) -> tuple[str, ...]:
        """Return the digests (hex) of the whole blocks in the unfinished leaf; at most 15."""
        return tuple(block.hex() for block in self._blocks)

    def leaves(self) -> tuple[str, ...]:
        """Return the digest (hex) of each leaf of 16,384 rows; the last one may be shorter."""
        if self._last is None:
            self._last = _block_digests(self.rest) if self.rest is not None and self.rest.height else []
        last = self._blocks + self._last
        return tuple(leaf.hex() for leaf in self._leaves + ([_joined(last)] if last else []))

    def content(self) -> str:
        """Return the content digest (hex) of all rows so far."""
        return content_of(self._schema, self.rows, self.leaves())


def content_of(schema: Mapping[str, pl.DataType], rows: int, leaves: Iterable[str]) -> str:
    """Return the content digest (hex) of a table whose leaves are known."""
    head = [_FORMAT, schema_digest(schema), struct.pack("<Q", rows)]
    return hashlib.sha256(_prefixed(head + [bytes.fromhex(leaf) for leaf in leaves])).hexdigest()


def resume_row(rows: int) -> int:
    """Return the first row that a digest of `rows` rows must see again to go on."""
    return rows - rows % BLOCK_ROWS


def schema_digest(schema: Mapping[str, pl.DataType]) -> bytes:
    """Return the SHA-256 of names, order and dtypes."""
    pieces = [piece for name, dtype in schema.items() for piece in (name.encode(), dtype_text(dtype).encode())]
    return hashlib.sha256(_prefixed(pieces)).digest()


def dtype_text(dtype: Any, *, as_kept: bool = True) -> str:
    """Return a dtype in words that name all of it; `as_kept` is as tables keep it, where a `Categorical` is a `String`.

    Example:
        >>> dtype_text(pl.List(pl.Datetime("us", "UTC")))
        "List(Datetime('us', 'UTC'))"
        >>> dtype_text(pl.Categorical()), dtype_text(pl.Categorical(), as_kept=False)
        ('String', 'Categorical')
    """
    if isinstance(dtype, type):  # `pl.List(pl.String)` holds the class, not a `pl.String()`
        return "String" if as_kept and dtype is pl.Categorical else dtype.__name__
    name = type(dtype).__name__
    if isinstance(dtype, pl.List):
        return f"List({dtype_text(dtype.inner, as_kept=as_kept)})"
    if isinstance(dtype, pl.Array):
        return f"Array({dtype_text(dtype.inner, as_kept=as_kept)}, {dtype.size})"
    if isinstance(dtype, pl.Struct):
        fields = (f"{each.name!r}: {dtype_text(each.dtype, as_kept=as_kept)}" for each in dtype.fields)
        return f"Struct({', '.join(fields)})"
    if isinstance(dtype, pl.Datetime):
        return f"Datetime({dtype.time_unit!r}, {dtype.time_zone!r})"
    if isinstance(dtype, pl.Duration):
        return f"Duration({dtype.time_unit!r})"
    if isinstance(dtype, pl.Decimal):
        return f"Decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Enum):
        return f"Enum({dtype.categories.to_list()!r})"
    if isinstance(dtype, pl.Categorical):
        return "String" if as_kept else str(dtype)
    return name


def _block_digests(frame: pl.DataFrame) -> list[bytes]:
    """Return the digest of each 1,024 rows. Many blocks are spread over threads: hashing gives up the interpreter lock."""
    columns = [_canonical(column) for column in frame.get_columns()]

    def block(start: int) -> bytes:
        stop = min(start + BLOCK_ROWS, frame.height)
        pieces: list[Any] = [struct.pack("<Q", stop - start)]
        for column in columns:
            column.put(pieces, start, stop)
        return hashlib.sha256(b"".join(pieces)).digest()

    starts = range(0, frame.height, BLOCK_ROWS)
    if len(starts) < _THREADED_BLOCKS or frame.estimated_size() < _THREADED_BYTES * frame.height:
        return [block(start) for start in starts]
    runs = [starts[first : first + LEAF_BLOCKS] for first in range(0, len(starts), LEAF_BLOCKS)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(chain.from_iterable(pool.map(lambda run: [block(start) for start in run], runs)))


class _Column(Protocol):
    """A column made canonical: `put` adds the bytes of rows start..stop, which tell their own length."""

    def put(self, pieces: list[Any], start: int, stop: int) -> None: ...


def _canonical(column: pl.Series) -> _Column:
    dtype = column.dtype
    valid = column.is_not_null().to_numpy() if column.null_count() else None
    if isinstance(dtype, pl.Null):
        return _Nulls()
    if isinstance(dtype, pl.Boolean):
        return _Bits(valid, _no_null(column).to_numpy())
    if isinstance(dtype, pl.Struct):
        return _Struct(valid, tuple(_canonical(part) for part in _parts(column, valid)))
    if isinstance(dtype, pl.Array):
        column, dtype = column.arr.to_list(), pl.List(dtype.inner)
    if isinstance(dtype, pl.List):
        lengths = _no_null(column.list.len()).rechunk().to_numpy()
        return _Runs(valid, *_cuts(lengths), _canonical(column.filter(pl.Series(lengths > 0)).explode()))
    if isinstance(dtype, pl.Object):
        raise BadInput(
            f"column {column.name!r} holds Python objects",
            known="numbers, text, bytes, times, lists and structs can be kept",
            next="turn the column into one of these",
        )
    if dtype.is_temporal():
        return _numbers(valid, column.to_physical())
    if (dtype.is_integer() and not isinstance(dtype, pl.Int128 | pl.UInt128)) or dtype.is_float():
        return _numbers(valid, column)
    return _text(valid, column if isinstance(dtype, pl.Binary) else column.cast(pl.String).cast(pl.Binary))


def _numbers(valid: _Mask, column: pl.Series) -> _Column:
    values = _no_null(column).rechunk().to_numpy()
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return _Numbers(valid, np.ascontiguousarray(values))


def _text(valid: _Mask, column: pl.Series) -> _Column:
    if len(column) <= BLOCK_ROWS:  # the engine takes longer to begin than these few rows take here
        items = [item or b"" for item in column.to_list()]
        joined = np.frombuffer(b"".join(items), dtype=np.uint8)
        return _Runs(valid, *_cuts(np.fromiter(map(len, items), np.uint32, len(items))), _Numbers(None, joined))
    lengths = _no_null(column.bin.size()).rechunk().to_numpy()
    utf8 = column.filter(pl.Series(lengths > 0)).cast(pl.List(pl.UInt8)).explode()
    return _Runs(valid, *_cuts(lengths), _Numbers(None, utf8.rechunk().to_numpy()))


def _no_null(column: pl.Series) -> pl.Series:
    return column.fill_null(False if column.dtype == pl.Boolean else 0) if column.null_count() else column


def _parts(column: pl.Series, valid: _Mask) -> list[pl.Series]:
    parts = column.struct.unnest().get_columns()
    if valid is None:
        return parts
    mask = pl.Series(valid)  # what a null struct's fields hold is nobody's business
    return [part.to_frame("part").select(pl.when(mask).then(pl.col("part"))).to_series() for part in parts]


def _cuts(lengths: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the length of each row and, with one more item, where each row begins in the items."""
    widths = lengths.astype(np.uint32, copy=False)
    begins = np.zeros(len(widths) + 1, dtype=np.int64)
    begins[1:] = widths  # widened first: numpy adds up numbers of one width ten times as fast
    np.cumsum(begins[1:], out=begins[1:])
    return widths, begins


def _put_mask(pieces: list[Any], valid: _Mask) -> None:
    if valid is None or valid.all():
        pieces.append(b"\0")
    else:
        pieces += [b"\1", np.packbits(valid)]


@dataclass(frozen=True)
class _Nulls:
    """A column of the dtype Null: the row count says it all."""

    def put(self, pieces: list[Any], start: int, stop: int) -> None:
        pieces.append(b"\0")


@dataclass(frozen=True)
class _Numbers:
    """Values of one fixed width; zero under nulls."""

    valid: _Mask
    values: np.ndarray[Any, Any]

    def put(self, pieces: list[Any], start: int, stop: int) -> None:
        _put_mask(pieces, self.valid if self.valid is None else self.valid[start:stop])
        pieces.append(self.values[start:stop])


@dataclass(frozen=True)
class _Bits:
    """True and false, packed eight to a byte."""

    valid: _Mask
    values: np.ndarray[Any, np.dtype[np.bool_]]

    def put(self, pieces: list[Any], start: int, stop: int) -> None:
        _put_mask(pieces, self.valid if self.valid is None else self.valid[start:stop])
        pieces.append(np.packbits(self.values[start:stop]))


@dataclass(frozen=True)
class _Runs:
    """Text and lists: the length of each row, then all its items one after the other."""

    valid: _Mask
    widths: np.ndarray[Any, np.dtype[np.uint32]]
    begins: np.ndarray[Any, np.dtype[np.int64]]
    items: _Column

    def put(self, pieces: list[Any], start: int, stop: int) -> None:
        _put_mask(pieces, self.valid if self.valid is None else self.valid[start:stop])
        pieces.append(self.widths[start:stop])
        self.items.put(pieces, int(self.begins[start]), int(self.begins[stop]))


@dataclass(frozen=True)
class _Struct:
    """Fields side by side; null where the struct is."""

    valid: _Mask
    fields: tuple[_Column, ...]

    def put(self, pieces: list[Any], start: int, stop: int) -> None:
        _put_mask(pieces, self.valid if self.valid is None else self.valid[start:stop])
        for each in self.fields:
            each.put(pieces, start, stop)


def _joined(blocks: list[bytes]) -> bytes:
    return hashlib.sha256(_prefixed(blocks)).digest()


def _prefixed(pieces: list[bytes]) -> bytes:
    return b"".join([struct.pack("<Q", len(pieces)), *(struct.pack("<Q", len(piece)) + piece for piece in pieces)])
