"""Two runs do the same work once: whoever sleeps, dies, or has a clock that somebody sets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from oito.catalog import environments, events, runs, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import moment, text, uptime
from oito.flow.upkeep import integrity
from tiny import CHAIN, Tiny

CHILD = """
import os, random, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
real = time.time
if sys.argv[2] == "jumping":  # somebody sets the clock, by hours, forward and back, all the time
    source = random.Random(8)
    time.time = lambda: real() + source.choice((-36_000.0, -7200.0, 0.0, 7200.0, 36_000.0))
elif sys.argv[2] == "ahead":
    time.time = lambda: real() + 36_000.0
from tiny import Tiny
from oito.flow import runner
runner.HEARTBEAT_S = 0.2
tiny = Tiny(Path(sys.argv[1]))
outcome = runner.run(tiny.site("production", lease_s=2.0))
outcome.raise_first()
print([(step.asset, step.state) for step in outcome.steps], flush=True)
os._exit(0)
"""
SLOW = CHAIN.replace(
    '    ran("cleaned")', '    import time; Path(os.environ["RAN"] + ".begun").touch(); time.sleep(3); ran("cleaned")'
)


def child(tiny: Tiny, time_source: str = "real") -> subprocess.Popen[str]:
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", code, str(tiny.root), time_source]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_it_works(tiny: Tiny) -> None:
    """Return once the slow step is under way."""
    begun, ended = tiny.root / "ran.txt.begun", time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < ended
        time.sleep(0.01)
    begun.unlink()


def counts(tiny: Tiny) -> dict[str, int]:
    rows = tiny.site().catalog.rows
    return {name: len(versions.listed(rows, name)) for name in ("orders", "cleaned", "total")}


def test_a_run_that_is_stopped_for_longer_than_its_lease_commits_nothing_twice(tiny: Tiny) -> None:
    tiny.write(SLOW)
    first = child(tiny)
    wait_until_it_works(tiny)
    os.kill(first.pid, signal.SIGSTOP)
    second = child(tiny)
    said, problem = second.communicate(timeout=60)
    assert second.returncode == 0, problem
    assert "('cleaned', 'made')" in said  # it took the work over
    os.kill(first.pid, signal.SIGCONT)
    said, problem = first.communicate(timeout=60)
    assert first.returncode == 0, problem
    assert counts(tiny) == {"orders": 1, "cleaned": 1, "total": 1}
    made = [event.subject for event in events.listed(tiny.site().catalog.rows) if event.verb == "made"]
    assert sorted(made) == ["cleaned:v1", "orders:v1", "total:v1"]
    assert [run.state for run in runs.listed(tiny.site().catalog.rows)] == ["done", "done"]
    assert integrity.check(tiny.site()).data["is_whole"]


def test_a_run_whose_clock_jumps_by_hours_is_not_taken_for_dead(tiny: Tiny) -> None:
    tiny.write(SLOW)
    jumping = child(tiny, "jumping")
    wait_until_it_works(tiny)
    other = child(tiny)
    said, problem = other.communicate(timeout=60)
    theirs = jumping.communicate(timeout=60)
    assert (jumping.returncode, other.returncode) == (0, 0), (problem, theirs)
    assert "('cleaned', 'made')" not in said
    assert counts(tiny) == {"orders": 1, "cleaned": 1, "total": 1}
    rows = tiny.site().catalog.rows
    assert not [event for event in events.listed(rows) if event.verb == "found dead"]


def test_a_run_that_died_with_its_clock_ahead_is_taken_over_after_its_lease(tiny: Tiny) -> None:
    tiny.write(SLOW)
    ahead = child(tiny, "ahead")
    wait_until_it_works(tiny)
    ahead.kill()
    ahead.communicate()
    began = time.monotonic()
    other = child(tiny)
    said, problem = other.communicate(timeout=60)
    assert other.returncode == 0, problem
    assert "('cleaned', 'made')" in said
    assert time.monotonic() - began < 30, "a dead run must not live for as long as its clock was ahead"
    assert counts(tiny) == {"orders": 1, "cleaned": 1, "total": 1}


def test_a_run_that_was_taken_for_dead_is_running_again_once_it_gives_a_sign(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    catalog = tiny.site().catalog
    (known,) = runs.listed(catalog.rows)
    with catalog.change() as change:
        change.rows.run(
            "UPDATE run SET state = 'running', seconds = NULL, seen = ? WHERE id = ?", uptime() - 99, known.id
        )
        assert runs.end_dead(change.rows, now=uptime(), lease_s=20.0) == [known.id]
    assert [(run.state, run.seconds) for run in runs.listed(catalog.rows)] == [("failed", None)]
    with catalog.change() as change:
        runs.seen(change.rows, known.id, now=uptime())
    assert runs.listed(catalog.rows)[0].state == "running"
    with catalog.change() as change:
        runs.end(change.rows, known.id, state="done", seconds=1.0)
        runs.seen(change.rows, known.id, now=uptime())
    assert runs.listed(catalog.rows)[0].state == "done"  # a late beat does not raise the dead


class Set:
    """A clock that somebody sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def test_events_and_moves_stand_in_their_order_whatever_the_clock_says(tiny: Tiny) -> None:
    noon = moment("2024-01-01T12:00")
    clock = Set(noon)
    catalog = Catalog(tiny.root / "home", clock, who="ana")
    tiny.write(CHAIN)
    for number, hours in enumerate((0, 10, -10, 3, -3)):
        clock.at = noon + timedelta(hours=hours)
        with catalog.change() as change:
            change.event("told", "x", number=number)
            identity = versions.insert(
                change.rows, _version(f"f{number}"), at=change.at, environment="dev", run=""
            )  # fmt: skip
            change.move("dev", "x", identity)
    assert [event.detail["number"] for event in events.listed(catalog.rows)] == [4, 3, 2, 1, 0]
    assert events.first_broken(catalog.rows) is None
    assert [move.version for move in environments.moves(catalog.rows, "dev", "x")] == [1, 2, 3, 4, 5]
    assert environments.at_time(catalog.rows, "dev", text(noon + timedelta(days=1))) == {"x": 5}
    catalog.close()


def _version(fingerprint: str) -> NewVersion:
    return NewVersion("x", "dataset", fingerprint, "d", "c", {}, [])
