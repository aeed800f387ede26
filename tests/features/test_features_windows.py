"""Sliding windows against their definition, event by event, and in the corners: late rows, nulls, cancellation, grids."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.errors import BadInput, DataError, MissingColumn
from oito.features.windows import sliding

UTC_TIME = pl.Datetime("us", "UTC")
START = datetime(2013, 1, 1, tzinfo=UTC)
AGGREGATES = ("sum", "mean", "count", "min", "max", "std")
ALL = {how: ("value", how) for how in AGGREGATES}
Event = tuple[Any, int | None, int | None, float | None]


def hour(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


def events(rows: Sequence[Event], dtype: type[pl.DataType] = pl.Float64) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [row[0] for row in rows],
            "at": [hour(row[1]) for row in rows],
            "known": [hour(row[2]) for row in rows],
            "value": [row[3] for row in rows],
        },
        schema={"key": pl.Int64, "at": UTC_TIME, "known": UTC_TIME, "value": dtype},
    )


def slide(rows: Sequence[Event], *, windows_h: Sequence[int] = (3,), every_h: int | None = None) -> pl.DataFrame:
    return sliding(
        events(rows),
        by="key",
        time="at",
        known_at="known",
        windows={f"{hours}": timedelta(hours=hours) for hours in windows_h},
        values=ALL,
        every=None if every_h is None else timedelta(hours=every_h),
    )


def defined(values: list[float], how: str) -> float | None:
    """The aggregate by its textbook formula, in fractions."""
    exact = [Fraction(value) for value in values]
    if how == "count":
        return len(values)
    if how == "sum":
        return math.fsum(values)
    if not values or (how == "std" and len(values) < 2):
        return None
    if how in ("min", "max"):
        return min(values) if how == "min" else max(values)
    mean = sum(exact) / len(exact)
    if how == "mean":
        return float(mean)
    return math.sqrt(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))


def changes(rows: Sequence[Event], windows_h: Sequence[int], step: int) -> list[tuple[Any, int]]:
    moments = set()
    for key, at, known, _ in rows:
        if key is None or at is None or known is None:
            continue
        for window in windows_h:
            enter, leave = -(-max(at, known) // step) * step, -(-(at + window) // step) * step
            if enter < leave:
                moments |= {(key, enter), (key, leave)}
    return sorted(moments)


def inside(rows: Sequence[Event], key: Any, at: int, window: int) -> list[float]:
    return [
        value
        for k, event, known, value in rows
        if None not in (k, event, known, value)
        and k == key
        and at - window < event <= at  # type: ignore[operator]  # nulls were sorted out above
        and known <= at  # type: ignore[operator]  # the same
        and value is not None
        and not math.isnan(value)
    ]


ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, 1, 2]),
        st.none() | st.integers(-4, 9),
        st.none() | st.integers(-4, 14),
        st.none()
        | st.just(math.nan)
        | st.sampled_from([0.1, -0.1, 1e16, -1e16, 1e-300, 3.0])
        | st.floats(-1e6, 1e6, allow_nan=False),
    ),
    max_size=14,
)


@settings(max_examples=400, deadline=None)
@given(ROWS, st.sampled_from([None, 1, 2, 4]))
def test_every_row_is_the_aggregate_of_what_had_happened_and_was_known(rows: Any, every_h: int | None) -> None:
    windows = (2, 5)
    made = slide(rows, windows_h=windows, every_h=every_h)
    assert [(key, at) for key, at in made.select("key", "at").rows()] == [
        (key, hour(at)) for key, at in changes(rows, windows, every_h or 1)
    ]
    for row, (key, at) in zip(made.rows(named=True), changes(rows, windows, every_h or 1), strict=True):
        for window in windows:
            values = inside(rows, key, at, window)
            for how in AGGREGATES:
                expected, found = defined(values, how), row[f"{how}_{window}"]
                if how in ("mean", "std") and expected is not None:
                    assert found == pytest.approx(expected, rel=1e-14, abs=0.0 if how == "mean" else 1e-14)
                else:
                    assert found == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 9), st.integers(0, 9), st.integers(-(2**62), 2**62))))
def test_integers_are_exact(rows: Any) -> None:
    frame = pl.DataFrame(
        {
            "key": [row[0] for row in rows],
            "at": [hour(row[1]) for row in rows],
            "known": [hour(row[2]) for row in rows],
            "value": [row[3] // 16 for row in rows],
        },
        schema={"key": pl.Int64, "at": UTC_TIME, "known": UTC_TIME, "value": pl.Int64},
    ).head(16)
    made = sliding(frame, by="key", time="at", known_at="known", windows=["4h"], values=ALL)
    whole = [(key, at, known, value) for (key, at, known, _), value in zip(rows, frame["value"], strict=False)]
    for row, (key, at) in zip(made.rows(named=True), changes(whole, (4,), 1), strict=True):
        values = [v for k, e, c, v in whole if k == key and at - 4 < e <= at and c <= at]
        assert row["sum_4h"] == sum(values)
        assert (row["min_4h"], row["max_4h"]) == (min(values, default=None), max(values, default=None))


def test_after_the_last_event_left_counts_and_sums_are_zero_and_the_rest_is_null() -> None:
    last = slide([(1, 0, 0, 0.1), (1, 1, 1, 0.2)]).rows(named=True)[-1]
    assert last == {
        "key": 1,
        "at": hour(4),
        "sum_3": 0.0,
        "mean_3": None,
        "count_3": 0,
        "min_3": None,
        "max_3": None,
        "std_3": None,
    }


def test_an_event_as_old_as_the_window_has_left_it() -> None:
    assert slide([(1, 0, 0, 5.0)]).select("at", "count_3").rows() == [(hour(0), 1), (hour(3), 0)]


def test_a_late_event_enters_when_known_and_leaves_by_its_own_time() -> None:
    assert slide([(1, 0, 2, 5.0)]).select("at", "count_3").rows() == [(hour(2), 1), (hour(3), 0)]


def test_an_event_known_only_when_too_old_is_never_seen() -> None:
    assert slide([(1, 0, 3, 5.0)]).height == 0
    both = slide([(1, 0, 3, 5.0)], windows_h=(3, 5))
    assert both.select("at", "count_3", "count_5").rows() == [(hour(3), 0, 1), (hour(5), 0, 0)]


def test_a_correction_is_a_difference_known_later() -> None:
    corrected = slide([(1, 0, 0, 10.0), (1, 0, 2, -4.0)])
    assert corrected.select("at", "sum_3").rows() == [(hour(0), 10.0), (hour(2), 6.0), (hour(3), 0.0)]


def test_on_a_grid_a_change_shows_at_the_next_point_and_never_before() -> None:
    made = slide([(1, 1, 1, 5.0), (1, 4, 4, 7.0)], every_h=4)
    assert made.select("at", "sum_3").rows() == [(hour(4), 7.0), (hour(8), 0.0)]


def test_nulls_and_nan_are_not_counted_and_poison_nothing() -> None:
    made = slide([(1, 0, 0, math.nan), (1, 1, 1, None), (1, 2, 2, 4.0), (1, 9, 9, 1.0)])
    assert made.select("mean_3", "count_3").rows()[:3] == [(None, 0), (None, 0), (4.0, 1)]
    assert made["sum_3"].to_list()[-2:] == [1.0, 0.0]


def test_a_huge_value_leaves_no_trace_in_other_windows_or_keys() -> None:
    made = slide([(1, 0, 0, 1e300), (1, 5, 5, 1e-300), (2, 0, 0, 0.1)])
    assert made["sum_3"].to_list() == [1e300, 0.0, 1e-300, 0.0, 0.1, 0.0]


def test_the_deviation_of_far_away_values_does_not_cancel() -> None:
    rows = [(1, 0, 0, 1e9 + value) for value in (0.25, 0.5, 0.75)]
    assert slide(rows)["std_3"].to_list() == [0.25, None]
    assert slide([(1, 0, 0, 1e9), (1, 5, 5, 0.1), (1, 5, 5, 0.1)])["std_3"].to_list() == [None, None, 0.0, None]
    assert slide([(1, 0, 0, 1e200), (1, 0, 0, -1e200)])["std_3"].to_list()[0] == pytest.approx(math.sqrt(2) * 1e200)


def test_a_hundred_thousand_float_steps_drift_nowhere() -> None:
    count = 100_000
    frame = pl.DataFrame(
        {"key": ["a"] * count, "at": [START] * count, "value": [0.1, 0.7] * (count // 2)}
    ).with_columns(pl.col("at") + pl.duration(seconds=pl.int_range(pl.len())))
    made = sliding(frame, by="key", time="at", windows=["10s"], values={"total": ("value", "sum")})
    assert set(made["total_10s"].to_list()[10:count]) == {math.fsum([0.1, 0.7] * 5)}
    assert made["total_10s"].to_list()[-1] == 0.0


def test_booleans_give_shares_and_lazy_frames_and_names_are_taken() -> None:
    frame = pl.LazyFrame(
        {"a": ["x", "x"], "b": [1, 1], "day": [date(2013, 1, 1), date(2013, 1, 2)], "late": [True, False]}
    )
    made = sliding(
        frame,
        by=["a", "b"],
        time="day",
        windows={"week": "7d"},
        values={"late_share": ("late", "mean"), "late": ("late", "sum"), "ever": ("late", "max")},
    )
    assert made.schema == {
        "a": pl.String,
        "b": pl.Int64,
        "day": UTC_TIME,
        "late_share_week": pl.Float64,
        "late_week": pl.Int64,
        "ever_week": pl.Boolean,
    }
    assert made["late_share_week"].to_list() == [1.0, 0.5, 0.0, None]
    assert made["ever_week"].to_list() == [True, True, False, None]


def test_no_events_give_an_empty_table_of_the_same_columns() -> None:
    assert slide([]).schema == slide([(1, 0, 0, 1.0)]).schema
    assert slide([(None, 0, 0, 1.0), (1, None, 0, 1.0), (1, 0, None, 1.0)]).height == 0


def test_mistakes_are_named() -> None:
    frame = events([])
    values = {"flights": ("value", "count")}
    with pytest.raises(BadInput, match="'flights' asks for the aggregate 'avarage'\n  known    known are count, max"):
        sliding(frame, by="key", time="at", windows=["7d"], values={"flights": ("value", "avarage")})
    with pytest.raises(MissingColumn, match="the event frame has no column 'valu'\n  known    did you mean 'value'"):
        sliding(frame, by="key", time="at", windows=["7d"], values={"flights": ("valu", "count")})
    with pytest.raises(BadInput, match="sliding windows need at least one window and one value"):
        sliding(frame, by="key", time="at", windows=[], values=values)
    with pytest.raises(BadInput, match="the window '0d' is 0:00:00, and must be longer than nothing"):
        sliding(frame, by="key", time="at", windows=["0d"], values=values)
    with pytest.raises(DataError, match="the sliding windows would have two columns 'a_b_c'"):
        sliding(
            frame,
            by="key",
            time="at",
            windows={"c": "1d", "b_c": "2d"},
            values={"a": ("value", "sum"), "a_b": ("value", "sum")},
        )
    with pytest.raises(
        DataError, match="the event frame has an infinite value in 'value', and no window could forget it"
    ):
        slide([(1, 0, 0, math.inf)])
    with pytest.raises(DataError, match="the event frame has 'at' as Datetime"):
        sliding(frame, by="key", time="at", windows=["7d"], values={"first": ("at", "min")})
