"""The scheduler's turns on a clock that is moved by hand: what it writes down, starts, skips, tries again, and who leads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clockwork import START, Killed, Known, Machine
from oito.catalog import events, ticks, versions
from oito.catalog.records import NewVersion
from oito.clock import VirtualClock
from oito.scheduler.office import LEASE_S

HOUR = 3600.0
SHOP: Known = {
    "orders": {"needs": [], "every": "1h"}, "clean": {"needs": ["orders"]},
    "report": {"needs": ["clean"], "cron": "0 6 * * *"}, "mail": {"needs": ["report"]},
}  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    found.close()


def told(machine: Machine, **of: Any) -> list[tuple[str, str, str]]:
    return [(tick.due[11:16], tick.asset, tick.state) for tick in machine.ticks(**of)]


def test_a_tick_runs_released_assets_and_what_is_made_from_them(machine: Machine) -> None:
    machine.release(SHOP)
    leader = machine.led()
    assert machine.ticks() == [], "nothing is due before its time"
    machine.advance(HOUR)
    leader.turn()
    (process,) = machine.at_work
    assert process.told is not None
    assert process.told["targets"] == ["orders", "clean"]
    assert process.told["settings"] == {"environment": "production", "who": "scheduler"}
    assert process.told["reason"] == "orders every 1h, due 2024-01-01 01:00:00 (tick 1)"
    machine.advance(1)
    leader.turn()
    (tick,) = machine.ticks()
    assert (tick.state, tick.note, tick.run, tick.count) == ("ran", "2 made", "r-1", 1)


def test_ticks_of_one_moment_are_one_run(machine: Machine) -> None:
    machine.release(SHOP)
    leader = machine.led()
    machine.advance(6 * HOUR)
    leader.turn()
    (process,) = machine.processes
    assert process.told is not None
    assert process.told["targets"] == ["orders", "clean", "report", "mail"]
    assert "orders every 1h and 1 more, due" in process.told["reason"]


def test_a_tick_is_skipped_while_the_one_before_runs_and_says_so(machine: Machine) -> None:
    machine.takes_s = lambda targets: 2.5 * HOUR
    machine.release(SHOP)
    leader = machine.led()
    for _ in range(4):
        machine.advance(HOUR)
        leader.turn()
    assert told(machine) == [
        ("01:00", "orders", "ran"), ("02:00", "orders", "skipped"), ("03:00", "orders", "skipped"), ("04:00", "orders", "running"),
    ]  # fmt: skip
    assert machine.ticks()[1].note == "the run of 2024-01-01 01:00:00 has not ended"


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("once", [("05:00", "ran", 5)]),
        ("skip", [("04:00", "missed", 4), ("05:00", "ran", 1)]),
        (
            "all",
            [("01:00", "ran", 1), ("02:00", "ran", 1), ("03:00", "ran", 1), ("04:00", "ran", 1), ("05:00", "ran", 1)],
        ),
    ],
)
def test_ticks_at_which_nobody_was_there_are_treated_as_declared(
    machine: Machine, missed: str, expected: list[tuple[str, str, int]]
) -> None:
    machine.release({"orders": {"needs": [], "every": "1h", "missed": missed}})
    machine.advance(5 * HOUR + 10)
    leader = machine.led()
    for _ in range(20):
        machine.advance(1)
        leader.turn()
    assert [(tick.due[11:16], tick.state, tick.count) for tick in machine.ticks()] == expected
    reasons = [process.told["reason"] for process in machine.processes if process.told]
    ran = [due for due, state, _ in expected if state == "ran"]
    assert all(f"due 2024-01-01 {due}" in reason for due, reason in zip(ran, reasons, strict=True)), "oldest first"


def test_the_setting_is_the_policy_where_an_asset_says_none(machine: Machine) -> None:
    machine.settings["missed"] = "skip"
    machine.release({"orders": {"needs": [], "every": "1h"}})
    machine.advance(5 * HOUR + 1800)
    machine.led().turn()
    assert [(tick.state, tick.count, tick.note) for tick in machine.ticks()] == [
        ("missed", 5, "nobody was there when it was due")
    ]


def test_a_failed_tick_is_tried_again_as_often_as_declared_and_later_each_time(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1h", "retries": 2}})
    machine.fails = {"orders"}
    leader = machine.led()
    machine.advance(HOUR)
    waits = []
    for _ in range(400):
        leader.turn()
        (tick,) = machine.ticks()
        if tick.not_before and tick.not_before not in waits:
            waits.append(tick.not_before)
        machine.advance(1)
    assert [each[11:19] for each in waits] == ["01:00:31", "01:01:32"]
    assert (tick.state, tick.attempts, tick.note) == ("failed", 3, "orders: orders raised ValueError: no")
    reasons = [process.told["reason"] for process in machine.processes if process.told]
    assert [reason[reason.index("(") :] for reason in reasons] == [
        "(tick 1)",
        "(tick 1, attempt 2)",
        "(tick 1, attempt 3)",
    ]


def test_a_newer_tick_takes_over_from_one_that_waits_for_another_attempt(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1m", "retries": 9}})
    machine.fails = {"orders"}
    leader = machine.led()
    for _ in range(75):
        machine.advance(2)
        leader.turn()
    first, second, *_ = machine.ticks()
    assert (first.state, second.state) == ("failed", "waiting")
    assert first.note.endswith("failed; the tick of 2024-01-01 00:02:00 took over")


def test_only_the_ticks_whose_own_assets_failed_have_failed(machine: Machine) -> None:
    machine.release(SHOP)
    machine.fails = {"mail"}
    leader = machine.led()
    machine.advance(6 * HOUR)
    leader.turn()
    machine.advance(1)
    leader.turn()
    assert {tick.asset: (tick.state, tick.note) for tick in machine.ticks()} == {
        "orders": ("ran", "2 made"), "report": ("failed", "mail: mail raised ValueError: no"),
    }  # fmt: skip


def test_a_process_that_dies_fails_its_tick_and_is_tried_again_without_being_told(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1h"}})
    leader = machine.led()
    machine.advance(HOUR)
    leader.turn()
    machine.end(machine.at_work[0], code=-9)
    leader.turn()
    (tick,) = machine.ticks()
    assert (tick.state, tick.note) == ("waiting", "its process was ended by SIGKILL")
    assert machine.catalog.rows.read("SELECT state FROM run")[0]["state"] == "failed", "its work is free at once"
    machine.advance(31)
    leader.turn()
    machine.advance(1)
    leader.turn()
    assert [(tick.state, tick.attempts) for tick in machine.ticks()] == [("ran", 2)]


def test_what_a_person_asks_for_runs_once_and_first(machine: Machine) -> None:
    machine.release(SHOP)
    leader = machine.led()
    with machine.catalog.change() as change:
        ticks.add(change.rows, "production", "report", due=change.at, sort="hand", cause="asked by ana")
    leader.turn()
    assert machine.at_work[0].told and machine.at_work[0].told["targets"] == ["report", "mail"]
    machine.advance(2)
    leader.turn()
    leader.turn()
    assert [(tick.sort, tick.state) for tick in machine.ticks()] == [("hand", "ran")]


def test_a_release_changes_what_runs_and_a_rollback_changes_it_back(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1h"}}, rollback=0)
    leader = machine.led()
    machine.advance(90 * 60)
    leader.turn()
    machine.release({"orders": {"needs": [], "cron": "45 * * * *"}})
    leader.turn()
    machine.advance(HOUR)
    leader.turn()
    machine.release({}, rollback_to=1)
    leader.turn()
    machine.advance(HOUR)
    leader.turn()
    assert [(tick.due[11:16], tick.cause) for tick in machine.ticks()] == [
        ("01:00", "every 1h"), ("01:45", "cron 45 * * * *"), ("03:00", "every 1h"),
    ]  # fmt: skip


def test_ticks_wait_while_as_many_runs_as_may_be_are_at_work(machine: Machine) -> None:
    machine.settings["scheduled_runs"] = 1
    machine.takes_s = lambda targets: 120.0
    machine.release({"slow": {"needs": [], "cron": "0 * * * *"}, "other": {"needs": [], "cron": "1 1 * * *"}})
    leader = machine.led()
    machine.advance(HOUR)
    leader.turn()
    machine.advance(61)
    leader.turn()
    assert told(machine) == [("01:00", "slow", "running"), ("01:01", "other", "waiting")]
    machine.advance(60)
    leader.turn()
    assert told(machine) == [("01:00", "slow", "ran"), ("01:01", "other", "running")]


def test_a_clock_that_is_set_back_stops_no_schedule(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1h"}})
    leader = machine.led()
    machine.advance(100 * HOUR)  # the clock was wrong for a while
    leader.turn()
    right = VirtualClock(START + timedelta(hours=2, minutes=30))
    leader.catalog.clock = machine.catalog.clock = machine.clock = right
    leader.turn()
    machine.advance(HOUR)
    leader.turn()
    machine.advance(2)
    leader.turn()
    machine.advance(HOUR)
    leader.turn()
    dues = [tick.due[:13] for tick in machine.ticks()]
    assert dues == ["2024-01-01T03", "2024-01-01T04", "2024-01-05T04"], "the last one is what the wrong clock saw"
    told_of = [each for each in events.listed(machine.catalog.rows) if each.verb == "clock set back"]
    assert len(told_of) == 1


def test_one_leads_and_the_other_takes_over_when_no_sign_of_life_comes(machine: Machine) -> None:
    machine.release(SHOP)
    first, second = machine.led(), machine.scheduler()
    for _ in range(30):
        machine.advance(1)
        first.turn()
        second.turn()
    assert first.office.leads and not second.office.leads
    silent = 0.0
    while not second.office.leads:  # the first is not turned any more
        machine.advance(0.5)
        silent += 0.5
        second.turn()
    assert LEASE_S <= silent + 1.5 <= LEASE_S + 2.5
    machine.advance(HOUR)
    first.turn()
    second.turn()
    assert not first.office.leads and second.office.leads
    assert [tick.state for tick in machine.ticks()] == ["running"]
    verbs = [(each.verb, each.detail.get("why", "")) for each in reversed(events.listed(machine.catalog.rows))]
    assert verbs == [
        ("leads", "the office was free"), ("leads", f"no sign of life of {first.office.holder} for 6 s"),
    ]  # fmt: skip
    assert events.first_broken(machine.catalog.rows) is None


def test_who_leaves_lets_the_next_take_over_at_once(machine: Machine) -> None:
    machine.release(SHOP)
    machine.takes_s = lambda targets: 600.0
    first, second = machine.led(), machine.scheduler()
    second.turn()
    machine.advance(HOUR)
    first.turn()
    first.close()
    assert [(tick.state, tick.note) for tick in machine.ticks()] == [
        ("waiting", "stopped with the scheduler; the next leader runs it")
    ]
    second.turn()
    second.turn()
    assert [(tick.state, tick.attempts, tick.failures) for tick in machine.ticks()] == [("running", 2, 0)]


def test_the_next_leader_goes_on_with_the_run_of_one_that_was_killed(machine: Machine) -> None:
    machine.release(SHOP)
    machine.takes_s = lambda targets: 60.0
    first = machine.led()
    machine.advance(HOUR)
    first.turn()
    second = machine.led()
    assert second is not first
    second.turn()
    assert len(machine.processes) == 1 and machine.states() == ["running"]
    machine.advance(60)
    second.turn()
    assert machine.states() == ["ran"] and len(machine.processes) == 1


@pytest.mark.parametrize("place", ["spawn", "go"])
def test_a_leader_that_dies_while_it_starts_a_run_leaves_it_to_the_next(machine: Machine, place: str) -> None:
    machine.release(SHOP)
    first = machine.led()
    machine.kill_at = place
    machine.advance(HOUR)
    with pytest.raises(Killed):
        first.turn()
    second = machine.led()
    for _ in range(50):
        machine.advance(1)
        second.turn()
    assert machine.states() == ["ran"]
    assert len([process for process in machine.processes if process.told]) == 1


def test_what_one_store_remembers_of_ended_ticks_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticks, "KEPT", 5)
    machine.release({"orders": {"needs": [], "every": "1h"}})
    leader = machine.led()
    for _ in range(9):
        machine.advance(HOUR)
        leader.turn()
        machine.advance(1)
        leader.turn()
    with machine.catalog.change() as change:
        ticks.forget_old(change.rows)
    assert [tick.due[11:13] for tick in machine.ticks()] == ["05", "06", "07", "08", "09"]


def made(
    machine: Machine, asset: str, content: str, *, of: int | None = None, record: dict[str, Any] | None = None
) -> int:
    """Let production point at a new version of an asset."""
    new = NewVersion(
        asset=asset, kind="dataset", fingerprint=f"{asset} {content}", definition="", content=content, parts={},
        inputs=[("input", of)] if of else [], record=record or {},
    )  # fmt: skip
    with machine.catalog.change() as change:
        identity = versions.insert(change.rows, new, at=change.at, environment="production", run="r-0")
        change.move("production", asset, identity)
    return identity


def test_an_input_that_moved_runs_its_follower_once(machine: Machine) -> None:
    machine.release({"orders": {"needs": []}, "total": {"needs": ["orders"], "after": "inputs"}})
    made(machine, "total", "sum", of=made(machine, "orders", "old"))
    leader = machine.led()
    assert machine.ticks() == []
    machine.advance(5)
    made(machine, "orders", "new")
    for _ in range(9):
        leader.turn()
        machine.advance(1)
    assert [(tick.asset, tick.sort, tick.cause, tick.state) for tick in machine.ticks()] == [
        ("total", "upstream", "orders moved to orders:v2", "ran")
    ], "also when its run changed nothing: one move is one tick"


def test_a_verdict_that_asks_waits_until_all_is_quiet_and_runs_what_it_asks_for_once(machine: Machine) -> None:
    machine.release({"orders": {"needs": [], "every": "1h"}, "model": {"needs": ["orders"], "retries": 1}})
    made(machine, "model", "weights")
    machine.takes_s = lambda targets: 30.0
    leader = machine.led()
    machine.advance(HOUR)
    leader.turn()
    made(machine, "watch", "verdict", record={"asks": {"model": "retrain: it pays"}})
    leader.turn()
    assert machine.states() == ["running"], "the run that is at work may answer it"
    for _ in range(20):
        machine.advance(5)
        leader.turn()
    assert [(tick.asset, tick.sort, tick.cause, tick.state) for tick in machine.ticks()] == [
        ("orders", "every", "every 1h", "ran"),
        ("model", "verdict", "watch:v1 asks: retrain: it pays", "ran"),
    ]
