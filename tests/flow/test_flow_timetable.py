"""The page of what runs by itself says what is next, why, what became of ticks, and who leads; asking by hand is put into the queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clockwork import Machine
from oito.catalog import events
from oito.errors import BadInput, OitoError, UnknownAsset, UnknownEnvironment
from oito.flow import timetable
from oito.flow.project import Project
from oito.flow.site import Site
from oito.settings import load as load_settings
from oito.show import Facts, Page, Table, cell_text
from oito.storage.files import Files

SHOP: dict[str, dict[str, Any]] = {
    "orders": {"needs": [], "every": "1h"}, "clean": {"needs": ["orders"]},
    "report": {"needs": ["clean"], "cron": "0 6 * * *", "missed": "skip"}, "mail": {"needs": ["report"], "after": "inputs"},
}  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    found.close()


def site_of(machine: Machine) -> Site:
    project = Project(machine.folder, {}, {}, ())
    files = Files(machine.folder / ".oito" / "files")
    return Site(project, machine.catalog, files, load_settings(machine.folder, {}), "dev", machine.folder)


def table(page: Page, title: str) -> list[list[str]]:
    (found,) = [block for block in page.blocks if isinstance(block, Table) and block.title == title]
    return [[cell_text(cell) for cell in row] for row in found.rows]


def fact(page: Page, name: str) -> str:
    (facts,) = [block for block in page.blocks if isinstance(block, Facts)]
    return next(cell_text(cell) for each, cell in facts.pairs if each == name)


def test_that_nothing_was_released_is_told(machine: Machine) -> None:
    page = timetable.schedule(site_of(machine))
    assert fact(page, "leader") == "nobody: oito up carries the schedules out"
    assert (fact(page, "environments"), fact(page, "next")) == ("nothing was released yet", "nothing has a schedule")
    assert table(page, "Next") == [] and page.data["next_ticks"] == []


def test_what_runs_next_and_why_stands_soonest_first(machine: Machine) -> None:
    machine.release(SHOP)
    page = timetable.schedule(site_of(machine))
    assert fact(page, "leader") == timetable.NOBODY
    assert fact(page, "next") == "orders in 1h"
    assert table(page, "Next") == [
        ["orders", "1h", "every 1h", "–", "2024-01-01 01:00:00", "+ 1 below", "once", "production"],
        ["report", "6h", "cron 0 6 * * *", "–", "2024-01-01 06:00:00", "+ 1 below", "skip", "production"],
        ["mail", "–", "after its inputs", "–", "–", "–", "–", "production"],
    ]
    assert page.data["next_ticks"][0]["targets"] == ["orders", "clean"]
    assert page.data["is_led"] is False and page.data["next"] is None


def test_what_became_of_ticks_is_shown_with_run_and_reason(machine: Machine) -> None:
    machine.takes_s = lambda targets: 5000.0
    machine.fails = {"report"}
    machine.release(SHOP)
    leader = machine.led()
    for _ in range(3):
        machine.advance(3600)
        leader.turn()
    page = timetable.schedule(site_of(machine))
    assert [row[:7] for row in table(page, "Last ticks")] == [
        [
            "orders",
            "skipped",
            "2024-01-01 02:00:00",
            "every 1h",
            "1",
            "the run of 2024-01-01 01:00:00 has not ended",
            "–",
        ],
        ["orders", "ran", "2024-01-01 01:00:00", "every 1h", "1", "2 made", "r-1"],
    ]
    assert [row[:2] for row in table(page, "At work and waiting")] == [["orders", "running"]]
    assert fact(page, "leader").startswith("process ")
    assert page.data["leader"]["holder"] == leader.office.holder
    assert {tick["state"] for tick in page.data["ticks"]} == {"ran", "skipped"}


def test_a_leader_that_fell_silent_is_told(machine: Machine) -> None:
    machine.release(SHOP)
    machine.led()
    machine.advance(60)
    page = timetable.schedule(site_of(machine))
    assert fact(page, "leader") == "nobody since 2024-01-01 00:00:00" and page.data["is_led"] is False


def test_asking_by_hand_puts_a_tick_into_the_queue_and_is_an_event(machine: Machine) -> None:
    machine.release(SHOP)
    page = timetable.now(site_of(machine), "report")
    assert page.title == "report is in the queue"
    assert fact(page, "brings up to date") == "report, mail"
    assert fact(page, "then") == "it waits until oito up runs"
    (tick,) = machine.ticks()
    assert (tick.asset, tick.sort, tick.cause, tick.state) == ("report", "hand", "asked by ana", "waiting")
    assert [(each.verb, each.subject) for each in events.listed(machine.catalog.rows)] == [("asked for", "report")]
    machine.led()
    assert fact(timetable.now(site_of(machine), "orders"), "then") == "the leader takes it up within a second"


def failed(machine: Machine, *asked: str, **how: Any) -> OitoError:
    with pytest.raises(OitoError) as caught:
        timetable.now(site_of(machine), *asked, **how)
    return caught.value


def test_what_cannot_be_asked_for_is_told_with_what_could_be(machine: Machine) -> None:
    assert isinstance(nothing := failed(machine, "orders"), UnknownEnvironment)
    assert str(nothing) == (
        "production has no schedules\n  known    schedules are those of released code\n  next     oito release production"
    )
    machine.release(SHOP)
    assert isinstance(unknown := failed(machine, "order"), UnknownAsset)
    assert str(unknown) == "production has no asset 'order'\n  next     did you mean 'orders'?"
    assert str(failed(machine, "orders", target="producton")).endswith("did you mean 'production'?")
    timetable.now(site_of(machine), "orders")
    assert isinstance(failed(machine, "orders"), BadInput), "twice at one moment"
