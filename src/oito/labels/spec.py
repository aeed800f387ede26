"""What one may declare of labels: the truth about an entity at a moment, and when it became known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec


@dataclass(frozen=True, kw_only=True)
class LabelsSpec(Spec):
    """A label set's declaration; see `labels` for what each field means."""

    entity: tuple[str, ...]
    time: str
    known_at: str | None = None
    label: str = ""
    classes: tuple[str, ...] = ()
    asks_people: bool = False

    word: ClassVar[str] = "labels"

    @property
    def is_external(self) -> bool:  # type: ignore[override]  # what people answer is outside; other label sets have none
        """Whether answers, which no input shows, can change the result."""
        return self.asks_people

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.asks_people and len(self.classes) < 2:
            yield "people need classes= to choose from, at least two"
        if len(set(self.classes)) < len(self.classes):
            yield "classes has the same class twice"
        if not self.asks_people and self.known_at is None:
            yield "known_at= is missing: the column of the moment when the truth became known"


def labels(
    *,
    entity: str | tuple[str, ...],
    time: str,
    known_at: str | None = None,
    label: str = "",
    classes: tuple[str, ...] = (),
    asks_people: bool = False,
    retries: int = 0,
    timeout: str | None = None,
    memory: str | None = None,
    reads: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare labels: rows of (entity, time of the question, label), with what the question itself tells.

    Further columns are what a caller knows when asking; they become the fields of a request.

    Args:
        entity: the columns that name a question.
        time: the column of the moment at which the question is asked.
        known_at: the column of the moment when the truth became known; a row without a label has none.
        label: the column of the truth; by default the column named like the function.
        classes: the answers that people may give; a text of another class in the data is an error.
        asks_people: rows without a label are put into a queue, and answers given there fill them. The label column may
            then be absent, and a column `score` (a model's probability, 0..1) puts the uncertain rows first.

    Example:
        >>> @labels(entity="flight_id", time="asked_at", known_at="arrived_at")
        ... def late(departures): return departures
    """
    return Decorator(
        LabelsSpec(
            entity=(entity,) if isinstance(entity, str) else tuple(entity),
            time=time,
            known_at=known_at,
            label=label,
            classes=tuple(classes),
            asks_people=asks_people,
            retries=retries,
            timeout=timeout,
            memory=memory,
            reads=reads,
            env=env,
            version=version,
            description=description,
        )
    )


KIND = Kind("labels", "labels", LabelsSpec, "The truth about an entity, and when it became known.", "oito.labels")
