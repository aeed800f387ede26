"""What a parameter may be: declarations of a search space, stdlib only. Who tries which value is a search's work.

A user writes them as defaults, `learning_rate: float = oito.Float(0.02, 0.3, log=True)`; type checkers let a declaration
stand for the value that it describes, and `first` is that value until a search has found a better one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from oito.errors import DeclarationError

if TYPE_CHECKING:

    class _StandsForItsValue(Any):  # type: ignore[misc]  # so that `rate: float = Float(...)` passes a strict checker
        pass
else:
    _StandsForItsValue = object

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Float(_StandsForItsValue):
    """A number in [low, high], searched on a log scale if `log`; `default` is tried first, else the middle.

    Raises:
        DeclarationError: the range is empty or not finite, `log` begins at or below 0, or the default lies outside.

    Example:
        >>> Float(0.01, 1.0, log=True).first
        0.1
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        _check_range(self, whole=False)

    @property
    def first(self) -> float:
        if self.default is not None:
            return float(self.default)
        if self.log:
            return min(max(math.sqrt(self.low * self.high), self.low), self.high)
        return self.low + (self.high - self.low) / 2

    def data(self) -> dict[str, Scalar]:
        """Return the declaration as plain data, as it enters a fingerprint and the catalog."""
        return {"kind": "float", "low": self.low, "high": self.high, "log": self.log, "default": self.default}


@dataclass(frozen=True)
class Int(_StandsForItsValue):
    """A whole number in [low, high], both included; otherwise as `Float`.

    Example:
        >>> Int(8, 128, log=True).first
        32
    """

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        _check_range(self, whole=True)

    @property
    def first(self) -> int:
        if self.default is not None:
            return self.default
        return round(math.sqrt(self.low * self.high)) if self.log else (self.low + self.high) // 2

    def data(self) -> dict[str, Scalar]:
        """Return the declaration as plain data, as it enters a fingerprint and the catalog."""
        return {"kind": "int", "low": self.low, "high": self.high, "log": self.log, "default": self.default}


@dataclass(frozen=True)
class Choice(_StandsForItsValue):
    """One of `options` (texts, numbers, booleans, None); `default` is tried first, else the first option.

    Raises:
        DeclarationError: no options, two that are equal, one of another type, or a default that is no option.

    Example:
        >>> Choice(["gini", "entropy"]).first
        'gini'
    """

    options: Sequence[Scalar]
    default: Scalar = None  # None means the first option, so an option None is put first to be tried first

    def __post_init__(self) -> None:
        if isinstance(self.options, str):
            raise DeclarationError(f"{self} has a text as options", next=f'write Choice(["{self.options}", …])')
        object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise DeclarationError("Choice() has no options", next='give at least one, as in Choice(["a", "b"])')
        strange = [option for option in self.options if not isinstance(option, str | int | float | None)]
        if strange:
            known = "options are texts, numbers, booleans or None"
            raise DeclarationError(f"{self} offers {strange[0]!r}", known=known, next="name it by a text")
        if len(set(self.options)) < len(self.options):
            raise DeclarationError(f"{self} offers the same value twice")
        if self.default is not None and self.default not in self.options:
            raise DeclarationError(f"{self} has a default that is no option")

    @property
    def first(self) -> Scalar:
        return self.options[0] if self.default is None else self.default

    def data(self) -> dict[str, Any]:
        """Return the declaration as plain data, as it enters a fingerprint and the catalog."""
        return {"kind": "choice", "options": list(self.options), "default": self.default}


Searched = Float | Int | Choice


def first_values(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values a design has before any search: each declaration's `first`, fixed values as they are.

    Example:
        >>> first_values({"leaves": Int(8, 128), "loss": "log_loss"})
        {'leaves': 68, 'loss': 'log_loss'}
    """
    return {name: part.first if isinstance(part, Float | Int | Choice) else part for name, part in space.items()}


def _check_range(part: Float | Int, *, whole: bool) -> None:
    given = [part.low, part.high, *([] if part.default is None else [part.default])]
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            raise DeclarationError(f"{part} holds {number!r}, which is no {'whole ' if whole else ''}number")
        if not math.isfinite(number):
            raise DeclarationError(f"{part} holds {number!r}", next="give finite bounds")
    if part.low >= part.high:
        raise DeclarationError(f"{part} is empty: low is not below high", next="swap the bounds or write a fixed value")
    if part.log and part.low <= 0:
        raise DeclarationError(f"{part} begins at {part.low}", known="a log scale needs low > 0")
    if part.default is not None and not part.low <= part.default <= part.high:
        raise DeclarationError(f"{part} has a default outside its range")
