"""Whole runs with steps in processes: the same versions, a dead worker, Ctrl-C, a kill, and what is left to do afterwards."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from engine_room import children, gone, in_session
from oito.catalog import runs
from oito.errors import MemoryExceeded, PartitionsFailed, StepTimeout, WorkerDied
from oito.storage.sql import Database
from oito.workspace import Workspace
from tiny import HEAD, Tiny

TESTS = Path(__file__).parents[1]
PARCELS = TESTS.parent / "docs" / "examples" / "parcels"

DAYS = (
    HEAD
    + """
from datetime import timedelta

@oito.source(key="id", partition=oito.Day.of("at"))
def orders(since):
    day = pl.col("n").map_elements(lambda n: timedelta(days=n), return_dtype=pl.Duration)
    return outside().with_columns(at=pl.lit("2024-01-01T05:00:00").str.to_datetime(time_zone="UTC") + day)

@oito.dataset
def daily(orders: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    ran(str(day))
    print("rows:", orders.height)
    return orders.select("id", "n")

@oito.dataset
def total(daily: pl.DataFrame) -> pl.DataFrame:
    return daily.select(pl.col("n").sum())
"""
)


def contents(home: Path) -> dict[str, str]:
    """Return asset (or partition) → content of every version."""
    rows = Database(home / "catalog.db")
    found = {f"{row['asset']}:v{row['number']}": row["content"] for row in rows.read("SELECT * FROM version")}
    rows.close()
    return found


def command(tiny: Tiny, *words: str) -> subprocess.Popen[str]:
    """Start `oito` on the project in a process of its own."""
    code = "import sys; from oito.cli import main; sys.exit(main())"
    paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=tiny.root, text=True, env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def begun(tiny: Tiny, count: int = 1) -> list[str]:
    """Wait until so many steps have said that they are at work."""
    said: list[str] = []
    until = time.monotonic() + 60
    while len(said) < count and time.monotonic() < until:
        time.sleep(0.02)
        said += tiny.ran()
    assert len(said) == count, said
    return said


def test_a_whole_project_has_the_same_versions_in_both_engines(tmp_path: Path) -> None:
    found = []
    for name, jobs in (("one", 0), ("two", 2)):
        shutil.copytree(PARCELS, tmp_path / name, ignore=shutil.ignore_patterns(".oito", "__pycache__"))
        workspace = Workspace(
            tmp_path / name, now="2024-03-15", jobs=jobs or 1, engine="processes" if jobs else "inline"
        )
        workspace.run(collect=["parcels"])
        workspace.close()
        found.append(contents(tmp_path / name / ".oito"))
    assert len(found[0]) == 8
    assert found[0] == found[1]


def test_partitions_are_the_same_in_both_engines(tiny: Tiny, tmp_path: Path) -> None:
    other = Tiny(tmp_path / "other", outside=tiny.root / "outside.json").write(DAYS)
    tiny.write(DAYS).tell(id=list(range(12)), n=[1, 2, 3, 4] * 3)
    other.run(collect=["orders"])
    tiny.run(collect=["orders"], jobs=3)
    assert contents(tiny.root / ".oito") == contents(other.root / ".oito")
    assert tiny.rows("total")["n"].to_list() == [30]
    other.close()


def test_a_failing_partition_is_told_by_its_name(tiny: Tiny) -> None:
    tiny.write(DAYS.replace("    ran(str(day))", "    if str(day)[-1] in '35': os._exit(4)"))
    tiny.tell(id=list(range(12)), n=[1, 2, 3, 4] * 3)
    error = tiny.tried(collect=["orders"], jobs=2).errors["daily"]
    assert isinstance(error, PartitionsFailed)
    for day in ("2024-01-03", "2024-01-05"):
        assert f"daily[{day}]: the process that made daily[{day}] ended with exit code 4" in str(error)


STEPS = (
    HEAD
    + """
import time
@oito.source
def start(since): return pl.DataFrame({"n": [1]})

@oito.dataset(timeout="300ms")
def slow(start):
    print("before")
    time.sleep(60)

@oito.dataset(memory="200MB")
def large(start):
    held = [bytearray(10**7) for _ in range(400) if not time.sleep(0.01)]

@oito.dataset
def dead(start):
    print("not yet")
    os.kill(os.getpid(), 9)

@oito.dataset
def fine(start): return start

@oito.dataset
def below(dead): return dead
"""
)


def test_each_end_stands_in_the_record_of_the_run_with_its_reason_and_its_log(tiny: Tiny) -> None:
    others = children(os.getpid())  # a library's helper process may stay for all tests
    outcome = tiny.write(STEPS).tried(collect=["start"], jobs=2)
    assert tiny.did(outcome) == {
        "start": "made", "slow": "failed", "large": "failed", "dead": "failed", "fine": "made", "below": "blocked",
    }  # fmt: skip
    classes = {"slow": StepTimeout, "large": MemoryExceeded, "dead": WorkerDied}
    assert {name: type(error) for name, error in outcome.errors.items()} == classes
    told = {step.asset: step for step in runs.steps(tiny.site().catalog.rows, outcome.run)}
    assert told["slow"].log == "before"
    assert told["dead"].log == "not yet"
    assert told["dead"].error == str(outcome.errors["dead"])
    assert set(children(os.getpid())) <= set(others)


LONG = (
    HEAD
    + """
import time
@oito.source
def first(since):
    return pl.DataFrame({"n": [1]})

@oito.dataset
def second(first):
    ran(str(os.getpid()))
    if (Path(os.environ["RAN"]).parent / "hold").exists():
        time.sleep(600)
    return first

@oito.dataset
def third(first):
    ran(str(os.getpid()))
    if (Path(os.environ["RAN"]).parent / "hold").exists():
        time.sleep(600)
    return first
"""
)


@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_ctrl_c_leaves_nothing_half_done_in_either_engine(tiny: Tiny, jobs: int) -> None:
    tiny.write(LONG).write("", "hold")
    words = ["run", "--collect", *(["--jobs", str(jobs)] if jobs else [])]
    parent = command(tiny, *words)
    workers = [int(each) for each in begun(tiny, max(1, jobs))]
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 130, err
    assert err.splitlines()[-1] == "stopped; what was finished is kept, and the same command goes on from there"
    assert all(gone(partial(in_session, worker)) for worker in workers if jobs)
    rows = tiny.site().catalog.rows
    (run,) = runs.listed(rows)
    assert run.state == "stopped"
    assert rows.read("SELECT * FROM work") == []
    assert list((tiny.root / ".oito" / "files" / "scratch").iterdir()) == []
    (tiny.root / "hold").unlink()
    again = command(tiny, *words)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert set(contents(tiny.root / ".oito")) == {"first:v1", "second:v1", "third:v1"}


def test_a_killed_worker_is_one_failed_attempt_and_the_run_goes_on(tiny: Tiny) -> None:
    tiny.write(LONG.replace("@oito.dataset\ndef second", "@oito.dataset(retries=1)\ndef second")).write("", "hold")
    parent = command(tiny, "run", "second", "--collect", "--jobs", "2")
    (worker,) = begun(tiny)
    (tiny.root / "hold").unlink()
    os.kill(int(worker), signal.SIGKILL)
    _, err = parent.communicate(timeout=60)
    assert parent.returncode == 0, err
    assert "attempt 1 of 2 failed: the process that made second was killed, perhaps by the system" in err
    assert "made second:v1" in err


def test_a_run_in_processes_killed_at_random_points_ends_the_same(tiny: Tiny) -> None:
    tiny.write(DAYS).tell(id=list(range(40)), n=list(range(10)) * 4)
    source, words = random.Random(3), ("run", "--collect", "--jobs", "2")
    (tiny.root / "oito.toml").write_text("lease_s = 5.0\n")
    for _ in range(4):
        parent = command(tiny, *words)
        try:
            parent.communicate(timeout=source.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            below = children(parent.pid)
            parent.kill()
            parent.communicate()
            assert all(gone(partial(in_session, worker)) for worker in below)
    parent = command(tiny, *words)
    _, err = parent.communicate(timeout=120)
    assert parent.returncode == 0, err
    made = contents(tiny.root / ".oito")
    assert {name for name in made if name.startswith("daily[")} == {f"daily[2024-01-{n:02}]:v1" for n in range(1, 11)}
    assert tiny.rows("total").equals(pl.DataFrame({"n": [sum(range(10)) * 4]}))
