"""What one may declare of a feature view: values of an entity over time, or values computed from the request itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from oito.errors import BadInput
from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec
from oito.flow.schedules.schedule import Missed
from oito.names import duration

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class FeaturesSpec(Spec):
    """A feature view's declaration; `on_request` ones have neither entity nor time."""

    entity: tuple[str, ...] = ()
    time: str = ""
    known_at: str | None = None
    ttl: str | None = None
    on_request: bool = False

    word: ClassVar[str] = "features"
    may_be_mapped: ClassVar[bool] = True
    given: ClassVar[tuple[str, ...]] = ("request",)

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        if self.on_request and (self.entity or self.time or self.known_at or self.ttl):
            yield "a view on request has no entity, time, known_at or ttl: it is computed from the request alone"
        if not self.on_request and not (self.entity and self.time):
            yield "a view needs entity= and time= (or on_request=True)"
        if self.ttl:
            try:
                duration(self.ttl)
            except BadInput as error:
                yield f"ttl: {error.what} ({error.next})"


def features(
    *,
    entity: str | tuple[str, ...] = (),
    time: str = "",
    known_at: str | None = None,
    ttl: str | None = None,
    on_request: bool = False,
    every: str | None = None,
    cron: str | None = None,
    after: Literal["", "inputs"] = "",
    missed: Literal["", Missed] = "",
    retries: int = 0,
    timeout: str | None = None,
    memory: str | None = None,
    reads: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    version: str = "",
    description: str = "",
) -> Decorator:
    """Declare a feature view: rows of (entity, time, values), joined to questions as they were known at their moment.

    Args:
        entity: the columns that name whom a row is about; the question must have them too.
        time: the column of the moment from which a row's values hold.
        known_at: the column of the moment when the row became known, when that is later than `time`.
        ttl: how old a value may be, such as "14d"; an older one counts as missing.
        on_request: the function is given `request`, a frame of the questions themselves, and returns as many rows.
        every, cron: when it runs by itself in production, such as "1h" or "0 6 * * *"; after: "inputs" runs it as soon as an
            input has moved; missed: what becomes of ticks at which nobody was there, "once", "skip" or "all".

    Example:
        >>> @features(entity="carrier", time="arrived_at", ttl="14d")
        ... def carrier_record(departures): return departures
        >>> @features(on_request=True)
        ... def calendar(request): return request.select("hour")
    """
    return Decorator(
        FeaturesSpec(
            entity=(entity,) if isinstance(entity, str) else tuple(entity),
            time=time,
            known_at=known_at,
            ttl=ttl,
            on_request=on_request,
            every=every,
            cron=cron,
            after=after,
            missed=missed,
            retries=retries,
            timeout=timeout,
            memory=memory,
            reads=reads,
            env=env,
            version=version,
            description=description,
        )
    )


KIND = Kind("features", "features", FeaturesSpec, "Values of an entity over time, as they were known.", "oito.features")
