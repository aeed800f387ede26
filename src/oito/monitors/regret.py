"""Whether a retraining pays: the loss above that at acceptance, added up, against the price of a retraining. Losses are measured in performance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from scipy.special import ndtri

from oito.names import duration_text

LEVEL = 0.95  # one-sided, of the lower bound
MIN_ROWS = 50  # rows with truth since the loss began to rise


@dataclass(frozen=True)
class Losses:
    """Losses of some rows: how many, their mean, and the variance of a single row."""

    rows: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Regret:
    """What the model cost more than at acceptance: `expected`, and the bound `low` that it most likely exceeds.

    `rows` are the decisions since the last window at which there was nothing to regret.
    """

    low: float = 0.0
    expected: float = 0.0
    rows: int = 0


@dataclass(frozen=True)
class Decision:
    """What a rule said, with its numbers; `text` reads as a sentence, also when the answer is no."""

    rule: str
    retrain: bool
    text: str
    numbers: Mapping[str, float | str | None] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "numbers": dict(self.numbers)}


def accumulate(windows: Sequence[Losses], accepted: Losses, *, value: float = 1.0) -> list[Regret]:
    """Return the regret after each window, oldest first.

    The excess over the loss at acceptance is added up row by row and starts again from zero whenever the model has been no
    worse than accepted. Its lower bound takes in the noise of the windows and, as it never averages out, of the acceptance.

    Args:
        windows: losses of the rows whose truth is known, by window of prediction.
        accepted: losses of the test rows, when the model was accepted; value: what one unit of loss costs.

    Example:
        >>> accumulate([Losses(100, 0.25, 0.0), Losses(100, 0.75, 0.0)], Losses(1000, 0.5, 0.0))[-1]
        Regret(low=25.0, expected=25.0, rows=100)

    Source: Page (1954) for adding up with a floor of zero; we compare the bound, not the sum, with the price.
    """
    z = float(ndtri(LEVEL))
    found, rows, excess, variance = [], 0, 0.0, 0.0
    for each in windows:
        if each.rows:
            rows += each.rows
            excess += each.rows * (each.mean - accepted.mean)
            variance += each.rows * each.variance
            if excess <= 1e-9 * rows:  # equal but for rounding
                rows, excess, variance = 0, 0.0, 0.0
        spread = math.sqrt(variance + rows**2 * accepted.variance / max(accepted.rows, 1))
        found.append(Regret(value * max(0.0, excess - z * spread), value * excess, rows))
    return found


def on_regret(
    regret: Regret, *, price: float, cool_down: timedelta, since_training: timedelta | None, has_acceptance: bool = True
) -> Decision:
    """Return whether the regret has reached the price, unless too little is known or the last training is too recent.

    Args:
        since_training: how long ago the newest training was, a refused one too; None when there was none.

    Example:
        >>> on_regret(Regret(12.3, 20.0, 400), price=50, cool_down=timedelta(days=7), since_training=None).text
        'did not retrain: regret 12.3 of 50'
    """
    numbers: dict[str, float | str | None] = {
        "regret": regret.low, "expected": regret.expected, "price": price, "rows": regret.rows,
        "cool_down_s": cool_down.total_seconds(),
        "since_training_s": since_training.total_seconds() if since_training is not None else None,
    }  # fmt: skip
    told = f"regret {regret.low:.1f} of {price:g}"
    if not has_acceptance:
        return Decision("on_regret", False, "did not retrain: the loss at acceptance is not known", numbers)
    if regret.low < price:
        return Decision("on_regret", False, f"did not retrain: {told}", numbers)
    if regret.rows < MIN_ROWS:
        known = f"only {regret.rows} rows have their truth, {MIN_ROWS} are needed"
        return Decision("on_regret", False, f"did not retrain: {told}, but {known}", numbers)
    if since_training is not None and since_training < cool_down:
        rest = f"the last training is {duration_text(since_training)} ago (cool-down {duration_text(cool_down)})"
        return Decision("on_regret", False, f"did not retrain: {told}, but {rest}", numbers)
    return Decision("on_regret", True, f"retrain: {told}", numbers)


def on_schedule(*, every: timedelta, since_training: timedelta | None) -> Decision:
    """Return whether the newest training is older than `every`.

    Example:
        >>> on_schedule(every=timedelta(days=7), since_training=timedelta(days=8)).text
        'retrain: the last training is 8d ago, every 7d'
    """
    age = since_training if since_training is not None else every
    is_due = age >= every
    text = f"{'retrain' if is_due else 'did not retrain'}: the last training is {duration_text(age)} ago, every {duration_text(every)}"
    return Decision("on_schedule", is_due, text, {"age_s": age.total_seconds(), "every_s": every.total_seconds()})


def never() -> Decision:
    """Return the decision of the rule that never asks."""
    return Decision("never", False, "did not retrain: the rule is never")


def unruled() -> Decision:
    """Return what is written down where no rule was declared: newer data trains the model anyway."""
    return Decision("none", False, "no rule: the model is made again with every newer data")
