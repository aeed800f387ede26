"""What one may declare of a model: what it learns from, how it is built, and the space of its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec

Task = Literal["classification", "regression"]


@dataclass(frozen=True, kw_only=True)
class ModelSpec(Spec):
    """A model's design; see `model` for what each field means."""

    labels: Any
    features: tuple[Any, ...] = ()
    task: Task = "classification"
    request: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ("dummy", "linear", "boosting")

    word: ClassVar[str] = "model"
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"labels": ("labels",), "features": ("features",)}
    by_name: ClassVar[tuple[str, ...]] = ("labels", "features")

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.task not in {"classification", "regression"}:
            yield f"task is {self.task!r}; it is classification or regression"
        for name in self.baselines:
            if name not in {"dummy", "linear", "boosting"}:
                yield f"baselines has {name!r}; known are dummy, linear, boosting"


def model(
    *,
    labels: Any,
    features: Sequence[Any] = (),
    task: Task = "classification",
    request: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    baselines: Sequence[str] = ("dummy", "linear", "boosting"),
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare a design: a function that builds an unfitted estimator from its parameters after `*`.

    Args:
        labels: the label set it learns; features: the feature views that are joined to it, as known at each question.
        request: columns of the label set that are features as they are; by default all but entity, times and label.
        exclude: columns that are not features, such as names that are only needed to look something up.
        baselines: plain models that it must be compared with.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from oito.flow.space import Float
        >>> @model(labels=None)
        ... def lateness(*, strength: float = Float(0.01, 10, log=True)): return LogisticRegression(C=strength)
    """
    return Decorator(
        ModelSpec(
            labels=labels,
            features=tuple(features),
            task=task,
            request=None if request is None else tuple(request),
            exclude=tuple(exclude),
            baselines=tuple(baselines),
            version=version,
            description=description,
        )
    )


KIND = Kind("model", "models", ModelSpec, "A design: architecture, search space, features, labels.", "oito.models")
