"""Release, rollback and the question what was where, with 1,000 assets and 10,000 moves, against bare SQLite in the same run."""

import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from table import report

from oito.catalog import environments, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import VirtualClock, moment, text
from oito.flow.releases import release
from oito.flow.site import Site
from oito.workspace import Workspace

ASSETS, RELEASES, MOVES, ASKED = 1_000, 20, 10_000, 200


def project(number: int) -> str:
    """Return a project of 1,000 assets; only the table that all of them read differs from number to number."""
    datasets = "\n".join(
        f"@oito.dataset\ndef d{n}(base: pl.DataFrame) -> pl.DataFrame:\n    return base * {n + 1}\n"
        for n in range(ASSETS - 1)
    )
    return (
        "import polars as pl\nimport oito\n\n"
        f"@oito.dataset\ndef base() -> pl.DataFrame:\n    return pl.DataFrame({{'n': [{number}]}})\n\n{datasets}"
    )


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def made(site: Site, number: int) -> None:
    """Write the versions of a run by hand, with the fingerprints that the planner asks for: the steps are not measured here."""
    from oito.flow.plan import Planner

    planner, pointed = Planner(site), dict[str, versions.Version]()
    with site.catalog.change() as change:
        for asset in site.project.assets.values():
            entry = planner.entry(asset, pointed)
            new = NewVersion(
                asset.name, "dataset", entry.fingerprint, entry.definition, f"{asset.name}-{number}", {},
                [(role, version.id) for role, version in entry.inputs.items()],
            )  # fmt: skip
            identity = versions.insert(change.rows, new, at=change.at, environment=site.environment, run="")
            change.move(site.environment, asset.name, identity)
            found = versions.by_id(site.catalog.rows, identity)
            assert found is not None
            pointed[asset.name] = found


def floor(folder: Path) -> float:
    """Return the time in which SQLite writes a pointer and a move for each asset in one transaction, and nothing else."""
    rows = sqlite3.connect(folder / "floor.db", isolation_level=None)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("CREATE TABLE pointer (asset TEXT PRIMARY KEY, version INTEGER)")
    rows.execute("CREATE TABLE move (id INTEGER PRIMARY KEY, asset TEXT, version INTEGER, at TEXT)")

    def write() -> None:
        rows.execute("BEGIN IMMEDIATE")
        for number in range(ASSETS):
            rows.execute("INSERT OR REPLACE INTO pointer VALUES (?, ?)", (f"d{number}", number))
            rows.execute("INSERT INTO move (asset, version, at) VALUES (?, ?, ?)", (f"d{number}", number, "2024-01-01"))
        rows.execute("COMMIT")

    best = min(seconds(write) for _ in range(5))
    rows.close()
    return best


def releasing(folder: Path) -> None:
    workspace = Workspace(folder, now="2024-01-01")
    took = []
    for number in range(RELEASES):
        (folder / "project.py").write_text(project(number))
        site = workspace.refreshed()
        made(site, number)
        took.append(seconds(lambda site=site: release.release(site, "production")))  # type: ignore[misc]  # its type is told by its default
    bare = floor(folder)
    report(f"release of {ASSETS:,} assets", min(took), "their rows in bare SQLite", bare, unit="s")
    draw, back = random.Random(1), []
    for _ in range(10):
        standing = environments.releases(site.catalog.rows, "production")[0].record.get("rollback_to")
        to = draw.choice([n for n in range(1, RELEASES) if n != standing])
        back.append(seconds(lambda to=to: release.rollback(site, "production", to=to)))  # type: ignore[misc]  # the same
    what = f"rollback of {ASSETS:,} assets to any of {RELEASES} releases, the slowest of ten"
    report(what, max(back), "their rows in bare SQLite", bare, unit="s", at_most=1)
    workspace.close()


def past(folder: Path) -> None:
    clock, draw = VirtualClock(moment("2024-01-01")), random.Random(1)
    catalog = Catalog(folder, clock)
    with catalog.change() as change:
        known = []
        for n in range(100):
            new = NewVersion(f"d{n}", "dataset", f"f{n}", "d", f"c{n}", {}, [])
            known.append(versions.insert(change.rows, new, at=change.at, environment="dev", run=""))
    moves = 0
    while moves < MOVES:
        clock.advance(timedelta(minutes=5))
        with catalog.change() as change:
            for name in draw.sample(range(ASSETS), 10):
                moves += change.move("production", f"d{name}", draw.choice(known))
    span = clock.now() - moment("2024-01-01")
    times = [text(moment("2024-01-01") + span * draw.random()) for _ in range(ASKED)]
    took = [seconds(lambda at=at: environments.standing(catalog.rows, "production", at)) for at in times]  # type: ignore[misc]  # the same
    bare = min(
        seconds(lambda: catalog.rows.read("SELECT asset, version FROM move WHERE environment = 'production'"))
        for _ in range(5)
    )
    what = f"what was in production at a moment, {MOVES:,} moves of {ASSETS:,} assets, the slowest of {ASKED}"
    report(what, max(took) * 1000, "reading all moves", bare * 1000, at_most=100)
    catalog.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        releasing(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        past(Path(folder))


if __name__ == "__main__":
    main()
