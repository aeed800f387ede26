"""How good predictions turned out: truth joined to them, losses per row, figures with intervals. What follows from them is regret's."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtri
from scipy.stats import rankdata

from oito.monitors.reference import Floats
from oito.monitors.regret import Losses

Z = float(ndtri(0.975))
TITLES = {"log_loss": "log loss", "squared_error": "mean squared error"}


@dataclass(frozen=True)
class Target:
    """What is predicted: the entity and time that name a question, the label, and the classes (none for numbers)."""

    entity: tuple[str, ...]
    time: str
    label: str
    classes: tuple[Any, ...] = ()

    @property
    def is_classes(self) -> bool:
        return bool(self.classes)

    @property
    def loss(self) -> str:
        """What one row costs: the minus logarithm of the chance given to the truth, or the squared error.

        Both are proper: no other answer than the honest one costs less.
        """
        return "log_loss" if self.is_classes else "squared_error"


@dataclass(frozen=True)
class Figure:
    """One number about some rows, with its 95 % interval where it has one."""

    name: str
    value: float
    low: float | None
    high: float | None
    rows: int


def numbered(values: pl.Series, target: Target) -> pl.Series:
    """Return labels as Float64: class numbers for classes (unknown classes are null), else the numbers themselves."""
    if not target.is_classes:
        return values.cast(pl.Float64, strict=False)
    places = {known: float(place) for place, known in enumerate(target.classes)}
    return pl.Series(values.name, [None if v is None else places.get(v) for v in values.to_list()], dtype=pl.Float64)


def named(y: pl.Series, target: Target) -> pl.Series:
    """Return class numbers as the classes they stand for; numbers stay."""
    if not target.is_classes:
        return y
    return pl.Series(target.label, [None if v is None else target.classes[int(v)] for v in y.to_list()])


def with_truth(predictions: pl.DataFrame, truths: pl.DataFrame, target: Target) -> pl.DataFrame:
    """Return the predictions with `y` (Float64, null while unknown) and `y_at`, in their order and number.

    Truth comes from `truths` by entity and time, else from feedback that was sent for the very prediction: the columns
    `truth` (JSON text) and `truth_at` of the predictions, where they have them. Of several truths the newest counts.

    Args:
        truths: entity and time columns, `y` and `y_at`, as `known` gives them.
    """
    keys = [*target.entity, target.time]
    newest = truths.sort("y_at", nulls_last=False, maintain_order=True).unique(keys, keep="last", maintain_order=True)
    casts = [pl.col(key).cast(newest.schema[key], strict=False) for key in keys]
    joined = predictions.with_columns(casts).join(newest, on=keys, how="left", maintain_order="left")
    joined = joined.with_columns(predictions[key] for key in keys)
    if "truth" not in predictions.columns:
        return joined
    sent = [None if text is None else json.loads(text) for text in predictions["truth"].to_list()]
    feedback = _feedback(sent, target)
    at = predictions["truth_at"] if "truth_at" in predictions.columns else predictions["at"]
    is_missing = joined["y"].is_null()
    return joined.with_columns(
        pl.when(is_missing).then(feedback).otherwise(pl.col("y")).alias("y"),
        pl.when(is_missing & feedback.is_not_null()).then(at).otherwise(pl.col("y_at")).alias("y_at"),
    )


def _feedback(sent: Sequence[Any], target: Target) -> pl.Series:
    if target.is_classes:
        places = {known: float(place) for place, known in enumerate(target.classes)}
        return pl.Series("y", [places.get(truth) for truth in sent], dtype=pl.Float64)
    numbers = [float(truth) if isinstance(truth, int | float) else None for truth in sent]
    return pl.Series("y", numbers, dtype=pl.Float64)


def known(labels: pl.LazyFrame, target: Target, *, known_at: str | None, now: datetime) -> pl.DataFrame:
    """Return the truths known by `now`: entity and time columns, `y` and `y_at` (null when nobody says since when)."""
    there = labels.filter(pl.col(target.label).is_not_null())
    at = pl.col(known_at) if known_at else pl.lit(None, dtype=pl.Datetime("us", "UTC"))
    if known_at:
        there = there.filter(pl.col(known_at).is_null() | (pl.col(known_at) <= now))
    frame = there.select(*target.entity, target.time, pl.col(target.label), at.alias("y_at")).collect()
    y = numbered(frame[target.label], target).alias("y")
    return frame.drop(target.label).with_columns(y).filter(pl.col("y").is_not_null())


def usual_delay_s(truths: pl.DataFrame, target: Target, *, share: float = 0.95) -> float | None:
    """Return within how many seconds of the question that share of the truths was known; None when nobody knows."""
    delays = (truths["y_at"] - truths[target.time]).drop_nulls().dt.total_microseconds() / 1e6
    found = delays.quantile(share, interpolation="linear")
    return None if found is None else max(float(found), 0.0)


def probabilities(outputs: pl.DataFrame, target: Target) -> Floats:
    """Return float64 [rows, classes] for classes (a single output is the chance of the second class), else [rows]."""
    values: Floats = outputs.cast(pl.Float64).to_numpy()
    if not target.is_classes:
        return np.asarray(values[:, 0], dtype=np.float64)
    if values.shape[1] == 1:
        return np.column_stack([1 - values[:, 0], values[:, 0]])
    return values


def losses(y: Floats, predicted: Floats, loss: str) -> Floats:
    """Return the loss of each row, float64 [rows].

    Example:
        >>> losses(np.array([1.0]), np.array([[0.2, 0.8]]), "brier").round(2).tolist()
        [0.04]
    """
    if loss == "absolute_error":
        return np.asarray(np.abs(y - predicted), dtype=np.float64)
    if loss == "squared_error":
        return np.asarray(np.square(y - predicted), dtype=np.float64)
    place = y.astype(np.int64)
    if loss == "error":
        return np.asarray(predicted.argmax(axis=1) != place, dtype=np.float64)
    if loss == "log_loss":
        tiny = float(np.finfo(np.float64).eps)
        return np.asarray(-np.log(np.clip(predicted[np.arange(len(y)), place], tiny, 1 - tiny)), dtype=np.float64)
    hit = (place[:, None] == np.arange(predicted.shape[1])).astype(np.float64)
    squared = np.square(predicted - hit)
    return np.asarray(squared[:, 1] if predicted.shape[1] == 2 else squared.sum(axis=1), dtype=np.float64)


def summed(each: Floats) -> Losses:
    """Return losses of rows as count, mean and variance of a row (of one row alone: its square, as nothing else is known)."""
    if not len(each):
        return Losses(0, 0.0, 0.0)
    variance = float(each.var(ddof=1)) if len(each) > 1 else float(each[0] ** 2)
    return Losses(len(each), float(each.mean()), variance)


def figures(y: Floats, predicted: Floats, target: Target) -> list[Figure]:
    """Return the built-in figures of rows with truth: accuracy, Brier score, log loss and AUC, or mean and root errors."""
    if not len(y):
        return []
    if not target.is_classes:
        mae, mse = (_mean(name, losses(y, predicted, loss)) for name, loss in _OF_NUMBERS)
        low, high = (None if each is None else math.sqrt(max(each, 0.0)) for each in (mse.low, mse.high))
        return [mae, Figure("rmse", math.sqrt(mse.value), low, high, mse.rows)]
    right = 1 - losses(y, predicted, "error")
    found = [_share("accuracy", right), *(_mean(name, losses(y, predicted, name)) for name in ("brier", "log_loss"))]
    area = _auc(y == 1, predicted[:, 1]) if predicted.shape[1] == 2 else None
    return [*found, area] if area else found


_OF_NUMBERS = (("mae", "absolute_error"), ("rmse", "squared_error"))


def _mean(name: str, each: Floats) -> Figure:
    value = float(each.mean())
    if len(each) < 2:
        return Figure(name, value, None, None, len(each))
    reach = Z * math.sqrt(float(each.var(ddof=1)) / len(each))
    return Figure(name, value, value - reach, value + reach, len(each))


def _share(name: str, hits: Floats) -> Figure:
    """Source: Wilson (1927)."""
    n, share = len(hits), float(hits.mean())
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return Figure(name, share, max(0.0, middle - reach), min(1.0, middle + reach), n)


def _auc(is_positive: np.ndarray[Any, np.dtype[np.bool_]], score: Floats) -> Figure | None:
    """Return AUC with DeLong's interval; None without both classes. Sources: DeLong et al. (1988), Sun and Xu (2014)."""
    up, down = int(is_positive.sum()), int((~is_positive).sum())
    if not up or not down:
        return None
    ranks = rankdata(score)
    beaten = (ranks[is_positive] - rankdata(score[is_positive])) / down
    over = 1 - (ranks[~is_positive] - rankdata(score[~is_positive])) / up
    value = float(beaten.mean())
    if min(up, down) < 2:
        return Figure("roc_auc", value, None, None, up + down)
    reach = Z * math.sqrt(float(beaten.var(ddof=1)) / up + float(over.var(ddof=1)) / down)
    return Figure("roc_auc", value, max(0.0, value - reach), min(1.0, value + reach), up + down)


def same_as_last_time(predictions: pl.DataFrame, truths: pl.DataFrame, target: Target) -> Figure | None:
    """Return how good it would have been to answer with the truth that was known last: accuracy, or mean absolute error.

    The entity's own last truth where it had one, else the last of all; only what was known before the prediction. On a
    stream that changes slowly this beats many a model.

    Args:
        predictions: with `at` and `y`, as `with_truth` gives them.
    """
    asked = predictions.filter(pl.col("y").is_not_null()).sort("at")
    dated = truths.filter(pl.col("y_at").is_not_null()).sort("y_at")
    if not asked.height or not dated.height:
        return None
    for key in target.entity:
        asked = asked.with_columns(pl.col(key).cast(dated.schema[key], strict=False))
    own = _last(asked, dated, by=list(target.entity))
    answer = own.fill_null(_last(asked, dated, by=[]))
    rows = asked.with_columns(answer.alias("answer")).filter(pl.col("answer").is_not_null())
    if not rows.height:
        return None
    y, said = rows["y"].to_numpy(), rows["answer"].to_numpy()
    if target.is_classes:
        return _share("accuracy", np.asarray(y == said, dtype=np.float64))
    return _mean("mae", np.abs(y - said))


def _last(asked: pl.DataFrame, dated: pl.DataFrame, *, by: list[str]) -> pl.Series:
    right = dated.select(*by, "y_at", pl.col("y").alias("answer")).rename({"y_at": "answered_at"})
    found = asked.select(*by, "at").join_asof(
        right, left_on="at", right_on="answered_at", by=by or None, strategy="backward", check_sortedness=False
    )
    return found["answer"]
