"""How good predictions are: metrics as functions of row weights, so that one sort serves a whole bootstrap.

Truth is a class number (classification) or a number (regression), shape [rows]; a prediction is the probability of class 1,
shape [rows], or of every class, shape [rows, classes], or a number. Intervals and verdicts live elsewhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oito.errors import BadInput, DataError
from oito.names import did_you_mean

Floats = NDArray[np.float64]
Weighted = Callable[[Floats], float]  # weights, shape [rows] -> the metric
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Metric:
    """One figure: `prepare(truth, predicted)` gives a function of row weights; `rows` is set when it is a mean over rows.

    A figure that does not exist, such as AUC without a second class, is NaN.
    """

    name: str
    title: str
    task: Task
    greater_is_better: bool
    prepare: Callable[[Floats, Floats], Weighted]
    rows: Callable[[Floats, Floats], Floats] | None = None
    is_root: bool = False  # the square root of the mean over rows

    def score(self, truth: Floats, predicted: Floats, *, weights: Floats | None = None) -> float:
        """Return the metric of weighted rows.

        Example:
            >>> METRICS["accuracy"].score(np.array([0.0, 1.0]), np.array([0.2, 0.4]))
            0.5
        """
        return self.prepare(truth, predicted)(np.ones(len(truth)) if weights is None else weights)


def metric(name: str, *, task: Task | None = None) -> Metric:
    """Return the metric of that name.

    Raises:
        BadInput: there is none, or it is not for the task.
    """
    known = [each.name for each in METRICS.values() if task in (None, each.task)]
    if name not in known:
        what = f"no metric is called {name!r}" if name not in METRICS else f"{name} is not for {task}"
        raise BadInput(what, known=", ".join(known), next=did_you_mean(name, known))
    return METRICS[name]


def check_predictions(truth: Floats, predicted: Floats) -> None:
    """Raise a DataError that counts them if lengths differ or a truth or prediction is NaN or infinite."""
    if not len(truth):
        raise DataError("there are no rows to evaluate", next="widen the test window")
    if len(truth) != len(predicted):
        raise DataError(f"{len(predicted)} predictions for {len(truth)} rows")
    for name, values in (("truths", truth), ("predictions", predicted)):
        broken = int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).sum())
        if broken:
            raise DataError(f"{broken} of {len(values)} {name} are NaN or infinite", next="evaluate finite values only")


def probabilities(predicted: Floats) -> Floats:
    """Return the probability of every class, shape [rows, classes], of either shape of prediction."""
    return np.column_stack([1 - predicted, predicted]) if predicted.ndim == 1 else predicted


def positives(predicted: Floats) -> Floats | None:
    """Return the probability of class 1 when there are two classes, else None."""
    if predicted.ndim == 1:
        return predicted
    return np.ascontiguousarray(predicted[:, 1]) if predicted.shape[1] == 2 else None


def labels(predicted: Floats, *, threshold: float = 0.5) -> NDArray[np.int64]:
    """Return class numbers: 1 from the threshold on with two classes, else the most probable, the first among equals."""
    positive = positives(predicted)
    if positive is not None:
        return (positive >= threshold).astype(np.int64)
    most_probable: NDArray[np.int64] = predicted.argmax(axis=1)
    return most_probable


def pinball(alpha: float) -> Metric:
    """Return the loss of predicting the quantile `alpha`; half the absolute error at the median.

    Source: Koenker and Bassett, Regression Quantiles (1978).
    """

    def rows(y: Floats, p: Floats) -> Floats:
        return np.maximum(alpha * (y - p), (alpha - 1) * (y - p))

    return _mean(f"pinball_{round(alpha * 100)}", f"Pinball loss at {alpha}", "regression", rows)


def dot(a: Floats, b: Floats) -> float:
    """Return the sum of products; not by BLAS, whose threads move the last bits and spin on a busy machine."""
    return float((a * b).sum())


def calibration_bins(predicted: Floats, bins: int) -> NDArray[np.int64]:
    """Return the bin of each prediction, 0-based, of equal mass; equal predictions share a bin, so bins may be fewer."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, predicted)


def _prepare_roc_auc(y: Floats, p: Floats) -> Weighted:
    """Mann-Whitney with half a win for ties; with more than two classes the mean of one-against-the-rest."""
    positive = positives(p)
    if positive is not None:
        return _auc(y == 1, positive)
    parts = [_auc(y == place, p[:, place]) for place in range(p.shape[1])]
    return lambda w: _mean_of_existing([part(w) for part in parts])


def _auc(is_positive: NDArray[np.bool_], score: Floats) -> Weighted:
    order, starts = _tied(score)
    good = is_positive[order]

    def weighted(w: Floats) -> float:
        w = w[order]
        wins = np.add.reduceat(np.where(good, w, 0.0), starts)
        losses = np.add.reduceat(np.where(good, 0.0, w), starts)
        area = dot(wins, losses.cumsum() - losses / 2)
        pairs = float(wins.sum() * losses.sum())
        return area / pairs if pairs else float("nan")

    return weighted


def _prepare_pr_auc(y: Floats, p: Floats) -> Weighted:
    """Average precision: the sum over thresholds of recall gained x precision there, without interpolation."""
    positive = positives(p)
    if positive is not None:
        return _average_precision(y == 1, positive)
    parts = [_average_precision(y == place, p[:, place]) for place in range(p.shape[1])]
    return lambda w: _mean_of_existing([part(w) for part in parts])


def _average_precision(is_positive: NDArray[np.bool_], score: Floats) -> Weighted:
    order, starts = _tied(-score)
    good = is_positive[order]

    def weighted(w: Floats) -> float:
        w = w[order]
        hits = np.add.reduceat(np.where(good, w, 0.0), starts)
        seen = np.add.reduceat(w, starts).cumsum()
        total = float(hits.sum())
        precision = np.divide(hits.cumsum(), seen, out=np.zeros_like(seen), where=seen > 0)
        return dot(hits, precision) / total if total else float("nan")

    return weighted


def _prepare_f1(y: Floats, p: Floats) -> Weighted:
    """F1 of class 1, or the mean over the classes that occur in truth or prediction."""
    said = labels(p)
    places = [1] if positives(p) is not None else sorted({*np.unique(y).tolist(), *np.unique(said).tolist()})
    sides = [(((y == c) & (said == c)).astype(float), (y == c).astype(float) + (said == c)) for c in places]

    def weighted(w: Floats) -> float:
        return _mean_of_existing([2 * dot(hit, w) / total if (total := dot(both, w)) else 0.0 for hit, both in sides])

    return weighted


def _prepare_ece(y: Floats, p: Floats) -> Weighted:
    """Expected calibration error over 15 bins of equal mass; with more classes, of the most probable class."""
    positive = positives(p)
    said, right = (positive, y == 1) if positive is not None else (p.max(axis=1), p.argmax(axis=1) == y)
    place = calibration_bins(said, 15)
    gap = said - right

    def weighted(w: Floats) -> float:
        return float(np.abs(np.bincount(place, weights=w * gap)).sum() / w.sum())

    return weighted


def _prepare_r2(y: Floats, p: Floats) -> Weighted:
    squared = (y - p) ** 2

    def weighted(w: Floats) -> float:
        spread = dot(w, (y - dot(w, y) / w.sum()) ** 2)
        return 1 - dot(w, squared) / spread if spread else float("nan")

    return weighted


def _log_loss(y: Floats, p: Floats) -> Floats:
    every = probabilities(p)
    every = every / every.sum(axis=1, keepdims=True)
    tiny = np.finfo(np.float64).eps
    chosen: Floats = every[np.arange(len(y)), y.astype(np.int64)]
    return -np.log(np.clip(chosen, tiny, 1 - tiny))


def _brier(y: Floats, p: Floats) -> Floats:
    positive = positives(p)
    if positive is not None:
        return np.square(positive - y)
    hit = (y[:, None] == np.arange(p.shape[1])).astype(np.float64)
    return np.asarray(np.square(p - hit).sum(axis=1), dtype=np.float64)


def _accuracy(y: Floats, p: Floats) -> Floats:
    is_right = np.equal(labels(p), y)
    return is_right.astype(np.float64)


def _mean(
    name: str,
    title: str,
    task: Task,
    rows: Callable[[Floats, Floats], Floats],
    *,
    greater_is_better: bool = False,
    is_root: bool = False,
) -> Metric:
    def prepare(y: Floats, p: Floats) -> Weighted:
        each = rows(y, p)

        def weighted(w: Floats) -> float:
            mean = dot(each, w) / float(w.sum())
            return mean**0.5 if is_root else mean

        return weighted

    return Metric(name, title, task, greater_is_better, prepare, rows, is_root)


def _tied(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of rising scores and where each run of equal scores starts in it."""
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    return order, np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))


def _mean_of_existing(parts: list[float]) -> float:
    exist = [part for part in parts if part == part]
    return sum(exist) / len(exist) if exist else float("nan")


METRICS: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric("roc_auc", "ROC AUC", "classification", True, _prepare_roc_auc),
        Metric("pr_auc", "Average precision", "classification", True, _prepare_pr_auc),
        _mean("log_loss", "Log loss", "classification", _log_loss),
        _mean("brier", "Brier score", "classification", _brier),
        _mean("accuracy", "Accuracy", "classification", _accuracy, greater_is_better=True),
        Metric("f1", "F1", "classification", True, _prepare_f1),
        Metric("ece", "Calibration error", "classification", False, _prepare_ece),
        _mean("rmse", "Root mean squared error", "regression", lambda y, p: (y - p) ** 2, is_root=True),
        _mean("mae", "Mean absolute error", "regression", lambda y, p: np.abs(y - p)),
        Metric("r2", "R²", "regression", True, _prepare_r2),
        pinball(0.1),
        pinball(0.5),
        pinball(0.9),
    )
}
