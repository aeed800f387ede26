"""The way of one asset through a run: planned, claimed, made, committed; and of a mapped one, partition by partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from oito.catalog import runs, versions
from oito.catalog.records import Version
from oito.clock import stopwatch, uptime
from oito.errors import OitoError, PartitionsFailed, StepBlocked
from oito.flow.commits import Commits, TakenOver
from oito.flow.engines.engine import Done
from oito.flow.entry import SETTLED, Entry
from oito.flow.keyed import whole_fingerprint
from oito.flow.partition import selected
from oito.flow.plan import Planner
from oito.flow.project import Asset
from oito.flow.reads import undeclared
from oito.flow.site import Context, Site
from oito.flow.turns import Turn, Way

TOLD_TIMES = 20  # how often a backfill says how far it is


class Steps:
    """The ways of one pass; `start` sends a partition on its way."""

    def __init__(
        self, site: Site, run: str, planner: Planner, commits: Commits, start: Callable[[Turn, Way], None]
    ) -> None:
        self.site, self.run, self.planner, self.commits, self._start = site, run, planner, commits, start

    def way(self, turn: Turn, pointed: Mapping[str, Version]) -> Way:
        """Bring one asset up to date and come to the version its name stands for from now on."""
        turn.seen = self._changes()
        entry = self.planner.entry(turn.asset, pointed)
        turn.cause = entry.reason
        while True:
            try:
                if entry.asset.dimensions and entry.state in {"stale", "missing"}:
                    return (yield from self._whole(turn, entry))
                entry = yield from self._claimed(
                    turn, entry, lambda: self.planner.entry(turn.asset, self._as_it_is(turn.asset, pointed))
                )
                if entry.state in SETTLED:
                    return entry.version
                if entry.state == "blocked":
                    raise StepBlocked(
                        f"{turn.name} is blocked", where=turn.asset.place, known=entry.note, next="oito plan"
                    )
                if entry.state == "reusable":
                    return self.commits.reused(entry)
                return (yield from self._made(turn, entry))
            except TakenOver:
                self.site.tell(turn.name, "another run took this step over")
                entry = self.planner.entry(turn.asset, self._as_it_is(turn.asset, pointed))
            finally:
                self._free(turn)

    def _partition(self, turn: Turn, entry: Entry) -> Way:
        """Make one partition, unless another run does or has."""
        while True:
            try:
                known = yield from self._claimed(turn, entry, lambda: self._known(entry))
                return known.fits or (yield from self._made(turn, entry))
            except TakenOver:
                self.site.tell(turn.name, "another run took this step over")
            except OitoError as error:
                turn.error = error
                if not turn.is_noted:
                    self.commits.note(turn.name, "failed", cause=entry.reason, error=str(error), log=turn.lines)
                return None
            finally:
                self._free(turn)

    def _whole(self, turn: Turn, entry: Entry) -> Way:
        """Make the open partitions of a mapped asset, then put all of them together."""
        began, turns = stopwatch(), []
        for each in entry.partitions:
            turns.append(Turn(each.name, turn.asset, cause=each.reason, seen=turn.seen))
            self._start(turns[-1], self._partition(turns[-1], each))
        told, left = 0, deque(turns)
        while left:
            while left and left[0].is_over:
                left.popleft()
            over = len(turns) - len(left)
            if over * TOLD_TIMES // len(turns) != told:
                told = over * TOLD_TIMES // len(turns)
                self.site.tell(turn.name, f"{over} of {len(turns)} partitions")
            if left:
                yield None
        failures = [each for each in turns if each.error is not None]
        if failures:
            raise _failure(turn, failures, len(turns))
        made = {e.partition: _fact(t.version) for e, t in zip(entry.partitions, turns, strict=True) if t.version}
        facts = {
            key: made.get(key) or entry.standing[key] for key in entry.universe if key in made or key in entry.standing
        }
        entry = undeclared.relearned(self.site.catalog.rows, entry, self.site.root)
        fingerprint = whole_fingerprint(entry, facts)
        while True:
            try:
                while not self._claim(turn, fingerprint):
                    yield None
                fits = versions.by_fingerprint(self.site.catalog.rows, fingerprint, asset=turn.name)
                if fits and not entry.is_forced:
                    return self.commits.reused(replace(entry, fits=fits))
                return self.commits.whole(entry, facts, turn.lines, stopwatch() - began)
            except TakenOver:
                self.site.tell(turn.name, "another run took this step over")

    def _made(self, turn: Turn, entry: Entry) -> Way:
        self.site.tell(turn.name, "running")
        site, rows = self.site, self.site.catalog.rows
        inputs = {
            role: version if (keys := entry.picks.get(role)) is None else selected(rows, version, keys)
            for role, version in entry.inputs.items()
        }
        context = Context(
            site, entry.asset, inputs, entry.version, is_redefined=entry.is_redefined, definition=entry.definition,
            cause=entry.reason, lines=turn.lines, tell=lambda line: site.tell(turn.name, line), partition=entry.partition,
            run=self.run,
        )  # fmt: skip
        done = yield context
        assert done is not None
        if done.error is not None:
            raise done.error
        return self.commits.made(entry, done)

    def _claimed(self, turn: Turn, entry: Entry, again: Callable[[], Entry]) -> Generator[None, Done | None, Entry]:
        """Come to the entry as it stands once its work is this run's alone, or needs no work any more."""
        while entry.state in {"running", "stale", "missing"}:
            if turn.work and entry.work == turn.work:
                break  # planned again after it was claimed: nobody finished it in between
            self._free(turn)
            if entry.state == "running" or not self._claim(turn, entry.work):
                yield None
            before, turn.seen = turn.seen, self._changes()
            if turn.work and turn.seen == before:
                break  # nobody did anything in between
            entry = again()
        return entry

    def _known(self, entry: Entry) -> Entry:
        """Return a partition's entry, with the version that another run has made of it meanwhile."""
        entry = undeclared.relearned(self.site.catalog.rows, entry, self.site.root)
        fits = versions.by_fingerprint(self.site.catalog.rows, entry.fingerprint, asset=entry.name)
        is_known = fits is not None and not entry.is_forced
        return replace(entry, fits=fits, state="reusable") if is_known else entry

    def _as_it_is(self, asset: Asset, pointed: Mapping[str, Version]) -> Mapping[str, Version]:
        current = self.site.catalog.resolve(asset.name, self.site.environment)
        return {**pointed, asset.name: current} if current else pointed

    def _changes(self) -> int:
        return self.site.catalog.rows.foreign_changes()

    def _claim(self, turn: Turn, work: str) -> bool:
        with self.site.catalog.change() as change:
            lease_s = self.site.settings.lease_s
            is_mine = not runs.claim(change.rows, work, self.run, now=uptime(), lease_s=lease_s)
        turn.work = work if is_mine else ""
        return is_mine

    def _free(self, turn: Turn) -> None:
        """Let others do the claimed work; most often the commit has freed it already."""
        if turn.work:
            if runs.holder(self.site.catalog.rows, turn.work, now=uptime(), lease_s=float("inf")) == self.run:
                with self.site.catalog.change() as change:
                    runs.free(change.rows, turn.work, self.run)
            turn.work = ""


def _fact(version: Version) -> list[Any]:
    return [version.fingerprint, version.content, version.rows, version.id]


def _failure(turn: Turn, failures: Sequence[Turn], tried: int) -> OitoError:
    """Return the error of a mapped asset; of one partition it is that partition's own."""
    first = failures[0].error
    assert first is not None
    if len(failures) == 1:
        return first
    lines = [f"{each.name}: {each.error.what}" for each in failures[:5] if each.error]
    lines += [f"… and {len(failures) - 5} more"] if len(failures) > 5 else []
    return PartitionsFailed(
        f"{len(failures)} of {tried} partitions of {turn.name} failed", where=first.where, known="\n".join(lines),
        next=f"mend it, then: oito run {turn.name}     (the others are kept)",
    )  # fmt: skip
