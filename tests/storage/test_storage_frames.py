"""Every table type goes in and comes back as itself; equal tables give equal digests whoever made them."""

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

from oito.errors import BadInput, MissingExtra
from oito.storage.contents import digest_of
from oito.storage.frames import as_relation, as_type, to_frame

AT = datetime(2013, 11, 1, 12, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "id": [1, 2, None],
        "km": [1.5, None, -0.0],
        "name": ["a", None, "é"],
        "ok": [True, None, False],
        "at": pl.Series([AT, None, AT], dtype=pl.Datetime("us", "UTC")),
        "took": pl.Series([timedelta(seconds=1), None, timedelta(0)], dtype=pl.Duration("us")),
        "day": [date(2013, 11, 1), None, date(1900, 1, 1)],
        "small": pl.Series([1, None, 3], dtype=pl.UInt8),
        "whole": [7, 8, 9],
    }
)


def eager(value: Any) -> pl.DataFrame:
    return to_frame(value).lazy().collect()


def test_a_frame_survives_the_way_through_pandas_with_its_digest() -> None:
    frame = as_type(FRAME.lazy(), pd.DataFrame)
    assert isinstance(frame, pd.DataFrame)
    assert str(frame["id"].dtype) == "Int64" and str(frame["ok"].dtype) == "boolean"
    assert digest_of(eager(frame)) == digest_of(FRAME)


def test_a_frame_survives_the_way_through_duckdb_with_its_digest(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    relations = [as_type(FRAME.lazy(), duckdb.DuckDBPyRelation), as_relation([tmp_path / "a.parquet"])]
    for relation in relations:
        assert isinstance(relation, duckdb.DuckDBPyRelation)
        rows = eager(relation.filter("whole > 0")).with_columns(pl.col("took").cast(pl.Duration("us")))
        assert digest_of(rows) == digest_of(FRAME)


def test_a_frame_survives_the_way_through_arrow_with_its_digest() -> None:
    pa = pytest.importorskip("pyarrow")
    table = as_type(FRAME.lazy(), "pyarrow.Table")
    assert isinstance(table, pa.Table)
    assert digest_of(eager(table)) == digest_of(FRAME)
    coded = table.set_column(2, "name", table["name"].dictionary_encode())
    assert digest_of(eager(coded)) == digest_of(FRAME)
    assert digest_of(eager(table.slice(1))) == digest_of(FRAME[1:])


def test_a_frame_survives_the_way_through_dicts() -> None:
    rows = FRAME.drop("small").to_dicts()
    assert digest_of(eager(rows)) == digest_of(FRAME.drop("small"))
    assert eager([{"a": 1}, {"b": "x"}]).to_dicts() == [{"a": 1, "b": None}, {"a": None, "b": "x"}]


def test_polars_types_come_as_asked() -> None:
    lazy = FRAME.lazy()
    assert as_type(lazy, None) is lazy and as_type(lazy, pl.LazyFrame) is lazy
    assert isinstance(as_type(lazy, pl.DataFrame), pl.DataFrame)
    assert isinstance(as_type(lazy, "pl.DataFrame"), pl.DataFrame)
    assert isinstance(to_frame(lazy), pl.LazyFrame)


def test_times_become_microseconds_utc_also_inside_lists_and_structs() -> None:
    wall = AT.replace(tzinfo=None)
    frame = pl.DataFrame(
        {
            "bare": [wall],
            "paris": pl.Series([AT]).dt.convert_time_zone("Europe/Paris").dt.cast_time_unit("ns"),
            "many": [[wall]],
            "pair": [{"at": wall}],
        }
    )
    assert eager(frame).to_dicts() == [{"bare": AT, "paris": AT, "many": [AT], "pair": {"at": AT}}]
    assert eager(frame).schema["paris"] == pl.Datetime("us", "UTC")


def test_categories_become_text() -> None:
    for dtype in (pl.Categorical(), pl.Enum(["a", "b"])):
        assert eager(pl.Series("c", ["a", None], dtype=dtype)).schema == {"c": pl.String}
    assert eager(pd.DataFrame({"c": pd.Categorical(["a", None])})).rows() == [("a",), (None,)]


def test_a_pandas_index_is_a_column_only_when_it_has_a_name() -> None:
    assert eager(pd.DataFrame({"a": [1]}, index=[7])).columns == ["a"]
    assert eager(pd.DataFrame({"a": [1]}, index=pd.Index([7], name="id"))).rows() == [(7, 1)]


def test_pandas_columns_of_every_make_arrive() -> None:
    paris = timezone(timedelta(hours=1))
    frame = pd.DataFrame(
        {
            "zoned": pd.to_datetime([AT.astimezone(paris), None], utc=False),
            "bare": pd.to_datetime(["2013-11-01 12:00", None]),
            "strings": pd.array(["a", None], dtype="string"),
            "f32": np.array([1.5, np.nan], np.float32),
            "mixed": [[1], None],
        }
    )
    assert eager(frame).rows() == [(AT, AT, "a", 1.5, [1]), (None, None, None, None, None)]
    assert eager(frame).schema["f32"] == pl.Float32


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "builtins.NoneType is not a table"),
        ("rides.csv", "builtins.str is not a table"),
        ([{"a": 1}, 2], "a list is a table only when each row is a dict"),
        ([{"a": 1}, {"a": "x"}], "the rows do not make a table"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are called 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), "column 'a' mixes types"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "column 'a' holds Python objects"),
    ],
)
def test_what_is_no_table_is_refused(value: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        to_frame(value)


def test_an_unknown_type_lists_the_known_ones() -> None:
    with pytest.raises(BadInput) as caught:
        as_type(FRAME.lazy(), "ray.data.Dataset")
    assert caught.value.what == "a table cannot be handed over as ray.Dataset"
    assert "polars.LazyFrame" in caught.value.known


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        as_type(FRAME.lazy(), "pyarrow.Table")
    assert caught.value.what == "this step asks for pyarrow, which is not installed"
    assert caught.value.next.startswith("pip install pyarrow ")


def test_other_peoples_libraries_are_not_loaded_for_polars_frames() -> None:
    code = (
        "import sys, polars as pl; from oito.storage.frames import to_frame, as_type; "
        "as_type(to_frame([{'a': 1}]).lazy(), pl.DataFrame); "
        "print([name for name in ('pandas', 'pyarrow', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
