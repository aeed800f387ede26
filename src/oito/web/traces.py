"""A chart's series as placed numbers: x as a number, gaps as None, thinned to what a screen can show. Not drawn here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, Literal

from oito.show import Chart, Series, cell_text

Kind = Literal["number", "time", "names"]

MOST_POINTS = 800  # beyond this a line of 480 units holds several points per unit
_CHUNKS = 200


@dataclass(frozen=True)
class Point:
    """One place of a series; `x` is a number, seconds since 1970, or the index of a name. No `y` is a gap."""

    x: float
    y: float | None
    low: float | None
    high: float | None
    label: str


@dataclass(frozen=True)
class Trace:
    """One series, ready to be drawn; `tint` (1 to 6) picks its colour."""

    name: str
    mark: Literal["line", "bar", "point", "step"]
    tint: int
    points: Sequence[Point]

    def runs(self) -> list[list[Point]]:
        """Return the stretches between gaps."""
        runs: list[list[Point]] = [[]]
        for point in self.points:
            if point.y is not None:
                runs[-1].append(point)
            elif runs[-1]:
                runs.append([])
        return [run for run in runs if run]


@dataclass(frozen=True)
class Traces:
    """All series of a chart over one kind of x; `names` are the categories in the order they first appear."""

    kind: Kind
    names: Sequence[str]
    traces: Sequence[Trace]

    def seen(self) -> list[Point]:
        """Return every point that has a y."""
        return [point for trace in self.traces for point in trace.points if point.y is not None]


def of(chart: Chart) -> Traces:
    """Return what there is to draw of `chart`."""
    thinned = [_thinned(series) for series in chart.series]
    xs = [x for series in thinned for x in series.x]
    kind = _kind(xs)
    names = list(dict.fromkeys(cell_text(x) for x in xs)) if kind == "names" else []
    place = {name: float(index) for index, name in enumerate(names)}

    def point(series: Series, index: int) -> Point:
        x = series.x[index]
        low, high = (_finite(side[index]) if side is not None else None for side in (series.low, series.high))
        where = _seconds(x) if kind == "time" else place[cell_text(x)] if kind == "names" else float(x)
        return Point(where, _finite(series.y[index]), low, high, _label(x, kind))

    def trace(number: int, series: Series) -> Trace:
        points = [point(series, index) for index in range(min(len(series.x), len(series.y)))]
        return Trace(series.name, series.mark, number % 6 + 1, [p for p in points if math.isfinite(p.x)])

    return Traces(kind, names, [trace(number, series) for number, series in enumerate(thinned)])


def thin(y: Sequence[float | None]) -> list[int]:
    """Return which points to keep of a long series: of each chunk the first, last, lowest and highest; gaps stay gaps.

    Example:
        >>> kept = thin([0.0] * 5000 + [9.0] + [0.0] * 5000)
        >>> len(kept) <= 800, 5000 in kept, kept[0], kept[-1]
        (True, True, 0, 10000)
    """
    kept: set[int] = set()
    edges = [len(y) * number // _CHUNKS for number in range(_CHUNKS + 1)]
    for start, end in pairwise(edges):
        seen = [
            (value, index) for index in range(start, end) if (value := y[index]) is not None and math.isfinite(value)
        ]
        if seen:
            kept.update(index for _, index in (seen[0], seen[-1], min(seen), max(seen)))
        elif end > start:
            kept.add(start)
    return sorted(kept)


def _thinned(series: Series) -> Series:
    if len(series.y) <= MOST_POINTS:
        return series
    kept = thin(series.y)

    def some(values: Sequence[Any] | None) -> list[Any] | None:
        return None if values is None else [values[index] for index in kept]

    return Series(
        series.name, some(series.x) or [], some(series.y) or [], some(series.low), some(series.high), series.mark
    )


def _kind(xs: Sequence[Any]) -> Kind:
    if xs and all(_is_moment(x) for x in xs):
        return "time"
    if all(isinstance(x, int | float) and not isinstance(x, bool) for x in xs) or _all_float(xs):
        return "number"
    return "names"


def _all_float(xs: Sequence[Any]) -> bool:
    return all(hasattr(x, "__float__") and not isinstance(x, bool) for x in xs)  # NumPy's numbers, Decimal


def _is_moment(x: Any) -> bool:
    if isinstance(x, date):
        return True
    if not isinstance(x, str) or len(x) < 10 or x[4:5] != "-" or x[7:8] != "-":
        return False
    try:
        datetime.fromisoformat(x)
    except ValueError:
        return False
    return True


def _moment(x: date | str) -> datetime:
    if isinstance(x, str):
        x = datetime.fromisoformat(x)
    if not isinstance(x, datetime):
        return datetime(x.year, x.month, x.day, tzinfo=UTC)
    return x if x.tzinfo else x.replace(tzinfo=UTC)


def _seconds(x: Any) -> float:
    return _moment(x).timestamp()


def _label(x: Any, kind: Kind) -> str:
    if kind != "time":
        return cell_text(x if isinstance(x, int) or kind == "names" else float(x))
    at = _moment(x).astimezone(UTC)
    if at.time() == at.time().min:
        return at.strftime("%Y-%m-%d")
    return at.strftime("%Y-%m-%d %H:%M:%S" if at.second else "%Y-%m-%d %H:%M")


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
