"""What a step reads without declaring it: told with the fix, part of the next fingerprint, refused where that is set."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oito.errors import UndeclaredRead
from oito.flow.reads.watching import watched
from tiny import HEAD, Tiny

ORDERS = (
    HEAD
    + """
@oito.source(key="id")
def orders(since):
    return outside()
"""
)
READS = """
@oito.dataset
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    rates = json.loads(Path("rates.json").read_text())
    return orders.with_columns(rate=pl.lit(rates["rate"]))

@oito.dataset
def below(priced: pl.DataFrame) -> pl.DataFrame:
    return priced.select(pl.col("rate").sum())
"""
VARIABLE = """
@oito.dataset
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(rate=pl.lit(float(os.getenv("TINY_RATE", "1"))), key=pl.lit(os.environ.get("API_TOKEN")))
"""
PARTS = """
@oito.source(key="id", partition=oito.Day.of("at"))
def events(since):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))

@oito.dataset
def daily(events: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    return events.select(pl.col("n").sum() * json.loads(Path("rates.json").read_text())["rate"])
"""
WARNING = (
    'warning: it reads the file rates.json, which project.py:20 does not declare: @oito.dataset(reads=("rates.json",))'
)


@pytest.fixture
def priced(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.chdir(tiny.root)
    tiny.write('{"rate": 2}', "rates.json").write(ORDERS + READS)
    return tiny


def causes(tiny: Tiny, asset: str) -> list[str]:
    return [cause.text.partition(":")[0] for cause in tiny.plan("production")[asset].causes]


def test_a_file_that_was_read_is_told_and_seen_when_it_changes(priced: Tiny) -> None:
    outcome = priced.run(environment="production")
    step = next(step for step in outcome.steps if step.asset == "priced")
    assert WARNING in step.log.splitlines()
    assert set(priced.states("production").values()) == {"fresh"}
    priced.write('{"rate": 3}', "rates.json")
    assert priced.states("production") == {
        "orders": "fresh", "priced": "stale", "below": "waiting",
    }  # fmt: skip
    assert causes(priced, "priced") == ["undeclared file rates.json"]
    assert priced.did(priced.run(environment="production"))["priced"] == "made"
    assert priced.rows("below", "production").item() == 9
    priced.write('{"rate": 2}', "rates.json")
    assert priced.states("production")["priced"] == "reusable"
    (priced.root / "rates.json").unlink()
    assert "→ not ther" in priced.plan("production")["priced"].causes[0].text


def test_an_edit_of_the_code_is_told_and_nothing_else(priced: Tiny) -> None:
    priced.run(environment="production")
    priced.edit('rate=pl.lit(rates["rate"])', 'rate=pl.lit(rates["rate"] + 1)')
    assert causes(priced, "priced") == ["code project.priced changed  (project.py"]
    priced.run(environment="production")
    assert set(priced.states("production").values()) == {"fresh"}


def test_asking_for_the_version_of_a_package_reads_no_folder(tiny: Tiny) -> None:
    tiny.write("", "lib/nothing.py")
    body = """
import importlib.metadata, sys
@oito.dataset
def stamped(orders: pl.DataFrame) -> pl.DataFrame:
    sys.path.append(str(Path(__file__).parent / "lib"))
    importlib.invalidate_caches()
    return orders.with_columns(pl.lit(importlib.metadata.version("polars")))
"""
    outcome = tiny.write(ORDERS + body).run(environment="production")
    assert [step.log for step in outcome.steps if "warning" in step.log] == []


def test_what_is_declared_is_not_told_a_folder_holds_its_files(priced: Tiny) -> None:
    priced.edit("@oito.dataset\ndef priced", '@oito.dataset(reads=("rates.json",))\ndef priced')
    outcome = priced.run(environment="production")
    assert not [step.log for step in outcome.steps if "warning" in step.log]
    priced.write('{"rate": 2}', "rates/today.json")
    priced.edit('reads=("rates.json",)', 'reads=("rates",)')
    priced.edit('Path("rates.json")', 'Path("rates/today.json")')
    outcome = priced.run(environment="production")
    assert not [step.log for step in outcome.steps if "warning" in step.log]
    priced.write('{"rate": 4}', "rates/today.json")
    assert causes(priced, "priced") == ["file rates"]


def test_strict_makes_it_an_error_with_the_fix(priced: Tiny) -> None:
    priced.write("strict = true\n", "oito.toml")
    error = priced.tried(environment="production").errors["priced"]
    assert isinstance(error, UndeclaredRead)
    assert str(error) == (
        "priced reads the file rates.json without declaring it\n"
        "  where    project.py:20\n"
        "  known    strict = true: a step may read what is declared, and nothing else\n"
        '  next     @oito.dataset(reads=("rates.json",))'
    )
    priced.edit("@oito.dataset\ndef priced", '@oito.dataset(reads=("rates.json",))\ndef priced')
    assert priced.tried("below", environment="production").errors == {}


def test_a_variable_is_told_a_secret_is_not(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINY_RATE", raising=False)
    tiny.write(ORDERS + VARIABLE)
    log = next(step for step in tiny.run(environment="production").steps if step.asset == "priced").log
    assert '@oito.dataset(env=("TINY_RATE",))' in log
    assert "API_TOKEN" not in log
    assert tiny.states("production")["priced"] == "fresh"
    monkeypatch.setenv("API_TOKEN", "hunter2")
    assert tiny.states("production")["priced"] == "fresh"
    monkeypatch.setenv("TINY_RATE", "3")
    assert causes(tiny, "priced") == ["undeclared variable TINY_RATE"]


def test_partitions_know_what_they_read_and_the_whole_with_them(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.root)
    tiny.tell(id=[1, 2], at=["2024-01-01T01:00:00", "2024-01-02T01:00:00"], n=[1, 2])
    tiny.write('{"rate": 2}', "rates.json").write(HEAD + PARTS)
    tiny.run(environment="production")
    assert set(tiny.states("production").values()) == {"fresh"}
    tiny.write('{"rate": 3}', "rates.json")
    assert tiny.states("production")["daily"] == "stale"
    tiny.run(environment="production")
    assert sorted(tiny.rows("daily", "production").to_series(0).to_list()) == [3, 6]
    assert set(tiny.states("production").values()) == {"fresh"}


def test_what_python_opens_is_heard_and_what_oito_and_python_read_for_themselves_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    (tmp_path / "script.py").write_text("print(1)\n")
    sqlite3.connect(tmp_path / "b.db").close()
    code = (tmp_path / "user.py").write_text(
        "import csv, os, sqlite3, subprocess, sys, threading\n"
        "import numpy as np, pandas as pd\n"
        "def read(folder):\n"
        "    pd.read_csv(folder + '/a.csv')\n"
        "    sqlite3.connect(folder + '/b.db').close()\n"
        "    os.listdir(folder)\n"
        "    subprocess.run([sys.executable, folder + '/script.py'], capture_output=True)\n"
        "    with open(folder + '/out.txt', 'w') as out: out.write('1')\n"
        "    with open(folder + '/out.txt') as back: back.read()\n"
        "    thread = threading.Thread(target=lambda: open(folder + '/c.txt', 'a+').close())\n"
        "    thread.start(); thread.join()\n"
        "    import http.client\n"
        "    try: open(folder + '/none.txt')\n"
        "    except FileNotFoundError: pass\n"
    )
    assert code
    space: dict[str, object] = {}
    exec(compile((tmp_path / "user.py").read_text(), str(tmp_path / "user.py"), "exec"), space)
    with watched(tmp_path) as watch:
        space["read"](str(tmp_path))  # type: ignore[operator]  # the function just compiled
    assert {Path(each).name for each in watch.files} - {Path(each).name for each in watch.written} == {
        "a.csv", "b.db", "script.py", "c.txt", "none.txt",
    }  # fmt: skip
    assert list(watch.folders) == [str(tmp_path)]
    with (tmp_path / "a.csv").open():  # outside of a step nobody listens
        pass
    assert len(watch.files) == 6


def test_two_steps_at_once_hear_each_their_own(tmp_path: Path) -> None:
    heard: dict[str, set[str]] = {}
    both = threading.Barrier(2)

    def step(name: str) -> None:
        space: dict[str, object] = {}
        exec(compile("def read(file): open(file).close()", str(tmp_path / "user.py"), "exec"), space)
        with watched(tmp_path) as watch:
            both.wait(10)
            space["read"](str(tmp_path / name))  # type: ignore[operator]  # the function just compiled
            both.wait(10)
        heard[name] = {Path(each).name for each in watch.files}

    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    threads = [threading.Thread(target=step, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"a": {"a"}, "b": {"b"}}


def test_the_whole_environment_handed_on_is_not_read(tmp_path: Path) -> None:
    space: dict[str, object] = {}
    text = "import os\ndef all_of(): return {**os.environ}\ndef one(): return os.environ['PATH']\n"
    exec(compile(text, str(tmp_path / "user.py"), "exec"), space)
    more = {f"TINY_{n}": "1" for n in range(30)}
    os.environ.update(more)
    try:
        with watched(tmp_path) as watch:
            space["one"]()  # type: ignore[operator]  # the function just compiled
            assert watch.variables == ["PATH"]
            space["all_of"]()  # type: ignore[operator]  # the same
        assert watch.variables == []
    finally:
        for name in more:
            del os.environ[name]


def test_a_plain_import_of_oito_puts_no_hook_in() -> None:
    text = "import sys, os, oito, oito.workspace; print(type(os.environ).__name__)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "_Environ"


NATIVE = """
PLACE = Path("more.csv")

def joined(rows):
    return rows.join(pl.read_csv(PLACE), on="id").join(pl.scan_csv("parts/*.csv").collect(), on="id")

@oito.dataset
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return joined(orders).join(pl.read_csv("rates.csv"), on="id")
"""


def test_what_a_compiled_reader_opens_is_read_from_the_code(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.root)
    names = ["rates.csv", "more.csv", "parts/1.csv"]
    for number, name in enumerate(names):
        tiny.write(f"id,c{number}\n1,2\n", name)
    outcome = tiny.write(ORDERS + NATIVE).run(environment="production")
    log = next(step.log for step in outcome.steps if step.asset == "priced")
    assert [name for name in names if f"reads the file {name}" in log] == names
    assert tiny.states("production")["priced"] == "fresh"
    for number, name in enumerate(names):
        tiny.write(f"id,c{number}\n1,3\n", name)
        assert causes(tiny, "priced") == [f"undeclared file {name}"]
        tiny.write(f"id,c{number}\n1,2\n", name)
    tiny.write("id,c2\n2,2\n", "parts/2.csv")
    assert causes(tiny, "priced") == ["undeclared file parts/2.csv"]
    (tiny.root / "parts/2.csv").unlink()
    assert tiny.states("production")["priced"] == "fresh"
    tiny.write("strict = true\n", "oito.toml")
    with pytest.raises(UndeclaredRead, match="priced reads the file more"):
        tiny.plan("production")
