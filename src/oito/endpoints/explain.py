"""Contributions: how much each column moved one answer away from the mean answer. Where the columns came from is `origins`' work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oito.endpoints.answering import Score

Floats = NDArray[np.float64]

BACKGROUND_ROWS = 100
CALL_CELLS = 8_000_000  # numbers in one call: 64 MB


@dataclass(frozen=True)
class Contributions:
    """What each column did to an answer.

    Args:
        values: float64 [columns, outputs]; their sum over columns is `answer - baseline`.
        errors: the standard error of each value, which comes from the finite number of walks.
        baseline: the mean answer of the background rows, float64 [outputs]; `answer` is that of the explained row.
    """

    values: Floats
    errors: Floats
    baseline: Floats
    answer: Floats


def contributions(score: Score, row: Floats, background: Floats, *, seed: int) -> Contributions:
    """Return the Shapley value of each column of `row`, float64 [d], for each output.

    From every background row there are two walks to `row`, in one random order of the columns and in its reverse; each step
    takes over one column, and what the answer changes by is that column's. A walk adds up to answer minus the answer of the
    row it began at, so all of them add up to answer minus baseline, whatever the orders. All steps are scored in one batch.

    Args:
        background: float64 [rows, d], what a column's value is compared with.
        seed: of the orders.

    Example:
        >>> weights = np.array([2.0, -1.0])
        >>> found = contributions(lambda X: X @ weights[:, None], np.array([3.0, 1.0]), np.zeros((5, 2)), seed=1)
        >>> found.values.ravel().tolist(), found.baseline.tolist()
        ([6.0, -1.0], [0.0])

    Source: Štrumbelj and Kononenko, Explaining prediction models and individual predictions with feature contributions
    (2014). We differ: every background row is used equally often, instead of drawn, which makes the sum exact; and orders
    come in opposite pairs, which lowers the variance.
    """
    draw = np.random.default_rng(seed)
    orders = np.array([draw.permutation(len(row)) for _ in background], dtype=np.intp).reshape(
        len(background), len(row)
    )
    orders = np.concatenate([orders, orders[:, ::-1]])
    starts = np.concatenate([background, background])
    answers = _walked(score, row, starts, orders)
    steps = np.diff(answers, axis=1)
    walks = np.empty_like(steps)
    np.put_along_axis(walks, orders[:, :, np.newaxis], steps, axis=1)
    pairs = (walks[: len(background)] + walks[len(background) :]) / 2
    spread = pairs.std(axis=0, ddof=1) if len(background) > 1 else np.zeros_like(pairs[0])
    return Contributions(
        values=pairs.mean(axis=0),
        errors=spread / np.sqrt(len(background)),
        baseline=answers[: len(background), 0].mean(axis=0),
        answer=answers[0, -1],
    )


def background_rows(judged: Floats, *, columns: int) -> Floats:
    """Return at most 100 rows spread evenly over those that judged a model; fewer when it has very many columns."""
    most = max(2, min(BACKGROUND_ROWS, len(judged), CALL_CELLS // (2 * (columns + 1) * max(columns, 1))))
    return judged[np.unique(np.linspace(0, len(judged) - 1, most).round().astype(np.intp))]


def _walked(score: Score, row: Floats, starts: Floats, orders: NDArray[np.intp]) -> Floats:
    """Return the answers along each walk, float64 [walks, columns + 1, outputs]."""
    walks, width = orders.shape
    places = np.empty_like(orders)
    np.put_along_axis(places, orders, np.arange(width)[np.newaxis], axis=1)
    is_taken = places[:, np.newaxis, :] < np.arange(width + 1)[np.newaxis, :, np.newaxis]
    rows = np.where(is_taken, row, starts[:, np.newaxis, :]).reshape(-1, width)
    return score(rows).reshape(walks, width + 1, -1)
