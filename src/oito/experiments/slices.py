"""Where a model is worse: its figure on parts of the rows, one feature at a time, with a flag that survives many looks.

A part is a common value of a category, a quarter of a number, or the missing values.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from oito.experiments.intervals import Interval, auc, auc_interval, benjamini_hochberg
from oito.experiments.metrics import METRICS, Floats, Metric, positives

LEVELS = 12  # of a category, the most common
MIN_ROWS = 30  # a smaller part is shown, but not tested: its error is not known well enough
FALSE_SHARE = 0.05  # of the flagged parts, expected to be flagged by chance


@dataclass(frozen=True)
class Slice:
    """One part of the rows; `q_value` is its adjusted p-value of being worse than the rest, None when not tested."""

    column: str
    part: str
    n: int
    figure: Interval
    q_value: float | None = None
    is_worse: bool = False


def slice_metric(metric: Metric, predicted: Floats, *, is_weighted: bool) -> Metric:
    """Return what slices are judged by: the metric itself where parts are comparable, else the loss of its task.

    Average precision moves with the class shares of a part, R² with its spread and calibration error with its size, so a
    part would look worse without being predicted worse.
    """
    if metric.rows is not None or (metric.name == "roc_auc" and positives(predicted) is not None and not is_weighted):
        return metric
    return METRICS["log_loss" if metric.task == "classification" else "rmse"]


def slices(
    truth: Floats, predicted: Floats, frame: pl.DataFrame, *, metric: Metric, weights: Floats | None
) -> list[Slice]:
    """Return every part of every column, flagged when its figure is worse than that of the other rows.

    One-sided z-test of the part against the rest; Benjamini and Hochberg over all parts tested.
    """
    judge = _AucJudge(truth, predicted) if metric.name == "roc_auc" else _MeanJudge(truth, predicted, metric, weights)
    found: list[tuple[Slice, float]] = []
    for name in frame.columns:
        for part, inside in _parts(frame[name]):
            figure, p_value = judge(inside)
            found.append((Slice(name, part, int(inside.sum()), figure), p_value))
    tested = [place for place, (_, p_value) in enumerate(found) if math.isfinite(p_value)]
    q_values = dict(zip(tested, benjamini_hochberg([found[place][1] for place in tested]).tolist(), strict=True))
    return [
        Slice(each.column, each.part, each.n, each.figure, q_values.get(place), q_values.get(place, 1.0) <= FALSE_SHARE)
        for place, (each, _) in enumerate(found)
    ]


class _AucJudge:
    """Judges by AUC. Rows are kept in the order of their scores, which makes the many sorts of parts cheap."""

    def __init__(self, truth: Floats, predicted: Floats) -> None:
        score = positives(predicted)
        assert score is not None
        self.order = np.argsort(score, kind="stable")
        self.truth, self.score = truth[self.order], score[self.order]

    def __call__(self, inside: NDArray[np.bool_]) -> tuple[Interval, float]:
        inside = inside[self.order]
        truth = self.truth[inside]
        rarer = int(min(truth.sum(), len(truth) - truth.sum()))
        value, error = auc(truth, self.score[inside])
        figure = auc_interval(value, error, rarer=rarer)
        if rarer < MIN_ROWS / 2:
            return figure, math.nan
        rest, rest_error = auc(self.truth[~inside], self.score[~inside])
        return figure, _worse(value - rest, math.hypot(error, rest_error))


class _MeanJudge:
    """Judges by a mean over rows; the rest follows from the totals, so a part costs only its own rows."""

    def __init__(self, truth: Floats, predicted: Floats, metric: Metric, weights: Floats | None) -> None:
        assert metric.rows is not None
        each = metric.rows(truth, predicted)
        self.metric, self.w = metric, np.ones(len(truth)) if weights is None else weights
        self.columns = np.column_stack([self.w, self.w * each, self.w**2, self.w**2 * each, self.w**2 * each**2])
        self.totals = self.columns.sum(axis=0)

    def __call__(self, inside: NDArray[np.bool_]) -> tuple[Interval, float]:
        n, sums = int(inside.sum()), self.columns[inside].sum(axis=0)
        mean, error = self._mean(sums, n)
        other, other_error = self._mean(self.totals - sums, len(inside) - n)
        reach = float(ndtri(0.975)) * error
        bounds = [mean, mean - reach, mean + reach]
        if self.metric.is_root:
            bounds = [math.sqrt(max(bound, 0.0)) for bound in bounds]
        gap = (mean - other) if self.metric.greater_is_better else (other - mean)
        tested = min(n, len(inside) - n) >= MIN_ROWS
        return Interval(*bounds), _worse(gap, math.hypot(error, other_error)) if tested else math.nan

    def _mean(self, sums: Floats, n: int) -> tuple[float, float]:
        if not n:
            return math.nan, math.nan
        weight, total, squares, cross, moments = sums.tolist()
        mean = total / weight
        spread = max(moments - 2 * mean * cross + mean * mean * squares, 0.0)
        return mean, math.sqrt(spread * n / (n - 1)) / weight if n > 1 else math.nan


def _worse(gap: float, error: float) -> float:
    """Return the p-value of a part that is better by `gap` (negative: worse) being as good as the rest."""
    return float(ndtr(gap / error)) if error > 0 else math.nan


def _parts(values: pl.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if values.dtype.is_float():
        values = values.fill_nan(None)
    missing = values.is_null()
    if values.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        yield from _levels(values.cast(pl.String))
    elif values.dtype.is_numeric():
        yield from _quarters(values)
    else:
        return
    if missing.any():
        yield "missing", missing.to_numpy()


def _levels(values: pl.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    counts = values.drop_nulls().alias("level").value_counts(name="rows")
    for level in counts.sort(["rows", "level"], descending=[True, False])["level"].head(LEVELS):
        yield level, (values == level).fill_null(False).to_numpy()


def _quarters(values: pl.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    numbers = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
    exist = numbers[np.isfinite(numbers)]
    if not len(exist):
        return
    edges = np.unique(np.quantile(exist, [0, 0.25, 0.5, 0.75, 1]))
    if len(edges) == 1:
        yield f"{edges[0]:.6g}", numbers == edges[0]
    for place, (low, high) in enumerate(pairwise(edges)):
        above = numbers >= low if place == 0 else numbers > low
        yield f"{low:.6g} … {high:.6g}", above & (numbers <= high)
