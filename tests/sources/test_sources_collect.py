"""A source with a cursor collects each row once: late, tied, changed, unfit, future and nameless ones."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from oito.errors import ContractBroken, EmptySource, MissingColumn, OitoError, StepFailed
from small_world import World

KEYED = """
@oito.source(key="id", cursor="at", overlap="3d")
def rides(since): return outside(since)
"""
KEYLESS = """
@oito.source(cursor="at", overlap="3d")
def rides(since): return outside(since)
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ride(number: int, day: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": f"2013-10-{day:02d}T00:00:00Z", "km": 1.0, **more}


@pytest.mark.parametrize("project", [KEYED, KEYLESS])
def test_a_late_row_inside_the_overlap_is_not_lost_and_nothing_is_doubled(world: World, project: str) -> None:
    world.declare(project)
    first = [ride(1, 1), ride(2, 10)]
    assert world.poll(first) == "made"
    assert world.poll([*first, ride(3, 8), ride(4, 10), ride(5, 12)]) == "made"
    assert world.rows()["id"].sort().to_list() == [1, 2, 3, 4, 5]
    assert world.version().record["cursor"] == "2013-10-12T00:00:00.000000Z"


@pytest.mark.parametrize("project", [KEYED, KEYLESS])
def test_a_poll_with_nothing_new_makes_no_version(world: World, project: str) -> None:
    world.declare(project)
    world.poll([ride(1, 1), ride(2, 1)])
    world.move_to("2013-11-02")
    assert world.poll() == "unchanged"
    world.tell([])
    world.move_to("2013-11-03")
    assert world.poll() == "unchanged"
    assert world.count() == 1


def test_a_row_changed_behind_the_cursor_replaces_the_one_before(world: World) -> None:
    world.declare(KEYED)
    world.poll([ride(1, 9), ride(2, 10)])
    world.poll([ride(1, 9, km=7.5), ride(2, 10)])
    assert world.rows().sort("id")["km"].to_list() == [7.5, 1.0]


def test_of_one_key_in_one_collection_the_greatest_cursor_counts_in_whatever_order(world: World) -> None:
    world.declare(KEYED)
    world.poll([ride(1, 9, km=2.0), ride(1, 8, km=1.0), ride(2, 9, km=3.0), ride(2, 9, km=4.0)])
    assert world.rows().sort("id")["km"].to_list() == [2.0, 4.0]


def test_a_composite_key_is_compared_part_by_part(world: World) -> None:
    world.declare(KEYED.replace('key="id"', 'key=("a", "b")'))
    world.poll([ride(1, 9, a=1, b=12)])
    world.poll([ride(1, 9, a=1, b=12), ride(2, 9, a=11, b=2)])
    assert sorted(world.rows().select("a", "b").rows()) == [(1, 12), (11, 2)]


def test_a_function_that_gives_everything_each_time_doubles_nothing(world: World) -> None:
    world.declare('@oito.source(cursor="at")\ndef rides(): return outside()\n')
    world.poll([ride(1, 1), ride(2, 30)])
    world.poll([ride(1, 1), ride(2, 30), ride(3, 31)])
    assert world.rows()["id"].to_list() == [1, 2, 3]


def test_without_key_and_cursor_each_reading_is_the_whole(world: World) -> None:
    world.declare("@oito.source\ndef rides(): return outside()\n")
    world.poll([ride(1, 1), ride(1, 1), ride(2, 1)])
    assert world.rows().height == 3
    world.poll([ride(2, 1)])
    assert world.rows()["id"].to_list() == [2]


def test_pages_are_put_together_and_an_empty_one_in_the_middle_ends_nothing(world: World) -> None:
    world.declare("""
@oito.source(key="id", cursor="at")
def rides(since):
    rows = outside(since)
    yield rows[:1]
    yield rows[:0]
    yield []
    yield rows[0:]
""")
    world.poll([ride(1, 1), ride(2, 1), ride(3, 1)])
    assert world.rows()["id"].to_list() == [1, 2, 3]


def test_rows_of_the_future_are_left_for_later_and_then_collected_however_far_the_cursor_went(world: World) -> None:
    world.declare(KEYED.replace('overlap="3d"', 'overlap="3d", known_at="known"'))
    slow = ride(1, 1, known="2013-12-24T00:00:00Z")
    rows = [slow, ride(2, 2, known="2013-10-02T00:00:00Z")]
    world.poll(rows)
    assert world.rows()["id"].to_list() == [2]
    assert (world.version().record["waiting"], world.version().record["waits_until"]) == (
        1,
        "2013-12-24T00:00:00.000000Z",
    )
    rows.append(ride(3, 30, known="2013-10-30T00:00:00Z"))
    world.poll(rows)
    world.move_to("2013-11-20")
    rows.append(ride(4, 31, known="2013-11-10T00:00:00Z"))
    world.poll(rows)
    assert world.rows()["id"].to_list() == [2, 3, 4]
    world.move_to("2013-12-24")
    assert world.poll() == "made"
    assert world.rows()["id"].to_list() == [2, 3, 4, 1]


def test_a_row_that_does_not_say_when_it_is_known_is_set_aside_until_it_does(world: World) -> None:
    world.declare(KEYED.replace('overlap="3d"', 'overlap="3d", known_at="known"'))
    good = ride(2, 2, known="2013-10-02T00:00:00Z")
    world.poll([ride(1, 1, known=None), good])
    assert world.aside().select("id", "set_aside_because").rows() == [("1", "known is missing")]
    world.poll([ride(1, 1, known="2013-10-05T00:00:00Z"), good])
    assert world.rows()["id"].sort().to_list() == [1, 2]
    assert "quarantine" not in world.version().tables


def test_a_text_where_a_number_was_is_set_aside_once_with_its_reason(world: World) -> None:
    world.declare(KEYED)
    world.poll([ride(1, 1)])
    bad = [ride(1, 1), ride(2, 2, km="far"), ride(3, 2, km="4.5")]
    bad[0]["km"] = "1.0"
    assert world.poll(bad) == "made"
    assert world.rows()["km"].to_list() == [1.0, 4.5]
    assert world.aside()["set_aside_because"].to_list() == ["km is 'far', no Float64"]
    assert (world.version().record["set_aside"], world.version().record["quarantined"]) == (1, 1)
    assert world.poll() == "unchanged"
    world.poll([ride(2, 2, km=9.0)])
    assert world.rows().sort("id")["km"].to_list() == [1.0, 9.0, 4.5]
    assert "quarantine" not in world.version().tables


def test_a_row_without_its_key_is_set_aside(world: World) -> None:
    world.declare(KEYED)
    world.poll([ride(1, 1), {**ride(0, 1), "id": None}])
    assert world.rows()["id"].to_list() == [1]
    assert world.aside()["set_aside_because"].to_list() == ["id is missing"]


@pytest.mark.parametrize("project", [KEYED, KEYLESS])
def test_integers_give_way_to_floats_only_when_a_value_needs_it(world: World, project: str) -> None:
    world.declare(project)
    world.poll([ride(1, 1, n=1)])
    world.poll([ride(1, 1, n=1.0), ride(2, 2, n=2.0)])
    assert world.rows().schema["n"] == pl.Int64
    world.poll([ride(1, 1, n=1.0), ride(2, 2, n=2.0), ride(3, 3, n=2.5)])
    assert world.rows().sort("id")["n"].to_list() == [1.0, 2.0, 2.5]
    world.poll([ride(3, 3, n=2), ride(4, 4, n=4)])
    assert world.rows().schema["n"] == pl.Float64


@pytest.mark.parametrize("project", [KEYED, KEYLESS])
def test_a_new_column_comes_in_without_doubling_the_rows_of_the_overlap(world: World, project: str) -> None:
    world.declare(project)
    world.poll([ride(1, 1), ride(2, 10)])
    more = [ride(2, 10, tip=3), ride(3, 11, tip=None)]
    world.poll(more)
    assert world.poll() == "unchanged"
    assert world.rows().sort("id")["tip"].to_list() == [None, 3, None]


def test_a_column_that_is_all_missing_for_once_changes_nothing(world: World) -> None:
    world.declare(KEYED)
    world.poll([ride(1, 1)])
    world.poll([ride(2, 2, km=None)])
    assert world.rows().schema["km"] == pl.Float64


def test_a_time_without_zone_is_utc(world: World) -> None:
    world.declare("""
@oito.source(key="id", cursor="at")
def rides(since): return outside(since).with_columns(pl.col("at").dt.replace_time_zone(None))
""")
    world.poll([ride(1, 1)])
    assert world.rows().schema["at"] == pl.Datetime("us", "UTC")
    assert world.poll([ride(1, 1), ride(2, 2)]) == "made"


@pytest.mark.parametrize(
    ("cast", "cursor"), [('pl.col("at").dt.date()', "2013-10-10"), ('pl.col("at").dt.to_string("%Y%m%d")', "20131010")]
)
def test_dates_and_texts_are_cursors_too(world: World, cast: str, cursor: str) -> None:
    world.declare(f"""
@oito.source(key="id", cursor="at")
def rides(since):
    rows = outside().with_columns({cast})
    return rows if since is None else rows.filter(pl.col("at") >= since)
""")
    world.poll([ride(1, 9), ride(2, 10)])
    assert world.version().record["cursor"] == cursor
    world.poll([ride(1, 9), ride(2, 10), ride(3, 10), ride(4, 11)])
    assert world.rows()["id"].to_list() == [1, 2, 3, 4]


def test_a_number_as_cursor_overlaps_by_a_number(world: World) -> None:
    world.declare("""
@oito.source(cursor="id", overlap=10)
def rides(since): return outside(since, "id")
""")
    world.poll([ride(100, 1)])
    world.poll([ride(89, 1), ride(90, 1), ride(100, 1), ride(101, 1)])
    assert world.rows()["id"].to_list() == [100, 90, 101]


def test_a_source_that_never_gave_a_row_says_so(world: World) -> None:
    world.declare(KEYED)
    with pytest.raises(EmptySource, match="rides gave no rows") as caught:
        world.poll([])
    assert "it has never given any" in str(caught.value)
    world.declare(KEYED.replace('overlap="3d"', 'overlap="3d", known_at="known"'))
    with pytest.raises(EmptySource) as caught:
        world.poll([ride(1, 1, known="2014-01-01T00:00:00Z")])
    assert caught.value.known == "rows that are not known yet: 1, the first at 2014-01-01T00:00:00.000000Z"


def test_a_missing_column_is_named_with_the_closest_one(world: World) -> None:
    world.declare(KEYED)
    with pytest.raises(MissingColumn, match="rides gave no column 'id'") as caught:
        world.poll([{"idd": 1, "at": "2013-10-01T00:00:00Z"}])
    assert caught.value.next == "did you mean 'idd'?"
    world.poll([ride(1, 1, fare=1.0)])
    with pytest.raises(MissingColumn, match="the column 'fare' is gone") as caught:
        world.poll([ride(1, 1, fares=1.0)])
    assert "did you mean 'fares'?" in caught.value.next


def test_a_frozen_contract_takes_no_new_column_and_no_other_type(world: World) -> None:
    world.declare(KEYED.replace("overlap", 'contract="freeze", overlap'))
    world.poll([ride(1, 1)])
    for rows, what in (
        ([ride(2, 1, tip=1)], "the column 'tip' is Int64"),
        ([ride(2, 1, km="1")], "the column 'km' is String"),
    ):
        with pytest.raises(ContractBroken, match=what):
            world.poll(rows)
    assert world.poll([ride(2, 1, km=None)]) == "made"


def test_under_quarantine_a_new_column_is_kept_beside_the_rows(world: World) -> None:
    world.declare(KEYED.replace("overlap", 'contract="quarantine", overlap'))
    world.poll([ride(1, 1)])
    world.poll([ride(1, 1), ride(2, 2, tip=4)])
    assert world.rows().columns == ["id", "at", "km"]
    assert world.rows()["id"].to_list() == [1, 2]
    assert world.aside().select("id", "tip", "set_aside_because").rows() == [
        ("2", "4", "the column 'tip' is new; the row was kept without it")
    ]


@pytest.mark.parametrize("given", ["7", "[1, 2]", "object()"])
def test_what_is_no_table_is_refused_with_its_place(world: World, given: str) -> None:
    world.declare(f"@oito.source\ndef rides(): return {given}\n")
    with pytest.raises(OitoError) as caught:
        world.poll([])
    assert isinstance(caught.value, StepFailed)
    assert "project.py:" in caught.value.where


def test_a_time_that_is_no_time_is_refused(world: World) -> None:
    world.declare(KEYED.replace('overlap="3d"', 'overlap="3d", known_at="km"'))
    with pytest.raises(ContractBroken, match="known_at='km' is Float64, no time"):
        world.poll([ride(1, 1)])
