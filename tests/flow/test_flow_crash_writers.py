"""Many writers, killed at random; a disk that fills up: what was acknowledged is there, and the store is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from oito.errors import StorageFull
from oito.flow.upkeep import integrity
from tiny import HEAD, Tiny

ROUNDS = 6  # `python tests/storm.py FOLDER 100` is the long one
BIG = (
    HEAD
    + """
import numpy as np

@oito.dataset
def small(): return pl.DataFrame({"x": [1, 2, 3]})

@oito.dataset
def big(small: pl.DataFrame): return pl.DataFrame({"x": np.random.default_rng(1).random(300_000)})
"""
)
LIMITED = """
import json, resource, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny import Tiny
from oito.flow import runner
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tiny = Tiny(Path(sys.argv[1]))
site = tiny.site("production", lease_s=5.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    errors = runner.run(site).errors
    told = {{name: type(error).__name__ + ": " + str(error) for name, error in errors.items()}}
except Exception as error:
    told = {{"run": type(error).__name__ + ": " + str(error)}}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps(told))
"""


def limited(tiny: Tiny, most_bytes: int) -> dict[str, str]:
    """Run production in a process whose files may not grow over a size, and return its errors by asset."""
    code = LIMITED.format(tests=str(Path(__file__).parents[1]))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny.root), str(most_bytes)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_writers_killed_at_random_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "storm.py"), str(tmp_path / "storm"), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 32 * ROUNDS
    assert found["acknowledged"] > 32


def test_a_disk_without_room_is_told_and_work_goes_on_once_there_is_some(tiny: Tiny) -> None:
    tiny.write(BIG)
    told = limited(tiny, 1_500_000)
    assert list(told) == ["big"]
    assert told["big"].startswith("StorageFull: there is no room to write")
    assert "free some space" in told["big"]
    assert tiny.states("production") == {"small": "fresh", "big": "missing"}
    page = integrity.check(tiny.site())
    assert page.data["is_whole"], page.data["problems"]
    assert not list((tiny.root / ".oito" / "files" / "scratch").iterdir())
    assert tiny.did(tiny.run(environment="production")) == {"big": "made"}


@pytest.mark.parametrize("room", [0, 2_000, 20_000, 60_000])
def test_a_catalog_and_a_manifest_without_room_keep_what_they_had(tiny: Tiny, room: int) -> None:
    """The limit is on the size of any file: of the log of the manifest, of SQLite's log, of what is stored."""
    tiny.write(BIG).run("small", environment="production")
    log = max((tiny.root / ".oito" / "manifest").glob("log-*"))
    told = limited(tiny, log.stat().st_size + room)
    assert all(each.startswith(("StorageFull: ", "StorageError: ")) for each in told.values()), told
    assert told, "there was room enough"
    page = integrity.check(tiny.site())
    assert page.data["is_whole"], page.data["problems"]
    assert tiny.did(tiny.run(environment="production")) == {"big": "made"}
    assert integrity.check(tiny.site()).data["is_whole"]


def test_a_manifest_without_room_undoes_the_transaction(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    tiny.write(BIG).run("small", environment="production")
    site = tiny.site()
    with site.catalog.change() as change:
        change.event("kept", "x")
    log = max((tiny.root / ".oito" / "manifest").glob("log-*"))
    before = log.read_bytes()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:40]) if b'"do":' in data[:200] else real(fd, data))
    with pytest.raises(StorageFull) as told, site.catalog.change() as change:
        change.event("lost", "x")
    assert (told.value.what, told.value.where) == ("there is no room to write", str(log.parent))
    monkeypatch.undo()
    assert log.read_bytes() == before
    assert [row["verb"] for row in site.catalog.rows.read("SELECT verb FROM event WHERE subject = 'x'")] == ["kept"]
    assert integrity.check(site).data["is_whole"]
