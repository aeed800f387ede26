"""One look at one window: rows, truth, drift and figures of the models that worked in it. What follows from them is the verdict's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from oito.monitors import estimate, performance, quality
from oito.monitors.accepted import Accepted
from oito.monitors.drift import ColumnDrift, compare
from oito.monitors.performance import Figure
from oito.monitors.quality import Alarm
from oito.monitors.reference import Floats
from oito.monitors.windows import SETTLED_COVERAGE, Row

MIN_ROWS = 20  # before columns are compared
ESTIMATED_ROWS = 30  # with truth, before an estimate can be withdrawn
ESTIMATE = "accuracy_estimated"
BASELINE = "same_as_last_time"
Own = Callable[["Window"], Mapping[str, float]]


@dataclass(frozen=True)
class Window:
    """What a monitor's function is given: `predictions` as a frame, and for each of its rows `truth` (null while unknown)
    and `score` (the chance of the second class, of the likeliest class, or the predicted number)."""

    predictions: pl.DataFrame
    truth: pl.Series
    score: pl.Series
    start: datetime
    end: datetime


@dataclass
class Look:
    """What was seen in one window."""

    rows: list[Row] = field(default_factory=list)
    figures: list[dict[str, Any]] = field(default_factory=list)
    drift: list[ColumnDrift] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)


@dataclass(frozen=True)
class Looker:
    """Looks at windows with what does not change between them: truths, models at acceptance, the false-alarm budget."""

    models: Mapping[str, Accepted]
    truths: pl.DataFrame
    false_alarms: float
    own: Own | None = None

    def worked(self, predictions: pl.DataFrame, *, start: datetime, end: datetime, is_final: bool) -> Look:
        """Return rows, figures and alarms of how the models worked in a window; `predictions` are with truth."""
        look = Look()
        for (name,), part in predictions.group_by("model", maintain_order=True):
            model = self.models.get(str(name))
            if model is None:
                look.rows.append(Row(start, end, str(name), part.height, is_final=is_final))
            else:
                self._performance(look, model, part, row=Row(start, end, str(name), part.height, is_final=is_final))
        return look

    def _performance(self, look: Look, model: Accepted, part: pl.DataFrame, *, row: Row) -> None:
        said = model.said(part)
        truth = part["y"].to_numpy().astype(np.float64)
        is_known = np.isfinite(truth) & (
            np.isfinite(said.reshape(len(said), -1)).all(axis=1) if said is not None else True
        )
        if said is None:
            look.rows.append(row)
            return
        each = performance.losses(truth[is_known], said[is_known], model.target.loss)
        summed = performance.summed(each)
        is_settled = row.is_final or (summed.rows > 0 and summed.rows >= SETTLED_COVERAGE * row.rows)
        row = replace(row, labelled=summed.rows, accepted=model.losses.mean, is_settled=is_settled)
        if summed.rows:
            row = replace(row, loss=summed.mean, variance=summed.variance)
        look.rows.append(row)
        found = performance.figures(truth[is_known], said[is_known], model.target)
        look.figures += [_figure(row, each, model) for each in found]
        last = performance.same_as_last_time(part, self.truths, model.target)
        if last:
            look.figures.append(
                _figure(row, Figure(BASELINE, last.value, last.low, last.high, last.rows), model, last.name)
            )
        look.alarms += self._worse(model, row)
        self._estimated(look, model, row, said=said, truth=np.where(is_known, truth, np.nan))

    def _estimated(self, look: Look, model: Accepted, row: Row, *, said: Floats, truth: Floats) -> None:
        """Add the accuracy to be expected; truth that came early is no fair sample, so it corrects settled windows only."""
        if model.calibration is None:
            return
        there = np.isfinite(said[:, 1])
        if not there.any():
            return
        counted = truth if row.is_settled and row.labelled >= ESTIMATED_ROWS else np.full(len(truth), np.nan)
        found = estimate.accuracy(said[there, 1], counted[there], model.calibration, level=1 - self.false_alarms)
        note = "withdrawn" if found.is_withdrawn else ("corrected" if found.corrected else "")
        figure = Figure(ESTIMATE, found.value, found.low, found.high, row.rows)
        look.figures.append(_figure(row, figure, model, note))
        if found.is_withdrawn and look.alarms:  # what the scores did not announce; a model that got better is no alarm
            promised = float(model.calibration.sure(said[there, 1]).mean())
            text = f"the scores promise an accuracy of {promised:.3f}, the truth says {found.value:.3f}: the concept changed"
            look.alarms.append(
                Alarm(
                    "concept", text, "", {"value": found.value, "promised": promised, "labelled": float(found.labelled)}
                )
            )

    def _worse(self, model: Accepted, row: Row) -> list[Alarm]:
        if not row.is_settled or row.loss is None or row.variance is None or row.labelled < 2:
            return []
        from scipy.special import ndtri

        error = (row.variance / row.labelled + model.losses.variance / max(model.losses.rows, 1)) ** 0.5
        more = row.loss - model.losses.mean
        if more - float(ndtri(1 - self.false_alarms)) * error <= 0:
            return []
        title = performance.TITLES[model.target.loss]
        text = f"{title} is {row.loss:.4g}, at acceptance {model.losses.mean:.4g} ({row.labelled} rows)"
        return [Alarm("performance", text, "", {"loss": row.loss, "accepted": model.losses.mean, "rows": row.labelled})]

    def compared(self, predictions: pl.DataFrame) -> tuple[list[ColumnDrift], list[Alarm]]:
        """Return the drift of the model's columns in a look, and what is out of range; the busiest model is compared."""
        busiest = (
            predictions["model"].value_counts().sort(["count", "model"], descending=True)
            if predictions.height
            else None
        )
        model = self.models.get(busiest["model"][0]) if busiest is not None else None
        if model is None:
            return [], []
        part = model.compared(predictions.filter(pl.col("model") == model.model))
        if part.height < MIN_ROWS or not model.columns.width or not model.columns.height:
            return [], []
        drift = compare(model.columns, part, false_alarms=self.false_alarms, min_effect=model.effects)
        return drift, quality.ranges(model.columns, part, false_alarms=self.false_alarms)

    def own_figures(self, predictions: pl.DataFrame, *, start: datetime, end: datetime) -> Mapping[str, float]:
        """Return what the user's function says of a look."""
        if self.own is None or not predictions.height:
            return {}
        model = next((self.models[name] for name in predictions["model"].unique() if name in self.models), None)
        if model is None:
            return {}
        said = model.said(predictions)
        score = _score(said, model) if said is not None else np.full(predictions.height, np.nan)
        truth = performance.named(predictions["y"], model.target)
        return self.own(Window(predictions.drop("y", "y_at"), truth, pl.Series("score", score), start, end))


def _score(said: Floats, model: Accepted) -> Floats:
    if not model.target.is_classes:
        return said
    return np.asarray(said[:, 1] if said.shape[1] == 2 else said.max(axis=1), dtype=np.float64)


def _figure(row: Row, figure: Figure, model: Accepted, note: str = "") -> dict[str, Any]:
    before = model.figures.get({ESTIMATE: "accuracy"}.get(figure.name, figure.name))
    return {
        "start": row.start, "model": model.model, "name": figure.name, "value": figure.value, "low": figure.low,
        "high": figure.high, "rows": figure.rows, "accepted": before.value if before else None, "note": note,
    }  # fmt: skip


def alarmed(drift: Sequence[ColumnDrift], earlier: Sequence[frozenset[str]]) -> list[ColumnDrift]:
    """Return the drifted columns that are an alarm: a named fault at once, a mere shift when 2 of 3 windows agree.

    Args:
        earlier: the drifted columns of earlier windows, the newest last.
    """
    lately = frozenset[str]().union(*earlier[-2:])
    return [each for each in drift if each.is_drifted and (each.cause != "shift" or each.column in lately)]
