"""The digest of a plain value: typed, length-prefixed, the same in every process. Tables are digested in contents.py."""

import dataclasses
import hashlib
import math
import struct
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from oito.errors import BadInput


def digest(value: object) -> str:
    """Return the SHA-256 (hex) of a value, told apart by type as well as by content: `1`, `1.0`, `True`, `"1"` all differ.

    Rules where equality is not enough: -0.0 is not 0.0; all NaN are one; the order of a dict counts (a function may
    iterate it), that of a set does not; `Decimal("1.0")` is not `Decimal("1.00")`; a time is its wall clock, fold, offset
    and zone; an array is its dtype, shape and values whatever its byte order and strides; a dataclass, named tuple or
    enum member carries its module and class name; a frame is its schema and values whatever its chunks, and `Categorical`
    is not `String` (in a table it is: there it is kept as text).

    Raises:
        BadInput: something inside has no canonical form (a function, a lock, a subclass of a built-in, a ring); the
            text names the path to it, such as `value["a"][2]`.

    Example:
        >>> digest({"rate": 0.1}) == digest({"rate": 0.1}), digest((1,)) == digest([1])
        (True, False)
    """
    return hashlib.sha256(_encoded(value, "value", ())).hexdigest()


def field(tag: str, *payloads: bytes) -> bytes:
    """Return one typed field: tag and payloads, each behind its length, so that no two contents run together."""
    pieces = [tag.encode(), *payloads]
    return b"".join([struct.pack("<Q", len(pieces)), *(struct.pack("<Q", len(piece)) + piece for piece in pieces)])


def _encoded(value: Any, path: str, above: tuple[int, ...]) -> bytes:
    plain = _PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    if id(value) in above:
        raise BadInput(
            "a value that contains itself has no digest", where=path, next="break the ring, or leave this part out"
        )
    return _composite(value, path, (*above, id(value)))


def _composite(value: Any, path: str, above: tuple[int, ...]) -> bytes:
    kind: type = type(value)
    if kind is list or kind is tuple:
        return field(kind.__name__, *_items(value, path, above))
    if kind is dict:
        return field("dict", *_entries(value, path, above))
    if kind is set or kind is frozenset:
        return field(kind.__name__, *sorted(_encoded(item, f"{path}{{{item!r}}}", above) for item in value))
    if isinstance(value, Enum):
        return field("enum", _class(kind), (value.name or "").encode(), _encoded(value.value, f"{path}.value", above))
    if isinstance(value, PurePath):
        return field("path", value.as_posix().encode("utf-8", "surrogateescape"))
    if dataclasses.is_dataclass(value):
        names = [each.name for each in dataclasses.fields(value)]
        return field("dataclass", _class(kind), *_attributes(value, names, path, above))
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return field("namedtuple", _class(kind), *_attributes(value, kind._fields, path, above))
    encoded = _array(value, path, above) or _frame(value, path)
    if encoded is None:
        raise _unkeyable(value, path)
    return encoded


def _items(values: Iterable[Any], path: str, above: tuple[int, ...]) -> list[bytes]:
    return [_encoded(item, f"{path}[{n}]", above) for n, item in enumerate(values)]


def _entries(value: dict[Any, Any], path: str, above: tuple[int, ...]) -> list[bytes]:
    pieces = []
    for key, item in value.items():
        pieces += [_encoded(key, f"the key {key!r} of {path}", above), _encoded(item, f"{path}[{_quoted(key)}]", above)]
    return pieces


def _attributes(value: Any, names: Iterable[str], path: str, above: tuple[int, ...]) -> list[bytes]:
    return [field(name, _encoded(getattr(value, name), f"{path}.{name}", above)) for name in names]


def _array(value: Any, path: str, above: tuple[int, ...]) -> bytes | None:
    np = sys.modules.get("numpy")  # a NumPy value exists only where NumPy is loaded, so nobody else pays for it
    if np is None:
        return None
    if isinstance(value, np.generic):
        return field("scalar", *_array_fields(np, np.asarray(value), path, above))
    if type(value) in (np.ndarray, np.memmap):
        return field("array", *_array_fields(np, np.asarray(value), path, above))
    if isinstance(value, np.dtype):
        return field("dtype", _dtype_text(value))
    return None


def _array_fields(np: Any, array: Any, path: str, above: tuple[int, ...]) -> list[bytes]:
    head = [_dtype_text(array.dtype), repr(array.shape).encode()]
    if array.dtype.names:
        return head + [field(name, *_array_fields(np, array[name], path, above)) for name in array.dtype.names]
    if array.dtype.kind in "OT":
        return head + _items(array.ravel().tolist(), path, above)
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if array.dtype.kind in "fc":
        plain = _one_nan(np, plain)
    if (array.dtype == np.longdouble and array.dtype.itemsize > 8) or array.dtype == np.clongdouble:
        raise _unkeyable(array.dtype, path)  # its bytes hold padding
    return [*head, hashlib.sha256(plain.reshape(-1).view(np.uint8)).digest()]


def _one_nan(np: Any, array: Any) -> Any:
    missing = np.isnan(array)
    if not missing.any():
        return array
    array = array.copy()
    array[missing] = np.nan
    return array


def _dtype_text(dtype: Any) -> bytes:
    if dtype.names:
        return repr([(name, _dtype_text(dtype[name])) for name in dtype.names]).encode()
    return repr(dtype).encode() if dtype.kind == "T" else str(dtype.newbyteorder("<")).encode()


def _frame(value: Any, path: str) -> bytes | None:
    pl = sys.modules.get("polars")
    if pl is None or not isinstance(value, pl.DataFrame | pl.Series | pl.LazyFrame | pl.DataType | pl.Schema):
        return None
    from oito.storage import contents

    if isinstance(value, pl.DataFrame):
        return field("frame", contents.digest_of(value).encode(), _exact(value.dtypes))
    if isinstance(value, pl.Series):
        return field("series", contents.digest_of(value.to_frame()).encode(), _exact([value.dtype]))
    if isinstance(value, pl.DataType):
        return field("frame dtype", _exact([value]))
    if isinstance(value, pl.Schema):
        return field("frame schema", contents.schema_digest(value), _exact(value.dtypes()))
    raise BadInput("a lazy frame has no digest, only a plan", where=path, next="collect it first")


def _exact(dtypes: Iterable[Any]) -> bytes:
    """Return dtypes in words: what a table keeps as text may do more in a user's hands."""
    from oito.storage import contents

    return field("dtypes", *(contents.dtype_text(dtype, as_kept=False).encode() for dtype in dtypes))


def _unkeyable(value: object, path: str) -> BadInput:
    kind = type(value)
    return BadInput(
        f"{kind.__module__}.{kind.__qualname__} has no digest",
        where=path,
        known="None, numbers, text, bytes, times, lists, tuples, sets, dicts, enums, paths, UUIDs, dataclasses, "
        "NumPy arrays and Polars frames have one",
        next="pass the plain values it is made of, or leave it out",
    )


def _class(kind: type) -> bytes:
    return f"{kind.__module__}.{kind.__qualname__}".encode()


def _quoted(key: object) -> str:
    return f'"{key}"' if isinstance(key, str) else repr(key)


def _float(value: float) -> bytes:
    return field("float", struct.pack("<d", math.nan if math.isnan(value) else value))


def _complex(value: complex) -> bytes:
    return field("complex", _float(value.real), _float(value.imag))


def _int(value: int) -> bytes:
    return field("int", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _datetime(value: datetime) -> bytes:
    return field("datetime", *_clock_fields(value))


def _time(value: time) -> bytes:
    return field("time", *_clock_fields(value))


def _clock_fields(value: datetime | time) -> list[bytes]:
    wall = value.replace(tzinfo=None, fold=0).isoformat().encode()
    if value.tzinfo is None:
        return [wall, bytes([value.fold])]
    return [wall, bytes([value.fold]), _span(value.utcoffset()), str(value.tzinfo).encode()]


def _span(value: timedelta | None) -> bytes:
    return b"" if value is None else repr((value.days, value.seconds, value.microseconds)).encode()


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: field("None"),
    type(...): lambda value: field("Ellipsis"),
    bool: lambda value: field("bool", bytes([value])),
    int: _int,
    float: _float,
    complex: _complex,
    str: lambda value: field("str", value.encode("utf-8", "surrogatepass")),
    bytes: lambda value: field("bytes", value),
    bytearray: lambda value: field("bytearray", bytes(value)),
    range: lambda value: field("range", _int(value.start), _int(value.stop), _int(value.step)),
    Decimal: lambda value: field("Decimal", b"NaN" if value.is_nan() else str(value).encode()),
    datetime: _datetime,
    date: lambda value: field("date", value.isoformat().encode()),
    time: _time,
    timedelta: lambda value: field("timedelta", _span(value)),
    UUID: lambda value: field("UUID", value.bytes),
}
