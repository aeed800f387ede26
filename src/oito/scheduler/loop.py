"""The scheduler: turn by turn it writes down what is due, starts runs of released code, and writes down how they ended.

What is due is flow's to say (schedule.py, triggers.py), who leads is office.py's, a run's process is children.py's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from oito.catalog import runs, ticks
from oito.catalog.catalog import Catalog, Change
from oito.catalog.records import Run
from oito.catalog.ticks import Tick
from oito.clock import moment, text, uptime
from oito.flow import triggers
from oito.flow.releases.reach import Reach
from oito.flow.schedules.schedule import targets, told, why
from oito.flow.triggers import Standing
from oito.scheduler import children, outcome
from oito.scheduler.children import Child
from oito.scheduler.diary import Diary
from oito.scheduler.office import BEAT_S, Deposed, Office
from oito.scheduler.outcome import Outcome
from oito.settings import Settings

TIDY_S = 3600.0
BIRTH_S = 300.0  # an earlier leader's process without a run by then is another one of the same number

Say = Callable[[str], None]
Spawn = Callable[[Path, Mapping[str, str]], Child]


def mute(line: str) -> None:
    """Say nothing."""


@dataclass
class Scheduler:
    """Carries out the schedules of one store, as long as it leads; `turn` by turn, on one thread.

    `given` are the settings that the processes of runs are opened with, besides those in files and variables.
    """

    catalog: Catalog
    settings: Settings
    root: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    say: Say = mute
    spawn: Spawn = children.spawn
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.office = Office(self.catalog, monotonic=self.monotonic)
        self._diary = Diary(self.office, self.settings)
        self._children: dict[str, Child] = {}
        self._standing: dict[str, Standing] = {}
        self._tidied_at: float | None = None
        home = self.catalog.folder
        self._variables = Reach(home / "bundles", self.root, home).variables(os.environ)

    def turn(self) -> float:
        """Do what is to be done now, and return after how many seconds something may be due again."""
        if not self.office.holds():
            return BEAT_S
        try:
            standing = self._known()
            self._settle(standing)
            for each in standing.values():
                self._diary.write_down(each)
                self._diary.answer(each)
            self._start(standing)
            self._tidy()
            return self._next_s(standing)
        except Deposed:
            self.say("another process leads the schedules now")
            return BEAT_S

    def close(self) -> None:
        """Ask what runs to stop, kill it where it does not, and free the office; the next leader takes up what is left."""
        children.stop(self._children.values())
        try:
            if self.office.leads:
                self._settle(self._known(), is_closing=True)
            self.office.leave()
        except Deposed:
            pass

    def has_ended(self) -> bool:
        """Say whether a process has ended that was not looked after yet."""
        return any(child.code is not None for child in self._children.values())

    def _known(self) -> dict[str, Standing]:
        """Return what each released environment runs by itself; read again when something was released."""
        newest = triggers.newest_releases(self.catalog)
        for name, identity in newest.items():
            if name not in self._standing or self._standing[name].release.id != identity:
                found = triggers.standing(self.catalog, name)
                if found is not None:
                    self._standing[name] = found
        return {name: each for name, each in self._standing.items() if name in newest}

    def _start(self, standing: Mapping[str, Standing]) -> None:
        """Start one run per environment for the ticks whose turn it is, as far as there is room."""
        opened, now = ticks.opened(self.catalog.rows), text(self.catalog.clock.now())
        running = {(tick.environment, tick.asset) for tick in opened if tick.state == "running"}
        room = self.settings.scheduled_runs - len({tick.reason for tick in opened if tick.state == "running"})
        waiting = [tick for tick in opened if tick.state == "waiting" and (tick.environment, tick.asset) not in running]
        ready = [tick for tick in _firsts(waiting) if tick.not_before <= now]
        for environment, mine in groupby(
            sorted(ready, key=lambda each: each.environment), lambda each: each.environment
        ):
            if room > 0 and environment in standing:
                room -= self._begin(standing[environment], list(mine))

    def _begin(self, standing: Standing, batch: list[Tick]) -> int:
        """Begin a run for ticks of one moment and return how many were begun.

        The process is told to go only after it was written down: a leader that dies in between leaves none behind.
        """
        known = [tick for tick in batch if tick.asset in standing.known]
        with self.office.change() as change:
            for tick in batch:
                if tick not in known:
                    note = "the release that stands has no such asset"
                    ticks.end(change.rows, tick.id, state="skipped", at=change.at, note=note)
            if not known:
                return 0
            reason = _reason(known)
            ticks.begin(change.rows, known, reason=reason, at=change.at)
        try:
            child = self.spawn(self._log(known[0], known[0].attempts + 1), self._variables)
        except OSError as error:
            with self.office.change() as change:
                for tick in known:
                    self._again(
                        change,
                        tick,
                        Outcome("failed", f"no process could be started: {error}", retries=outcome.LOST_AGAIN),
                    )
            return 0
        try:
            with self.office.change() as change:
                ticks.born(change.rows, reason, pid=child.pid)
        except Deposed:
            child.forget()
            raise
        self._children[reason] = child
        assets = [tick.asset for tick in known]
        settings = {**self.given, "environment": standing.environment, "who": "scheduler"}
        child.go({"root": str(self.root), "settings": settings, "targets": targets(standing.known, assets),
                  "reason": reason, "due": max(tick.due for tick in known)})  # fmt: skip
        self.say(f"{standing.environment}: {reason} begins")
        return 1

    def _settle(self, standing: Mapping[str, Standing], *, is_closing: bool = False) -> None:
        """Write down the runs that have begun and those that have ended, whoever started them."""
        running = [tick for tick in ticks.opened(self.catalog.rows) if tick.state == "running"]
        for reason, found in groupby(sorted(running, key=lambda each: each.reason), lambda each: each.reason):
            mine = list(found)
            run = outcome.run_of(self.catalog.rows, mine[0])
            lost = self._lost(reason, mine[0], run)
            if lost is None:
                if run is not None and not mine[0].run:
                    with self.office.change() as change:
                        ticks.link(change.rows, reason, run=run.id)
                continue
            self._end(mine, run, standing, lost=lost, is_closing=is_closing)
            self._children.pop(reason, None)

    def _lost(self, reason: str, tick: Tick, run: Run | None) -> str | None:
        """Return None while a run goes on, "" when it came to its own end, else how its process was lost."""
        child = self._children.get(reason)
        if child is not None:
            if child.code is None:
                return None
            child.signal(signal.SIGKILL)  # what it has started must not go on beside the next attempt
            is_over = child.code in children.FINISHED and (run is None or run.state != "running")
            return "" if is_over or (child.code == 2 and run is None) else children.ended(child.code)
        if run is None:
            waited = (self.catalog.clock.now() - moment(tick.began)).total_seconds()
            is_there = tick.pid and children.is_there(tick.pid) and waited < BIRTH_S
            return None if is_there else "its process was lost with an earlier leader"
        if run.state == "running":
            is_alive = runs.is_alive(run.seen, now=uptime(), lease_s=self.settings.lease_s)
            return None if is_alive else "its process gave no sign of life"
        is_over = run.state == "done" or (run.state == "failed" and outcome.has_bad(self.catalog.rows, run))
        return "" if is_over else "its run was stopped"

    def _end(
        self, mine: list[Tick], run: Run | None, standing: Mapping[str, Standing], *, lost: str, is_closing: bool
    ) -> None:
        printed = children.tail(self._log(mine[0], mine[0].attempts))
        with self.office.change() as change:
            if run is not None:
                ticks.link(change.rows, mine[0].reason, run=run.id)
                if run.state == "running":  # nobody will end it any more: its work is free at once
                    runs.end(change.rows, run.id, state="failed", seconds=None)
            for tick in mine:
                known = standing[tick.environment].known if tick.environment in standing else {}
                found = outcome.judged(self.catalog.rows, tick, run, known, lost=lost, printed=printed)
                if is_closing and lost:
                    found = Outcome("stopped", "stopped with the scheduler; the next leader runs it")
                self._again(change, tick, found)
                self.say(f"{tick.environment}: {tick.asset} {found.state}: {found.note}")

    def _again(self, change: Change, tick: Tick, found: Outcome) -> None:
        """Write down the end of a tick, or when it is tried again."""
        if found.state == "stopped":
            ticks.again(change.rows, tick.id, not_before="", note=found.note, failed=False)
        elif found.state == "failed" and tick.failures < found.retries:
            at = self.catalog.clock.now() + outcome.wait(tick.failures + 1)
            ticks.again(change.rows, tick.id, not_before=text(at), note=found.note, error=found.error)
        else:
            state: ticks.State = "ran" if found.state == "ran" else "failed"
            ticks.end(change.rows, tick.id, state=state, at=change.at, note=found.note, error=found.error)

    def _next_s(self, standing: Mapping[str, Standing]) -> float:
        """Return how long nothing will be due, at most until the next sign of life."""
        now = self.catalog.clock.now()
        moments = [each.after(now) for env in standing.values() for each in self._diary.schedules(env).values()]
        moments += [moment(tick.not_before) for tick in ticks.opened(self.catalog.rows) if tick.not_before]
        ahead = [(at - now) / timedelta(seconds=1) for at in moments if at > now]
        return min([BEAT_S, *ahead])

    def _tidy(self) -> None:
        now = self.monotonic()
        if self._tidied_at is None or now - self._tidied_at > TIDY_S:
            self._tidied_at = now
            with self.office.change() as change:
                ticks.forget_old(change.rows)

    def _log(self, tick: Tick, attempt: int) -> Path:
        return self.catalog.folder / "scheduled" / f"{tick.id}-{attempt}.log"


def _firsts(waiting: Iterable[Tick]) -> list[Tick]:
    """Return the tick of each asset whose turn it is: those of one asset run one by one, oldest first, a person's before all."""
    found: dict[tuple[str, str], Tick] = {}
    for tick in sorted(waiting, key=lambda each: each.sort != "hand"):
        found.setdefault((tick.environment, tick.asset), tick)
    return list(found.values())


def _reason(batch: list[Tick]) -> str:
    """Return what the record of the run says; no two runs say the same."""
    first = batch[0]
    again = f", attempt {first.attempts + 1}" if first.attempts else ""
    return (
        f"{why([(tick.asset, tick.cause) for tick in batch])}, due {told(moment(first.due))} (tick {first.id}{again})"
    )
