"""Whether a store is whole: every file's bytes, every row against the manifest, every edge, event and pointer. Only looks."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from oito.catalog import environments, events, freed, versions
from oito.catalog.lineage import PARTITION
from oito.catalog.records import Version
from oito.errors import StorageError
from oito.flow import machine, stored
from oito.flow.action import action
from oito.flow.site import Site
from oito.flow.upkeep import kinds as upkeep
from oito.flow.upkeep import retention
from oito.flow.upkeep.kinds import Problem
from oito.show import Block, Cell, Page, Table, Text
from oito.storage import rebuild
from oito.storage.files import Files

MANY = 500
BESIDES = {"manifest": (), "work": (), "run": ("seen",)}  # what is written without the manifest knowing
REPAIR = "oito repair"


@action("check", page="/check")
def check(site: Site) -> Page:
    """Prove the store whole: stored bytes, rows, edges, the event chain, pointers, online stores and journals."""
    found = list(problems(site))
    digests = needed(site)
    verdict = retention.judged(site)
    spare = retention.unowned(site, verdict)
    rows: list[list[Cell]] = [[each.what, each.problem, each.next] for each in found]
    table = Table(["what", "problem", "next"], rows, empty=f"{len(digests):,} files and the event chain are whole")
    blocks: list[Block] = [table]
    if spare:
        blocks.append(
            Text(f"{len(spare)} files of {sum(spare.values()):,} bytes belong to no version: oito gc frees them.")
        )
    data = {
        "files": len(digests), "problems": [each.data() for each in found], "is_whole": not found,
        "unowned": {"files": len(spare), "size_bytes": sum(spare.values())},
    }  # fmt: skip
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return Page(count if found else "the store is whole", blocks, data)


def problems(site: Site) -> Iterator[Problem]:
    """Yield all that is wrong with the store, what other things rest on first."""
    said = rebuild.damaged(site.catalog.rows.path)
    if said:
        yield Problem("the catalog's file", said.splitlines()[0], REPAIR)
        return
    yield from _rows(site)
    yield from _events(site)
    yield from _versions(site)
    yield from _pointers(site)
    yield from _bytes(site)
    yield from upkeep.problems(site)


def needed(site: Site) -> dict[str, list[str]]:
    """Return digest → what needs it, for every file that has to be there."""
    rows = site.catalog.rows
    found: dict[str, list[str]] = {}
    for row in rows.read(
        "SELECT f.digest, v.asset, v.number FROM file f JOIN version v ON v.id = f.version ORDER BY v.id"
    ):
        found.setdefault(row["digest"], []).append(f"{row['asset']}:v{row['number']}")
    for row in rows.read(
        "SELECT DISTINCT r.bundle, r.id FROM run r JOIN version v ON v.run = r.id WHERE v.state = 'ok' AND r.bundle != ''"
    ):
        found.setdefault(row["bundle"], []).append(f"the source of run {row['id']}")
    counts: Counter[str] = Counter()
    for release in environments.releases(rows):
        counts[release.environment] += 1
        if not site.settings.keep_releases or counts[release.environment] <= site.settings.keep_releases:
            found.setdefault(release.bundle, []).append(f"release {release.number} of {release.environment}")
    return found


def _bytes(site: Site) -> Iterator[Problem]:
    files = Files(site.files.root)  # one that has verified nothing yet
    for digest, needers in needed(site).items():
        try:
            files.verify(digest)
        except StorageError as error:
            names = [*needers[:3], *([f"{len(needers) - 3} more"] if len(needers) > 3 else [])]
            problem = f"{error.what}; it belongs to {', '.join(names)}"
            yield Problem(f"file {digest[:16]}", problem, REPAIR, {"digest": digest, "versions": needers})


def _rows(site: Site) -> Iterator[Problem]:
    """Yield the rows that are not as the transactions left them, by building the catalog a second time."""
    path = site.catalog.rows.path
    row = site.catalog.rows.one("SELECT tip FROM manifest")
    if row is None:
        return  # nothing was written since this catalog was begun by an earlier oito
    with tempfile.TemporaryDirectory(prefix="check-", dir=site.home) as name:
        try:
            story, told = rebuild.held_against(path, Path(name), besides=BESIDES)
        except StorageError as error:
            yield Problem(
                "the manifest", error.what, "the next write begins a new one; until then there is no way back"
            )
            return
        for lost in story.lost:
            yield Problem("the manifest", lost, "the next write begins a new one")
        for each in told if not story.lost else ():
            for word, keys in (("is gone", each.missing), ("was changed", each.changed), ("was added", each.added)):
                for key in keys:
                    problem = f"{word}: it is not as its transaction left it"
                    yield Problem(f"row of {each.table}, {key}", problem, "restore catalog.db, or: oito repair --rows")


def _events(site: Site) -> Iterator[Problem]:
    broken = events.first_broken(site.catalog.rows)
    if broken is not None:
        yield Problem(f"event {broken}", "its hash does not fit it and the event before", "oito repair --rows")


def _versions(site: Site) -> Iterator[Problem]:
    rows = site.catalog.rows
    for row in rows.read("PRAGMA foreign_key_check"):
        yield Problem(
            f"row of {row['table']}", f"refers to a row of {row['parent']} that is not there", "oito repair --rows"
        )
    edges: dict[int, dict[str, list[int]]] = {}
    for row in rows.read("SELECT version, role, input FROM edge"):
        edges.setdefault(row["version"], {}).setdefault(row["role"], []).append(row["input"])
    contents = {row["id"]: row["content"] for row in rows.read("SELECT id, content FROM version")}
    owned: dict[int, set[str]] = {}
    for row in rows.read("SELECT version, digest FROM file"):
        owned.setdefault(row["version"], set()).add(row["digest"])
    last = 0
    while found := rows.read("SELECT * FROM version WHERE id > ? ORDER BY id LIMIT ?", last, MANY):
        for version in map(versions.version, found):
            yield from _edges(site, version, edges.get(version.id, {}), contents)
            yield from _files(version, owned.get(version.id, set()))
            last = version.id


def _edges(site: Site, version: Version, edges: dict[str, list[int]], contents: dict[int, str]) -> Iterator[Problem]:
    """Hold a version's edges against what its fingerprint says that it was made from."""
    parts = versions.parts(site.catalog.rows, version.fingerprint)
    if parts is None:
        yield Problem(version.ref, "has no record of what its fingerprint is made of", "oito repair --rows")
        return
    for role, content in parts.get("inputs", {}).items():
        if role not in edges:
            yield Problem(version.ref, f"has no edge to its input {role}", "oito repair --rows")
        elif isinstance(content, str) and not version.partition and content not in {contents[i] for i in edges[role]}:
            yield Problem(
                version.ref, f"has an edge to another input {role} than it was made from", "oito repair --rows"
            )
    for key in version.partitions.get("keys", {}):
        if PARTITION + key not in edges and any(role.startswith(PARTITION) for role in edges):
            yield Problem(version.ref, f"has no edge to its partition {key}", "oito repair --rows")


def _files(version: Version, owned: set[str]) -> Iterator[Problem]:
    """Hold the files that a version owns against those that it is made of."""
    own = set(stored.digests(version.tables, version.files)) if version.state != freed.STATE else set()
    wanted = own | (owned & set(machine.digests(version.record)))
    if wanted != owned:
        few, many = len(wanted - owned), len(owned - wanted)
        told = f"does not own {few} of its files" if few else f"owns {many} files that are not its own"
        yield Problem(version.ref, told, "oito repair --rows")


def _pointers(site: Site) -> Iterator[Problem]:
    rows = site.catalog.rows
    for row in rows.read(
        "SELECT p.environment, p.asset, v.number, v.state FROM pointer p LEFT JOIN version v ON v.id = p.version"
        " WHERE v.state IS NULL OR v.state != 'ok' ORDER BY p.environment, p.asset"
    ):
        told = (
            f"points at {row['asset']}:v{row['number']}, which is {row['state']}"
            if row["state"]
            else "points at nothing"
        )
        yield Problem(f"{row['asset']}@{row['environment']}", told, f"oito run {row['asset']} -e {row['environment']}")
    for release in environments.releases(rows):
        known = versions.by_ids(rows, release.record["pointers"].values())
        lost = [name for name, identity in release.record["pointers"].items() if identity not in known]
        if lost:
            what = f"release {release.number} of {release.environment}"
            yield Problem(what, f"points at versions of {', '.join(lost)} that are not there", "oito repair --rows")
    last = {(row["environment"], row["asset"]): row["version"] for row in rows.read("SELECT * FROM move ORDER BY id")}
    stand = {(row["environment"], row["asset"]): row["version"] for row in rows.read("SELECT * FROM pointer")}
    for environment, asset in sorted({name for name in {*last, *stand} if last.get(name) != stand.get(name)}):
        yield Problem(f"{asset}@{environment}", "does not stand where it was moved last", "oito repair --rows")
