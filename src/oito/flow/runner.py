"""How a plan is carried out: what is ready goes to an engine, what comes back is committed whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from oito.catalog import runs
from oito.catalog.records import Run, Step, Version
from oito.clock import stopwatch, uptime
from oito.errors import OitoError, StepBlocked
from oito.flow import bundle, loading
from oito.flow.commits import Commits
from oito.flow.engines.choice import engine_of
from oito.flow.engines.engine import Engine
from oito.flow.plan import Planner
from oito.flow.project import Asset
from oito.flow.site import Site, failed
from oito.flow.steps import Steps
from oito.flow.turns import Turn, Turns, Way

HEARTBEAT_S = 2.0
ROUNDS = 2  # one pass, and one more when a monitor asked for something


@dataclass(frozen=True)
class Outcome:
    """What a run did: its steps in order, and the errors by asset."""

    run: str
    environment: str
    steps: tuple[Step, ...]
    errors: Mapping[str, OitoError] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not self.errors

    def raise_first(self) -> None:
        """Raise the first error, if there was one."""
        for error in self.errors.values():
            raise error


def run(
    site: Site,
    targets: Sequence[str] = (),
    *,
    reason: str = "by hand",
    collect: Collection[str] = (),
    force: Collection[str] = (),
    partitions: Mapping[str, Sequence[str]] | None = None,
    jobs: int = 0,
) -> Outcome:
    """Bring the targets (all assets when there are none) up to date and return what happened.

    A step that fails blocks what needs it and nothing else. A killed run is picked up by the next one.

    Args:
        partitions: those to be made, by mapped asset, as a person names them; the others stay as they are.
        jobs: how many steps run at once, each in a process of its own; 0 is what the settings say.
    """
    return _Run(site, reason, jobs).carry_out(targets, collect=collect, force=force, partitions=partitions)


class _Run:
    def __init__(self, site: Site, reason: str, jobs: int) -> None:
        self.site, self.tell = site, site.tell
        self.id = f"r-{time.time_ns() // 1000:x}-{os.getpid():x}"
        self.reason, self.jobs = reason, jobs
        self.steps: list[Step] = []
        self.errors: dict[str, OitoError] = {}
        self._commits = Commits(site, self.id, self._told)
        self._turns: dict[str, Turn] = {}

    def carry_out(
        self, targets: Sequence[str], *, collect: Collection[str], force: Collection[str],
        partitions: Mapping[str, Sequence[str]] | None,
    ) -> Outcome:  # fmt: skip
        began, engine = stopwatch(), engine_of(self.site, self.jobs)
        self._begin()
        with self._heartbeat(), contextlib.closing(engine):
            try:
                for number in range(ROUNDS):
                    planner = Planner(
                        self.site, collect=collect, force=force if number == 0 else (), run=self.id, partitions=partitions
                    )  # fmt: skip
                    self._pass(targets, planner, engine)
                    if self.errors or not self._asked(targets):
                        break
            finally:
                problem = sys.exc_info()[1]
                state = (
                    "stopped"
                    if isinstance(problem, KeyboardInterrupt)
                    else "failed"
                    if self.errors or problem
                    else "done"
                )
                with self.site.catalog.change() as change:
                    runs.end(change.rows, self.id, state=state, seconds=stopwatch() - began)
        return Outcome(self.id, self.site.environment, tuple(self.steps), dict(self.errors))

    def _pass(self, targets: Sequence[str], planner: Planner, engine: Engine) -> None:
        assets = {asset.name: asset for asset in self.site.project.needed(targets)}
        arrows = self.site.project.arrows()
        open_needs = {name: {need for need in arrows[name] if need in assets} for name in assets}
        below: dict[str, list[str]] = {name: [] for name in assets}
        for name, needs in open_needs.items():
            for need in needs:
                below[need].append(name)
        pointed = self.site.catalog.resolve_all(self.site.environment)
        stopped: dict[str, str] = {}

        def start(name: str) -> None:
            turn = Turn(name, assets[name])
            turns.start(turn, self._way(turn, steps, pointed, stopped))

        def over(turn: Turn) -> None:
            for name in below.get(turn.name, ()):
                open_needs[name].discard(turn.name)
                if not open_needs[name]:
                    start(name)

        turns = Turns(engine, over)
        steps = Steps(self.site, self.id, planner, self._commits, self._started(turns))
        for name in [name for name, needs in open_needs.items() if not needs]:
            start(name)
        turns.carry_out()

    def _started(self, turns: Turns) -> Callable[[Turn, Way], None]:
        def started(turn: Turn, way: Way) -> None:
            self._turns[turn.name] = turn
            turns.start(turn, way)

        return started

    def _way(self, turn: Turn, steps: Steps, pointed: dict[str, Version], stopped: dict[str, str]) -> Way:
        """Take an asset its way; what goes wrong stops those that need it, and nothing else."""
        asset, self._turns[turn.name] = turn.asset, turn
        culprit = next((stopped[i.asset] for i in asset.inputs if i.asset in stopped), "")
        if culprit:
            stopped[asset.name] = culprit
            self._commits.note(asset.name, "blocked", cause=f"by {culprit}")
            return None
        try:
            version = yield from steps.way(turn, pointed)
            if version:
                pointed[asset.name] = version
                self._settled(asset, version)
        except OitoError as error:
            stopped[asset.name] = asset.name
            self.errors[asset.name] = error
            if not turn.is_noted:
                state = "blocked" if isinstance(error, StepBlocked) else "failed"
                self._commits.note(asset.name, state, cause=turn.cause, error=str(error), log=turn.lines)
            return None
        return version

    def _settled(self, asset: Asset, version: Version) -> None:
        """Tell the kind that the asset stands for this version now; what it does about it can be repeated safely."""
        hook = getattr(asset.kind.door("run"), "settled", None)
        if hook is None:
            return
        try:
            hook(self.site, asset, version)
        except OitoError:
            raise
        except Exception as error:
            raise failed(asset, error, self.site.project.root) from error

    def _asked(self, targets: Sequence[str]) -> bool:
        holding = [asset for asset in self.site.project.needed(targets) if asset.spec.holds]
        if not holding:
            return False
        planner, pointed = Planner(self.site), self.site.catalog.resolve_all(self.site.environment)
        return any(asset.name in pointed and planner.asker(asset, pointed[asset.name]) for asset in holding)

    def _begin(self) -> None:
        project = self.site.project
        source = bundle.keep(project.root, self.site.files, loaded=loading.sources(project.modules))
        now = uptime()
        with self.site.catalog.change() as change:
            for dead in runs.end_dead(change.rows, now=now, lease_s=self.site.settings.lease_s):
                change.event("found dead", dead)
            started = Run(
                self.id, self.site.environment, self.reason, change.who, "running", change.at, now, now, None, source
            )
            runs.insert(change.rows, started)

    @contextlib.contextmanager
    def _heartbeat(self) -> Iterator[None]:
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_S):
                with contextlib.suppress(OitoError), self.site.catalog.change() as change:
                    runs.seen(change.rows, self.id, now=uptime())
            self.site.catalog.rows.leave()

        thread = threading.Thread(target=beat, name="oito-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _told(self, step: Step, version: Version | None) -> None:
        self.steps.append(step)
        if step.asset in self._turns:
            self._turns[step.asset].is_noted = True
        self.tell(step.asset, " ".join([step.state, *([version.ref] if version else []), f"in {step.seconds:.2f} s"]))
