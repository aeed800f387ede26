"""What would run, and why: each asset held against the catalog. Nothing is carried out here."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from oito.catalog import lineage, runs, versions
from oito.catalog.records import Version
from oito.flow import fingerprint as fingerprints
from oito.flow.fingerprint import Cause
from oito.flow.project import Asset
from oito.flow.site import Context, Site
from oito.storage.sql import Database

State = Literal["fresh", "held", "accepted", "stale", "reusable", "missing", "waiting", "running", "blocked", "refused"]
SETTLED: frozenset[State] = frozenset({"fresh", "held", "accepted", "refused"})


@dataclass(frozen=True)
class Entry:
    """One asset's place in a plan.

    States: `fresh` (its version fits), `held` (newer data exists, but it waits for a verdict), `accepted` (re-stamped by a
    person), `refused` (made, and a gate said no), `stale` (with `causes`), `reusable` (another version fits: the pointer
    moves without a run), `missing` (never made), `waiting` (something it needs will run first, and may change nothing),
    `running` (by another run), `blocked` (something it needs is not there).
    """

    asset: Asset
    state: State
    version: Version | None = None
    fits: Version | None = None  # a version with this very fingerprint
    causes: tuple[Cause, ...] = ()
    note: str = ""
    fingerprint: str = ""
    definition: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Version] = field(default_factory=dict)
    probe: str = ""

    @property
    def work(self) -> str:
        """What two processes must not do at the same time."""
        return self.fingerprint if not self.asset.spec.is_external else f"{self.asset.name}:{self.fingerprint}"

    @property
    def reason(self) -> str:
        """The state's cause in one line."""
        more = f" (+{len(self.causes) - 1} more)" if len(self.causes) > 1 else ""
        return self.note or (self.causes[0].text + more if self.causes else "")

    def data(self) -> dict[str, Any]:
        return {
            "asset": self.asset.name,
            "kind": self.asset.kind.word,
            "state": self.state,
            "version": self.version.ref if self.version else None,
            "reason": self.reason,
            "causes": [cause.data() for cause in self.causes],
        }


class Planner:
    """Holds each asset of a site against the catalog.

    `collect` names sources that are asked outside production too; `force` names assets that run whatever their state.
    """

    def __init__(
        self, site: Site, *, collect: Collection[str] = (), force: Collection[str] = (), run: str = ""
    ) -> None:
        self.site, self.run = site, run
        self.collect, self.force = frozenset(collect), frozenset(force)
        self._definitions: dict[str, dict[str, Any]] = {}

    def plan(self, targets: Sequence[str] = ()) -> list[Entry]:
        """Return an entry for each target and all it needs, in the order they would run."""
        versions_by_asset = self.site.catalog.resolve_all(self.site.environment)
        entries: dict[str, Entry] = {}
        for asset in self.site.project.needed(targets):
            unsettled = [i.asset for i in asset.inputs if i.asset in entries and entries[i.asset].state not in SETTLED]
            if unsettled and not self._waits_for_verdict(asset, versions_by_asset.get(asset.name)):
                entries[asset.name] = self._behind(asset, versions_by_asset.get(asset.name), unsettled)
            else:
                entries[asset.name] = self.entry(asset, versions_by_asset)
        return list(entries.values())

    def entry(self, asset: Asset, pointed: Mapping[str, Version]) -> Entry:
        """Return the place of one asset whose inputs are settled; `pointed` is the environment's map."""
        current = pointed.get(asset.name)
        absent = [each.asset for each in asset.inputs if each.asset not in pointed]
        if absent:
            return Entry(asset, "blocked", current, note="needs " + ", ".join(absent))
        inputs = {each.role: pointed[each.asset] for each in asset.inputs}
        parts = fingerprints.with_inputs(self._definition(asset), inputs)
        key = fingerprints.fingerprint(parts)
        known: dict[str, Any] = {
            "fingerprint": key,
            "definition": fingerprints.definition_digest(parts, {role: v.definition for role, v in inputs.items()}),
            "parts": parts,
            "inputs": inputs,
        }
        if asset.name in self.force:
            return Entry(asset, "stale", current, note="asked for by name", **known)
        if asset.spec.is_external:
            return self._external(asset, current, known)
        if current and current.fingerprint == key:
            return self._verdict(asset, current, known) or Entry(asset, "fresh", current, **known)
        holder = self._holder(key)
        if holder:
            return Entry(asset, "running", current, note=f"by run {holder}", **known)
        if current and self._is_accepted(asset, key, current):
            return Entry(asset, "accepted", current, **known)
        asked = self._verdict(asset, current, known)
        if asked:
            return asked
        if current and asset.spec.holds and self._is_held(asset, current, known["definition"]):
            return Entry(asset, "held", current, note="newer data waits for a monitor's verdict", **known)
        fits = versions.by_fingerprint(self.site.catalog.rows, key, asset=asset.name)
        if fits and self._was_refused(asset, fits):
            return Entry(asset, "refused", current, fits, note=f"a gate refused {fits.ref}", **known)
        if fits:
            return Entry(asset, "reusable", current, fits, note=f"{fits.ref} fits", **known)
        return self._stale(asset, current, known)

    def _definition(self, asset: Asset) -> dict[str, Any]:
        if asset.name not in self._definitions:
            site = self.site
            self._definitions[asset.name] = fingerprints.definition(
                asset, site.project, packages=site.settings.packages, root=site.root
            )
        return self._definitions[asset.name]

    def _stale(self, asset: Asset, current: Version | None, known: dict[str, Any]) -> Entry:
        if current is None:
            return Entry(asset, "missing", note="never made here", **known)
        before = versions.parts(self.site.catalog.rows, current.fingerprint) or {}
        return Entry(asset, "stale", current, causes=tuple(fingerprints.causes(before, known["parts"])), **known)

    def _external(self, asset: Asset, current: Version | None, known: dict[str, Any]) -> Entry:
        """Place an asset whose result depends on the outside world: its probe says whether that may have changed."""
        site = self.site
        is_source = not asset.inputs
        borrowed = is_source and site.environment != site.catalog.base and asset.name not in self.collect
        if borrowed and current and current.environment != site.environment:
            return Entry(asset, "fresh", current, note=f"reads {current.environment}'s", **known)
        context = Context(site, asset, known["inputs"], current, is_redefined=False)
        probe: str = asset.kind.door("run").probe(context)
        row = site.catalog.rows.one(
            "SELECT probe FROM poll WHERE environment = ? AND asset = ?", site.environment, asset.name
        )
        if current is None:
            return Entry(asset, "missing", note="never made here", probe=probe, **known)
        if current.definition != known["definition"]:
            return Entry(**{**vars(self._stale(asset, current, known)), "probe": probe})
        if row is None or row["probe"] != probe:
            before = row["probe"] if row else ""
            cause = Cause("outside", asset.name, before, probe)
            return Entry(asset, "stale", current, causes=(cause,), note=f"due: {probe}", probe=probe, **known)
        return Entry(asset, "fresh", current, probe=probe, **known)

    def _behind(self, asset: Asset, current: Version | None, unsettled: Sequence[str]) -> Entry:
        state: State = "waiting" if current else "missing"
        return Entry(asset, state, current, note="after " + ", ".join(dict.fromkeys(unsettled)))

    def _waits_for_verdict(self, asset: Asset, current: Version | None) -> bool:
        """Say whether data that is about to be newer would not make this asset run."""
        if not current or not asset.spec.holds or not self._watchers(asset) or self.asker(asset, current):
            return False
        return not self._redefined_above(asset, current)

    def _redefined_above(self, asset: Asset, current: Version) -> bool:
        pointed = self.site.catalog.resolve_all(self.site.environment)
        digests: dict[str, str] = {}
        for each in self.site.project.needed([asset.name]):
            if any(i.asset not in digests for i in each.inputs):
                return True
            above = {i.role: digests[i.asset] for i in each.inputs}
            digests[each.name] = fingerprints.definition_digest(self._definition(each), above)
            if each.name not in pointed:
                return True
        return digests[asset.name] != current.definition

    def _is_held(self, asset: Asset, current: Version, definition: str) -> bool:
        return bool(self._watchers(asset)) and current.definition == definition

    def _watchers(self, asset: Asset) -> list[Asset]:
        return [below for below in self.site.project.below(asset.name) if getattr(below.spec, "watches", False)]

    def asker(self, asset: Asset, current: Version) -> Version | None:
        """Return the monitor's version that asks for this asset to be made again, if none was made since it asked."""
        for watcher in self._watchers(asset):
            verdict = self.site.catalog.resolve(watcher.name, self.site.environment)
            if verdict is None or asset.name not in verdict.record.get("asks", {}):
                continue
            newest = versions.newest(self.site.catalog.rows, asset.name, environment=self.site.environment) or current
            if max(newest.id, current.id) < verdict.id:
                return verdict
        return None

    def _verdict(self, asset: Asset, current: Version | None, known: dict[str, Any]) -> Entry | None:
        asker = self.asker(asset, current) if current and asset.spec.holds else None
        if asker is None:
            return None
        if current and current.fingerprint == known["fingerprint"]:
            return None  # nothing is newer than what it was made from
        return Entry(asset, "stale", current, note=f"{asker.ref} asks: {asker.record['asks'][asset.name]}", **known)

    def _was_refused(self, asset: Asset, fits: Version) -> bool:
        last = runs.last_step(self.site.catalog.rows, asset.name, self.site.environment)
        return bool(last and last.state == "refused" and last.version == fits.id)

    def _is_accepted(self, asset: Asset, key: str, current: Version) -> bool:
        return bool(
            self.site.catalog.rows.one(
                "SELECT 1 FROM accepted WHERE fingerprint = ? AND asset = ? AND version = ?",
                key,
                asset.name,
                current.id,
            )
        )

    def _holder(self, key: str) -> str:
        row = self.site.catalog.rows.one("SELECT run, seen FROM work WHERE fingerprint = ? AND run <> ?", key, self.run)
        return row["run"] if row and row["seen"] > time.time() - self.site.settings.lease_s else ""


def pinned_inputs(rows: Database, version: Version) -> dict[str, Version]:
    """Return the inputs a version was made from, by role."""
    edges = lineage.inputs(rows, version.id)
    found = versions.by_ids(rows, [edge.input for edge in edges])
    return {edge.role: found[edge.input] for edge in edges}
