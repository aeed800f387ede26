"""From a request's JSON to rows of floats for one served version. Looking features up, scoring and answering live elsewhere."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from oito.catalog.signature import Column
from oito.endpoints.served import Served
from oito.errors import BadRequest
from oito.names import did_you_mean

_TYPES: Mapping[str, Any] = {"number": float | None, "boolean": bool | None, "category": str | None}


class Rows:
    """Reads the rows of requests to one served version.

    `straight` takes the usual body, one row with every column, without a detour through a dict; whatever it does not like is
    read again by `body` and `floats`, which say what is wrong.
    """

    def __init__(self, served: Served) -> None:
        self._signature = served.signature
        names = served.signature.names
        self._names = frozenset(names)
        self._known = self._names.union(served.request_fields)
        self._width = len(names)
        self._categories = tuple(
            (place, column.codes) for place, column in enumerate(served.signature.columns) if column.kind == "category"
        )
        self._straight = msgspec.json.Decoder(_struct(served.signature.columns, sorted(self._known - self._names)))

    def straight(self, body: bytes) -> list[float | None] | None:
        """Return the floats of a body that is one whole row (None counts as missing), or None when it is anything else."""
        try:
            values = list(msgspec.structs.astuple(self._straight.decode(body)))
        except ValueError:
            return None
        del values[self._width :]
        for place, codes in self._categories:
            values[place] = codes.get(values[place])
        return values

    def is_whole(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row gives every column, so that nothing needs to be looked up."""
        return self._names <= row.keys()

    def check(self, row: object) -> dict[str, Any]:
        """Return the row when it is an object of known fields.

        Raises:
            BadRequest: it is not, or a field is misspelt.
        """
        if not isinstance(row, dict):
            raise BadRequest(
                "a row is no object", known=f"fields are {self._fields()}", next='send {"field": value, …}'
            )
        if not row.keys() <= self._known:
            name = min(row.keys() - self._known)
            raise BadRequest(
                f"the field {name[:80]!r} is not known",
                known=f"fields are {self._fields()}",
                next=did_you_mean(name[:80], self._known - row.keys()),
            )
        return row

    def floats(self, row: Mapping[str, Any]) -> list[float]:
        """Return a checked row's columns as the model sees them.

        Raises:
            BadRequest: a column is missing, or of another type or size than the model takes.
        """
        try:
            return self._signature.row(row)
        except OverflowError:
            name = next(n for n in self._signature.names if isinstance(row[n], int) and abs(row[n]) > 1e308)
            raise BadRequest(
                f"{name} is too large for a number", known=f"{name} takes finite numbers or null"
            ) from None

    def _fields(self) -> str:
        return ", ".join(sorted(self._known))


def _struct(columns: tuple[Column, ...], extra: list[str]) -> type[msgspec.Struct]:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    fields += [(f"c{place}", _TYPES[column.kind]) for place, column in enumerate(columns)]
    fields += [(f"e{place}", Any, None) for place in range(len(extra))]
    rename = {f"c{place}": column.name for place, column in enumerate(columns)}
    rename |= {f"e{place}": name for place, name in enumerate(extra)}
    return msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)


def body(data: bytes) -> dict[str, Any]:
    """Return a request's JSON object.

    Raises:
        BadRequest: broken JSON, NaN or Infinity, a number out of range, nesting without end, or no object at all.

    Example:
        >>> body(b'{"x": 1}')
        {'x': 1}
    """
    try:
        given = msgspec.json.decode(data)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError as error:
        raise BadRequest(
            "the body is no JSON" if data else "the body is empty",
            known=str(error).removeprefix("JSON is malformed: ") if data else "",
            next='send one row {"field": value, …} or {"rows": […]}; a missing number is null, never NaN or Infinity',
        ) from None
    if not isinstance(given, dict):
        raise BadRequest("the body is no JSON object", next='send one row {"field": value, …} or {"rows": […]}')
    return given


def as_number(value: float) -> bytes:
    """Return a float as JSON; what JSON cannot say, NaN and infinities, is null.

    Example:
        >>> as_number(0.1), as_number(float("nan"))
        (b'0.1', b'null')
    """
    return repr(value).encode() if math.isfinite(value) else b"null"
