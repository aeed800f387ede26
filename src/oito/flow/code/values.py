"""The canonical form of any value a function refers to. Plain values go to storage's digests; code is named by a callback.

An object is its class and its state, as pickling sees them: a class that leaves its lock out of `__getstate__` can be
keyed. What changes with every use (iterators, open files) or cannot be looked into (locks, sockets, connections) cannot.
"""

import copyreg
import enum
import functools
import gc
import sys
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from oito.errors import BadInput
from oito.storage.digests import digest

Refer = Callable[[object], tuple[object, ...] | None]

_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
_SIMPLE = frozenset({type(...), complex, bytearray, range})
# Libraries whose values the typed digest knows; what it does not accept is taken apart like any other object.
_DIGESTED = frozenset({"datetime", "decimal", "uuid", "pathlib", "zoneinfo", "numpy", "polars"})
_TYPING = frozenset({"TypeVar", "ParamSpec", "TypeVarTuple", "NewType", "_SpecialForm", "TypeAliasType"})
# Texts in the serialized form of an expression that holds a pickled Python function; they changed with Polars.
_FUNCTION_MARKS = (b"PLPYFN", b"PLPYUDF", b"cloudpickle")


class Unkeyable(Exception):
    """A value has no canonical form; `path` leads to it and `kind` names its type."""

    def __init__(self, path: str, value: object) -> None:
        kind = type(value)
        super().__init__(path)
        self.path = path
        self.kind = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Values:
    """Keys values; `refer` answers a token for functions, classes and modules, `opaque` hears that a value holds user code
    which cannot be looked into.

    Not for threads: one instance serves one closure, and remembers what it has keyed.
    """

    def __init__(self, refer: Refer, *, opaque: Callable[[], None]) -> None:
        self._refer = refer
        self._opaque = opaque
        self._done: dict[tuple[int, bool], tuple[object, ...]] = {}
        self._open: dict[int, int] = {}
        self._kept: list[object] = []  # ids are only names while their objects live

    def key(self, value: object, path: str, *, strict: bool) -> str:
        """Return the digest of a value's canonical form.

        With `strict=False` a part that has none counts by its type alone: for the insides of packages, whose version
        is keyed instead.

        Raises:
            Unkeyable: a part has no canonical form.
        """
        return digest(self._form(value, path, strict))

    def _form(self, value: Any, path: str, strict: bool) -> object:
        kind = type(value)
        if kind in _PLAIN:
            return value
        token = self._refer(value)
        if token is not None:
            return token
        if (id(value), strict) in self._done:
            return self._done[id(value), strict]
        if id(value) in self._open:
            return ("ring", len(self._open) - self._open[id(value)])
        self._open[id(value)] = len(self._open)
        self._kept.append(value)
        try:
            form = ("#", digest(self._parts(value, kind, path, strict)))
        except (Unkeyable, RecursionError):
            if strict:
                raise
            form = ("opaque", kind.__qualname__)
        finally:
            del self._open[id(value)]
        self._done[id(value), strict] = form
        return form

    def _forms(self, values: Iterable[Any], path: str, strict: bool) -> list[object]:
        return [self._form(each, f"{path}[{n}]", strict) for n, each in enumerate(values)]

    def _parts(self, value: Any, kind: type, path: str, strict: bool) -> object:
        if kind in {list, tuple}:
            return (kind.__name__, self._forms(value, path, strict))
        if kind in {dict, types.MappingProxyType}:
            return ("dict", [self._pair(pair, path, strict) for pair in value.items()])
        if kind in {set, frozenset}:
            # Members that are code are named in a fixed order, so that two processes name them alike.
            members = sorted(value, key=_order)
            return (kind.__name__, sorted(digest(self._form(each, f"{path}{{…}}", strict)) for each in members))
        if kind in _SIMPLE:
            return value
        return self._known(value, kind, path, strict) or self._taken_apart(value, path, strict)

    def _pair(self, pair: tuple[Any, Any], path: str, strict: bool) -> tuple[object, object]:
        key, value = pair
        return self._form(key, f"{path}[{key!r}]", strict), self._form(value, f"{path}[{key!r}]", strict)

    def _known(self, value: Any, kind: type, path: str, strict: bool) -> object:
        """Return the form of values that have a rule of their own, None for all others."""
        if _is_harmless(value, kind):
            return ("harmless", kind.__qualname__)
        if isinstance(value, enum.Enum):
            return ("enum", self._form(kind, path, strict), value.name)
        if isinstance(value, ContextVar):
            return ("context variable", value.name, self._form(_held_by(value), f"{path}.get()", strict))
        if kind.__name__ in _TYPING and kind.__module__ == "typing":
            return ("typing", repr(value))
        inside = _wrapped_parts(value)
        if inside is not None:
            return (kind.__qualname__, self._forms(inside, path, strict))
        if kind.__module__.partition(".")[0] in _DIGESTED and not _holds_objects(value):
            try:
                return ("value", digest(value))
            except BadInput:
                return None
        return None

    def _taken_apart(self, value: Any, path: str, strict: bool) -> object:
        if type(value).__module__ in {"itertools", "builtins"} and hasattr(value, "__next__"):
            raise Unkeyable(path, value)  # it would give other things at every use
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                registered = copyreg.dispatch_table.get(type(value))
                reduced = registered(value) if registered else value.__reduce_ex__(4)
        except Exception as error:
            if _is_expression(value):  # it holds a function, which Polars cannot pickle without cloudpickle
                return self._made_by_code(value)
            raise Unkeyable(path, value) from error
        if isinstance(reduced, str):
            return self._named(value, reduced)
        made, arguments, state, items, pairs = (list(reduced) + [None] * 5)[:5]
        if _is_expression(value) and any(
            mark in each for each in _flat((arguments, state)) for mark in _FUNCTION_MARKS
        ):
            return self._made_by_code(value)  # the pickled bytes hold line numbers, and not the code of what is called
        return (
            self._form(made, path, strict),
            self._forms(arguments, path, strict),
            self._state(state, path, strict),
            None if items is None else self._forms(list(items), path, strict),
            None if pairs is None else [self._pair(pair, path, strict) for pair in pairs],
        )

    def _named(self, value: object, name: str) -> object:
        """Return the form of what pickling knows by a name alone, such as a function of a compiled module."""
        home = sys.modules.get(getattr(value, "__module__", None) or type(value).__module__)
        if not _is_called(value, home, name):
            home = next((each for each in list(sys.modules.values()) if _is_called(value, each, name)), None)
        if home is None:  # the name leads nowhere: it was made from something, as `numpy.frompyfunc` does
            return self._made_by_code(value)
        return ("global", self._refer(home) if home.__name__ != "builtins" else "", name)

    def _state(self, state: Any, path: str, strict: bool) -> object:
        if type(state) is tuple and len(state) == 2 and isinstance(state[1], dict):
            return ("slots", self._state(state[0], path, strict), self._state(state[1], path, strict))
        if type(state) is dict:
            pairs = state.items()
            return [
                (self._form(name, path, strict), self._form(each, f"{path}.{name}", strict)) for name, each in pairs
            ]
        return self._form(state, path, strict)

    def _made_by_code(self, value: object) -> object:
        self._opaque()
        return ("made by code", type(value).__qualname__)


def _is_called(value: object, module: object, name: str) -> bool:
    found: object = vars(module) if isinstance(module, types.ModuleType) else {}
    for step, part in enumerate(name.split(".")):
        found = found.get(part) if step == 0 and isinstance(found, dict) else getattr(found, part, None)
    return found is value


def _is_expression(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "polars"


def _flat(parts: object) -> Iterator[bytes]:
    if isinstance(parts, bytes):
        yield parts
    elif isinstance(parts, tuple):
        for part in parts:
            yield from _flat(part)


def _order(value: object) -> tuple[str, str, int, str]:
    code = getattr(value, "__code__", None)
    name = getattr(value, "__qualname__", "")
    line = getattr(code, "co_firstlineno", 0)
    return type(value).__qualname__, str(name), line, "" if code is not None else repr(value)


def _held_by(variable: ContextVar[Any]) -> object:
    try:
        return variable.get()
    except LookupError:
        return None


def _is_harmless(value: object, kind: type) -> bool:
    """Return whether results cannot depend on a value: it only writes, or is declared elsewhere (`env=`)."""
    if value in (sys.stdin, sys.stdout, sys.stderr) if kind.__module__ == "_io" else False:
        return True
    return any(c.__module__.partition(".")[0] == "logging" or c.__qualname__ == "_Environ" for c in kind.__mro__)


def _holds_objects(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return bool(getattr(dtype, "hasobject", False)) or str(dtype) == "Object"


def _wrapped_parts(value: Any) -> tuple[object, ...] | None:
    """Return what is inside the standard library's wrappers, of which pickling knows nothing or too little."""
    match value:
        case types.MethodType():
            return (value.__func__, value.__self__)
        case staticmethod() | classmethod():
            return (value.__func__,)
        case property():
            return (value.fget, value.fset, value.fdel)
        case functools.cached_property():
            return (value.func,)
        case functools.partial():
            return (value.func, value.args, value.keywords, value.__dict__)
        case functools.partialmethod():
            return (value.func, value.args, value.keywords)
        case functools.singledispatchmethod():
            return (value.dispatcher, value.func)
        case functools._lru_cache_wrapper():
            return (value.__wrapped__, value.cache_parameters())
        case slice():
            return (value.start, value.stop, value.step)
        case memoryview():
            return (value.tobytes(), value.format, value.shape)
        case types.BuiltinMethodType() if value.__self__ is not None and not isinstance(
            value.__self__, types.ModuleType
        ):
            return (value.__self__, value.__name__)
    kind = type(value)
    if (kind.__module__, kind.__qualname__) == ("_struct", "Struct"):
        return (value.format,)
    if (kind.__module__, kind.__qualname__) == ("functools", "KeyWrapper"):  # it shows its function to nobody else
        return tuple(gc.get_referents(value))
    return None
