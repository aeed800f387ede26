"""A scheduler on a clock that is moved by hand, over a real catalog; the processes of its runs, where the machine ends, are made up."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from oito.catalog import environments, runs, ticks
from oito.catalog.catalog import Catalog
from oito.catalog.records import Run, Step
from oito.catalog.ticks import Tick
from oito.clock import VirtualClock, moment, text, uptime
from oito.scheduler.children import Child
from oito.scheduler.loop import Scheduler
from oito.scheduler.office import LEASE_S
from oito.settings import load as load_settings

START = moment("2024-01-01")
Known = Mapping[str, Mapping[str, Any]]


class Killed(BaseException):
    """The scheduler's process is gone at this very point."""


class Process:
    """Stands where a process would: told what to run, it is a run in the catalog that takes a while."""

    def __init__(self, machine: Machine, pid: int) -> None:
        self.machine, self.pid, self.stdin = machine, pid, self
        self.told: dict[str, Any] | None = None
        self.code: int | None = None
        self.run = ""

    def write(self, line: bytes) -> None:
        self.machine.dies_here("go")
        self.told = json.loads(line)
        self.machine.begin(self)

    def close(self) -> None:
        if self.told is None:
            self.code = 0  # the word to go never came

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def poll(self) -> int | None:
        self.machine.pass_by()
        return self.code

    def wait(self) -> None: ...


class MadeUp(Child):
    def signal(self, number: signal.Signals) -> None:
        process = cast(Process, self.process)
        process.machine.end(process, code=130 if number == signal.SIGINT else -number)


@dataclass
class Machine:
    """A store, a clock, and the processes on it; `takes_s` says how long a run for given targets takes, `fails` which assets do."""

    folder: Path
    takes_s: Callable[[list[str]], float] = lambda targets: 1.0
    fails: set[str] = field(default_factory=set)
    kill_at: str = ""  # "spawn" or "go": the scheduler dies there, once
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(START)
        self.catalog = Catalog(self.folder / ".oito", self.clock, who="ana")
        self.processes: list[Process] = []
        self.said: list[str] = []
        self._opened = [self.catalog]

    def release(self, known: Known, environment: str = "production", **record: Any) -> None:
        with self.catalog.change() as change:
            environments.insert_release(
                change.rows, environment, at=change.at, who="ana", message="", bundle="",
                record={"assets": known, "pointers": {}, **record},
            )  # fmt: skip

    def scheduler(self) -> Scheduler:
        """Return another scheduler on the store, as another process would have it."""
        found = load_settings(self.folder, {})
        found = replace(found, values={**found.values, **self.settings})
        catalog = Catalog(self.folder / ".oito", self.clock, who="scheduler")
        self._opened.append(catalog)
        return Scheduler(
            catalog, found, self.folder, say=self.said.append, spawn=self.spawn,
            monotonic=lambda: (self.clock.now() - START).total_seconds(),
        )  # fmt: skip

    def led(self) -> Scheduler:
        """Return a scheduler that leads, when nobody does."""
        found = self.scheduler()
        for _ in range(3):
            found.turn()
            if found.office.leads:
                return found
            self.advance(LEASE_S + 0.1)
        raise AssertionError("the office was not taken")

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        self.pass_by()

    def spawn(self, log: Path, variables: Mapping[str, str]) -> Child:
        self.dies_here("spawn")
        process = Process(self, 10**7 + len(self.processes))
        self.processes.append(process)
        return MadeUp(cast(Any, process), log)

    def dies_here(self, place: str) -> None:
        if self.kill_at == place:
            self.kill_at = ""
            raise Killed

    def begin(self, process: Process) -> None:
        assert process.told is not None
        process.run = f"r-{len(self.processes)}"
        now, told = uptime(), process.told
        with self.catalog.change() as change:
            runs.insert(
                change.rows,
                Run(process.run, told["settings"]["environment"], told["reason"], "scheduler", "running", change.at, now, now, None, ""),
            )  # fmt: skip
        process.told["over"] = text(self.clock.now() + timedelta(seconds=self.takes_s(told["targets"])))

    def pass_by(self) -> None:
        """End the runs whose time has come."""
        for process in self.processes:
            if process.code is None and process.told and process.told["over"] <= text(self.clock.now()):
                self.end(process, code=1 if self.fails & set(process.told["targets"]) else 0)

    def end(self, process: Process, *, code: int) -> None:
        if process.code is not None:
            return
        process.code = code
        if code in (0, 1, 130) and process.told:
            with self.catalog.change() as change:
                for name in process.told["targets"] if code < 2 else ():
                    is_bad = name in self.fails
                    error = f"{name} raised ValueError: no\n  where    here" if is_bad else ""
                    state = "failed" if is_bad else "made"
                    runs.insert_step(change.rows, Step(process.run, name, state, None, 0.1, "", error, ""))
                runs.end(change.rows, process.run, state={0: "done", 1: "failed", 130: "stopped"}[code], seconds=1.0)

    @property
    def at_work(self) -> list[Process]:
        return [process for process in self.processes if process.code is None and process.told]

    def ticks(self, **of: Any) -> list[Tick]:
        """Return the ticks, oldest first."""
        return list(reversed(ticks.listed(self.catalog.rows, limit=100_000, **of)))

    def states(self, **of: Any) -> list[str]:
        return [tick.state for tick in self.ticks(**of)]

    def close(self) -> None:
        for catalog in self._opened:
            catalog.close()
