"""When something runs by itself: cron against a search minute by minute, and each tick accounted for exactly once, come what may."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oito.clock import moment
from oito.errors import BadInput
from oito.flow.schedules.cron import Cron, zone_of
from oito.flow.schedules.schedule import (
    MISSED,
    MOST_MADE_UP,
    Due,
    Every,
    Missed,
    Schedule,
    due,
    scheduled,
    targets,
    wave,
)
from oito.sources.spec import SourceSpec

MINUTE = timedelta(minutes=1)
ZONES = ("UTC", "Europe/Lisbon", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")
MOMENTS = st.integers(0, 5 * 365 * 86_400).map(lambda seconds: moment("2022-01-01") + timedelta(seconds=seconds))


def part(low: int, high: int) -> st.SearchStrategy[str]:
    """Return one field of a cron expression, in all the ways in which it may be written."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    one = st.one_of(number.map(str), span, stepped)
    return st.one_of(st.just("*"), st.lists(one, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(part(0, 59), part(0, 23), st.one_of(st.just("*"), part(1, 28)), part(1, 12), part(0, 7)).map(
    " ".join
)


def fits(cron: Cron, at: datetime) -> bool:
    """Say whether a minute of UTC fits, field by field."""
    minutes, hours, days, months, weekdays = cron.fields
    _, _, day, _, weekday = cron.written.split()
    both = at.day in days, at.isoweekday() % 7 in weekdays
    is_day = all(both) if day.startswith("*") or weekday.startswith("*") else any(both)
    return at.minute in minutes and at.hour in hours and at.month in months and is_day


@given(EXPRESSIONS, MOMENTS)
@settings(max_examples=150, deadline=None)
def test_cron_is_what_a_search_minute_by_minute_finds(written: str, start: datetime) -> None:
    cron = Cron(written)
    found = cron.after(start)
    at = start.replace(second=0, microsecond=0) + MINUTE
    for _ in range(3 * 24 * 60):
        if fits(cron, at):
            assert found == at
            break
        at += MINUTE
    else:
        assert found >= at
    assert fits(cron, found)


@given(EXPRESSIONS, MOMENTS, st.sampled_from(ZONES), st.integers(0, 60 * 24 * 40))
@settings(max_examples=150, deadline=None)
def test_counting_ticks_is_walking_over_them_in_every_zone(
    written: str, start: datetime, zone: str, minutes: int
) -> None:
    cron, end = Cron(written, zone), start + minutes * MINUTE
    walked: list[datetime] = []
    at = start
    while len(walked) <= 3_000 and (at := cron.after(at)) <= end:
        walked.append(at)
    assume(len(walked) <= 3_000)
    assert cron.count(start, end) == len(walked)
    assert walked == sorted(set(walked))
    if walked:
        assert cron.last(end) == walked[-1]
    else:
        assert cron.last(end) <= start


@given(MOMENTS, st.sampled_from(["1s", "15m", "1h", "1d", "1w", "1h30m"]), st.integers(0, 10**7))
def test_multiples_of_a_span_are_counted_as_they_are_walked(start: datetime, span: str, seconds: int) -> None:
    every, end = Every(span), start + timedelta(seconds=seconds)
    assert every.last(start) <= start < every.after(start)
    assert every.last(every.after(start)) == every.after(start)
    count = every.count(start, end)
    assert count == 0 or every.after(start) <= every.last(end)
    assert abs(count * (every.after(start) - every.last(start)) - (every.last(end) - every.last(start))) < timedelta(
        seconds=1
    )


def walked(cron: Cron, start: str, count: int) -> list[str]:
    found, at = [], moment(start)
    for _ in range(count):
        at = cron.after(at)
        found.append(at.astimezone(ZoneInfo(cron.zone)).strftime("%d %H:%M %Z"))
    return found


def test_a_time_that_does_not_exist_is_as_much_later_as_the_clocks_went() -> None:
    cron = Cron("30 2 * * *", "America/New_York")
    assert walked(cron, "2024-03-09T12:00", 2) == ["10 03:30 EDT", "11 02:30 EDT"]


def test_a_time_that_comes_twice_counts_once() -> None:
    cron = Cron("30 1 * * *", "America/New_York")
    assert walked(cron, "2024-11-02T12:00", 2) == ["03 01:30 EDT", "04 01:30 EST"]


def test_expressions_that_name_no_hours_count_real_hours() -> None:
    cron = Cron("0 * * * *", "America/New_York")
    assert walked(cron, "2024-11-03T04:30", 4) == ["03 01:00 EDT", "03 01:00 EST", "03 02:00 EST", "03 03:00 EST"]
    assert walked(cron, "2024-03-10T05:30", 3) == ["10 01:00 EST", "10 03:00 EDT", "10 04:00 EDT"]


def test_names_lists_steps_and_either_day_are_understood() -> None:
    assert Cron("*/20 6-8 1,15 jan-mar mon").fields[:2] == (frozenset({0, 20, 40}), frozenset({6, 7, 8}))
    assert Cron("0 0 * * fri-sun").fields[4] == Cron("0 0 * * 5-7").fields[4] == frozenset({0, 5, 6})
    assert walked(Cron("0 0 13 * fri"), "2024-09-01", 3) == ["06 00:00 UTC", "13 00:00 UTC", "20 00:00 UTC"]
    assert Cron("@daily").after(moment("2024-01-01")) == moment("2024-01-02")
    assert Cron("0 0 29 2 *").after(moment("2096-03-01")) == moment("2104-02-29")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("0 6 * *", "'0 6 * *' is not a cron expression\n  known    five fields: minute, hour, day of the month"),
        ("61 * * * *", "'61' is no minute of a cron expression\n  known    a minute is 0 to 59"),
        ("0 0 * * frei", "'frei' is no weekday of a cron expression\n  known    a weekday is 0 to 7 or sun to sat"),
        ("*/0 * * * *", "'*/0' is no minute of a cron expression\n  known    a step is a number above 0, not '0'"),
        ("30-10 * * * *", "'30-10' is no minute of a cron expression\n  known    30 comes after 10"),
        ("0 0 31 2 *", "the cron expression '0 0 31 2 *' names a day that never comes"),
    ],
)
def test_what_is_no_cron_expression_is_told(written: str, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        _ = Cron(written).fields
    assert str(caught.value).startswith(text)


def test_an_unknown_time_zone_is_told() -> None:
    for name in ("Europe/Nowhere", "../etc/passwd", "Europe", ""):
        with pytest.raises(BadInput, match="there is no time zone"):
            zone_of(name)


def test_faults_of_a_schedule_are_found_with_all_others() -> None:
    spec: Any = SourceSpec(every="1h", cron="61 * * * *", missed="never")  # type: ignore[arg-type]  # that is the fault
    assert list(spec.faults()) == [
        "cron: '61' is no minute of a cron expression (a minute is 0 to 59)",
        "missed is 'never'; it is once, skip or all",
        "every, cron and after are three ways to run by itself; one is enough",
    ]


def covered(schedule: Schedule, each: Due | tuple[datetime, datetime, int]) -> list[datetime]:
    """Return the ticks that one entry stands for."""
    at, first, count = (each.at, each.first, each.count) if isinstance(each, Due) else each
    found = [first]
    while found[-1] < at:
        found.append(schedule.after(found[-1]))
    assert len(found) == count and found[-1] == at
    return found


SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.sampled_from(["1m", "7m", "1h", "6h", "1d"]).map(Every),
    st.sampled_from(["*/10 * * * *", "0 6 * * *", "30 1,2,3 * * *", "15 */5 * * mon-fri"]).map(
        lambda written: Cron(written, "Europe/Lisbon")
    ),
)
LOOKS = st.lists(st.integers(1, 60 * 60 * 9), min_size=1, max_size=30)


@given(SCHEDULES, MOMENTS, LOOKS, st.sampled_from(MISSED), st.data())
@settings(max_examples=200, deadline=None)
def test_each_tick_is_accounted_for_exactly_once(
    schedule: Schedule, start: datetime, looks: list[int], missed: Missed, data: st.DataObject
) -> None:
    reached = now = start
    entries: list[Due] = []
    for seconds in looks:
        now += timedelta(seconds=seconds)
        is_busy = data.draw(st.booleans())
        found = due(schedule, reached, now, missed=missed, busy_since=start if is_busy else None)
        if is_busy and missed != "all":
            assert all(each.does == "skipped" and each.note for each in found)
        if found:
            assert found[-1].at <= now
            reached = found[-1].at
        entries += found
    ticks = [tick for each in entries for tick in covered(schedule, each)]
    assert ticks == sorted(set(ticks))
    assert len(ticks) == schedule.count(start, now)
    assert all(each.note for each in entries if each.does != "run")


def test_a_year_away_is_told_in_one_entry_at_once() -> None:
    away = moment("2023-01-01"), moment("2024-01-01")
    assert [(each.does, each.count) for each in due(Every("1s"), *away)] == [("run", 365 * 86_400)]
    assert [each.count for each in due(Cron("* * * * *", "Europe/Lisbon"), *away)] == [365 * 1440]
    made_up = due(Every("1m"), *away, missed="all")
    assert len(made_up) == MOST_MADE_UP + 1
    assert (made_up[0].does, made_up[0].count) == ("missed", 365 * 1440 - MOST_MADE_UP)


def test_a_tick_that_is_seen_late_was_missed() -> None:
    at = moment("2024-01-01T06:00")
    reached = at - MINUTE
    assert [each.does for each in due(Every("6h"), reached, at + timedelta(seconds=59), missed="skip")] == ["run"]
    assert [each.does for each in due(Every("6h"), reached, at + timedelta(seconds=61), missed="skip")] == ["missed"]


def test_the_probe_of_a_source_and_its_ticks_agree() -> None:
    hourly = scheduled("1h", None)
    assert hourly is not None
    early, on_time = moment("2024-01-01T10:59:59.9"), moment("2024-01-01T11:00")
    assert hourly.last(early) != hourly.last(on_time), "what was asked just before the hour is asked again at the hour"
    assert due(hourly, moment("2024-01-01T10:00"), early) == [], "and no tick comes before its hour"
    assert [each.at for each in due(hourly, moment("2024-01-01T10:00"), on_time)] == [on_time]


def graphs() -> Iterator[dict[str, dict[str, Any]]]:
    yield {
        "orders": {"needs": [], "every": "1h"}, "weather": {"needs": []}, "clean": {"needs": ["orders", "weather"]},
        "report": {"needs": ["clean"], "cron": "0 6 * * *"}, "mail": {"needs": ["report", "clean"]},
        "model": {"needs": ["clean"]}, "watch": {"needs": ["model", "orders"], "every": "1d"},
    }  # fmt: skip


def test_a_wave_ends_where_something_has_a_schedule_of_its_own() -> None:
    (shop,) = graphs()
    assert wave(shop, "orders") == ["orders", "clean", "model"]
    assert wave(shop, "report") == ["report", "mail"]
    assert wave(shop, "weather") == ["weather", "clean", "model"]
    assert targets(shop, ["report", "orders"]) == ["orders", "clean", "report", "mail", "model"]


def test_the_ways_to_treat_missed_ticks_are_the_declared_ones() -> None:
    assert MISSED == get_args(Missed) == get_args(Literal["once", "skip", "all"])
