"""Frames in and out: every table type that people use becomes a Polars frame, and goes back. Keeping them is tables.py's."""

import importlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oito.errors import BadInput, MissingExtra

_UTC = pl.Datetime("us", "UTC")
_RETURNABLE = "polars.LazyFrame, polars.DataFrame, pandas.DataFrame, pyarrow.Table, duckdb.DuckDBPyRelation"


def to_frame(value: Any) -> pl.DataFrame | pl.LazyFrame:
    """Return any table as a Polars frame in the types that are stored; lazy stays lazy.

    Times become microseconds UTC (without a zone they are taken as UTC, and finer digits are dropped); `Categorical` and
    `Enum` become `String`, so that parts written on different days always fit together. From pandas: the index is dropped
    unless it has a name, and NaN is null, because there it means missing.

    Args:
        value: a frame of Polars, pandas, pyarrow or DuckDB, anything with an Arrow stream, a dict of columns, or a list
            of dicts.

    Raises:
        BadInput: it is no table, two columns have one name, or a column mixes types or holds Python objects.

    Example:
        >>> from datetime import datetime
        >>> to_frame([{"id": 1, "at": datetime(2013, 11, 1)}]).schema["at"]
        Datetime(time_unit='us', time_zone='UTC')
    """
    return stored(_polars(value))


def stored(frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame | pl.LazyFrame:
    """Return the frame with each column in the type that is stored; most frames come back as they are."""
    schema = frame.collect_schema()
    casts = [pl.col(name).cast(to) for name, dtype in schema.items() if (to := _stored_dtype(dtype, name)) != dtype]
    return frame.with_columns(casts) if casts else frame


def as_type(frame: pl.LazyFrame, wanted: Any) -> Any:
    """Return the frame as the type that a parameter is annotated with; no annotation gives the lazy frame itself.

    In pandas, integers and booleans with nulls arrive as `Int64` and `boolean`, not as floats and objects. A DuckDB
    relation has its own in-memory connection; give it files instead where there are some (`as_relation`).

    Args:
        frame: the rows.
        wanted: a class, its dotted name, or None.

    Raises:
        MissingExtra: the library of that type is not installed.
        BadInput: the type is none that we know.

    Example:
        >>> as_type(pl.LazyFrame({"a": [1, 2]}), pl.DataFrame).height
        2
    """
    name = _type_name(wanted)
    if name in ("", "polars.LazyFrame"):
        return frame
    makers: dict[str, Callable[[], Any]] = {
        "polars.DataFrame": lambda: frame.collect(),
        "pandas.DataFrame": lambda: _to_pandas(frame.collect()),
        "pyarrow.Table": lambda: _to_arrow(frame.collect()),
        "duckdb.DuckDBPyRelation": lambda: _to_relation(frame),
    }
    if name not in makers:
        raise BadInput(f"a table cannot be handed over as {name}", known=_RETURNABLE)
    return makers[name]()


def as_relation(paths: Iterable[Path]) -> Any:
    """Return Parquet files as one DuckDB relation on a connection of its own; a column that a file lacks is null there.

    Raises:
        BadInput: there is no file.
    """
    files = [str(path) for path in paths]
    if not files:
        raise BadInput("a relation needs at least one Parquet file")
    return _connection().read_parquet(files, union_by_name=True)


def _polars(value: Any) -> pl.DataFrame | pl.LazyFrame:
    if isinstance(value, pl.DataFrame | pl.LazyFrame):
        return value
    if isinstance(value, pl.Series):
        return value.to_frame()
    if _type_name(type(value)) == "pandas.DataFrame":
        return _from_pandas(value)
    if isinstance(value, Sequence | dict) and not isinstance(value, str | bytes):
        return _from_plain(value)
    if hasattr(value, "__arrow_c_stream__"):
        return _from_arrow(value)
    raise BadInput(
        f"{_type_name(type(value))} is not a table",
        known=f"tables are {_RETURNABLE}, a dict of columns, or a list of dicts",
        next="return one of these",
    )


def _from_plain(value: Any) -> pl.DataFrame:
    if not isinstance(value, dict) and not all(isinstance(row, dict) for row in value):
        odd = next(n for n, row in enumerate(value) if not isinstance(row, dict))
        raise BadInput("a list is a table only when each row is a dict", where=f"rows[{odd}] is {value[odd]!r:.80}")
    try:
        if isinstance(value, dict):
            return pl.DataFrame(value)
        names = {name: None for row in value for name in row}  # a key that only a later row has is a column, too
        return pl.DataFrame({name: pl.Series([row.get(name) for row in value]) for name in names})
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise BadInput("the rows do not make a table", known=str(error), next="give each column one type") from error


def _from_arrow(value: Any) -> pl.DataFrame:
    try:
        return pl.DataFrame(value)
    except pl.exceptions.PolarsError as error:
        raise BadInput("the Arrow data does not make a table", known=str(error)) from error


def _from_pandas(value: Any) -> pl.DataFrame:
    if any(name is not None for name in value.index.names):
        value = value.reset_index()
    names = [str(name) for name in value.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"two columns are called {twice[0]!r}", known=f"columns: {', '.join(names)}")
    return pl.DataFrame([_pandas_column(name, value.iloc[:, n]) for n, name in enumerate(names)])


def _pandas_column(name: str, column: Any) -> pl.Series:
    # pandas' own way through Arrow needs pyarrow, which is not ours to require
    missing = column.isna().to_numpy()
    kind = getattr(column.dtype, "kind", "O")
    if str(column.dtype) == "category":
        column, kind = column.astype(object), "O"
    if kind == "M":
        unzoned = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return _masked(pl.Series(name, unzoned.to_numpy("datetime64[us]")).cast(_UTC), missing)
    if kind == "m":
        return _masked(pl.Series(name, column.to_numpy("timedelta64[us]")), missing)
    if kind in "iufb":
        plain = getattr(column.dtype, "numpy_dtype", column.dtype)
        filled = column.fillna(False if kind == "b" else 0) if missing.any() else column
        return _masked(pl.Series(name, np.asarray(filled.to_numpy(plain))), missing)
    values = [None if gone else item for item, gone in zip(column.to_list(), missing.tolist(), strict=True)]
    try:
        return pl.Series(name, values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise BadInput(f"column {name!r} mixes types", known=str(error), next="give the column one type") from error


def _masked(column: pl.Series, missing: np.ndarray[Any, Any]) -> pl.Series:
    if not missing.any():
        return column
    return column.to_frame("x").select(pl.when(~pl.Series(missing)).then(pl.col("x"))).to_series().alias(column.name)


def _stored_dtype(dtype: Any, name: str) -> Any:
    if isinstance(dtype, pl.Datetime):
        return _UTC
    if isinstance(dtype, pl.Duration):
        return pl.Duration("us")
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    if isinstance(dtype, pl.List):
        return pl.List(_stored_dtype(dtype.inner, name))
    if isinstance(dtype, pl.Array):
        return pl.Array(_stored_dtype(dtype.inner, name), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({each.name: _stored_dtype(each.dtype, name) for each in dtype.fields})
    if isinstance(dtype, pl.Object):
        raise BadInput(
            f"column {name!r} holds Python objects",
            known="numbers, text, bytes, times, lists and structs can be stored",
            next="turn the column into one of these",
        )
    return dtype


def _type_name(wanted: Any) -> str:
    """Return `library.Class` of a type (or of its dotted name); the modules between are the library's own business."""
    if wanted is None or getattr(wanted, "__name__", "") == "_empty":
        return ""
    text = wanted if isinstance(wanted, str) else f"{wanted.__module__}.{wanted.__qualname__}"
    library, _, rest = text.partition(".")
    library = {"pl": "polars", "pd": "pandas", "pa": "pyarrow", "_duckdb": "duckdb"}.get(library, library)
    return f"{library}.{rest.rpartition('.')[2]}"


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"this step asks for {name}, which is not installed",
            next=f"pip install {name}     or annotate the parameter as polars.LazyFrame",
        ) from error


def _to_pandas(frame: pl.DataFrame) -> Any:
    pd = _library("pandas")
    columns = {column.name: _pandas_series(pd, column) for column in frame.get_columns()}
    return pd.DataFrame(columns, index=pd.RangeIndex(frame.height))


def _pandas_series(pd: Any, column: pl.Series) -> Any:
    dtype, holed = column.dtype, column.null_count() > 0
    if isinstance(dtype, pl.Datetime):
        return pd.Series(column.dt.replace_time_zone(None).to_numpy()).dt.tz_localize(dtype.time_zone)
    if (
        dtype.is_float()
        or isinstance(dtype, pl.Duration)
        or (dtype.is_integer() and not holed and hasattr(np, str(dtype).lower()))
    ):
        return pd.Series(column.to_numpy(writable=True))
    if isinstance(dtype, pl.Boolean):
        return pd.Series(column.to_list(), dtype="boolean" if holed else "bool")
    if dtype.is_integer() and hasattr(pd, f"{dtype}Dtype"):
        return pd.Series(column.to_list(), dtype=str(dtype))  # the names agree: Int64, UInt8, …
    return pd.Series(column.to_list(), dtype=None if isinstance(dtype, pl.String) and len(column) else object)


def _to_arrow(frame: pl.DataFrame) -> Any:
    _library("pyarrow")
    return frame.to_arrow()


def _to_relation(frame: pl.LazyFrame) -> Any:
    # DuckDB reads Polars frames only through pyarrow, so the rows go by way of a file and into its memory
    connection = _connection()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.parquet")
        frame.sink_parquet(path)
        connection.execute("CREATE TABLE frame AS SELECT * FROM read_parquet(?)", [str(path)])
    return connection.table("frame")


def _connection() -> Any:
    connection = _library("duckdb").connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection
