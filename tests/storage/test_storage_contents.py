"""Content digests of tables: the same rows agree however they are kept, tricky pairs do not."""

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.errors import BadInput
from oito.storage import contents
from oito.storage.contents import BLOCK_ROWS, LEAF_ROWS, TableDigest, digest_of

NAN = float("nan")


def column(values: list[Any], dtype: Any = None) -> pl.DataFrame:
    return pl.DataFrame({"a": pl.Series(values, dtype=dtype)})


def moment(unit: Any, zone: str | None) -> pl.DataFrame:
    return column([0], pl.Int64).cast(pl.Datetime(unit, zone))


DIFFERENT: list[tuple[pl.DataFrame, pl.DataFrame]] = [
    (pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]})),
    (pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"b": [2], "a": [1]})),
    (pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"a": [2], "b": [1]})),
    (pl.DataFrame({"ab": [1], "c": [1]}), pl.DataFrame({"a": [1], "bc": [1]})),
    (column([1]), column(["1"])),
    (column([1], pl.Int32), column([1], pl.Int64)),
    (column([1], pl.UInt8), column([1], pl.Int8)),
    (column([1]), column([1.0])),
    (column([1.0], pl.Float32), column([1.0], pl.Float64)),
    (column([True]), column([1], pl.UInt8)),
    (column([None], pl.Float64), column([NAN])),
    (column([None], pl.Float64), column([0.0])),
    (column([NAN]), column([0.0])),
    (column([0.0]), column([-0.0])),
    (column([None, 0]), column([0, None])),
    (column([None], pl.Boolean), column([False])),
    (column([None], pl.String), column([""])),
    (column([None], pl.Null), column([None], pl.String)),
    (column(["a", "bc"]), column(["ab", "c"])),
    (column(["", "a"]), column(["a", ""])),
    (column(["a"]), column([b"a"])),
    (column([[1], [2]]), column([[1, 2], []])),
    (column([[1], None]), column([[1], []])),
    (column([[None]], pl.List(pl.Int64)), column([[]], pl.List(pl.Int64))),
    (column([[[1]], [[2]]]), column([[[1], [2]], []])),
    (column([[1, 2]]), column([[1, 2]], pl.Array(pl.Int64, 2))),
    (column([{"x": None}], pl.Struct({"x": pl.Int64})), column([None], pl.Struct({"x": pl.Int64}))),
    (column([{"x": 1}]), column([{"y": 1}])),
    (moment("us", "UTC"), moment("us", "Europe/Paris")),
    (moment("us", "UTC"), moment("us", None)),
    (moment("us", None), moment("ns", None)),
    (column([0]).cast(pl.Date), column([0]).cast(pl.Time)),
    (column([0]).cast(pl.Duration("us")), column([0]).cast(pl.Duration("ms"))),
    (column(["1.1"]).cast(pl.Decimal(10, 1)), column(["1.1"]).cast(pl.Decimal(10, 2))),
    (column(["1.1"]).cast(pl.Decimal(10, 1)), column(["1.2"]).cast(pl.Decimal(10, 1))),
    (column(["a"], pl.Enum(["a", "b"])), column(["a"], pl.Enum(["b", "a"]))),
    (column(["a"], pl.Enum(["a"])), column(["a"])),
    (column([1, 1]), column([1])),
    (column([1, 2]), column([2, 1])),
    (column([], pl.Int64), column([], pl.Int32)),
    (column([], pl.Int64), column([0])),
    (column([2**100], pl.Int128), column([2**101], pl.Int128)),
    (column([1], pl.Int128), column([1], pl.Int64)),
    (column([0]).cast(pl.Date), column([0])),
    (column(["1.0"]).cast(pl.Decimal(10, 1)), column([1.0])),
    (column([[0.0]]), column([[-0.0]])),
    (column([[NAN]]), column([[None]], pl.List(pl.Float64))),
    (column([[]], pl.List(pl.Int64)), column([None], pl.List(pl.Int64))),
    (column([[1, None], [2]], pl.List(pl.Int64)), column([[1], [None, 2]], pl.List(pl.Int64))),
    (column([[1, 2], [3, 4]], pl.Array(pl.Int64, 2)), column([[1, 3], [2, 4]], pl.Array(pl.Int64, 2))),
    (column([[[1, 2]]], pl.Array(pl.Int64, (1, 2))), column([[[1], [2]]], pl.Array(pl.Int64, (2, 1)))),
    (column([{"x": 1, "y": 2}]), column([{"y": 2, "x": 1}])),
    (column([{"x": [1], "y": [2]}]), column([{"x": [1, 2], "y": []}])),
    (pl.DataFrame({"a": ["x"], "b": ["yz"]}), pl.DataFrame({"a": ["xy"], "b": ["z"]})),
    (pl.DataFrame({"a": [None], "b": [1]}), pl.DataFrame({"a": [1], "b": [None]})),
    (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1], "b": [None]})),
    (column([datetime(2013, 1, 1, tzinfo=UTC)]), column([datetime(2013, 1, 1, tzinfo=UTC)], pl.Datetime("ms", "UTC"))),
    (column(["é"]), column(["e\u0301"])),
    (column(["a\0"]), column(["a"])),
    (column([b"\0"]), column([b""])),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_tricky_pairs_of_tables_differ(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert digest_of(one) != digest_of(other)


_TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001  # hypothesis wants bounds without a zone
_COLUMNS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "whole": (st.integers(-(2**63), 2**63 - 1), pl.Int64),
    "small": (st.integers(0, 255), pl.UInt8),
    "real": (st.floats(), pl.Float64),
    "flag": (st.booleans(), pl.Boolean),
    "text": (st.text(max_size=6), pl.String),
    "raw": (st.binary(max_size=6), pl.Binary),
    "at": (_TIMES, pl.Datetime("us", "UTC")),
    "money": (st.decimals(-999, 999, places=2), pl.Decimal(12, 2)),
    "lists": (st.lists(st.none() | st.text(max_size=2), max_size=3), pl.List(pl.String)),
    "pair": (
        st.fixed_dictionaries({"x": st.none() | st.integers(0, 9), "y": st.lists(st.booleans(), max_size=2)}),
        pl.Struct({"x": pl.Int64, "y": pl.List(pl.Boolean)}),
    ),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    height = draw(st.integers(0, 12))
    names = draw(st.lists(st.sampled_from(sorted(_COLUMNS)), min_size=1, max_size=4, unique=True))
    return pl.DataFrame(
        {
            name: pl.Series(
                draw(st.lists(st.none() | _COLUMNS[name][0], min_size=height, max_size=height)), dtype=_COLUMNS[name][1]
            )
            for name in names
        }
    )


@settings(deadline=None, max_examples=60)
@given(frame=frames(), cut=st.integers(0, 12))
def test_chunks_slices_and_files_do_not_move_a_digest(frame: pl.DataFrame, cut: int) -> None:
    wanted = digest_of(frame)
    chunked = pl.concat([frame[:cut], frame[cut:]], rechunk=False)
    assert digest_of(chunked) == wanted
    assert digest_of(pl.concat([frame, frame])[frame.height :]) == wanted
    ends = pl.concat([frame.clear(len(frame.columns)), frame, frame.clear(3)])
    assert digest_of(ends[len(frame.columns) : len(frame.columns) + frame.height]) == wanted
    file = io.BytesIO()
    frame.write_parquet(file)
    file.seek(0)
    assert digest_of(pl.read_parquet(file)) == wanted


def test_the_dictionary_encoding_of_text_is_no_content() -> None:
    text = column(["b", None, "a", "b"])
    assert digest_of(text.cast(pl.Categorical)) == digest_of(text)


def test_what_lies_under_a_null_is_no_content() -> None:
    mask = pl.Series([True, False, True])
    hidden = pl.select(a=pl.when(mask).then(pl.Series([1, 999, 3]))).select("a")
    assert digest_of(hidden) == digest_of(column([1, None, 3]))
    pair = pl.Series([{"x": 1}, {"x": 999}])
    under = pl.select(a=pl.when(pl.Series([True, False])).then(pair))
    assert digest_of(under) == digest_of(column([{"x": 1}, None]))


def test_every_nan_is_the_same_nan() -> None:
    odd = np.frombuffer(np.array([0x7FF8000000000001, 0xFFF8000000000000], np.uint64).tobytes(), np.float64)
    assert digest_of(column([NAN, NAN])) == digest_of(pl.DataFrame({"a": odd}))


def numbered(rows: int) -> pl.DataFrame:
    base = pl.DataFrame({"id": pl.int_range(0, rows, eager=True)})
    half = pl.col("id") % 7
    return base.with_columns(
        text=pl.col("id").cast(pl.String),
        holes=pl.when(half > 2).then(pl.col("id") / 3),
        lists=pl.concat_list("id", half),
    )


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(0, 3 * LEAF_ROWS + 100), max_size=4))
def test_a_digest_that_went_on_equals_that_of_the_whole(cuts: list[int]) -> None:
    whole = numbered(3 * LEAF_ROWS + 100)
    ends = [*sorted(cuts), whole.height]
    growing = TableDigest(whole.schema)
    done = 0
    for end in ends:
        resumed = TableDigest(whole.schema, leaves=growing.leaves(), blocks=growing.blocks(), rows=growing.rows)
        resumed.update(whole[contents.resume_row(done) : end])
        growing, done = resumed, end
    assert growing.rows == whole.height
    assert growing.content() == digest_of(whole)
    assert len(growing.leaves()) == 4


def test_a_changed_cell_moves_only_the_leaf_it_lies_in() -> None:
    before = numbered(3 * LEAF_ROWS)
    row = LEAF_ROWS + BLOCK_ROWS + 5
    after = before.with_columns(text=pl.when(pl.col("id") == row).then(pl.lit("x")).otherwise(pl.col("text")))
    one, other = TableDigest(before.schema), TableDigest(before.schema)
    one.update(before)
    other.update(after)
    assert [a == b for a, b in zip(one.leaves(), other.leaves(), strict=True)] == [True, False, True]
    assert one.content() != other.content()


def test_threads_do_not_move_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = numbered(80 * BLOCK_ROWS)
    wanted = digest_of(frame)
    monkeypatch.setattr(contents, "_THREADED_BLOCKS", 10**9)
    assert digest_of(frame) == wanted
    monkeypatch.setattr(contents, "_SPAN_ROWS", LEAF_ROWS)
    assert digest_of(frame) == wanted


def test_python_objects_and_other_schemas_are_refused() -> None:
    with pytest.raises(BadInput, match="column 'a' holds Python objects"):
        digest_of(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}))
    with pytest.raises(BadInput, match="rows of another schema cannot join a table's digest"):
        TableDigest(column([1]).schema).update(column(["1"]))
