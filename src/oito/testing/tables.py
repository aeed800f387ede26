"""What tables promise: rows in their order, versions that never change, and a digest that knows content alone."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from oito.errors import BadInput, CorruptFile, DataError, MissingColumn, StorageError

_UNLIKE: list[dict[str, Any]] = [
    {"a": pl.Series([1, 2], dtype=pl.Int64)}, {"a": pl.Series([1, 2], dtype=pl.Int32)}, {"a": [1.0, 2.0]},
    {"a": ["1", "2"]}, {"b": [1, 2]}, {"a": [2, 1]}, {"a": [1, 2, None]}, {"a": [1, 2], "b": [1, 2]},
    {"b": [1, 2], "a": [1, 2]}, {"a": [0.0, 2.0]}, {"a": [-0.0, 2.0]}, {"a": [float("nan"), 2.0]}, {"a": [None, 2.0]},
    {"a": ["", "2"]}, {"a": [None, "2"]}, {"a": ["12", ""]}, {"a": [True, False]}, {"a": [[1], [2]]}, {"a": [[1, 2], []]},
]  # fmt: skip


class TablesContract:
    """Subclass it, and give a fixture `files` (an empty store). `tables` may be another module with the same functions.

    `damage` is shared with `FilesContract`: how a stored byte is changed behind the store's back.
    """

    @pytest.fixture
    def tables(self) -> Any:
        """Return what writes and reads tables; the default is oito's own."""
        from oito.storage import tables

        return tables

    def damage(self, files: Any, digest: str) -> None:
        raise NotImplementedError

    def test_a_table_comes_back_as_it_was_written(self, files: Any, tables: Any) -> None:
        frame = _frame(500)
        table = tables.write(files, frame)
        assert tables.scan(files, table).collect().equals(frame, null_equal=True)
        assert (table.rows, [name for name, _ in table.schema]) == (500, frame.columns)

    def test_an_append_comes_behind_and_an_upsert_in_place(self, files: Any, tables: Any) -> None:
        table = tables.write(files, {"id": [1, 2], "x": [1.0, 2.0]})
        table = tables.append(files, table, {"id": [3], "x": [3.0]})
        table = tables.upsert(files, table, {"id": [2, 4], "x": [9.0, 4.0]}, "id")
        assert tables.scan(files, table).collect().rows() == [(1, 1.0), (2, 9.0), (3, 3.0), (4, 4.0)]

    def test_a_table_that_grew_leaves_the_one_before_as_it_was(self, files: Any, tables: Any) -> None:
        first = tables.write(files, {"id": [1, 2], "x": [1.0, 2.0]})
        known = json.dumps(first.data())
        tables.upsert(files, tables.append(files, first, {"id": [3], "x": [3.0]}), {"id": [1], "x": [7.0]}, "id")
        assert tables.scan(files, first).collect().rows() == [(1, 1.0), (2, 2.0)]
        assert json.dumps(first.data()) == known

    def test_nothing_new_gives_the_same_table(self, files: Any, tables: Any) -> None:
        table = tables.write(files, {"id": [1, 2], "x": [1.0, 2.0]})
        assert tables.append(files, table, pl.DataFrame(schema={"id": pl.Int64})) == table
        assert tables.upsert(files, table, {"id": [2], "x": [2.0]}, "id") == table

    def test_the_digest_is_that_of_the_rows_however_they_came(self, files: Any, tables: Any) -> None:
        chance, frame = random.Random(8), _frame(40_000)
        whole = tables.write(files, frame)
        assert tables.write(files, frame.lazy()).content == whole.content
        assert tables.write(files, pl.concat([frame[:7], frame[7:]], rechunk=False)).content == whole.content
        for pieces in (2, 5, 60):
            cuts = [0, *sorted(chance.sample(range(1, frame.height), pieces)), frame.height]
            table = tables.write(files, frame[: cuts[1]])
            for start, stop in pairwise(cuts[1:]):
                table = tables.append(files, table, frame[start:stop])
            assert (table.content, table.leaves, table.blocks) == (whole.content, whole.leaves, whole.blocks)
        batch = frame.sample(30, seed=8).with_columns(x=pl.lit(-1.0))
        expected = frame.update(batch, on="id")
        assert tables.upsert(files, table, batch, "id").content == tables.write(files, expected).content

    def test_other_rows_have_another_digest(self, files: Any, tables: Any) -> None:
        found = {tables.write(files, pl.DataFrame(each)).content for each in _UNLIKE}
        assert len(found) == len(_UNLIKE)

    def test_a_table_is_plain_data_and_comes_back_from_it(self, files: Any, tables: Any) -> None:
        table = tables.append(files, tables.write(files, _frame(5)), _frame(5))
        assert tables.Table.from_data(json.loads(json.dumps(table.data()))) == table

    def test_a_new_column_is_null_where_it_was_not_known(self, files: Any, tables: Any) -> None:
        table = tables.append(files, tables.write(files, {"id": [1]}), {"id": [2], "x": [2.0]})
        assert tables.scan(files, table).collect().rows() == [(1, None), (2, 2.0)]

    def test_what_does_not_fit_is_refused(self, files: Any, tables: Any) -> None:
        table = tables.write(files, {"id": [1], "x": [1.0]})
        with pytest.raises(DataError):
            tables.append(files, table, {"id": ["one"]})
        with pytest.raises(DataError):
            tables.upsert(files, table, {"id": [7, 7], "x": [1.0, 2.0]}, "id")
        with pytest.raises(DataError):
            tables.upsert(files, table, {"id": [None], "x": [1.0]}, "id")
        with pytest.raises(MissingColumn):
            tables.upsert(files, table, {"id": [7]}, "id")
        with pytest.raises(BadInput):
            tables.write(files, [])

    def test_a_changed_or_lost_part_is_refused(self, files: Any, tables: Any) -> None:
        table = tables.append(files, tables.write(files, {"id": [1]}), {"id": [2]})
        self.damage(files, table.parts[0].digest)
        with pytest.raises(CorruptFile):
            tables.scan(files, table)
        files.remove(table.parts[0].digest)
        with pytest.raises(StorageError):
            tables.scan(files, table)


def _frame(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(rows),
            "x": [None if n % 7 == 0 else n / 3 for n in range(rows)],
            "name": [None if n % 11 == 0 else "é" * (n % 5) for n in range(rows)],
            "at": [datetime(2024, 1, 1 + n % 28, tzinfo=UTC) for n in range(rows)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
