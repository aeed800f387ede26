"""What a kind of asset is: a word, a spec, and four doors. The eight kinds themselves live in the systems' folders."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, ClassVar, Literal

from oito.errors import BadInput
from oito.flow.schedules.cron import Cron
from oito.flow.schedules.schedule import MISSED, Missed
from oito.names import duration, size_bytes

OPERATIONAL = frozenset(
    {"every", "cron", "after", "missed", "retries", "timeout", "memory", "reads", "env", "description"}
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be declared of any asset; each kind adds its own fields.

    Fields in `OPERATIONAL` say when and how a step runs and never change its result, so they stay out of fingerprints
    (`reads` and `env` enter by what they name).
    """

    every: str | None = None  # how often it runs by itself, and the outside world is asked again
    cron: str | None = None  # at which moments it does
    after: Literal["", "inputs"] = ""  # whether it runs by itself as soon as an input has moved
    missed: Literal["", Missed] = ""  # what becomes of ticks at which nobody was there; "" is the setting
    retries: int = 0  # further attempts after an error that says it may be retried
    timeout: str | None = None
    memory: str | None = None  # how much a step may use, where the engine can tell
    reads: tuple[str, ...] = ()  # files that the function reads by itself, relative to the project folder
    env: tuple[str, ...] = ()  # environment variables that the function reads by itself
    version: str = ""  # change it to force a re-run
    description: str = ""

    word: ClassVar[str]
    given: ClassVar[tuple[str, ...]] = ()  # parameters before * that the kind fills itself
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # spec field → kinds it may refer to
    by_name: ClassVar[tuple[str, ...]] = ()  # fields that refer to an asset's name, not to its content
    pulls: ClassVar[
        Mapping[str, tuple[str, ...]]
    ] = {}  # field → kinds that are inputs too, found behind that field's asset
    takes_assets: ClassVar[bool] = True  # whether further parameters before * are assets
    is_external: ClassVar[bool] = False  # the result depends on the outside world, which a probe asks
    holds: ClassVar[bool] = False  # waits for a verdict before it takes newer data, once something watches it
    may_be_mapped: ClassVar[bool] = False  # whether it can be made one partition at a time
    is_random: ClassVar[bool] = False  # draws from the project's seed, whether or not its function asks for one
    libraries: ClassVar[tuple[str, ...]] = ()  # modules of packages that compute it, beside those its code reaches

    @property
    def needs_function(self) -> bool:
        """Whether the declaration must stand above a function, because no default body serves."""
        return True

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the declared values, one sentence each."""
        for name in ("every", "timeout"):
            try:
                span = duration("1s" if getattr(self, name) is None else getattr(self, name))
            except BadInput as error:
                yield f"{name}: {error.what} ({error.next})"
                continue
            if not span:
                yield f"{name} is no time at all"
        try:
            if not size_bytes("1B" if self.memory is None else self.memory):
                yield "memory is none at all"
        except BadInput as error:
            yield f"memory: {error.what} ({error.next})"
        if self.retries < 0:
            yield "retries is negative"
        yield from self._schedule_faults()

    def _schedule_faults(self) -> Iterator[str]:
        try:
            _ = Cron("* * * * *" if self.cron is None else self.cron).fields
        except BadInput as error:
            yield f"cron: {error.what} ({error.known or error.next})"
        if self.after not in {"", "inputs"}:
            yield f"after is {self.after!r}; it is inputs"
        if self.missed not in {"", *MISSED}:
            yield f"missed is {self.missed!r}; it is {', '.join(MISSED[:-1])} or {MISSED[-1]}"
        if len([each for each in (self.every, self.cron, self.after) if each]) > 1:
            yield "every, cron and after are three ways to run by itself; one is enough"

    def identity(self) -> dict[str, Any]:
        """Return the declared values that change the result, without references to other assets."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in OPERATIONAL and field.name not in self.wants
            if field.name != "partition" or getattr(self, field.name)  # what is not cut is what it was before cuts
        }

    def references(self) -> dict[str, tuple[Any, ...]]:
        """Return, per field that refers to assets, the decorated things it refers to."""
        found = {}
        for name in self.wants:
            value = getattr(self, name)
            things = value if isinstance(value, tuple | list) else () if value is None else (value,)
            found[name] = tuple(things)
        return found


@dataclass(frozen=True)
class Kind:
    """One of the eight (or a plug-in's): `word` is its decorator, `plural` its folder, page and sub-command."""

    word: str
    plural: str
    spec: type[Spec]
    sentence: str
    package: str
    probe: str = "run"  # the module whose `probe` asks whether the outside world has something new

    @property
    def collects(self) -> bool:
        """Whether its assets grow from the outside world alone, as sources do."""
        return bool(self.spec.is_external) and not self.spec.takes_assets and not self.spec.wants

    def door(self, name: str) -> ModuleType:
        """Return the kind's module `run`, `actions`, `panels` or, where it has one, `upkeep`, imported when first asked for."""
        return importlib.import_module(f"{self.package}.{name}")
