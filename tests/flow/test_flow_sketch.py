"""A look at a project's state that imports none of its modules: as long as nothing has changed, and never longer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = """
import os, pathlib
import polars as pl
import oito
from factors import FACTOR

pathlib.Path("imported.txt").open("a").write("x")
RATE = float(pathlib.Path("rate.txt").read_text())
SIZE = int(os.environ.get("SKETCH_SIZE", "1"))

@oito.source(key="id", partition=oito.Day.of("at"), every="365000d")
def rows(since):
    return pl.DataFrame({"id": [1, 2]}).with_columns(at=pl.lit("2024-01-01").str.to_datetime("%Y-%m-%d", time_zone="UTC"))

@oito.dataset(reads=("declared.txt",))
def scaled(rows):
    pathlib.Path("declared.txt").read_text()
    return rows.with_columns(n=pl.lit(FACTOR * RATE * SIZE))

@oito.dataset(checks=[oito.between("n", 0, 10)])
def daily(scaled: pl.DataFrame):
    return scaled
"""


def oito(folder: Path, *words: str, **variables: str) -> dict[str, object]:
    """Return what a command prints as data, carried out in a process of its own."""
    command = [str(Path(sys.executable).with_name("oito")), *words, "--json"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def states(folder: Path, word: str = "plan", **variables: str) -> dict[str, str]:
    found = oito(folder, word, **variables)["assets"]
    assert isinstance(found, list)
    return {each["asset"]: each["state"] for each in found}


def imports(folder: Path) -> int:
    return len((folder / "imported.txt").read_text())


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    (tmp_path / "project.py").write_text(PROJECT)
    (tmp_path / "factors.py").write_text("FACTOR = 2.0\n")
    for name in ("rate", "declared"):
        (tmp_path / f"{name}.txt").write_text("3")
    oito(tmp_path, "run")
    time.sleep(0.15)  # what changed a moment ago may change again within one tick of its time
    assert set(states(tmp_path).values()) == {"fresh"}
    return tmp_path


def test_a_plan_of_what_did_not_change_imports_nothing(drawn: Path) -> None:
    before = imports(drawn)
    for word in ("plan", "status"):
        assert states(drawn, word) == {"rows": "fresh", "scaled": "fresh", "daily": "fresh"}
    oito(drawn, "show", "daily")
    assert imports(drawn) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("factors.py", "FACTOR = 4.0\n"),
        ("rate.txt", "4"),
        ("declared.txt", "4"),
        ("oito.toml", "seed = 7\n"),
        ("project.py", PROJECT.replace("FACTOR * RATE", "FACTOR + RATE")),
        ("polars.py", "raise SystemExit('another module stands before the library')"),
    ],
)
def test_whatever_the_import_saw_is_looked_at_again(drawn: Path, name: str, text: str) -> None:
    if name == "polars.py":
        (drawn / name).write_text(text)
        time.sleep(0.15)
        with pytest.raises(subprocess.CalledProcessError):
            states(drawn)
        return
    (drawn / name).write_text(text)
    if name == "oito.toml":
        before = imports(drawn)
        states(drawn)
        assert imports(drawn) == before + 1
        return
    assert states(drawn)["scaled"] == "stale"
    time.sleep(0.15)
    assert states(drawn)["scaled"] == "stale"  # the first one drew anew, the second one looks at that
    assert states(drawn)["scaled"] == "stale"


def test_a_variable_that_the_import_reads_counts(drawn: Path) -> None:
    assert states(drawn, SKETCH_SIZE="2")["scaled"] == "stale"
    assert states(drawn)["scaled"] == "fresh"


def test_a_comment_is_drawn_anew_and_makes_nothing_stale(drawn: Path) -> None:
    (drawn / "factors.py").write_text("FACTOR = 2.0  # twice\n")
    time.sleep(0.15)
    before = imports(drawn)
    assert states(drawn)["scaled"] == "fresh"
    assert states(drawn)["scaled"] == "fresh"
    assert imports(drawn) == before + 1


def test_a_run_always_imports(drawn: Path) -> None:
    before = imports(drawn)
    oito(drawn, "run")
    assert imports(drawn) == before + 1


def test_a_damaged_sketch_is_no_sketch(drawn: Path) -> None:
    for path in (drawn / ".oito" / "sketches").iterdir():
        path.write_text(path.read_text()[:-100])
    before = imports(drawn)
    assert set(states(drawn).values()) == {"fresh"}
    assert imports(drawn) == before + 1
