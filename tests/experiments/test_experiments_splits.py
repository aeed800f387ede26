"""Splits: nothing known too late trains or chooses, parts never overlap, and the order of rows does not matter."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.errors import BadInput, DataError
from oito.experiments.splits import Split, by_group, by_time, stratified

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _times(hours: list[int]) -> pl.Series:
    return pl.Series([BEGIN + hour * HOUR for hour in hours], dtype=pl.Datetime("us", "UTC"))


def _all(split: Split) -> list[int]:
    return [*split.train.tolist(), *split.valid.tolist(), *split.test.tolist()]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60)), min_size=1, max_size=60),
    st.integers(1, 10),
    st.integers(1, 10),
)
def test_no_part_knows_what_was_unknown_when_the_next_began(
    rows: list[tuple[int, int | None]], valid: int, test: int
) -> None:
    times = [hour for hour, _ in rows]
    known = [None if delay is None else hour + delay for hour, delay in rows]
    known_at = pl.Series([None if k is None else BEGIN + k * HOUR for k in known], dtype=pl.Datetime("us", "UTC"))
    end, test_from, valid_from = 40, 40 - test, 40 - test - valid
    expected = {"train": set[int](), "valid": set[int](), "test": set[int]()}
    for row, (t, k) in enumerate(zip(times, known, strict=True)):
        name, limit = (
            ("train", valid_from) if t < valid_from else ("valid", test_from) if t < test_from else ("test", end)
        )
        if t <= end and k is not None and k <= limit:
            expected[name].add(row)
    try:
        split = by_time(
            _times(times), known_at, valid=valid * HOUR, test=test * HOUR, cut_off=BEGIN + end * HOUR, key=None
        )
    except DataError:
        assert not all(expected.values())
        return
    assert [set(part.tolist()) for part in (split.train, split.valid, split.test)] == list(expected.values())
    assert all(part.dtype == np.uint32 for part in (split.train, split.valid, split.test))


@given(st.permutations(range(40)))
@settings(max_examples=30)
def test_a_time_split_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    times = _times([row // 3 for row in order])
    split = by_time(times, None, valid=3 * HOUR, test=3 * HOUR, cut_off=BEGIN + 13 * HOUR, key=pl.Series(order))
    keys = np.array(order)
    assert keys[split.train].tolist() == sorted(keys[split.train].tolist())
    assert keys[split.test].tolist() == [30, 31, 32, 33, 34, 35, 36, 37, 38, 39]


def test_a_span_of_zero_asks_for_no_part() -> None:
    split = by_time(_times(list(range(10))), None, valid=timedelta(0), test=2 * HOUR, cut_off=BEGIN + 9 * HOUR)
    assert split.data() == {"train": 7, "valid": 0, "test": 3, "late": 0}


def test_an_empty_part_is_an_error_with_counts_and_span() -> None:
    times, cut_off = _times(list(range(10))), BEGIN + 10 * HOUR
    with pytest.raises(DataError) as raised:
        by_time(times, times + 5 * HOUR, valid=3 * HOUR, test=2 * HOUR, cut_off=cut_off)
    assert str(raised.value) == (
        "the valid part of the split is empty\n"
        "  where    cut-off 2024-01-01T10:00Z, valid 3h, test 2h\n"
        "  known    train 1, valid 0, test 0, of 10 rows from 2024-01-01T00:00Z to 2024-01-01T09:00Z; "
        "truth came too late for 3 rows of valid\n"
        "  next     shorten the spans, move the cut-off or wait for more labels"
    )


def test_a_frame_without_rows_or_times_is_an_error() -> None:
    with pytest.raises(DataError, match=r"the train part of the split is empty"):
        by_time(_times([]), None, valid=HOUR, test=HOUR, cut_off=BEGIN)
    with pytest.raises(DataError, match=r"1 of 2 rows have no event time"):
        by_time(_times([1, 2]).replace(BEGIN + HOUR, None), None, valid=HOUR, test=HOUR, cut_off=BEGIN)
    with pytest.raises(BadInput, match=r"different lengths: 1, 2"):
        by_time(_times([1, 2]), _times([1]), valid=HOUR, test=HOUR, cut_off=BEGIN)


@given(st.lists(st.integers(0, 12), min_size=20, max_size=80), st.integers(0, 5))
def test_no_group_stands_on_two_sides(groups: list[int], seed: int) -> None:
    values = pl.Series(groups)
    try:
        split = by_group(values, valid=0.2, test=0.2, seed=seed)
    except DataError as error:
        assert "part of the split is empty" in error.what  # too few groups to give one to each
        return
    sides = [set(values.gather(part).to_list()) for part in (split.train, split.valid, split.test)]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert sorted(_all(split)) == list(range(len(groups)))


def test_many_groups_give_the_shares_asked_for() -> None:
    groups = pl.Series(np.random.default_rng(1).integers(0, 500, 10_000))
    counts = by_group(groups, valid=0.1, test=0.2, seed=3).data()
    assert abs(counts["test"] - 2000) < 50
    assert abs(counts["valid"] - 1000) < 50


def test_a_row_without_a_group_is_an_error() -> None:
    with pytest.raises(DataError, match=r"1 of 3 rows have no group"):
        by_group(pl.Series(["a", None, "b"]), valid=0.3, test=0.3, seed=1)
    with pytest.raises(BadInput, match=r"shares valid=0.5 and test=0.6 leave nothing to train"):
        by_group(pl.Series(["a", "b"]), valid=0.5, test=0.6, seed=1)


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=40, max_size=120), st.integers(0, 5))
def test_class_shares_are_kept_to_within_a_row(classes: list[str | None], seed: int) -> None:
    values = pl.Series(classes, dtype=pl.String)
    split = stratified(values, valid=0.2, test=0.25, seed=seed)
    for label in set(classes):
        total = classes.count(label)
        in_test = [classes[row] for row in split.test].count(label)
        in_valid = [classes[row] for row in split.valid].count(label)
        assert abs(in_test - 0.25 * total) <= 1
        assert abs(in_valid - 0.2 * total) <= 1
    assert sorted(_all(split)) == list(range(len(classes)))
    again = stratified(values, valid=0.2, test=0.25, seed=seed)
    assert _all(split) == _all(again)


@given(st.permutations(range(40)))
@settings(max_examples=30)
def test_with_a_key_a_stratified_split_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    split = stratified(pl.Series([row % 2 for row in order]), valid=0.2, test=0.2, seed=1, key=pl.Series(order))
    straight = stratified(pl.Series([row % 2 for row in range(40)]), valid=0.2, test=0.2, seed=1)
    assert np.array(order)[split.test].tolist() == straight.test.tolist()


def test_a_class_of_one_row_trains() -> None:
    split = stratified(pl.Series(["a"] * 30 + ["rare"]), valid=0.4, test=0.4, seed=1)
    assert 30 in split.train
