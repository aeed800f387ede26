"""The fields of a request beside the model's columns: keys, the time of asking, and what features are computed from, with their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from oito.clock import moment, text
from oito.errors import BadInput, BadRequest

if TYPE_CHECKING:
    import polars as pl

_TIME = 'a time such as "2013-11-01T06:30:00Z"'
_SHOWN = 80


class Fields:
    """Reads the request fields of an endpoint's version; `types` are the texts of the types that the labels had."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.types: dict[str, str] = {n: record["request_types"].get(n, "String") for n in record["request_fields"]}
        self._readers = {name: _reader(wanted) for name, wanted in self.types.items()}
        self._schema: dict[str, Any] = {}

    def typed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that a row gives, each as the type it had in training.

        Raises:
            BadRequest: a field has a value of another type; the text names it.

        Example:
            >>> record = {"request_fields": ["ride", "at"], "request_types": {"ride": "Int64", "at": "Datetime('us')"}}
            >>> Fields(record).typed({"ride": 7, "at": "2013-11-01", "distance": 3.5})["at"].year
            2013
        """
        return {name: self._read(name, row[name]) for name in self._readers if name in row}

    def known(self, row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
        """Return the named fields as `typed` does; one that is absent or of another type is None."""
        found = []
        for name in names:
            try:
                found.append(self._read(name, row.get(name)))
            except BadRequest:
                found.append(None)
        return found

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Return typed rows as a frame with every request field; what a row lacks is null."""
        import polars as pl

        self._schema = self._schema or {name: dtype(written) for name, written in self.types.items()}
        return pl.from_dicts(rows, schema=self._schema)  # a tenth of the time that a series each takes

    def takes(self, name: str) -> str:
        """Return in words what a field takes."""
        return self._readers[name][1]

    def _read(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        read, words = self._readers[name]
        try:
            return read(value)
        except (TypeError, ValueError):
            shown = f"{value!r:.{_SHOWN}}"
            raise BadRequest(f"{name} is {shown} ({type(value).__name__})", known=f"{name} takes {words}") from None


def dtype(written: str) -> Any:
    """Return the Polars type of a stored column's type as text; what is no number, truth or time is a text."""
    import polars as pl

    if written.startswith("Datetime"):
        return pl.Datetime("us", "UTC")
    return getattr(pl, written) if _is_plain(written) else pl.String


def as_json(value: Any) -> Any:
    """Return a value of a row as JSON knows it: moments and other things as texts, what is not a number as None.

    Example:
        >>> as_json(datetime(2013, 11, 1)), as_json(float("nan")), as_json(2)
        ('2013-11-01T00:00:00.000000Z', None, 2)
    """
    if isinstance(value, datetime):
        return text(moment(value))
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_plain(written: str) -> bool:
    return written in {"Boolean", "Date"} or written.startswith(("Int", "UInt", "Float"))


def _reader(written: str) -> tuple[Callable[[Any], Any], str]:
    if written.startswith(("Int", "UInt")):
        bits = int(written.removeprefix("U").removeprefix("Int"))
        low, high = (0, 2**bits) if written.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
        return lambda value: _whole(value, low, high), "a whole number"
    if written.startswith("Float"):
        return _number, "a number"
    if written == "Boolean":
        return lambda value: _of(bool, value), "true or false"
    if written.startswith("Datetime"):
        return _moment, _TIME
    if written == "Date":
        return lambda value: date.fromisoformat(_of(str, value)), 'a date such as "2013-11-01"'
    return lambda value: _of(str, value), "a text"


def _of(wanted: type, value: Any) -> Any:
    if not isinstance(value, wanted):
        raise TypeError
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    if not low <= value < high:
        raise ValueError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        raise ValueError from None


def _moment(value: Any) -> datetime:
    try:
        return moment(_of(str, value))
    except (BadInput, OverflowError):
        raise ValueError from None
