"""Digests of plain values: equal things agree in every process, tricky pairs do not."""

import enum
import functools
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito.errors import BadInput
from oito.storage.digests import digest


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag, boundary=enum.FlagBoundary.KEEP):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Ride:
    id: int
    km: float


@dataclass(frozen=True)
class Trip:
    id: int
    km: float


NOON = datetime(2013, 11, 3, 1, 30)  # noqa: DTZ001  # a time without a zone is a case of its own
NEW_YORK = ZoneInfo("America/New_York")

DIFFERENT: list[tuple[Any, Any]] = [
    (True, 1),
    (False, 0),
    (None, False),
    (None, "None"),
    (1, 1.0),
    (1, "1"),
    ("1", b"1"),
    (0.0, -0.0),
    (255, -1),
    (128, -128),
    (1, Decimal(1)),
    (Decimal("1.0"), Decimal("1.00")),
    ((1,), [1]),
    ([1, 2], [2, 1]),
    ([1, [2]], [[1], 2]),
    ([], [[]]),
    ([[1], [2]], [[1, 2], []]),
    (["ab", "c"], ["a", "bc"]),
    (["a,b"], ["a", "b"]),
    (("a", ""), ("", "a")),
    ({1}, frozenset({1})),
    ({1, 2}, {1, 2, 3}),
    ({"a": 1}, [("a", 1)]),
    ({"a": "b"}, {"b": "a"}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1: "a"}, {"1": "a"}),
    ({}, set()),
    (NOON.date(), NOON.replace(hour=0, minute=0)),
    (NOON, NOON.replace(tzinfo=UTC)),
    (NOON.replace(tzinfo=NEW_YORK), NOON.replace(tzinfo=NEW_YORK, fold=1)),
    (NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=1)))),
    (time(1), timedelta(hours=1)),
    (Color.RED, 1),
    (Level.LOW, 1),
    (Point(1, 2), (1, 2)),
    (Ride(1, 2.0), Trip(1, 2.0)),
    (Ride(1, 2.0), Ride(1, 2)),
    (PurePosixPath("a"), "a"),
    (UUID(int=1), UUID(int=1).bytes),
    (range(3), [0, 1, 2]),
    (np.int64(1), 1),
    (np.float64(1), 1.0),
    (np.int64(1), np.array(1)),
    (np.array([1], np.int32), np.array([1], np.int64)),
    (np.array([1, 0], np.int8), np.array([True, False])),
    (np.zeros((2, 3)), np.zeros((3, 2))),
    (np.zeros(6), np.zeros((1, 6))),
    (np.array([1, 2]), [1, 2]),
    (np.array(["a", "b"]), np.array(["ab", ""])),
    (np.array(["a"]), np.array(["a"], np.dtypes.StringDType())),
    (np.array(["a", "b"], np.dtypes.StringDType()), np.array(["ab", ""], np.dtypes.StringDType())),
    (np.array([1, "1"], object), np.array(["1", "1"], object)),
    (np.array(["2013-11-03"], "M8[D]"), np.array(["2013-11-03"], "M8[s]")),
    (pl.Series("a", [1]), pl.Series("b", [1])),
    (pl.Series("a", [1]), pl.DataFrame({"a": [1]})),
    (b"a", bytearray(b"a")),
    ((1, (2, 3)), (1, [2, 3])),
    ([1, 2, 3], [[1, 2], 3]),
    (..., "Ellipsis"),
    (1 + 0j, 1.0),
    (complex(0.0, 0.0), complex(0.0, -0.0)),
    (Decimal("0"), Decimal("-0")),
    (Decimal("1E+1"), Decimal("10")),
    (timedelta(days=1), timedelta(hours=23)),
    (timedelta(seconds=1), 1),
    (NOON.date(), NOON.date().isoformat()),
    ("e\u0301", "\u00e9"),
    ("a\0", "a"),
    (range(0, 3, 1), range(0, 3, 2)),
    (Access.READ, Access.READ | Access.WRITE),
    (Access.READ | Access.WRITE, Access(7)),
    (2**63, -(2**63)),
    (2**64, 0),
    (np.array(1), np.array([1])),
    (np.array([1.0]), np.array([1.0 + 0j])),
    (np.array([0.0]), np.array([-0.0])),
    (np.array([[1, 2], [3, 4]]), np.array([[1, 3], [2, 4]])),
    (np.array([], np.int64), np.array([], np.float64)),
    (np.dtype("i4"), np.dtype("u4")),
    (np.array([(1, 2)], [("a", "i4"), ("b", "i4")]), np.array([(1, 2)], [("b", "i4"), ("a", "i4")])),
    (pl.Series(["a"], dtype=pl.Categorical), pl.Series(["a"], dtype=pl.String)),
    (pl.Series([["a"]], dtype=pl.List(pl.Categorical)), pl.Series([["a"]], dtype=pl.List(pl.String))),
    (pl.Categorical(), pl.String()),
    (pl.Schema({"a": pl.Categorical()}), pl.Schema({"a": pl.String()})),
    (pl.Datetime("us"), pl.Datetime("ns")),
    (pl.List(pl.String), pl.List(pl.Binary)),
    (pl.List(pl.List(pl.Int8)), pl.List(pl.List(pl.Int16))),
    (pl.Struct({"a": pl.Int8}), pl.Struct({"a": pl.Int16})),
    (pl.Array(pl.Int8, 2), pl.Array(pl.Int8, 3)),
    (pl.List(pl.Datetime), pl.List(pl.Datetime("us"))),
    (pl.Duration("us"), pl.Duration("ms")),
    (pl.Schema({"a": pl.Int64(), "b": pl.Int8()}), pl.Schema({"b": pl.Int8(), "a": pl.Int64()})),
    (pl.DataFrame({"a": [1]}), {"a": [1]}),
]

SAME: list[tuple[Any, Any]] = [
    (float("nan"), float.fromhex("nan") * -1),
    ({3, 1, 2}, {2, 3, 1}),
    (pl.List(pl.String), pl.List(pl.String())),
    (np.array([1, 2, 3, 4])[::2], np.array([1, 3])),
    (np.array([[1, 2], [3, 4]]).T, np.array([[1, 3], [2, 4]])),
    (np.array([1, 2], ">i4"), np.array([1, 2], "<i4")),
    (np.array([np.nan]), -np.array([np.nan])),
    (NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=ZoneInfo("UTC"))),
    (pl.DataFrame({"a": [1, 2]}), pl.concat([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})], rechunk=False)),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_tricky_pairs_differ(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)
    assert digest([one]) != digest([other])
    assert digest({"key": one}) != digest({"key": other})


@pytest.mark.parametrize(("one", "other"), SAME, ids=repr)
def test_ways_to_write_one_value_agree(one: Any, other: Any) -> None:
    assert digest(one) == digest(other)


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=3)
    ),
    max_leaves=8,
)


def typed(value: Any) -> Any:
    """Return the value as text in which types, order and signs can be seen: what the digest must tell apart."""
    if isinstance(value, frozenset):
        return ("frozenset", sorted(map(repr, value)))
    if isinstance(value, dict):
        return ("dict", [(key, typed(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [typed(item) for item in value])
    return repr(value)


@given(one=_VALUES, other=_VALUES)
def test_digests_agree_exactly_when_the_values_do(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (typed(one) == typed(other))


def test_another_process_with_another_hash_seed_agrees() -> None:
    code = "from oito.storage.digests import digest; print(digest(({'a', 'b', 'c', 'd'}, {'x': [1, 2.5, None]})))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {digest(({"a", "b", "c", "d"}, {"x": [1, 2.5, None]}))}


@pytest.mark.parametrize(
    ("value", "what", "where"),
    [
        ({"a": [1, 2, threading.Lock()]}, "_thread.lock has no digest", 'value["a"][2]'),
        ([Ride(1, print)], "builtins.builtin_function_or_method has no digest", "value[0].km"),  # type: ignore[arg-type]  # the fault under test
        ({"f": functools.partial(print)}, "functools.partial has no digest", 'value["f"]'),
        (np.array([1, object()], object), "builtins.object has no digest", "value[1]"),
        (pl.LazyFrame({"a": [1]}), "a lazy frame has no digest, only a plan", "value"),
    ],
)
def test_what_has_no_digest_is_named_with_the_path_to_it(value: Any, what: str, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        digest(value)
    assert (caught.value.what, caught.value.where) == (what, where)


def test_a_ring_is_an_error_and_a_part_used_twice_is_not() -> None:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    with pytest.raises(BadInput, match="a value that contains itself has no digest") as caught:
        digest(ring)
    assert caught.value.where == 'value[1]["again"]'
    part = [1]
    assert digest([part, part]) == digest([[1], [1]])
