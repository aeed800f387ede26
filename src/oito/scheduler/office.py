"""One leader per store: who holds the office gives signs of life, who stands by watches them. What the leader does is loop.py's work."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oito.catalog import ticks
from oito.catalog.catalog import Catalog, Change

BEAT_S = 1.5
LEASE_S = 6.0  # without a sign of life for so long, another takes over


class Deposed(Exception):
    """Another took the office over, because this one gave no sign of life for a while."""


class Office:
    """The leader's lease in the catalog, as one process sees it.

    Who stands by does not compare moments of two clocks: it looks whether the leader's beats go on, and how long they have
    not by its own monotonic clock. So neither a wall clock that jumps nor one that is wrong makes two leaders; and each
    write of a leader stands in a transaction that asks first whether it still is.
    """

    def __init__(self, catalog: Catalog, *, monotonic: Callable[[], float]) -> None:
        self.catalog, self._monotonic = catalog, monotonic
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self.leads = False
        self._beat_at = 0.0
        self._watched: ticks.Leader | None = None
        self._watched_at = 0.0

    def holds(self) -> bool:
        """Say whether this process leads now; give a sign of life, or take the office over, when it is time to."""
        if self.leads:
            self._beat()
        else:
            self._watch()
        return self.leads

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Open a transaction of the leader.

        Raises:
            Deposed: it no longer is; nothing is written.
        """
        with self.catalog.change() as change:
            if not ticks.leads(change.rows, self.holder):
                self.leads = False
                raise Deposed
            yield change

    def leave(self) -> None:
        """Free the office, so that who stands by takes over at once."""
        if self.leads:
            self.leads = False
            with self.catalog.change() as change:
                if ticks.leads(change.rows, self.holder):
                    ticks.leave_office(change.rows, self.holder)
                    change.event("left", "scheduler", leader=self.holder)

    def _beat(self) -> None:
        if self._monotonic() - self._beat_at < BEAT_S:
            return
        with self.catalog.change() as change:
            self.leads = ticks.beat(change.rows, self.holder, at=change.at)
        self._beat_at = self._monotonic()

    def _watch(self) -> None:
        now, found = self._monotonic(), ticks.leader(self.catalog.rows)
        if found is not None:
            last = self._watched
            if last is None or (last.holder, last.beats) != (found.holder, found.beats):
                self._watched, self._watched_at = found, now
            if now - self._watched_at < LEASE_S:
                return
        with self.catalog.change() as change:
            self.leads = ticks.take_office(change.rows, self.holder, at=change.at, watched=found)
            if self.leads:
                why = f"no sign of life of {found.holder} for {LEASE_S:g} s" if found else "the office was free"
                change.event("leads", "scheduler", leader=self.holder, why=why)
        self._beat_at, self._watched = now, None
