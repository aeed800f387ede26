"""A store put right again: the catalog from its manifest, stored bytes from the code and inputs they were made by. Finding faults is integrity's work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from oito.catalog import freed, runs, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import Clock, text, uptime
from oito.errors import CatalogLost, CorruptFile, OitoError, Refused, StorageError
from oito.flow import bundle, machine, stored
from oito.flow.partition import keys_of
from oito.flow.remaking import reproduction
from oito.flow.site import Site
from oito.flow.upkeep import integrity
from oito.storage import rebuild
from oito.storage.files import Files
from oito.storage.manifest import folder_of, segments
from oito.storage.sql import Database


@dataclass(frozen=True)
class Rebuilt:
    """A catalog that was built again: why, where the old file lies now, what it has, and what was lost."""

    why: str
    aside: str
    versions: int
    releases: int
    transactions: int
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Mended:
    """What became of one thing that was damaged; `is_good` says whether it is as it was."""

    what: str
    outcome: str
    is_good: bool


def rebuilt(home: Path, clock: Clock, *, who: str = "", lease_s: float, rows: bool = False) -> Rebuilt | None:
    """Build the catalog of a folder again from its manifest when its file is gone or damaged; None when it is neither.

    The old file is set aside under another name, with what SQLite keeps beside it, and never deleted. Killed at any
    moment, the same call goes on from there.

    Args:
        rows: also when SQLite finds the file whole, because rows in it are not as their transactions left them.

    Raises:
        CatalogLost: there is no manifest that it could be built from.
        Refused: a run is under way.
    """
    path = home / "catalog.db"
    why = rebuild.damaged(path)
    if not why and not rows:
        return None
    if not segments(folder_of(path)):
        if not home.exists() or (not path.exists() and not any(home.iterdir())):
            return None  # nothing was ever here
        raise CatalogLost(
            "the catalog cannot be built again", where=str(path), known=f"{why}; there is no manifest beside it",
            next="restore the folder from a backup",
        )  # fmt: skip
    if not why:
        _refuse_while_running(path, lease_s)
    built = home / "catalog.db.rebuilt"
    built.unlink(missing_ok=True)
    story = rebuild.build(folder_of(path), built)
    aside = _set_aside(path, stamp=text(clock.now()).replace(":", ""))
    built.replace(path)
    catalog = Catalog(home, clock, who=who)
    try:
        with catalog.change() as change:
            change.event("rebuilt", "catalog", why=why or "asked for", lost=list(story.lost[:20]))
        counts = [catalog.rows.read(f"SELECT COUNT(*) AS n FROM {table}")[0]["n"] for table in ("version", "release")]
    finally:
        catalog.close()
    return Rebuilt(why or "asked for", aside, counts[0], counts[1], len(story.lines), story.lost)


def mended(site: Site) -> Iterator[Mended]:
    """Make damaged stored bytes again, inputs first; a version whose bytes cannot be had is marked broken and unpointed.

    Only bytes with the very digest of the lost ones are taken for them.
    """
    with suppress(OitoError):
        bundle.keep(site.project.root, site.files)  # a source that is damaged may be that of the working folder
    files, waiting = Files(site.files.root), dict[str, list[str]]()
    for digest, needers in integrity.needed(site).items():
        if not _is_sound(files, digest):
            waiting[digest] = needers
    for digest, needers in waiting.items():
        if (told := _forgotten(site, digest, needers)) is not None:
            yield told
        elif not any(":v" in each for each in needers):
            yield Mended(f"file {digest[:16]}", f"cannot be made again: it is {needers[0]}", False)
    owners = {name for needers in waiting.values() for name in needers if ":v" in name}
    found = sorted((site.catalog.find(name, site.environment) for name in owners), key=lambda each: each.id)
    for version in found:
        mine = [each for each in stored.digests(version.tables, version.files) if each in waiting]
        if not mine:
            continue
        bad = [each for each in mine if not _is_sound(files, each)]
        reason = _made_again(site, version, bad) if bad else ""
        if reason:
            _mark_broken(site, version, reason)
            yield Mended(version.ref, f"is broken for good: {reason}", False)
        else:
            yield Mended(version.ref, f"has its bytes again ({len(mine)} of its files were damaged)", True)


def given_back(site: Site, version: Version) -> Mended:
    """Make the bytes of one version again, of a freed one too.

    Raises:
        StorageError: they cannot be made as they were; the text says why.
    """
    files = Files(site.files.root)
    wanted = stored.digests(version.tables, version.files)
    bad = [each for each in wanted if not _is_sound(files, each)]
    reason = _made_again(site, version, bad) if bad else ""
    if reason:
        raise StorageError(
            f"the bytes of {version.ref} cannot be made again", known=reason, next=f"oito run {version.asset}"
        )
    with site.catalog.change() as change:
        if version.state == freed.STATE:
            freed.give_back(change.rows, version.id, wanted)
            change.event("given back", version.ref, files=len(bad))
    return Mended(version.ref, f"has its bytes again ({len(bad)} files were made)" if bad else "was whole", True)


def _refuse_while_running(path: Path, lease_s: float) -> None:
    rows = Database(path)
    try:
        living = [each.id for each in runs.running(rows) if runs.is_alive(each.seen, now=uptime(), lease_s=lease_s)]
    finally:
        rows.close()
    if living:
        raise Refused("the catalog is in use", known=f"run {living[0]} is under way", next="wait for it, or stop it")


def _set_aside(path: Path, *, stamp: str) -> str:
    """Rename the catalog's file and its companions: a log of the old file must never be taken for one of the new."""
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for ending in ("", "-wal", "-shm"):
        old = path.with_name(path.name + ending)
        if old.exists():
            old.replace(aside.with_name(aside.name + ending))
    return aside.name if aside.exists() else ""


def _is_sound(files: Files, digest: str) -> bool:
    try:
        files.verify(digest)
    except StorageError:
        return False
    return True


def _made_again(site: Site, version: Version, wanted: Sequence[str]) -> str:
    """Make a version's files again and take those that are wanted; return "" when all were, else why not."""
    parts = [fact[3] for fact in keys_of(version).values()] if version.partitions else []
    if parts and all(parts):
        reasons = (
            _made_again(site, part, _bad_of(part, wanted))
            for part in versions.by_ids(site.catalog.rows, parts).values()
        )
        return next(filter(None, reasons), "")
    if not wanted:
        return ""
    if reproduction.is_external(site, version):
        return "what the outside world, or people, said then cannot be asked again"
    with tempfile.TemporaryDirectory(prefix="again-", dir=site.home) as name:
        problem = ""
        try:
            reproduction.made_again(site, version, Path(name))
        except OitoError as error:  # it may have been made, and then not compared with bytes that are gone
            problem = error.what
        scratch = Files(Path(name) / "files")
        problem = problem if not any(scratch.digests()) else ""
        for digest in wanted:
            if scratch.has(digest):
                _take(site.files, scratch, digest)
    files = Files(site.files.root)
    few = [each for each in wanted if not _is_sound(files, each)]
    other = f"made again, {len(few)} of its files have other bytes than they had"
    return (problem or other) if few else ""


def _forgotten(site: Site, digest: str, needers: Sequence[str]) -> Mended | None:
    """Let go of a damaged description of a machine, which no result rests on; None when the file is something else."""
    owners = [site.catalog.find(each, site.environment) for each in needers if ":v" in each]
    if not owners or not all(digest in machine.digests(each.record) for each in owners):
        return None
    with site.catalog.change() as change:
        change.rows.run("DELETE FROM file WHERE digest = ?", digest)
        site.files.remove(digest)
    outcome = f"described the machine that made {owners[0].ref}; nothing else rests on it, so it was let go"
    return Mended(f"file {digest[:16]}", outcome, False)


def _bad_of(version: Version, wanted: Sequence[str]) -> list[str]:
    own = set(stored.digests(version.tables, version.files))
    return [each for each in wanted if each in own]


def _take(files: Files, scratch: Files, digest: str) -> None:
    with files.writing() as path, suppress(CorruptFile):
        path.write_bytes(scratch.read(digest))
        files.adopt(path)


def _mark_broken(site: Site, version: Version, reason: str) -> None:
    """Let nobody find the version any more, and no environment point at it: the next run makes the asset anew."""
    with site.catalog.change() as change:
        change.rows.run("UPDATE version SET state = 'broken' WHERE id = ? AND state = 'ok'", version.id)
        pointers = change.rows.read("SELECT environment, asset FROM pointer WHERE version = ?", version.id)
        for row in pointers:
            change.move(row["environment"], row["asset"], None)
        change.event("broke", version.ref, reason=reason, environments=[row["environment"] for row in pointers])
