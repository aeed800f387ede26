"""What a column looked like when the model was accepted: counts in bins that its own values fixed. Judging a change is drift's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.errors import DataError

BINS = 50  # quantile bins that are stored
COARSE_BINS = 10  # of them together, for effect sizes: fifty bins measure noise before they measure drift
FEW_DISTINCT = 20  # numbers with at most so many values are counted by value, as ties make rank tests blunt

Kind = Literal["number", "value", "category"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How many rows fell into each bin, had no value, or had one that the reference never showed; counts add up."""

    seen: tuple[int, ...]
    missing: int
    unseen: int

    @property
    def rows(self) -> int:
        return sum(self.seen) + self.missing + self.unseen

    @property
    def missing_share(self) -> float:
        return self.missing / self.rows if self.rows else 0.0

    @property
    def unseen_share(self) -> float:
        return self.unseen / self.rows if self.rows else 0.0

    def __add__(self, other: Counts) -> Counts:
        seen = tuple(a + b for a, b in zip(self.seen, other.seen, strict=True))
        return Counts(seen, self.missing + other.missing, self.unseen + other.unseen)


@dataclass(frozen=True)
class Column:
    """The frozen bins of one column and the reference's own counts in them, some hundred bytes as data.

    A `number` is counted between `edges` (quantiles of the reference, ties collapsed), a `value` or `category` by each of
    `values`. `single` is how many values occurred once only: the share of rows that may be new without any change.
    """

    name: str
    kind: Kind
    edges: tuple[float, ...]
    values: tuple[float | str, ...]
    counts: Counts
    single: int
    low: float | None
    high: float | None

    def count(self, series: pl.Series) -> Counts:
        """Return the counts of other rows of this column; those of two halves add up to those of the whole."""
        if self.kind == "number":
            known, missing = numbers(series)
            places = np.searchsorted(np.asarray(self.edges), known, side="right")
            return Counts(tuple(np.bincount(places, minlength=len(self.edges) + 1).tolist()), missing, 0)
        return self._by_value(occurring(series))

    def count_numbers(self, known: Floats, *, missing: int) -> Counts:
        """Return the counts of known values in ascending order, as `in_order` gives them."""
        if self.kind == "number":
            ends = np.searchsorted(known, np.asarray(self.edges), side="left")
            return Counts(tuple(np.diff([0, *ends.tolist(), len(known)]).tolist()), missing, 0)
        wanted = np.asarray(self.values, dtype=np.float64)
        seen = np.searchsorted(known, wanted, side="right") - np.searchsorted(known, wanted, side="left")
        return Counts(tuple(seen.tolist()), missing, len(known) - int(seen.sum()))

    def _by_value(self, found: Mapping[float | str | None, int]) -> Counts:
        seen = tuple(found.get(value, 0) for value in self.values)
        missing = found.get(None, 0)
        return Counts(seen, missing, sum(found.values()) - missing - sum(seen))

    @property
    def groups(self) -> Ints:
        """The coarse bin of each stored bin, about equal in reference rows."""
        seen = np.asarray(self.counts.seen, dtype=np.float64)
        if self.kind != "number":
            return np.arange(len(seen))
        middle = (seen.cumsum() - seen / 2) / max(seen.sum(), 1)
        _, group = np.unique((middle * COARSE_BINS).astype(np.int64), return_inverse=True)
        return group.astype(np.int64)

    def coarse(self, counts: Counts) -> Ints:
        """Return counts in coarse bins, then the missing, then the never seen."""
        groups = self.groups
        seen = np.bincount(groups, weights=np.asarray(counts.seen), minlength=int(groups.max(initial=-1)) + 1)
        return np.array([*seen.tolist(), counts.missing, counts.unseen], dtype=np.int64)

    def data(self) -> dict[str, Any]:
        """Return plain JSON data; `from_data` reads it."""
        counts = {"seen": list(self.counts.seen), "missing": self.counts.missing, "unseen": self.counts.unseen}
        return {**vars(self), "edges": list(self.edges), "values": list(self.values), "counts": counts}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Column:
        counts = data["counts"]
        made = Counts(tuple(counts["seen"]), counts["missing"], counts["unseen"])
        return cls(**{**data, "edges": tuple(data["edges"]), "values": tuple(data["values"]), "counts": made})


def fit(series: pl.Series) -> Column:
    """Return the bins of a reference column: 50 quantile bins for numbers, one for each value of texts and of few numbers.

    Raises:
        DataError: the column holds neither numbers, booleans nor texts.

    Example:
        >>> column = fit(pl.Series("speed", range(1000)))
        >>> len(column.edges), column.count(pl.Series([1.0, None, 2000.0])).missing
        (49, 1)
    """
    if not is_number(series):
        return _by_value(series, "category")
    known, missing = in_order(series)
    return fit_numbers(series.name, known, missing=missing)


def fit_numbers(name: str, known: Floats, *, missing: int) -> Column:
    """Return the bins of known values in ascending order, as `in_order` gives them."""
    low, high = (float(known[0]), float(known[-1])) if len(known) else (None, None)
    starts = np.flatnonzero(np.concatenate([[True], known[1:] != known[:-1]])) if len(known) else np.empty(0, np.int64)
    if len(starts) <= FEW_DISTINCT:
        seen = np.diff(starts, append=len(known)).tolist()
        values = tuple(known[starts].tolist())
        return Column(name, "value", (), values, Counts(tuple(seen), missing, 0), seen.count(1), low, high)
    places = np.arange(1, BINS) / BINS * (len(known) - 1)
    below = places.astype(np.int64)
    edges = np.unique(known[below] + (places - below) * (known[below + 1] - known[below]))
    edges = edges[edges > known[0]]  # a bin below the smallest value would always be empty
    empty = Column(name, "number", tuple(edges.tolist()), (), Counts((), 0, 0), 0, low, high)
    return Column(**{**vars(empty), "counts": empty.count_numbers(known, missing=missing)})


def in_order(series: pl.Series) -> tuple[Floats, int]:
    """Return the values that are there in ascending order, and how many are missing."""
    known, missing = numbers(series)
    return np.sort(known), missing


def numbers(series: pl.Series) -> tuple[Floats, int]:
    """Return the values that are there as float64, unordered, and how many are missing (null, NaN or infinite)."""
    floats: Floats = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    is_there = np.isfinite(floats)
    known = floats if is_there.all() else floats[is_there]
    return known, len(floats) - len(known)


def is_number(series: pl.Series) -> bool:
    """Return whether a column is judged as numbers (booleans are); texts are categories."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        return True
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return False
    raise DataError(
        f"the column {series.name!r} is {dtype}, which no monitor compares",
        known="numbers, booleans and texts are compared",
    )


def occurring(series: pl.Series) -> dict[float | str | None, int]:
    """Return value → rows; missing values are None."""
    if is_number(series):
        plain = series.cast(pl.Float64)
        plain = plain.to_frame("v").select(pl.when(pl.col("v").is_finite()).then(pl.col("v"))).to_series()
    else:
        plain = series.cast(pl.String)
    found = plain.rename("v").value_counts(name="n")
    return dict(zip(found["v"].to_list(), found["n"].to_list(), strict=True))


def _by_value(series: pl.Series, kind: Kind) -> Column:
    found = occurring(series)
    values = tuple(sorted(str(value) for value in found if value is not None))
    seen = tuple(found[value] for value in values)
    return Column(series.name, kind, (), values, Counts(seen, found.get(None, 0), 0), seen.count(1), None, None)
