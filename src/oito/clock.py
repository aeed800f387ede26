"""The clock: the only "now" in oito, always UTC. It is real, fixed, or moved by hand when a loop is replayed."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from oito.errors import BadInput


class Clock(Protocol):
    """Tells the moment; whoever needs "now" is handed one of these and asks nothing else."""

    def now(self) -> datetime: ...


class RealClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class VirtualClock:
    """A clock that stands still until it is moved; it never goes back."""

    def __init__(self, start: datetime) -> None:
        self._now = moment(start)

    def now(self) -> datetime:
        return self._now

    def move_to(self, at: datetime) -> None:
        """Set the clock to a moment.

        Raises:
            BadInput: it lies before the present of this clock.
        """
        goal = moment(at)
        if goal < self._now:
            raise BadInput(f"the clock stands at {text(self._now)} and cannot go back to {text(goal)}")
        self._now = goal

    def advance(self, span: timedelta) -> None:
        self.move_to(self._now + span)


def moment(written: str | datetime) -> datetime:
    """Return the UTC moment of an ISO date or time; one without a zone is UTC.

    Example:
        >>> moment("2013-11-01")
        datetime.datetime(2013, 11, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(written, str):
        try:
            written = datetime.fromisoformat(written)
        except ValueError:
            raise BadInput(
                f"{written!r} is not a date or time", next='write "2013-11-01" or "2013-11-01T06:30:00Z"'
            ) from None
    return written.astimezone(UTC) if written.tzinfo else written.replace(tzinfo=UTC)


FORMATS = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}  # how a span of time is named, as text


def span(unit: str, written: str) -> tuple[datetime, datetime]:
    """Return the first moment of an hour, day or month (UTC), and that of the one after it.

    Raises:
        BadInput: the text does not name one.

    Example:
        >>> start, end = span("day", "2013-11-01")
        >>> end - start
        datetime.timedelta(days=1)
    """
    try:
        start = datetime.strptime(written, FORMATS[unit]).replace(tzinfo=UTC)
    except ValueError:
        example = datetime(2013, 11, 1, 6, tzinfo=UTC).strftime(FORMATS[unit])
        raise BadInput(f"{written!r} is no {unit}", next=f'write "{example}"') from None
    if unit == "month":
        return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start, start + timedelta(hours=1 if unit == "hour" else 24)


def text(at: datetime) -> str:
    """Return the moment as stored everywhere: UTC, microseconds, sortable as text.

    Example:
        >>> text(moment("2013-11-01T06:30:00+01:00"))
        '2013-11-01T05:30:00.000000Z'
    """
    return moment(at).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def uptime() -> float:
    """Return seconds that all processes of this machine count alike, from some moment before they began.

    It never jumps, whatever becomes of the machine's time; after a restart of the machine it begins anew.
    """
    return time.monotonic()


def stopwatch() -> float:
    """Return seconds of a monotonic clock; only differences mean anything."""
    return time.perf_counter()
