"""What looking after a store costs: gc over 10,000 versions, check and repair, beside bare SQLite and bare hashing of the same."""

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from table import report

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import RealClock
from oito.flow.project import Project
from oito.flow.site import Site
from oito.flow.upkeep import cleaning, integrity, repair
from oito.settings import load
from oito.storage.files import Files

ASSETS, VERSIONS, SIZE_BYTES = 100, 100, 2_000


def main() -> None:
    """Print each figure with its floor."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        _commits(Path(folder))
        site = _site(home)
        _fill(site)
        _checks(site)
        _collections(site)
        _repairs(site)


def _commits(folder: Path) -> None:
    """A transaction with the manifest beside one without, in turns."""
    with_it, without = (Catalog(folder / name, RealClock()) for name in ("with", "without"))
    without.rows = type(without.rows)(folder / "bare" / "catalog.db")
    from oito.storage.migrations import migrate

    migrate(without.rows)
    spans: dict[str, list[float]] = {"with": [], "without": []}
    for number in range(40):
        for name, catalog in (("with", with_it), ("without", without)):
            spans[name].append(_cpu_ms(lambda catalog=catalog, number=number: _insert(catalog, number, 25)) / 25)
    ours, theirs = (sorted(spans[name])[20] for name in ("with", "without"))
    report("a commit with its line in the manifest, CPU", ours, "without the manifest", theirs, at_most=theirs + 0.5)


def _insert(catalog: Catalog, number: int, count: int) -> None:
    for place in range(count):
        key = f"{number} {place}"
        new = NewVersion("a", "dataset", key, "d", key, {"key": "x" * 64, "inputs": {}}, [], digests=["d" * 64])
        with catalog.change() as change:
            identity = versions.insert(change.rows, new, at=change.at, environment="dev", run="r")
            change.move("dev", "a", identity)
            change.event("made", "a", content=key)


def _fill(site: Site) -> None:
    """Make 100 versions of each of 100 assets; the last is pointed at, and each is made from the one above."""
    for number in range(VERSIONS):
        above: list[tuple[str, int]] = []
        with site.catalog.change() as change:
            for place in range(ASSETS):
                digest = _written(site.files, f"{number} {place}".encode().ljust(SIZE_BYTES))
                new = NewVersion(
                    f"a{place}", "dataset", f"{number} {place}", "d", digest, {"inputs": {role: "" for role, _ in above}},
                    above, files={"data": digest}, digests=[digest],
                )  # fmt: skip
                identity = versions.insert(
                    change.rows, new, at="2020-01-01T00:00:00.000000Z", environment="dev", run="r"
                )
                if number == VERSIONS - 1:
                    change.move("dev", f"a{place}", identity)
                above = [("above", identity)]


def _written(files: Files, data: bytes) -> str:
    """Keep bytes without a sync: what a put costs is measured elsewhere."""
    digest = hashlib.sha256(data).hexdigest()
    path = files.path(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return digest


def _checks(site: Site) -> None:
    floor = _ms(lambda: [hashlib.sha256(p.read_bytes()).digest() for p in site.files.root.glob("??/*")])
    report("check of 10,000 versions", _ms(lambda: integrity.check(site)), "reading and hashing their files", floor)


def _collections(site: Site) -> None:
    rows = sqlite3.connect(site.catalog.rows.path)
    floor = _ms(lambda: [rows.execute(f"SELECT * FROM {t}").fetchall() for t in ("version", "edge", "file", "event")])
    rows.close()
    dry = _ms(lambda: cleaning.gc(site))
    report("gc, dry run over 10,000 versions", dry, "reading their rows with bare SQLite", floor)
    before = sum(site.files.size(each) for each in site.files.digests())
    unlinking = Path(site.home) / "floor"
    unlinking.mkdir()
    for number in range(9_900):
        (unlinking / str(number)).write_bytes(b"x" * SIZE_BYTES)
    floor = _ms(lambda: [path.unlink() for path in unlinking.iterdir()])
    took = _ms(lambda: cleaning.gc(site, yes=True))
    left = sum(site.files.size(each) for each in site.files.digests())
    report("gc of 9,900 versions", took, "deleting 9,900 such files", floor)
    print(
        f"gc gave back {1 - (left - ASSETS * SIZE_BYTES) / (before - ASSETS * SIZE_BYTES):.2%} of the bytes that nobody needs"
    )


def _repairs(site: Site) -> None:
    path = site.catalog.rows.path
    rows = sqlite3.connect(path)
    text = "\n".join(rows.iterdump())
    rows.close()
    site.catalog.close()
    for each in path.parent.glob("catalog.db*"):
        each.unlink()
    took = _ms(lambda: repair.rebuilt(path.parent, RealClock(), lease_s=20.0))
    fresh = sqlite3.connect(path.parent / "dumped.db")
    floor = _ms(lambda: fresh.executescript(text))
    fresh.close()
    report("a catalog of 10,000 versions built again", took, "loading an SQL dump of it", floor)


def _site(home: Path) -> Site:
    settings = load(home, {})
    settings = replace(settings, values={**settings.values, "keep_files": "0s"})
    return Site(Project(home, {}, {}, ()), Catalog(home, RealClock()), Files(home / "files"), settings, "dev", home)


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()
