"""One feature row, and one entity key, as packed bytes. Where the bytes are kept is not known here."""

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from oito.errors import BadInput, DataError, SchemaChanged
from oito.features.keys import Ints, require

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BIAS = 2**63  # makes signed moments unsigned, so that their bytes sort as they do
_HASH_BYTES = 8
_TEXT = "String"
_FIXED = {  # as struct and NumPy both call them
    "Boolean": "?",
    "Int8": "b",
    "UInt8": "B",
    "Int16": "h",
    "UInt16": "H",
    "Int32": "i",
    "UInt32": "I",
    "Int64": "q",
    "UInt64": "Q",
    "Float32": "f",
    "Float64": "d",
    "Date": "i",
    "Datetime": "q",
    "Datetime[UTC]": "q",
}
_DECODED: dict[str, Callable[[int], object]] = {
    "Date": lambda days: date(1970, 1, 1) + timedelta(days=days),
    "Datetime": lambda us: EPOCH.replace(tzinfo=None) + timedelta(microseconds=us),
    "Datetime[UTC]": lambda us: EPOCH + timedelta(microseconds=us),
}
_texts = msgspec.msgpack.Decoder(list[str | None])


class Row(NamedTuple):
    """The newest features of one entity, and when they happened: microseconds since 1970, or `event_at` in UTC."""

    values: dict[str, Any]
    event_us: int

    @property
    def event_at(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.event_us)


class Layout:
    """How the rows of one view are packed; made from its columns, and refusing what another layout packed.

    A blob is, big-endian: 8 bytes of schema hash, event time and known-at (biased, so that bytes 9-24 compare like the
    pair), one bit per null, the numbers, booleans and times at fixed places, then all texts as one MessagePack list.
    """

    def __init__(self, view: str, columns: Sequence[tuple[str, str]]) -> None:
        self.view = view
        self.columns = tuple(columns)
        self.text = json.dumps([view, self.columns])  # with the name, as numbers of dropped views are given again
        self.hash = hashlib.sha256(self.text.encode()).digest()[:_HASH_BYTES]
        fixed = [(name, kind) for name, kind in columns if kind != _TEXT]
        self._texts = [name for name, kind in columns if kind == _TEXT]
        self._fixed = [name for name, _ in fixed]
        packed = self._fixed + self._texts
        names = [name for name, _ in columns]
        self._order = [packed.index(name) for name in names] if packed != names else None
        self._names = names
        self._decoders = [(spot, _DECODED[kind]) for spot, (_, kind) in enumerate(fixed) if kind in _DECODED]
        codes = [_FIXED[kind] for _, kind in fixed]
        flags = max(1, -(-len(fixed) // 8))
        self._struct = struct.Struct(f">{_HASH_BYTES}sQQ{flags}s{''.join(codes)}")
        self._unpack = self._struct.unpack_from
        head = [("hash", f"S{_HASH_BYTES}"), ("event", ">u8"), ("known", ">u8"), ("nulls", "u1", (flags,))]
        self._no_nulls = bytes(flags)
        self._record = np.dtype([*head, *((f"f{n}", f">{code}") for n, code in enumerate(codes))])

    @staticmethod
    def of(view: str, columns: Sequence[tuple[str, Any]]) -> "Layout":
        """Return the layout for columns given as (name, Polars type).

        Raises:
            BadInput: there is no column.
            DataError: a type that is not kept online.
        """
        if not columns:
            raise BadInput(f"the view {view!r} has no columns to keep online")
        return Layout(view, [(name, _kind(view, name, dtype)) for name, dtype in columns])

    def pack(self, frame: pl.DataFrame, event_us: Ints, known_us: Ints) -> list[bytes]:
        """Return one blob per row of `frame`, whose columns must be the view's (others are left aside)."""
        self._check(frame)
        records = np.zeros(frame.height, dtype=self._record)
        records["hash"] = np.frombuffer(self.hash, dtype=f"S{_HASH_BYTES}")
        records["event"], records["known"] = _biased(event_us), _biased(known_us)
        schema = frame.schema
        plain = frame.select(_plain(name, schema[name]) for name in self._fixed)  # one pass for all columns
        for spot, (column, nulls) in enumerate(zip(plain, frame.select(self._fixed).null_count().row(0), strict=True)):
            records[f"f{spot}"] = column.to_numpy()
            if nulls:
                records["nulls"][:, spot // 8] |= frame[column.name].is_null().to_numpy().view(np.uint8) << (spot % 8)
        blobs: list[bytes] = records.view(np.dtype(f"V{self._record.itemsize}")).tolist()
        if not self._texts:
            return blobs
        encode = msgspec.msgpack.Encoder().encode
        texts = frame.select(pl.col(name).cast(pl.String) for name in self._texts)
        return [blob + encode(row) for blob, row in zip(blobs, texts.iter_rows(), strict=True)]

    def unpack(self, blob: bytes, *, at_us: int, ttl_us: int) -> Row | None:
        """Return the row, or None when it happened or became known after `at_us`, or is older than the ttl.

        Raises:
            SchemaChanged: the blob was packed by another layout.
        """
        if blob[:_HASH_BYTES] != self.hash:
            raise self.changed()
        _, event, known, nulls, *values = self._unpack(blob)
        event_us = event - _BIAS
        if event_us > at_us or known - _BIAS > at_us or at_us - event_us > ttl_us:
            return None
        for spot, decode in self._decoders:
            values[spot] = decode(values[spot])
        if nulls != self._no_nulls:
            flags = int.from_bytes(nulls, "little")
            values = [None if flags >> spot & 1 else value for spot, value in enumerate(values)]
        if self._texts:
            values += _texts.decode(memoryview(blob)[self._struct.size :])
        if self._order:
            values = [values[spot] for spot in self._order]
        return Row(dict(zip(self._names, values)), event_us)  # noqa: B905  # made of one list; strict costs a tenth here

    def changed(self) -> SchemaChanged:
        """Return the error for a reader who holds this layout when the store holds another."""
        return SchemaChanged(
            f"the online view {self.view!r} holds other columns than its reader was made for",
            known="the reader's columns are " + ", ".join(f"{name} {kind}" for name, kind in self.columns),
            next="materialize the features again, or release what reads them against the new view",
        )

    def _check(self, frame: pl.DataFrame) -> None:
        require(frame, self._names, where=f"the frame for the view {self.view!r}")
        schema = frame.schema
        for name, kind in self.columns:
            found = _kind(self.view, name, schema[name])
            if found != kind:
                raise DataError(
                    f"the view {self.view!r} declares {name!r} as {kind}, the frame has it as {found}",
                    next="cast the column, or declare the view again with its new type",
                )


def entity_key(values: Sequence[object]) -> bytes | None:
    """Return one entity's values as bytes, None when one of them is null.

    Each has its sort before it and its length or an end mark, so `("ab", "c")` and `("a", "bc")` differ, and so do 1,
    "1" and true; integers of any width are alike.

    Raises:
        BadInput: the values are one bare text instead of a sequence.
        DataError: a float, or another thing without plain equality.

    Example:
        >>> entity_key(("UA", 7))
        b's2:UAi7;'
    """
    if isinstance(values, str | bytes):
        raise BadInput(f"an entity is a sequence of its key's values, not {values!r}", next=f"write [{values!r}]")
    if None in values:
        return None
    return b"".join([b"i%d;" % value if type(value) is int else _key_part(value) for value in values])


def since_epoch_us(moment: datetime) -> int:
    """Return a moment with a zone as whole microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def _key_part(value: object) -> bytes:
    if isinstance(value, str):
        text = value.encode()
        return b"s%d:%b" % (len(text), text)
    if isinstance(value, bool):
        return b"b%d;" % value
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, datetime):
        return b"t%d;" % since_epoch_us(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, date):
        return b"d%d;" % value.toordinal()
    if isinstance(value, bytes):
        return b"x%d:%b" % (len(value), value)
    raise DataError(
        f"{value!r} of type {type(value).__name__} cannot be part of an entity's key",
        known="keys are integers, text, booleans, dates or times",
    )


def _kind(view: str, name: str, dtype: Any) -> str:
    made = dtype() if isinstance(dtype, type) and dtype is not pl.Enum else dtype
    if isinstance(made, pl.Datetime):
        return "Datetime[UTC]" if made.time_zone else "Datetime"
    if isinstance(made, pl.Categorical | pl.Enum):
        return _TEXT
    kind = str(made)
    if kind == _TEXT or kind in _FIXED:
        return kind
    raise DataError(
        f"the view {view!r} has {name!r} as {kind}, which cannot be kept online",
        known="online features are numbers, booleans, texts, dates and times",
    )


def _plain(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the column as bare numbers, zero for null."""
    column = pl.col(name).dt.cast_time_unit("us") if isinstance(dtype, pl.Datetime) else pl.col(name)
    return column.to_physical().fill_null(False if dtype == pl.Boolean else 0)


def _biased(moments_us: Ints) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return moments_us.view(np.uint64) ^ np.uint64(_BIAS)
