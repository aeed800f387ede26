"""Whether columns changed between a reference and now: tests, effect sizes and one false-alarm budget. What is wrong is named in causes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy.spatial.distance import jensenshannon
from scipy.special import chdtrc, gammaln, kv
from scipy.stats import fisher_exact

from oito.monitors import causes
from oito.monitors.reference import Column, Counts, Floats, Ints, fit, fit_numbers, in_order, is_number

MIN_EFFECT = 0.02  # PSI of a shift by 0.14 standard deviations
EXPECTED = 5.0  # rows that chi-square needs in a cell


@dataclass(frozen=True)
class Sizes:
    """Effect sizes of numbers: `t` is Cramér-von Mises' statistic, `ks` in 0..1, `w1` in the column's own unit."""

    t: float
    ks: float
    w1: float


@dataclass(frozen=True)
class ColumnDrift:
    """What became of one column: `p_value` before, `p_adjusted` after counting how many columns were looked at.

    `threshold` is what PSI had to reach; `cause` is one of the words of `causes`, "" when nothing changed.
    """

    column: str
    kind: str
    rows: int
    p_value: float
    p_adjusted: float
    psi: float
    threshold: float
    js: float
    ks: float | None
    w1: float | None
    missing: float
    missing_reference: float
    unseen: float
    is_drifted: bool
    cause: str
    text: str

    def data(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    *,
    false_alarms: float = 0.02,
    min_effect: float | Mapping[str, float] = MIN_EFFECT,
) -> list[ColumnDrift]:
    """Return the drift of every column of the reference, those of the lowest p first.

    A column drifted when Benjamini and Hochberg reject it at the level `false_alarms` and its PSI reaches `min_effect`. As
    long as nothing changed, the chance that any column is found is at most `false_alarms`, however many rows and columns.
    Rows count as independent.

    Args:
        reference, current: numbers, booleans and texts; null and NaN are missing. A column that `current` lacks is all
            missing.
        false_alarms: the budget per comparison; min_effect: least PSI that matters, for all or by column.

    Example:
        >>> before = pl.DataFrame({"km": [float(n % 97) for n in range(2000)]})
        >>> [found] = compare(before, before.select(pl.col("km") * 1000))
        >>> found.is_drifted, found.cause
        (True, 'unit')

    Source: Benjamini and Hochberg (1995) over the columns' p-values; each of those is Bonferroni's over its parts.
    """
    found = [
        _column(series, _given(current, series), _effect(min_effect, series.name)) for series in reference.get_columns()
    ]
    adjusted = benjamini_hochberg([each.p_value for each in found]).tolist()
    judged = [
        replace(each, p_adjusted=p, is_drifted=p <= false_alarms and each.psi >= each.threshold)
        for each, p in zip(found, adjusted, strict=True)
    ]
    named = [
        _named(each, reference[each.column], _given(current, reference[each.column])) if each.is_drifted else each
        for each in judged
    ]
    return sorted(named, key=lambda each: (each.p_value, -each.psi, each.column))


def _given(current: pl.DataFrame, reference: pl.Series) -> pl.Series:
    if reference.name in current.columns:
        return current[reference.name]
    return pl.Series(reference.name, [None] * current.height, dtype=reference.dtype)


def _effect(min_effect: float | Mapping[str, float], name: str) -> float:
    return min_effect if isinstance(min_effect, int | float) else min_effect.get(name, MIN_EFFECT)


def _column(reference: pl.Series, current: pl.Series, threshold: float) -> ColumnDrift:
    before = now = np.empty(0)
    if is_number(reference):
        (before, gone_before), (now, gone) = in_order(reference), in_order(current)
        column = fit_numbers(reference.name, before, missing=gone_before)
        counts = column.count_numbers(now, missing=gone)
    else:
        column = fit(reference)
        counts = column.count(current)
    sizes: Sizes | None = None
    if column.kind == "number":
        sizes = distances(before, now)
        p_values = [cramer_von_mises_p(sizes.t, len(before), len(now))]
    else:
        p_values = [homogeneity_p(np.array(column.counts.seen), np.array(counts.seen), unseen=counts.unseen)]
    p_values += _flag_p_values(column, counts)
    old, new = column.coarse(column.counts), column.coarse(counts)
    return ColumnDrift(
        column=reference.name, kind=column.kind, rows=counts.rows,
        p_value=min(1.0, len(p_values) * min(p_values)), p_adjusted=1.0,
        psi=population_stability(old, new), threshold=threshold, js=jensen_shannon(old, new),
        ks=sizes.ks if sizes else None, w1=sizes.w1 if sizes else None,
        missing=counts.missing_share, missing_reference=column.counts.missing_share, unseen=counts.unseen_share,
        is_drifted=False, cause="", text="",
    )  # fmt: skip


def _named(found: ColumnDrift, reference: pl.Series, current: pl.Series) -> ColumnDrift:
    cause = causes.name(reference, current)
    return replace(found, cause=cause.word, text=cause.text)


def _flag_p_values(column: Column, counts: Counts) -> list[float]:
    """Return the p-values of missing and of never seen values, each only where there is something to compare."""
    before = column.counts
    found = []
    if before.missing or counts.missing:
        found.append(_share_p(before.missing, before.rows, counts.missing, counts.rows))
    if counts.unseen:
        # Good and Turing: a reference row with a value of its own would have been "never seen" to the other rows
        table = [[counts.unseen, counts.rows - counts.unseen], [column.single, before.rows - column.single]]
        found.append(float(fisher_exact(table, alternative="greater").pvalue))
    return found


def _share_p(before: int, rows_before: int, now: int, rows_now: int) -> float:
    table = np.array([[before, rows_before - before], [now, rows_now - now]])
    if _expected(table).min(initial=np.inf) >= EXPECTED:
        return _chi_square_p(table)
    return float(fisher_exact(table).pvalue)


def distances(before: Floats, now: Floats) -> Sizes:
    """Return Cramér-von Mises' statistic, Kolmogorov and Smirnov's and Wasserstein's distance of two sorted samples.

    One merge serves all three.

    Args:
        before, now: float64 [rows], ascending, finite. An empty side gives zeros.

    Source: Anderson (1962). With ties we return the mean over all orders of equal values, which keeps the statistic's mean
    where it belongs. SciPy puts midranks into the formula for untied ranks instead; with samples of unequal size that
    rejects every column with ties.
    """
    n, m = len(before), len(now)
    if not n or not m:
        return Sizes(0.0, 0.0, 0.0)
    pooled = np.sort(np.concatenate([before, now]), kind="stable")  # merges two runs
    points = pooled[np.flatnonzero(np.concatenate([pooled[1:] != pooled[:-1], [True]]))]
    upto_n, upto_m = (np.searchsorted(side, points, side="right") for side in (before, now))
    gaps = upto_n / n - upto_m / m
    of_n, of_m = np.diff(upto_n, prepend=0), np.diff(upto_m, prepend=0)
    u = _squared_gaps(gaps, of_n, of_m, rows=(n, m))
    return Sizes(u * n * m / (n + m) ** 2, float(np.abs(gaps).max()), float(np.abs(gaps[:-1]) @ np.diff(points)))


def _squared_gaps(gaps: Floats, of_n: Ints, of_m: Ints, *, rows: tuple[int, int]) -> float:
    """Return the expected sum over pooled rows of (gap between the two distribution functions there), squared.

    Within a run of `t` equal values the gap walks from its start to its end as cards drawn without replacement do: its mean
    is the straight line, its variance hypergeometric.
    """
    n, m = rows
    t = of_n + of_m
    start = np.concatenate([[0.0], gaps[:-1]])
    step = (gaps - start) / t
    line = t * start**2 + start * step * t * (t + 1) + step**2 * t * (t + 1) * (2 * t + 1) / 6
    spread = (1 / n + 1 / m) ** 2 * of_n * of_m * (t + 1) / (6 * t)
    return float((line + spread).sum())


def cramer_von_mises_p(t: float, n: int, m: int) -> float:
    """Return the chance of a statistic of at least `t` when both samples come from one distribution.

    Source: Anderson (1962) for mean and variance, Anderson and Darling (1952) for the limit that it is scaled to. Fits
    `scipy.stats.cramervonmises_2samp(method="asymptotic")`; tails below 1e-15 are 0.
    """
    if not n or not m:
        return 1.0
    total = n + m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4.0 * m * n * total - 3.0 * (m * m + n * n) - 2.0 * m * n) / (45.0 * total**2 * 4 * m * n)
    if variance <= 0:
        return 1.0
    scaled = 1 / 6 + (t - mean) / math.sqrt(45 * variance)
    return 1.0 if scaled < 0.003 else min(1.0, max(0.0, 1.0 - _limit(scaled)))


def _limit(x: float) -> float:
    total = 0.0
    for k in range(100):
        y = 4 * k + 1
        q = y * y / (16 * x)
        scale = math.exp(gammaln(k + 0.5) - gammaln(k + 1)) / (math.pi**1.5 * math.sqrt(x))
        term = scale * math.sqrt(y) * math.exp(-q) * float(kv(0.25, q))
        total += term
        if abs(term) < 1e-17:
            break
    return total


def homogeneity_p(before: Ints, now: Ints, *, unseen: int = 0) -> float:
    """Return the chi-square p-value that two rows of counts come from one distribution.

    Bins that expect fewer than 5 rows on a side are put together first, because the limit does not hold for them. Rows
    of `now` in values that `before` never showed join these: left out, they would make all rare values look rarer now.

    Example:
        >>> round(homogeneity_p(np.array([50, 50]), np.array([60, 40])), 4)
        0.1552
    """
    seen = np.array([before, now])
    seen = seen[:, np.argsort(seen.sum(axis=0), kind="stable")]
    if not seen.sum(axis=1).all():
        return 1.0
    is_rare = _expected(seen).min(axis=0) < EXPECTED
    rare, table = np.array([0, unseen]) + seen[:, is_rare].sum(axis=1), seen[:, ~is_rare]
    if rare.any():
        table = np.column_stack([rare, table])
        if table.shape[1] > 2 and _expected(table)[:, 0].min() < EXPECTED:
            table = np.column_stack([table[:, :2].sum(axis=1), table[:, 2:]])
    if table.shape[1] < 2:
        return 1.0
    is_small = table.shape[1] == 2 and _expected(table).min() < EXPECTED
    return float(fisher_exact(table).pvalue) if is_small else _chi_square_p(table)


def _expected(table: Ints) -> Floats:
    return np.asarray(table.sum(axis=1, keepdims=True) * (table.sum(axis=0) / table.sum()), dtype=np.float64)


def _chi_square_p(table: Ints) -> float:
    expected = _expected(table)
    statistic = ((table - expected) ** 2 / expected).sum()
    return float(chdtrc(table.shape[1] - 1, statistic))


def population_stability(before: Ints, now: Ints) -> float:
    """Return PSI in nats of counts in the same bins, 0 = same.

    Source: Siddiqi, Credit Risk Scorecards (2006). We differ: each bin counts half a row more (Jeffreys), so the logarithm
    exists without an arbitrary floor; bins that are empty on both sides are none.

    Example:
        >>> population_stability(np.array([10, 10]), np.array([20, 20]))
        0.0
    """
    is_used = before + now > 0
    if not before.sum() or not now.sum():
        return 0.0
    p, q = ((side[is_used] + 0.5) / (side.sum() + 0.5 * is_used.sum()) for side in (before, now))
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(before: Ints, now: Ints) -> float:
    """Return Jensen and Shannon's distance of counts in the same bins, base 2, so 0..1. Source: Lin (1991)."""
    if not before.sum() or not now.sum():
        return 0.0
    distance = float(jensenshannon(before, now, base=2))
    return 0.0 if math.isnan(distance) else distance  # rounding below zero of equal counts


def benjamini_hochberg(p_values: Sequence[float]) -> Floats:
    """Return p-values adjusted so that among those <= q the expected share of false ones is <= q.

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.02]).tolist()
        [0.03, 0.04, 0.03]

    Source: Benjamini and Hochberg (1995).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1)))
    return adjusted


def natural_effects(windows: Sequence[pl.DataFrame], *, least: float = MIN_EFFECT) -> dict[str, float]:
    """Return the PSI that each column must reach, because the reference's own windows differ as much from one another.

    Neighbouring rows are alike in most streams, which tests for independent rows take for drift; so the most that a window
    of the reference differs from the others, beyond what its few rows explain, is the floor, and never less than `least`.

    Args:
        windows: the reference cut by time into pieces as long as what it is compared with; fewer than 3 tell nothing.

    Source: Yurdakul (2018) for PSI's mean without a change, (bins - 1)(1/n + 1/m).
    """
    if len(windows) < 3:
        return {}
    floors = {}
    for series in pl.concat(windows).get_columns():
        column = fit(series)
        pieces = [column.coarse(column.count(window[series.name])) for window in windows]
        total = np.sum(pieces, axis=0)
        floors[series.name] = max(least, *(_excess(total - piece, piece) for piece in pieces))
    return floors


def _excess(before: Ints, now: Ints) -> float:
    n, m, bins = int(before.sum()), int(now.sum()), int(((before + now) > 0).sum())
    return population_stability(before, now) - (bins - 1) * (1 / n + 1 / m) if n and m else 0.0
