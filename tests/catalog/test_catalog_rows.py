"""Rows of the catalog: whole transactions, any number of processes, clear words when the file cannot be used."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from oito.catalog import answers, environments, events, lineage, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import VirtualClock, moment
from oito.errors import (
    CatalogBusy,
    CatalogTooNew,
    StorageError,
    StorageFull,
    UnknownAsset,
    UnknownEnvironment,
    UnknownVersion,
)
from oito.storage import sql

WRITER = """
import sys
from pathlib import Path
from oito.catalog.catalog import Catalog
from oito.clock import RealClock
catalog = Catalog(Path(sys.argv[1]), RealClock())
for n in range(int(sys.argv[3])):
    with catalog.change() as change:
        change.event("wrote", sys.argv[2], number=n)
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path, VirtualClock(moment("2024-01-01")), who="ana")
    yield opened
    opened.close()


def insert(
    catalog: Catalog, asset: str, *inputs: int, metrics: dict[str, float] | None = None, state: str = "ok"
) -> int:
    new = NewVersion(asset, "dataset", f"f-{asset}", "d", "c", {}, [(f"r{i}", i) for i in inputs], metrics=metrics or {},
                     state=state)  # fmt: skip
    with catalog.change() as change:
        return versions.insert(change.rows, new, at=change.at, environment="dev", run="r")


def test_many_processes_open_a_new_catalog_and_write_at_once(tmp_path: Path) -> None:
    commands = [[sys.executable, "-c", WRITER, str(tmp_path), f"p{n}", "25"] for n in range(6)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    told = [each.communicate(timeout=120)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 6, told
    rows = sql.Database(tmp_path / "catalog.db")
    assert len(events.listed(rows, limit=1000)) == 150
    assert events.first_broken(rows) is None
    rows.close()


def test_a_transaction_is_kept_whole_or_not_at_all(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.change() as change:
        change.event("lost", "x")
        with catalog.change() as inner:
            inner.event("lost too", "x")
        _ = 1 / 0
    assert events.listed(catalog.rows) == []


def test_another_writer_that_does_not_end_is_told(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "BUSY_S", 0.1)
    other = sqlite3.connect(catalog.folder / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    late = sql.Database(catalog.folder / "catalog.db")
    with pytest.raises(CatalogBusy) as told, late.write():
        pass
    assert told.value.what == "another process is writing to the catalog"
    assert told.value.may_retry
    other.execute("ROLLBACK")
    other.close()
    late.close()


def test_a_catalog_without_room_is_told_and_keeps_what_it_had(catalog: Catalog) -> None:
    with catalog.change() as change:
        change.event("kept", "x")
    catalog.rows.one(f"PRAGMA max_page_count = {int(catalog.rows.read('PRAGMA page_count')[0][0])}")
    with pytest.raises(StorageFull) as told, catalog.change() as change:
        change.event("big", "x", text="x" * 1_000_000)
    assert told.value.what == "there is no room to write"
    assert told.value.known == "nothing of this step was kept"
    assert [event.verb for event in events.listed(catalog.rows)] == ["kept"]


def test_a_catalog_of_a_newer_oito_is_left_alone(catalog: Catalog) -> None:
    catalog.rows.one("PRAGMA user_version = 99")
    with pytest.raises(CatalogTooNew) as told:
        Catalog(catalog.folder, catalog.clock)
    assert told.value.next == "install the newer oito: pip install -U oito"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(StorageError, match="the catalog cannot be used: unable to open database file"):
        sql.Database(tmp_path / "catalog.db")


def test_a_thread_that_leaves_closes_its_connection(catalog: Catalog) -> None:
    def work() -> None:
        catalog.rows.read("SELECT 1")
        catalog.rows.leave()

    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1  # SQLite keeps one for the next who comes


def test_changes_of_others_are_noticed_and_own_ones_are_not(catalog: Catalog) -> None:
    before = catalog.rows.foreign_changes()
    insert(catalog, "mine")
    assert catalog.rows.foreign_changes() == before
    other = Catalog(catalog.folder, catalog.clock)
    insert(other, "theirs")
    assert catalog.rows.foreign_changes() != before
    other.close()


def test_numbers_count_per_asset_and_lineage_is_walked_both_ways(catalog: Catalog) -> None:
    source = insert(catalog, "a")
    left, right = insert(catalog, "b", source), insert(catalog, "c", source)
    top = insert(catalog, "d", left, right)
    assert [version.ref for version in versions.by_ids(catalog.rows, [source, top]).values()] == ["a:v1", "d:v1"]
    assert insert(catalog, "a") and versions.newest(catalog.rows, "a").number == 2  # type: ignore[union-attr]  # it is there
    assert {(edge.version, edge.input) for edge in lineage.upstream(catalog.rows, top)} == {
        (top, left), (top, right), (left, source), (right, source),
    }  # fmt: skip
    assert lineage.downstream(catalog.rows, source) == lineage.upstream(catalog.rows, top)
    assert [edge.input for edge in lineage.inputs(catalog.rows, top)] == [left, right]


def test_metrics_that_are_no_numbers_are_left_out(catalog: Catalog) -> None:
    import numpy as np

    identity = insert(catalog, "a", metrics={"good": float(np.float64(0.5)), "odd": float("nan"), "far": float("inf")})
    assert versions.metrics(catalog.rows, identity) == {"good": 0.5}
    assert [value for _, value in versions.metric_history(catalog.rows, "a", "good")] == [0.5]


def test_a_broken_version_is_never_reused(catalog: Catalog) -> None:
    insert(catalog, "a", state="broken")
    assert versions.by_fingerprint(catalog.rows, "f-a", asset="a") is None


def test_what_is_not_found_is_told_with_what_there_is(catalog: Catalog) -> None:
    insert(catalog, "orders")
    with pytest.raises(UnknownAsset) as asset:
        catalog.find("ordres", "dev")
    assert str(asset.value) == "no asset 'ordres' has a version\n  next     did you mean 'orders'?"
    with pytest.raises(UnknownVersion) as number:
        catalog.find("orders:v9", "dev")
    assert str(number.value) == "there is no orders:v9\n  known    the newest is orders:v1"
    with pytest.raises(UnknownEnvironment) as environment:
        catalog.find("orders@production", "dev")
    assert str(environment.value) == (
        "orders has no version in production\n  known    environments: none yet\n  next     oito run orders"
    )
    assert catalog.find("orders:v1", "dev").ref == "orders:v1"


def test_an_environment_reads_the_bases_version_until_it_has_its_own(catalog: Catalog) -> None:
    first, second = insert(catalog, "a"), insert(catalog, "a")
    with catalog.change() as change:
        assert change.move("production", "a", first)
        assert not change.move("production", "a", first)
    assert catalog.find("a", "dev").number == 1
    with catalog.change() as change:
        change.move("dev", "a", second)
    assert (catalog.find("a", "dev").number, catalog.find("a@production", "dev").number) == (2, 1)
    assert {name: v.number for name, v in catalog.resolve_all("dev").items()} == {"a": 2}
    assert environments.names(catalog.rows) == ["dev", "production"]
    assert [move.version for move in environments.moves(catalog.rows, "production", "a")] == [first]


def test_events_of_one_subject_are_no_others(catalog: Catalog) -> None:
    with catalog.change() as change:
        for subject in ("a_b", "a_b:v1", "aXb:v1", "a_bc"):
            change.event("made", subject)
    assert [event.subject for event in events.listed(catalog.rows, subject="a_b")] == ["a_b:v1", "a_b"]
    assert [event.id for event in events.listed(catalog.rows, limit=2, before=3)] == [2, 1]


def test_a_later_answer_of_the_same_person_counts(catalog: Catalog) -> None:
    with catalog.change() as change:
        for who, label in (("ana", "cat"), ("bo", "dog"), ("ana", None)):
            answers.insert(change.rows, "pets", "1", label, who=who, at=change.at)
    assert [(each.who, each.label) for each in answers.listed(catalog.rows, "pets")] == [("bo", "dog"), ("ana", None)]
    assert len(answers.listed(catalog.rows, "pets", history=True)) == 3
