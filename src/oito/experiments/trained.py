"""A trained model as others meet it: the estimator, rebuilt from its files when first asked, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.catalog.signature import Signature
from oito.experiments import model_files

Floats = NDArray[np.float64]


class Trained:
    """One version of an experiment's result; loading it runs no code from its files."""

    def __init__(
        self, ref: str, record: Mapping[str, Any], files: Mapping[str, bytes], *, trusted: Sequence[str] = ()
    ) -> None:
        self.ref = ref
        self.record = record
        self.files = files
        self.signature = Signature.from_data(record["signature"])
        self._trusted = trusted

    @cached_property
    def estimator(self) -> Any:
        """The fitted estimator."""
        return model_files.load(self.files, trusted=self._trusted)

    def matrix(self, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Floats:
        """Return rows as the model sees them, float64 [rows, columns]; the rows must have all its columns."""
        if isinstance(rows, pl.DataFrame):
            return self.signature.matrix(rows)
        return np.array([self.signature.row(row) for row in rows], dtype=np.float64).reshape(len(rows), -1)

    def predict(self, rows: pl.DataFrame | Sequence[Mapping[str, Any]]) -> Floats:
        """Return probabilities [rows, classes] of a classification, values [rows] of a regression."""
        return self.of(self.matrix(rows))

    def of(self, matrix: Floats) -> Floats:
        """Return what the model says of a matrix it would be shown."""
        return predicted(self.estimator, self.signature, matrix)

    def __repr__(self) -> str:
        return f"<{self.ref}: {type(self.estimator).__name__}, {len(self.signature.columns)} columns>"


def predicted(estimator: Any, signature: Signature, matrix: Floats) -> Floats:
    """Return an estimator's answers in the order of the signature's classes."""
    frame = signature.frame(matrix)
    if signature.task == "regression":
        return np.asarray(estimator.predict(frame), dtype=np.float64).reshape(len(matrix))
    given = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    out = np.zeros((len(matrix), len(signature.classes)))
    places = {value: place for place, value in enumerate(signature.classes)}
    for column, value in enumerate(np.asarray(estimator.classes_).tolist()):
        out[:, places[value]] = given[:, column]
    return out
