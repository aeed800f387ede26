"""Cron expressions: five fields read into sets, and the moments that fit them. What is done at such a moment is the scheduler's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache

from oito.errors import BadInput

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
}  # fmt: skip
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("weekday", 0, 7, DAYS),
)
_HORIZON_DAYS = 3_000  # the 29th of February may be eight years away


@dataclass(frozen=True)
class Cron:
    """An expression of five fields, read in a time zone: minute, hour, day of the month, month, day of the week.

    When both days are given, either is enough, as everywhere. In the night in which clocks go forward, a time that does not
    exist is as much later as the clocks went; in the night in which they go back, a time that comes twice counts once, but
    for expressions that name no hours: these count real hours.
    """

    written: str
    zone: str = "UTC"

    @cached_property
    def fields(self) -> tuple[frozenset[int], ...]:
        """The values of each field.

        Raises:
            BadInput: the text is no such expression; it says which field is not.
        """
        return _parsed(self.written)

    @property
    def text(self) -> str:
        return f"cron {self.written}" + ("" if self.zone == "UTC" else f" in {self.zone}")

    def after(self, moment: datetime) -> datetime:
        """Return the first moment after this one that fits.

        Example:
            >>> from oito.clock import moment
            >>> Cron("30 6 * * mon-fri").after(moment("2024-03-01T07:00:00")).isoformat()
            '2024-03-04T06:30:00+00:00'
        """
        for day in self._days(self._local(moment).date(), 1):
            found = next((each for each in self._moments(day) if each > moment), None)
            if found is not None:
                return found
        raise _never(self.written)

    def last(self, moment: datetime) -> datetime:
        """Return the last moment that fits, this one included.

        Example:
            >>> from oito.clock import moment
            >>> Cron("*/15 * * * *").last(moment("2024-03-01T07:14:59")).isoformat()
            '2024-03-01T07:00:00+00:00'
        """
        for day in self._days(self._local(moment).date(), -1):
            found = next((each for each in reversed(self._moments(day)) if each <= moment), None)
            if found is not None:
                return found
        raise _never(self.written)

    def count(self, since: datetime, until: datetime) -> int:
        """Return how many moments fit after `since`, up to and with `until`."""
        if until <= since:
            return 0
        first, last = self._local(since).date(), self._local(until).date()
        edges = {first - timedelta(1), first, last, last + timedelta(1)}
        found = sum(since < each <= until for day in edges for each in self._moments(day))
        return found + sum(self._count(first + timedelta(n)) for n in range(1, (last - first).days))

    def _count(self, day: date) -> int:
        """Return how many moments a day has, without listing them where no clock is changed."""
        if not self._fits(day):
            return 0
        offsets = {_offset(self._zone, day), _offset(self._zone, day + timedelta(1))}
        return len(self._moments(day)) if len(offsets) > 1 else len(self.fields[0]) * len(self.fields[1])

    @property
    def _zone(self) -> tzinfo:
        return zone_of(self.zone)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone)

    def _days(self, start: date, step: int) -> Iterator[date]:
        """Yield the days that fit, from the one before the start on: a shifted time may fall into the next day."""
        for offset in range(-1, _HORIZON_DAYS):
            day = start + timedelta(offset * step)
            if self._fits(day):
                yield day

    def _fits(self, day: date) -> bool:
        _, _, days, months, weekdays = self.fields
        if day.month not in months:
            return False
        by_day, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        _, _, written_day, _, written_weekday = _expanded(self.written)
        is_either = not (written_day.startswith("*") or written_weekday.startswith("*"))
        return by_day or by_weekday if is_either else by_day and by_weekday

    def _moments(self, day: date) -> list[datetime]:
        return _moments_of(self, day) if self._fits(day) else []


@lru_cache(maxsize=512)
def _moments_of(cron: Cron, day: date) -> list[datetime]:
    minutes, hours, *_ = cron.fields
    zone, is_hourly = zone_of(cron.zone), len(hours) == 24
    found = set()
    for hour in hours:
        for minute in minutes:
            for fold in (0, 1) if is_hourly else (0,):
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold)
                at = local.astimezone(UTC)
                exists = at.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None)
                if exists or not is_hourly:
                    found.add(at)
    return sorted(found)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """Return the time zone of that name.

    Raises:
        BadInput: this machine knows no such zone.
    """
    if name == "UTC":  # which needs no table of zones on the machine
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, a folder of the table, or no name at all
        raise BadInput(
            f"there is no time zone {name!r}",
            known="names such as UTC or Europe/Lisbon, from the machine's table of zones",
            next="where that table is missing: pip install tzdata",
        ) from None


@lru_cache(maxsize=256)
def _parsed(written: str) -> tuple[frozenset[int], ...]:
    parts = _expanded(written)
    found = [_values(part, *field) for part, field in zip(parts, _FIELDS, strict=True)]
    found[4] = frozenset(value % 7 for value in found[4])
    days, months = found[2], found[3]
    longest = max({2: 29, 4: 30, 6: 30, 9: 30, 11: 30}.get(month, 31) for month in months)
    if min(days) > longest and parts[4].startswith("*"):
        raise _never(written)
    return tuple(found)


def _expanded(written: str) -> list[str]:
    parts = SHORT.get(written.strip().lower(), written).lower().split()
    if len(parts) != len(_FIELDS):
        raise BadInput(
            f"{written!r} is not a cron expression",
            known="five fields: minute, hour, day of the month, month, day of the week",
            next='write "0 6 * * *" for six each morning',
        )
    return parts


def _values(part: str, name: str, low: int, high: int, names: tuple[str, ...]) -> frozenset[int]:
    """Return what one field lists: `*`, `7`, `1-5`, `*/15`, `10-40/5`, names of months and days, and lists of these."""
    found: set[int] = set()
    for piece in part.split(","):
        span, _, step = piece.partition("/")
        if step and (not step.isdecimal() or int(step) == 0):
            raise _misfit(piece, name, f"a step is a number above 0, not {step!r}")
        first, dash, last = span.partition("-")
        begin = low if span == "*" else _value(first, piece, name, low, high, names)
        open_end = span == "*" or (step and not dash)
        end = high if open_end else _value(last, piece, name, low, high, names) if dash else begin
        if name == "weekday" and begin > end == 0:
            end = 7  # fri-sun
        if begin > end:
            raise _misfit(piece, name, f"{first} comes after {last}")
        found.update(range(begin, end + 1, int(step) if step else 1))
    return frozenset(found)


def _value(written: str, piece: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if written in names:
        return names.index(written) + (1 if name == "month" else 0)
    if written.isascii() and written.isdecimal() and low <= int(written) <= high:
        return int(written)
    known = f"a {name} is {low} to {high}" + (f" or {names[0]} to {names[-1]}" if names else "")
    raise _misfit(piece, name, known)


def _misfit(piece: str, name: str, known: str) -> BadInput:
    return BadInput(f"{piece!r} is no {name} of a cron expression", known=known, next='such as "*/15 6-18 * * mon-fri"')


def _never(written: str) -> BadInput:
    return BadInput(f"the cron expression {written!r} names a day that never comes", next="look at its day and month")


def _offset(zone: tzinfo, day: date) -> timedelta | None:
    return datetime(day.year, day.month, day.day, tzinfo=zone).utcoffset()
