"""Which columns a model leans on: what its figure loses when one column is shuffled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from oito.errors import BadInput
from oito.experiments.metrics import Floats, Metric, check_predictions
from oito.experiments.seeds import stream


@dataclass(frozen=True)
class Importance:
    """How much better the figure is with the column in order than shuffled, and the standard error over the shuffles."""

    column: str
    lost: float
    error: float | None


def importance(
    predict: Callable[[Floats], Floats],
    matrix: Floats,
    truth: Floats,
    *,
    names: Sequence[str],
    metric: Metric,
    seed: int,
    repeats: int = 5,
) -> list[Importance]:
    """Return the columns by what shuffling them costs, most first; above 0 means the model needs the column.

    Columns that say the same share their importance: each can be shuffled at little cost. A column has its own stream of
    randomness, so the others do not move when one is added.

    Args:
        predict: from float64 [rows, columns] to predictions as metrics take them.
        matrix: the rows as the model sees them, shape [rows, columns]; it is not changed.
        truth: class numbers or numbers, shape [rows].

    Source: Breiman, Random Forests (2001); Fisher, Rudin and Dominici (2019).
    """
    if len(names) != matrix.shape[1] or repeats < 1:
        raise BadInput(f"{len(names)} names for {matrix.shape[1]} columns, {repeats} repeats")
    sign = 1 if metric.greater_is_better else -1
    predicted = predict(matrix)
    check_predictions(truth, predicted)
    whole, work, found = metric.score(truth, predicted), matrix.copy(), []
    for place, name in enumerate(names):
        random = np.random.default_rng(stream(seed, "importance", name))
        lost = np.empty(repeats)
        for repeat in range(repeats):
            work[:, place] = random.permutation(matrix[:, place])
            lost[repeat] = sign * (whole - metric.score(truth, predict(work)))
        work[:, place] = matrix[:, place]
        error = float(lost.std(ddof=1)) / math.sqrt(repeats) if repeats > 1 else None
        found.append(Importance(name, float(lost.mean()), error))
    return sorted(found, key=lambda each: -each.lost)
