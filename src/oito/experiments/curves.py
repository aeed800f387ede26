"""What is drawn of predictions: points of curves, bins and counts as plain lists. Drawing them is a face's work."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oito.experiments.intervals import wilson
from oito.experiments.metrics import Floats, calibration_bins, dot

POINTS = 200  # of a curve, at most: more cannot be seen
Points = dict[str, list[float]]


def threshold_curves(
    is_positive: NDArray[np.bool_], score: Floats, weights: Floats, *, cost_fp: float, cost_fn: float
) -> dict[str, Any] | None:
    """Return `roc`, `pr` and `cost` by threshold (positive from it on), thinned to 200 points; None without both classes.

    `cost` is the mean cost of a row; its `best` point is exact, found before thinning.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.concatenate([ranked[1:] != ranked[:-1], [True]]))
    hits = np.concatenate([[0.0], np.where(is_positive, weights, 0.0)[order].cumsum()[ends]])
    alarms = np.concatenate([[0.0], np.where(is_positive, 0.0, weights)[order].cumsum()[ends]])
    if not hits[-1] or not alarms[-1]:
        return None
    # Above the highest score nothing is positive; a threshold must stay a finite number to be plain data.
    threshold = np.concatenate([[np.nextafter(ranked[0], np.inf)], ranked[ends]])
    cost = (cost_fp * alarms + cost_fn * (hits[-1] - hits)) / weights.sum()
    best = int(cost.argmin())
    recall = hits / hits[-1]
    precision = np.divide(hits, hits + alarms, out=np.ones_like(hits), where=hits + alarms > 0)
    return {
        "roc": _points(threshold, false_positive_rate=alarms / alarms[-1], true_positive_rate=recall),
        "pr": _points(threshold, recall=recall, precision=precision),
        "cost": {
            **_points(threshold, cost=cost),
            "best": {"threshold": float(threshold[best]), "cost": float(cost[best])},
            "cost_fp": cost_fp,
            "cost_fn": cost_fn,
        },
    }


def calibration(happened: Floats, said: Floats, weights: Floats, *, bins: int = 10) -> list[dict[str, float]]:
    """Return bins of equal mass: mean probability said, share that happened with its Wilson interval, and rows.

    With weights the interval is that of Kish's effective number of rows.
    """
    place, out = calibration_bins(said, bins), []
    for each in np.unique(place):
        inside = place == each
        w = weights[inside]
        share = dot(w, happened[inside]) / float(w.sum())
        effective = float(w.sum()) ** 2 / dot(w, w)
        bounds = wilson(share * effective, effective)
        said_mean = dot(w, said[inside]) / float(w.sum())
        row = {"said": said_mean, "happened": share, "low": bounds.low, "high": bounds.high, "n": int(inside.sum())}
        out.append(row)
    return out


def score_histogram(truth: Floats, score: Floats, classes: tuple[str, ...], *, bins: int = 20) -> dict[str, Any]:
    """Return counts of scores per true class over equal bins of 0..1."""
    edges = np.linspace(0, 1, bins + 1)
    counts = {name: np.histogram(score[truth == place], edges)[0].tolist() for place, name in enumerate(classes)}
    return {"edges": edges.tolist(), "counts": counts}


def confusion(truth: Floats, said: NDArray[np.int64], classes: int) -> list[list[int]]:
    """Return row counts, shape [true class, predicted class]."""
    counts = np.bincount(truth.astype(np.int64) * classes + said, minlength=classes * classes)
    return [[int(count) for count in row] for row in counts.reshape(classes, classes)]


def residuals(truth: Floats, predicted: Floats) -> dict[str, Any]:
    """Return residuals (truth - predicted) by bins of the prediction, their histogram, and truth by bins as a calibration."""
    gap, place = truth - predicted, calibration_bins(predicted, 20)
    by_bin = []
    for each in np.unique(place):
        inside = place == each
        low, middle, high = np.quantile(gap[inside], [0.1, 0.5, 0.9])
        row = {
            "predicted": predicted[inside].mean(),
            "truth": truth[inside].mean(),
            "p10": low,
            "p50": middle,
            "p90": high,
        }
        by_bin.append({**{name: float(value) for name, value in row.items()}, "n": int(inside.sum())})
    counts, edges = np.histogram(gap, 30)
    return {"by_prediction": by_bin, "histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}


def _points(threshold: Floats, **columns: Floats) -> Points:
    keep = np.unique(np.linspace(0, len(threshold) - 1, POINTS).round().astype(np.int64))
    return {name: column[keep].tolist() for name, column in {**columns, "threshold": threshold}.items()}
