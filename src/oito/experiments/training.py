"""How a design is trained on one split: every fit from a named seed, on one BLAS thread, with the user's way to fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from oito.catalog.signature import Signature
from oito.errors import StepFailed
from oito.experiments import seeds
from oito.experiments.metrics import Metric
from oito.experiments.search import Trial, best, search
from oito.experiments.splits import Split
from oito.experiments.trained import predicted

Floats = NDArray[np.float64]
Rows = NDArray[np.uint32]
Fit = Callable[[Any, "Sample", "Sample"], Any]


@dataclass(frozen=True)
class Sample:
    """What a fit is given: `X`, a frame with named columns, and `y`, the classes or values themselves, shape [rows]."""

    X: pl.DataFrame
    y: NDArray[Any]


class Trainer:
    """Fits estimators of one design on one training frame.

    Args:
        matrix, truth: the whole frame as the model sees it, and class numbers or values.
        fit: the user's `(estimator, train, valid) -> estimator`, or None for `estimator.fit`.
    """

    def __init__(
        self, signature: Signature, matrix: Floats, truth: Floats, split: Split, *, build: Callable[[dict[str, Any]], Any],
        fit: Fit | None, seed: int,
    ) -> None:  # fmt: skip
        self.signature, self.matrix, self.truth, self.split = signature, matrix, truth, split
        self._build, self._fit, self._seed = build, fit, seed

    def sample(self, rows: Rows) -> Sample:
        truth: NDArray[Any] = self.truth[rows]
        if self.signature.task == "classification":
            truth = np.array(self.signature.classes)[truth.astype(np.intp)]
        return Sample(self.signature.frame(self.matrix[rows]), truth)

    def fitted(self, estimator: Any, rows: Rows, *names: str) -> Any:
        """Return the estimator, fitted on the rows from the seed stream of that name.

        Raises:
            StepFailed: the user's function returned nothing that predicts.
        """
        seeds.apply(estimator, seeds.stream(self._seed, *names))
        train = self.sample(rows)
        with threadpool_limits(limits=1, user_api="blas"):
            if self._fit is None:
                estimator.fit(train.X, train.y)
                return estimator
            found = self._fit(estimator, train, self.sample(self.split.valid))
        if not hasattr(found, "predict"):
            raise StepFailed(
                f"the fit returned {type(found).__name__}, which does not predict",
                next="end the function with: return estimator.fit(...)",
            )
        return found

    def said(self, estimator: Any, rows: Rows) -> Floats:
        """Return the estimator's predictions as metrics take them: of two classes, the probability of the second."""
        with threadpool_limits(limits=1, user_api="blas"):
            given = predicted(estimator, self.signature, self.matrix[rows])
        return given[:, 1] if given.ndim == 2 and given.shape[1] == 2 else given

    def searched(
        self, space: dict[str, Any], *, trials: int, metric: Metric, store: Path, tell: Callable[[str], None]
    ) -> list[Trial]:
        """Return the trials; those already stored by a run that was killed are not tried again.

        Raises:
            StepFailed: every trial failed; the text is the first one's.
        """
        finished = _stored(store)

        def objective(params: dict[str, Any], report: Callable[[int, float], None]) -> float:
            estimator = self.fitted(self._build(params), self.split.train, "fit")
            return metric.score(self.truth[self.split.valid], self.said(estimator, self.split.valid))

        def keep(trial: Trial) -> None:
            store.parent.mkdir(parents=True, exist_ok=True)
            with store.open("a") as stream:
                stream.write(json.dumps(trial.data(), default=float) + "\n")
            value = f"{metric.name} {trial.value:.4f}" if trial.value is not None else trial.error
            tell(f"trial {trial.number + 1} of {trials}: {value}")

        direction = self.direction(metric)
        found = search(
            space, objective, trials=trials, study_seed=seeds.stream(self._seed, "search"), direction=direction,
            finished=finished, on_trial=keep,
        )  # fmt: skip
        if all(trial.state != "ok" for trial in found):
            raise StepFailed(f"all {len(found)} trials failed; the first: {found[0].error}")
        return found

    @staticmethod
    def direction(metric: Metric) -> Any:
        return "maximize" if metric.greater_is_better else "minimize"

    def best(self, trials: Sequence[Trial], metric: Metric) -> Trial:
        return best(trials, direction=self.direction(metric))


def store_name(*parts: str) -> str:
    """Return the file name under which the trials of one search are kept while it runs."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:24] + ".jsonl"


def _stored(store: Path) -> list[Trial]:
    if not store.exists():
        return []
    lines = store.read_text().split("\n")[:-1]  # a line without its end was being written when the process died
    return [Trial(**json.loads(line)) for line in lines]
