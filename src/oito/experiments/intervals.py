"""How sure a figure is: intervals, tests of pairs and verdicts between a champion and a challenger.

Rows count as independent. The figures themselves are in metrics; what a verdict leads to is a gate's work.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, ndtri

from oito.errors import BadInput
from oito.experiments.metrics import Floats, Metric, check_predictions, positives

Verdict = Literal["win", "tie", "lose"]
POWER = 0.8  # of the test that `n_needed` plans


@dataclass(frozen=True)
class Interval:
    """A figure and its bounds; NaN where they do not exist, as with one class or one row."""

    value: float
    low: float
    high: float

    def data(self) -> dict[str, float | None]:
        """Return plain data; what does not exist is null, as JSON has no NaN."""
        return {name: number if math.isfinite(number) else None for name, number in asdict(self).items()}


@dataclass(frozen=True)
class Comparison:
    """Challenger minus champion on the same rows; the verdict is the challenger's.

    `n_needed` is how many rows would show the difference seen here with 80 % power, None when there is no difference.
    """

    metric: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    n: int
    n_needed: int | None

    def data(self) -> dict[str, Any]:
        """Return plain data; what does not exist is null, as JSON has no NaN."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def delong(truth: Floats, predicted: Floats, *, level: float = 0.95) -> Interval:
    """Return ROC AUC of two classes with its interval, symmetric on the logit scale so that it stays inside 0..1.

    Sources: DeLong, DeLong, Clarke-Pearson (1988); by midranks, Sun and Xu (2014); logit, Pepe (2003). We differ where
    the classes are parted without an error: DeLong's variance is then 0, so the bounds are Wilson's of the rarer class.

    Example:
        >>> truth = np.array([0.0, 0.0, 1.0, 1.0] * 10)
        >>> delong(truth, np.tile([0.1, 0.4, 0.35, 0.8], 10)).value
        0.75
    """
    positive = int((truth == 1).sum())
    return auc_interval(*auc(truth, predicted), rarer=min(positive, len(truth) - positive), level=level)


def auc(truth: Floats, predicted: Floats) -> tuple[float, float]:
    """Return an AUC and its standard error; NaN without a second class, infinite error when a class has one row."""
    parts = _placements(truth, predicted)
    if parts is None:
        return math.nan, math.nan
    is_sure = min(map(len, parts)) > 1
    return float(parts[0].mean()), math.sqrt(_variance(parts)) if is_sure else math.inf


def auc_interval(value: float, error: float, *, rarer: int, level: float = 0.95) -> Interval:
    """Return the interval that `delong` describes; `rarer` is how many rows the rarer class has."""
    if not math.isfinite(value):
        return Interval(math.nan, math.nan, math.nan)
    if not 1e-9 < error < math.inf or not 0 < value < 1:
        bounds = wilson(value * rarer, rarer, level=level)
        return Interval(value, bounds.low, bounds.high)
    centre, reach = math.log(value / (1 - value)), _z(level) * error / (value * (1 - value))
    return Interval(value, _logistic(centre - reach), _logistic(centre + reach))


def delong_pair(truth: Floats, champion: Floats, challenger: Floats, *, level: float = 0.95) -> tuple[Interval, float]:
    """Return the difference of two AUCs on the same rows with its interval, and its standard error.

    Source: DeLong, DeLong, Clarke-Pearson (1988): the variance of the difference of the placements.
    """
    old, new = _placements(truth, champion), _placements(truth, challenger)
    if old is None or new is None:
        return Interval(math.nan, math.nan, math.nan), math.nan
    parts = new[0] - old[0], new[1] - old[1]
    value, error = float(parts[0].mean()), math.sqrt(_variance(parts))
    return Interval(value, value - _z(level) * error, value + _z(level) * error), error


def bootstrap(
    truth: Floats,
    predictions: Sequence[Floats],
    metrics: Sequence[Metric],
    *,
    seed: int,
    replicates: int = 1000,
    weights: Floats | None = None,
) -> Floats:
    """Return replicates of every metric of every prediction, shape [replicates, predictions, metrics].

    All share the drawn rows, so a difference of two columns is paired. A replicate draws as many rows as there are, with
    replacement, by counting them as weights: nothing is sorted twice.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993).
    """
    prepared = [[metric.prepare(truth, predicted) for metric in metrics] for predicted in predictions]
    out = np.empty((replicates, len(predictions), len(metrics)))
    for place, drawn in enumerate(_draws(len(truth), replicates, seed)):
        counts = drawn if weights is None else drawn * weights
        out[place] = [[weighted(counts) for weighted in row] for row in prepared]
    return out


def percentile_interval(value: float, replicates: Floats, *, level: float = 0.95) -> Interval:
    """Return the interval between the outer quantiles of `replicates` that exist, widened so that it holds `value`."""
    exist = replicates[np.isfinite(replicates)]
    if not len(exist) or not math.isfinite(value) or len(exist) < len(replicates) / 2:
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(exist, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, min(float(low), value), max(float(high), value))


def wilson(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Return a share with its interval, which is never empty, not even at 0 or n successes. Source: Wilson (1927).

    Example:
        >>> wilson(0, 10)
        Interval(value=0.0, low=0.0, high=0.2775327998628892)
    """
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    z, share = _z(level), successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, min(middle - reach, share)), min(1.0, max(middle + reach, share)))


def mcnemar(truth: NDArray[Any], champion: NDArray[Any], challenger: NDArray[Any]) -> tuple[int, int, float]:
    """Return (rows only the champion got right, rows only the challenger got right, p-value) of two sets of labels.

    The p-value is exact: the smaller count among the rows in dispute against a fair coin. Source: McNemar (1947).

    Example:
        >>> mcnemar(np.ones(6), np.zeros(6), np.ones(6))
        (0, 6, 0.03125)
    """
    old, new = np.equal(champion, truth), np.equal(challenger, truth)
    only_old, only_new = int((old & ~new).sum()), int((new & ~old).sum())
    disputed = only_old + only_new
    p_value = min(1.0, 2 * float(bdtr(float(min(only_old, only_new)), disputed, 0.5))) if disputed else 1.0
    return only_old, only_new, p_value


def holm(p_values: Sequence[float]) -> Floats:
    """Return p-values adjusted so that rejecting those <= a errs at all with probability <= a. Source: Holm (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return out


def benjamini_hochberg(p_values: Sequence[float]) -> Floats:
    """Return p-values adjusted so that among those <= a the expected share of false ones is <= a.

    Source: Benjamini and Hochberg (1995).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.02]).tolist()
        [0.03, 0.04, 0.03]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1)))
    return out


def compare(
    truth: Floats,
    champion: Floats,
    challenger: Floats,
    *,
    metric: Metric,
    seed: int,
    weights: Floats | None = None,
    level: float = 0.95,
    replicates: int = 1000,
) -> Comparison:
    """Return the verdict on a challenger: win or lose when the interval of the paired difference excludes 0, else tie.

    Two equally good models are declared a win in at most (1 - level) / 2 of cases. AUC of two classes without weights is
    judged by DeLong's test, everything else by the paired bootstrap. A metric that does not exist here is a tie.

    Raises:
        DataError: a prediction is NaN or the lengths differ.
        BadInput: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise BadInput(f"level is {level}", known="it lies between 0 and 1, such as 0.95")
    check_predictions(truth, champion)
    check_predictions(truth, challenger)
    old, new = (metric.score(truth, each, weights=weights) for each in (champion, challenger))
    if metric.name == "roc_auc" and weights is None and positives(champion) is not None:
        interval, error = delong_pair(truth, champion, challenger, level=level)
    else:
        drawn = bootstrap(truth, (champion, challenger), (metric,), seed=seed, replicates=replicates, weights=weights)
        differences = drawn[:, 1, 0] - drawn[:, 0, 0]
        interval = percentile_interval(new - old, differences, level=level)
        exist = differences[np.isfinite(differences)]
        error = float(exist.std(ddof=1)) if len(exist) > 1 else math.nan
    return Comparison(
        metric.name,
        old,
        new,
        new - old,
        interval.low,
        interval.high,
        _two_sided(new - old, error),
        _verdict(interval, metric),
        len(truth),
        _rows_needed(new - old, error, len(truth), level=level),
    )


def _verdict(interval: Interval, metric: Metric) -> Verdict:
    if interval.low > 0:
        return "win" if metric.greater_is_better else "lose"
    if interval.high < 0:
        return "lose" if metric.greater_is_better else "win"
    return "tie"


def _two_sided(difference: float, error: float) -> float:
    if not error > 0:
        return 1.0 if difference == 0 else math.nan
    return float(2 * ndtr(-abs(difference) / error))


def _rows_needed(difference: float, error: float, n: int, *, level: float) -> int | None:
    if not error > 0 or not difference:
        return None
    return max(2, math.ceil(n * ((_z(level) + float(ndtri(POWER))) * error / difference) ** 2))


def _placements(truth: Floats, predicted: Floats) -> tuple[Floats, Floats] | None:
    """Return for each row of class 1 the share of class 0 that it outranks, and the reverse; None without both classes."""
    score = positives(predicted)
    if score is None:
        raise BadInput("DeLong compares two classes", known=f"these are predictions of {predicted.shape[1]}")
    is_positive = truth == 1
    up, down = score[is_positive], score[~is_positive]
    if not len(up) or not len(down):
        return None
    up_sorted, down_sorted = np.sort(up), np.sort(down)
    beaten = np.searchsorted(down_sorted, up, "left") + np.searchsorted(down_sorted, up, "right")
    over = 2 * len(up) - np.searchsorted(up_sorted, down, "left") - np.searchsorted(up_sorted, down, "right")
    return beaten / (2 * len(down)), over / (2 * len(up))


def _variance(parts: tuple[Floats, Floats]) -> float:
    return float(sum(part.var(ddof=1) / len(part) if len(part) > 1 else 0.25 for part in parts))


def _draws(n: int, replicates: int, seed: int) -> Iterator[Floats]:
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(random.integers(0, n, n, dtype=np.uint32), minlength=n).astype(np.float64)


def _z(level: float) -> float:
    return float(ndtri((1 + level) / 2))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
