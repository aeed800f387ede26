"""The as-known join against brute force, against Polars, and in the corners where such joins usually leak."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.errors import BadInput, DataError, MissingColumn
from oito.features.asof import Index, Joined, as_known

UTC_TIME = pl.Datetime("us", "UTC")
START = datetime(2013, 1, 1, tzinfo=UTC)
KEYS = st.sampled_from([None, 0, 1, 2])
HOURS = st.none() | st.integers(0, 9)


def hour(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(hours=number)


def labels(rows: list[tuple[Any, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"key": [key for key, _ in rows], "at": [hour(at) for _, at in rows]},
        schema={"key": pl.Int64, "at": UTC_TIME},
    )


def facts(rows: list[tuple[Any, int | None, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [row[0] for row in rows],
            "event": [hour(row[1]) for row in rows],
            "known": [hour(row[2]) for row in rows],
            "value": list(range(len(rows))),
        },
        schema={"key": pl.Int64, "event": UTC_TIME, "known": UTC_TIME, "value": pl.Int64},
    )


def join(left: pl.DataFrame, right: pl.DataFrame, ttl_h: int | None = None) -> Joined:
    ttl = None if ttl_h is None else timedelta(hours=ttl_h)
    return as_known(left, right, by=["key"], at="at", time="event", known_at="known", ttl=ttl, columns=["value"])


def newest(
    rows: list[tuple[Any, int | None, int | None]], key: Any, at: int | None, ttl: int | None, *, strict: bool
) -> int | None:
    """The definition itself, one question at a time; `strict` asks also whether the row was known."""
    best: tuple[int, int, int] | None = None
    for place, (k, event, known) in enumerate(rows):
        if None in (key, at, k, event, known) or k != key:
            continue
        assert at is not None
        assert event is not None
        assert known is not None
        if event <= at and (known <= at or not strict):
            best = max(best or (event, known, place), (event, known, place))
    if best is None or (ttl is not None and at is not None and at - best[0] > ttl):
        return None
    return best[2]


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(KEYS, HOURS), max_size=12),
    st.lists(st.tuples(KEYS, HOURS, HOURS), max_size=14),
    st.none() | st.integers(0, 5),
)
def test_every_row_gets_the_newest_row_known_by_then(left: Any, right: Any, ttl: int | None) -> None:
    joined = join(labels(left), facts(right), ttl)
    expected = [newest(right, key, at, ttl, strict=True) for key, at in left]
    naive = [newest(right, key, at, ttl, strict=False) for key, at in left]
    unbounded = [newest(right, key, at, None, strict=True) for key, at in left]
    assert joined.frame.select("key", "at").equals(labels(left))
    assert joined.frame["value"].to_list() == expected
    assert joined.leaked_rows == sum(a != b for a, b in zip(expected, naive, strict=True))
    assert joined.missing_rows == unbounded.count(None)
    assert joined.expired_rows == expected.count(None) - unbounded.count(None)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=30),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=30, unique=True),
)
def test_without_lateness_it_agrees_with_polars(left: Any, right: Any) -> None:
    left_frame, right_frame = labels(left), facts([(key, event, event) for key, event in right]).drop("known")
    ours = as_known(left_frame, right_frame, by=["key"], at="at", time="event", ttl=timedelta(hours=9))
    theirs = (
        left_frame.with_row_index("row")
        .sort("at")
        .join_asof(
            right_frame.sort("event"),
            left_on="at",
            right_on="event",
            by="key",
            tolerance=timedelta(hours=9),
            check_sortedness=False,
        )
        .sort("row")
    )
    assert ours.frame["value"].to_list() == theirs["value"].to_list()
    assert ours.leaked_rows == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 9999), st.integers(1, 9999)), min_size=1, max_size=40))
def test_moments_too_far_apart_to_be_packed_are_ranked(rows: Any) -> None:
    def year(number: int) -> datetime:
        return datetime(number, 1, 1, tzinfo=UTC)

    every_key = [(key, 1 + 9998 * (key % 2), 1 + 9998 * (key % 2)) for key in range(100)]
    right = [*rows, *every_key]
    left = [(key, event) for key, event, _ in right] + [(key, known) for key, _, known in right]
    joined = as_known(
        pl.DataFrame({"key": [k for k, _ in left], "at": [year(t) for _, t in left]}),
        pl.DataFrame(
            {
                "key": [row[0] for row in right],
                "event": [year(row[1]) for row in right],
                "known": [year(row[2]) for row in right],
                "value": range(len(right)),
            }
        ),
        by=["key"],
        at="at",
        time="event",
        known_at="known",
    )
    assert joined.frame["value"].to_list() == [newest(right, key, at, None, strict=True) for key, at in left]


def test_an_event_exactly_as_old_as_the_ttl_is_used_and_one_microsecond_older_is_not() -> None:
    moments = [START + timedelta(hours=3), START + timedelta(hours=3, microseconds=1)]
    joined = join(pl.DataFrame({"key": [1, 1], "at": moments}), facts([(1, 0, 0)]), ttl_h=3)
    assert joined.frame["value"].to_list() == [0, None]
    assert joined.expired_rows == 1


def test_a_state_of_the_same_instant_counts() -> None:
    assert join(labels([(1, 5)]), facts([(1, 5, 5)])).frame["value"].to_list() == [0]


def test_of_equal_copies_the_lowest_row_is_taken_always() -> None:
    copies = facts([(1, 2, 3)] * 5)
    assert join(labels([(1, 4)]), copies).frame["value"].to_list() == [4]
    known_as_it_happened = as_known(labels([(1, 4)]), copies.drop("known"), by=["key"], at="at", time="event")
    assert known_as_it_happened.frame["value"].to_list() == [4]


def test_a_correction_is_used_only_once_it_was_known_and_the_leak_is_counted() -> None:
    joined = join(labels([(1, 4), (1, 6)]), facts([(1, 2, 3), (1, 2, 6)]))
    assert joined.frame["value"].to_list() == [0, 1]
    assert joined.leaked_rows == 1


def test_a_late_row_never_replaces_a_newer_event() -> None:
    assert join(labels([(1, 9)]), facts([(1, 5, 5), (1, 2, 8)])).frame["value"].to_list() == [0]


def test_a_table_backfilled_today_answers_no_question_of_the_past() -> None:
    joined = join(labels([(1, 4), (1, 5)]), facts([(1, 2, 9), (1, 3, 9)]))
    assert joined.frame["value"].to_list() == [None, None]
    assert (joined.leaked_rows, joined.missing_rows) == (2, 2)


def test_the_newest_row_wins_also_when_its_value_is_null() -> None:
    right = facts([(1, 1, 1), (1, 2, 2)]).with_columns(pl.Series("value", [7, None]))
    assert join(labels([(1, 3)]), right).frame["value"].to_list() == [None]


def test_equal_questions_stay_separate_rows() -> None:
    assert join(labels([(1, 3)] * 3), facts([(1, 1, 1)])).frame["value"].to_list() == [0, 0, 0]


def test_composite_keys_cannot_run_into_each_other() -> None:
    left = pl.DataFrame({"a": ["ab", "a", None], "b": ["c", "bc", "c"], "at": [START] * 3})
    right = pl.DataFrame({"b": ["bc"], "a": ["a"], "event": [START], "value": [1]})
    joined = as_known(left, right, by=["a", "b"], at="at", time="event")
    assert joined.frame["value"].to_list() == [None, 1, None]


@pytest.mark.parametrize("narrow", [pl.Int8, pl.UInt8, pl.Int16, pl.UInt64, pl.Int128])
def test_integer_keys_match_whatever_their_width(narrow: type[pl.DataType]) -> None:
    right = pl.DataFrame({"key": pl.Series([1], dtype=narrow), "event": [START], "value": [1]})
    left = pl.DataFrame({"key": [1, 257, -1], "at": [START] * 3})
    assert as_known(left, right, by=["key"], at="at", time="event").frame["value"].to_list() == [1, None, None]


def test_text_keys_match_whatever_their_encoding() -> None:
    left = pl.DataFrame({"key": pl.Series(["b", "a"], dtype=pl.Enum(["a", "b"])), "at": [START] * 2})
    right = pl.DataFrame({"key": pl.Series(["a"], dtype=pl.Categorical), "event": [START], "value": [1]})
    assert as_known(left, right, by=["key"], at="at", time="event").frame["value"].to_list() == [None, 1]


def test_times_without_a_zone_are_utc_and_dates_are_their_first_moment() -> None:
    moments = [START.replace(tzinfo=None), (START - timedelta(minutes=1)).replace(tzinfo=None)]
    left = pl.DataFrame({"key": [1, 1], "at": moments})
    right = pl.DataFrame({"key": [1], "event": [date(2013, 1, 1)], "value": [1]})
    assert as_known(left, right, by=["key"], at="at", time="event").frame["value"].to_list() == [1, None]
    zoned = left.with_columns(pl.col("at").dt.replace_time_zone("Europe/Lisbon").dt.convert_time_zone("Asia/Tokyo"))
    assert as_known(zoned, right, by=["key"], at="at", time="event").frame["value"].to_list() == [1, None]


def test_an_event_some_nanoseconds_ahead_is_not_known_yet() -> None:
    right = pl.DataFrame({"key": [1], "event": pl.Series([1_001], dtype=pl.Datetime("ns")), "value": [1]})
    left = pl.DataFrame({"key": [1, 1], "at": pl.Series([1, 2], dtype=pl.Datetime("us"))})
    assert as_known(left, right, by=["key"], at="at", time="event").frame["value"].to_list() == [None, 1]


def test_empty_frames_join_to_empty_columns() -> None:
    assert join(labels([]), facts([(1, 1, 1)])).frame.schema == {"key": pl.Int64, "at": UTC_TIME, "value": pl.Int64}
    nothing = join(labels([(1, 1)]), facts([]))
    assert nothing.frame["value"].to_list() == [None]
    assert nothing.missing_rows == 1


def test_a_stored_index_answers_like_the_join() -> None:
    right = facts([(1, 1, 2), (2, 1, 1), (1, 3, 3)])
    index = Index(right, by=["key"], time="event", known_at="known")
    for left in (labels([(1, 1), (2, 4)]), labels([(1, 9)])):
        assert index.join(left, at="at", columns=["event", "value"]).frame.equals(
            as_known(left, right, by=["key"], at="at", time="event", known_at="known", columns=["event", "value"]).frame
        )


def test_by_default_all_but_keys_and_times_is_attached() -> None:
    joined = as_known(labels([(1, 1)]), facts([(1, 1, 1)]), by=["key"], at="at", time="event", known_at="known")
    assert joined.frame.columns == ["key", "at", "value"]


def test_a_doubled_column_is_named() -> None:
    left = labels([(1, 1)]).with_columns(value=pl.lit(1))
    with pytest.raises(DataError) as error:
        join(left, facts([(1, 1, 1)]))
    assert str(error.value) == (
        "both frames have a column 'value'\n"
        "  known    in both: value\n"
        "  next     rename it in one of them, or list the wanted ones in columns="
    )


def test_a_misspelt_column_is_named_with_the_nearest() -> None:
    with pytest.raises(MissingColumn) as error:
        as_known(labels([]), facts([]), by=["key"], at="at", time="evnt")
    assert str(error.value) == "the right frame has no column 'evnt'\n  known    did you mean 'event'?"


def test_float_keys_are_refused() -> None:
    left = labels([(1, 1)]).with_columns(pl.col("key").cast(pl.Float64))
    with pytest.raises(DataError, match="the left frame has the key 'key' of type Float64, and equality of such"):
        join(left, facts([]))


def test_keys_of_two_sorts_are_refused() -> None:
    left = labels([(1, 1)]).with_columns(pl.col("key").cast(pl.String))
    with pytest.raises(DataError, match="the left frame has the key 'key' as String, the other side has it as Int64"):
        join(left, facts([(1, 1, 1)]))


def test_text_is_no_time() -> None:
    right = facts([(1, 1, 1)]).with_columns(event=pl.lit("yesterday"))
    with pytest.raises(DataError, match="the right frame has 'event' as String, which is no time"):
        join(labels([]), right)


def test_a_negative_ttl_is_refused() -> None:
    with pytest.raises(BadInput, match="ttl is -1 day, 23:00:00, and a span cannot be negative"):
        join(labels([]), facts([]), ttl_h=-1)
