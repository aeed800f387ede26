"""How far people agree beyond chance: Krippendorff's alpha of named classes, with an interval. Whose answers count is votes.py's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oito.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Alpha with its 95 % interval: 1 is agreement, 0 chance; `items` were answered by two people or more.

    All three are None when every answer is the same class, because chance agreement is then complete, too.
    """

    alpha: float | None
    low: float | None
    high: float | None
    items: int
    answers: int


def krippendorff(units: Sequence[Sequence[str]], *, resamples: int = 1000, seed: int = 0) -> Agreement:
    """Return the agreement over units, each the labels that different people gave to one item; absent answers are no matter.

    The interval is the 2.5 and 97.5 percentile over items drawn with replacement.

    Raises:
        DataError: no unit has two labels.

    Example:
        >>> krippendorff([["a", "a"], ["b", "b"], ["a", "b"], ["b", "b"]]).alpha.__round__(3)
        0.533

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), nominal data. His bootstrap draws pairs of
    values; we draw whole items, because the answers to one item belong together.
    """
    paired = [unit for unit in units if len(unit) > 1]
    if not paired:
        raise DataError(
            "agreement needs items that two people answered",
            known=f"{len(units)} items have answers, each of one person",
            next="let a second person answer: oito label next ASSET --who NAME",
        )
    pairs = _pairs(paired)
    draws = np.random.default_rng(seed).multinomial(len(paired), np.full(len(paired), 1 / len(paired)), size=resamples)
    alpha = _alpha(pairs.sum(axis=0)[None])[0]
    spread = _alpha(np.tensordot(draws.astype(np.float64), pairs, axes=1))
    spread = spread[np.isfinite(spread)]
    answers = sum(map(len, paired))
    if not np.isfinite(alpha):
        return Agreement(None, None, None, len(paired), answers)
    low, high = np.quantile(spread, [0.025, 0.975])
    return Agreement(float(alpha), float(low), float(high), len(paired), answers)


def _pairs(units: Sequence[Sequence[str]]) -> Floats:
    """Return [units, classes, classes]: each unit's ordered pairs of answers, weighted so that an answer counts once."""
    classes = sorted({label for unit in units for label in unit})
    place = {label: number for number, label in enumerate(classes)}
    counts = np.zeros((len(units), len(classes)))
    for row, unit in enumerate(units):
        np.add.at(counts[row], [place[label] for label in unit], 1.0)
    both = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(classes))
    weighted: Floats = both / (counts.sum(axis=1) - 1)[:, None, None]
    return weighted


def _alpha(pairs: Floats) -> Floats:
    """Return alpha of each coincidence matrix [n, classes, classes]; NaN where only one class occurs."""
    totals = pairs.sum(axis=2)
    answers = totals.sum(axis=1)
    disagreed = answers - np.trace(pairs, axis1=1, axis2=2)
    expected = answers**2 - (totals**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha: Floats = 1 - (answers - 1) * disagreed / expected
    return alpha
