"""Axes: which span of numbers or times to show, where a value falls in it, and which round values carry a label."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # no locale in between
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS_S = (
    *(1, 5, 15, 30),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY),
)
_STEPS_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)


@dataclass(frozen=True)
class Axis:
    """A span with labelled ticks; `context` says what the labels leave out, such as the year."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    context: str = ""

    def share(self, value: float) -> float:
        """Return where `value` falls: 0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


def numbers(values: Iterable[float], *, snug: bool = False, count: int = 5) -> Axis:
    """Return an axis of round numbers around `values`; a `snug` one ends with the values, not with the next tick.

    Example:
        >>> [label for _, label in numbers([0.03, 0.98]).ticks]
        ['0', '0.2', '0.4', '0.6', '0.8', '1']
    """
    low, high = _span(values)
    step = _round_step((high - low) / count)
    if not snug:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    places = [index * step for index in range(first, last + 1)]
    return Axis(low, high, [(place, _number_label(place, step, max(abs(low), abs(high)))) for place in places])


def times(seconds: Iterable[float], *, count: int = 5) -> Axis:
    """Return an axis over moments (seconds since 1970, UTC), with ticks at round hours, days, months or years.

    Example:
        >>> axis = times([1383264000.0, 1383264000.0 + 4 * 86400])
        >>> [label for _, label in axis.ticks], axis.context
        (['1 Nov', '2 Nov', '3 Nov', '4 Nov', '5 Nov'], '2013, UTC')
    """
    low, high = _span(seconds, least=1.0, alone=_DAY / 2)
    step_s = next((step for step in _STEPS_S if (high - low) / step <= count), None)
    start, end = _at(low), _at(high)
    if step_s is None:
        ticks = _month_ticks(start, end, count)
        return Axis(low, high, [(at.timestamp(), _month_label(at, ticks)) for at in ticks], "UTC")
    moments = _even_ticks(low, high, step_s)
    labels = [(at, _moment_label(_at(at), step_s)) for at in moments]
    one_day = start.date() == end.date()
    year = str(start.year) if start.year == end.year else f"{start.year} to {end.year}"
    return Axis(low, high, labels, f"{_day_label(start)} {year}, UTC" if one_day else f"{year}, UTC")


def _span(values: Iterable[float], *, least: float = 0.0, alone: float = 0.0) -> tuple[float, float]:
    """Return the least and largest value; around a value that stands alone there is room, `alone` on each side if given."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low > max(least, 1e-12 * max(abs(low), abs(high))):
        return low, high
    room = alone or abs(low) * 0.1 or 1.0
    return low - room, high + room


def _round_step(wanted: float) -> float:
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= wanted * 0.999)


def _number_label(value: float, step: float, largest: float) -> str:
    if value == 0 or abs(value) < step * 1e-6:
        return "0"
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= 10 * size or (size > 1e3 and largest >= size):
            return f"{value / size:.{_decimals(step / size)}f}".replace("-", "−") + sign
    if largest < 1e-3:
        power = math.floor(math.log10(largest))
        return f"{value / 10**power:.{_decimals(step / 10**power)}f}e{power}".replace("-", "−")
    text = f"{value:.{_decimals(step)}f}"
    return (text.rstrip("0").rstrip(".") if step < 1 and value == round(value) else text).replace("-", "−")


def _decimals(step: float) -> int:
    return next((d for d in range(10) if abs(round(step, d) - step) < step * 1e-6), 10)


def _at(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _even_ticks(low: float, high: float, step_s: int) -> list[float]:
    origin = 4 * _DAY if step_s % (7 * _DAY) == 0 else 0  # weeks start on a Monday; 1970-01-01 was a Thursday
    first, last = math.ceil((low - origin) / step_s), math.floor((high - origin) / step_s)
    return [float(origin + index * step_s) for index in range(first, last + 1)]


def _month_ticks(start: datetime, end: datetime, count: int) -> list[datetime]:
    months = (end.year - start.year) * 12 + end.month - start.month + 1
    step = next((step for step in _STEPS_MONTHS if months / step <= count + 1), _STEPS_MONTHS[-1])
    first = -(-(start.year * 12 + start.month - 1) // step) * step
    places = range(first, end.year * 12 + end.month, step)
    ticks = [datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC) for place in places if place >= 12]
    return [at for at in ticks if start <= at <= end]


def _month_label(at: datetime, ticks: Sequence[datetime]) -> str:
    if all(tick.month == 1 for tick in ticks):
        return str(at.year)
    if at.month == 1 or at == ticks[0]:
        return f"{_MONTHS[at.month - 1]} {at.year}"
    return _MONTHS[at.month - 1]


def _moment_label(at: datetime, step_s: int) -> str:
    if step_s >= _DAY or (at.hour, at.minute, at.second) == (0, 0, 0):
        return _day_label(at)
    return at.strftime("%H:%M" if step_s >= _MINUTE else "%H:%M:%S")


def _day_label(at: datetime) -> str:
    return f"{at.day} {_MONTHS[at.month - 1]}"
