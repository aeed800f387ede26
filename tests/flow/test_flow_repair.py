"""Every fault that is planted is named, and what can be put right is: the catalog from its manifest, bytes from their code."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from oito.catalog import environments, events, versions
from oito.cli import main
from oito.endpoints.journal import About, Journal
from oito.errors import CatalogLost, Refused, StorageError
from oito.features.shelves import online_path
from oito.flow.releases import release
from oito.flow.site import Site
from oito.flow.upkeep import integrity, repair
from oito.storage import manifest, rebuild
from tiny import HEAD, WATCHED, Tiny

VIEWED = (
    HEAD
    + """
@oito.features(entity="id", time="at")
def seen():
    return pl.DataFrame({"id": [1, 2], "at": [pl.datetime(2023, 1, 1)] * 2, "n": [4, 5]}, strict=False) if False else \\
        pl.select(id=pl.Series([1, 2]), at=pl.datetime(2023, 1, 1, time_zone="UTC"), n=pl.Series([4, 5]))
"""
)


@pytest.fixture
def released(tiny: Tiny) -> Site:
    """Return a site after two releases."""
    tiny.write(WATCHED).run()
    release.release(tiny.site("dev"), "production", message="first")
    tiny.edit("> 0", "> 5")
    tiny.run()
    release.release(tiny.site("dev"), "production", message="second")
    return tiny.site("dev")


def told(site: Site) -> list[str]:
    return [f"{each['what']}: {each['problem']}" for each in integrity.check(site).data["problems"]]


def part_of(site: Site, name: str) -> Path:
    """Return the file of a version's rows."""
    version = site.catalog.find(name, "dev")
    return site.files.path(version.tables["rows"]["parts"][0][0])


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


def behind_our_back(site: Site, sql: str) -> None:
    """Change the catalog as somebody with an editor would."""
    with closing(sqlite3.connect(site.catalog.rows.path, isolation_level=None)) as connection:
        assert connection.execute(sql).rowcount


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        passing = ('INSERT INTO "work"', 'INSERT INTO "manifest"', 'INSERT INTO "run"')
        return [line for line in connection.iterdump() if not line.startswith(passing) and "'rebuilt'" not in line]


def test_a_whole_store_is_said_to_be_whole(released: Site) -> None:
    page = integrity.check(released)
    assert (page.title, page.data["is_whole"], page.data["problems"]) == ("the store is whole", True, [])
    assert page.data["unowned"]["files"] == 0


@pytest.mark.parametrize(
    "harm, said",
    [
        (flip, "a stored file does not have the bytes it was written with; it belongs to cleaned:v2"),
        (Path.unlink, "a stored file is gone; it belongs to cleaned:v2"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            "a stored file does not have the bytes it was written",
        ),
    ],
    ids=["flipped bit", "missing", "truncated"],
)
def test_harm_to_stored_bytes_is_named_and_mended(released: Site, harm: Callable[[Path], object], said: str) -> None:
    path = part_of(released, "cleaned:v2")
    before = path.read_bytes()
    harm(path)
    (found,) = told(released)
    assert found.startswith(f"file {path.parent.name}{path.name[:14]}: {said}")
    assert integrity.check(released).data["problems"][0]["next"] == "oito repair"
    (mended,) = repair.mended(released)
    assert (mended.what, mended.is_good) == ("cleaned:v2", True)
    assert path.read_bytes() == before
    assert told(released) == []


@pytest.mark.parametrize(
    "sql, said",
    [
        ("DELETE FROM edge WHERE role = 'cleaned' AND version = (SELECT MAX(version) FROM edge WHERE role = 'cleaned')",
         "has no edge to its input cleaned"),
        ("UPDATE edge SET input = 1 WHERE role = 'cleaned'", "has an edge to another input cleaned than it was made from"),
        ("DELETE FROM file WHERE version = 2 AND digest = (SELECT MIN(digest) FROM file WHERE version = 2)",
         "row of file, version=2"),
        ("DELETE FROM step WHERE id = 2", "row of step, id=2: is gone: it is not as its transaction left it"),
        ("UPDATE event SET who = 'eve' WHERE id = 3", "event 3: its hash does not fit it and the event before"),
        ("DELETE FROM event WHERE id = (SELECT MAX(id) FROM event)", "is gone: it is not as its transaction left it"),
        ("UPDATE pointer SET version = 1 WHERE asset = 'total' AND environment = 'production'",
         "total@production: does not stand where it was moved last"),
        ("UPDATE version SET state = 'broken' WHERE id = (SELECT version FROM pointer WHERE asset = 'total')",
         "which is broken"),
        ("DELETE FROM fingerprint WHERE digest = (SELECT fingerprint FROM version WHERE id = 2)",
         "cleaned:v1: has no record of what its fingerprint is made of"),
        ("UPDATE metric SET value = value + 1", "row of metric, version="),
        ("UPDATE version SET rows = 1000 WHERE id = 2", "row of version, id=2: was changed"),
        ("INSERT INTO answer (asset, item, label, who, at) VALUES ('a', 'b', 'c', 'eve', '')", "row of answer, id=1: was added"),
    ],
)  # fmt: skip
def test_rows_that_were_changed_behind_our_back_are_named_and_put_back(released: Site, sql: str, said: str) -> None:
    if "metric" in sql and not released.catalog.rows.read("SELECT 1 FROM metric"):
        pytest.skip("no step of this project has a metric")
    path = released.catalog.rows.path
    before = dump(path)
    behind_our_back(released, sql)
    assert any(said in each for each in told(released)), told(released)
    released.catalog.close()
    built = repair.rebuilt(path.parent, released.clock, who="ana", lease_s=20.0, rows=True)
    assert built is not None and built.lost == ()
    assert (path.parent / built.aside).exists()
    rows = released.catalog.rows
    assert told(released) == []
    assert events.listed(rows)[0].verb == "rebuilt"
    with released.catalog.change() as change:
        change.rows.run("DELETE FROM event WHERE verb = 'rebuilt'")
    assert dump(path) == before


def test_a_catalog_that_is_gone_is_told_and_built_again(tiny: Tiny, released: Site, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("oito.workspace.kinds", lambda: list(released.project.kinds.values()))
    states, before = tiny.states(), dump(released.catalog.rows.path)
    path = released.catalog.rows.path
    tiny.close()
    for each in path.parent.glob("catalog.db*"):
        each.unlink()
    with pytest.raises(CatalogLost) as lost:
        tiny.site()
    assert (lost.value.what, lost.value.next) == ("the catalog is gone", "oito repair")
    assert not path.exists()
    assert main(["repair", "-C", str(tiny.root), "--now", "2024-01-02"]) == 0
    assert "Nothing was lost." in capsys.readouterr().out
    assert dump(path) == before
    site = tiny.site()
    assert told(site) == []
    assert tiny.states() == states
    assert len(environments.releases(site.catalog.rows, "production")) == 2
    release.rollback(tiny.site("dev"), "production", to=1)
    assert tiny.version("total", "production").number == 1
    assert tiny.did(tiny.run()) == {} or tiny.states() == states


@pytest.mark.parametrize("harm", ["garbage", "empty", "cut"])
def test_a_damaged_catalog_is_set_aside_and_built_again(tiny: Tiny, released: Site, harm: str) -> None:
    path = released.catalog.rows.path
    tiny.close()
    for each in path.parent.glob("catalog.db-*"):
        each.unlink()
    data = path.read_bytes()
    path.write_bytes({"garbage": b"nothing like a database" * 99, "empty": b"", "cut": data[: len(data) // 2]}[harm])
    damaged = path.read_bytes()
    built = repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert built is not None and built.why and built.lost == () and built.releases == 2
    assert (path.parent / built.aside).read_bytes() == damaged
    assert told(tiny.site()) == []
    assert repair.rebuilt(path.parent, tiny.clock, lease_s=20.0) is None


def test_what_the_manifest_lost_is_said_and_the_rest_is_built(tiny: Tiny, released: Site) -> None:
    path = released.catalog.rows.path
    tiny.close()
    log = manifest.log_path(manifest.folder_of(path), 1)
    lines = log.read_bytes().split(b"\n")
    found = [number for number, each in enumerate(lines) if b"INSERT INTO step" in each]
    lines[found[1]] = lines[found[1]][:-9] + b"xxxxxxxxx"
    log.write_bytes(b"\n".join(lines))
    assert any("transactions" in each and "are lost" in each for each in told(tiny.site()))
    tiny.close()
    path.unlink()
    built = repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert built is not None
    assert built.lost[0].startswith("transactions ") and built.lost[0].endswith("the log does not hold them any more")
    kept = versions.listed(tiny.site().catalog.rows, "total")
    assert [each.id for each in kept] == [each.id for each in versions.listed(tiny.site().catalog.rows, "total")] != []


def test_nothing_can_be_built_without_a_manifest(tiny: Tiny, released: Site) -> None:
    path = released.catalog.rows.path
    tiny.close()
    path.unlink()
    for each in (path.parent / "manifest").iterdir():
        each.unlink()
    with pytest.raises(CatalogLost) as lost:
        repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert lost.value.what == "the catalog cannot be built again"
    assert lost.value.known == "it is gone; there is no manifest beside it"


def test_rows_are_not_put_back_under_a_living_run(released: Site) -> None:
    from oito.clock import uptime

    with released.catalog.change() as change:
        change.rows.run("UPDATE run SET state = 'running', seen = ?", uptime())
    with pytest.raises(Refused, match="the catalog is in use"):
        repair.rebuilt(released.home, released.clock, lease_s=20.0, rows=True)


def test_bytes_that_cannot_be_made_again_mark_their_version_broken(tiny: Tiny, released: Site) -> None:
    path = part_of(released, "orders:v1")
    flip(path)
    found = {each.what: each for each in repair.mended(released)}
    assert not found["orders:v1"].is_good
    assert found["orders:v1"].outcome.endswith("said then cannot be asked again")
    version = released.catalog.find("orders:v1", "dev")
    assert version.state == "broken"
    assert events.listed(released.catalog.rows, subject="orders:v1")[0].detail["environments"] == ["production"]
    assert tiny.did(tiny.run(environment="production"))["orders"] == "made"
    assert told(tiny.site()) == []


def test_a_version_that_is_not_made_the_same_again_is_broken(tiny: Tiny) -> None:
    tiny.write(
        HEAD + "import random\n\n@oito.dataset\ndef drawn():\n    return pl.DataFrame({'x': [random.random()]})\n"
    )
    tiny.run()
    site = tiny.site()
    part_of(site, "drawn:v1").unlink()
    (found,) = repair.mended(site)
    assert found.outcome == "is broken for good: made again, 1 of its files have other bytes than they had"
    with pytest.raises(StorageError, match="the bytes of drawn:v1 cannot be made again"):
        repair.given_back(site, site.catalog.find("drawn:v1", "dev"))
    assert tiny.did(tiny.run()) == {"drawn": "made"}


def test_damage_to_a_journal_and_its_strangers_are_named(released: Site) -> None:
    folder = released.home / "journal" / "production" / "ask"
    journal = Journal(folder)
    stream = journal.stream(About("ask", "ask:v1", "m:v1", "champion", ("x",), ("y",)))
    for _ in range(5):
        stream.append(np.zeros((1, 1)), np.zeros((1, 1)), [b"{}"])
    journal.close()
    (segment,) = folder.glob("*.seg")
    flip(segment, 0.6)
    damage, stranger = told(released)
    assert damage.startswith(f"journal ask/{segment.name}: bytes ") and damage.endswith("are not as they were written")
    assert stranger == "journal ask: has predictions of ask:v1, which the catalog does not know"


def test_an_online_store_that_says_otherwise_is_named(tiny: Tiny) -> None:
    tiny.write(VIEWED).run(environment="production")
    site = tiny.site("production")
    assert told(site) == []
    with closing(sqlite3.connect(online_path(site), isolation_level=None)) as connection:
        assert connection.execute("DELETE FROM entity WHERE key = ?", (b"i2;",)).rowcount == 1
    assert told(site) == ["online store of production, seen: 1 of 2 entities are not as seen:v1 has them: 2 …"]


def test_a_killed_repair_is_finished_by_the_next(tiny: Tiny, released: Site) -> None:
    path = released.catalog.rows.path
    tiny.close()
    path.unlink()
    code = (
        "import os, sys, threading\nfrom pathlib import Path\nfrom oito.clock import RealClock\nfrom oito.flow.upkeep import repair\n"
        "threading.Timer(float(sys.argv[2]), lambda: os._exit(9)).start()\n"
        "repair.rebuilt(Path(sys.argv[1]), RealClock(), lease_s=20.0)\nos._exit(0)\n"
    )
    for delay in (0.001, 0.004, 0.01, 0.02):
        subprocess.run([sys.executable, "-c", code, str(path.parent), str(delay)], check=False, timeout=60)
    repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert told(tiny.site()) == []


def test_a_long_log_gives_way_to_a_new_base_and_both_tell_the_same(
    tiny: Tiny, released: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "LOG_BYTES", 4096)
    path, folder = released.catalog.rows.path, released.home / "manifest"
    site = tiny.site()
    for number in range(400):
        with site.catalog.change() as change:
            change.rows.run("INSERT OR REPLACE INTO poll VALUES ('dev', 'x', ?, '')", f"{number}{'y' * 4000}")
    numbers = manifest.segments(folder)
    assert len(numbers) == 2 and numbers[0] > 1  # a new one, and the one before
    assert told(released) == []
    before = dump(path)
    tiny.close()
    flip(manifest.base_path(folder, numbers[-1]), 0.0)  # the newest base is damaged: the one before serves
    for each in path.parent.glob("catalog.db*"):
        each.unlink()
    story = rebuild.build(folder, path)
    assert story.lost == () and story.start.segment == numbers[0]
    assert dump(path) == before


def test_a_manifest_that_lags_behind_begins_anew(tiny: Tiny, released: Site) -> None:
    """As when a power cut took the end of the log, and not that of the catalog."""
    folder = released.home / "manifest"
    tiny.close()
    log = manifest.log_path(folder, 1)
    log.write_bytes(log.read_bytes()[:-300])
    assert told(tiny.site()) == ["the manifest: the manifest does not tell of the catalog's newest transaction"]
    with tiny.site().catalog.change() as change:
        change.event("wrote", "x")
    assert manifest.segments(folder) == [1, 2]
    assert told(tiny.site()) == []


def test_a_transaction_that_was_never_committed_is_not_told(tiny: Tiny, released: Site) -> None:
    path = released.catalog.rows.path
    story = manifest.Manifest(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:  # killed between the line and the commit
        connection.execute("BEGIN IMMEDIATE")
        story.keep(connection, [("INSERT INTO answer (asset, item, label, who, at) VALUES (1, 2, 3, 4, 5)", [], 1)])
        connection.execute("ROLLBACK")
    story.close()
    assert told(released) == []
    with released.catalog.change() as change:
        change.event("wrote", "x")
    tiny.close()
    path.unlink()
    built = repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert built is not None and built.lost == ()
    assert tiny.site().catalog.rows.read("SELECT * FROM answer") == []


def test_a_catalog_that_was_put_back_from_a_backup_goes_on_from_there(tiny: Tiny, released: Site) -> None:
    path = released.catalog.rows.path
    tiny.close()
    backup = path.read_bytes()
    for number in range(3):  # what is undone by the backup, in this segment and in a newer one
        site = tiny.site()
        with site.catalog.change() as change:
            change.event("undone", "x", number=number)
        tiny.close()
        if number == 1:
            with manifest.log_path(manifest.folder_of(path), 1).open("ab") as log:
                log.write(b"x" * manifest.LOG_BYTES)
    assert manifest.segments(manifest.folder_of(path)) == [1, 2]
    path.write_bytes(backup)
    site = tiny.site()
    with site.catalog.change() as change:
        change.event("wrote", "x")
    assert told(site) == []
    before = dump(path)
    tiny.close()
    for each in path.parent.glob("catalog.db*"):
        each.unlink()
    built = repair.rebuilt(path.parent, tiny.clock, lease_s=20.0)
    assert built is not None and built.lost == ()
    assert dump(path) == before
