"""Come what may (kills, stops, nights off, clocks, failures), each moment of each schedule stands in exactly one tick."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from clockwork import START, Killed, Known, Machine
from oito.catalog import ticks
from oito.clock import moment, text
from oito.flow.schedules.schedule import MISSED, schedules

SPANS = st.sampled_from([1.0, 20.0, 59.0, 61.0, 400.0, 1800.0, 3599.9, 3600.0, 9000.0])
DEEDS = st.lists(
    st.tuples(st.sampled_from(["turn", "turn", "turn", "killed", "stopped", "off", "spawn", "go"]), SPANS), max_size=25
)
ASSETS = st.fixed_dictionaries(
    {
        "orders": st.fixed_dictionaries(
            {"needs": st.just([]), "every": st.sampled_from(["7m", "1h"]), "missed": st.sampled_from(MISSED), "retries": st.sampled_from([0, 1])}
        ),
        "report": st.fixed_dictionaries(
            {"needs": st.just(["orders"]), "cron": st.sampled_from(["*/20 * * * *", "5 */2 * * *"]), "missed": st.sampled_from(MISSED)}
        ),
    }
)  # fmt: skip


@given(ASSETS, DEEDS, st.sampled_from([0.5, 300.0, 5000.0]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_come_what_may_each_tick_is_accounted_for_exactly_once(
    known: Known, deeds: list[tuple[str, float]], takes_s: float, fails: bool
) -> None:
    with TemporaryDirectory() as folder:
        machine = Machine(Path(folder), takes_s=lambda targets: takes_s, fails={"orders"} if fails else set())
        try:
            machine.release(known)
            play(machine, deeds)
            check(machine, known)
        finally:
            machine.close()


def play(machine: Machine, deeds: list[tuple[str, float]]) -> None:
    """Move the clock, and turn, kill, stop or leave alone who leads."""
    leader = machine.led()
    for deed, seconds in deeds:
        if deed == "stopped":
            leader.close()
            leader = machine.led()
        elif deed == "killed":
            leader = machine.led()
        machine.kill_at = deed if deed in {"spawn", "go"} else ""
        machine.advance(seconds)
        try:
            if deed != "off":
                leader.turn()
        except Killed:
            leader = machine.led()
        machine.kill_at = ""
        names = [
            (p.told["settings"]["environment"], n) for p in machine.at_work if p.told for n in p.told["targets"][:1]
        ]
        assert len(names) == len(set(names)), "two runs of one asset at once"
    leader = leader if leader.office.leads else machine.led()
    leader.turn()


def check(machine: Machine, known: Known) -> None:
    """Each moment of each schedule, up to the last look, stands in exactly one tick."""
    for name, schedule in schedules(known).items():
        rows = machine.ticks(asset=name)
        stood: list[str] = []
        for tick in rows:
            at = moment(tick.first)
            stood.append(text(at))
            for _ in range(tick.count - 1):
                at = schedule.after(at)
                stood.append(text(at))
            assert text(at) == tick.due
            assert tick.note or tick.state in {"waiting", "running", "ran"}, "what did not run says why"
        assert len(stood) == len(set(stood)), "a moment stands in two ticks"
        (reached,) = {
            at for asset, (_, at) in ticks.reached(machine.catalog.rows, "production").items() if asset == name
        }
        assert len(stood) == schedule.count(START, moment(reached))
        assert schedule.count(moment(reached), machine.clock.now()) == 0, "something due was not looked at"
        runs = [tick.run for tick in rows if tick.state == "ran"]
        assert all(runs), "what ran says in which run"
