"""What is due, written down: each tick once, with what becomes of it, and what inputs that moved and verdicts call for. Runs are loop.py's."""

from __future__ import annotations

from datetime import datetime

from oito.catalog import ticks
from oito.catalog.catalog import Catalog, Change
from oito.catalog.ticks import Tick
from oito.clock import moment, text, uptime
from oito.flow import triggers
from oito.flow.schedules.schedule import Due, Missed, Schedule, due, schedules, told
from oito.flow.triggers import Standing
from oito.scheduler.office import Office
from oito.settings import Settings

BACK_S = 5.0  # a clock that is further behind than this was set back


class Diary:
    """Writes for the leader; what a tick is and how far a schedule was followed are kept in one transaction."""

    def __init__(self, office: Office, settings: Settings) -> None:
        self._office, self._settings = office, settings

    @property
    def _catalog(self) -> Catalog:
        return self._office.catalog

    def schedules(self, standing: Standing) -> dict[str, Schedule]:
        return schedules(standing.known, zone=self._settings.timezone)

    def write_down(self, standing: Standing) -> None:
        """Write down each tick that became due since the last turn, once, with what becomes of it."""
        environment, now = standing.environment, self._catalog.clock.now()
        found, reached = self.schedules(standing), ticks.reached(self._catalog.rows, environment)
        gone = [name for name in reached if name not in found]
        opened = {
            tick.asset: tick for tick in reversed(ticks.opened(self._catalog.rows)) if tick.environment == environment
        }
        changes: list[tuple[str, datetime, list[Due]]] = []
        for name, schedule in found.items():
            before = reached.get(name)
            if before is None or before[0] != schedule.text:
                changes.append((name, min(moment(standing.release.at), now), []))
                continue
            at = moment(before[1])
            if (at - now).total_seconds() > BACK_S:
                changes.append((name, now, []))
                continue
            dues = self._dues(standing, name, schedule, at, now, opened.get(name))
            if dues:
                changes.append((name, dues[-1].at, dues))
        if not changes and not gone:
            return
        with self._office.change() as change:
            ticks.unschedule(change.rows, environment, gone)
            for name, at, dues in changes:
                if name in reached and moment(reached[name][1]) > at and reached[name][0] == found[name].text:
                    change.event("clock set back", name, environment=environment, before=reached[name][1], now=text(at))
                for each in dues:
                    self._add(change, standing, name, found[name], each, opened.get(name))
                ticks.reach(change.rows, environment, name, schedule=found[name].text, at=text(at))

    def _dues(
        self, standing: Standing, name: str, schedule: Schedule, reached: datetime, now: datetime, opened: Tick | None
    ) -> list[Due]:
        is_busy = opened is not None and not waits_again(opened)
        return due(
            schedule, reached, now, missed=self._missed(standing, name),
            busy_since=moment(opened.due) if opened is not None and is_busy else None,
        )  # fmt: skip

    def _missed(self, standing: Standing, name: str) -> Missed:
        policy: Missed = standing.known[name].get("missed") or self._settings.missed
        return policy

    def _add(
        self, change: Change, standing: Standing, name: str, schedule: Schedule, each: Due, opened: Tick | None
    ) -> None:
        is_run = each.does == "run"
        if is_run and opened is not None and waits_again(opened) and self._missed(standing, name) != "all":
            note = f"attempt {opened.attempts} failed; the tick of {told(each.at)} took over"
            ticks.end(change.rows, opened.id, state="failed", at=change.at, note=note, error=opened.error)
        ticks.add(
            change.rows, standing.environment, name, due=text(each.at), first=text(each.first), count=each.count,
            sort=schedule.text.split()[0], cause=schedule.text, state="waiting" if each.does == "run" else each.does,
            note=each.note, ended="" if is_run else change.at,
        )  # fmt: skip

    def answer(self, standing: Standing) -> None:
        """Write down what inputs that moved and verdicts that ask call for, once nothing is under way there."""
        rows, environment = self._catalog.rows, standing.environment
        if any(tick.environment == environment and not waits_again(tick) for tick in ticks.opened(rows)):
            return
        if not triggers.is_quiet(self._catalog, environment, now=uptime(), lease_s=self._settings.lease_s):
            return
        found = [call for call in triggers.calls(self._catalog, environment, standing.known)
                 if not ticks.is_known(rows, environment, call.asset, call.due)]  # fmt: skip
        if found:
            with self._office.change() as change:
                for call in found:
                    ticks.add(change.rows, environment, call.asset, due=call.due, sort=call.sort, cause=call.cause)


def waits_again(tick: Tick) -> bool:
    """Say whether a tick waits for another attempt; a newer tick of the same asset takes its place."""
    return tick.state == "waiting" and tick.failures > 0
