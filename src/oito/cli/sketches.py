"""A chart as a few letters per series: a sparkline for what has an order, a bar for what has a name. Colors are not chosen here."""

import math
from collections.abc import Sequence
from datetime import datetime

from oito.show import Chart, Series, cell_text

_HEIGHTS, _ASCII_HEIGHTS = "▁▂▃▄▅▆▇█", "_.,-~=*#"
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_MOST_BARS = 30

Row = tuple[str, str, str]


def rows(chart: Chart, *, width: int, ascii_only: bool = False) -> list[Row]:
    """Return (name, picture, figures) per series, or per name when the x axis has names and one series is drawn.

    Example:
        >>> rows(Chart("auc", [Series("live", [1, 2, 3], [0.7, 0.8, 0.75])]), width=80)
        [('live', '▁█▅', '0.7 to 0.8, last 0.75'), ('from', '', '1 to 3')]
    """
    series = [each for each in chart.series if _known(each.y)]
    if not series:
        return []
    if all(_has_names(each) for each in series):
        found = [row for each in series for row in _bars(each, chart, len(series) > 1, width, ascii_only)]
    else:
        low = min(min(_known(each.y)) for each in series)
        high = max(max(_known(each.y)) for each in series)
        found = [_line(each, low, high, max(10, min(width - 46, 72)), ascii_only) for each in series]
        found.append((chart.x or "from", "", f"{_x_text(series[0].x[0])} to {_x_text(series[0].x[-1])}"))
    return found if chart.rule is None else [*found, ("rule", "", cell_text(chart.rule))]


def sparkline(y: Sequence[float | None], *, low: float, high: float, width: int, ascii_only: bool = False) -> str:
    """Return at most `width` letters; of several points under one letter the one furthest from the middle is kept.

    Example:
        >>> sparkline([0, None, 1], low=0, high=1, width=10)
        '▁ █'
    """
    heights = _ASCII_HEIGHTS if ascii_only else _HEIGHTS
    count = min(width, len(y))
    middle = (low + high) / 2
    letters = []
    for index in range(count):
        known = _known(y[index * len(y) // count : (index + 1) * len(y) // count])
        value = max(known, key=lambda v: abs(v - middle), default=math.nan)
        share = (value - low) / (high - low) if high > low else 0.5
        letters.append(" " if math.isnan(share) else heights[max(0, min(7, int(share * 8)))])
    return "".join(letters)


def _line(series: Series, low: float, high: float, width: int, ascii_only: bool) -> Row:
    known = _known(series.y)
    picture = sparkline(series.y, low=low, high=high, width=width, ascii_only=ascii_only)
    figures = f"{cell_text(min(known))} to {cell_text(max(known))}, last {cell_text(known[-1])}"
    return series.name, picture, figures


def _bars(series: Series, chart: Chart, many: bool, width: int, ascii_only: bool) -> list[Row]:
    most = max(abs(value) for each in chart.series for value in _known(each.y)) or 1.0
    room = max(10, min(width - 46, 40))
    found: list[Row] = []
    for index, (name, value) in enumerate(zip(series.x, series.y, strict=False)):
        if index == _MOST_BARS:
            return [*found, (f"and {len(series.x) - _MOST_BARS} more", "", "")]
        low, high = (side[index] if side is not None else None for side in (series.low, series.high))
        between = f" ({cell_text(low)} to {cell_text(high)})" if low is not None and high is not None else ""
        picture = _bar(abs(value) / most * room, ascii_only) if value is not None and math.isfinite(value) else ""
        label = f"{series.name} · {name}" if many else str(name)
        found.append((label, picture, cell_text(value) + between))
    return found


def _bar(length: float, ascii_only: bool) -> str:
    if ascii_only:
        return "#" * max(1, round(length)) if length > 0 else ""
    whole, eighths = divmod(max(1, round(length * 8)) if length > 0 else 0, 8)
    return "█" * whole + _EIGHTHS[eighths]


def _x_text(x: object) -> str:
    if isinstance(x, datetime):
        return x.strftime("%Y-%m-%d %H:%M")
    return cell_text(x if isinstance(x, int | float) else str(x))


def _has_names(series: Series) -> bool:
    return series.mark in ("bar", "point") and all(isinstance(x, str) for x in series.x)


def _known(y: Sequence[float | None]) -> list[float]:
    return [float(value) for value in y if value is not None and math.isfinite(value)]
