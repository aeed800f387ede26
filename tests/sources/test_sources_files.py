"""Files are read when they are new, changed or due, and the record holds a ledger of them."""

import os
from pathlib import Path

import polars as pl
import pytest

from oito.errors import ContractBroken, EmptySource
from oito.flow.plan import Planner
from small_world import World

HOURLY = 'rides = oito.source.files("in/*.csv", cursor="at")\n'
KEYED = 'rides = oito.source.files("in/**/*", key="id")\n'
WHOLE = 'rides = oito.source.files("in/*.csv")\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def put(world: World, name: str, text: str, *, changed_ns: int = 0) -> None:
    path = world.root / "in" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    if changed_ns:
        os.utime(path, ns=(changed_ns, changed_ns))


def is_fresh(world: World) -> bool:
    return Planner(world.site).plan(["rides"])[0].state == "fresh"


def test_a_changed_file_of_the_same_size_a_new_one_and_a_removed_one(world: World) -> None:
    world.declare(KEYED)
    put(world, "a.csv", "id,km\n1,5\n2,6\n", changed_ns=1)
    world.poll()
    assert is_fresh(world)
    put(world, "a.csv", "id,km\n1,7\n2,6\n", changed_ns=2)
    assert not is_fresh(world)
    put(world, "deep/b.csv", "id,km\n3,1\n")
    assert world.poll() == "made"
    assert sorted(world.rows().rows()) == [(1, 7), (2, 6), (3, 1)]
    (world.root / "in/a.csv").unlink()
    assert world.poll() == "unchanged"
    assert world.rows().height == 3
    assert is_fresh(world)


def test_the_ledger_tells_size_time_and_rows_of_each_file(world: World) -> None:
    world.declare(KEYED)
    put(world, "a.csv", "id,km\n1,5\n2,6\n", changed_ns=7)
    pl.DataFrame({"id": [9], "km": [1]}).write_parquet(world.root / "in" / "b.parquet")
    world.poll()
    size = (world.root / "in/b.parquet").stat().st_size
    found = [(each["path"], each["size_bytes"], each["rows"]) for each in world.version().record["files"]]
    assert found == [("in/a.csv", 14, 2), ("in/b.parquet", size, 1)]
    assert world.version().record["files"][0]["changed_ns"] == 7


def test_an_old_file_that_arrives_late_is_read_however_far_the_cursor_went(world: World) -> None:
    world.declare(HOURLY)
    put(world, "october.csv", "at,t\n2013-10-30T00:00:00Z,1\n")
    world.poll()
    put(world, "january.csv", "at,t\n2013-01-01T00:00:00Z,2\n")
    world.poll()
    assert world.rows()["t"].to_list() == [1, 2]


def test_a_file_that_grows_gives_its_new_rows_only(world: World) -> None:
    world.declare(HOURLY)
    put(world, "a.csv", "at,t\n2013-10-01T00:00:00Z,1\n")
    world.poll()
    put(world, "a.csv", "at,t\n2013-10-01T00:00:00Z,1\n2013-10-01T00:00:00Z,2\n")
    world.poll()
    assert world.rows()["t"].to_list() == [1, 2]


def test_rows_of_the_future_are_due_when_the_clock_reaches_them_and_not_before(world: World) -> None:
    world.declare(HOURLY)
    put(world, "a.csv", "at,t\n2013-10-01T00:00:00Z,1\n2013-11-05T00:00:00Z,2\n2013-11-09T00:00:00Z,3\n")
    put(world, "b.csv", "at,t\n2013-10-01T00:00:00Z,4\n")
    world.poll()
    assert world.rows()["t"].to_list() == [1, 4]
    world.move_to("2013-11-04")
    assert is_fresh(world)
    world.move_to("2013-11-05")
    assert world.poll() == "made"
    assert is_fresh(world)
    world.move_to("2013-12-01")
    assert not is_fresh(world)
    assert world.poll() == "made"
    assert world.rows()["t"].to_list() == [1, 4, 2, 3]
    assert is_fresh(world)
    assert [each["waits_until"] for each in world.version().record["files"]] == ["", ""]


def test_a_file_of_only_future_rows_is_not_forgotten(world: World) -> None:
    world.declare(HOURLY)
    put(world, "a.csv", "at,t\n2013-10-01T00:00:00Z,1\n")
    world.poll()
    put(world, "b.csv", "at,t\n2013-11-05T00:00:00Z,2\n")
    world.poll()
    assert world.rows().height == 1
    world.move_to("2013-11-06")
    world.poll()
    assert world.rows()["t"].to_list() == [1, 2]


def test_without_key_and_cursor_the_table_is_what_the_files_hold(world: World) -> None:
    world.declare(WHOLE)
    put(world, "a.csv", "id\n1\n1\n")
    put(world, "b.csv", "id\n2\n")
    world.poll()
    assert world.rows()["id"].to_list() == [1, 1, 2]
    (world.root / "in/a.csv").unlink()
    world.poll()
    assert world.rows()["id"].to_list() == [2]


def test_values_that_stand_for_nothing_are_null_and_an_unwritten_file_is_no_error(world: World) -> None:
    world.declare(KEYED)
    put(world, "a.csv", "id,km\n1,NA\n2,3\n")
    put(world, "empty.csv", "")
    world.poll()
    assert world.rows()["km"].to_list() == [None, 3]


def test_a_file_with_a_text_among_numbers_sets_only_that_row_aside(world: World) -> None:
    world.declare('rides = oito.source.files("in/*.csv", key="id", cursor="at")\n')
    put(world, "a.csv", "id,km,at\n1,5,2013-10-01T00:00:00Z\n")
    world.poll()
    put(world, "b.csv", "id,km,at\n2,far,2013-10-01T00:00:00Z\n3,7,2013-10-02T00:00:00Z\n")
    put(world, "c.csv", "id,km,at\n4,8,yesterday\n")
    world.poll()
    assert world.rows().rows()[-1][:2] == (3, 7)
    assert sorted(world.aside()["set_aside_because"]) == [
        "at is 'yesterday', no Datetime('us', 'UTC')",
        "km is 'far', no Int64",
    ]


def test_what_cannot_be_read_names_the_file(world: World) -> None:
    world.declare(KEYED)
    with pytest.raises(EmptySource, match=r"no file fits 'in/\*\*/\*'"):
        world.poll()
    put(world, "a.txt", "hello")
    with pytest.raises(ContractBroken, match=r"a\.txt cannot be read: oito reads \.csv"):
        world.poll()
    (world.root / "in/a.txt").unlink()
    put(world, "b.parquet", "no parquet")
    with pytest.raises(ContractBroken, match=r"b\.parquet cannot be read: "):
        world.poll()
