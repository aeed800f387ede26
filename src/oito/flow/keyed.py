"""A mapped asset held against the catalog key by key: which partitions stand, which would run, and why. Whole assets are plan.py's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from oito.catalog import approvals, lineage, versions
from oito.catalog.records import Version
from oito.flow.entry import Entry
from oito.flow.fingerprint import Cause
from oito.flow.partition import Picker, dimensions_of, keys_of, matching, universe
from oito.flow.site import Site
from oito.storage.digests import digest


def given_keys(entry: Entry, site: Site) -> dict[str, str]:
    """Return dimension → the keys that the declaration gives it at this moment, as text; those from inputs are left out."""
    found = {}
    for each in entry.asset.dimensions:
        if each.given:
            keys = each.given.keys(site.now())
            found[each.name] = f"{keys[0]}..{keys[-1]}" if each.given.since and keys else ", ".join(keys)
    return found


def keyed(known: Entry, site: Site, *, wanted: Sequence[str] = (), is_forced: bool = False) -> Entry:
    """Return the place of a mapped asset whose whole does not fit: its open partitions, and those that stand.

    Args:
        wanted: the partitions that a person named; the others stay as they are.

    Raises:
        BadInput: one of them is no partition of it.
    """
    asset, rows = known.asset, site.catalog.rows
    unpartitioned = [
        v.ref for i in asset.inputs if (v := known.inputs[i.role]) and _is_behind(i.asset, v, site) and not v.partitions
    ]
    if unpartitioned:
        refs = ", ".join(unpartitioned)
        return replace(known, state="blocked", note=f"{refs} was made before it was partitioned: make it again")
    pickers = {i.role: Picker(asset.dimensions, known.inputs[i.role], i.window) for i in asset.inputs}
    inputs = [known.inputs[i.role] for i in asset.inputs if not i.window]
    windows = [known.inputs[i.role] for i in asset.inputs if i.window]
    keys = universe(asset.dimensions, inputs, windows, site.now())
    chosen = set(matching(asset.dimensions, keys, wanted)) if wanted else set(keys)
    before: Mapping[str, Any] = keys_of(known.version) if known.version else {}
    common = {name: part for name, part in known.parts.items() if name not in {"inputs", "partitions"}}
    standing: dict[str, Sequence[Any]] = {}
    open_ones: dict[str, Entry] = {}
    is_partial = False
    for key in keys:
        picks = {role: picker.keys(key) for role, picker in pickers.items()}
        contents = {role: _content(known.inputs[role], picked) for role, picked in picks.items()}
        mark = digest((known.parts["key"], contents, key))
        if key in before and before[key][0] == mark and not (is_forced and key in chosen):
            standing[key] = before[key]
        elif key in chosen:
            parts = {"of": known.parts["key"], "inputs": contents, "partition": {"key": key}}
            open_ones[key] = replace(
                known, state="missing", partition=key, fingerprint=mark, parts=parts, picks=picks, version=None,
                whole_parts=common, is_forced=is_forced,
            )  # fmt: skip
        else:
            is_partial = True
            standing |= {key: before[key]} if key in before else {}
    if not keys:
        return replace(known, state="blocked", note="there is no partition of it yet")
    _stand(open_ones, standing, before, site, is_forced=is_forced)
    lacking = _lacking(open_ones, known)
    if lacking:
        return replace(known, state="blocked", note=lacking)
    earlier = versions.by_ids(rows, [before[key][3] for key in open_ones if key in before])
    entries = tuple(
        _planned(entry, earlier.get(before[key][3]) if key in before else None) for key, entry in open_ones.items()
    )
    text = f"{len(entries)} of {len(keys)} partitions" if entries else f"its {len(keys)} partitions stand already"
    first = (
        f": {entries[0].partition}" + (f" to {entries[-1].partition}" if len(entries) > 1 else "") if entries else ""
    )
    return replace(
        known, state="stale" if known.version else "missing", partitions=entries, standing=standing,
        universe=tuple(keys), is_partial=is_partial, is_forced=is_forced, note=text + first,
    )  # fmt: skip


def whole_fingerprint(entry: Entry, facts: Mapping[str, Sequence[Any]]) -> str:
    """Return the fingerprint of a whole: that of its plan, or of just these partitions while others are behind."""
    if not entry.is_partial:
        return entry.fingerprint
    return digest(("part of", entry.fingerprint, [(key, fact[0]) for key, fact in facts.items()]))


def input_causes(before: Version, inputs: Mapping[str, Version], site: Site) -> list[Cause]:
    """Return the partitions of the inputs that differ from those a version was made from, before → after."""
    edges = {edge.role: edge.input for edge in lineage.inputs(site.catalog.rows, before.id)}
    olds = versions.by_ids(site.catalog.rows, [edges[role] for role in inputs if role in edges])
    found = []
    for role, new in inputs.items():
        old = olds.get(edges.get(role, 0))
        if old is None or old.id == new.id or not old.partitions or not new.partitions:
            continue
        was, now = keys_of(old), keys_of(new)
        for key in sorted({*was, *now}):
            pair = [facts[key][1][:12] if key in facts else "" for facts in (was, now)]
            if pair[0] != pair[1]:
                found.append(Cause("partition", f"{new.asset}[{key}]", *pair))
    return found


def _is_behind(name: str, version: Version, site: Site) -> bool:
    """Say whether an input's declaration is partitioned, which its version may not be yet."""
    asset = site.project.assets.get(name)
    return asset is not None and bool(asset.dimensions or asset.cut)


def _content(version: Version, picked: Sequence[str] | None) -> str:
    """Return the digest of what one key reads of an input."""
    if picked is None:
        return version.content
    facts = keys_of(version)
    if len(picked) == 1:
        return str(facts[picked[0]][1])
    return digest([(key, facts[key][1]) for key in picked])


def _stand(
    open_ones: dict[str, Entry], standing: dict[str, Sequence[Any]], before: Mapping[str, Any], site: Site,
    *, is_forced: bool,
) -> None:  # fmt: skip
    """Move the partitions that need no run from the open ones to those that stand."""
    if is_forced or not open_ones:
        return
    catalog = site.catalog
    fitting = versions.by_fingerprints(catalog.rows, [entry.fingerprint for entry in open_ones.values()])
    accepted = approvals.accepted(
        catalog.rows, catalog.chain(site.environment), asset=next(iter(open_ones.values())).asset.name
    )
    for key, entry in list(open_ones.items()):
        fits = fitting.get(entry.fingerprint)
        if fits is not None:
            standing[key] = [entry.fingerprint, fits.content, fits.rows, fits.id]
        elif key in before and (entry.fingerprint, before[key][3]) in accepted:
            standing[key] = [entry.fingerprint, *before[key][1:]]
        else:
            continue
        del open_ones[key]


def _lacking(open_ones: Mapping[str, Entry], known: Entry) -> str:
    """Return which partition of a mapped input is not there, when one is needed; rows that are cut may be none."""
    for key, entry in open_ones.items():
        for role, picked in entry.picks.items():
            version = known.inputs[role]
            if picked == [] and version.partitions and not any(each.column for each in dimensions_of(version)):
                return f"{entry.asset.name}[{key}] needs {version.asset}[{key}], which is not there"
    return ""


def _planned(entry: Entry, earlier: Version | None) -> Entry:
    is_redefined = earlier is None or earlier.definition != entry.definition
    return replace(entry, version=earlier, is_redefined=is_redefined, state="stale" if earlier else "missing")
