"""When an asset runs by itself, and what is due at a moment: pure functions over declarations and moments. Who carries it out is the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from oito.flow.schedules.cron import Cron
from oito.names import duration

Sort = Literal["every", "cron", "upstream", "verdict", "hand"]
Missed = Literal["once", "skip", "all"]
MISSED: tuple[Missed, ...] = ("once", "skip", "all")
LATE_S = 60.0  # a tick that is seen later than this was missed: nobody was there when it was due
MOST_MADE_UP = 1_000  # missed ticks of one asset that `all` runs one by one; older ones are only written down
NOBODY = "nobody was there when it was due"
Declared = Mapping[str, Mapping[str, Any]]  # what a release knows of its assets, in the order they can be made
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Schedule(Protocol):
    """The moments at which something runs by itself."""

    @property
    def text(self) -> str: ...
    def after(self, moment: datetime) -> datetime: ...
    def last(self, moment: datetime) -> datetime: ...
    def count(self, since: datetime, until: datetime) -> int: ...


@dataclass(frozen=True)
class Every:
    """Multiples of a span since 1970, in UTC: "1h" is each full hour.

    Example:
        >>> from oito.clock import moment
        >>> hourly = Every("1h")
        >>> hourly.last(moment("2024-01-01T10:59:59.9")).hour, hourly.after(moment("2024-01-01T11:00")).hour
        (10, 12)
        >>> hourly.count(moment("2024-01-01"), moment("2024-01-02"))
        24
    """

    written: str

    @property
    def text(self) -> str:
        return f"every {self.written}"

    def after(self, moment: datetime) -> datetime:
        """Return the first tick after a moment."""
        return self.last(moment) + duration(self.written)

    def last(self, moment: datetime) -> datetime:
        """Return the last tick up to a moment, that moment included."""
        span = duration(self.written)
        return _EPOCH + (moment - _EPOCH) // span * span

    def count(self, since: datetime, until: datetime) -> int:
        """Return how many ticks there are after `since`, up to and with `until`."""
        span = duration(self.written)
        return max(0, (until - _EPOCH) // span - (since - _EPOCH) // span)


def scheduled(every: str | None, cron: str | None, *, zone: str = "UTC") -> Schedule | None:
    """Return the moments that a declaration names, or None when it names none."""
    return Cron(cron, zone) if cron else Every(every) if every else None


@dataclass(frozen=True)
class Due:
    """What becomes of one tick, or of `count` of them in a row, the first of which was due at `first`.

    `run` (now), `skipped` (the one before still runs) or `missed` (nobody was there); `note` is the reason.
    """

    at: datetime
    first: datetime
    count: int
    does: Literal["run", "skipped", "missed"]
    note: str = ""


def due(
    schedule: Schedule, reached: datetime, now: datetime, *, missed: Missed = "once", busy_since: datetime | None = None
) -> list[Due]:
    """Return what becomes of every tick after `reached`, up to and with `now`; none is left out, none stands in two.

    A tick that is seen more than a minute late, or that a newer one has overtaken, was missed. Missed ticks are made up by
    one run (`once`), by none (`skip`), or by one run each, oldest first (`all`).

    Args:
        busy_since: the tick whose run has not ended yet; what becomes due meanwhile is skipped, under `all` it waits.

    Example:
        >>> from oito.clock import moment
        >>> night = (moment("2024-01-01T00:00"), moment("2024-01-01T05:00:02"))
        >>> [(each.does, each.count) for each in due(Every("1h"), *night)]
        [('run', 5)]
        >>> [(each.does, each.count) for each in due(Every("1h"), *night, missed="skip")]
        [('missed', 4), ('run', 1)]
    """
    count = schedule.count(reached, now)
    if count == 0:
        return []
    first, newest = schedule.after(reached), schedule.last(now)
    if missed == "all":
        return _each(schedule, reached, count, now)
    if busy_since is not None:
        note = f"the run of {told(busy_since)} has not ended"
        return [Due(newest, first, count, "skipped", note)]
    is_late = (now - newest).total_seconds() > LATE_S
    if missed == "once":
        note = f"stands for {count} ticks since {told(first)}" if count > 1 else f"due {told(newest)}, made up for"
        return [Due(newest, first, count, "run", note if count > 1 or is_late else "")]
    if is_late:
        return [Due(newest, first, count, "missed", NOBODY)]
    found = [Due(newest, newest, 1, "run")]
    if count > 1:
        before = schedule.last(newest - timedelta(microseconds=1))
        found.insert(0, Due(before, first, count - 1, "missed", NOBODY))
    return found


def _each(schedule: Schedule, reached: datetime, count: int, now: datetime) -> list[Due]:
    """Return a run for each tick, the newest thousand of them."""
    moments: list[datetime] = []
    at = now
    while len(moments) < min(count, MOST_MADE_UP):
        at = schedule.last(at)
        moments.append(at)
        at -= timedelta(microseconds=1)
    found = [Due(at, at, 1, "run") for at in reversed(moments)]
    if count > MOST_MADE_UP:
        older = Due(schedule.last(at), schedule.after(reached), count - MOST_MADE_UP, "missed",
                    f"more than {MOST_MADE_UP:,} ticks are not made up for one by one")  # fmt: skip
        found.insert(0, older)
    return found


def told(moment: datetime) -> str:
    """Return a moment as people read it, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def schedules(known: Declared, *, zone: str = "UTC") -> dict[str, Schedule]:
    """Return the schedule of each asset that has one."""
    found = {name: scheduled(each.get("every"), each.get("cron"), zone=zone) for name, each in known.items()}
    return {name: each for name, each in found.items() if each is not None}


def followers(known: Declared) -> list[str]:
    """Return the assets that run as soon as one of their inputs has moved."""
    return [name for name, each in known.items() if each.get("after") == "inputs"]


def wave(known: Declared, asset: str) -> list[str]:
    """Return the asset and all that is made from it, but what has a schedule of its own, and what is made from that.

    Example:
        >>> shop = {"orders": {"needs": [], "every": "1h"}, "clean": {"needs": ["orders"]},
        ...         "report": {"needs": ["clean"], "cron": "0 6 * * *"}, "mail": {"needs": ["report"]}}
        >>> wave(shop, "orders"), wave(shop, "report")
        (['orders', 'clean'], ['report', 'mail'])
    """
    reached, apart = {asset}, set[str]()
    for name, each in known.items():  # in the order in which they can be made
        if name == asset:
            continue
        above = set(each["needs"])
        if above & apart or (above & reached and (each.get("every") or each.get("cron"))):
            apart.add(name)
        elif above & reached:
            reached.add(name)
    return [name for name in known if name in reached]


def targets(known: Declared, assets: Iterable[str]) -> list[str]:
    """Return what one run for the ticks of several assets brings up to date, in order."""
    wanted = {name for asset in assets for name in wave(known, asset)}
    return [name for name in known if name in wanted]


def why(ticks: Sequence[tuple[str, str]]) -> str:
    """Return in few words what a run is for, from pairs of an asset and its cause."""
    first = " ".join(filter(None, ticks[0]))
    return first if len(ticks) == 1 else f"{first} and {len(ticks) - 1} more"
