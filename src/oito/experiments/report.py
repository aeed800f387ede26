"""The evaluation report: everything worth knowing about predictions on rows the model has not seen, as plain data.

The figures, intervals, curves and slices it gathers each have a file of their own; how it looks is a panel's work.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from oito.errors import BadInput, DataError
from oito.experiments import curves
from oito.experiments.intervals import Comparison, Interval, bootstrap, compare, delong, percentile_interval
from oito.experiments.metrics import (
    METRICS,
    Floats,
    Task,
    check_predictions,
    labels,
    metric,
    positives,
    probabilities,
)
from oito.experiments.seeds import stream
from oito.experiments.slices import Slice, slice_metric, slices

DEFAULT_METRIC: Mapping[Task, str] = {"classification": "roc_auc", "regression": "rmse"}


@dataclass(frozen=True)
class Report:
    """How good predictions are. What does not exist for a task (or for a class that is absent) is None.

    `baselines` and `champion` compare these predictions, as the challenger, with the others on the same rows.
    """

    task: Task
    metric: str
    n: int
    classes: Mapping[str, int]  # class to rows
    headline: Mapping[str, Interval]
    slice_metric: str
    slices: Sequence[Slice]
    baselines: Mapping[str, Comparison]
    champion: Comparison | None
    calibration: Sequence[Mapping[str, float]] | None = None
    roc: Mapping[str, Any] | None = None
    pr: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    histogram: Mapping[str, Any] | None = None
    threshold: float | None = None
    confusion: Sequence[Sequence[int]] | None = None
    residuals: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()

    def data(self) -> dict[str, Any]:
        """Return JSON types only; a figure that does not exist is null."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def evaluate(
    truth: ArrayLike,
    predicted: Floats,
    *,
    task: Task,
    frame: pl.DataFrame,
    classes: Sequence[str | int | bool] = (),
    metric_name: str = "",
    weights: Floats | None = None,
    baselines: Mapping[str, Floats] | None = None,
    champion: Floats | None = None,
    threshold: float = 0.5,
    cost_fp: float = 1.0,
    cost_fn: float = 1.0,
    seed: int,
) -> Report:
    """Return the report on predictions of rows the model has not seen. The same input and seed give the same report.

    Args:
        truth: a class of `classes`, or a number, per row.
        predicted: the probability of the second class, shape [rows], or of every class, shape [rows, classes], in the
            order of `classes`; numbers for a regression.
        frame: the features of the rows, for slices; same height.
        metric_name: what comparisons and slices are about; by default roc_auc or rmse.
        weights: of rows, above 0.
        baselines, champion: other predictions of the same rows.
        threshold: of the second class, for the confusion table; the class is said from it on.
        cost_fp, cost_fn: of a false positive and a false negative, for the cost curve.

    Raises:
        DataError: NaN in truth or predictions, an unknown class, or lengths that differ.
        BadInput: the metric is unknown or not for the task.

    Example:
        >>> y, p = [False, True] * 50, np.tile([0.2, 0.7], 50)
        >>> report = evaluate(y, p, task="classification", classes=(False, True), frame=pl.DataFrame({"x": p}), seed=1)
        >>> report.headline["accuracy"].value, report.confusion
        (1.0, [[50, 0], [0, 50]])
    """
    y = class_numbers(truth, classes) if task == "classification" else np.asarray(truth, dtype=np.float64)
    p = np.asarray(predicted, dtype=np.float64)
    check_predictions(y, p)
    _check_shapes(p, frame, weights, classes if task == "classification" else ("number",))
    chosen = metric(metric_name or DEFAULT_METRIC[task], task=task)
    replicates = 1000 if len(y) <= 20_000 else 300  # many rows make a smooth distribution, whose tails need fewer
    parts = slice_metric(chosen, p, is_weighted=weights is not None)

    def against(other: Floats, name: str) -> Comparison:
        before = np.asarray(other, dtype=np.float64)
        draws = stream(seed, "compare", name)
        return compare(y, before, p, metric=chosen, seed=draws, weights=weights, replicates=replicates)

    names = tuple(str(each) for each in classes)
    drawn = _drawn(y, p, names, weights, threshold, cost_fp, cost_fn) if task == "classification" else {}
    return Report(
        task=task,
        metric=chosen.name,
        n=len(y),
        classes={name: int((y == place).sum()) for place, name in enumerate(names)},
        headline=_headline(y, p, task, weights, seed=stream(seed, "headline"), replicates=replicates),
        slice_metric=parts.name,
        slices=slices(y, p, frame, metric=parts, weights=weights),
        baselines={name: against(other, name) for name, other in (baselines or {}).items()},
        champion=None if champion is None else against(champion, "champion"),
        residuals=curves.residuals(y, p) if task == "regression" else None,
        notes=[
            f"the class {each!r} does not occur in these rows" for i, each in enumerate(classes) if not (y == i).any()
        ],
        **drawn,
    )


def class_numbers(truth: ArrayLike, classes: Sequence[str | int | bool]) -> Floats:
    """Return the place of each truth in `classes`, as float64 [rows].

    Raises:
        DataError: a truth is none of the classes, or there are fewer than two classes.
    """
    if len(classes) < 2:
        raise DataError(f"a classification needs two classes or more, not {list(classes)}")
    values: NDArray[Any] = np.asarray(truth)
    out = np.full(len(values), math.nan)
    for place, each in enumerate(classes):
        out[values == each] = place
    strange = values[np.isnan(out)]
    if len(strange):
        raise DataError(
            f"{len(strange)} truths are none of the classes, the first is {strange.tolist()[0]!r}",
            known=f"the model knows {', '.join(repr(each) for each in classes)}",
            next="train on rows that hold every class",
        )
    return out


def _headline(
    y: Floats, p: Floats, task: Task, weights: Floats | None, *, seed: int, replicates: int
) -> dict[str, Interval]:
    by_delong = task == "classification" and positives(p) is not None and weights is None
    chosen = [each for each in METRICS.values() if each.task == task and not (by_delong and each.name == "roc_auc")]
    drawn = bootstrap(y, [p], chosen, seed=seed, replicates=replicates, weights=weights)[:, 0]
    out = {"roc_auc": delong(y, p)} if by_delong else {}
    for place, each in enumerate(chosen):
        out[each.name] = percentile_interval(each.score(y, p, weights=weights), drawn[:, place])
    return out


def _drawn(
    y: Floats,
    p: Floats,
    names: tuple[str, ...],
    weights: Floats | None,
    threshold: float,
    cost_fp: float,
    cost_fn: float,
) -> dict[str, Any]:
    w = np.ones(len(y)) if weights is None else weights
    score = positives(p)
    if score is None:
        sure, said = probabilities(p).max(axis=1), labels(p)
        return {
            "calibration": curves.calibration((said == y).astype(np.float64), sure, w),
            "confusion": curves.confusion(y, said, len(names)),
        }
    return {
        **(curves.threshold_curves(y == 1, score, w, cost_fp=cost_fp, cost_fn=cost_fn) or {}),
        "calibration": curves.calibration(y, score, w),
        "histogram": curves.score_histogram(y, score, names),
        "threshold": threshold,
        "confusion": curves.confusion(y, labels(p, threshold=threshold), 2),
    }


def _check_shapes(p: Floats, frame: pl.DataFrame, weights: Floats | None, classes: Sequence[object]) -> None:
    wide = 1 if p.ndim == 1 else p.shape[1]
    if wide != len(classes) and not (p.ndim == 1 and len(classes) == 2):
        raise DataError(f"predictions have {wide} columns for {len(classes)} classes")
    if p.ndim == 2 and len(classes) == 1:
        raise DataError("predicted numbers have shape [rows, 1]", next="give shape [rows]")
    if frame.height != len(p):
        raise DataError(f"the frame of features has {frame.height} rows for {len(p)} predictions")
    if weights is not None and (len(weights) != len(p) or not (np.isfinite(weights) & (weights > 0)).all()):
        raise BadInput("weights are one number above 0 for each row")


def _plain(value: Any) -> Any:
    if isinstance(value, Interval | Comparison):
        return value.data()
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
