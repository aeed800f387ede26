"""What is wrong with a column that changed, as one word and one sentence. Whether it changed at all is drift's finding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from oito.monitors.reference import Floats, fit, is_number, numbers, occurring

HOURS = 24
UNITS = {
    1000.0: "kilo", 1e6: "mega", 100.0: "per cent or centi", 60.0: "minutes and hours, or seconds and minutes",
    3600.0: "seconds and hours", 24.0: "hours and days", 1.609344: "kilometers and miles", 0.3048: "feet and meters",
    2.54: "inches and centimeters", 25.4: "inches and millimeters", 0.45359237: "pounds and kilograms",
    1.852: "kilometers and nautical miles", 0.514444: "knots and m/s", 0.44704: "mph and m/s",
}  # fmt: skip
_DECILES = np.arange(1, 20) / 20


@dataclass(frozen=True)
class Cause:
    """`word` is nulls, unseen, constant, stuck, unit, zone or shift."""

    word: str
    text: str


def name(reference: pl.Series, current: pl.Series) -> Cause:
    """Return the likeliest cause of a change, the most specific first; `shift` when it has no simpler name.

    Example:
        >>> name(pl.Series("t", [1.5, 2.5, 3.25, 4.0] * 50), pl.Series("t", [7.0] * 90)).text
        't is constant: 7 in every row'
    """
    nulls = _nulls(reference, current)
    if nulls:
        return nulls
    if is_number(reference) and is_number(current):
        before, now = numbers(reference)[0], numbers(current)[0]
        if len(before) and len(now):
            found = _repeated(reference.name, before, now) or _zone(reference.name, before, now)
            found = found or _unit(reference.name, before, now)
            return found or _unseen(reference, current) or _moved(reference.name, before, now)
    return _constant_text(reference, current) or _unseen(reference, current) or _regrouped(reference, current)


def _nulls(reference: pl.Series, current: pl.Series) -> Cause | None:
    before, now = (_missing_share(series) for series in (reference, current))
    if now - before < 0.02 and (now < 3 * before or now < 0.01):
        return None
    if now == 1.0:
        return Cause("nulls", f"{reference.name} is empty: every value is missing")
    return Cause("nulls", f"{reference.name} is missing in {now:.1%} of rows, {before:.1%} before")


def _missing_share(series: pl.Series) -> float:
    missing = numbers(series)[1] if is_number(series) else series.null_count()
    return missing / max(len(series), 1)


def _unseen(reference: pl.Series, current: pl.Series) -> Cause | None:
    column = fit(reference)
    if column.kind == "number":
        return None
    found = occurring(current)
    new = {value: n for value, n in found.items() if value is not None and value not in column.values}
    if sum(new.values()) < max(0.005 * len(current), 1):
        return None
    shown = ", ".join(f"{value!r}" for value in sorted(new, key=lambda value: -new[value])[:3])
    more = f" and {len(new) - 3} more" if len(new) > 3 else ""
    share = sum(new.values()) / len(current)
    return Cause("unseen", f"{reference.name} has values never seen before: {shown}{more}, {share:.1%} of rows")


def _constant_text(reference: pl.Series, current: pl.Series) -> Cause | None:
    values = [value for value in occurring(current) if value is not None]
    if len(values) != 1 or len(occurring(reference)) < 2:
        return None
    return Cause("constant", f"{reference.name} is constant: {values[0]!r} in every row")


def _repeated(title: str, before: Floats, now: Floats) -> Cause | None:
    """Name a constant column, or one of many values that is stuck on one of them."""
    values, counts = np.unique(now, return_counts=True)
    top, share = float(values[counts.argmax()]), float(counts.max() / len(now))
    if share == 1.0 and len(np.unique(before)) > 1:
        return Cause("constant", f"{title} is constant: {top:.6g} in every row")
    usual = float((before == top).mean())
    most_usual = float(np.unique(before, return_counts=True)[1].max() / len(before))
    if share >= 0.1 and share > 3 * max(usual, most_usual):
        return Cause("stuck", f"{title} is stuck at {top:.6g}: {share:.1%} of rows, {usual:.1%} before")
    return None


def _zone(title: str, before: Floats, now: Floats) -> Cause | None:
    """Name a changed time zone: hours of the day that fit the old ones once they are turned by some hours."""
    both = np.concatenate([before, now])
    if both.min() < 0 or both.max() >= HOURS or (both % 1).any() or len(np.unique(before)) < HOURS // 2:
        return None
    old, new = (np.bincount(side.astype(np.int64), minlength=HOURS) / len(side) for side in (before, now))
    apart = [float(np.abs(np.roll(old, turn) - new).sum()) / 2 for turn in range(HOURS)]
    turn = int(np.argmin(apart))
    if turn == 0 or apart[turn] > 0.4 * apart[0]:
        return None
    hours = turn if turn <= HOURS // 2 else turn - HOURS
    return Cause("zone", f"{title} is turned by {hours:+d} hours: another time zone")


def _unit(title: str, before: Floats, now: Floats) -> Cause | None:
    """Name another unit: the quantiles fit the old ones once these are multiplied (or taken from Celsius to Fahrenheit)."""
    old, new = np.quantile(before, _DECILES), np.quantile(now, _DECILES)
    for factor, offset, words in ((1.8, 32.0, "from °C to °F"), (1 / 1.8, -32 / 1.8, "from °F to °C")):
        if _fits(factor * old + offset, new):
            return Cause("unit", f"{title} looks like another unit: {words}")
    scale = float(old @ old)
    factor = float(old @ new) / scale if scale else 0.0
    if factor <= 0 or abs(math.log(factor)) < math.log(1.5) or not _fits(factor * old, new):
        return None
    words = next((text for unit, text in UNITS.items() if _is_near(factor, unit) or _is_near(factor, 1 / unit)), "")
    return Cause("unit", f"{title} is {factor:.4g} times what it was: another unit" + (f" ({words}?)" if words else ""))


def _fits(wanted: Floats, new: Floats) -> bool:
    spread = float(np.ptp(wanted))
    return spread > 0 and float(np.abs(wanted - new).mean()) < 0.04 * spread


def _is_near(value: float, wanted: float) -> bool:
    return abs(value / wanted - 1) < 0.05


def _moved(title: str, before: Floats, now: Floats) -> Cause:
    spread = float(before.std()) or 1.0
    by = (float(now.mean()) - float(before.mean())) / spread
    if abs(by) >= 0.1:
        text = f"{title} moved {'up' if by > 0 else 'down'} by {abs(by):.2g} sd: mean {before.mean():.4g} → {now.mean():.4g}"
        return Cause("shift", text)
    return Cause("shift", f"{title} has another shape: sd {before.std():.4g} → {now.std():.4g}")


def _regrouped(reference: pl.Series, current: pl.Series) -> Cause:
    old, new = occurring(reference), occurring(current)
    shares = {v: (old.get(v, 0) / max(len(reference), 1), new.get(v, 0) / max(len(current), 1)) for v in {*old, *new}}
    value = max(shares, key=lambda v: (abs(shares[v][0] - shares[v][1]), str(v)))
    before, now = shares[value]
    return Cause("shift", f"{reference.name}: the share of {value!r} went from {before:.1%} to {now:.1%}")
