"""Prediction ids: 16 bytes that sort by the time they were given (UUID version 7). Where predictions are kept lives elsewhere."""

import os
import string

from oito.errors import BadRequest

_VERSION = 7 << 76
_VARIANT = 2 << 62
_PER_MS = 1 << 12
_HEX = frozenset(string.hexdigits)


class Ids:
    """Gives strictly rising ids, also when the machine's clock steps back; one per writing process.

    48 bits of milliseconds, a 12-bit count within the millisecond, 62 random bits of this giver (RFC 9562, section 6.2).
    """

    def __init__(self) -> None:
        self._salt = _VERSION | _VARIANT | (int.from_bytes(os.urandom(8), "big") >> 2)
        self._next = 0  # milliseconds * 4096 + count: one integer that only rises

    def take(self, count: int, time_ns: int) -> list[bytes]:
        """Return `count` new ids for the moment `time_ns` (since 1970).

        Example:
            >>> first, second = Ids().take(2, 1_384_000_000_123_000_000)
            >>> first < second, milliseconds(first)
            (True, 1384000000123)
        """
        first = max(time_ns // 1_000_000 * _PER_MS, self._next)
        self._next = first + count
        salt = self._salt
        return [
            (tick // _PER_MS << 80 | tick % _PER_MS << 64 | salt).to_bytes(16, "big")
            for tick in range(first, first + count)
        ]


def milliseconds(prediction: bytes) -> int:
    """Return when an id was given, in milliseconds since 1970."""
    return int.from_bytes(prediction[:6], "big")


def parse(text: object) -> bytes:
    """Return the 16 bytes of an id written as 32 hex digits, with or without dashes.

    Raises:
        BadRequest: the text is no prediction id.

    Example:
        >>> parse("01421a3c-0c7b-7000-8000-000000000001").hex()
        '01421a3c0c7b70008000000000000001'
    """
    digits = text.replace("-", "") if isinstance(text, str) else ""
    if len(digits) != 32 or not _HEX.issuperset(digits):
        raise BadRequest("prediction_id is no prediction id", known="ids are the 32 hex digits that /predict answered")
    return bytes.fromhex(digits)
