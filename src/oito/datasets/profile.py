"""The profile of a table: what each column holds, in figures that fit a catalog record. Judging them is checks.py's work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from oito.clock import text
from oito.storage.contents import dtype_text

SAMPLE_ROWS = 50_000  # quantiles and histograms of longer tables come from every n-th row
EXACT_ROWS = 50_000  # distinct values of longer tables are estimated
TOP_DISTINCT = 200
TOP = 5
BINS = 16
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def profile(rows: pl.DataFrame) -> dict[str, Any]:
    """Return, as plain JSON data, the row count and of each column what it holds.

    A column's facts: `name`, `dtype`, `missing` (rows; null and NaN), `distinct` (estimated beyond 50,000 rows), `min`,
    `max`; of numbers also `mean`, `std` (n - 1), `quantiles` and `histogram` (16 equal bins from min to max, from every
    n-th row beyond 50,000); of columns with at most 200 values their `top` five with counts. What does not exist is None.

    Example:
        >>> found = profile(pl.DataFrame({"origin": ["JFK", "JFK", None]}))
        >>> found["columns"][0]["missing"], found["columns"][0]["top"]
        (1, [['JFK', 2]])
    """
    plain = rows.with_columns(pl.col(name).fill_nan(None) for name, dtype in rows.schema.items() if dtype.is_float())
    whole = _whole(plain)
    sample = plain.gather_every(math.ceil(rows.height / SAMPLE_ROWS)) if rows.height > SAMPLE_ROWS else plain
    shapes = _shapes(sample, whole)
    columns = []
    for name, dtype in rows.schema.items():
        facts = {"name": name, "dtype": dtype_text(dtype), **whole[name]}
        columns.append(facts | shapes.get(name, {}) | _top(plain, name, facts["distinct"]))
    return {"rows": rows.height, "sampled_rows": sample.height, "columns": columns}


def _whole(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the figures that need every row, all from one pass."""
    asked: dict[tuple[str, str], pl.Expr] = {}
    for name, dtype in rows.schema.items():
        column = pl.col(name)
        asked[name, "missing"] = column.null_count()
        if not dtype.is_nested() and not isinstance(dtype, pl.Null | pl.Binary):
            is_long = rows.height > EXACT_ROWS and not dtype.is_decimal()
            asked[name, "distinct"] = (
                column.drop_nulls().approx_n_unique() if is_long else column.drop_nulls().n_unique()
            )
            asked[name, "min"], asked[name, "max"] = column.min(), column.max()
        if dtype.is_numeric():
            number = column.cast(pl.Float64)
            asked[name, "mean"], asked[name, "std"] = number.mean(), number.std()
    found = rows.lazy().select(expr.alias(f"{n}") for n, expr in enumerate(asked.values())).collect().row(0)
    facts: dict[str, dict[str, Any]] = {name: {"distinct": None, "min": None, "max": None} for name in rows.columns}
    for (name, figure), value in zip(asked, found, strict=True):
        facts[name][figure] = plain_value(value)
    return facts


def _shapes(sample: pl.DataFrame, whole: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return quantiles and histogram of the numeric columns."""
    asked: dict[tuple[str, str], pl.Expr] = {}
    for name, dtype in sample.schema.items():
        low, high = whole[name]["min"], whole[name]["max"]
        if not dtype.is_numeric() or low is None or high is None:
            continue
        number = pl.col(name).cast(pl.Float64)
        ordered = number.drop_nulls().sort()
        asked[name, "quantiles"] = pl.concat_list([ordered.quantile(q, "linear") for q in QUANTILES])
        width = (high - low) / BINS
        if width > 0 and math.isfinite(width):
            place = ((number - low) / width).floor().clip(0, BINS - 1).cast(pl.UInt8).drop_nulls()
            asked[name, "histogram"] = place.value_counts(sort=False).implode()
    if not asked:
        return {}
    found = sample.lazy().select(expr.alias(f"{n}") for n, expr in enumerate(asked.values())).collect().row(0)
    shapes: dict[str, dict[str, Any]] = {}
    for (name, figure), value in zip(asked, found, strict=True):
        shapes.setdefault(name, {})[figure] = (
            _filled(value) if figure == "histogram" else [plain_value(v) for v in value]
        )
    return shapes


def _filled(counts: list[dict[str, Any]]) -> list[int]:
    """Return the count of each bin from structs of (bin, count)."""
    bins = [0] * BINS
    for each in counts:
        place, count = each.values()
        bins[place] = count
    return bins


def _top(rows: pl.DataFrame, name: str, distinct: int | None) -> dict[str, Any]:
    """Return the most frequent values of a column that has few, and then how many there really are."""
    if not distinct or distinct > TOP_DISTINCT:
        return {"top": []}
    counts = rows.select(pl.col(name).drop_nulls()).group_by(name).len("\0count")
    first = counts.sort("\0count", name, descending=[True, False]).head(TOP)
    return {"top": [[plain_value(value), count] for value, count in first.rows()], "distinct": counts.height}


def plain_value(value: Any) -> Any:
    """Return a cell as JSON can hold it: times as text, no NaN, no infinity.

    Example:
        >>> plain_value(float("nan")), plain_value(date(2013, 1, 1))
        (None, '2013-01-01')
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        return text(value) if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain_value(each) for key, each in value.items()}
    return str(value)
