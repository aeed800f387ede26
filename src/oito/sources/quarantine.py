"""The quarantine of a source: rows set aside so far, as texts, each once. Why a row is set aside is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from oito.sources.contract import REASON, as_text

AT = "set_aside_at"


def merged(
    before: pl.DataFrame | None, aside: pl.DataFrame, kept: pl.DataFrame, *, key: Sequence[str], now: datetime
) -> tuple[pl.DataFrame, int]:
    """Return the rows that are set aside from now on, and how many of them are new.

    Every column but `set_aside_at` is text, because what is set aside fits no type. A row whose key has come in sound
    since then is out again; a row that is set aside again is the same row.

    Example:
        >>> from oito.clock import moment
        >>> aside = pl.DataFrame({"id": [1], "n": ["many"], "set_aside_because": ["n is 'many', no Int64"]})
        >>> once, _ = merged(None, aside, pl.DataFrame({"id": [2]}), key=["id"], now=moment("2013-11-01"))
        >>> merged(once, aside, pl.DataFrame({"id": [2]}), key=["id"], now=moment("2013-11-02"))[1]
        0
        >>> merged(once, aside.clear(), pl.DataFrame({"id": [1]}), key=["id"], now=moment("2013-11-02"))[0].height
        0
    """
    fresh = _texts(aside).with_columns(pl.lit(now, dtype=pl.Datetime("us", "UTC")).alias(AT))
    old = fresh.clear() if before is None else before
    if key and old.height:
        old = old.join(_texts(kept.select(key)), on=list(key), how="anti", maintain_order="left")
    both = pl.concat([old, fresh], how="diagonal_relaxed")
    names = [name for name in both.columns if name not in (REASON, AT)]
    both = both.unique([*names, REASON], keep="first", maintain_order=True).select(*names, REASON, AT)
    return both, both.height - old.height


def _texts(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(as_text(name, dtype) for name, dtype in rows.schema.items())
