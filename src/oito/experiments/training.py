"""How a design is trained on one split: every fit from a named seed, with the user's way to fit. Storing is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.catalog.signature import Signature
from oito.errors import DataError, OitoError, StepFailed, StepTimeout
from oito.experiments import boosters, seeds
from oito.experiments.metrics import Metric
from oito.experiments.search import Trial, best, search
from oito.experiments.splits import Split
from oito.experiments.trained import predicted, shown, steady
from oito.experiments.trials import TrialFile

Floats = NDArray[np.float64]
Rows = NDArray[np.uint32]
Part = Literal["train", "valid", "learned", "test", "sample"]


@dataclass(frozen=True)
class Sample:
    """What a fit is given: `X`, a frame with named columns, and `y`, class numbers or values, float64 [rows].

    Each trial gets its own frame; the array is one for all and cannot be written, so that no trial sees what another did.
    """

    X: pl.DataFrame
    y: Floats


@dataclass(frozen=True)
class Fit:
    """The user's way to fit, or `estimator.fit`; `call` and `guarded` name the user's line when it raises.

    One that uses `valid` may stop by it, so its last fit keeps train and valid apart; any other learns from both.
    """

    call: Callable[..., Any] | None
    guarded: Callable[..., Any]
    uses_valid: bool = False


class Trainer:
    """Fits estimators on the parts of one training frame and asks them.

    Args:
        matrix, truth: the whole frame as the model sees it, and class numbers or values.
        seed: the root of the streams that fits and searches draw from.
        sample: how many rows of train and valid together the part "sample" has at most.
    """

    def __init__(
        self, signature: Signature, matrix: Floats, truth: Floats, split: Split, *, fit: Fit, seed: int, sample: int
    ) -> None:
        self.signature, self.matrix, self.truth = signature, matrix, truth
        learned = np.concatenate([split.train, split.valid])
        self.rows: Mapping[str, Rows] = {
            "train": split.train,
            "valid": split.valid,
            "learned": learned,
            "test": split.test,
            "sample": evenly(learned, sample),
        }
        self.sample = cache(self._sample)
        self._fit, self._seed = fit, seed

    def _sample(self, part: Part) -> Sample:
        rows = self.rows[part]
        truth = self.truth[rows]
        truth.flags.writeable = False
        return Sample(self.signature.frame(self.matrix[rows]), truth)

    def _for(self, estimator: Any, part: Part) -> Sample:
        """Return a part as the estimator takes it."""
        sample = self.sample(part)
        return Sample(boosters.shown(estimator, sample.X.clone()), sample.y)

    @contextmanager
    def _steady(self, part: Part) -> Iterator[None]:
        with steady(len(self.rows[part]) * self.matrix.shape[1]), seeds.drawn(seeds.stream(self._seed, "global")):
            yield

    def fitted(self, estimator: Any, part: Part, *names: str) -> Any:
        """Return the estimator, fitted on a part from the seed stream of that name, the user's way if there is one.

        Raises:
            StepFailed: it raised, or the user's function returned nothing that predicts.
        """
        seeds.apply(estimator, seeds.stream(self._seed, *names))
        if self._fit.call is None:
            return self.plainly(estimator, part)
        with self._steady(part):
            boosters.prepare(estimator, self.sample(part).X)
            found = self._fit.call(
                estimator=estimator, train=self._for(estimator, part), valid=self._for(estimator, "valid")
            )
        if not hasattr(found, "predict"):
            raise StepFailed(
                f"the fit returned {type(found).__name__}, which does not predict",
                next="end the function with: return estimator.fit(...)",
            )
        return self._finished(found)

    def final(self, estimator: Any) -> Any:
        """Return the estimator that is kept, fitted on all that may be learned from."""
        return self.fitted(estimator, "train" if self._fit.uses_valid else "learned", "fit")

    def plainly(self, estimator: Any, part: Part) -> Any:
        """Return the estimator after its own `fit`."""
        rows, sample = self.sample(part).X, self._for(estimator, part)
        boosters.prepare(estimator, rows)
        with self._steady(part):
            self._fit.guarded(estimator.fit, sample.X, sample.y, **boosters.categories(estimator, rows))
        return self._finished(estimator)

    def _finished(self, fitted: Any) -> Any:
        return boosters.finished(fitted, self.sample("valid").X, classes=len(self.signature.classes))

    def said(self, estimator: Any, rows: Rows) -> Floats:
        """Return an estimator's predictions of rows as metrics take them."""
        return self.of(estimator, self.matrix[rows])

    def of(self, estimator: Any, matrix: Floats) -> Floats:
        """Return an estimator's predictions of a matrix as metrics take them."""
        with steady(matrix.size):
            return shown(self._fit.guarded(predicted, estimator, self.signature, matrix))

    def searched(
        self, space: Mapping[str, Any], build: Callable[[dict[str, Any]], Any], *, trials: int, metric: Metric,
        finished: Sequence[Trial], store: TrialFile, tell: Callable[[str], None],
    ) -> list[Trial]:  # fmt: skip
        """Return the trials; those already finished by a run that was killed are not tried again.

        Raises:
            StepFailed: the first trial, that of the declared values, failed: then it is not the values that are wrong.
            DataError: the metric does not exist on the rows that choose.
            StepTimeout: the step's time is over.
        """
        raised: list[OitoError] = []

        def objective(params: dict[str, Any], report: Callable[[int, float], None]) -> float:
            try:
                estimator = self.fitted(build(params), "train", "fit")
                return metric.score(self.truth[self.rows["valid"]], self.said(estimator, self.rows["valid"]))
            except OitoError as error:
                raised.append(error)
                raise

        def keep(trial: Trial) -> None:
            if trial.state == "failed" and raised and isinstance(raised[-1], StepTimeout):
                raise raised[-1]
            if trial.state == "failed" and trial.number == 0:
                raise raised[0] if raised else self._unmeasured(metric)
            store.keep(trial)
            result = f"{metric.name} {trial.value:.4f}" if trial.value is not None else trial.error.partition("\n")[0]
            tell(f"trial {trial.number + 1} of {trials}: {result}")

        return search(
            space, objective, trials=trials, study_seed=seeds.stream(self._seed, "search"), direction=direction(metric),
            finished=finished, on_trial=keep,
        )  # fmt: skip

    def _unmeasured(self, metric: Metric) -> DataError:
        truth = self.truth[self.rows["valid"]]
        seen = [str(self.signature.classes[int(code)]) for code in np.unique(truth)] if self.signature.classes else []
        return DataError(
            f"{metric.name} does not exist on the {len(truth)} rows that choose",
            known=f"their labels are {', '.join(seen)}" if seen else "",
            next="widen valid= of the split, or search for another metric",
        )


def evenly(rows: Rows, most: int) -> Rows:
    """Return at most so many of the rows, evenly taken, in order.

    Example:
        >>> evenly(np.arange(9, dtype=np.uint32), 3).tolist()
        [0, 4, 8]
    """
    places = np.linspace(0, len(rows) - 1, min(most, len(rows)))
    return rows[places.round().astype(np.int64)]


def direction(metric: Metric) -> Literal["maximize", "minimize"]:
    """Return which way a metric is better."""
    return "maximize" if metric.greater_is_better else "minimize"


def best_of(trials: Sequence[Trial], metric: Metric) -> Trial:
    """Return the best trial, the earliest among equals."""
    return best(trials, direction=direction(metric))
