"""What checks cost: ten of them on 2M x 8 rows, beside the same ten written by hand in plain Polars."""

import time
from collections.abc import Callable

import numpy as np
import polars as pl
from table import report

from oito.datasets.checks import measure
from oito.datasets.spec import Check, between, matches, not_null, one_of, row_count, unique

_ROWS = 2_000_000
_TIMES = 5
CHECKS: list[Check] = [
    not_null("id", "origin"), not_null("fare"), between("distance", 0, 6000), between("fare", 0, 1000),
    between("share", 0, 1), one_of("origin", ["JFK", "EWR", "LGA"]), matches("tail", r"^N\d{5}$"), unique("id"),
    row_count(1), between("seats", 1, 853),
]  # fmt: skip


def rows() -> pl.DataFrame:
    """Return 2M rows of eight columns that keep all the checks."""
    source = np.random.default_rng(8)
    return pl.DataFrame(
        {
            "id": np.arange(_ROWS),
            "distance": source.integers(80, 5000, _ROWS),
            "fare": source.random(_ROWS) * 900,
            "share": source.random(_ROWS),
            "seats": source.integers(2, 400, _ROWS),
            "origin": np.array(["JFK", "EWR", "LGA"])[source.integers(0, 3, _ROWS)],
            "tail": [f"N{n:05d}" for n in source.integers(0, 100_000, _ROWS)],
            "is_late": source.random(_ROWS) > 0.8,
        }
    )


def by_hand(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the same ten counts from one select, as a careful person would write it."""
    fare, share = pl.col("fare"), pl.col("share")
    return (
        frame.lazy()
        .select(
            pl.len().alias("rows"),
            (pl.col("id").is_null() | pl.col("origin").is_null()).sum().alias("a"),
            (fare.is_null() | fare.is_nan()).sum().alias("b"),
            (~pl.col("distance").is_between(0, 6000)).sum().alias("c"),
            (~fare.is_between(0, 1000) & fare.is_not_nan()).sum().alias("d"),
            (~share.is_between(0, 1) & share.is_not_nan()).sum().alias("e"),
            (~pl.col("origin").is_in(["JFK", "EWR", "LGA"])).sum().alias("f"),
            (~pl.col("tail").str.contains(r"^N\d{5}$")).sum().alias("g"),
            (~pl.col("id").is_first_distinct()).sum().alias("h"),
            (~pl.col("seats").is_between(1, 853)).sum().alias("i"),
        )
        .collect()
    )


def main() -> None:
    """Print the time of both, interleaved, best of five; and the same on frames with broken rows."""
    frame = rows()
    broken = frame.with_columns(pl.when(pl.col("id") % 1000 == 7).then(-1).otherwise("distance").alias("distance"))
    for name, each in (("all kept", frame), ("0.1 % broken", broken)):
        ours, floor = _best(lambda each=each: measure(each.lazy(), CHECKS), lambda each=each: by_hand(each))  # type: ignore[misc]  # mypy infers no lambda with a default
        report(f"10 checks of {_ROWS / 1e6:.0f}M rows x 8, {name}", ours, "plain Polars", floor, unit="s")


def _best(*works: Callable[[], object]) -> list[float]:
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(_TIMES):
        for work, times in zip(works, spent, strict=True):
            begun = time.perf_counter()
            work()
            times.append(time.perf_counter() - begun)
    return [min(times) for times in spent]


if __name__ == "__main__":
    main()
