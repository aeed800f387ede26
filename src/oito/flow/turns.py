"""Many ways at once: each a generator that yields a step for the engine, or None when it waits. What the ways are is the runner's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from oito.catalog.records import Version
from oito.errors import OitoError
from oito.flow.engines.engine import Done, Engine
from oito.flow.project import Asset
from oito.flow.site import Context

WAIT_S = 0.1

Way = Generator[Context | None, Done | None, Version | None]


@dataclass(eq=False)
class Turn:
    """One asset, or one partition of it, on its way."""

    name: str
    asset: Asset
    work: str = ""  # what it has claimed
    seen: int = 0  # the catalog's changes by others when it was planned
    cause: str = ""
    lines: list[str] = field(default_factory=list)
    is_noted: bool = False  # whether its step is written down
    is_over: bool = False
    version: Version | None = None  # what it came to
    error: OitoError | None = None


class Turns:
    """Advances ways, with as many steps under way as the engine takes; no step is begun before there is a place for it."""

    def __init__(self, engine: Engine, over: Callable[[Turn], None]) -> None:
        self._engine, self._over = engine, over
        self._ready: deque[tuple[Turn, Way]] = deque()
        self._parked: list[tuple[Turn, Way]] = []
        self._flying: dict[int, tuple[Turn, Way]] = {}  # by the context that the engine has

    def start(self, turn: Turn, way: Way) -> None:
        """Take a way in; it begins when there is a place."""
        self._ready.append((turn, way))

    def carry_out(self) -> None:
        """Advance all ways, those that are started meanwhile too, until each is over."""
        try:
            while self._ready or self._parked or self._flying:
                self._ready.extend(self._parked)
                self._parked.clear()
                has_moved = False
                while self._ready and len(self._flying) < self._engine.slots:
                    has_moved |= self._advanced(*self._ready.popleft(), None)
                if self._flying:
                    for done in self._engine.wait(WAIT_S):
                        self._advanced(*self._flying.pop(id(done.context)), done)
                elif not has_moved:
                    time.sleep(WAIT_S)
        finally:
            for _, way in (*self._ready, *self._parked, *self._flying.values()):
                way.close()

    def _advanced(self, turn: Turn, way: Way, done: Done | None) -> bool:
        """Take a way one step further, and say whether it is over."""
        try:
            context = way.send(done)
        except StopIteration as end:
            turn.is_over, turn.version = True, end.value
            self._over(turn)
            return True
        if context is None:
            self._parked.append((turn, way))
        else:
            self._engine.submit(context)
            self._flying[id(context)] = (turn, way)
        return False
