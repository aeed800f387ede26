"""How a decorator declares: it hangs a frozen declaration on the plain function and gives the same function back."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from oito.errors import DeclarationError
from oito.flow.kind import Spec

F = TypeVar("F", bound=Callable[..., Any])
_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Declaration:
    """What was declared, and where; `function` is None when the kind's own default serves as the body."""

    spec: Spec
    function: Callable[..., Any] | None
    file: str
    line: int


@dataclass(frozen=True)
class From:
    """Names the asset of a parameter: `x: Annotated[pl.LazyFrame, oito.From(clean)]`."""

    asset: Any


class Decorator:
    """Declares the function below it; standing alone under a name, it declares an asset whose body is the kind's default."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.__oito__: Declaration | None = Declaration(spec, None, *_caller())

    def __call__(self, function: F) -> F:
        """Return the same function, declared; the decorator itself is no asset then."""
        self.__oito__ = None
        return declared(self.spec, function)


def declared(spec: Spec, function: F) -> F:
    """Hang the declaration on the function and return it.

    Raises:
        DeclarationError: it is no function, but a class, say.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or isinstance(function, type):
        file, line = _caller()
        raise DeclarationError(
            f"@oito.{spec.word} stands above {getattr(function, '__name__', repr(function))}, which is no function",
            where=f"{Path(file).name}:{line}", next="write it above a function: def name(inputs): ...",
        )  # fmt: skip
    function.__oito__ = Declaration(spec, function, code.co_filename, code.co_firstlineno)  # type: ignore[attr-defined]  # that a function takes attributes is not in its type
    return function


def declaration(thing: Any) -> Declaration | None:
    """Return what was declared with `thing`, or None when it is no asset."""
    try:
        found = vars(thing).get("__oito__")  # asking for an attribute could run anybody's code
    except TypeError:
        return None
    return found if isinstance(found, Declaration) else None


def _caller() -> tuple[str, int]:
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
