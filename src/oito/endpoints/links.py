"""From a model's raw score to its answer: the last few operations, the same bits for a row alone and in any batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _logistic(score: float) -> float:
    # math.exp is the exponential scikit-learn's expit calls; NumPy's own differs in the last bit.
    try:
        return 1.0 / (1.0 + math.exp(-score))
    except OverflowError:
        return 0.0


def two_classes(raw: Floats) -> Floats:
    """Return [1 - p, p] of log-odds [rows, 1]."""
    answer = np.empty((len(raw), 2))
    answer[:, 1] = [_logistic(score) for score in raw[:, 0].tolist()]
    np.subtract(1.0, answer[:, 1], out=answer[:, 0])
    return answer


def softmax(raw: Floats) -> Floats:
    """Return exp(raw) over its sum along classes; the sum runs from the first class to the last, whatever the batch."""
    shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
    # A cumulative sum has one order of additions by definition; a plain sum chooses it by the array's shape.
    return np.asarray(shifted / np.cumsum(shifted, axis=1)[:, -1:], dtype=np.float64)


LINKS: Mapping[str, Callable[[Floats], Floats]] = {
    "identity": lambda raw: raw,
    "exp": np.exp,
    "logistic": two_classes,
    "half_logistic": lambda raw: two_classes(2 * raw),
    "softmax": softmax,
}
