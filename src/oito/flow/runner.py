"""How a plan is carried out: one step after another, each committed whole or not at all, never done twice at once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oito.catalog import runs, versions
from oito.catalog.catalog import Change
from oito.catalog.records import NewVersion, Run, Step, Version
from oito.clock import stopwatch
from oito.errors import GateRefused, OitoError, StepBlocked
from oito.flow import bundle, loading
from oito.flow.attempt import attempt
from oito.flow.plan import SETTLED, Entry, Planner
from oito.flow.project import Asset
from oito.flow.site import Context, Gate, Made, Site, failed
from oito.flow.stored import Stored, digests

HEARTBEAT_S = 2.0
ROUNDS = 2  # one pass, and one more when a monitor asked for something
WAIT_S = 0.1


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
) -> Outcome:
    """Bring the targets (all assets when there are none) up to date and return what happened.

    A step that fails blocks what needs it and nothing else. A killed run is picked up by the next one.
    """
    return _Run(site, reason).carry_out(targets, collect=collect, force=force)


class _TakenOver(Exception):
    """Another run took the work over, because this one gave no sign of life for a while."""


class _Run:
    def __init__(self, site: Site, reason: str) -> None:
        self.site, self.tell = site, site.tell
        self.id = f"r-{time.time_ns() // 1000:x}-{os.getpid():x}"
        self.reason = reason
        self.steps: list[Step] = []
        self.errors: dict[str, OitoError] = {}
        self._work = ""  # what this run has claimed
        self._seen = 0  # the catalog's changes by others when the entry under way was planned
        self._log: list[str] = []  # of the step under way

    def carry_out(self, targets: Sequence[str], *, collect: Collection[str], force: Collection[str]) -> Outcome:
        began = stopwatch()
        self._begin()
        with self._heartbeat():
            try:
                for number in range(ROUNDS):
                    forced = force if number == 0 else ()
                    self._pass(targets, Planner(self.site, collect=collect, force=forced, run=self.id))
                    if self.errors or not self._asked(targets):
                        break
            finally:
                with self.site.catalog.change() as change:
                    state = "failed" if self.errors or sys.exc_info()[0] else "done"
                    runs.end(change.rows, self.id, state=state, seconds=stopwatch() - began)
        return Outcome(self.id, self.site.environment, tuple(self.steps), dict(self.errors))

    def _pass(self, targets: Sequence[str], planner: Planner) -> None:
        pointed = self.site.catalog.resolve_all(self.site.environment)
        stopped: dict[str, str] = {}
        for asset in self.site.project.needed(targets):
            culprit = next((stopped[i.asset] for i in asset.inputs if i.asset in stopped), "")
            if culprit:
                stopped[asset.name] = culprit
                self._note(asset, "blocked", cause=f"by {culprit}")
                continue
            told = len(self.steps)
            self._log = []
            entry = Entry(asset, "missing")
            try:
                self._seen = self.site.catalog.rows.foreign_changes()
                entry = planner.entry(asset, pointed)
                version = self._step(entry, planner, pointed)
                if version:
                    pointed[asset.name] = version
                    self._settled(asset, version)
            except OitoError as error:
                stopped[asset.name] = asset.name
                self.errors[asset.name] = error
                if len(self.steps) == told:
                    state = "blocked" if isinstance(error, StepBlocked) else "failed"
                    self._note(asset, state, cause=entry.reason, error=str(error), log=self._log)

    def _step(self, entry: Entry, planner: Planner, pointed: Mapping[str, Version]) -> Version | None:
        """Bring one asset up to date and return the version its name stands for from now on."""
        asset = entry.asset
        while True:
            try:
                entry = self._claimed(entry, planner, pointed)
                if entry.state in SETTLED:
                    return entry.version
                if entry.state == "blocked":
                    raise StepBlocked(f"{asset.name} is blocked", where=asset.place, known=entry.note, next="oito plan")
                return self._reuse(entry) if entry.state == "reusable" else self._make(entry)
            except _TakenOver:
                self.tell(asset.name, "another run took this step over")
                entry = planner.entry(asset, self._as_it_is(asset, pointed))
            finally:
                self._free()

    def _claimed(self, entry: Entry, planner: Planner, pointed: Mapping[str, Version]) -> Entry:
        """Return the asset's entry as it stands once its work is this run's alone, or needs no work any more."""
        while entry.state in {"running", "stale", "missing"}:
            if self._work and entry.work == self._work:
                break  # planned again after it was claimed: nobody finished it in between
            self._free()
            if entry.state == "running" or not self._claim(entry.work):
                time.sleep(WAIT_S)
            before, self._seen = self._seen, self.site.catalog.rows.foreign_changes()
            if self._work and self._seen == before:
                break  # nobody did anything in between
            entry = planner.entry(entry.asset, self._as_it_is(entry.asset, pointed))
        return entry

    def _as_it_is(self, asset: Asset, pointed: Mapping[str, Version]) -> Mapping[str, Version]:
        current = self.site.catalog.resolve(asset.name, self.site.environment)
        return {**pointed, asset.name: current} if current else pointed

    def _reuse(self, entry: Entry) -> Version | None:
        fits = entry.fits
        assert fits is not None
        if fits.asset != entry.asset.name:
            fits = self._renamed(entry, fits)
        return self._point(entry, fits, seconds=0.0, state="reused")

    def _renamed(self, entry: Entry, fits: Version) -> Version:
        """Give a version that another asset made (this one's former name) to this asset, without running."""
        new = NewVersion(
            asset=entry.asset.name, kind=fits.kind, fingerprint=entry.fingerprint, definition=entry.definition,
            content=fits.content, parts=entry.parts, inputs=[(role, v.id) for role, v in entry.inputs.items()],
            rows=fits.rows, size_bytes=fits.size_bytes, record=fits.record, tables=fits.tables, files=fits.files,
            metrics=versions.metrics(self.site.catalog.rows, fits.id), digests=digests(fits.tables, fits.files),
        )  # fmt: skip
        with self.site.catalog.change() as change:
            identity = versions.insert(change.rows, new, at=change.at, environment=self.site.environment, run=self.id)
        return self._version(identity)

    def _make(self, entry: Entry) -> Version | None:
        asset, began = entry.asset, stopwatch()
        self.tell(asset.name, "running")
        context = Context(
            self.site, asset, entry.inputs, entry.version, is_redefined=entry.is_redefined,
            definition=entry.definition, cause=entry.reason, lines=self._log,
            tell=lambda line: self.tell(asset.name, line),
        )  # fmt: skip
        made, stored = attempt(context)
        seconds = stopwatch() - began
        if stored is None:
            return self._unchanged(entry, seconds)
        new = self._described(entry, made, stored, context, seconds)
        is_gated = made.broken is None and self._is_gated(asset)
        with self.site.catalog.change() as change:
            self._still_mine(change)
            identity = versions.insert(change.rows, new, at=change.at, environment=self.site.environment, run=self.id)
            version = self._version(identity)
            if made.broken is None:
                self._polled(change, entry)
            if not is_gated:  # else the step is written down with the gates' verdict; until then nothing has answered
                step = self._committed(change, entry, made, version, seconds)
            change.event(
                "made" if made.broken is None else "broke", version.ref, run=self.id,
                environment=self.site.environment, cause=entry.reason, content=version.content,
            )  # fmt: skip
        if is_gated:
            return self._point(entry, version, seconds=seconds, state="made")
        self._told(step, version)
        if made.broken is not None:
            raise made.broken
        return version

    def _committed(self, change: Change, entry: Entry, made: Made, version: Version, seconds: float) -> Step:
        """Move the pointer and write the step down, in the transaction that writes the version."""
        runs.free(change.rows, self._work, self.id)
        if made.broken is None:
            change.move(self.site.environment, entry.asset.name, version.id)
            return self._insert_step(change, entry.asset, "made", version, seconds, entry.reason, log=self._log)
        return self._insert_step(
            change, entry.asset, "broken", version, seconds, entry.reason, error=str(made.broken), log=self._log
        )

    def _unchanged(self, entry: Entry, seconds: float) -> Version | None:
        with self.site.catalog.change() as change:
            self._still_mine(change)
            self._polled(change, entry)
            step = self._insert_step(
                change, entry.asset, "unchanged", entry.version, seconds, entry.reason, log=self._log
            )
        self._told(step, entry.version)
        return entry.version

    def _described(self, entry: Entry, made: Made, stored: Stored, context: Context, seconds: float) -> NewVersion:
        inputs = [(role, v.id) for role, v in {**entry.inputs, **context.touched}.items()]
        return NewVersion(
            asset=entry.asset.name, kind=entry.asset.kind.word, state="ok" if made.broken is None else "broken",
            fingerprint=entry.fingerprint, definition=entry.definition, content=stored.content, parts=entry.parts,
            inputs=inputs, rows=stored.rows, size_bytes=stored.size_bytes, record=made.record, tables=stored.tables,
            files=stored.files, metrics=made.metrics, digests=digests(stored.tables, stored.files), seconds=seconds,
        )  # fmt: skip

    def _is_gated(self, asset: Asset) -> bool:
        return self.site.environment in self.site.catalog.protected and hasattr(asset.kind.door("run"), "gate")

    def _point(self, entry: Entry, version: Version, *, seconds: float, state: str) -> Version | None:
        """Move the environment's pointer to a version, asking the gates where the environment is protected."""
        asset, environment = entry.asset, self.site.environment
        said = gates(self.site, version) if self._is_gated(asset) else []
        refusals = [gate for gate in said if not gate.passed]
        with self.site.catalog.change() as change:
            if refusals:
                state = "refused"
                change.event("refused", version.ref, environment=environment, gates=[g.data() for g in said])
            elif change.move(environment, asset.name, version.id) and said:
                change.event("promoted", version.ref, environment=environment, gates=[g.data() for g in said])
            elif state == "reused":
                change.event("reused", version.ref, environment=environment)
            cause = "; ".join([*filter(None, [entry.reason]), *(gate.text for gate in refusals or said)])
            step = self._insert_step(change, asset, state, version, seconds, cause, log=self._log)
        self._told(step, version)
        if not refusals:
            return version
        if entry.version is None:
            raise refusal(version, refusals)
        return entry.version

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
        now = time.time()
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
                    runs.seen(change.rows, self.id, now=time.time())
            self.site.catalog.rows.leave()

        thread = threading.Thread(target=beat, name="oito-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _claim(self, work: str) -> bool:
        with self.site.catalog.change() as change:
            lease_s = self.site.settings.lease_s
            is_mine = not runs.claim(change.rows, work, self.id, now=time.time(), lease_s=lease_s)
        self._work = work if is_mine else ""
        return is_mine

    def _free(self) -> None:
        """Let others do the claimed work; most often the commit has freed it already."""
        if self._work:
            if runs.holder(self.site.catalog.rows, self._work, now=time.time(), lease_s=float("inf")) == self.id:
                with self.site.catalog.change() as change:
                    runs.free(change.rows, self._work, self.id)
            self._work = ""

    def _still_mine(self, change: Change) -> None:
        if not runs.holds(change.rows, self._work, self.id):
            raise _TakenOver

    def _polled(self, change: Change, entry: Entry) -> None:
        if entry.asset.spec.is_external:
            change.rows.run(
                "INSERT OR REPLACE INTO poll (environment, asset, probe, at) VALUES (?, ?, ?, ?)",
                self.site.environment, entry.asset.name, entry.probe, change.at,
            )  # fmt: skip

    def _note(self, asset: Asset, state: str, *, cause: str = "", error: str = "", log: Sequence[str] = ()) -> None:
        with self.site.catalog.change() as change:
            step = self._insert_step(change, asset, state, None, 0.0, cause, error=error, log=log)
        self._told(step, None)

    def _insert_step(
        self, change: Change, asset: Asset, state: str, version: Version | None, seconds: float, cause: str,
        *, error: str = "", log: Sequence[str] = (),
    ) -> Step:  # fmt: skip
        step = Step(self.id, asset.name, state, version.id if version else None, seconds, cause, error, "\n".join(log))
        runs.insert_step(change.rows, step)
        return step

    def _told(self, step: Step, version: Version | None) -> None:
        self.steps.append(step)
        self.tell(step.asset, " ".join([step.state, *([version.ref] if version else []), f"in {step.seconds:.2f} s"]))

    def _version(self, identity: int) -> Version:
        found = versions.by_id(self.site.catalog.rows, identity)
        assert found is not None
        return found


def gates(site: Site, version: Version) -> list[Gate]:
    """Ask the gates of a version's kind; kinds without gates let everything pass."""
    kind = site.project.kinds[version.kind]
    ask: Any = getattr(kind.door("run"), "gate", None)
    asset = site.project.assets.get(version.asset)
    return list(ask(site, asset, version)) if ask and asset else []


def refusal(version: Version, refusals: Sequence[Gate]) -> GateRefused:
    """Return the error that tells why a version may not pass."""
    texts = "\n".join(f"{gate.name}: {gate.text}" for gate in refusals)
    return GateRefused(
        f"a gate refused {version.ref}",
        known=texts,
        next=f"oito show {version.ref}     or change the gate in its experiment",
    )
