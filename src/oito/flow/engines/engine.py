"""Who carries ready steps out: an engine is handed contexts and gives back what they made. What is ready, and what becomes of it, is the runner's."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oito.clock import stopwatch
from oito.errors import OitoError
from oito.flow.engines.attempt import attempt
from oito.flow.site import Context, Made
from oito.flow.stored import Stored


@dataclass(frozen=True)
class Done:
    """The end of a step: what it made, its bytes stored by then (None: nothing is new), or the error of its last attempt.

    The context is the one that was submitted; its log and the versions it looked at have been filled in.
    """

    context: Context
    made: Made | None = None
    stored: Stored | None = None
    seconds: float = 0.0
    error: OitoError | None = None


class Engine(Protocol):
    """Carries steps out, `slots` of them at once; the same step gives the same bytes in each engine."""

    slots: int

    def submit(self, context: Context) -> None:
        """Take a step that is ready; at most `slots` are under way at any time."""

    def wait(self, timeout_s: float) -> Sequence[Done]:
        """Return the steps that have ended, after at most so many seconds; none of them when the time is over."""

    def close(self) -> None:
        """End whatever still runs, leaving nothing behind."""


class Inline:
    """Runs each step in this very process, one after the other: what it prints, raises and breaks into is at hand.

    Example:
        >>> Inline().slots
        1
    """

    slots = 1

    def __init__(self) -> None:
        self._waiting: deque[Context] = deque()

    def submit(self, context: Context) -> None:
        self._waiting.append(context)

    def wait(self, timeout_s: float) -> Sequence[Done]:
        if not self._waiting:
            return []
        context, began = self._waiting.popleft(), stopwatch()
        try:
            made, stored = attempt(context)
        except OitoError as error:
            return [Done(context, seconds=stopwatch() - began, error=error)]
        return [Done(context, made, stored, stopwatch() - began)]

    def close(self) -> None:
        self._waiting.clear()
