"""What the store's upkeep must know of the kinds: what their own files refer to, which of them nobody needs, which are damaged.

A kind that keeps files of its own (journals, an online store, searches under way) has a module `upkeep` beside its `run`,
with any of the functions `held(site)`, `leftovers(site, keep)` and `problems(site)`; each yields what this file describes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Any

from oito.flow.site import Site


@dataclass(frozen=True)
class Held:
    """A version (`clean_flights:v8`) or a stored file (its digest) that something outside of the catalog refers to."""

    name: str
    why: str


@dataclass(frozen=True)
class Leftover:
    """Something that nobody needs any more: `remove` deletes it, and does no harm when it is gone already."""

    what: str
    why: str
    size_bytes: int
    remove: Callable[[], object]


@dataclass(frozen=True)
class Keep:
    """How long things are kept: what was put before `put_before_s` (1970, the machine's clock) or used before `used_before` may go."""

    put_before_s: float
    used_before: datetime


@dataclass(frozen=True)
class Problem:
    """A fault of the store: what is wrong with what, and what to do next."""

    what: str
    problem: str
    next: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        return {"what": self.what, "problem": self.problem, "next": self.next, **self.facts}


def held(site: Site) -> Iterator[Held]:
    """Yield what the files of all kinds refer to."""
    for door in _doors(site, "held"):
        yield from door.held(site)


def leftovers(site: Site, keep: Keep) -> Iterator[Leftover]:
    """Yield the files of all kinds that nobody needs."""
    for door in _doors(site, "leftovers"):
        yield from door.leftovers(site, keep)


def problems(site: Site) -> Iterator[Problem]:
    """Yield what is wrong with the files of all kinds."""
    for door in _doors(site, "problems"):
        yield from door.problems(site)


def _doors(site: Site, function: str) -> Iterator[ModuleType]:
    for kind in site.project.kinds.values():
        name = f"{kind.package}.upkeep"
        if importlib.util.find_spec(name) is not None:
            module = kind.door("upkeep")
            if hasattr(module, function):
                yield module
