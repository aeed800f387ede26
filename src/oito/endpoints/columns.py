"""How the matrix of a signature becomes the numbers a compiled graph or sum takes. NumPy only; nothing is learnt here.

Each input of a compiled model is one column of the matrix, changed element by element by the steps that scikit-learn
would take, in the same order and with the same float64 operations, so the bits are the same and never depend on which
rows stand beside each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Step = tuple[str, tuple[float, ...]]  # a word of STEPS and its parameters


def _fill(part: Floats, value: Floats) -> None:
    np.copyto(part, value, where=np.isnan(part))


def _float32(part: Floats) -> None:
    part[:] = part.astype(np.float32)  # trees compare single-precision values with double-precision thresholds


STEPS: Mapping[str, Callable[..., Any]] = {
    "fill": _fill,
    "subtract": lambda part, value: np.subtract(part, value, out=part),
    "add": lambda part, value: np.add(part, value, out=part),
    "multiply": lambda part, value: np.multiply(part, value, out=part),
    "divide": lambda part, value: np.divide(part, value, out=part),
    "clip": lambda part, low, high: np.clip(part, low, high, out=part),
    "missing": lambda part: np.copyto(part, np.isnan(part)),
    "float32": _float32,
}


@dataclass(frozen=True)
class Number:
    """One input: the column `source` of the matrix after `steps`."""

    source: int
    steps: tuple[Step, ...] = ()

    def then(self, word: str, *parameters: float) -> Number:
        return Number(self.source, (*self.steps, (word, tuple(float(p) for p in parameters))))


@dataclass(frozen=True)
class _Group:
    """Neighbouring inputs with the same words; parameters stand side by side, one per input."""

    first: int
    last: int
    steps: tuple[tuple[str, tuple[Floats, ...]], ...]


class Columns:
    """The inputs of a compiled model, in order; called with a matrix, it returns float64 [rows, inputs].

    Example:
        >>> inputs = Columns([Number(1), Number(0).then("fill", 2).then("multiply", 10)], width=2)
        >>> inputs(np.array([[np.nan, 7.0], [1.0, 8.0]])).tolist()
        [[7.0, 20.0], [8.0, 10.0]]
    """

    def __init__(self, numbers: Sequence[Number], *, width: int) -> None:
        self.numbers = tuple(numbers)
        self.width = width
        self._sources = np.array([number.source for number in numbers], dtype=np.intp)
        self._groups = _groups(self.numbers)
        self._is_whole = not self._groups and self._sources.tolist() == list(range(width))

    def __call__(self, matrix: Floats) -> Floats:
        if self._is_whole:
            return matrix
        taken = matrix.take(self._sources, axis=1)
        for group in self._groups:
            part = taken[:, group.first : group.last]
            for word, parameters in group.steps:
                STEPS[word](part, *parameters)
        return taken

    def data(self) -> dict[str, Any]:
        """Return the inputs as plain data; equal inputs give equal data."""
        numbers = [[n.source, [[word, list(parameters)] for word, parameters in n.steps]] for n in self.numbers]
        return {"width": self.width, "numbers": numbers}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Columns:
        numbers = [Number(s, tuple((word, tuple(values)) for word, values in steps)) for s, steps in data["numbers"]]
        return cls(numbers, width=data["width"])


def changed(values: Floats, steps: Sequence[Step]) -> Floats:
    """Return `values` of one input after `steps`."""
    part = np.array(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        for word, parameters in steps:
            STEPS[word](part, *parameters)
    return part


def _groups(numbers: Sequence[Number]) -> tuple[_Group, ...]:
    found, first = [], 0
    words = [tuple(word for word, _ in number.steps) for number in numbers]
    for last in range(1, len(numbers) + 1):
        if last < len(numbers) and words[last] == words[first]:
            continue
        if words[first]:
            found.append(_Group(first, last, _side_by_side(numbers[first:last])))
        first = last
    return tuple(found)


def _side_by_side(numbers: Sequence[Number]) -> tuple[tuple[str, tuple[Floats, ...]], ...]:
    stacked = zip(*(number.steps for number in numbers), strict=True)
    return tuple(
        (steps[0][0], tuple(np.array(values) for values in zip(*(parameters for _, parameters in steps), strict=True)))
        for steps in stacked
    )
