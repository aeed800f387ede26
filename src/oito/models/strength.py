"""How much one column alone tells about the truth, on rows held out. What that means for a design is the linter's work."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 64  # of a number; enough for R² > .999 of a smooth relation
MAX_LEVELS = 1000
MIN_GROUPS = 30


def truth_matrix(target: pl.Series) -> Floats:
    """Return one column per class but the first (0 or 1), or the numbers themselves, shape [rows, columns].

    A target of more than 20 distinct numbers is a number, everything else a class.
    """
    if target.dtype.is_numeric() and target.n_unique() > 20:
        return target.cast(pl.Float64).to_numpy().reshape(-1, 1)
    classes = target.unique().sort().to_list()[:20]
    return np.column_stack([(target == each).to_numpy().astype(np.float64) for each in classes[1:]])


def strength(values: pl.Series, truth: Floats) -> float:
    """Return what means by bin predict on rows held out: AUC for classes (the mean over them), R² for numbers.

    Two halves of rows, each predicted by the means of the other, so that a column with many values gains nothing by it.
    """
    codes = _codes(values)
    fitted = np.column_stack([out_of_fold(codes, column) for column in truth.T])
    is_class = bool(np.isin(truth, (0.0, 1.0)).all())
    scores = [(_auc if is_class else _r2)(column, guess) for column, guess in zip(truth.T, fitted.T, strict=True)]
    return float(np.mean(scores))


def out_of_fold(codes: NDArray[np.int64], truth: Floats) -> Floats:
    """Return for each row the mean truth of its code in the other half of the rows, the overall mean if it has none."""
    half = np.random.default_rng(0).permutation(len(truth)) % 2
    out, size = np.empty(len(truth)), int(codes.max()) + 1
    for side in (0, 1):
        learn = half != side
        middle = float(truth[learn].mean())
        counts = np.bincount(codes[learn], minlength=size)
        sums = np.bincount(codes[learn], weights=truth[learn], minlength=size)
        # One row's worth of the mean keeps rare codes from being certain.
        out[half == side] = ((sums + middle) / (counts + 1))[codes[half == side]]
    return out


def knows_the_noise(values: pl.Series, truth: Floats, stamps: pl.Series) -> float | None:
    """Return what share of the labels' chance is left once `values` is known, when that is far too little, else None.

    Rows with the same value and stamp form a group. A feature known beforehand may tell a group's expected truth, but not
    how its labels then fell: the group's mean keeps at least the variance of a mean of n draws. A feature made from those
    very labels explains that too. So: squared gaps between group means and a straight line through them, over the
    variance within groups; about 1 or more when honest, near 0 for the mean of the day's labels.

    Source: our own use of the between-group over within-group mean square (Fisher's F).
    """
    if not values.dtype.is_numeric() and values.dtype != pl.Boolean:
        return None
    frame = pl.DataFrame({"x": values.cast(pl.Float64), "y": truth[:, 0], "at": stamps}).drop_nulls()
    groups = (
        frame.group_by("x", "at")
        .agg(n=pl.len(), mean=pl.col("y").mean(), var=pl.col("y").var())
        .filter(pl.col("n") > 1)
    )
    if groups.height < MIN_GROUPS or groups["x"].n_unique() < MIN_GROUPS:
        return None
    n, x, mean, var = (groups[name].cast(pl.Float64).to_numpy() for name in ("n", "x", "mean", "var"))
    within = float((var * (n - 1)).sum() / (n - 1).sum())
    if within <= 0:
        return None
    slope, middle = np.polyfit(x - x.mean(), mean, 1, w=np.sqrt(n))
    gaps = n * (mean - middle - slope * (x - x.mean())) ** 2
    ratio = float(gaps.sum()) / within / (groups.height - 2)
    # Under chance the ratio is F with (groups - 2) degrees of freedom; six standard deviations below 1 is no accident.
    return ratio if ratio < 1 - 6 * math.sqrt(2 / (groups.height - 2)) and ratio < 0.7 else None


def _codes(values: pl.Series) -> NDArray[np.int64]:
    """Return the bin of each value from 1 on, 0 for missing."""
    if values.dtype.is_numeric() and values.n_unique() > BINS:
        numbers = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
        edges = np.unique(np.quantile(numbers[np.isfinite(numbers)], np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.where(np.isfinite(numbers), np.searchsorted(edges, numbers) + 1, 0)
    ranks: NDArray[np.int64] = values.rank("dense").fill_null(0).clip(0, MAX_LEVELS).cast(pl.Int64).to_numpy()
    return ranks


def _auc(truth: Floats, guess: Floats) -> float:
    ups = truth == 1
    pairs = int(ups.sum()) * int((~ups).sum())
    if not pairs:
        return 0.5
    ranks = pl.Series(guess).rank("average").to_numpy()
    return float((ranks[ups].sum() - ups.sum() * (ups.sum() + 1) / 2) / pairs)


def _r2(truth: Floats, guess: Floats) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1 - float(((truth - guess) ** 2).sum()) / spread if spread else 0.0
