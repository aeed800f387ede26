"""Rows at the places where a compiled model is most likely wrong: nothing known, huge numbers, both sides of every split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oito.endpoints.columns import Number, changed

if TYPE_CHECKING:
    from oito.catalog.signature import Signature
    from oito.endpoints.ensemble import Ensemble, Split

Floats = NDArray[np.float64]

_HUGE = (1e30, -1e30, 3.5e38, -3.5e38, 1e300, -1e300, 5e-324, 0.0, -0.0)
_BACK: Mapping[str, Callable[..., float]] = {
    "fill": lambda value, _: value,
    "float32": lambda value: value,
    "subtract": lambda value, by: value + by,
    "add": lambda value, by: value - by,
    "multiply": lambda value, by: value / by if by else value,
    "divide": lambda value, by: value * by,
}
_MOST_SPLITS = 4_000  # splits that get rows of their own; larger ensembles are visited tree by tree with a stride


def of_columns(signature: Signature, sample: Floats) -> Floats:
    """Return rows with everything missing, each column missing, every category, and huge and tiny numbers."""
    width = len(signature.columns)
    base = sample[0] if len(sample) else np.zeros(width)
    rows = [np.full(width, np.nan), base]
    for place, column in enumerate(signature.columns):
        known = {"category": range(len(column.categories)), "boolean": (0.0, 1.0), "number": _HUGE}[column.kind]
        for value in (np.nan, *known):
            row = base.copy()
            row[place] = value
            rows.append(row)
    return np.array(rows)


def of_trees(ensemble: Ensemble, signature: Signature, sample: Floats) -> Floats:
    """Return rows that reach the splits of the trees, at each threshold and at its float64 and float32 neighbors.

    A row walks down a tree from a real row; a value that would turn off the path is moved just over the threshold. An
    input that went through steps (scaling, say) is moved by going the steps back.
    """
    stride = max(1, len(ensemble.splits) // _MOST_SPLITS)
    rows: list[Floats] = []
    for number, root in enumerate(ensemble.roots[::stride]):
        if len(sample):
            _walk(ensemble, root, sample[number % len(sample)], rows)
    return _possible(np.array(rows), signature) if rows else np.empty((0, sample.shape[1]))


def _possible(rows: Floats, signature: Signature) -> Floats:
    """Return the rows with categories and booleans moved to the next value they can have."""
    for place, column in enumerate(signature.columns):
        if column.kind != "number":
            last = 1 if column.kind == "boolean" else max(0, len(column.categories) - 1)
            rows[:, place] = np.clip(np.rint(rows[:, place]), 0, last)
    return rows


def _walk(ensemble: Ensemble, root: int, start: Floats, rows: list[Floats]) -> None:
    waiting = [(root, start)]
    while waiting and len(rows) < 8 * _MOST_SPLITS:
        place, row = waiting.pop()
        split = ensemble.splits[place]
        number = ensemble.numbers[split.slot]
        if any(word not in _BACK for word, _ in number.steps):
            continue
        rows += [_with(row, number, value) for value in _around(split)]
        for child, wanted in ((split.yes, True), (split.no, False)):
            if not child[1]:
                waiting.append((child[0], _turned(row, split, number, wanted=wanted)))


def _with(row: Floats, number: Number, value: float) -> Floats:
    """Return the row with the column of `number` such that `value` comes out of its steps, but for rounding."""
    for word, parameters in reversed(number.steps):
        value = _BACK[word](value, *parameters)
    found = row.copy()
    found[number.source] = value
    return found


def _around(split: Split) -> Iterator[float]:
    yield np.nan
    if split.members is not None:
        yield from split.members[:2]
        return
    yield split.threshold
    single = np.float32(split.threshold)
    for way in (-np.inf, np.inf):
        yield float(np.nextafter(split.threshold, way))
        yield float(np.nextafter(single, np.float32(way)))


def _turned(row: Floats, split: Split, number: Number, *, wanted: bool) -> Floats:
    """Return the row with its value moved to the wanted side of the split, if it is not there already."""
    value = float(changed(row[number.source : number.source + 1], number.steps)[0])
    if (split.missing if np.isnan(value) else _is_yes(value, split)) == wanted:
        return row
    if split.members is None:
        # One single-precision step away, so that no rounding on the way brings it back over the threshold.
        beside = float(np.nextafter(np.float32(split.threshold), np.float32(-np.inf if wanted else np.inf)))
    elif wanted and split.members:
        beside = split.members[0]
    else:
        beside = next((float(code) for code in range(256) if code not in split.members), np.nan)
    return _with(row, number, beside)


def _is_yes(value: float, split: Split) -> bool:
    return bool(value <= split.threshold) if split.members is None else value in split.members
