"""What would run, and why: each asset held against the catalog. Nothing is carried out here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from oito.catalog import approvals, environments, lineage, runs, versions
from oito.catalog.records import Version
from oito.clock import uptime
from oito.errors import BadInput, OitoError
from oito.flow import fingerprint as fingerprints
from oito.flow import loading
from oito.flow.code.ownership import Owners
from oito.flow.entry import SETTLED, Entry
from oito.flow.fingerprint import Cause
from oito.flow.keyed import given_keys, input_causes, keyed
from oito.flow.project import Asset, NeedsProject
from oito.flow.reads import undeclared
from oito.flow.site import Context, Site, failed
from oito.storage.sql import Database


class Planner:
    """Holds each asset of a site against the catalog.

    `collect` names sources that are asked outside production too; `force` names assets that run whatever their state;
    `partitions` are those that a person named, by mapped asset: its others stay as they are.
    """

    def __init__(
        self, site: Site, *, collect: Collection[str] = (), force: Collection[str] = (), run: str = "",
        partitions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        self.site, self.run = site, run
        self.collect, self.force = frozenset(collect), frozenset(force)
        self.partitions = partitions or {}
        self._definitions: dict[str, dict[str, Any]] = {}
        self._owners = Owners([site.project.root])
        if not site.project.definitions:  # else it is a sketch, which has no modules
            loading.activate(site.project.root, site.project.modules)

    def plan(self, targets: Sequence[str] = ()) -> list[Entry]:
        """Return an entry for each target and all it needs, in the order they would run."""
        pointed = self.site.catalog.resolve_all(self.site.environment)
        entries: dict[str, Entry] = {}
        for asset in self.site.project.needed(targets):
            open_ones = [i.asset for i in asset.inputs if i.asset in entries and entries[i.asset].state not in SETTLED]
            entries[asset.name] = (
                self._behind(asset, pointed.get(asset.name), open_ones, entries)
                if open_ones
                else self.entry(asset, pointed)
            )
        return list(entries.values())

    def entry(self, asset: Asset, pointed: Mapping[str, Version]) -> Entry:
        """Return the place of one asset whose inputs are settled; `pointed` is the environment's map."""
        current = pointed.get(asset.name)
        absent = [each.asset for each in asset.inputs if each.asset not in pointed]
        if absent:
            return Entry(asset, "blocked", current, note="needs " + ", ".join(absent))
        inputs = {each.role: pointed[each.asset] for each in asset.inputs}
        parts = fingerprints.with_inputs(self._definition(asset), inputs)
        definition = self._defined(asset, {role: version.definition for role, version in inputs.items()})
        known = Entry(
            asset, "fresh", current, fingerprint=fingerprints.fingerprint(parts), definition=definition, parts=parts,
            inputs=inputs, is_redefined=current is None or current.definition != definition,
        )  # fmt: skip
        if asset.dimensions:
            known = self._with_given(known)
        if asset.name in self.partitions:
            self._keyed(known)  # what is named must be there, even where there is nothing to do
        if asset.name in self.force:
            forced = replace(known, state="stale", note="asked for by name")
            return self._keyed(forced, is_forced=True) if asset.dimensions else forced
        return self._external(known) if asset.spec.is_external else self._internal(known)

    def asker(self, asset: Asset, current: Version) -> Version | None:
        """Return the monitor's version that asks for this asset to be made again, if nothing was since it asked."""
        for watcher in self._watchers(asset):
            verdict = self.site.catalog.resolve(watcher.name, self.site.environment)
            if verdict is None or current.id > verdict.id or asset.name not in verdict.record.get("asks", {}):
                continue
            if not runs.has_answered(self.site.catalog.rows, asset.name, self.site.environment, verdict.id):
                return verdict
        return None

    def _internal(self, known: Entry) -> Entry:
        """Place an asset that depends on its definition and inputs alone."""
        asset, current, rows = known.asset, known.version, self.site.catalog.rows
        if current and current.fingerprint == known.fingerprint:
            return known
        holder = runs.holder(rows, known.work, now=uptime(), lease_s=self.site.settings.lease_s)
        if holder and holder != self.run:
            return replace(known, state="running", note=f"by run {holder}")
        if current and self._is_accepted(known):
            return replace(known, state="accepted")
        asker = self.asker(asset, current) if current and asset.spec.holds else None
        if current and asker is None and self._is_held(asset, current, known.definition):
            return replace(known, state="held", note="newer data waits for a monitor's verdict")
        fits = versions.by_fingerprint(rows, known.fingerprint, asset=asset.name)
        if fits and self._was_refused(asset, fits):
            return replace(known, state="refused", fits=fits, note=f"a gate refused {fits.ref}")
        if fits:
            return replace(known, state="reusable", fits=fits, note=f"{fits.ref} fits")
        if asset.dimensions:
            return self._keyed(known)
        note = f"{asker.ref} asks: {asker.record['asks'][asset.name]}" if asker else ""
        return self._stale(known, note=note)

    def _with_given(self, known: Entry) -> Entry:
        """Return the entry of a mapped asset with the partitions that its declaration gives it."""
        parts = {**known.parts, "partitions": given_keys(known, self.site)}
        return replace(known, parts=parts, fingerprint=fingerprints.fingerprint(parts))

    def _keyed(self, known: Entry, *, is_forced: bool = False) -> Entry:
        if not known.asset.dimensions:
            known_ones = [name for name, each in self.site.project.assets.items() if each.dimensions]
            raise BadInput(
                f"{known.asset.name} is not made partition by partition", where=known.asset.place,
                known=f"those that are: {', '.join(known_ones) or 'none'}",
            )  # fmt: skip
        placed = keyed(known, self.site, wanted=self.partitions.get(known.asset.name, ()), is_forced=is_forced)
        if placed.state == "blocked" or known.version is None:
            return placed
        causes = self._stale(known).causes
        return replace(placed, causes=(*causes, *input_causes(known.version, known.inputs, self.site)))

    def _external(self, known: Entry) -> Entry:
        """Place an asset whose result depends on the outside world: its probe says whether that may have changed."""
        asset, current = known.asset, known.version
        if current and known.is_redefined and self._is_accepted(known):
            known = replace(known, is_redefined=False)
        if current and not known.is_redefined and self._is_borrowed(asset):
            return replace(known, note=f"reads {self.site.catalog.base}'s")
        known = replace(known, probe=self._probe(known))
        if known.is_redefined:
            return self._stale(known)
        row = self.site.catalog.rows.one(
            "SELECT probe FROM poll WHERE environment = ? AND asset = ?", self.site.environment, asset.name
        )
        if row is None or row["probe"] != known.probe:
            cause = Cause("outside", asset.name, row["probe"] if row else "", known.probe)
            return replace(known, state="stale", causes=(cause,), note=f"due: {known.probe}")
        return known

    def _behind(
        self, asset: Asset, current: Version | None, open_ones: Sequence[str], entries: Mapping[str, Entry]
    ) -> Entry:
        """Place an asset that waits for others; how they will be defined is known, what they will hold is not."""
        known = Entry(asset, "waiting", current, note="after " + ", ".join(dict.fromkeys(open_ones)))
        above = {each.role: entries[each.asset] for each in asset.inputs}
        if all(entry.definition for entry in above.values()):
            made = {role: _expected(entry) for role, entry in above.items()}
            known = replace(known, definition=self._defined(asset, made))
        if current is None:
            return replace(known, state="missing")
        is_held = self._is_held(asset, current, known.definition) and not self.asker(asset, current)
        return replace(known, state="held", note="newer data waits for a monitor's verdict") if is_held else known

    def definition(self, asset: Asset) -> fingerprints.Parts:
        """Return everything that enters the fingerprints of an asset's versions but their inputs."""
        if asset.name not in self._definitions:
            site, drawn = self.site, self.site.project.definitions.get(asset.name)
            if drawn is not None:
                self._definitions[asset.name] = fingerprints.refreshed(dict(drawn), asset, root=site.root)
            else:
                self._definitions[asset.name] = fingerprints.definition(
                    asset, site.project, packages=site.settings.packages, root=site.root, seed=site.settings.seed,
                    owners=self._owners,
                )  # fmt: skip
        return self._definitions[asset.name]

    def _definition(self, asset: Asset) -> fingerprints.Parts:
        # Asked each time: another run may have found out meanwhile what the code reads.
        parts = undeclared.learned(self.site.catalog.rows, self.definition(asset), self.site.root)
        if self.site.settings.strict and undeclared.SECTION in parts:
            raise undeclared.refusal(list(parts[undeclared.SECTION]), asset)
        return parts

    def _defined(self, asset: Asset, inputs: Mapping[str, str]) -> str:
        is_external = bool(asset.spec.is_external)
        return fingerprints.definition_digest(self._definition(asset), inputs, is_external=is_external)

    def _stale(self, known: Entry, *, note: str = "") -> Entry:
        if known.version is None:
            return replace(known, state="missing", note="never made here")
        before = versions.parts(self.site.catalog.rows, known.version.fingerprint) or {}
        return replace(known, state="stale", causes=tuple(fingerprints.causes(before, known.parts)), note=note)

    def _is_borrowed(self, asset: Asset) -> bool:
        """Say whether what the outside world said is the base's to know: a source's rows, a verdict on what is the base's own.

        Outside of the base nothing is collected unless that was asked for, and nothing judged that was not made there.
        """
        site = self.site
        if asset.spec.takes_assets or site.environment == site.catalog.base or asset.name in self.collect:
            return False
        looked_at = (asset.name, *(each.asset for each in asset.inputs))
        return not any(environments.target(site.catalog.rows, site.environment, name) for name in looked_at)

    def _probe(self, known: Entry) -> str:
        site, asset = self.site, known.asset
        context = Context(site, asset, known.inputs, known.version, is_redefined=False, definition=known.definition)
        try:
            return str(asset.kind.door(asset.kind.probe).probe(context))
        except (OitoError, NeedsProject):
            raise
        except Exception as error:
            raise failed(asset, error, site.project.root) from error

    def _is_held(self, asset: Asset, current: Version, definition: str) -> bool:
        """Say whether only data would be newer, and something watches the asset that will say when that matters."""
        return asset.spec.holds and current.definition == definition and bool(self._watchers(asset))

    def _watchers(self, asset: Asset) -> list[Asset]:
        return [below for below in self.site.project.below(asset.name) if getattr(below.spec, "watches", False)]

    def _was_refused(self, asset: Asset, fits: Version) -> bool:
        last = runs.last_step(self.site.catalog.rows, asset.name, self.site.environment)
        return bool(last and last.state == "refused" and last.version == fits.id)

    def _is_accepted(self, known: Entry) -> bool:
        assert known.version is not None
        catalog = self.site.catalog
        return approvals.is_accepted(
            catalog.rows, catalog.chain(self.site.environment),
            fingerprint=known.fingerprint, asset=known.asset.name, version=known.version.id,
        )  # fmt: skip


def _expected(entry: Entry) -> str:
    """Return the definition that an asset's version will have once the plan was carried out."""
    standing = entry.fits if entry.state == "reusable" else entry.version if entry.state in SETTLED else None
    return standing.definition if standing else entry.definition


def pinned_inputs(rows: Database, version: Version) -> dict[str, Version]:
    """Return the inputs a version was made from, by role."""
    edges = lineage.inputs(rows, version.id)
    found = versions.by_ids(rows, [edge.input for edge in edges])
    return {edge.role: found[edge.input] for edge in edges if not edge.role.startswith(lineage.PARTITION)}
