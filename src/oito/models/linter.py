"""The leak linter: looks in a training frame for features that could not have been known when the question was asked.

It reads the frame only. What a finding leads to (a warning, a refusal) is decided where a model is trained.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.errors import MissingColumn
from oito.models.strength import Floats, knows_the_noise, strength, truth_matrix
from oito.names import did_you_mean

Severity = Literal["error", "warning"]

NEARLY_PERFECT = 0.99  # out-of-fold AUC or R² of one column alone
SURPRISE = 1e-6  # how improbable a pattern must be under chance before it is reported
HONEST_PURITY = 0.9  # of one class among the rows that an honest but strong column has filled
MIN_ROWS = 50  # with fewer, nothing can be said


@dataclass(frozen=True)
class Finding:
    """One trap: an error is a leak by construction, a warning is worth a look. `evidence` is plain data."""

    trap: str
    column: str
    severity: Severity
    text: str
    evidence: Mapping[str, Any]

    def data(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {**asdict(self), "evidence": dict(self.evidence)}


class View(NamedTuple):
    """A feature view of the frame: its name, its columns, and the column that holds the event time of the row joined."""

    name: str
    columns: Sequence[str]
    time: str


def lint(
    frame: pl.DataFrame,
    *,
    target: str,
    features: Sequence[str],
    event_time: str,
    known_at: str | None = None,
    views: Sequence[View | tuple[str, Sequence[str], str]] = (),
    parts: Mapping[str, NDArray[np.uint32]] | None = None,
) -> list[Finding]:
    """Return what looks like a leak in a training frame, errors first, in the order of the features.

    Args:
        frame: one row per label, with all columns named below; NaN and null are both missing.
        target: the truth; rows without it are used only to see which columns are empty there.
        event_time: when each question was asked; known_at: when its truth was known.
        views: where features came from, with the time of the event that was joined (null: nothing joined).
        parts: row numbers of a split, to look for equal rows on two sides; without it, for equal rows anywhere.

    Raises:
        MissingColumn: a named column is not in the frame.

    Example:
        >>> frame = pl.DataFrame({"y": [0, 1] * 50, "copy": ["no", "yes"] * 50, "at": range(100)})
        >>> [(each.trap, each.column) for each in lint(frame, target="y", features=["copy"], event_time="at")]
        [('target_copy', 'copy')]
    """
    asked = [View(*view) for view in views]
    named = [target, *features, event_time, *([known_at] if known_at else [])]
    _check_columns(frame, [*named, *(name for view in asked for name in (*view.columns, view.time))])
    clean = frame.with_columns(pl.selectors.float().fill_nan(None))
    labeled = clean.filter(pl.col(target).is_not_null())
    found = [*_times(labeled, event_time, known_at, asked), *_unlabeled(clean, target, features)]
    found += _unused(labeled, features, event_time)
    if labeled.height >= MIN_ROWS and labeled[target].n_unique() > 1:
        found += _columns(labeled, target, [name for name in features if name not in {each.column for each in found}])
        found += _stamped_at_day_start(labeled, target, event_time, asked)
        found += _same_instant(labeled, target, event_time, asked)
    found += _twins(clean, [*features, target], event_time, parts)
    return sorted(found, key=lambda each: each.severity != "error")


def _columns(frame: pl.DataFrame, target: str, features: Sequence[str]) -> Iterator[Finding]:
    truth = truth_matrix(frame[target])
    for name in features:
        if name == target or _is_copy(frame[name], frame[target]):
            text = f"{name} is the target {target}, or a copy of it under other names"
            yield Finding("target_copy", name, "error", text, {"rows": frame.height})
        elif found := _emptiness_tells(frame[name], frame[target], truth):
            yield found
        elif (score := strength(frame[name], truth)) > NEARLY_PERFECT:
            what = "R²" if truth.shape[1] == 1 and frame[target].dtype.is_float() else "AUC"
            text = f"{name} alone predicts {target} almost without an error ({what} {score:.4f} on rows held out)"
            yield Finding("nearly_perfect", name, "warning", text, {"score": score})


def _is_copy(values: pl.Series, target: pl.Series) -> bool:
    """Tell whether each value stands for one target and each target for one value, in all rows or all but a few empty."""
    pairs = pl.DataFrame({"a": values, "b": target}).drop_nulls()
    if pairs.height < 0.9 * len(target) or pairs["b"].n_unique() < 2:
        return False
    distinct = pairs.unique()
    if distinct.height != pairs["a"].n_unique() or distinct.height != pairs["b"].n_unique():
        return False
    if distinct.height < 0.5 * pairs.height:
        return True
    # Where nearly every value is unique, one-to-one means nothing; a copy then keeps or turns the order.
    if not (values.dtype.is_numeric() and target.dtype.is_numeric()):
        return values.dtype == target.dtype and bool((pairs["a"] == pairs["b"]).all())
    order = distinct.sort("a")["b"]
    return order.is_sorted() or order.is_sorted(descending=True)


def _emptiness_tells(values: pl.Series, target: pl.Series, truth: Floats) -> Finding | None:
    """Find a column that is filled (or empty) only where the label is one class: filled in afterwards."""
    filled = values.is_not_null()
    if filled.all() or not filled.any() or target.n_unique() > 20:
        return None
    for state, mask in (("filled", filled), ("empty", ~filled)):
        there = target.filter(mask)
        if there.n_unique() != 1 or len(there) < 20:
            continue
        base = float((target == there[0]).sum()) / len(target)
        if max(base, HONEST_PURITY) ** len(there) < SURPRISE:
            text = f"{values.name} is {state} only where {target.name} is {there[0]!r}: it seems to be known only afterwards"
            covered = len(there) / (base * len(target))
            evidence = {"rows": len(there), "share_of_class": base, "covered": covered, "state": state}
            # A column that is filled for few of the class may be honest and strong; one filled for nearly all is not.
            severity: Severity = "error" if covered > 0.9 else "warning"
            return Finding("known_afterwards", values.name, severity, text, evidence)
    score = strength(filled.cast(pl.Float64).alias(values.name), truth)
    if score > NEARLY_PERFECT:
        text = f"whether {values.name} is empty predicts {target.name} (score {score:.4f}): it seems to be known only afterwards"
        return Finding("known_afterwards", values.name, "error", text, {"score": score})
    return None


def _unlabeled(frame: pl.DataFrame, target: str, features: Sequence[str]) -> Iterator[Finding]:
    known = frame[target].is_not_null()
    waiting = int((~known).sum())
    for name in features:
        filled = frame[name].is_not_null()
        share = float((filled & known).sum()) / max(int(known.sum()), 1)
        if (
            name != target
            and share
            and not (filled & ~known).any()
            and (1 - share) ** waiting < SURPRISE
            and waiting >= 20
        ):
            text = f"{name} is filled only where {target} is already known: it seems to arrive with the truth"
            yield Finding("known_afterwards", name, "error", text, {"rows_waiting": waiting, "share_filled": share})


def _times(frame: pl.DataFrame, event_time: str, known_at: str | None, views: Sequence[View]) -> Iterator[Finding]:
    for view in views:
        times = frame.select(asked=event_time, seen=view.time, known=known_at or pl.lit(None)).drop_nulls("seen")
        after = times.filter(pl.col("seen") > pl.col("asked"))
        if not after.height:
            continue
        inside = after.filter(pl.col("seen") <= pl.col("known")).height
        where = f", {inside} of them inside the label's own window" if inside else ""
        text = f"{view.name} holds events from after the question in {after.height} of {times.height} rows{where}"
        trap = "window_overlap" if inside else "future_event"
        yield Finding(trap, view.name, "error", text, {"rows": after.height, "inside_label_window": inside})


def _same_instant(frame: pl.DataFrame, target: str, event_time: str, views: Sequence[View]) -> Iterator[Finding]:
    """Find views whose event at the very moment of the question tells more than older events: the label's own event."""
    for view in views:
        seen = frame[view.time].is_not_null()
        same = (frame[view.time] == frame[event_time]).fill_null(False)
        share = float(same.sum()) / max(int(seen.sum()), 1)
        if same.sum() < MIN_ROWS or share < 0.01:
            continue
        on_grid = _step(frame[view.time].drop_nulls()) >= timedelta(hours=1)
        if share > 0.9 and not on_grid:
            text = f"{view.name} holds an event of the same instant as the question in {share:.0%} of rows: is it the label's own?"
            yield Finding("same_instant", view.name, "warning", text, {"share": share})
            continue
        older = frame.filter(seen & ~same)
        at_once, before = (_best(part, target, view.columns) for part in (frame.filter(same), older))
        if at_once > 0.9 and at_once - before > 0.1:
            text = (
                f"{view.name} tells far more when its event is of the same instant as the question "
                f"(score {at_once:.3f} against {before:.3f}): it seems to be the label's own event"
            )
            evidence = {"share": share, "same_instant": at_once, "older": before}
            yield Finding("same_instant", view.name, "error", text, evidence)


def _stamped_at_day_start(
    frame: pl.DataFrame, target: str, event_time: str, views: Sequence[View]
) -> Iterator[Finding]:
    """Find aggregates of a day that carry its first moment: they know the luck of labels that fall inside that day."""
    truth = truth_matrix(frame[target])
    for view in views:
        both = frame.select(asked=event_time, seen=view.time)
        used = both.drop_nulls()
        if used.height < MIN_ROWS or not isinstance(used["seen"].dtype, pl.Datetime) or not _once_a_day(used["seen"]):
            continue
        age = used["asked"] - used["seen"]
        inside = float(((age > timedelta(0)) & (age < timedelta(days=1))).sum()) / used.height
        if inside < 0.2:
            continue
        same_day = (both["asked"] - both["seen"] < timedelta(days=1)).fill_null(False).to_numpy()
        for name in view.columns:
            ratio = knows_the_noise(
                frame[name].filter(pl.Series(same_day)), truth[same_day], frame[view.time].filter(pl.Series(same_day))
            )
            if ratio is None:
                continue
            text = (
                f"{name} carries the start of its day, and knows how labels inside that day turned out beyond chance "
                f"({ratio:.0%} of the expected noise is left): stamp it with the day's end"
            )
            yield Finding("day_aggregate", name, "error", text, {"noise_left": ratio, "share_inside": inside})


def _unused(frame: pl.DataFrame, features: Sequence[str], event_time: str) -> Iterator[Finding]:
    for name in features:
        values = frame[name]
        distinct = values.n_unique()
        if frame.height >= MIN_ROWS and distinct <= 1:
            text = f"{name} is {'empty' if values.null_count() else 'the same'} in all {frame.height} rows"
            yield Finding("constant", name, "warning", text, {"rows": frame.height})
        elif frame.height >= MIN_ROWS and _is_identifier(values, frame[event_time]):
            text = f"{name} is another value in nearly every row: it names rows and says nothing about the next ones"
            yield Finding("identifier", name, "warning", text, {"distinct": distinct, "rows": frame.height})


def _is_identifier(values: pl.Series, times: pl.Series) -> bool:
    exist = values.drop_nulls()
    if len(exist) < MIN_ROWS or exist.n_unique() < 0.95 * len(exist):
        return False
    if exist.dtype in (pl.String, pl.Categorical, pl.Enum):
        return True
    if not exist.dtype.is_integer() or exist.n_unique() < len(exist):
        return False
    low, high = int(exist.min() or 0), int(exist.max() or 0)  # type: ignore[arg-type]  # of integers, seen above
    ranks = pl.DataFrame({"a": values, "b": times}).drop_nulls().select(pl.corr("a", "b", method="spearman")).item()
    return high - low < 10 * len(exist) or high - low > 10**12 or abs(ranks or 0.0) > 0.99


def _twins(
    frame: pl.DataFrame, columns: Sequence[str], event_time: str, parts: Mapping[str, NDArray[np.uint32]] | None
) -> Iterator[Finding]:
    """Find rows equal in every feature, the target and the time, more often than if times were dealt out by chance."""
    if frame.height < MIN_ROWS:
        return
    part = np.zeros(frame.height, dtype=np.int64)
    for place, rows in enumerate((parts or {}).values(), 1):
        part[rows] = place
    names = list(dict.fromkeys(columns))
    keys = frame.select(row=pl.struct(names).hash(), time=pl.col(event_time).hash(), part=pl.Series(part))
    keys = keys.filter(pl.col("part") > 0) if parts else keys
    counted = keys.with_columns(
        same=pl.len().over("row"),
        at_time=pl.len().over("time"),
        twins=pl.len().over("row", "time"),
        twins_here=pl.len().over("row", "time", "part"),
    )
    others = pl.col("twins") - pl.col("twins_here") if parts else pl.col("twins") - 1
    chance = (pl.col("same") - 1) * (pl.col("at_time") - 1) / max(keys.height - 1, 1)
    count, expected = counted.select((others > 0).sum(), chance.clip(0, 1).sum().alias("by_chance")).row(0)
    if count > 5 + 3 * expected and count > 0.01 * keys.height:
        where = "on two sides of the split" if parts else "more than once"
        text = f"{count} of {keys.height} rows stand {where}, equal in every feature, the target and the time"
        yield Finding(
            "duplicate_rows", event_time, "error" if parts else "warning", text, {"rows": count, "by_chance": expected}
        )


def _best(frame: pl.DataFrame, target: str, columns: Sequence[str]) -> float:
    if frame.height < MIN_ROWS or frame[target].n_unique() < 2:
        return 1.0  # nothing to compare with, so nothing is held against the view
    truth = truth_matrix(frame[target])
    return max(strength(frame[name], truth) for name in columns)


def _step(times: pl.Series) -> timedelta:
    """Return the coarsest of day, hour and minute on which all times lie, else zero."""
    if not isinstance(times.dtype, pl.Datetime) or not len(times):
        return timedelta(0)
    for unit, step in (("1h", timedelta(hours=1)), ("1m", timedelta(minutes=1))):
        if (times.dt.truncate(unit) == times).all():
            return step
    return timedelta(0)


def _once_a_day(times: pl.Series) -> bool:
    """Tell whether times are one full hour of each day: midnight somewhere, twice a year another hour in UTC."""
    return _step(times) >= timedelta(hours=1) and times.dt.hour().n_unique() <= 2


def _check_columns(frame: pl.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame.columns:
            known = did_you_mean(name, frame.columns)
            raise MissingColumn(f"the training frame has no column {name!r}", known=known)
