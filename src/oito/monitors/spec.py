"""What one may declare of a monitor: the endpoint it watches, how often, and by which rule it asks for a retraining."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from oito.errors import BadInput
from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec
from oito.flow.schedules.schedule import Missed
from oito.names import duration


@dataclass(frozen=True)
class OnRegret:
    """Ask when the loss above that at acceptance has added up, times `value`, to the `price` of a retraining."""

    price: float
    value: float = 1.0
    cool_down: str = "7d"


@dataclass(frozen=True)
class OnSchedule:
    """Ask whenever the model is older than `every`."""

    every: str


@dataclass(frozen=True)
class Never:
    """Ask never; what would have been decided is not computed."""


def on_regret(*, price: float, value: float = 1.0, cool_down: str = "7d") -> OnRegret:
    """Retrain when it pays: the accumulated extra loss per decision times `value` reaches the `price` of a retraining.

    Args:
        price: what one retraining costs (computing, review, risk), in the unit of `value`.
        value: what one unit of loss (log loss of classes, squared error of numbers) costs on one decision.
        cool_down: how long after a retraining the rule keeps still.
    """
    return OnRegret(price, value, cool_down)


def on_schedule(every: str) -> OnSchedule:
    """Retrain whenever the model is older than `every`, such as "7d"."""
    return OnSchedule(every)


def never() -> Never:
    """Keep the model until its definition changes."""
    return Never()


@dataclass(frozen=True, kw_only=True)
class MonitorSpec(Spec):
    """A monitor's declaration; see `monitor` for what each field means."""

    endpoint: Any
    every: str | None = "1d"
    window: str = ""
    retrain: OnRegret | OnSchedule | Never | None = None
    false_alarms: float = 0.02

    word: ClassVar[str] = "monitor"
    given: ClassVar[tuple[str, ...]] = ("window",)
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"endpoint": ("endpoint",)}
    pulls: ClassVar[Mapping[str, tuple[str, ...]]] = {"endpoint": ("experiment", "labels")}
    is_external: ClassVar[bool] = True

    @property
    def needs_function(self) -> bool:
        return False

    @property
    def watches(self) -> bool:
        """Whether what it watches waits for its verdicts."""
        return self.retrain is not None

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        spans = {"window": self.window or "1d"}
        if isinstance(self.retrain, OnRegret):
            spans["cool_down"] = self.retrain.cool_down
            if self.retrain.price <= 0:
                yield "the price of a retraining must be above 0"
        if isinstance(self.retrain, OnSchedule):
            spans["retrain"] = self.retrain.every
        for name, span in spans.items():
            try:
                duration(span)
            except BadInput as error:
                yield f"{name}: {error.what} ({error.next})"
        if not 0 < self.false_alarms < 1:
            yield "false_alarms is a share between 0 and 1"


def monitor(
    *,
    endpoint: Any,
    every: str = "1d",
    window: str = "",
    retrain: OnRegret | OnSchedule | Never | None = None,
    false_alarms: float = 0.02,
    missed: Literal["", Missed] = "",
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare a monitor; a function `(window)` may return further figures by name, beside the built-in ones.

    `window` has `predictions` (a frame), and for each of its rows `truth` (null while unknown) and `score` (the chance of
    the second class, of the likeliest of several, or the predicted number); `start` and `end` say when.

    Args:
        endpoint: what is watched; every: how often; window: how far back each look goes, `every` by default.
        retrain: `oito.on_regret(...)`, `oito.on_schedule(...)` or `oito.never()`.
        false_alarms: the chance of any drift alarm in a window in which nothing changed.
        missed: what becomes of ticks at which nobody was there, "once", "skip" or "all"; windows are looked at in any case.

    Example:
        >>> @monitor(endpoint=None, every="1d", retrain=on_regret(price=50))
        ... def watch(window): return {"late_share": window.truth.mean()}
    """
    return Decorator(
        MonitorSpec(
            endpoint=endpoint,
            every=every,
            window=window or every,
            retrain=retrain,
            false_alarms=false_alarms,
            missed=missed,
            version=version,
            description=description,
        )
    )


KIND = Kind(
    "monitor",
    "monitors",
    MonitorSpec,
    "Windows of an endpoint's work, judged; it asks for retraining.",
    "oito.monitors",
)
