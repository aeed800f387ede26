"""How a plan is carried out: one step after another, each committed whole or not at all, never done twice at once."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oito.catalog import runs, versions
from oito.catalog.catalog import Change
from oito.catalog.records import NewVersion, Run, Step, Version
from oito.clock import stopwatch
from oito.errors import CheckFailed, GateRefused, OitoError, StepBlocked, StepTimeout
from oito.flow import bundle, stored
from oito.flow.plan import SETTLED, Entry, Planner
from oito.flow.project import Asset
from oito.flow.site import Context, Gate, Made, Site, failed
from oito.names import duration

HEARTBEAT_S = 2.0
ROUNDS = 2  # one pass, and one more when a monitor asked for something
WAIT_S = 0.2


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


class _Run:
    def __init__(self, site: Site, reason: str) -> None:
        self.site, self.tell = site, site.tell
        self.id = f"r-{time.time_ns() // 1000:x}-{os.getpid():x}"
        self.reason = reason
        self.steps: list[Step] = []
        self.errors: dict[str, OitoError] = {}

    def carry_out(self, targets: Sequence[str], *, collect: Collection[str], force: Collection[str]) -> Outcome:
        began = stopwatch()
        self._begin()
        with self._heartbeat():
            try:
                for number in range(ROUNDS):
                    self._pass(
                        targets, Planner(self.site, collect=collect, force=force if number == 0 else (), run=self.id)
                    )
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
                self._note(asset, "blocked", None, cause=f"by {culprit}")
                continue
            entry = planner.entry(asset, pointed)
            try:
                version = self._step(entry, planner, pointed)
            except OitoError as error:
                stopped[asset.name] = asset.name
                self.errors[asset.name] = error
                state = "broken" if isinstance(error, CheckFailed) else "failed"
                self._note(asset, state, None, cause=entry.reason, error=str(error))
                continue
            if version:
                pointed = {**pointed, asset.name: version}
                self._settled(asset, version)

    def _step(self, entry: Entry, planner: Planner, pointed: Mapping[str, Version]) -> Version | None:
        """Bring one asset up to date and return the version its name stands for from now on."""
        asset = entry.asset
        while entry.state in {"running", "stale", "missing"}:
            is_mine = entry.state != "running" and self._claim(entry)
            if not is_mine:
                time.sleep(WAIT_S)
            current = self.site.catalog.resolve(asset.name, self.site.environment)
            entry = planner.entry(asset, {**pointed, asset.name: current} if current else pointed)
            if is_mine:
                break  # and nobody finished the same work between the plan and the claim
        if entry.state in SETTLED:
            return entry.version
        if entry.state == "blocked":
            raise StepBlocked(f"{asset.name} is blocked", where=asset.place, known=entry.note, next="oito plan")
        try:
            return self._reuse(entry) if entry.state == "reusable" else self._make(entry)
        finally:
            with self.site.catalog.change() as change:
                runs.free(change.rows, entry.work, self.id)

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
            metrics=versions.metrics(self.site.catalog.rows, fits.id), digests=stored.digests(fits.tables, fits.files),
        )  # fmt: skip
        with self.site.catalog.change() as change:
            identity = versions.insert(change.rows, new, at=change.at, environment=self.site.environment, run=self.id)
        return self._version(identity)

    def _make(self, entry: Entry) -> Version | None:
        asset, began = entry.asset, stopwatch()
        self.tell(asset.name, "running")
        previous = entry.version
        context = Context(
            self.site, asset, entry.inputs, previous,
            is_redefined=previous is None or previous.definition != entry.definition,
            definition=entry.definition, cause=entry.reason, tell=lambda line: self.tell(asset.name, line),
        )  # fmt: skip
        made = self._attempts(context)
        seconds = stopwatch() - began
        if made.unchanged:
            with self.site.catalog.change() as change:
                self._polled(change, entry)
                self._step_row(change, asset, "unchanged", entry.version, seconds, entry.reason, log=context.lines)
            return entry.version
        new = replace(self._stored(entry, made, context), seconds=seconds)
        gated = self._is_gated(asset)
        with self.site.catalog.change() as change:
            identity = versions.insert(change.rows, new, at=change.at, environment=self.site.environment, run=self.id)
            version = self._version(identity)
            if made.broken is None:
                self._polled(change, entry)
            if made.broken is None and not gated:
                change.move(self.site.environment, asset.name, identity)
                self._step_row(change, asset, "made", version, seconds, entry.reason, log=context.lines)
            change.event(
                "made" if made.broken is None else "broke", version.ref, run=self.id,
                environment=self.site.environment, cause=entry.reason, content=version.content,
            )  # fmt: skip
        if made.broken is not None:
            raise made.broken
        return self._point(entry, version, seconds=seconds, state="made") if gated else version

    def _attempts(self, context: Context) -> Made:
        spec = context.asset.spec
        for attempt in range(spec.retries + 1):
            try:
                with _captured(context.lines):
                    return _limited(context, spec.timeout)
            except OitoError as error:
                if not error.may_retry or attempt == spec.retries:
                    raise
                context.say(f"attempt {attempt + 1} of {spec.retries + 1} failed: {error.what}")
                time.sleep(min(2.0**attempt * 0.1, 10.0))
        raise AssertionError("unreachable")

    def _stored(self, entry: Entry, made: Made, context: Context) -> NewVersion:
        """Store what is not stored yet and describe the version; bytes come first, the catalog last."""
        kept = stored.store(self.site.files, made)
        inputs = [(role, v.id) for role, v in {**entry.inputs, **context.touched}.items()]
        return NewVersion(
            asset=entry.asset.name, kind=entry.asset.kind.word, state="ok" if made.broken is None else "broken",
            fingerprint=entry.fingerprint, definition=entry.definition, content=kept.content, parts=entry.parts,
            inputs=inputs, rows=kept.rows, size_bytes=kept.size_bytes, record=made.record, tables=kept.tables,
            files=kept.files, metrics=made.metrics, digests=stored.digests(kept.tables, kept.files),
        )  # fmt: skip

    def _is_gated(self, asset: Asset) -> bool:
        return self.site.environment in self.site.catalog.protected and hasattr(asset.kind.door("run"), "gate")

    def _point(self, entry: Entry, version: Version, *, seconds: float, state: str) -> Version | None:
        """Move the environment's pointer to a version, asking the gates where the environment is protected."""
        asset = entry.asset
        said = gates(self.site, version) if self._is_gated(asset) else []
        refusals = [gate for gate in said if not gate.passed]
        with self.site.catalog.change() as change:
            if refusals:
                state = "refused"
                change.event("refused", version.ref, environment=self.site.environment, gates=[g.data() for g in said])
            elif change.move(self.site.environment, asset.name, version.id) and said:
                change.event("promoted", version.ref, environment=self.site.environment, gates=[g.data() for g in said])
            elif state == "reused":
                change.event("reused", version.ref, environment=self.site.environment)
            cause = "; ".join(gate.text for gate in refusals or said) or entry.reason
            self._step_row(change, asset, state, version, seconds, cause)
        if not refusals:
            return version
        if entry.version is None:
            raise refusal(version, refusals)
        return entry.version

    def _settled(self, asset: Asset, version: Version) -> None:
        """Tell the kind that the asset stands for this version now; what it does about it can be repeated safely."""
        hook = getattr(asset.kind.door("run"), "settled", None)
        if hook is not None:
            hook(self.site, asset, version)

    def _asked(self, targets: Sequence[str]) -> bool:
        planner = Planner(self.site)
        pointed = self.site.catalog.resolve_all(self.site.environment)
        needed = self.site.project.needed(targets)
        return any(a.spec.holds and a.name in pointed and planner.asker(a, pointed[a.name]) for a in needed)

    def _begin(self) -> None:
        now = time.time()
        with self.site.catalog.change() as change:
            for dead in runs.end_dead(change.rows, before=now - self.site.settings.lease_s):
                change.event("found dead", dead)
            source = bundle.keep(self.site.project.root, self.site.files)
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

        thread = threading.Thread(target=beat, name="oito-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _claim(self, entry: Entry) -> bool:
        with self.site.catalog.change() as change:
            lease_s = self.site.settings.lease_s
            return not runs.claim(change.rows, entry.work, self.id, now=time.time(), lease_s=lease_s)

    def _polled(self, change: Change, entry: Entry) -> None:
        if entry.asset.spec.is_external:
            change.rows.run(
                "INSERT OR REPLACE INTO poll (environment, asset, probe, at) VALUES (?, ?, ?, ?)",
                self.site.environment, entry.asset.name, entry.probe, change.at,
            )  # fmt: skip

    def _note(self, asset: Asset, state: str, version: Version | None, *, cause: str = "", error: str = "") -> None:
        with self.site.catalog.change() as change:
            self._step_row(change, asset, state, version, 0.0, cause, error=error)

    def _step_row(
        self, change: Change, asset: Asset, state: str, version: Version | None, seconds: float, cause: str,
        *, error: str = "", log: Sequence[str] = (),
    ) -> None:  # fmt: skip
        step = Step(self.id, asset.name, state, version.id if version else None, seconds, cause, error, "\n".join(log))
        runs.insert_step(change.rows, step)
        self.steps.append(step)
        self.tell(asset.name, f"{state} {version.ref if version else ''} in {seconds:.2f} s".replace("  ", " "))

    def _version(self, identity: int) -> Version:
        found = versions.by_id(self.site.catalog.rows, identity)
        assert found is not None
        return found


def gates(site: Site, version: Version) -> list[Gate]:
    """Ask the gates of a version's kind; kinds without gates let everything pass."""
    kind = site.project.kinds[version.kind]
    ask = getattr(kind.door("run"), "gate", None)
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


def _limited(context: Context, timeout: str | None) -> Made:
    """Run the kind's step within its timeout; on the main thread the step is interrupted, elsewhere it is told afterwards."""
    make: Callable[[Context], Made] = context.asset.kind.door("run").make
    try:
        if timeout is None:
            return make(context)
        seconds = duration(timeout).total_seconds()
        with _alarm(context.asset, seconds):
            return make(context)
    except OitoError:
        raise
    except OSError:
        raise
    except Exception as error:
        raise failed(context.asset, error, context.site.project.root) from error


@contextlib.contextmanager
def _alarm(asset: Asset, seconds: float) -> Iterator[None]:
    problem = StepTimeout(
        f"{asset.name} ran longer than its timeout of {seconds:g} s", where=asset.place, next="raise timeout="
    )

    def ring(number: int, frame: Any) -> None:
        raise problem

    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return
    began = stopwatch()
    yield
    if stopwatch() - began > seconds:
        raise problem


@contextlib.contextmanager
def _captured(lines: list[str]) -> Iterator[None]:
    """Keep what the user's code prints in the log of the step."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines += printed.getvalue().splitlines()
