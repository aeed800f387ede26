"""Arrays as bytes: dtypes as plain data, values in one blob, each array right behind the one before. Objects live elsewhere."""

import functools
import json
import math
import re
from typing import Any

import numpy as np

from oito.errors import BadInput, CorruptFile

# No object dtype: its bytes would be memory addresses.
_PLAIN_DTYPE = re.compile(
    r"[<>|](b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SUV][1-9]\d{0,8}|[mM]8(\[\d{0,9}[a-zA-Z]{1,2}\])?)"
)
_MAX_DIMENSIONS = 64

Array = np.ndarray[Any, np.dtype[Any]]


def dtype_data(dtype: np.dtype[Any]) -> Any:
    """Return a dtype as plain data, as `dtype_of` reads it; of a structure the fields with their byte offsets.

    Example:
        >>> dtype_data(np.dtype("float64"))
        '<f8'
        >>> dtype_data(np.dtype([("left", "i8"), ("leaf", "u1")], align=True))
        [16, [['left', '<i8', 0, []], ['leaf', '|u1', 8, []]]]
    """
    if dtype.names is not None and dtype.fields is not None:
        fields = []
        for name in dtype.names:
            inner, offset = dtype.fields[name][:2]
            fields.append([name, dtype_data(inner.base), offset, list(inner.shape)])
        return [dtype.itemsize, fields]
    if dtype.str != "|O" and not _PLAIN_DTYPE.fullmatch(dtype.str):
        raise BadInput(
            f"arrays of {dtype} may not stand in a model file", known="numbers, times, texts and structures may"
        )
    return dtype.str


def dtype_of(data: Any) -> np.dtype[Any]:
    """Return the dtype that `dtype_data` wrote.

    Raises:
        CorruptFile: the data describes none, or fields that overlap or leave the structure.
    """
    if data == "|O":
        return np.dtype(object)
    if isinstance(data, str):
        if not _PLAIN_DTYPE.fullmatch(data):
            raise CorruptFile(f"{data[:40]!r} is no dtype of a model file")
        return np.dtype(data)
    return _structure(json.dumps(data))


@functools.lru_cache(maxsize=64)  # a forest describes its nodes once for each tree
def _structure(text: str) -> np.dtype[Any]:
    itemsize, fields = json.loads(text)
    names, formats, offsets, end = [], [], [], 0
    for name, inner, offset, shape in fields:
        base = dtype_of(inner)
        size = _size(base, shape)
        if base.hasobject or type(offset) is not int or offset < end or offset + size > itemsize:
            raise CorruptFile(f"the field {name!r} of a structure lies outside it")
        names.append(name)
        formats.append((base, tuple(shape)) if shape else base)
        offsets.append(offset)
        end = offset + size
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def _size(dtype: np.dtype[Any], shape: Any) -> int:
    if type(shape) is not list or len(shape) > _MAX_DIMENSIONS:
        raise CorruptFile("an array has no usable shape")
    if any(type(side) is not int or not 0 <= side < 2**62 for side in shape):
        raise CorruptFile(f"an array has the shape {str(shape)[:60]}")
    return dtype.itemsize * math.prod(shape)


class BlobWriter:
    """Collects arrays; `data()` is their bytes, one after the other."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, array: Array) -> list[Any]:
        """Return the plain data that names the array in the blob: dtype, shape, order in memory, offset."""
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        piece = _without_padding(array).tobytes(order="F" if order == "F" else "C")
        offset, self._size = self._size, self._size + len(piece)
        self._pieces.append(piece)
        return [dtype_data(array.dtype), list(array.shape), order, offset]

    def data(self) -> bytes:
        return b"".join(self._pieces)


def _without_padding(array: Array) -> Array:
    """Return the array with zeros between the fields of a structure, where memory may hold anything."""
    fields = array.dtype.fields
    if fields is None or sum(inner.itemsize for inner, *_ in fields.values()) == array.dtype.itemsize:
        return array
    clean = np.zeros(array.shape, array.dtype)
    for name in fields:
        clean[name] = array[name]
    return clean


class BlobReader:
    """Gives arrays back in the order they were added; every byte belongs to exactly one array, so none can be asked twice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._next = 0

    def take(self, dtype_node: Any, shape: Any, order: Any, offset: Any) -> Array:
        """Return a fresh, writable array.

        Raises:
            CorruptFile: the array would not start where the last one ended, or ends behind the blob.
        """
        dtype = dtype_of(dtype_node)
        size = _size(dtype, shape)
        if dtype.hasobject or order not in ("C", "F"):
            raise CorruptFile("an array of the model file is described wrongly")
        if type(offset) is not int or offset != self._next or offset + size > len(self._data):
            raise CorruptFile(
                f"an array of {size} bytes should start at {str(offset)[:30]}",
                known=f"the blob has {len(self._data)} bytes and the array before it ends at {self._next}",
            )
        self._next += size
        count = math.prod(shape)
        flat = np.frombuffer(self._data, dtype, count, offset).copy() if size else np.empty(count and 0, dtype)
        return flat.reshape(tuple(shape), order="F" if order == "F" else "C")

    def finish(self) -> None:
        """Raise CorruptFile when bytes are left that belong to no array."""
        if self._next != len(self._data):
            raise CorruptFile(f"{len(self._data) - self._next} bytes of the blob belong to no array")
