"""The online store: the same bits as the as-known join, newest event wins, and no answer from another schema."""

import math
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oito.errors import BadInput, CatalogTooNew, DataError, MissingColumn, SchemaChanged, UnknownAsset
from oito.features.asof import as_known
from oito.features.blobs import entity_key
from oito.features.online import Online
from oito.storage.sql import Database

UTC_TIME = pl.Datetime("us", "UTC")
START = datetime(2013, 1, 1, tzinfo=UTC)
COLUMNS: dict[str, Any] = {
    "share": pl.Float64,
    "name": pl.String,
    "small": pl.Float32,
    "count": pl.Int64,
    "byte": pl.UInt8,
    "is_late": pl.Boolean,
    "day": pl.Date,
    "seen": UTC_TIME,
}


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


@pytest.fixture
def online(tmp_path: Path) -> Iterator[Online]:
    store = Online(tmp_path / "online.db")
    yield store
    store.close()


def shares(rows: Sequence[tuple[Any, float, float]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"carrier": [row[0] for row in rows], "at": [hour(row[1]) for row in rows], "share": [row[2] for row in rows]},
        schema={"carrier": pl.String, "at": UTC_TIME, "share": pl.Float64},
    )


def with_shares(online: Online, rows: Sequence[tuple[Any, float, float]]) -> Online:
    online.declare("record", [("share", pl.Float64)])
    online.write("record", shares(rows), entity=["carrier"], time="at")
    return online


def share(online: Online, carrier: Any, at: float, ttl_h: float | None = None) -> Any:
    ttl = None if ttl_h is None else timedelta(hours=ttl_h)
    row = online.read("record", [carrier], at=hour(at), ttl=ttl)
    return None if row is None else row.values["share"]


def bits(values: Sequence[Any]) -> list[Any]:
    return [struct.pack(">d", value) if isinstance(value, float) else value for value in values]


ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-1, 2),
        st.none() | st.sampled_from(["", "ü", "a:1"]),
        st.integers(0, 6),
        st.integers(0, 9),
        st.tuples(
            st.none() | st.floats(),
            st.none() | st.text(max_size=3),
            st.none() | st.floats(width=32),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.integers(0, 255),
            st.none() | st.booleans(),
            st.none() | st.dates(),
            st.none() | st.datetimes(timezones=st.just(UTC)),
        ),
    ),
    max_size=10,
)


def frame_of(rows: Any) -> pl.DataFrame:
    columns = {
        name: pl.Series(name, [row[4][n] for row in rows], dtype=kind) for n, (name, kind) in enumerate(COLUMNS.items())
    }
    return pl.DataFrame(
        {
            "a": pl.Series([row[0] for row in rows], dtype=pl.Int32),
            "b": pl.Series([row[1] for row in rows], dtype=pl.String),
            "event": pl.Series([hour(row[2]) for row in rows], dtype=UTC_TIME),
            "known": pl.Series([hour(row[3]) for row in rows], dtype=UTC_TIME),
            **columns,
        }
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.integers(0, 9), st.none() | st.integers(0, 5))
def test_online_equals_offline_bit_for_bit(online: Online, rows: Any, at: int, ttl_h: int | None) -> None:
    history = frame_of(rows)
    ttl = None if ttl_h is None else timedelta(hours=ttl_h)
    entities = pl.DataFrame({"a": [-1, 0, 1, 2] * 3, "b": [name for name in ("", "ü", "a:1") for _ in range(4)]})
    known = history.filter(pl.max_horizontal("event", "known") <= hour(at))
    online.drop("view")
    online.declare("view", list(COLUMNS.items()))
    for start in range(0, known.height, 3):
        online.write("view", known[start : start + 3], entity=["a", "b"], time="event", known_at="known")
    asked = entities.with_columns(at=pl.lit(hour(at), dtype=UTC_TIME))
    offline = as_known(
        asked, history, by=["a", "b"], at="at", time="event", known_at="known", ttl=ttl, columns=["event", *COLUMNS]
    ).frame
    many = online.read_many("view", entities.rows(), at=hour(at), ttl=ttl)
    for (a, b, _, event, *values), row in zip(offline.rows(), many, strict=True):
        assert repr(row) == repr(online.read("view", (a, b), at=hour(at), ttl=ttl))
        if event is None:
            assert row is None
        else:
            assert row is not None
            assert row.event_at == event
            assert list(row.values) == list(COLUMNS)
            assert bits(list(row.values.values())) == bits(values)


def test_an_older_event_never_replaces_a_newer_one(online: Online) -> None:
    with_shares(online, [("UA", 5, 0.5), ("UA", 4, 0.4)])
    online.write("record", shares([("UA", 3, 0.3)]), entity=["carrier"], time="at")
    assert share(online, "UA", 9) == 0.5


def test_the_same_event_is_corrected_by_what_was_known_last_whoever_writes_last(online: Online) -> None:
    online.declare("record", [("share", pl.Float64)])
    for known, value in ((8, 0.8), (7, 0.7)):
        frame = shares([("UA", 5, value)]).with_columns(known=pl.lit(hour(known)))
        online.write("record", frame, entity=["carrier"], time="at", known_at="known")
    assert share(online, "UA", 9) == 0.8
    assert share(online, "UA", 7.5) is None


def test_a_row_exactly_as_old_as_the_ttl_is_used_and_one_microsecond_older_is_not(online: Online) -> None:
    with_shares(online, [("UA", 1, 0.1)])
    assert share(online, "UA", 4, ttl_h=3) == 0.1
    assert online.read("record", ["UA"], at=hour(4) + timedelta(microseconds=1), ttl=timedelta(hours=3)) is None


def test_the_future_and_the_unknown_are_none(online: Online) -> None:
    with_shares(online, [("UA", 1, 0.1), (None, 1, 0.2)])
    assert share(online, "UA", 0.5) is None
    assert share(online, "DL", 2) is None
    assert share(online, None, 2) is None


def test_many_come_back_in_the_order_asked_doubled_ones_too(online: Online) -> None:
    with_shares(online, [(str(number), 1, number) for number in range(700)])
    asked: list[tuple[Any]] = [(str(number),) for number in reversed(range(700))] + [("7",), ("x",), (None,)]
    found = online.read_many("record", asked, at=hour(2))
    expected = [*reversed(range(700)), 7, None, None]
    assert [row.values["share"] if row else None for row in found] == expected
    assert online.read_many("record", [], at=hour(2)) == []


def test_nan_is_not_null_and_minus_zero_keeps_its_sign(online: Online) -> None:
    with_shares(online, [("UA", 1, math.nan), ("DL", 1, -0.0)])
    assert math.isnan(share(online, "UA", 2))
    assert math.copysign(1, share(online, "DL", 2)) == -1


def test_composite_keys_and_sorts_of_keys_cannot_run_into_each_other() -> None:
    keys: list[tuple[Any, ...]] = [("ab", "c"), ("a", "bc"), ("a2:bc",), (1,), ("1",), (True,), (b"1",)]
    keys += [(12, 3), (1, 23), (date(2013, 1, 1),), (START,)]
    assert len({entity_key(key) for key in keys}) == len(keys)
    with pytest.raises(DataError, match=r"1\.0 of type float cannot be part of an entity's key"):
        entity_key((1.0,))
    with pytest.raises(BadInput, match="an entity is a sequence of its key's values, not 'UA'"):
        entity_key("UA")


def test_float_keys_are_refused_when_written(online: Online) -> None:
    online.declare("record", [("share", pl.Float64)])
    with pytest.raises(DataError, match="the frame for the view 'record' has the key 'share' of type Float64"):
        online.write("record", shares([]), entity=["share"], time="at")


def test_a_reader_of_other_columns_is_refused_whether_the_entity_is_there_or_not(tmp_path: Path) -> None:
    writer, reader = Online(tmp_path / "o.db"), Online(tmp_path / "o.db")
    with_shares(writer, [("UA", 1, 0.1)])
    reader.expect("record", [("share", pl.Float64)])
    assert share(reader, "UA", 2) == 0.1
    writer.declare("record", [("share", pl.Float32)])
    for _ in range(2):
        with pytest.raises(SchemaChanged) as error:
            share(reader, "UA", 2)
        frame = shares([("UA", 1, 0.1)]).with_columns(pl.col("share").cast(pl.Float32))
        writer.write("record", frame, entity=["carrier"], time="at")
    assert str(error.value) == (
        "the online view 'record' holds other columns than its reader was made for\n"
        "  known    the reader's columns are share Float64\n"
        "  next     materialize the features again, or release what reads them against the new view"
    )
    with pytest.raises(SchemaChanged):
        reader.read_many("record", [("UA",)], at=hour(2))
    with pytest.raises(SchemaChanged):
        reader.write("record", shares([("UA", 1, 0.1)]), entity=["carrier"], time="at")
    with pytest.raises(SchemaChanged):
        reader.expect("record", [("share", pl.Float64)])
    writer.close()
    reader.close()


def test_another_view_in_the_place_of_a_dropped_one_is_not_read_for_it(tmp_path: Path) -> None:
    writer, reader = Online(tmp_path / "o.db"), Online(tmp_path / "o.db")
    with_shares(writer, [("UA", 1, 0.1)])
    assert share(reader, "UA", 2) == 0.1
    writer.drop("record")
    writer.declare("other", [("share", pl.Float64)])
    writer.write("other", shares([("UA", 1, 0.9)]), entity=["carrier"], time="at")
    with pytest.raises(SchemaChanged):
        share(reader, "UA", 2)
    writer.close()
    reader.close()


def test_declaring_again_keeps_the_rows_of_the_same_columns_and_starts_afresh_with_others(online: Online) -> None:
    with_shares(online, [("UA", 1, 0.1)])
    online.declare("record", [("share", pl.Float64)])
    assert share(online, "UA", 2) == 0.1
    assert online.newest("record") == hour(1)
    online.declare("record", [("share", pl.Float64), ("flights", pl.Int64)])
    assert share(online, "UA", 2) is None
    assert online.newest("record") is None


def test_the_newest_event_never_goes_back(online: Online) -> None:
    with_shares(online, [("UA", 3, 0.1), ("DL", 2, 0.1)])
    online.write("record", shares([("DL", 1, 0.1)]), entity=["carrier"], time="at")
    assert online.newest("record") == hour(3)


def test_unknown_views_and_unfit_frames_are_named(online: Online) -> None:
    with_shares(online, [])
    with pytest.raises(
        UnknownAsset, match=r"the online store has no view 'recrod'\n.*\n  known    did you mean 'record'"
    ):
        online.read("recrod", ["UA"], at=START)
    with pytest.raises(MissingColumn, match="the frame for the view 'record' has no column 'share'"):
        online.write("record", shares([]).drop("share"), entity=["carrier"], time="at")
    with pytest.raises(DataError, match="the view 'record' declares 'share' as Float64, the frame has it as Int64"):
        online.write("record", shares([]).cast({"share": pl.Int64}), entity=["carrier"], time="at")
    with pytest.raises(DataError, match=r"the view 'x' has 'tags' as List\(String\), which cannot be kept online"):
        online.declare("x", [("tags", pl.List(pl.String))])
    with pytest.raises(BadInput, match="the view 'x' has no columns to keep online"):
        online.declare("x", [])


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    newer = Database(tmp_path / "o.db")
    with newer.write() as transaction:
        transaction.run("PRAGMA user_version = 3")
    newer.close()
    with pytest.raises(CatalogTooNew, match="the online store has format 3, this oito reads up to 2"):
        Online(tmp_path / "o.db")


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import polars as pl
from oito.features.online import Online
store = Online(Path(sys.argv[1]))
for step in range(1, 101):
    at = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=step)
    frame = pl.DataFrame({"carrier": ["UA", "DL"], "at": [at, at], "share": [float(step)] * 2})
    store.write("record", frame, entity=["carrier"], time="at")
"""


def test_other_processes_read_whole_writes_while_one_writes(tmp_path: Path) -> None:
    online = with_shares(Online(tmp_path / "o.db"), [("UA", 0, 0.0), ("DL", 0, 0.0)])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "o.db")])
    seen = [0.0]
    while seen[-1] < 100:
        both = online.read_many("record", [("UA",), ("DL",)], at=hour(200))
        values = {row.values["share"] for row in both if row}
        assert len(values) == 1
        seen.append(values.pop())
        if writer.poll() is not None:
            assert writer.returncode == 0
            assert share(online, "UA", 200) == 100.0
            break
    assert seen == sorted(seen)
    assert writer.wait() == 0
    online.close()


def test_rows_written_afresh_replace_the_others_in_one_go(online: Online) -> None:
    with_shares(online, [("UA", 5, 0.5), ("DL", 5, 0.6)])
    online.write("record", shares([("UA", 3, 0.3)]), entity=["carrier"], time="at", afresh=True)
    assert (share(online, "UA", 9), share(online, "DL", 9)) == (0.3, None)
    assert online.newest("record") == hour(3)


def test_views_that_were_left_stand_for_a_while_and_then_go(online: Online) -> None:
    for name in ("record:a", "record:b", "records:a"):
        online.declare(name, [("share", pl.Float64)])
    assert online.leave("record:", but="record:b", now_s=1_000, keep_s=600) == []
    assert online.leave("record:", but="record:b", now_s=1_600, keep_s=600) == []
    assert online.has("record:a")
    assert online.leave("record:", but="record:b", now_s=1_601, keep_s=600) == ["record:a"]
    assert (online.has("record:a"), online.has("record:b"), online.has("records:a")) == (False, True, True)
    online.leave("record:", but="record:c", now_s=2_000, keep_s=600)
    online.leave("record:", but="record:b", now_s=2_500, keep_s=600)  # a rollback came back to it
    assert online.leave("record:", but="record:b", now_s=9_000, keep_s=600) == []


def test_a_store_of_the_first_format_is_read_on(tmp_path: Path) -> None:
    older = Database(tmp_path / "o.db")
    with older.write() as transaction:
        transaction.run(
            "CREATE TABLE view (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, layout TEXT NOT NULL, newest_us INTEGER)"
        )
        transaction.run("PRAGMA user_version = 1")
    older.close()
    store = with_shares(Online(tmp_path / "o.db"), [("UA", 1, 0.1)])
    assert share(store, "UA", 2) == 0.1
    store.close()
