"""A run killed at any point leaves nothing half done, and the same command ends where an undisturbed run ends."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oito.catalog import events
from oito.storage.files import Files
from oito.storage.sql import Database
from tiny import WATCHED, Tiny

ROUNDS = 20
BODY = WATCHED + "".join(
    f"@oito.dataset\ndef d{n}(cleaned: pl.DataFrame):\n    return cleaned.with_columns(x=pl.lit({n}))\n"
    for n in range(6)
)
CHILD = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import Tiny
from oito.flow import runner
tiny = Tiny(Path(sys.argv[1]))
site = tiny.site("production", lease_s=0.2)
left = float(sys.argv[2])
if left:
    threading.Timer(left, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
outcome = runner.run(site)
os._exit(1 if outcome.errors else 0)
"""


def run(tiny: Tiny, *, killed_after_s: float = 0.0) -> int:
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", code, str(tiny.root), str(killed_after_s)]
    return subprocess.run(command, capture_output=True, check=False, timeout=120).returncode


def contents(rows: Database) -> dict[str, str]:
    """Return asset → content digest of what production points at."""
    found = rows.read("SELECT v.asset, v.content FROM pointer p JOIN version v ON v.id = p.version")
    return {row["asset"]: row["content"] for row in found}


def assert_whole(tiny: Tiny, rows: Database) -> None:
    """Every version has its fingerprint, its inputs and its bytes; every pointer a version; the events fit each other."""
    bare = rows.read(
        "SELECT asset FROM version v WHERE NOT EXISTS (SELECT 1 FROM fingerprint f WHERE f.digest = v.fingerprint)"
    )
    assert bare == []
    edges = {
        row["id"]: row["n"]
        for row in rows.read(
            "SELECT v.id, COUNT(e.input) AS n FROM version v LEFT JOIN edge e ON e.version = v.id GROUP BY v.id"
        )
    }
    for row in rows.read("SELECT id, asset FROM version"):
        assert edges[row["id"]] == (0 if row["asset"] == "orders" else 1), row["asset"]
    files = Files(tiny.root / ".oito" / "files")
    for row in rows.read("SELECT digest FROM file"):
        files.verify(row["digest"])
    counted = rows.read(
        "SELECT COUNT(*) AS n FROM version v WHERE NOT EXISTS (SELECT 1 FROM file f WHERE f.version = v.id)"
    )
    assert counted[0]["n"] == 0
    stood = rows.read(
        "SELECT asset FROM pointer p WHERE NOT EXISTS (SELECT 1 FROM move m WHERE m.asset = p.asset AND m.version = p.version)"
    )
    assert stood == []
    assert rows.read("PRAGMA integrity_check")[0][0] == "ok"
    assert rows.read("PRAGMA foreign_key_check") == []
    assert events.first_broken(rows) is None


def test_a_run_killed_at_random_points_is_taken_up_and_ends_the_same(tiny: Tiny, tmp_path: Path) -> None:
    calm = Tiny(tmp_path / "calm").write(BODY).tell(id=[1, 2, 3], n=[5, 0, 7])
    began = time.monotonic()
    assert run(calm) == 0
    took_s = time.monotonic() - began
    rows = calm.site("production").catalog.rows
    wanted = contents(rows)
    stormy = Tiny(tmp_path / "stormy").write(BODY).tell(id=[1, 2, 3], n=[5, 0, 7])
    source, killed = random.Random(8), 0
    for _ in range(ROUNDS):
        killed += run(stormy, killed_after_s=source.uniform(0.005, max(0.05, took_s / 4))) == -9
        if (stormy.root / ".oito" / "catalog.db").exists():
            stormy_rows = Database(stormy.root / ".oito" / "catalog.db")
            assert_whole(stormy, stormy_rows)
            if len(contents(stormy_rows)) == len(wanted):  # all done: there is new work for those that are left
                stormy.edit(*_again(stormy))
                calm.edit(*_again(calm))
            stormy_rows.close()
    assert killed > ROUNDS / 4
    time.sleep(0.3)
    assert run(stormy) == 0
    assert run(calm) == 0
    stormy_rows = Database(stormy.root / ".oito" / "catalog.db")
    assert contents(stormy_rows) == contents(rows)
    assert_whole(stormy, stormy_rows)
    stormy_rows.close()
    calm.close()


def _again(tiny: Tiny) -> tuple[str, str]:
    """Return an edit that makes everything below the source anew."""
    line = next(line for line in (tiny.root / "project.py").read_text().splitlines() if "return orders.filter" in line)
    return line, line + ".head(1_000)"


def test_a_challenger_killed_before_its_gate_is_judged_by_the_next_run(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(WATCHED).run(environment="production")
    tiny.tell(id=[1, 2, 3], n=[5, 0, 8])
    tiny.write("it drifted", "asks.txt")
    monkeypatch.setenv("DIE_AT_GATE", "1")
    assert run(tiny) == 9
    assert tiny.version("size", "production").number == 1
    monkeypatch.delenv("DIE_AT_GATE")
    time.sleep(0.3)
    assert run(tiny) == 0
    assert tiny.version("size", "production").number == 2
    assert tiny.ran().count("size") == 2  # the challenger that nobody had judged was not made once more
