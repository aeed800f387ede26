"""The page of what runs by itself: what is next and why, what is at work, what became of the last ticks, who leads. And asking by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from oito.catalog import ticks
from oito.catalog.ticks import Leader, Tick
from oito.clock import moment, text
from oito.errors import BadInput, UnknownAsset, UnknownEnvironment
from oito.flow import triggers
from oito.flow.action import action
from oito.flow.schedules.schedule import followers, schedules, wave
from oito.flow.site import Site
from oito.flow.triggers import Standing
from oito.names import did_you_mean, duration_text
from oito.show import Badge, Block, Cell, Facts, Form, Link, Page, Table, Tone

TONES: dict[ticks.State, Tone] = {
    "waiting": "plain", "running": "plain", "ran": "good", "failed": "bad", "skipped": "warn", "missed": "warn",
}  # fmt: skip
SILENT_S = 15.0  # a leader that gave no sign of life for longer is gone
NOBODY = "nobody: oito up carries the schedules out"


@action("schedule", page="/schedule")
def schedule(site: Site, *, limit: int = 30) -> Page:
    """Show what runs by itself in released environments: what is next and why, what ran, what was skipped, and who leads.

    Args:
        limit: how many of the last ticks.
    """
    standing = _standing(site)
    leader, opened = ticks.leader(site.catalog.rows), ticks.opened(site.catalog.rows)
    ended = [tick for tick in ticks.listed(site.catalog.rows, limit=limit + len(opened)) if not tick.is_open][:limit]
    coming = _coming(site, standing)
    first = next((each for each in coming if each["at"]), None)
    blocks: list[Block] = [
        Facts(
            [
                ("leader", _holder(site, leader)),
                *([("since", leader.since)] if leader else []),
                ("next", f"{first['asset']} in {first['in']}" if first else "nothing has a schedule"),
                ("environments", ", ".join(each.environment for each in standing) or "nothing was released yet"),
                ("time zone", site.settings.timezone),
            ]
        ),
        Table(
            ["asset", "in", "why", "last", "next", "with it", "when missed", "environment"],
            [_coming_row(each) for each in coming],
            title="Next",
            empty="no released asset says when it runs: every=, cron= or after=",
        ),
    ]
    if opened:
        columns = ["asset", "state", "due", "why", "attempt", "not before", "note", "run", "environment"]
        blocks.append(Table(columns, [_opened_row(tick) for tick in opened], title="At work and waiting"))
    columns = ["asset", "state", "due", "why", "ticks", "note", "run", "environment"]
    blocks.append(Table(columns, [_ended_row(tick) for tick in ended], title="Last ticks", empty="none yet"))
    if standing:
        blocks.append(Form("schedule now", {"target": standing[0].environment}, title="Run one now"))
    data = {
        "leader": vars(leader) if leader else None, "is_led": _is_led(site, leader), "next_ticks": coming,
        "open": [_data(tick) for tick in opened], "ticks": [_data(tick) for tick in ended], "next": None,
    }  # fmt: skip
    return Page("Schedule", blocks, data)


@action("schedule now", writes=True)
def now(site: Site, asset: str, *, target: str = "") -> Page:
    """Put an asset of a released environment into the leader's queue: it runs as soon as a process leads, as on its schedule.

    Args:
        asset: which; what is made from it follows.
        target: the released environment; by default the only one, or the base of all.
    """
    known = {each.environment: each for each in _standing(site)}
    name = target or (site.catalog.base if len(known) != 1 else next(iter(known)))
    if name not in known:
        raise UnknownEnvironment(
            f"{name} has no schedules", known="schedules are those of released code",
            next=did_you_mean(name, known) or f"oito release {name}",
        )  # fmt: skip
    if asset not in known[name].known:
        raise UnknownAsset(f"{name} has no asset {asset!r}", next=did_you_mean(asset, known[name].known))
    with site.catalog.change() as change:
        cause = f"asked by {change.who}"
        if not ticks.add(change.rows, name, asset, due=change.at, sort="hand", cause=cause):
            raise BadInput(f"{asset} has a tick at this very moment", next="oito schedule")
        change.event("asked for", asset, environment=name)
    is_led = _is_led(site, ticks.leader(site.catalog.rows))
    told = "the leader takes it up within a second" if is_led else "it waits until oito up runs"
    facts = Facts(
        [("asset", asset), ("environment", name), ("brings up to date", _many(known[name], asset)), ("then", told)]
    )
    data = {"asset": asset, "environment": name, "due": text(site.now()), "is_led": is_led}
    return Page(f"{asset} is in the queue", [facts], data)


def _standing(site: Site) -> list[Standing]:
    names = triggers.newest_releases(site.catalog)
    return [each for name in names if (each := triggers.standing(site.catalog, name)) is not None]


def _is_led(site: Site, leader: Leader | None) -> bool:
    return leader is not None and abs((site.now() - moment(leader.seen)).total_seconds()) < SILENT_S


def _holder(site: Site, leader: Leader | None) -> Cell:
    if leader is None:
        return Badge(NOBODY, "warn")
    host, pid, _ = leader.holder.rsplit(":", 2)
    if not _is_led(site, leader):
        return Badge(f"nobody since {leader.seen[:19].replace('T', ' ')}", "bad")
    return Badge(f"process {pid} on {host}", "good")


def _coming(site: Site, standing: list[Standing]) -> list[dict[str, Any]]:
    """Return what runs next, soonest first; what follows its inputs has no moment."""
    now, last = site.now(), ticks.newest(site.catalog.rows)
    found = []
    for each in standing:
        for name, moments in schedules(each.known, zone=site.settings.timezone).items():
            found.append(_next(site, each, name, moments.text, moments.after(now), last.get((each.environment, name))))
        for name in followers(each.known):
            found.append(_next(site, each, name, "after its inputs", None, last.get((each.environment, name))))
    return sorted(found, key=lambda row: (row["at"] or "~", row["asset"]))


def _next(
    site: Site, standing: Standing, name: str, why: str, at: datetime | None, last: Tick | None
) -> dict[str, Any]:
    return {
        "asset": name, "environment": standing.environment, "at": text(at) if at else None,
        "in": _left(at, site.now()) if at else None, "why": why, "targets": wave(standing.known, name),
        "missed": (standing.known[name].get("missed") or site.settings.missed) if at else None,
        "last": last.state if last else None,
    }  # fmt: skip


def _left(at: datetime, now: datetime) -> str:
    left, second = at - now, timedelta(seconds=1)
    return duration_text(max(left // second, 1) * second)


def _coming_row(row: dict[str, Any]) -> list[Cell]:
    rest = len(row["targets"]) - 1
    last = row["last"]
    return [
        Link(row["asset"], f"/assets/{row['asset']}"), row["in"], row["why"], Badge(last, TONES[last]) if last else None,
        row["at"], f"+ {rest} below" if rest else None, row["missed"], row["environment"],
    ]  # fmt: skip


def _many(standing: Standing, asset: str) -> str:
    return ", ".join(wave(standing.known, asset))


def _opened_row(tick: Tick) -> list[Cell]:
    return [
        Link(tick.asset, f"/assets/{tick.asset}"), Badge(tick.state, TONES[tick.state]), tick.due, tick.cause,
        tick.attempts or None, tick.not_before or None, tick.note, _run(tick), tick.environment,
    ]  # fmt: skip


def _ended_row(tick: Tick) -> list[Cell]:
    return [
        Link(tick.asset, f"/assets/{tick.asset}"), Badge(tick.state, TONES[tick.state]), tick.due, tick.cause,
        tick.count, tick.note, _run(tick), tick.environment,
    ]  # fmt: skip


def _run(tick: Tick) -> Cell:
    return Link(tick.run, f"/runs/{tick.run}") if tick.run else None


def _data(tick: Tick) -> dict[str, Any]:
    return {name: value for name, value in vars(tick).items() if name not in {"pid", "reason"}}
