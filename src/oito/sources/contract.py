"""The contract of a source: what its columns were holds for what comes, and rows that do not fit are set aside, never lost."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from oito.errors import ContractBroken
from oito.sources.spec import Contract
from oito.storage.contents import dtype_text

REASON = "set_aside_because"


def hold(
    rows: pl.DataFrame, schema: Sequence[tuple[str, str]] | None, contract: Contract, *, place: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (rows that fit the schema, rows that do not, with the reason of each).

    Args:
        schema: (column, dtype text) of the version before; None when there is none, and everything fits.

    Raises:
        ContractBroken: under `freeze`, any difference; under the others, a column that is gone.

    Example:
        >>> new = pl.DataFrame({"n": ["1", "many"]})
        >>> fits, aside = hold(new, [("n", "Int64")], "evolve", place="project.py:1")
        >>> fits["n"].to_list(), aside["set_aside_because"].to_list()
        ([1], ["n is 'many', no Int64"])
    """
    if schema is None:
        return rows, rows.clear()
    old = dict(schema)
    gone = [name for name in old if name not in rows.columns]
    changed = [name for name in old if name in rows.columns and dtype_text(rows.schema[name]) != old[name]]
    new = [name for name in rows.columns if name not in old]
    if gone and rows.height:
        raise ContractBroken(
            f"the column {gone[0]!r} is gone",
            where=place,
            known=f"it was {old[gone[0]]}",
            next="give the column, or rename it in the source",
        )
    if contract == "freeze" and (changed or new):
        name = (changed or new)[0]
        raise ContractBroken(
            f"the column {name!r} is {rows.schema[name]}", where=place, known=f"it was {old.get(name, 'absent')}; the contract is frozen",
            next='mend the source, or declare contract="evolve"',
        )  # fmt: skip
    if contract == "quarantine":
        rows = rows.drop(new)
    widened = [name for name in changed if _widens(old[name], rows.schema[name])]
    return _cast(rows, {name: old[name] for name in changed if name not in widened})


def _widens(old: str, new: pl.DataType) -> bool:
    """Say whether the new type holds everything the old one did."""
    before = _dtype(old)
    return before.is_integer() and (new.is_float() or new.is_integer()) and dtype_text(new) != "Null"


def _cast(rows: pl.DataFrame, wanted: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    reasons = pl.lit("")
    casts = []
    for name, dtype in wanted.items():
        cast = pl.col(name).cast(_dtype(dtype), strict=False)
        casts.append(cast)
        is_lost = cast.is_null() & pl.col(name).is_not_null()
        text = pl.format("{} is '{}', no {}", pl.lit(name), pl.col(name).cast(pl.String), pl.lit(dtype))
        reasons = pl.when(is_lost & (reasons == "")).then(text).otherwise(reasons)
    marked = rows.with_columns(reasons.alias(REASON))
    fits = marked.filter(pl.col(REASON) == "").drop(REASON).with_columns(casts)
    return fits, marked.filter(pl.col(REASON) != "")


def _dtype(text: str) -> pl.DataType:
    if text.startswith("Datetime"):
        return pl.Datetime("us", "UTC")
    found: type[pl.DataType] = getattr(pl, text.split("(")[0], pl.String)
    return found()
