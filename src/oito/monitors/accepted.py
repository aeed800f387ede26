"""What a model was when it was accepted: its test rows as the reference of columns, scores and losses. Windows are held against it in looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.flow.site import Site
from oito.monitors.drift import natural_effects
from oito.monitors.estimate import Calibration, calibrate
from oito.monitors.performance import Figure, Target, figures, losses, probabilities, summed
from oito.monitors.reference import Floats
from oito.monitors.regret import Losses

SEEN = "x_"  # prefix of model columns in an experiment's test rows and in an endpoint's predictions
SAID = "said"
SCORE = "prediction."  # prefix of outputs among the compared columns
PIECE_ROWS = 30  # of the reference, to count as one of its windows


@dataclass(frozen=True)
class Accepted:
    """One model at acceptance; `columns` are the compared columns of its test rows, `effects` how far these move anyway."""

    model: str
    target: Target
    outputs: tuple[str, ...]
    columns: pl.DataFrame
    effects: Mapping[str, float]
    losses: Losses
    figures: Mapping[str, Figure]
    calibration: Calibration | None

    def compared(self, predictions: pl.DataFrame) -> pl.DataFrame:
        """Return the columns of predictions that can be compared, named as in `columns`."""
        scores = {f"{SCORE}{name}": pl.col(name) for name in self.outputs if name in predictions.columns}
        wanted = [name for name in self.columns.columns if f"{SEEN}{name}" in predictions.columns]
        seen = [pl.col(f"{SEEN}{name}").alias(name) for name in wanted]
        told = [column.alias(name) for name, column in scores.items() if name in self.columns.columns]
        return predictions.select([*seen, *told])

    def said(self, predictions: pl.DataFrame) -> Floats | None:
        """Return what the model said of each row, or None where an endpoint's outputs are no chances of the classes."""
        names = [name for name in self.outputs if name in predictions.columns]
        if len(names) != len(self.outputs) or not names:
            return None
        return _chances(predictions.select(names), self.target)


def accepted(site: Site, version: Version, *, outputs: tuple[str, ...], window: timedelta) -> Accepted:
    """Return what an experiment's version was at acceptance.

    Args:
        outputs: names of the numbers that the endpoint answers; window: the span that looks are long, for which the
            reference is cut into pieces to learn how much it moves by itself.
    """
    record = version.record
    signature = Signature.from_data(record["signature"])
    target = Target(tuple(record["entity"]), record["time"], record["label"], tuple(signature.classes))
    rows: pl.DataFrame = site.table(version, "test", as_type=pl.DataFrame)
    y = rows["truth"].cast(pl.Float64).to_numpy()
    answers = rows.select(pl.col(f"^{SAID}(_.*)?$"))
    said = probabilities(answers, target)
    columns = _columns(rows, answers, signature, outputs)
    is_binary = len(target.classes) == 2
    return Accepted(
        model=version.ref,
        target=target,
        outputs=outputs,
        columns=columns,
        effects=natural_effects(_pieces(columns, rows["time"], window)),
        losses=summed(losses(y, said, target.loss)),
        figures={each.name: each for each in figures(y, said, target)},
        calibration=calibrate(said[:, 1], y) if is_binary and len(y) else None,
    )


def _columns(rows: pl.DataFrame, answers: pl.DataFrame, signature: Signature, outputs: tuple[str, ...]) -> pl.DataFrame:
    seen = rows.select(
        pl.col(f"{SEEN}{name}").alias(name) for name in signature.names if f"{SEEN}{name}" in rows.columns
    )
    if answers.width != len(outputs):
        return seen
    return seen.with_columns(answers[:, n].alias(f"{SCORE}{name}") for n, name in enumerate(outputs))


def _pieces(columns: pl.DataFrame, times: pl.Series, window: timedelta) -> list[pl.DataFrame]:
    """Cut the reference by time into windows; those with a handful of rows are left out."""
    place = (times.dt.epoch("us") // int(window.total_seconds() * 1e6)).alias("\0window")
    parts = columns.with_columns(place).partition_by("\0window", maintain_order=True, include_key=False)
    return [part for part in parts if part.height >= PIECE_ROWS]


def _chances(outputs: pl.DataFrame, target: Target) -> Floats | None:
    if target.is_classes and outputs.width not in {1, len(target.classes)}:
        return None
    said = probabilities(outputs, target)
    if target.is_classes and said.size and not (np.nanmin(said) >= -1e-9 and np.nanmax(said) <= 1 + 1e-9):
        return None
    return said
