"""A trained model as others meet it: the estimator, rebuilt from its files when first asked, and what it takes and gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from joblib import parallel_config
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.errors import OitoError
from oito.experiments import model_files
from oito.flow.site import Site

Floats = NDArray[np.float64]
SMALL_CELLS = 2_000_000  # rows times columns below which one thread is as quick as many


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
        return f"<{self.ref}: {self.record['estimator']}, {len(self.signature.columns)} columns>"


def opened(site: Site, version: Version) -> Trained:
    """Return the trained model of a version; every file is verified against its digest on this read."""
    files = {name: site.files.read(digest) for name, digest in version.files.items()}
    return Trained(version.ref, version.record, files, trusted=tuple(site.settings.trusted))


def answers(site: Site, version: Version, rows: pl.DataFrame, asked: Signature) -> tuple[Floats | None, str]:
    """Return what another version says of rows, in the terms of the model that is `asked`; or None and why it cannot.

    Not every champion can be compared: it may need a column that is gone, know other classes, or be damaged.
    """
    try:
        trained = opened(site, version)
        if (trained.signature.task, trained.signature.classes) != (asked.task, asked.classes):
            return None, f"{version.ref} answers another question: its classes are {list(trained.signature.classes)}"
        with steady(rows.height * rows.width):
            return shown(trained.predict(rows)), ""
    except OitoError as error:
        return None, f"{version.ref} cannot answer these rows: {error.what}"


def predicted(estimator: Any, signature: Signature, matrix: Floats) -> Floats:
    """Return an estimator's answers: values [rows], or shares [rows, classes] in the order of the signature's classes.

    A classifier that knows no probabilities says 1 for its class and 0 for the others.
    """
    frame = signature.frame(matrix)
    if signature.task == "regression":
        return np.asarray(estimator.predict(frame), dtype=np.float64).reshape(len(matrix))
    out = np.zeros((len(matrix), len(signature.classes)))
    if not hasattr(estimator, "predict_proba"):
        out[np.arange(len(matrix)), np.asarray(estimator.predict(frame)).astype(np.int64)] = 1.0
        return out
    given = np.asarray(estimator.predict_proba(frame), dtype=np.float64)
    for place, code in enumerate(getattr(estimator, "classes_", range(given.shape[1]))):
        out[:, int(code)] = given[:, place]
    return out


def shown(given: Floats) -> Floats:
    """Return predictions as metrics take them: of two classes, the probability of the second.

    Example:
        >>> shown(np.array([[0.75, 0.25]])).tolist()
        [0.25]
    """
    return np.ascontiguousarray(given[:, 1]) if given.ndim == 2 and given.shape[1] == 2 else given


@contextmanager
def steady(cells: int) -> Iterator[None]:
    """Let no thread move bits: one BLAS thread, and estimators that were built for many jobs sum in one order.

    Small work also gets one OpenMP thread: on a busy machine threads wait for each other far longer than it takes.
    """
    limits = {"blas": 1, "openmp": 1} if cells < SMALL_CELLS else {"blas": 1}
    with threadpool_limits(limits=limits), parallel_config(backend="sequential"):
        yield
