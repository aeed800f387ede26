"""How good a classifier probably is before the truth is known, and when that guess must be withdrawn. Known truth is performance's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from oito.errors import DataError
from oito.monitors.reference import Floats


@dataclass(frozen=True)
class Calibration:
    """A rising function from scores to chances, learned where the truth was known; flat beyond its ends."""

    scores: Floats
    chances: Floats

    def __call__(self, scores: Floats) -> Floats:
        return np.interp(scores, self.scores, self.chances)

    def sure(self, scores: Floats) -> Floats:
        """Return the chance that the answer to each score is right, the answer being 1 from 0.5 on."""
        chance = self(scores)
        return np.where(scores >= 0.5, chance, 1 - chance)


@dataclass(frozen=True)
class Estimate:
    """An accuracy with its interval; `corrected` says that labels took part.

    `is_withdrawn` says that the labels contradict what the scores alone promise: what the scores mean has changed.
    """

    value: float
    low: float
    high: float
    labelled: int
    corrected: bool
    is_withdrawn: bool


def calibrate(scores: Floats, truth: Floats) -> Calibration:
    """Return the chance of class 1 by score, rising (isotonic regression).

    Args:
        scores: chance of class 1 as the model says it, shape [rows]; truth: 0 or 1, shape [rows].

    Example:
        >>> calibrate(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 0.0, 1.0, 1.0]))(np.array([0.0, 0.9])).tolist()
        [0.0, 1.0]
    """
    if not len(scores):
        raise DataError("scores cannot be calibrated without rows that have their truth")
    points, place = np.unique(scores, return_inverse=True)
    weights = np.bincount(place).astype(np.float64)
    means = np.bincount(place, weights=truth) / weights
    return Calibration(points, np.asarray(isotonic_regression(means, weights=weights).x, dtype=np.float64))


def accuracy(
    scores: Floats, truth: Floats, calibration: Calibration, *, inclusion: Floats | None = None, level: float = 0.95
) -> Estimate:
    """Return the accuracy to be expected of all rows, corrected by those of them whose truth is known.

    The chance that a row is right is that of its more probable side. As soon as there are labels, the mean error of these
    chances among the labelled rows, weighted by the inverse chance that a row is labelled, is added; when the interval of
    the corrected value excludes the uncorrected one, that one is withdrawn.

    Args:
        scores: chance of class 1 as the model says it, shape [rows]; its answer is 1 from 0.5 on.
        truth: 0, 1 or NaN while unknown, shape [rows].
        inclusion: the chance of each row to be labelled; None when all are alike.

    Source: Garg et al. (2022) and NannyML's CBPE for the uncorrected value; the correction is the difference estimator of
    survey sampling (Särndal et al., 1992).
    """
    says_one = scores >= 0.5
    right = calibration.sure(scores)
    n, z = len(scores), float(ndtri((1 + level) / 2))
    plain = float(right.mean())
    reach = z * math.sqrt(float((right * (1 - right)).sum())) / n
    is_known = np.isfinite(truth)
    m = int(is_known.sum())
    if m < 2:
        return Estimate(plain, max(0.0, plain - reach), min(1.0, plain + reach), m, False, False)
    errors = (says_one == (truth == 1))[is_known] - right[is_known]
    weights = np.ones(m) if inclusion is None else 1 / inclusion[is_known]
    weights = weights / weights.sum()
    correction = float(weights @ errors)
    spread = math.sqrt(float(np.square(weights) @ np.square(errors - correction)) * m / (m - 1))
    spread = max(spread, 0.5 / m)  # a handful of equal errors proves nothing
    value = plain + correction
    low, high = value - z * spread, value + z * spread
    return Estimate(value, max(0.0, low), min(1.0, high), m, True, not low <= plain <= high)
