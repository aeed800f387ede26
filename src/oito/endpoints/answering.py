"""How a model's numbers become an endpoint's answer: the user's function, given a compiled model and rows, or the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oito.catalog.signature import Signature
from oito.endpoints.executor import Executor
from oito.errors import StepFailed

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
Function = Callable[..., Any]  # a user's `(model, rows)`


class Rows:
    """The rows of one call, as the model sees them; a column is taken by name."""

    def __init__(self, matrix: Floats, signature: Signature) -> None:
        self.matrix = matrix
        self._signature = signature

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, column: str) -> Floats:
        values: Floats = self.matrix[:, self._signature.names.index(column)]
        return values

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame with named columns."""
        return self._signature.frame(self.matrix)


class Model:
    """The compiled model as an endpoint's function meets it."""

    def __init__(self, executor: Executor, signature: Signature) -> None:
        self._executor, self._signature = executor, signature

    @property
    def classes(self) -> tuple[Any, ...]:
        return self._signature.classes

    def predict_proba(self, rows: Rows) -> Floats:
        """Return probabilities, float64 [rows, classes]."""
        return self._executor.predict(rows.matrix)

    def predict(self, rows: Rows) -> Any:
        """Return the most probable class of each row, or the value of a regression."""
        answers = self._executor.predict(rows.matrix)
        if self._signature.task == "regression":
            return answers[:, 0]
        return np.array(self._signature.classes)[np.argmax(answers, axis=1)]


def scoring(executor: Executor, signature: Signature, function: Function | None) -> Score:
    """Return the function from rows, float64 [n, d], to answers, float64 [n, k]; raises StepFailed when they do not fit."""
    if function is None:
        return executor.predict if signature.task == "regression" or len(signature.classes) != 2 else _second(executor)
    model = Model(executor, signature)
    takes = function.__code__.co_varnames[: function.__code__.co_argcount]

    def score(matrix: Floats) -> Floats:
        given = {"model": model, "rows": Rows(matrix, signature)}
        answers = np.asarray(function(**{name: given[name] for name in takes if name in given}), dtype=np.float64)
        if answers.ndim not in (1, 2) or len(answers) != len(matrix):
            raise StepFailed(
                f"the endpoint answered {len(matrix)} rows with numbers of the shape {answers.shape}",
                next="return one number, or one row of numbers, per row",
            )
        return answers[:, np.newaxis] if answers.ndim == 1 else answers

    return score


def output_names(declared: tuple[str, ...], signature: Signature, count: int, *, has_function: bool) -> tuple[str, ...]:
    """Return a name for each number of an answer.

    Raises:
        StepFailed: another number of names was declared than numbers are given.
    """
    if declared:
        if len(declared) != count:
            raise StepFailed(
                f"the answer has {count} numbers and outputs= names {len(declared)}", known=", ".join(declared)
            )
        return declared
    if count == 1:
        return ("prediction",)
    if not has_function and count == len(signature.classes):
        return tuple(map(str, signature.classes))
    return tuple(f"prediction_{place}" for place in range(1, count + 1))


def check_rows_stand_alone(score: Score, sample: Floats) -> None:
    """Refuse a function whose answer for a row depends on the rows beside it.

    Raises:
        StepFailed: a row scored alone gets other bits than among others.
    """
    together = score(sample)
    for place in np.linspace(0, len(sample) - 1, min(50, len(sample))).astype(int):
        if not np.array_equal(score(sample[place : place + 1])[0], together[place], equal_nan=True):
            raise StepFailed(
                "the endpoint answers a row otherwise when it is alone than among others",
                known=f"row {place} of the sample", next="treat each row by itself: no means, ranks or sums over rows",
            )  # fmt: skip


def _second(executor: Executor) -> Score:
    """Of two classes the probability of the second is the answer."""
    return lambda matrix: executor.predict(matrix)[:, 1:]
