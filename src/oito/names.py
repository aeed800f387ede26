"""Names and durations as people write them. Meaning belongs to the floors above."""

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import quote

from oito.errors import BadInput

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<prefix>[kmgt])?(?P<binary>i(?=b))?b", re.IGNORECASE)
_REFERENCE = re.compile(r"(?P<asset>[^\W\d]\w*(?:\[[^\[\]]+\])?)(?::v(?P<number>\d+)|@(?P<environment>[\w./-]+))?")


def duration(text: str | timedelta) -> timedelta:
    """Return the time span that `text` names: `"14d"`, `"1h30m"`, `"250ms"`; units ms, s, m, h, d, w.

    Raises:
        BadInput: the text is not a number with a unit, or several of them.

    Example:
        >>> duration("1d12h")
        datetime.timedelta(days=1, seconds=43200)
    """
    if isinstance(text, timedelta):
        return text
    pieces = _DURATION.findall(text) if isinstance(text, str) else []
    if pieces and "".join(n + u for n, u in pieces) == text.replace(" ", ""):
        try:
            return sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in pieces), timedelta())
        except OverflowError:
            pass  # longer than all of history: as good as no duration
    raise BadInput(
        f"{text!r} is not a duration",
        known="a number and a unit of ms, s, m, h, d, w",
        next='write "14d" or "1h30m"',
    )


def duration_text(span: timedelta) -> str:
    """Return a span as `duration` reads it, largest units first, at most two of them.

    Example:
        >>> duration_text(timedelta(hours=36))
        '1d12h'
    """
    left = round(span.total_seconds() * 1000)
    pieces = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces[:2]) or "0s"


ESCAPES = (("%", "%25"), ("/", "%2F"), (",", "%2C"), ("[", "%5B"), ("]", "%5D"))


def escaped(text: str) -> str:
    """Return a value as the key of a partition writes it.

    Example:
        >>> escaped("N/A")
        'N%2FA'
    """
    for plain, written in ESCAPES:
        text = text.replace(plain, written)
    return text


def size_bytes(text: str) -> int:
    """Return the bytes that `text` names: `"2GB"`, `"500 MB"`, `"1.5GiB"`; units B, kB, MB, GB, TB, KiB, MiB, GiB, TiB.

    Raises:
        BadInput: the text is not a number with a unit.

    Example:
        >>> size_bytes("1.5GB")
        1500000000
    """
    match = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise BadInput(
            f"{text!r} is no amount of memory",
            known="a number and a unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
            next='write "500MB" or "2GB"',
        )
    base, power = (1024 if match["binary"] else 1000), " kmgt".index((match["prefix"] or " ").lower())
    size: float = float(match["number"]) * float(base) ** power
    return round(size)


def size_text(count: float) -> str:
    """Return bytes as people read them, in three digits.

    Example:
        >>> size_text(2_130_000_000)
        '2.13 GB'
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:g} B"


def reference(text: str) -> tuple[str, int | None, str | None]:
    """Return (asset, version number or None, environment or None) of `late:v3`, `late@production` or `late`.

    Example:
        >>> reference("late_flight:v3")
        ('late_flight', 3, None)
    """
    match = _REFERENCE.fullmatch(text)
    if not match:
        raise BadInput(f"{text!r} names no version", known="asset, asset:v3 or asset@environment")
    number = match["number"]
    return match["asset"], int(number) if number else None, match["environment"]


def file_name(name: str) -> str:
    """Return a name as one part of a path; `urllib.parse.unquote` gives it back, and no two names share one.

    Example:
        >>> file_name("production"), file_name("feature/x"), file_name("feature_x"), file_name("..")
        ('production', 'feature%2Fx', 'feature_x', '%2E%2E')
    """
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the closest known name, else the known names, else nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known are " + ", ".join(names[:20]) + (", …" if len(names) > 20 else "") if names else ""
