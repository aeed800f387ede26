"""Which versions and files are still needed, and by what; the rest is given back. What a kind's own files need, its upkeep tells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oito.catalog import environments, freed, runs
from oito.catalog.catalog import Change
from oito.catalog.lineage import PARTITION
from oito.catalog.records import Run
from oito.clock import text, uptime
from oito.errors import NotFound
from oito.flow import machine
from oito.flow.site import Site
from oito.flow.upkeep import kinds as upkeep
from oito.flow.upkeep.kinds import Keep
from oito.names import duration
from oito.storage.files import Files
from oito.storage.sql import Database


@dataclass(frozen=True)
class Known:
    """One version, as far as keeping it is concerned."""

    id: int
    asset: str
    ref: str
    state: str
    run: str


@dataclass
class Need:
    """What is needed, each with its first reason: versions by id, and stored files that no version owns (bundles).

    A reason is a few words that many share, then, after a colon, what it is in this case.
    """

    versions: dict[int, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def version(self, identity: int, why: str) -> None:
        self.versions.setdefault(identity, why)


@dataclass(frozen=True)
class Verdict:
    """What may go and what stays: `goes` are versions to be freed, `free_bytes` by asset what that gives back.

    `held` are the versions with bytes that stay, each with its reason; `files` those that were the freed ones' alone.
    """

    goes: tuple[Known, ...]
    held: tuple[tuple[Known, str], ...]
    free_bytes: Mapping[str, int]
    held_bytes: Mapping[str, int]
    freed_bytes: Mapping[int, int]
    need: Need
    files: frozenset[str]
    keep: Keep
    last_run: int
    last_release: int


def judged(site: Site) -> Verdict:
    """Return what may go and what stays, as the catalog is now; nothing is changed."""
    known = {each.id: each for each in _known(site)}
    living = [each for each in runs.running(site.catalog.rows) if _is_alive(site, each)]
    need = _need(site, known, living)
    owned: dict[int, list[str]] = {}
    for row in site.catalog.rows.read("SELECT version, digest FROM file ORDER BY version"):
        owned.setdefault(row["version"], []).append(row["digest"])
    kept = {digest for identity, digests in owned.items() if identity in need.versions for digest in digests}
    goes = [
        known[identity]
        for identity, digests in owned.items()
        if identity not in need.versions and any(each not in kept for each in digests)
    ]
    gone = {each.id for each in goes}
    held = [
        (known[identity], need.versions.get(identity, "its bytes are others' too"))
        for identity in owned if identity not in gone
    ]  # fmt: skip
    freed_bytes, free_bytes = _sizes(site.files, goes, owned, besides=kept | set(need.files))
    _, held_bytes = _sizes(site.files, [each for each, _ in held], owned, besides=set())
    files = frozenset(each for version in goes for each in owned[version.id]) - kept - set(need.files)
    last = (_last(site, table) for table in ("run", "release"))
    keep = _keep(site, living)
    return Verdict(tuple(goes), tuple(held), free_bytes, held_bytes, freed_bytes, need, files, keep, *last)


def unowned(site: Site, verdict: Verdict) -> dict[str, int]:
    """Return digest → bytes of each stored file that nothing refers to, as the catalog is now."""
    owned = {row["digest"] for row in site.catalog.rows.read("SELECT DISTINCT digest FROM file")}
    owned |= {*verdict.need.files, *_inner(site, verdict.keep)}
    return {each: site.files.size_of(each) for each in site.files.digests() if each not in owned}


def freed_now(site: Site) -> Verdict:
    """Free the versions that nobody needs, in one transaction, and return what was found; their files are still there.

    Runs that are dead are ended first: what they hold is not needed, and if they wake they take nothing for theirs.
    """
    with site.catalog.change() as change:
        _end_dead(site, change)
        verdict = judged(site)
        freed.free(change.rows, [each.id for each in verdict.goes])
        for each in verdict.goes:
            change.event("freed", each.ref, was=each.state, size_bytes=verdict.freed_bytes.get(each.id, 0))
    return verdict


def _last(site: Site, table: str) -> int:
    return int(site.catalog.rows.read(f"SELECT COALESCE(MAX(rowid), 0) AS n FROM {table}")[0]["n"])


def _end_dead(site: Site, change: Change) -> None:
    for dead in runs.end_dead(change.rows, now=uptime(), lease_s=site.settings.lease_s):
        change.event("found dead", dead)


def _known(site: Site) -> Iterator[Known]:
    for row in site.catalog.rows.read("SELECT id, asset, number, state, run FROM version"):
        yield Known(row["id"], row["asset"], f"{row['asset']}:v{row['number']}", row["state"], row["run"])


def _is_alive(site: Site, run: Run) -> bool:
    return runs.is_alive(run.seen, now=uptime(), lease_s=site.settings.lease_s)


def _keep(site: Site, living: Iterable[Run]) -> Keep:
    """Return how long things are kept: nothing goes that a living run may have put."""
    now_s, age_s = time.time(), duration(site.settings.keep_files).total_seconds()
    ages_s = [age_s, *(uptime() - run.started + 1.0 for run in living)]
    return Keep(now_s - max(ages_s), site.now() - duration(site.settings.keep_runs))


def _need(site: Site, known: Mapping[int, Known], living: Iterable[Run]) -> Need:
    need = Need()
    _from_pointers(site, need)
    _from_releases(site, need)
    _from_approvals(site, need)
    for each in upkeep.held(site):
        _from_elsewhere(site, need, each)
    since = text(site.now() - duration(site.settings.keep_runs))
    starts = [each.at for each in living]
    _from_runs(site, need, since, starts)
    _from_moves(site, need, min([since, *starts]))
    _and_what_they_were_made_from(site, need, known)
    _and_their_source(site, need, known)
    return need


def _from_pointers(site: Site, need: Need) -> None:
    for row in site.catalog.rows.read("SELECT environment, version FROM pointer ORDER BY environment"):
        need.version(row["version"], f"in {row['environment']}")


def _from_releases(site: Site, need: Need) -> None:
    """A release needs what it pointed at, and what stood at its end: a rollback goes back to that."""
    for environment in {each.environment for each in environments.releases(site.catalog.rows)}:
        history = environments.releases(site.catalog.rows, environment)  # newest first
        count = site.settings.keep_releases or len(history)
        for place, release in enumerate(history[:count]):
            why = f"releases of {environment}: release {release.number}"
            need.files.setdefault(release.bundle, why)
            for identity in release.record["pointers"].values():
                need.version(identity, why)
            if place + 1 < min(count, len(history)):
                for identity in _standing(site, environment, release.record["after_move"]).values():
                    need.version(identity, f"releases of {environment}: what release {release.number} followed")


def _standing(site: Site, environment: str, last_move: int) -> Mapping[str, int]:
    rows = site.catalog.rows.read(
        "SELECT asset, version FROM move WHERE id IN"
        " (SELECT MAX(id) FROM move WHERE environment = ? AND id <= ? GROUP BY asset)",
        environment, last_move,
    )  # fmt: skip
    return {row["asset"]: row["version"] for row in rows if row["version"] is not None}


def _from_approvals(site: Site, need: Need) -> None:
    """What people let stand stays; what they approved is what some environment points at, or is approved no more."""
    for row in site.catalog.rows.read("SELECT version, environment FROM acceptance"):
        need.version(row["version"], f"accepted in {row['environment']}")


def _from_elsewhere(site: Site, need: Need, held: upkeep.Held) -> None:
    if ":v" not in held.name:
        need.files.setdefault(held.name, held.why)
        return
    try:
        need.version(site.catalog.find(held.name, site.environment).id, held.why)
    except NotFound:
        return  # `check` tells of it


def _from_runs(site: Site, need: Need, since: str, living: Iterable[str]) -> None:
    start = min([since, *living])
    rows = site.catalog.rows.read(
        "SELECT r.id, r.bundle, s.version FROM run r LEFT JOIN step s ON s.run = r.id WHERE r.at >= ? ORDER BY r.rowid",
        start,
    )
    for row in rows:
        need.files.setdefault(row["bundle"], f"recent runs: {row['id']}")
        if row["version"] is not None:
            need.version(row["version"], f"recent runs: {row['id']}")


def _from_moves(site: Site, need: Need, since: str) -> None:
    """Whatever was pointed at since a moment may still be read by a run that began then, or served."""
    standing: dict[tuple[str, str], int | None] = {}
    for row in site.catalog.rows.read("SELECT environment, asset, version, at FROM move ORDER BY id"):
        name = (row["environment"], row["asset"])
        if row["at"] >= since:
            for identity in (standing.get(name), row["version"]):
                if identity is not None:
                    need.version(identity, f"lately in {row['environment']}")
        standing[name] = row["version"]


def _and_what_they_were_made_from(site: Site, need: Need, known: Mapping[int, Known]) -> None:
    """Follow the edges: what is kept can be made again. What a step only looked at is kept, but not what that was made from."""
    places = {row["environment"] for row in site.catalog.rows.read("SELECT DISTINCT environment FROM move")}
    edges: dict[int, list[tuple[str, int]]] = {}
    for row in site.catalog.rows.read("SELECT version, role, input FROM edge"):
        edges.setdefault(row["version"], []).append((row["role"], row["input"]))
    waiting, seen, looked_at = list(need.versions), set(need.versions), []
    while waiting:
        identity = waiting.pop()
        for role, used in edges.get(identity, ()):
            if role.rpartition(".")[0] in places and not role.startswith(PARTITION):
                looked_at.append((used, f"others were compared with it: {known[identity].ref}"))
            elif used not in seen:
                seen.add(used)
                need.version(used, f"others were made from it: {known[identity].ref}")
                waiting.append(used)
    for used, why in looked_at:
        need.version(used, why)


def _and_their_source(site: Site, need: Need, known: Mapping[int, Known]) -> None:
    bundles = {row["id"]: row["bundle"] for row in site.catalog.rows.read("SELECT id, bundle FROM run")}
    for identity in need.versions:
        made = known[identity]
        if made.run in bundles:
            need.files.setdefault(bundles[made.run], f"the source that made: {made.ref}")
    path = f"$.{machine.KEPT}"
    for row in site.catalog.rows.read("SELECT id, json_extract(record, ?) AS digest FROM version", path):
        if row["digest"] and row["id"] in need.versions:
            need.files.setdefault(row["digest"], f"the machine that made: {known[row['id']].ref}")


def _sizes(
    files: Files, wanted: Iterable[Known], owned: Mapping[int, list[str]], *, besides: set[str]
) -> tuple[dict[int, int], dict[str, int]]:
    """Return the bytes that are these versions' alone, each file counted for the first of them: by version and by asset."""
    seen, by_version, by_asset = set(besides), dict[int, int](), dict[str, int]()
    for each in wanted:
        mine = [digest for digest in dict.fromkeys(owned[each.id]) if digest not in seen]
        seen.update(mine)
        by_version[each.id] = sum(map(files.size_of, mine))
        by_asset[each.asset] = by_asset.get(each.asset, 0) + by_version[each.id]
    return by_version, by_asset


def inner_catalogs(site: Site, keep: Keep) -> Iterator[tuple[Path, bool]]:
    """Yield each folder inside of the catalog's that has a catalog of its own, as a simulation's, and whether it is in use."""
    for path in sorted(site.home.glob("*/catalog.db")):
        touched_s = max(each.stat().st_mtime for each in path.parent.glob("catalog.db*"))
        yield path.parent, touched_s >= keep.put_before_s


def _inner(site: Site, keep: Keep) -> Iterator[str]:
    """Yield the files that such a catalog owns: it shares the bytes."""
    for folder in (folder for folder, is_used in inner_catalogs(site, keep) if is_used):
        rows = Database(folder / "catalog.db")
        try:
            for query in ("SELECT DISTINCT digest FROM file", "SELECT DISTINCT bundle AS digest FROM run"):
                yield from (row["digest"] for row in rows.read(query))
        finally:
            rows.close()


def still_owned(site: Site, verdict: Verdict, digests: list[str]) -> set[str]:
    """Return those of the files that somebody owns by now; asked inside of the transaction that deletes the others."""
    rows = site.catalog.rows
    found = set(freed.owners(rows, digests))
    found |= {row["bundle"] for row in rows.read("SELECT bundle FROM run WHERE rowid > ?", verdict.last_run)}
    found |= {row["bundle"] for row in rows.read("SELECT bundle FROM release WHERE id > ?", verdict.last_release)}
    return found
