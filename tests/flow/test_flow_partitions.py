"""Partitions: which keys there are, what each reads, what makes one stale, and how many are made and put together."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.catalog import versions
from oito.errors import BadInput, DataError, ProjectFaults, StepFailed, UnknownEnvironment
from oito.flow import actions
from oito.flow.dimensions import Day, Dimension, Hour, Key, Month, Window
from oito.flow.partition import matching
from oito.flow.releases import release
from oito.storage import cuts, tables
from oito.storage.files import Files
from tiny import HEAD, Tiny

DAYS = (
    HEAD
    + """
from typing import Annotated

def moments(text):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))

@oito.source(key="id", partition=oito.Day.of("at"))
def orders(since):
    return moments("at")

@oito.dataset
def daily(orders: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    ran(f"daily[{day}]")
    return pl.DataFrame({"day": [str(day)], "n": [orders["n"].sum()], "rows": [orders.height]})

@oito.dataset
def trailing(daily: Annotated[pl.LazyFrame, oito.Window("2d")], *, day: oito.Day) -> pl.DataFrame:
    ran(f"trailing[{day}]")
    return daily.select(pl.lit(str(day)).alias("day"), pl.col("n").sum()).collect()

@oito.dataset
def total(daily: pl.DataFrame) -> pl.DataFrame:
    ran("total")
    return daily.select(pl.col("n").sum())
"""
)


@pytest.fixture
def days(tiny: Tiny) -> Tiny:
    tiny.write(DAYS)
    tiny.tell(id=[1, 2, 3], at=["2024-01-01T05:00:00", "2024-01-02T05:00:00", "2024-01-02T23:59:59"], n=[1, 10, 100])
    return tiny


def test_each_partition_is_made_from_its_own_rows(days: Tiny) -> None:
    days.run()
    assert days.rows("daily").rows() == [("2024-01-01", 1, 1), ("2024-01-02", 110, 2)]
    assert days.rows("total").rows() == [(111,)]
    assert days.rows("trailing").rows() == [("2024-01-01", 1), ("2024-01-02", 111)]
    assert sorted(days.ran()) == [
        "daily[2024-01-01]", "daily[2024-01-02]", "total", "trailing[2024-01-01]", "trailing[2024-01-02]",
    ]  # fmt: skip
    assert set(days.states().values()) == {"fresh"}
    days.run()
    assert days.ran() == []


def test_a_late_row_makes_just_its_own_partition_stale(days: Tiny) -> None:
    days.tell(
        id=[1, 2, 4], at=["2024-01-01T05:00:00", "2024-01-02T05:00:00", "2024-01-03T05:00:00"], n=[1, 10, 5]
    ).run()
    days.ran()
    days.tell(id=[9], at=["2024-01-01T06:00:00"], n=[7])
    days.run("orders")
    entry = days.plan()["daily"]
    assert entry.state == "stale"
    assert [each.partition for each in entry.partitions] == ["2024-01-01"]
    assert "partition orders[2024-01-01]" in entry.causes[-1].text
    days.run()
    assert sorted(days.ran()) == ["daily[2024-01-01]", "total", "trailing[2024-01-01]", "trailing[2024-01-02]"]
    assert days.rows("daily")["n"].to_list() == [8, 10, 5]


def test_a_partition_whose_result_is_the_same_stops_the_wave(days: Tiny) -> None:
    days.run()
    days.ran()
    days.edit('"n": [orders["n"].sum()]', '"n": [orders["n"].sum() + 0]')
    days.run()
    assert sorted(days.ran()) == ["daily[2024-01-01]", "daily[2024-01-02]"]


def test_a_comment_makes_no_partition_again(days: Tiny) -> None:
    days.run()
    days.ran()
    days.edit('    ran(f"daily[{day}]")', '    # a comment\n    ran(f"daily[{day}]")')
    assert days.states()["daily"] == "fresh"


def test_what_is_accepted_stays_for_each_partition(days: Tiny) -> None:
    days.edit("@oito.dataset\ndef daily", '@oito.dataset(env=("RAN",))\ndef daily')
    days.run()
    days.ran()
    days.edit('"n": [orders["n"].sum()]', '"n": [orders["n"].sum() + 1]')
    actions.accept(days.site(), "daily", reason="as good as before")
    assert days.states()["daily"] == "accepted"
    days.tell(id=[4], at=["2024-01-03T05:00:00"], n=[5]).run()
    assert days.ran()[0] == "daily[2024-01-03]"
    assert days.rows("daily")["n"].to_list() == [1, 110, 6]
    release.release(days.site(), "production")
    days.tell(id=[5], at=["2024-01-04T05:00:00"], n=[5]).run(environment="production")
    assert days.rows("daily", "production")["n"].to_list() == [1, 110, 6, 6]


def test_a_command_names_partitions(days: Tiny) -> None:
    days.run("orders")
    page = actions.run(days.site(), ["daily"], partition="2024-01-02")
    assert [step["asset"] for step in page.data["steps"]] == ["daily[2024-01-02]", "daily"]
    with pytest.raises(BadInput) as told:
        actions.run(days.site(), partition="2024-01-02")
    assert (told.value.what, told.value.next) == ("--partition needs an asset", "oito run ASSET --partition 2024-01-02")


def test_keys_that_are_declared_need_no_input(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.dataset
def calendar(*, day: oito.Day = oito.Day.since("2023-12-30"), region: oito.Key = oito.Key.among("north", "so/uth")):
    ran(f"{day}/{region}")
    return pl.DataFrame({"start": [day.start], "hours": [(day.end - day.start).total_seconds() / 3600], "region": [str(region)]})
"""
    )
    tiny.clock.advance(timedelta(hours=1))
    tiny.run()
    assert tiny.ran() == [f"2023-12-{day}/{region}" for day in (30, 31) for region in ("north", "so/uth")]
    assert tiny.rows("calendar")["region"].to_list() == ["north", "so/uth"] * 2
    tiny.clock.advance(timedelta(days=1))
    tiny.run()
    assert tiny.ran() == ["2024-01-01/north", "2024-01-01/so/uth"]
    tiny.edit('"2023-12-30"', '"2023-12-29"')
    tiny.run()
    assert tiny.ran() == ["2023-12-29/north", "2023-12-29/so/uth"]
    tiny.edit('"2023-12-29"', '"2023-12-30"')
    tiny.run()
    assert tiny.ran() == []
    assert tiny.rows("calendar").height == 6


def test_two_dimensions_meet_where_the_rows_do(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.source(key="id", partition=(oito.Month.of("at"), oito.Key.of("carrier")))
def flights(since):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))

@oito.dataset
def cells(flights: pl.DataFrame, *, month: oito.Month, carrier: oito.Key) -> pl.DataFrame:
    ran(f"{month}/{carrier}")
    return flights.select("id")

@oito.dataset
def by_carrier(cells: pl.DataFrame, *, carrier: oito.Key) -> pl.DataFrame:
    ran(str(carrier))
    return cells.select(pl.lit(str(carrier)).alias("carrier"), pl.len().alias("n"))
"""
    )
    at = ["2013-01-31T23:00:00", "2013-02-01T00:00:00", "2013-02-02T00:00:00"]
    tiny.tell(id=[1, 2, 3], at=at, carrier=["UA", "UA", "N/A"]).run()
    assert tiny.ran() == ["2013-01/UA", "2013-02/N/A", "2013-02/UA", "N/A", "UA"]
    assert dict(tiny.rows("by_carrier").rows()) == {"UA": 2, "N/A": 1}
    tiny.tell(id=[4], at=["2013-02-03T00:00:00"], carrier=["UA"]).run()
    assert tiny.ran() == ["2013-02/UA", "UA"]


def test_hours_of_a_day_through_a_window(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
from typing import Annotated

@oito.source(key="id", partition=oito.Hour.of("at"))
def ticks(since):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))

@oito.dataset
def hourly(ticks: pl.DataFrame, *, hour: oito.Hour) -> pl.DataFrame:
    return pl.DataFrame({"hour": [str(hour)], "n": [ticks.height]})

@oito.dataset
def of_day(hourly: Annotated[pl.DataFrame, oito.Window("1d")], *, day: oito.Day = oito.Day.since("2023-12-31")):
    return pl.DataFrame({"day": [str(day)], "n": [hourly["n"].sum()]})
"""
    )
    tiny.clock.advance(timedelta(days=1))
    tiny.tell(id=[1, 2, 3], at=["2023-12-31T00:10:00", "2023-12-31T23:50:00", "2024-01-01T00:00:00"]).run()
    assert tiny.rows("of_day").rows() == [("2023-12-31", 2), ("2024-01-01", 1)]


def test_named_partitions_are_made_and_the_others_left(days: Tiny) -> None:
    at = [f"2024-01-{day:02}T05:00:00" for day in range(1, 8)]
    days.tell(id=list(range(7)), at=at, n=[1] * 7).run("orders")
    days.run("daily", partitions={"daily": ["2024-01-02..2024-01-03", "2024-01-06"]})
    assert days.ran() == [f"daily[2024-01-0{day}]" for day in (2, 3, 6)]
    assert days.rows("daily")["day"].to_list() == ["2024-01-02", "2024-01-03", "2024-01-06"]
    entry = days.plan()["daily"]
    assert (entry.state, len(entry.partitions)) == ("stale", 4)
    days.run("daily")
    assert days.ran() == [f"daily[2024-01-0{day}]" for day in (1, 4, 5, 7)]
    with pytest.raises(Exception, match="there is no partition '2024-02'"):
        days.run("daily", partitions={"daily": ["2024-02"]})
    with pytest.raises(Exception, match="total is not made partition by partition"):
        days.run("total", partitions={"total": ["2024-02"]})


def test_failed_partitions_stop_the_whole_and_lose_nothing(days: Tiny) -> None:
    at = [f"2024-01-{day:02}T05:00:00" for day in range(1, 6)]
    days.tell(id=list(range(5)), at=at, n=[1, -1, 1, -1, 1])
    days.edit('ran(f"daily[{day}]")', 'ran(f"daily[{day}]"); assert orders["n"].sum() > 0, "a loss"')
    outcome = days.tried()
    error = outcome.errors["daily"]
    assert error.what == "2 of 5 partitions of daily failed"
    assert error.known == (
        "daily[2024-01-02]: daily raised AssertionError: a loss\ndaily[2024-01-04]: daily raised AssertionError: a loss"
    )
    assert error.next == "mend it, then: oito run daily     (the others are kept)"
    assert {step.asset: step.state for step in outcome.steps}["total"] == "blocked"
    assert len(days.ran()) == 5
    days.tell(id=[1, 3], at=[at[1], at[3]], n=[2, 2]).run("daily")
    assert days.ran() == ["daily[2024-01-02]", "daily[2024-01-04]"]


def test_one_failed_partition_tells_its_own_error(days: Tiny) -> None:
    days.edit('ran(f"daily[{day}]")', 'assert day != "2024-01-02", "not this day"')
    with pytest.raises(StepFailed, match="not this day"):
        days.run()


def test_a_broken_check_of_one_partition(days: Tiny) -> None:
    days.edit("@oito.dataset\ndef daily", '@oito.dataset(checks=[oito.between("n", 0, 50)])\ndef daily')
    outcome = days.tried()
    assert "n is between 0 and 50" in outcome.errors["daily"].what
    assert days.did(outcome)["daily[2024-01-02]"] == "broken"


def test_a_key_must_be_unique_over_all_partitions(days: Tiny) -> None:
    days.edit("@oito.dataset\ndef daily", '@oito.dataset(key="one")\ndef daily')
    days.edit('"rows": [orders.height]', '"one": [1]')
    outcome = days.tried()
    assert outcome.errors["daily"].what.startswith('daily broke "one names one row')


def test_partitions_with_other_columns_are_no_table(days: Tiny) -> None:
    days.edit('"rows": [orders.height]', '("rows" if day < "2024-01-02" else "lines"): [1]')
    outcome = days.tried()
    assert isinstance(outcome.errors["daily"], DataError)
    assert outcome.errors["daily"].what == "partitions 2024-01-01 and 2024-01-02 have other columns"


def test_rows_without_a_moment_cannot_be_cut(days: Tiny) -> None:
    days.tell(id=[1, 2], at=["2024-01-01T05:00:00", None], n=[1, 2])
    error = days.tried().errors["orders"]
    assert error.what == "1 of 2 rows have no at to be cut by"


def test_a_branch_takes_over_what_production_made(days: Tiny) -> None:
    days.run(environment="production")
    days.ran()
    days.edit('ran("total")', 'ran("total!")')
    days.run(environment="dev")
    assert days.ran() == ["total!"]


def test_another_cut_of_the_same_rows_is_another_thing(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.source(key="id")
def orders(since):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"), pl.col("sent").str.to_datetime(time_zone="UTC"))

@oito.dataset(partition=oito.Day.of("at"))
def clean(orders):
    return orders

@oito.dataset
def daily(clean: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    return pl.DataFrame({"day": [str(day)], "n": [clean.height]})
"""
    )
    tiny.tell(id=[1, 2], at=["2024-01-01", "2024-01-01"], sent=["2024-01-02", "2024-01-03"])
    tiny.edit('str.to_datetime(time_zone="UTC"), pl', 'str.to_datetime("%Y-%m-%d", time_zone="UTC"), pl')
    tiny.edit('("sent").str.to_datetime(time', '("sent").str.to_datetime("%Y-%m-%d", time')
    tiny.run()
    assert tiny.rows("daily").rows() == [("2024-01-01", 2)]
    tiny.edit('Day.of("at")', 'Day.of("sent")')
    tiny.run()
    assert tiny.rows("daily").rows() == [("2024-01-02", 1), ("2024-01-03", 1)]


def test_faults_of_partitions_are_all_told_at_once(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
from typing import Annotated

@oito.source(key="id")
def orders(since): ...

@oito.dataset
def nowhere(orders, *, day: oito.Day): ...

@oito.dataset
def before(orders, day: oito.Day): ...

@oito.dataset
def odd(orders, *, day: oito.Day = "2024-01-01"): ...

@oito.dataset
def wide(orders: Annotated[pl.LazyFrame, oito.Window("2d")], *, day: oito.Day = oito.Day.since("2024-01-01")): ...

@oito.labels(entity="id", time="at", known_at="at")
def truth(orders, *, day: oito.Day = oito.Day.since("2024-01-01")): ...

@oito.dataset(partition=oito.Key.of("a b"))
def spaced(orders): ...
"""
    )
    with pytest.raises(ProjectFaults) as told:
        tiny.load()
    text = str(told.value)
    for each in (
        "nowhere: nothing says which partitions 'day' has", "before: 'day' is a partition and stands before the *",
        "odd: the default of 'day' is '2024-01-01'", "wide: orders has a window, but orders is not partitioned by time",
        "truth: a labels is made whole, not partition by partition", "spaced: a partition is called 'a b'",
    ):  # fmt: skip
        assert each in text, each


CHILD = """
import sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from datetime import timedelta
from tiny import Tiny
tiny = Tiny(Path(sys.argv[1]))
tiny.clock.advance(timedelta(days=400))
tiny.run("daily")
"""


def test_a_killed_backfill_makes_each_partition_once(days: Tiny) -> None:
    """Twenty kills at random moments; what was committed before is not made again, and the last run ends it."""
    start = datetime(2024, 1, 1, 5, tzinfo=UTC)
    at = [f"{start + timedelta(days=day):%Y-%m-%dT%H:%M:%S}" for day in range(120)]
    days.tell(id=list(range(120)), at=at, n=[1] * 120).run("orders")
    dice = random.Random(8)
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(days.root), "", *sys.path], env={**os.environ},
        ) as child:  # fmt: skip
            began = len(days.root.joinpath("ran.txt").read_text().split()) if (days.root / "ran.txt").exists() else 0
            wait = time.monotonic() + 20
            while time.monotonic() < wait and child.poll() is None:
                ran = (days.root / "ran.txt").read_text().split() if (days.root / "ran.txt").exists() else []
                if len(ran) > began:
                    break
                time.sleep(0.002)
            time.sleep(dice.random() * 0.04)
            child.send_signal(signal.SIGKILL)
            child.wait()
        days.site().catalog.rows.one("UPDATE run SET seen = 0")  # the lease is over
        days.site().catalog.rows.one("UPDATE work SET seen = 0")
    days.run("daily")
    rows = days.site().catalog.rows
    made = rows.read("SELECT asset, COUNT(*) AS n FROM version WHERE asset LIKE 'daily[%' GROUP BY asset")
    assert len(made) == 120
    assert {row["n"] for row in made} == {1}
    whole = days.version("daily")
    assert whole.rows == 120
    assert len(whole.partitions["keys"]) == 120


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 95), st.integers(-5, 5)), min_size=1, max_size=12),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_a_cut_that_grows_is_the_cut_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int, int]]]
) -> None:
    files = Files(Path(tmp_path_factory.mktemp("cut")))
    by = [cuts.Cut("day", "at"), cuts.Cut("key", "id")]
    table, known = None, None
    for batch in batches:
        frame = pl.DataFrame(
            {"id": [row[0] for row in batch], "at": [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=row[1]) for row in batch],
             "n": [row[2] for row in batch]}
        ).unique("id", keep="last", maintain_order=True)  # fmt: skip
        grown = tables.write(files, frame) if table is None else tables.upsert(files, table, frame, "id")
        known = cuts.cut(files, grown, by, before=table, known=known)
        table = grown
        assert known == cuts.cut(files, table, by)
        assert sum(rows for _, rows in known.values()) == table.rows
        for key, (_, rows) in known.items():
            assert cuts.picked(tables.scan(files, table), by, [key]).collect().height == rows


def test_partitions_as_people_write_them() -> None:
    days_of_two = [f"{day}/{region}" for day in ("2024-01-31", "2024-02-01") for region in ("a", "b")]
    dimensions = [Dimension("day", "day"), Dimension("region", "key")]
    assert matching(dimensions, days_of_two, ["2024-01"]) == ["2024-01-31/a", "2024-01-31/b"]
    assert matching(dimensions, days_of_two, ["*/b"]) == ["2024-01-31/b", "2024-02-01/b"]
    assert matching(dimensions, days_of_two, ["2024-02-01..", "2024-01-31/a"]) == days_of_two[:1] + days_of_two[2:]
    assert [Day("2024-02-29").end.day, Hour("2024-01-01T23").end.day, Month("2024-02").end.month] == [1, 2, 3]
    with pytest.raises(Exception, match="'2024-02-30' is no day"):
        Day("2024-02-30")
    assert Key("UA") == "UA"
    with pytest.raises(Exception, match="a window of 0s is no time at all"):
        Window("0s")


def test_a_partition_has_its_own_versions_and_edges(days: Tiny) -> None:
    days.run()
    rows = days.site().catalog.rows
    found = versions.by_number(rows, "daily[2024-01-02]", 1)
    assert found is not None and found.partition == "2024-01-02" and found.ref == "daily[2024-01-02]:v1"
    parts = versions.parts(rows, found.fingerprint)
    assert parts is not None and parts["code"] and parts["partition"] == {"key": "2024-01-02"}
    assert days.site().catalog.find("daily[2024-01-02]", "dev").id == found.id
    with pytest.raises(UnknownEnvironment, match=r"daily\[2024-01-02\] has no version in production"):
        days.site().catalog.find("daily[2024-01-02]@production", "dev")
    whole = days.version("daily")
    edges = rows.read("SELECT role FROM edge WHERE version = ? ORDER BY role", whole.id)
    assert [row["role"] for row in edges] == ["orders", "partition.2024-01-01", "partition.2024-01-02"]
