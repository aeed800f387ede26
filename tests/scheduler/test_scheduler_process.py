"""oito up in processes of its own: released code runs, user code that crashes takes nothing down, a killed leader is followed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from oito.catalog import runs, ticks
from oito.catalog.catalog import Catalog
from oito.clock import RealClock
from oito.errors import CatalogBusy
from oito.scheduler import service
from oito.scheduler.loop import Scheduler
from oito.workspace import Workspace

PROJECT = """
import os, time
from pathlib import Path
import oito
import polars as pl

HERE = Path({folder!r})

def did(what):
    with open(HERE / "did.txt", "a") as file:
        file.write(what + chr(10))

@oito.source(key="id", cron="0 0 1 1 *")
def orders(since):
    did("collected")
    while (HERE / "wait.txt").exists():
        time.sleep(0.05)
    return pl.DataFrame({{"id": [time.time_ns()]}})

@oito.dataset
def cleaned(orders):
    return orders

@oito.dataset(cron="0 0 1 1 *", retries=0)
def crashing(cleaned):
    if (HERE / "crash.txt").exists():
        os.write(2, b"about to die")
        os._exit(7)
    return cleaned
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that is released to production; nothing of it is due before the year ends."""
    (tmp_path / "project.py").write_text(PROJECT.format(folder=str(tmp_path)))
    workspace = Workspace(tmp_path, who="ana")
    workspace.run()
    workspace.release("production")
    workspace.close()
    (tmp_path / "did.txt").write_text("")
    return tmp_path


@contextmanager
def up(folder: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Let `oito up` answer while the block runs; give the process and its address."""
    command = [sys.executable, "-c", "import sys; from oito.cli import main; sys.exit(main())", "up", *more]
    environment = {**os.environ, "OITO_PORT": "0", "PYTHONUNBUFFERED": "1"}
    with (folder / "up.txt").open("a") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=out, text=True, env=environment)
    try:
        assert child.stdout is not None
        found = re.search(r"http://\S+", child.stdout.readline())
        assert found, (folder / "up.txt").read_text()
        yield child, found[0]
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)


def asked(address: str, name: str) -> dict[str, Any]:
    body = json.dumps({"asset": name}).encode()
    request = urllib.request.Request(f"{address}/actions/schedule%20now", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def shown(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/schedule.json", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def soon(what: Callable[[], Any], *, seconds: float = 40.0, told: Callable[[], Any] | None = None) -> Any:
    """Return what becomes true after a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never came about: {told() if told else ''}")


def leader(address: str) -> str:
    """Return who leads, once somebody does."""
    found: str = soon(lambda: (shown(address)["leader"] or {}).get("holder"))
    return found


def ended(address: str, state: str) -> dict[str, Any]:
    """Return the newest tick that ended, once it is in that state."""
    found: dict[str, Any] = soon(
        lambda: next((t for t in shown(address)["ticks"] if t["state"] == state), None), told=lambda: shown(address)
    )
    return found


def did(folder: Path) -> list[str]:
    return (folder / "did.txt").read_text().split()


def test_the_queue_runs_released_code_in_a_process_of_its_own(folder: Path) -> None:
    (folder / "project.py").write_text("raise SystemExit('a working folder that is being edited')")
    (folder / "project.py").write_text(PROJECT.format(folder=str(folder)).replace('"collected"', '"edited"'))
    with up(folder) as (process, address):
        assert f":{process.pid}:" in leader(address)
        assert asked(address, "orders") | {"due": ""} == {
            "asset": "orders", "environment": "production", "due": "", "is_led": True,
        }  # fmt: skip
        tick = ended(address, "ran")
        assert (tick["sort"], tick["note"]) == ("hand", "2 made")
        assert did(folder) == ["collected"]
        with urllib.request.urlopen(f"{address}/runs/{tick['run']}.json", timeout=20) as answer:
            run = json.load(answer)
        assert run["run"]["who"] == "scheduler" and "asked by" in run["run"]["reason"]
    assert process.returncode == 143
    assert "SystemExit" not in (folder / "up.txt").read_text()


def test_user_code_that_ends_its_process_fails_its_tick_and_nothing_else(folder: Path) -> None:
    (folder / "crash.txt").write_text("")
    with up(folder) as (process, address):
        leader(address)
        asked(address, "orders")
        ended(address, "ran")
        asked(address, "crashing")
        tick = soon(lambda: next((t for t in shown(address)["open"] if t["failures"]), None))
        assert tick["note"] == "its process ended with 7", tick["error"]
        assert tick["not_before"] > tick["began"] and tick["error"] == "about to die"
        (folder / "crash.txt").unlink()
        asked(address, "crashing")
        assert ended(address, "ran")["sort"] == "hand"
        assert process.poll() is None
    assert not list((folder / ".oito" / "scheduled").iterdir()), "what was printed is kept with the tick"


def test_a_leader_that_is_killed_is_followed_within_seconds_and_its_run_is_gone_on_with(folder: Path) -> None:
    (folder / "wait.txt").write_text("")
    with ExitStack() as stack:
        first, address = stack.enter_context(up(folder))
        assert f":{first.pid}:" in leader(address)
        second, other = stack.enter_context(up(folder))
        asked(address, "orders")
        soon(lambda: did(folder))
        first.send_signal(signal.SIGKILL)
        soon(lambda: f":{second.pid}:" in leader(other), seconds=20)
        asked(other, "orders")  # waits for the one at work
        assert sorted(tick["state"] for tick in shown(other)["open"]) == ["running", "waiting"]
        (folder / "wait.txt").unlink()
        soon(lambda: [tick["state"] for tick in shown(other)["ticks"]] == ["ran", "ran"])
        second_tick, first_tick = shown(other)["ticks"]
        assert (first_tick["attempts"], first_tick["note"]) == (1, "2 made"), "the killed leader's run went on"
        assert second_tick["run"] != first_tick["run"] and second_tick["note"] == "nothing was new"
        assert did(folder) == ["collected"]
    assert_whole(folder)


def test_stopping_asks_the_run_to_stop_and_the_next_leader_runs_it(folder: Path) -> None:
    (folder / "wait.txt").write_text("")
    with up(folder) as (_, address):
        leader(address)
        asked(address, "orders")
        soon(lambda: did(folder))
    catalog = Catalog(folder / ".oito", RealClock())
    (tick,) = ticks.listed(catalog.rows)
    assert (tick.state, tick.note) == ("waiting", "stopped with the scheduler; the next leader runs it")
    assert ticks.leader(catalog.rows) is None
    assert [run.state for run in runs.listed(catalog.rows, environment="production")] == ["stopped"]
    assert not is_there(tick.pid)
    catalog.close()
    (folder / "wait.txt").unlink()
    with up(folder) as (_, address):
        tick_now = ended(address, "ran")
        assert (tick_now["attempts"], tick_now["failures"]) == (2, 0)
    assert_whole(folder)


def test_without_a_schedule_nothing_leads(folder: Path) -> None:
    with up(folder, "--no-schedule") as (_, address):
        assert asked(address, "orders")["is_led"] is False
        time.sleep(1.5)
        found = shown(address)
    assert found["leader"] is None and [tick["state"] for tick in found["open"]] == ["waiting"]


def test_a_zone_that_this_machine_does_not_know_is_told_at_once(folder: Path) -> None:
    command = [sys.executable, "-c", "import sys; from oito.cli import main; sys.exit(main())", "up"]
    environment = {**os.environ, "OITO_PORT": "0", "OITO_TIMEZONE": "Europe/Nowhere"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 2 and ran.stderr.startswith("BadInput: there is no time zone 'Europe/Nowhere'")


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def assert_whole(folder: Path) -> None:
    """No version is without its bytes, and no tick with a run that never ended."""
    workspace = Workspace(folder, environment="production")
    rows = workspace.catalog.rows
    assert rows.read("SELECT 1 FROM run WHERE state = 'running'") == []
    for row in rows.read("SELECT digest FROM file"):
        workspace.files.verify(row["digest"])
    workspace.close()


def test_a_turn_that_goes_wrong_is_told_and_the_next_one_comes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "PAUSE_S", 0.01)
    wrong: list[Exception] = [ZeroDivisionError("a fault of ours"), CatalogBusy("another process is writing")]
    turn = Scheduler.turn

    def turned(self: Scheduler) -> float:
        if wrong:
            raise wrong.pop()
        return turn(self)

    monkeypatch.setattr(Scheduler, "turn", turned)
    before = signal.getsignal(signal.SIGTERM)
    workspace = Workspace(folder)
    with service.Service(workspace):
        soon(lambda: ticks.leader(workspace.catalog.rows))
    assert signal.getsignal(signal.SIGTERM) == before
    told = capfd.readouterr()
    assert "CatalogBusy: another process is writing" in told.out and "ZeroDivisionError: a fault of ours" in told.err
    assert ticks.leader(workspace.catalog.rows) is None, "who stops leaves the office"
    workspace.close()
