"""What became of the ticks of a run that has ended, read from the catalog: the steps tell, and how the process ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from oito.catalog import runs
from oito.catalog.records import Run, Step
from oito.catalog.ticks import Tick
from oito.flow.schedules.schedule import Declared, wave
from oito.storage.sql import Database

BAD = frozenset({"failed", "broken", "blocked"})
LOST_AGAIN = 2  # further attempts of a run whose process died, whatever `retries` says: that is seldom the code's fault
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=30)


@dataclass(frozen=True)
class Outcome:
    """The end of one tick: it `ran`, `failed` (and may be tried again `retries` times), or was `stopped` on the way."""

    state: Literal["ran", "failed", "stopped"]
    note: str
    error: str = ""
    retries: int = 0


def run_of(database: Database, tick: Tick) -> Run | None:
    """Return the run that was begun for a tick, or None when none has begun."""
    row = database.one(
        "SELECT id FROM run WHERE environment = ? AND reason = ? ORDER BY rowid DESC LIMIT 1",
        tick.environment, tick.reason,
    )  # fmt: skip
    return runs.by_id(database, row["id"]) if row else None


def judged(database: Database, tick: Tick, run: Run | None, known: Declared, *, lost: str, printed: str) -> Outcome:
    """Return the end of a tick.

    Args:
        lost: how its process died, when it did not come to its own end.
        printed: the end of what the process printed.
    """
    retries = int(known.get(tick.asset, {}).get("retries", 0))
    if lost:
        return Outcome("failed", lost, printed or lost, max(retries, LOST_AGAIN))
    if run is None:
        return Outcome("failed", _first_line(printed) or "no run began", printed, retries)
    steps = runs.steps(database, run.id)
    mine = set(wave(known, tick.asset))
    bad = [step for step in steps if step.state in BAD and step.asset in mine]
    if bad:
        first = next((step for step in bad if step.state != "blocked"), _culprit(steps, bad[0]))
        return Outcome("failed", f"{first.asset}: {_first_line(first.error or first.cause)}", first.error, retries)
    made = sum(step.state in {"made", "reused"} and step.asset in mine for step in steps)
    return Outcome("ran", f"{made} made" if made else "nothing was new")


def has_bad(database: Database, run: Run) -> bool:
    """Say whether a step of the run did not end well."""
    return any(step.state in BAD for step in runs.steps(database, run.id))


def wait(failures: int) -> timedelta:
    """Return how long the next attempt waits after so many failures in a row.

    Example:
        >>> [str(wait(n)) for n in (1, 2, 3, 9)]
        ['0:00:30', '0:01:00', '0:02:00', '0:30:00']
    """
    return min(FIRST_WAIT * float(2 ** min(failures - 1, 20)), LONGEST_WAIT)


def _culprit(steps: Sequence[Step], blocked: Step) -> Step:
    """Return the step above that a blocked one fell over."""
    name = blocked.cause.removeprefix("by ")
    return next((step for step in steps if step.asset == name and step.state in BAD), blocked)


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]
