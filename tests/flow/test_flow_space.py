"""Declarations of parameters: their first values, their faults, and that they pass for the values they describe."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito.errors import DeclarationError
from oito.flow.space import Choice, Float, Int, first_values


def _design(
    *, rate: float = Float(0.02, 0.3, log=True), leaves: int = Int(8, 128), loss: str = Choice(["a", "b"])
) -> str:
    return f"{rate} {leaves} {loss}"


def test_a_declaration_is_a_typed_default_that_can_be_read_back() -> None:
    declared = _design.__kwdefaults__ or {}
    assert declared["rate"] == Float(0.02, 0.3, log=True)
    assert first_values(declared)["leaves"] == 68


def test_the_default_comes_before_the_middle_and_the_first_option() -> None:
    assert Float(0.0, 1.0, default=0.25).first == 0.25
    assert Int(1, 9, default=2).first == 2
    assert Choice(["a", "b"], default="b").first == "b"
    assert Choice([None, "a"]).first is None


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.booleans())
def test_the_first_float_lies_inside_its_range(a: float, b: float, log: bool) -> None:
    low, high = sorted((a, b))
    if low < high:
        assert low <= Float(low, high, log=log).first <= high


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.booleans())
def test_the_first_int_lies_inside_its_range(a: int, b: int, log: bool) -> None:
    low, high = sorted((a, b))
    if low < high:
        assert low <= Int(low, high, log=log).first <= high


def test_a_declaration_is_plain_data() -> None:
    parts = (Float(0.1, 1.0), Int(1, 2, log=True), Choice([True, None, "x"]))
    assert [json.loads(json.dumps(part.data()))["kind"] for part in parts] == ["float", "int", "choice"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Float(1.0, 1.0), r"is empty: low is not below high"),
        (lambda: Float(0.0, 1.0, log=True), r"begins at 0.0\n  known    a log scale needs low > 0"),
        (lambda: Float(0.0, math.inf), r"holds inf\n  next     give finite bounds"),
        (lambda: Float(0.0, 1.0, default=2.0), r"has a default outside its range"),
        (lambda: Int(1, 2.5), r"holds 2.5, which is no whole number"),
        (lambda: Int(False, 3), r"holds False, which is no whole number"),
        (lambda: Choice([]), r"Choice\(\) has no options"),
        (lambda: Choice("ab"), r"has a text as options\n  next     write Choice\(\[\"ab\", …\]\)"),
        (lambda: Choice([1, True]), r"offers the same value twice"),
        (lambda: Choice([(1, 2)]), r"offers \(1, 2\)\n  known    options are texts"),
        (lambda: Choice(["a"], default="b"), r"has a default that is no option"),
    ],
)
def test_a_faulty_declaration_says_what_is_wrong(make: Callable[[], object], text: str) -> None:
    with pytest.raises(DeclarationError, match=text):
        make()
