"""What one may declare of an experiment: how a design is searched, split, judged, and what gates its result must pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from oito.errors import BadInput
from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec
from oito.flow.schedules.schedule import Missed
from oito.names import duration


@dataclass(frozen=True)
class ByTime:
    """The newest `test` is for judging, the `valid` before it for choosing, all before that for learning."""

    valid: str
    test: str


@dataclass(frozen=True)
class ByShare:
    """Shares of the rows drawn at random: `group` keeps equal values of a column together, else classes keep their shares."""

    valid: float
    test: float
    group: str | None = None


@dataclass(frozen=True)
class Beats:
    """The gate that a challenger passes when it is better than an environment's champion on the challenger's test rows."""

    environment: str
    on: str
    margin: float = 0.0


@dataclass(frozen=True)
class AtLeast:
    """The gate that a metric passes when it is as good as a bound (for losses: at most)."""

    metric: str
    bound: float


def by_time(*, valid: str, test: str) -> ByTime:
    """Split by time: `by_time(valid="14d", test="14d")`; only truth known at a cut counts before it."""
    return ByTime(valid, test)


def by_share(*, valid: float = 0.2, test: float = 0.2, group: str | None = None) -> ByShare:
    """Split by shares of the rows, stratified by class, or with equal values of `group` on one side."""
    return ByShare(valid, test, group)


def beats(environment: str, *, on: str, margin: float = 0.0) -> Beats:
    """Let pass what is better than the champion of `environment` by more than `margin`; without a champion all passes."""
    return Beats(environment, on, margin)


def at_least(metric: str, bound: float) -> AtLeast:
    """Let pass what reaches a bound on the test rows."""
    return AtLeast(metric, bound)


@dataclass(frozen=True, kw_only=True)
class ExperimentSpec(Spec):
    """An experiment's declaration; see `experiment` for what each field means."""

    model: Any
    trials: int = 10
    split: ByTime | ByShare = ByShare(0.2, 0.2)
    metric: str = ""
    gate: tuple[Beats | AtLeast, ...] = ()

    word: ClassVar[str] = "experiment"
    given: ClassVar[tuple[str, ...]] = ("estimator", "train", "valid")
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("model",)}
    pulls: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("labels", "features")}
    holds: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    @property
    def needs_function(self) -> bool:
        return False

    def identity(self) -> dict[str, Any]:
        """Return the values that change the result; gates only decide whether it passes."""
        return {name: value for name, value in super().identity().items() if name != "gate"}

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.trials < 1:
            yield "trials is below 1"
        if isinstance(self.split, ByTime):
            for name in ("valid", "test"):
                try:
                    duration(getattr(self.split, name))
                except BadInput as error:
                    yield f"split {name}: {error.what} ({error.next})"


def experiment(
    *,
    model: Any,
    trials: int = 10,
    split: ByTime | ByShare = ByShare(0.2, 0.2),
    metric: str = "",
    gate: Sequence[Beats | AtLeast] = (),
    every: str | None = None,
    cron: str | None = None,
    after: Literal["", "inputs"] = "",
    missed: Literal["", Missed] = "",
    retries: int = 0,
    timeout: str | None = None,
    memory: str | None = None,
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare how a design is trained; a function `(estimator, train, valid)` may say how to fit, `fit` is the default.

    `train` and `valid` have `X` (a frame with named columns) and `y` (an array of class numbers or values). The model that
    is kept learns from both together, unless the function uses `valid`: then it may stop by it, and they stay apart. Once a monitor with a retraining rule watches what comes of it, newer data alone does not train again: the
    monitor's verdict does.

    Args:
        model: the design; trials: how many points of its space are tried, the first being its defaults.
        split: `oito.by_time(...)` or `oito.by_share(...)`.
        metric: what is searched for, such as "roc_auc"; by default roc_auc, log_loss or rmse, as the task has it.
        gate: what a result must pass before a protected environment points at it.
        every, cron: when it runs by itself in production, such as "1h" or "0 6 * * *"; after: "inputs" runs it as soon as an
            input has moved; missed: what becomes of ticks at which nobody was there, "once", "skip" or "all".

    Example:
        >>> late_flight = experiment(model=None, trials=20, split=by_time(valid="14d", test="14d"), metric="roc_auc")
    """
    return Decorator(
        ExperimentSpec(
            model=model,
            trials=trials,
            split=split,
            metric=metric,
            gate=tuple(gate),
            every=every,
            cron=cron,
            after=after,
            missed=missed,
            retries=retries,
            timeout=timeout,
            memory=memory,
            version=version,
            description=description,
        )
    )


KIND = Kind(
    "experiment", "experiments", ExperimentSpec, "Search, training and judgement of a design.", "oito.experiments"
)
