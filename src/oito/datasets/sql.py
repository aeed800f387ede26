"""Datasets written in SQL: DuckDB over the stored Parquet files of the inputs, each known by its name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import duckdb
import polars as pl

from oito.datasets.spec import DatasetSpec
from oito.errors import StepFailed
from oito.flow.site import ROWS, Context
from oito.names import did_you_mean
from oito.storage import tables

# One thread: with more, the order of groups and the last bits of sums change from run to run, and so would the content.
_SETTINGS = {"threads": 1, "preserve_insertion_order": True, "TimeZone": "UTC", "autoinstall_known_extensions": False}


def run(context: Context) -> pl.DataFrame:
    """Return the rows of the dataset's query; the same inputs give the same rows in the same order, `random()` included.

    Whole sums of integers, which DuckDB makes 128 bits wide, come back as 64.

    Raises:
        StepFailed: DuckDB refuses the query; the text has the file with its line, and the columns that there are.
    """
    spec = context.asset.spec
    assert isinstance(spec, DatasetSpec)
    with contextlib.closing(duckdb.connect()) as connection:
        for name, value in _SETTINGS.items():
            connection.execute(f"SET {name} = {value!r}")
        columns = {name: _viewed(connection, context, name) for name in _inputs(context)}
        with _mapped(context, spec, columns):
            connection.execute("SELECT setseed(?)", [context.seed("sql") / 2**32]).fetchall()
            return _rows(connection, spec.query)


def _inputs(context: Context) -> list[str]:
    return [each.asset for each in context.asset.inputs if not each.is_parameter]


def _viewed(connection: Any, context: Context, name: str) -> list[str]:
    """Make an input's files a view of its name and return its columns."""
    table = tables.Table.from_data(context.version(name).tables[ROWS])
    paths = [str(path) for path in tables.paths(context.site.files, table)]
    # an older file may lack a column that came later: those of the schema are named, in its order
    connection.read_parquet(paths, union_by_name=True).create_view("\0" + name)
    columns = [column for column, _ in table.schema]
    chosen = ", ".join(map(_quoted, columns))
    connection.execute(f"CREATE VIEW {_quoted(name)} AS SELECT {chosen} FROM {_quoted(chr(0) + name)}")
    return columns


def _rows(connection: Any, query: str) -> pl.DataFrame:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or "SELECT" not in statements[0].type.name:
        raise duckdb.InvalidInputException(f"the text holds {len(statements)} statements; it has to be one SELECT")
    relation = connection.sql(statements[0])
    wide = [name for name, dtype in zip(relation.columns, relation.types, strict=True) if str(dtype) == "HUGEINT"]
    rows = pl.DataFrame(_Stream(relation))
    return rows.with_columns(pl.col(wide).cast(pl.Int64)) if wide else rows


class _Stream:
    """An Arrow stream and nothing else: Polars remembers the classes it has met, and DuckDB reports its own as leaked at exit."""

    def __init__(self, relation: Any) -> None:
        self._relation = relation

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._relation.__arrow_c_stream__(requested_schema)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def _mapped(context: Context, spec: DatasetSpec, columns: dict[str, list[str]]) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pl.exceptions.PolarsError) as error:
        text = str(error)
        first = " ".join(text.split("\n\n")[0].split("LINE ")[0].split())
        line = _line(text, spec.query)
        place = (
            f"{spec.file}:{line} ({context.asset.place})"
            if spec.file
            else f"{context.asset.place}, line {line} of the query"
        )
        raise StepFailed(
            f"{context.asset.name}: {first[:400]}",
            where=place,
            known="\n".join(f"{name}: {', '.join(names)}" for name, names in columns.items()),
            next=_hint(text, columns) or f"mend the query, then: oito run {context.asset.name}",
        ) from error


def _line(text: str, query: str) -> int:
    """Return the line of the query that DuckDB complains about: it names the line, or at least a word."""
    told = re.search(r"^LINE (\d+):", text, flags=re.M)
    if told:
        return int(told[1])
    word = re.search(r'"(\w+)"|name (\w+) does', text)
    place = query.find(word[1] or word[2]) if word else -1
    return query.count("\n", 0, place) + 1 if place >= 0 else 1


def _hint(text: str, columns: dict[str, list[str]]) -> str:
    """Return `did you mean …?` for the column that DuckDB did not find."""
    found = re.search(r'[Cc]olumn "(\w+)"', text)
    known = [column for names in columns.values() for column in names]
    hint = did_you_mean(found[1], known) if found else ""
    return hint if hint.startswith("did") else ""
