"""What one may declare of an endpoint: the experiment whose model answers, and how its answer is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec


@dataclass(frozen=True, kw_only=True)
class EndpointSpec(Spec):
    """An endpoint's declaration; see `endpoint` for what each field means."""

    model: Any
    outputs: tuple[str, ...] = ()

    word: ClassVar[str] = "endpoint"
    given: ClassVar[tuple[str, ...]] = ("model", "rows")
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"model": ("experiment",)}

    @property
    def needs_function(self) -> bool:
        return False

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        for name in dict.fromkeys(self.outputs):
            if not name:
                yield "outputs has an empty name"
            elif self.outputs.count(name) > 1:
                yield f"outputs has {name!r} twice"


def endpoint(
    *,
    model: Any,
    outputs: tuple[str, ...] = (),
    timeout: str | None = None,
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare an endpoint; a function `(model, rows)` may say what it answers, probabilities or values are the default.

    `model` has `predict` and, for a classification, `predict_proba`; the function returns one number or one row of
    numbers per row it was given, and must treat each row by itself.

    Args:
        model: the experiment whose result answers.
        outputs: names of the numbers in an answer; by default "prediction", or the classes when there are more than two.
        timeout: how long its registration may take.

    Example:
        >>> @endpoint(model=None, outputs=("late",))
        ... def delay_risk(model, rows): return model.predict_proba(rows)[:, 1]
    """
    return Decorator(
        EndpointSpec(model=model, outputs=tuple(outputs), timeout=timeout, version=version, description=description)
    )


KIND = Kind(
    "endpoint",
    "endpoints",
    EndpointSpec,
    "A model that answers over HTTP, and writes down what it said.",
    "oito.endpoints",
)
