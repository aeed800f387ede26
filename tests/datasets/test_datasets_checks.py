"""Checks are never a no-op: exact at their edges, honest about types, missing values, vanished columns and empty tables."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.datasets.checks import Result, measure, split
from oito.datasets.run import examine
from oito.datasets.spec import Check, DatasetSpec, between, dataset, matches, not_null, one_of, row_count, unique
from oito.errors import DeclarationError

FRAME = pl.DataFrame(
    {
        "i": [1, 2, 3, 3, None],
        "f": [0.0, math.nan, None, 6000.0, 6000.0000001],
        "s": ["JFK", "EWR", None, "jfk", "JFK"],
        "b": [True, False, True, None, True],
    }
)


def one(check: Check, frame: pl.DataFrame | pl.LazyFrame = FRAME) -> Result:
    return measure(frame, [check])[0]


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (not_null("i"), 1),
        (not_null("f"), 2),
        (not_null("i", "f"), 3),
        (between("f", 0, 6000), 1),
        (between("f", None, 0), 2),
        (between("i", 2, None), 1),
        (between("i", 1.5, 2.5), 3),
        (between("i", -math.inf, math.inf), 0),
        (between("i", 1e30, None), 4),
        (unique("i"), 1),
        (unique("s"), 1),
        (unique("i", "s"), 0),
        (one_of("s", ["JFK", "EWR"]), 1),
        (one_of("i", [1, 2.0, 2.5, math.inf]), 2),
        (one_of("f", [0]), 2),
        (one_of("b", [True]), 1),
        (matches("s", "^[A-Z]{3}$"), 1),
        (Check("key", ("i",)), 2),
    ],
)
def test_a_check_counts_the_rows_that_break_it_lazily_and_eagerly(check: Check, broken: int) -> None:
    for frame in (FRAME, FRAME.lazy()):
        found = one(check, frame)
        assert (found.broken, found.rows, found.reason) == (broken, 5, "")
        assert found.state == ("failed" if broken else "passed")
        assert len(found.samples) == min(broken, 5)
    kept, aside = split(FRAME, [check])
    assert (kept.height, aside.height) == (5 - broken, broken)
    assert set(aside["set_aside_because"]) <= {check.text}


def test_many_checks_are_one_pass_over_a_lazy_frame() -> None:
    passes = []

    def seen(frame: pl.DataFrame) -> pl.DataFrame:
        passes.append(frame.height)
        return frame

    lazy = FRAME.lazy().map_batches(seen, schema=FRAME.schema)
    measure(lazy, [not_null("i"), between("f", 0, 1), unique("i", "s"), matches("s", "J"), row_count(1)])
    assert passes == [5]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (not_null("orgin"), "the column 'orgin' is not there; known are b, f, i, s"),
        (between("s", 0, 1), "s is String, no number"),
        (between("b", 0, 1), "b is Boolean, no number"),
        (matches("i", "1"), "i is Int64, no text"),
        (one_of("i", ["1"]), "i is Int64, and none of the values is"),
        (one_of("s", [1]), "s is String, and none of the values is"),
    ],
)
@pytest.mark.parametrize("severity", ["fail", "warn", "quarantine"])
def test_a_check_that_cannot_be_applied_is_broken_by_every_row(check: Check, reason: str, severity: Any) -> None:
    found = one(Check(**{**vars(check), "severity": severity}))
    assert (found.reason, found.broken) == (reason, 5)
    assert found.state == ("warned" if severity == "warn" else "failed")


def test_an_empty_table_has_not_passed() -> None:
    found = measure(FRAME.clear(), [not_null("i"), unique("i"), row_count(1), row_count(0), between("nowhere", 0, 1)])
    assert [each.state for each in found] == ["untested", "untested", "failed", "passed", "failed"]


@pytest.mark.parametrize(("rows", "state"), [(2, "failed"), (3, "passed"), (5, "passed"), (6, "failed")])
def test_a_row_count_holds_its_ends(rows: int, state: str) -> None:
    assert one(row_count(3, 5), pl.DataFrame({"x": range(rows)})).state == state


@given(rows=st.integers(1, 400), hundredths=st.integers(0, 100), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_share_is_exact_at_its_edge(rows: int, hundredths: int, data: st.DataObject) -> None:
    broken = data.draw(st.integers(0, rows))
    frame = pl.DataFrame({"x": [None] * broken + [1] * (rows - broken)}, schema={"x": pl.Int64})
    is_kept = (rows - broken) * 100 >= hundredths * rows
    assert (one(not_null("x", share=hundredths / 100), frame).state == "passed") == is_kept


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), data=st.data())
@settings(max_examples=80, deadline=None)
def test_bounds_of_integers_are_exact_beyond_two_to_the_fifty_third(values: list[int], data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.sampled_from(values)) + data.draw(st.integers(-1, 1)) for _ in range(2))
    frame = pl.DataFrame({"x": values}, schema={"x": pl.Int64})
    assert one(between("x", low, high), frame).broken == sum(not low <= value <= high for value in values)


def test_a_float32_is_compared_in_its_own_precision() -> None:
    frame = pl.DataFrame({"x": [0.1]}, schema={"x": pl.Float32})
    assert one(between("x", 0.1, 0.1), frame).state == "passed"


def test_an_unknown_pattern_is_told_apart_from_a_faulty_query() -> None:
    with pytest.raises(DeclarationError, match=r"the pattern '\(\?=a\)' of a check is no regular expression"):
        one(matches("s", "(?=a)"))
    broken = FRAME.lazy().with_columns(pl.col("s").str.to_integer())
    with pytest.raises(pl.exceptions.ComputeError):
        one(not_null("i"), broken)


def test_rows_are_set_aside_first_and_the_other_checks_see_the_rest() -> None:
    spec = DatasetSpec(
        key=("i",),
        checks=(
            between("f", 0, 6000),
            not_null("f", "i", severity="quarantine"),
            one_of("s", ["jfk", "JFK"], severity="warn"),
        ),
    )
    done = examine(FRAME, spec)
    assert (done.rows.height, done.aside.height) == (2, 3)
    assert [(each.check.rule, each.state, each.rows) for each in done.results] == [
        ("key", "passed", 2),
        ("between", "passed", 2),
        ("not_null", "quarantined", 5),
        ("one_of", "passed", 2),
    ]


@pytest.mark.parametrize(("share", "state"), [(1.0, "quarantined"), (0.4, "quarantined"), (0.41, "failed")])
def test_a_share_limits_how_much_may_be_set_aside(share: float, state: str) -> None:
    spec = DatasetSpec(checks=(not_null("f", "i", severity="quarantine", share=share),))
    assert examine(FRAME, spec).results[0].state == state


def test_faults_of_checks_are_found_when_they_are_declared() -> None:
    declared: Any = dataset(
        checks=[
            between("x", 3, 1),
            between("x", math.nan, 1),
            not_null(),
            not_null("x", share=1.5),
            row_count(1, severity="quarantine"),
            "no check",  # type: ignore[list-item]  # what a careless person writes
        ]
    )
    assert list(declared.spec.faults()) == [
        "between: 3 is above 1, so no row can keep it",
        "between: nan and 1 are no bounds; they are numbers or None",
        "not_null names no column",
        "not_null: share is 1.5; it lies between 0 and 1",
        "row_count cannot quarantine: no single row breaks it",
        "'no check' is no check",
    ]


def test_bounds_are_shown_with_all_their_digits() -> None:
    assert between("x", 1234567, 0.1 + 0.2).text == "x is between 1234567 and 0.30000000000000004"
