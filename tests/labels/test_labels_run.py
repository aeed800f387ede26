"""Labels are made from a project on disk: columns checked, truth told apart from what is open, read as known at a moment."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from oito import settings
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock
from oito.eight import KINDS
from oito.errors import DataError, MissingColumn, OitoError
from oito.flow import runner
from oito.flow.project import load
from oito.flow.site import Site
from oito.labels import panels
from oito.labels.rows import Columns, items, normalized
from oito.storage.files import Files

DAY = datetime(2024, 1, 1, tzinfo=UTC)

PROJECT = """
import polars as pl
import oito
from datetime import datetime, timedelta

@oito.source()
def flights(since):
    asked = [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(6)]
    return pl.DataFrame({
        "id": list(range(6)), "asked_at": asked,
        "arrived_at": [None if n == 5 else at + timedelta(hours=3) for n, at in enumerate(asked)],
        "delay": [float("nan") if n == 4 else 20.0 * (n % 2) for n in range(6)], "carrier": ["UA", "AA"] * 3,
    })

@oito.labels(entity="id", time="asked_at", known_at="arrived_at")
def late(flights):
    return flights.with_columns(
        late=pl.when(pl.col("arrived_at").is_not_null() & pl.col("delay").is_not_nan()).then(pl.col("delay") > 15)
    ).reverse()

@oito.labels(entity="id", time="asked_at", known_at="arrived_at")
def delay(flights): return flights.filter(pl.col("arrived_at").is_not_null())
"""


def _site(root: Path, project: str = PROJECT, *, now: datetime = DAY + timedelta(days=30)) -> Site:
    (root / "project.py").write_text(project)
    sys.modules.pop("project", None)
    given = settings.load(root)
    home = given.home_folder
    return Site(
        load(root, ["project.py"], KINDS), Catalog(home, VirtualClock(now), who="ann"), Files(home / "files"), given,
        "dev", root,
    )  # fmt: skip


def _made(site: Site, name: str) -> Version:
    runner.run(site, [name]).raise_first()
    return site.catalog.find(name, "dev")


def test_known_labels_are_kept_in_order_and_open_ones_counted(tmp_path: Path) -> None:
    site = _site(tmp_path)
    made = _made(site, "late")
    rows = site.read(made).collect()
    assert rows.columns == ["id", "asked_at", "arrived_at", "late", "delay", "carrier"]
    assert rows["id"].to_list() == [0, 1, 2, 3] and rows["late"].to_list() == [False, True, False, True]
    record = made.record
    assert (record["unknown"], record["early"], record["classes"], record["counts"]) == (2, 0, [False, True], [2, 2])
    assert (record["task"], record["positive_share"], record["context"]) == (
        "classification",
        0.5,
        ["delay", "carrier"],
    )
    assert (record["known_from"], record["known_to"]) == ("2024-01-01T03:00:00.000000Z", "2024-01-01T06:00:00.000000Z")
    assert record["delay_hours"]["0.5"] == 3.0


def test_a_missing_number_is_a_label_that_is_not_known_yet(tmp_path: Path) -> None:
    made = _made(_site(tmp_path), "delay")
    assert (made.rows, made.record["unknown"], made.record["task"]) == (4, 1, "regression")


def test_reading_by_a_moment_gives_what_was_known_then(tmp_path: Path) -> None:
    site = _site(tmp_path)
    made = _made(site, "late")
    known = site.read(made, known_by=DAY + timedelta(hours=4), as_type=pl.DataFrame)
    assert known["id"].to_list() == [0, 1]
    assert site.read(made, known_by=DAY).collect().height == 0


def test_an_unchanged_label_set_stops_the_wave(tmp_path: Path) -> None:
    site = _site(tmp_path)
    first = _made(site, "late")
    again = _site(tmp_path, PROJECT.replace(".reverse()", ".filter(pl.lit(True))"))
    second = _made(again, "late")
    assert second.number == first.number + 1 and second.content == first.content


def test_a_missing_column_is_named_with_the_closest_one(tmp_path: Path) -> None:
    site = _site(
        tmp_path,
        PROJECT.replace(
            'time="asked_at", known_at="arrived_at")\ndef delay', 'time="asked", known_at="arrived_at")\ndef delay'
        ),
    )
    with pytest.raises(MissingColumn) as caught:
        _made(site, "delay")
    assert str(caught.value) == (
        "the labels have no column 'asked'\n"
        "  where    project.py:21\n"
        "  known    their columns: id, asked_at, arrived_at, delay, carrier\n"
        "  next     did you mean 'asked_at'?"
    )


COLUMNS = Columns(("id",), "at", "seen", "late")


def _rows(**changed: object) -> pl.DataFrame:
    given = {"id": [1, 2], "at": [DAY, DAY], "seen": [DAY, DAY], "late": [True, False], **changed}
    return pl.DataFrame(given)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (_rows(id=[1, 1]), "2 of 2 label rows share their entity and time"),
        (_rows(id=[None, 1]), "1 of 2 label rows have no entity or no time"),
        (_rows(at=["2024", "2025"]), "'at' is no time"),
        (_rows(id=[0.5, 1.5]), "the entity 'id' cannot be a key"),
        (_rows(seen=[DAY, None]), "1 of 2 labels have no 'seen'"),
        (_rows(late=[[1], [2]]), "the label 'late' is List(Int64)"),
        (_rows(late=["yes", "ja"]), "1 of 2 labels are of no declared class, such as 'ja'"),
    ],
)
def test_rows_that_are_no_labels_are_refused_with_the_reason(rows: pl.DataFrame, text: str) -> None:
    with pytest.raises(DataError) as caught:
        normalized(rows, COLUMNS, classes=["yes", "no"], place="project.py:7")
    assert caught.value.what == text and caught.value.where.startswith("project.py:7") and caught.value.next


def test_one_column_cannot_be_two_things() -> None:
    with pytest.raises(OitoError) as caught:
        normalized(_rows(), Columns(("id",), "at", "at", "late"))
    assert caught.value.what == "the column 'at' is declared as two things"


def test_times_without_a_zone_are_utc_and_dates_are_midnight() -> None:
    naive = [(DAY + timedelta(hours=hours)).replace(tzinfo=None) for hours in (5, 4)]
    rows = _rows(at=naive, seen=[DAY.date()] * 2)
    found = normalized(rows, COLUMNS)
    assert found["id"].to_list() == [2, 1]
    assert found["at"].to_list() == [DAY + timedelta(hours=4), DAY + timedelta(hours=5)]
    assert found["seen"].to_list() == [DAY, DAY]


def test_items_of_different_keys_never_share_a_name() -> None:
    columns = Columns(("a", "b"), "at", "seen", "late")
    rows = pl.DataFrame({"a": ["x/y", "x", "x%2Fy"], "b": ["z", "y/z", "z"], "at": [DAY] * 3})
    assert items(rows, columns).to_list() == [
        "x%2Fy/z@2024-01-01T00:00:00Z",
        "x/y%2Fz@2024-01-01T00:00:00Z",
        "x%252Fy/z@2024-01-01T00:00:00Z",
    ]


def test_the_page_of_a_version_shows_balance_and_delay(tmp_path: Path) -> None:
    site = _site(tmp_path)
    for name in ("late", "delay"):
        made = _made(site, name)
        facts, balance, delays = panels.version_blocks(site, made)
        assert ("known", 4) in facts.pairs  # type: ignore[union-attr]  # the first block is facts
        assert "over time" in balance.title and sum(delays.series[0].y) == 4  # type: ignore[union-attr,arg-type]  # charts
    assert panels.asset_blocks(site, site.project.asset("late"), made) == []
