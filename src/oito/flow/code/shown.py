"""A short text of a value for `oito why`: at most 60 characters, no addresses, no secrets."""

import re
import reprlib

LENGTH = 60
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PASSWORD = re.compile(r"://[^/@\s'\"]*@")
_SECRET = re.compile(
    r"(?i)(?:passw|secret|token|credential|private|(?:api|access|auth|secret)_?key|(?:^|[._])(?:key|dsn|pwd)$)"
)

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LENGTH
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 8


def sounds_secret(name: str) -> bool:
    """Say whether a name sounds like that of a secret."""
    return _SECRET.search(name) is not None


def shown_text(symbol: str, value: object) -> str:
    """Return a value as a person may see it; one whose name sounds like a secret is not shown.

    Example:
        >>> shown_text("project.RATE", 0.25), shown_text("project.API_KEY", "hunter2")
        ('0.25', 'a str, not shown')
        >>> shown_text("project.DATABASE", "postgresql://me:hunter2@host/db")
        "'postgresql://…@host/db'"
    """
    if sounds_secret(symbol):
        return f"a {type(value).__qualname__}, not shown"
    if callable(value) or type(value).__module__.partition(".")[0] in {"polars", "pandas", "numpy", "pyarrow"}:
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if name:
            return _cut(f"{getattr(value, '__module__', None) or ''}.{name}".lstrip("."))
    try:
        text = _state(symbol, value) or _REPR.repr(value)
    except Exception:
        text = type(value).__qualname__
    return _cut(_PASSWORD.sub("://…@", _ADDRESS.sub("", " ".join(text.split()))))


def _state(symbol: str, value: object) -> str:
    """Return a plain object by its class and attributes, "" for what says by itself what it is."""
    if type(value).__repr__ is not object.__repr__ or not hasattr(value, "__dict__"):
        return ""
    inside = ", ".join(f"{name}={shown_text(f'{symbol}.{name}', each)}" for name, each in vars(value).items())
    return f"{type(value).__qualname__}({inside})"


def _cut(text: str) -> str:
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
