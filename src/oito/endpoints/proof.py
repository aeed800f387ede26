"""The proof that an executor answers as its estimator does: on real rows, on edge rows, and alone as in any batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oito.endpoints.executor import Executor, asking, load

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]

TOLERANCE = {"trees": 1e-6, "linear": 1e-5, "native": 1e-5}
_SINGLE = float(np.finfo(np.float32).max)
_REFUSED = 8  # rows kept of those that are refused alike
_ALONE, _SEVENS = 200, 1_400  # rows that are also scored one by one, and seven by seven


@dataclass(frozen=True)
class Proof:
    """What was compared and found; `reason` says why a model is served natively, and is empty for a compiled one.

    Args:
        rows: how many rows were compared, real and edge rows together.
        max_difference: the largest |executor - estimator|, relative where the estimator's answer is above 1.
        class_agreement: share of rows with the same most probable class (regression: 1).
        bit_equal: whether no answer differs in a single bit.
    """

    kind: str
    rows: int
    max_difference: float
    class_agreement: float
    bit_equal: bool
    reason: str

    def natively(self, reason: str) -> Proof:
        """Return this proof of a native executor with the reason for being native first."""
        return replace(self, reason="; ".join(text for text in (reason, self.reason) if text))


def prove(files: Mapping[str, bytes], estimator: Any, signature: Signature, rows: Floats) -> Proof:
    """Return the proof of compiled `files` against the fitted estimator over `rows`; `reason` names what fails first.

    Rows that the estimator refuses must be answered with NaN, and only those.
    """
    executor = load(files, signature, native=lambda: estimator)
    rows, truth = _truth(asking(estimator, signature), rows)
    answers = executor.predict(rows)
    difference = _largest_difference(answers, truth)
    agreement = _agreement(answers, truth)
    reason = ""
    if not np.array_equal(np.isnan(answers).any(axis=1), np.isnan(truth).any(axis=1)):
        reason = "the compiled model and the estimator refuse different rows"
    elif not difference <= TOLERANCE[executor.kind]:
        reason = f"the compiled model differs by {difference:.3g}, more than {TOLERANCE[executor.kind]:g}"
    elif agreement < 1:
        reason = f"the compiled model chooses another class in {1 - agreement:.3%} of rows"
    elif not is_row_invariant(executor, rows, answers):
        reason = "a row alone and in a batch differs in its bits"
    return Proof(
        kind=executor.kind,
        rows=len(rows),
        max_difference=difference,
        class_agreement=agreement,
        bit_equal=np.array_equal(answers, truth, equal_nan=True),
        reason=reason,
    )


def is_row_invariant(executor: Executor, rows: Floats, answers: Floats) -> bool:
    """Whether rows scored one by one and seven by seven give the bits of `answers`, which came from one batch."""
    for size, limit in ((1, _ALONE), (7, _SEVENS)):
        chosen = np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(np.intp)
        pieces = [executor.predict(rows[chosen[at : at + size]]) for at in range(0, len(chosen), size)]
        if not np.array_equal(np.concatenate(pieces), answers[chosen], equal_nan=True):
            return False
    return True


def _truth(ask: Callable[[Floats], Floats], rows: Floats) -> tuple[Floats, Floats]:
    """Return rows and the estimator's own answers, NaN for a row it refuses.

    Refused rows are dear to tell apart, and much alike: of those with the same values missing or beyond single precision,
    a few are kept.
    """
    with np.errstate(all="ignore"):
        try:
            return rows, ask(rows)
        except ValueError:
            patterns = np.concatenate([np.isnan(rows), np.abs(rows) > _SINGLE], axis=1)
        _, group = np.unique(patterns, axis=0, return_inverse=True)
        alike = [rows[group == number] for number in range(int(group.max()) + 1)]
        kept, answers = zip(*(_some(ask, part) for part in alike), strict=True)
    outputs = max(found.shape[1] for found in answers)
    return np.concatenate(kept), np.concatenate([np.broadcast_to(found, (len(found), outputs)) for found in answers])


def _some(ask: Callable[[Floats], Floats], rows: Floats) -> tuple[Floats, Floats]:
    """Return the rows and their answers, or, when one of them is refused, the first few and each one's own answer."""
    try:
        return rows, ask(rows)
    except ValueError:
        rows = rows[:_REFUSED]
    answers = []
    for place in range(len(rows)):
        try:
            answers.append(ask(rows[place : place + 1]))
        except ValueError:
            answers.append(np.full((1, 1), np.nan))
    outputs = max(found.shape[1] for found in answers)
    return rows, np.concatenate([np.broadcast_to(found, (1, outputs)) for found in answers])


def _largest_difference(answers: Floats, truth: Floats) -> float:
    with np.errstate(all="ignore"):
        gaps = np.abs(answers - truth) / np.maximum(1.0, np.abs(truth))
    gaps = np.where(answers == truth, 0.0, gaps)
    return float(np.nanmax(gaps, initial=0.0))


def _agreement(answers: Floats, truth: Floats) -> float:
    kept = ~(np.isnan(answers).any(axis=1) | np.isnan(truth).any(axis=1))
    if not kept.any():
        return 1.0
    return float(np.mean(answers[kept].argmax(axis=1) == truth[kept].argmax(axis=1)))
