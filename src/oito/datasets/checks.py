"""Checks carried out: all of them in one pass over the rows, with counts and first samples. Declaring them is spec.py's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from oito.datasets.spec import Check
from oito.errors import DeclarationError
from oito.names import did_you_mean
from oito.storage.contents import dtype_text

State = Literal["passed", "failed", "warned", "quarantined", "untested"]
REASON = "set_aside_because"
SAMPLES = 5


@dataclass(frozen=True)
class Result:
    """What became of one check.

    `untested` is a check of rows where there are none. `reason` says why a check could not be applied at all; then every
    row counts as broken. `samples` are the first broken rows, whole.
    """

    check: Check
    rows: int
    broken: int
    state: State
    reason: str = ""
    samples: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class _Rule:
    """A check held against a schema: the mask of the rows that break it, or why there can be none."""

    check: Check
    mask: pl.Expr | None
    reason: str = ""


def measure(frame: pl.DataFrame | pl.LazyFrame, checks: Sequence[Check]) -> list[Result]:
    """Return what became of each check, in order, from one pass over the frame.

    Null and NaN are both missing. A lazy frame is carried out once, and its values are really looked at.

    Raises:
        DeclarationError: a pattern is no regular expression that Polars knows.

    Example:
        >>> from oito.datasets.spec import between
        >>> found = measure(pl.LazyFrame({"distance": [10, -3, None]}), [between("distance", 0, None)])
        >>> found[0].state, found[0].broken, found[0].rows, found[0].samples[0]
        ('failed', 1, 3, {'distance': -3})
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    rules = [_rule(check, schema) for check in checks]
    masks = {number: rule.mask for number, rule in enumerate(rules) if rule.mask is not None}
    asked = [pl.len().alias("rows")]
    for number in masks:
        broken = pl.col(_mask(number))
        first = pl.struct(schema.names()).filter(broken).head(SAMPLES)
        asked += [broken.sum().alias(f"broken {number}"), first.implode().alias(f"samples {number}")]
    # masks become columns first, because each is used twice and would be made twice
    marked = lazy.select(pl.all(), *(mask.alias(_mask(number)) for number, mask in masks.items()))
    try:
        found = marked.select(asked).collect().row(0, named=True)
    except pl.exceptions.ComputeError as error:
        raise _pattern_fault(error, checks) from error
    return [_result(rule, found, number) for number, rule in enumerate(rules)]


def _mask(number: int) -> str:
    return f"\0broken by {number}"


def split(rows: pl.DataFrame, checks: Sequence[Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (rows that keep all the checks, rows that break one, with the reasons in a further column).

    Checks that cannot be applied set no row aside; `measure` reports them.

    Example:
        >>> from oito.datasets.spec import not_null
        >>> kept, aside = split(pl.DataFrame({"origin": ["JFK", None]}), [not_null("origin")])
        >>> kept.height, aside["set_aside_because"].to_list()
        (1, ['origin is never missing'])
    """
    rules = [_rule(check, rows.schema) for check in checks]
    texts = [pl.when(rule.mask).then(pl.lit(rule.check.text)) for rule in rules if rule.mask is not None]
    if not texts:
        return rows, rows.clear().with_columns(pl.lit("").alias(REASON))
    reason = pl.concat_str(texts, separator="; ", ignore_nulls=True)
    marked = rows.with_columns(reason.alias(REASON))
    return marked.filter(pl.col(REASON) == "").drop(REASON), marked.filter(pl.col(REASON) != "")


def _rule(check: Check, schema: pl.Schema) -> _Rule:
    for name in check.columns:
        if name not in schema:
            hint = did_you_mean(name, schema)
            return _Rule(check, None, f"the column {name!r} is not there" + (f"; {hint}" if hint else ""))
    if check.rule == "row_count":
        return _Rule(check, None)
    mask = _MASKS[check.rule](check, schema)
    if isinstance(mask, str):
        return _Rule(check, None, mask)
    return _Rule(check, mask.fill_null(False))


def _result(rule: _Rule, found: Mapping[str, Any], number: int) -> Result:
    check, rows = rule.check, int(found["rows"])
    if check.rule == "row_count" and not rule.reason:
        low, high = check.low or 0, math.inf if check.high is None else check.high
        short = math.ceil(low) - rows if rows < low else rows - math.floor(high) if rows > high else 0
        return Result(check, rows, short, "passed" if not short else _broken(check))
    if rule.reason:
        state: State = "warned" if check.severity == "warn" else "failed"
        return Result(check, rows, rows, state, rule.reason)
    if not rows:
        return Result(check, 0, 0, "untested")
    broken = int(found[f"broken {number}"])
    samples = tuple(found[f"samples {number}"])
    return Result(check, rows, broken, _state(check, rows, broken), "", samples)


def _state(check: Check, rows: int, broken: int) -> State:
    is_kept = (rows - broken) / rows >= check.share  # a quotient of integers is the nearest float: exact at the edge
    if check.severity == "quarantine" and broken:
        return "quarantined" if is_kept or check.share == 1.0 else "failed"
    return "passed" if is_kept else _broken(check)


def _broken(check: Check) -> State:
    return "warned" if check.severity == "warn" else "failed"


def _missing(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    return column.is_null() | column.is_nan().fill_null(False) if dtype.is_float() else column.is_null()


def _not_null(check: Check, schema: pl.Schema) -> pl.Expr:
    return pl.any_horizontal([_missing(name, schema[name]) for name in check.columns])


def _unique(check: Check, schema: pl.Schema) -> pl.Expr | str:
    nested = [name for name in check.columns if schema[name].is_nested()]
    if nested:
        return f"{nested[0]} is {dtype_text(schema[nested[0]])}, which cannot be compared"
    names = list(check.columns)
    repeats = ~(pl.col(names[0]) if len(names) == 1 else pl.struct(names)).is_first_distinct()
    return repeats & ~_not_null(check, schema)


def _key(check: Check, schema: pl.Schema) -> pl.Expr | str:
    repeats = _unique(check, schema)
    return repeats if isinstance(repeats, str) else repeats | _not_null(check, schema)


def _between(check: Check, schema: pl.Schema) -> pl.Expr | str:
    (name,) = check.columns
    dtype = schema[name]
    if not dtype.is_numeric():
        return f"{name} is {dtype_text(dtype)}, no number"
    if dtype.is_integer():
        return _outside_integers(check, dtype)
    column = pl.col(name).cast(pl.Float64) if dtype.is_decimal() else pl.col(name)
    kind = dtype if dtype.is_float() else pl.Float64()
    outside = [
        *([] if check.low is None else [column < pl.lit(check.low, dtype=kind)]),
        *([] if check.high is None else [column > pl.lit(check.high, dtype=kind)]),
    ]
    return pl.any_horizontal([pl.lit(False), *outside]) & ~_missing(name, dtype)


def _outside_integers(check: Check, dtype: pl.DataType) -> pl.Expr:
    """Compare integers with integers: floats would move the bounds beyond 2**53."""
    column = pl.col(check.columns[0])
    least, most = _range(dtype)
    low = -math.inf if check.low is None else check.low if math.isinf(check.low) else math.ceil(check.low)
    high = math.inf if check.high is None else check.high if math.isinf(check.high) else math.floor(check.high)
    if low > most or high < least:
        return column.is_not_null()
    outside = pl.lit(False)
    if low > least:
        outside = outside | (column < pl.lit(int(low), dtype=dtype))
    if high < most:
        outside = outside | (column > pl.lit(int(high), dtype=dtype))
    return outside


def _range(dtype: pl.DataType) -> tuple[int, int]:
    """Return the least and the greatest value of an integer type."""
    bits = int(re.sub(r"\D", "", str(dtype)))
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.is_signed_integer() else (0, 2**bits - 1)


def _one_of(check: Check, schema: pl.Schema) -> pl.Expr | str:
    (name,) = check.columns
    dtype = schema[name]
    column = pl.col(name)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        column, dtype = column.cast(pl.String), pl.String()
    values = _of_type(check.values, dtype)
    if not values:
        return f"{name} is {dtype_text(dtype)}, and none of the values is"
    return ~column.is_in(values) & ~_missing(name, dtype)


def _of_type(values: Sequence[Any], dtype: pl.DataType) -> list[Any]:
    """Return the values that a column of that type can hold."""
    if isinstance(dtype, pl.String):
        return [value for value in values if isinstance(value, str)]
    if isinstance(dtype, pl.Boolean):
        return [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if dtype.is_integer():
        least, most = _range(dtype)
        whole = [int(value) for value in numbers if isinstance(value, int) or value.is_integer()]
        return [value for value in whole if least <= value <= most]
    return [float(value) for value in numbers] if dtype.is_float() else []


def _matches(check: Check, schema: pl.Schema) -> pl.Expr | str:
    (name,) = check.columns
    if not isinstance(schema[name], pl.String | pl.Categorical | pl.Enum):
        return f"{name} is {dtype_text(schema[name])}, no text"
    return ~pl.col(name).cast(pl.String).str.contains(check.pattern)


_MASKS = {
    "not_null": _not_null,
    "key": _key,
    "unique": _unique,
    "between": _between,
    "one_of": _one_of,
    "matches": _matches,
}


def _pattern_fault(error: Exception, checks: Sequence[Check]) -> Exception:
    """Return a DeclarationError when a pattern is to blame; what a lazy frame's own query raised stays what it is."""
    for check in checks:
        if check.rule == "matches":
            try:
                pl.select(pl.lit("").str.contains(check.pattern))
            except pl.exceptions.ComputeError:
                text = " ".join(str(error).split())
                return DeclarationError(
                    f"the pattern {check.pattern!r} of a check is no regular expression",
                    known=text[:300],
                    next="patterns are those of Rust's regex: no look-around, no back-references",
                )
    return error
