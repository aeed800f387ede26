"""How the end of a step is written down: version, edges, pointer and gates in one transaction. What runs when is the runner's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oito.catalog import freed, runs, versions
from oito.catalog.catalog import Change
from oito.catalog.lineage import PARTITION
from oito.catalog.records import NewVersion, Step, Version
from oito.errors import GateRefused
from oito.flow import machine
from oito.flow.engines.engine import Done
from oito.flow.entry import Entry
from oito.flow.keyed import whole_fingerprint
from oito.flow.partition import data
from oito.flow.project import Asset
from oito.flow.reads import undeclared
from oito.flow.site import Context, Gate, Made, Site
from oito.flow.stored import Stored, digests, joined


class TakenOver(Exception):
    """Another run took the work over, because this one gave no sign of life for a while."""


class Commits:
    """Writes down what the steps of one run made; `told` hears of each step that is over."""

    def __init__(self, site: Site, run: str, told: Callable[[Step, Version | None], None]) -> None:
        self.site, self.run, self.told = site, run, told

    def made(self, entry: Entry, done: Done) -> Version | None:
        """Write down what a step made, and return the version that its name stands for from now on.

        Raises:
            TakenOver: the work is another run's by now; nothing was written.
            OitoError: the version is there, but broken.
        """
        context, made, stored = done.context, done.made, done.stored
        assert made is not None
        if stored is None:
            return self._unchanged(entry, done)
        inputs = [(role, v.id) for role, v in {**context.inputs, **context.touched}.items()]
        told = undeclared.told(entry, made.undeclared)
        context.lines += undeclared.warnings(undeclared.unheard(told, made.undeclared), entry.asset)
        return self._insert(told, made, stored, inputs, context.lines, done.seconds, work=entry.work)

    def whole(
        self, entry: Entry, facts: Mapping[str, Sequence[Any]], lines: Sequence[str], seconds: float
    ) -> Version | None:
        """Put a mapped asset's partitions together and return the whole."""
        parts = versions.by_ids(self.site.catalog.rows, [fact[3] for fact in facts.values()])
        context = Context(
            self.site, entry.asset, entry.inputs, entry.version, definition=entry.definition, cause=entry.reason
        )  # fmt: skip
        made, stored = joined(context, {key: parts[fact[3]] for key, fact in facts.items()})
        inputs = [(role, v.id) for role, v in entry.inputs.items()]
        inputs += [(PARTITION + key, fact[3]) for key, fact in facts.items()]
        return self._insert(
            entry, made, stored, inputs, [*lines, *context.lines], seconds, work=whole_fingerprint(entry, facts),
            fingerprint=whole_fingerprint(entry, facts), partitions=data(entry.asset.dimensions, facts),
        )  # fmt: skip

    def reused(self, entry: Entry) -> Version | None:
        """Let the asset's name stand for a version that fits already."""
        fits = entry.fits
        assert fits is not None
        if fits.asset != entry.asset.name:
            fits = self._renamed(entry, fits)
        return self._point(entry, fits, seconds=0.0, state="reused", log=())

    def note(self, name: str, state: str, *, cause: str = "", error: str = "", log: Sequence[str] = ()) -> None:
        """Write down a step that made nothing."""
        with self.site.catalog.change() as change:
            step = self._step(change, name, state, None, 0.0, cause, error=error, log=log)
        self.told(step, None)

    def _insert(
        self, entry: Entry, made: Made, stored: Stored, inputs: Sequence[tuple[str, int]], log: Sequence[str],
        seconds: float, *, work: str, fingerprint: str = "", partitions: Mapping[str, Any] | None = None,
    ) -> Version | None:  # fmt: skip
        new = NewVersion(
            asset=entry.name, kind=entry.asset.kind.word, state="ok" if made.broken is None else "broken",
            fingerprint=fingerprint or entry.fingerprint, definition=entry.definition, content=stored.content,
            parts=entry.parts, inputs=inputs, rows=stored.rows, size_bytes=stored.size_bytes, record=made.record,
            tables=stored.tables, files=stored.files, metrics=made.metrics, seconds=seconds,
            digests=[*digests(stored.tables, stored.files), *machine.digests(made.record)], partition=entry.partition,
            partitions=stored.partitions if partitions is None else partitions,
        )  # fmt: skip
        is_gated = made.broken is None and self._is_gated(entry.asset)
        with self.site.catalog.change() as change:
            if not runs.holds(change.rows, work, self.run) or not (fingerprint or self._has_all(change, new)):
                raise TakenOver
            undeclared.learn(change.rows, entry)
            if entry.partition:
                versions.keep_parts(change.rows, entry.parts["of"], entry.whole_parts)
            identity = versions.insert(
                change.rows, new, at=change.at, environment=self.site.environment, run=self.run
            )  # fmt: skip
            version = self._version(identity)
            if made.broken is None:
                self._polled(change, entry)
            if not is_gated:  # else the step is written down with the gates' verdict; until then nothing has answered
                step = self._committed(change, entry, made, version, seconds, log, work)
            change.event(
                "made" if made.broken is None else "broke", version.ref, run=self.run,
                environment=self.site.environment, cause=entry.reason, content=version.content,
            )  # fmt: skip
        if is_gated:
            return self._point(entry, version, seconds=seconds, state="made", log=log)
        self.told(step, version)
        if made.broken is not None:
            raise made.broken
        return version

    def _committed(
        self, change: Change, entry: Entry, made: Made, version: Version, seconds: float, log: Sequence[str], work: str
    ) -> Step:
        """Move the pointer and write the step down, in the transaction that writes the version."""
        runs.free(change.rows, work, self.run)
        if made.broken is not None:
            error = str(made.broken)
            return self._step(change, entry.name, "broken", version, seconds, entry.reason, error=error, log=log)
        if not entry.partition:  # one that is part of a whole is reached through it
            change.move(self.site.environment, entry.asset.name, version.id)
        return self._step(change, entry.name, "made", version, seconds, entry.reason, log=log)

    def _unchanged(self, entry: Entry, done: Done) -> Version | None:
        with self.site.catalog.change() as change:
            if not runs.holds(change.rows, entry.work, self.run):
                raise TakenOver
            self._polled(change, entry)
            step = self._step(
                change, entry.name, "unchanged", entry.version, done.seconds, entry.reason, log=done.context.lines
            )
        self.told(step, entry.version)
        return entry.version

    def _renamed(self, entry: Entry, fits: Version) -> Version:
        """Give a version that another asset made (this one's former name) to this asset, without running."""
        new = NewVersion(
            asset=entry.asset.name, kind=fits.kind, fingerprint=entry.fingerprint, definition=entry.definition,
            content=fits.content, parts=entry.parts, inputs=[(role, v.id) for role, v in entry.inputs.items()],
            rows=fits.rows, size_bytes=fits.size_bytes, record=fits.record, tables=fits.tables, files=fits.files,
            metrics=versions.metrics(self.site.catalog.rows, fits.id), digests=[*digests(fits.tables, fits.files), *machine.digests(fits.record)],
            partitions=fits.partitions,
        )  # fmt: skip
        with self.site.catalog.change() as change:
            if not self._has_all(change, new):
                raise TakenOver
            identity = versions.insert(change.rows, new, at=change.at, environment=self.site.environment, run=self.run)
        return self._version(identity)

    def _is_gated(self, asset: Asset) -> bool:
        return self.site.environment in self.site.catalog.protected and hasattr(asset.kind.door("run"), "gate")

    def _point(
        self, entry: Entry, version: Version, *, seconds: float, state: str, log: Sequence[str]
    ) -> Version | None:
        """Move the environment's pointer to a version, asking the gates where the environment is protected."""
        asset, environment = entry.asset, self.site.environment
        said = gates(self.site, version) if self._is_gated(asset) else []
        refusals = [gate for gate in said if not gate.passed]
        with self.site.catalog.change() as change:
            if freed.among(change.rows, [version.id]):
                raise TakenOver
            if refusals:
                state = "refused"
                change.event("refused", version.ref, environment=environment, gates=[g.data() for g in said])
            elif change.move(environment, asset.name, version.id) and said:
                change.event("promoted", version.ref, environment=environment, gates=[g.data() for g in said])
            elif state == "reused":
                change.event("reused", version.ref, environment=environment)
            cause = "; ".join([*filter(None, [entry.reason]), *(gate.text for gate in refusals or said)])
            step = self._step(change, asset.name, state, version, seconds, cause, log=log)
        self.told(step, version)
        if not refusals:
            return version
        if entry.version is None:
            raise refusal(version, refusals)
        return entry.version

    def _has_all(self, change: Change, new: NewVersion) -> bool:
        """Say whether what a version is made from and of is there: nothing was freed since this run was taken for dead."""
        gone = freed.among(change.rows, [identity for _, identity in new.inputs])
        return not gone and not self.site.files.missing(new.digests)

    def _polled(self, change: Change, entry: Entry) -> None:
        if entry.asset.spec.is_external:
            change.rows.run(
                "INSERT OR REPLACE INTO poll (environment, asset, probe, at) VALUES (?, ?, ?, ?)",
                self.site.environment, entry.asset.name, entry.probe, change.at,
            )  # fmt: skip

    def _step(
        self, change: Change, name: str, state: str, version: Version | None, seconds: float, cause: str,
        *, error: str = "", log: Sequence[str] = (),
    ) -> Step:  # fmt: skip
        step = Step(self.run, name, state, version.id if version else None, seconds, cause, error, "\n".join(log))
        runs.insert_step(change.rows, step)
        return step

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
