"""Tables of Parquet parts against plain models: append, upsert, time travel, broken and missing parts."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from oito.errors import BadInput, CorruptFile, DataError, MissingColumn, StorageError
from oito.storage import parts, tables
from oito.storage.contents import LEAF_ROWS, digest_of
from oito.storage.files import Files
from oito.storage.frames import as_relation
from oito.storage.tables import Table


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "files")


def rows(files: Files, table: Table) -> list[dict[str, Any]]:
    return tables.scan(files, table).collect().to_dicts()


def assert_whole(files: Files, table: Table) -> None:
    """Check a table's own account of itself against its rows."""
    frame = tables.scan(files, table).collect()
    assert frame.height == table.rows == sum(part.rows for part in table.parts)
    assert frame.columns == [name for name, _ in table.schema]
    again = tables.write(files, frame)
    assert (again.content, again.leaves, again.blocks, again.schema) == (
        table.content,
        table.leaves,
        table.blocks,
        table.schema,
    )
    assert table.content == digest_of(frame)
    assert Table.from_data(json.loads(json.dumps(table.data()))) == table


def test_a_table_comes_back_as_it_was_written_lazy_or_not(files: Files) -> None:
    frame = pl.DataFrame({"id": range(1000), "name": ["a", None] * 500})
    table = tables.write(files, frame)
    assert_frame_equal(tables.scan(files, table).collect(), frame)
    assert tables.write(files, frame.lazy()) == table
    assert tables.write(files, pl.concat([frame[:300], frame[300:]], rechunk=False)) == table
    assert_whole(files, table)


def test_a_large_table_is_cut_into_parts_in_order(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 10_000)
    frame = pl.DataFrame({"id": range(35_000)})
    table = tables.write(files, frame.lazy())
    assert [part.rows for part in table.parts] == [10_000, 10_000, 10_000, 5_000]
    assert tables.write(files, frame) == table
    assert_whole(files, table)


def test_an_empty_table_keeps_its_schema(files: Files) -> None:
    empty = tables.write(files, pl.DataFrame(schema={"id": pl.Int64, "at": pl.Datetime("us", "UTC")}))
    assert (empty.rows, empty.leaves) == (0, ())
    assert dict(empty.schema) == {"id": "Int64", "at": "Datetime('us', 'UTC')"}
    assert_whole(files, empty)
    assert as_relation(tables.paths(files, empty)).columns == ["id", "at"]
    filled = tables.append(files, empty, {"id": [1], "at": [None]})
    assert rows(files, filled) == [{"id": 1, "at": None}]
    assert_whole(files, filled)
    with pytest.raises(BadInput, match="a table needs at least one column"):
        tables.write(files, [])


def test_many_small_appends_keep_few_parts_and_the_digest_of_the_whole(files: Files) -> None:
    frame = pl.DataFrame({"id": range(21_000)}).with_columns(text=pl.col("id").cast(pl.String))
    table, versions = tables.write(files, frame[:300]), []
    for start in range(300, frame.height, 300):
        table = tables.append(files, table, frame[start : start + 300])
        versions.append(table)
        assert len(table.parts) <= 40
    assert_frame_equal(tables.scan(files, table).collect(), frame)
    assert_whole(files, table)
    assert_whole(files, versions[10])
    assert table.leaves[0] == tables.write(files, frame[:LEAF_ROWS]).leaves[0]
    assert tables.leaf_rows(table, 1) == range(LEAF_ROWS, 21_000)


def test_an_append_leaves_the_old_version_as_it_was(files: Files) -> None:
    old = tables.write(files, {"id": [1, 2]})
    new = tables.append(files, old, {"id": [3]})
    assert new.parts[:1] == old.parts
    assert rows(files, old) == [{"id": 1}, {"id": 2}]
    assert tables.append(files, new, pl.DataFrame(schema={"id": pl.Int64})) == new


def test_a_column_added_later_is_null_before_and_one_left_out_is_null_after(files: Files) -> None:
    table = tables.write(files, {"id": [1], "km": [1.5]})
    table = tables.append(files, table, {"id": [2], "fare": [9]})
    assert rows(files, table) == [{"id": 1, "km": 1.5, "fare": None}, {"id": 2, "km": None, "fare": 9}]
    assert_whole(files, table)
    wider = tables.append(files, table, pl.DataFrame(schema={"tip": pl.Int8}))
    assert [name for name, _ in wider.schema] == ["id", "km", "fare", "tip"]
    assert_whole(files, wider)
    assert_whole(files, tables.append(files, wider, {"id": [3]}))
    assert as_relation(tables.paths(files, wider)).fetchall() == [(1, 1.5, None, None), (2, None, 9, None)]


def test_a_column_that_was_all_null_takes_the_type_that_comes(files: Files) -> None:
    table = tables.write(files, {"id": [1], "note": [None]})
    table = tables.append(files, table, {"id": [2], "note": ["late"]})
    table = tables.append(files, table, {"id": [3], "note": [None]})
    assert [row["note"] for row in rows(files, table)] == [None, "late", None]
    assert_whole(files, table)
    assert as_relation(tables.paths(files, table)).fetchall() == [(1, None), (2, "late"), (3, None)]


def test_a_column_of_another_type_is_refused(files: Files) -> None:
    table = tables.write(files, {"km": [1]})
    with pytest.raises(DataError) as caught:
        tables.append(files, table, {"km": ["far"]})
    assert caught.value.what == "column 'km' is Int64 in the table and String in the new rows"
    assert caught.value.next == "cast it: pl.col('km').cast(pl.Int64), or write the table anew"


def test_the_same_rows_twice_are_two_parts_of_one_file(files: Files) -> None:
    table = tables.write(files, {"id": [1, 2]})
    table = tables.append(files, table, {"id": [1, 2]})
    assert [row["id"] for row in rows(files, table)] == [1, 2, 1, 2]
    assert len(set(table.parts)) == 1
    assert_whole(files, table)


_BATCHES = st.lists(
    st.dictionaries(st.tuples(st.integers(0, 8), st.sampled_from("ab")), st.none() | st.integers(0, 3), max_size=5),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=25)
@given(batches=_BATCHES)
def test_upsert_equals_a_dict(
    tmp_path_factory: pytest.TempPathFactory, batches: list[dict[tuple[int, str], int | None]]
) -> None:
    files = Files(tmp_path_factory.getbasetemp() / "upsert")
    schema = {"day": pl.Int64, "site": pl.String, "value": pl.Int64}
    table = tables.write(files, pl.DataFrame(schema=schema))
    model: dict[tuple[int, str], int | None] = {}
    for batch in batches:
        before, old = table, dict(model)
        frame = pl.DataFrame([(*key, value) for key, value in batch.items()], schema=schema, orient="row")
        table = tables.upsert(files, table, frame, ["day", "site"])
        model |= batch
        assert (table == before) == (model == old)
    assert [(row["day"], row["site"], row["value"]) for row in rows(files, table)] == [
        (*key, value) for key, value in model.items()
    ]
    assert_whole(files, table)


def test_upsert_rewrites_only_the_parts_it_touches(files: Files) -> None:
    table = tables.write(files, {"id": [1, 2], "x": [1.0, 0.0]})
    table = tables.append(files, table, {"id": [3, 4], "x": [3.0, 4.0]})
    changed = tables.upsert(files, table, {"x": [-0.0, 5.0], "id": [2, 5]}, "id")
    assert changed.parts[0] != table.parts[0] and changed.parts[1] == table.parts[1]
    assert repr(rows(files, changed)[1]["x"]) == "-0.0"
    assert [row["id"] for row in rows(files, changed)] == [1, 2, 3, 4, 5]
    assert tables.upsert(files, changed, {"id": [3], "x": [3.0]}, "id") == changed
    assert_whole(files, changed)


@settings(deadline=None, max_examples=15)
@given(places=st.sets(st.integers(0, 5 * LEAF_ROWS), min_size=1, max_size=6), cuts=st.sets(st.integers(1, 70_000)))
def test_upsert_knows_the_digest_of_leaves_that_it_did_not_hash_again(
    tmp_path_factory: pytest.TempPathFactory, places: set[int], cuts: set[int]
) -> None:
    files = Files(tmp_path_factory.getbasetemp() / "leaves")
    whole = pl.DataFrame({"id": range(4 * LEAF_ROWS + 700), "x": 0.5})
    edges = [0, *sorted(cuts), whole.height]
    table = tables.write(files, whole[: edges[1]])
    for start, stop in pairwise(edges[1:]):
        table = tables.append(files, table, whole[start:stop])
    batch = pl.DataFrame({"id": sorted(places)}).with_columns(x=pl.when(pl.col("id") % 2 == 0).then(0.5).otherwise(7.0))
    changed = tables.upsert(files, table, batch, "id")
    expected = whole.update(batch, on="id", how="full").sort("id")
    assert changed == Table(
        changed.parts, **{n: v for n, v in vars(tables.write(files, expected)).items() if n != "parts"}
    )
    assert_frame_equal(tables.scan(files, changed).collect(), expected)
    assert [a == b for a, b in zip(changed.parts, table.parts, strict=False)].count(False) <= len(places)


def test_an_append_is_the_same_whether_or_not_the_rows_before_are_at_hand(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grown(there: Files) -> Table:
        table = tables.write(there, {"id": [0], "name": [None]})
        for n in range(1, 80):
            table = tables.append(
                there, table, {"id": [n] * n, "name": [f"{n} km"] * n, **({"x": [n] * n} if n > 40 else {})}
            )
        return table

    at_hand = grown(files)
    monkeypatch.setattr(parts, "_HELD_BYTES", -1)
    parts.held._frames.clear()
    tables._schemas.clear()
    assert grown(Files(tmp_path / "others")) == at_hand
    assert_whole(files, at_hand)


def test_upsert_may_add_a_column(files: Files) -> None:
    table = tables.append(files, tables.write(files, {"id": [1]}), {"id": [2]})
    first = tables.upsert(files, table, {"id": [1], "km": [7]}, "id")
    assert rows(files, first) == [{"id": 1, "km": 7}, {"id": 2, "km": None}]
    assert_whole(files, first)
    assert_whole(files, tables.upsert(files, table, {"id": [2, 3], "km": [7, 8]}, "id"))


def test_upsert_refuses_doubtful_keys_and_shows_the_rows(files: Files) -> None:
    table = tables.write(files, {"id": [1], "x": [1]})
    with pytest.raises(DataError) as caught:
        tables.upsert(files, table, {"id": [7, 1, 7], "x": [1, 2, 3]}, "id")
    assert str(caught.value) == (
        "2 of 3 rows to upsert share their key id\n"
        "  where    id=7, x=1\n           id=7, x=3\n"
        "  next     keep one row of each key"
    )
    with pytest.raises(DataError, match="1 of 2 rows to upsert have no id"):
        tables.upsert(files, table, {"id": [None, 1], "x": [1, 2]}, "id")
    with pytest.raises(MissingColumn, match="the rows to upsert have no column 'x'"):
        tables.upsert(files, table, {"id": [1]}, "id")


def test_one_flipped_byte_and_a_lost_part_are_refused(files: Files) -> None:
    table = tables.append(files, tables.write(files, {"id": [1]}), {"id": [2]})
    path = files.path(table.parts[0].digest)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    for ask in (tables.scan, tables.paths):
        with pytest.raises(CorruptFile, match="does not have the bytes it was written with"):
            ask(files, table)
    path.unlink()
    with pytest.raises(StorageError, match="a stored file is gone"):
        tables.scan(files, table)
