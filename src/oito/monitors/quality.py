"""Whether a window's rows are sound: there at all, as many as usual, and inside the range the model was made with. Change is drift's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

import polars as pl

from oito.monitors.reference import is_number, numbers

MIN_SHARE = 0.005  # of a window's rows outside the range, before it matters
FEW = 0.1  # of the usual number of rows
USUAL_ROWS = 50  # per window, before "few" means anything


@dataclass(frozen=True)
class Alarm:
    """One thing that is wrong, named: `kind` is a word, `column` what it is about ("" for the whole window)."""

    kind: str
    text: str
    column: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def data(self) -> dict[str, object]:
        return {"kind": self.kind, "text": self.text, "column": self.column, "numbers": dict(self.numbers)}


def traffic(rows: int, before: Sequence[int], *, since: datetime, until: datetime) -> list[Alarm]:
    """Return the alarm of a window without rows, or with less than a tenth of the usual.

    Args:
        rows: predictions of this window; before: those of earlier windows, the newest last; empty before the first one.

    Example:
        >>> day = datetime(2013, 1, 1), datetime(2013, 1, 2)
        >>> [alarm.kind for alarm in traffic(0, [400], since=day[0], until=day[1])]
        ['silence']
    """
    span = f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
    if not rows:
        return [Alarm("silence", f"no prediction {span}")] if any(before) else []
    usual = median([n for n in before[-28:] if n] or [0])
    if usual >= USUAL_ROWS and rows < FEW * usual:
        return [
            Alarm("traffic", f"{rows} predictions {span}, {usual:.0f} are usual", "", {"rows": rows, "usual": usual})
        ]
    return []


def ranges(reference: pl.DataFrame, current: pl.DataFrame, *, false_alarms: float) -> list[Alarm]:
    """Return an alarm for each column of numbers with more values outside the reference's range than chance allows.

    A few wild values move no test of the whole distribution. That `k` of the `m` current rows lie beyond all `n` of the
    reference has by exchangeability the chance m/(m+n) · (m-1)/(m+n-1) · …, whatever the distribution; twice that for
    two ends, and the budget is shared by the columns.

    Example:
        >>> [a.text for a in ranges(pl.DataFrame({"t": range(1000)}), pl.DataFrame({"t": [-9999] * 9 + [5] * 91}), false_alarms=0.02)]
        ['t leaves 0 … 999 in 9.0% of rows, down to -9999']
    """
    shared = [name for name in reference.columns if name in current.columns and is_number(reference[name])]
    found = []
    for name in shared:
        (before, _), (now, _) = numbers(reference[name]), numbers(current[name])
        if not len(before) or not len(now):
            continue
        low, high = float(before.min()), float(before.max())
        under, over = int((now < low).sum()), int((now > high).sum())
        p = 2 * _beyond_p(max(under, over), len(before), len(now))
        share = (under + over) / len(now)
        if p > false_alarms / len(shared) or share < MIN_SHARE:
            continue
        ends = [f"down to {now.min():.6g}"] * bool(under) + [f"up to {now.max():.6g}"] * bool(over)
        text = f"{name} leaves {low:.6g} … {high:.6g} in {share:.1%} of rows, {' and '.join(ends)}"
        found.append(Alarm("range", text, name, {"share": share, "low": low, "high": high}))
    return found


def _beyond_p(k: int, n: int, m: int) -> float:
    """Return the chance that the k most extreme of n + m rows are all among the m."""
    log = sum(math.log(m - i) - math.log(n + m - i) for i in range(min(k, 1000)))
    return math.exp(log) if k else 1.0
