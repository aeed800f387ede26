"""What an engine promises: the same bytes and the same errors as `Inline`, an end to everything, and nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock, moment
from oito.eight import KINDS
from oito.errors import CheckFailed, StepFailed, StepTimeout
from oito.flow import runner
from oito.flow.engines.engine import Done, Engine, Inline
from oito.flow.machine import KEPT
from oito.flow.project import load
from oito.flow.site import Context, Site
from oito.settings import load as load_settings
from oito.storage.files import Files

PROJECT = """
import os, random, signal, time
from pathlib import Path
import polars as pl
import oito

def called(name):
    with open("called-" + name, "a") as file:
        file.write(".")

@oito.dataset
def base() -> pl.DataFrame:
    return pl.DataFrame({"id": range(2_000), "x": [n / 7 for n in range(2_000)], "name": ["é", None] * 1_000})

@oito.dataset
def doubled(base: pl.LazyFrame) -> pl.LazyFrame:
    print("doubling")
    oito.log_metric("rows", 2_000)
    return base.with_columns(pl.col("x") * 2)

@oito.dataset
def drawn(base: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    return base.sample(100, seed=seed)

@oito.dataset(checks=[oito.between("x", 0, 1)])
def checked(base: pl.DataFrame) -> pl.DataFrame:
    return base

@oito.dataset
def wrong(base: pl.DataFrame) -> pl.DataFrame:
    raise ValueError("no such thing")

@oito.dataset(retries=2)
def flaky() -> pl.DataFrame:
    called("flaky")
    raise ConnectionError("gone again")

@oito.dataset(timeout="0.4s")
def slow() -> pl.DataFrame:
    time.sleep(30)

@oito.dataset(retries=1)
def dying() -> pl.DataFrame:
    called("dying")
    os.kill(os.getpid(), signal.SIGKILL)

@oito.dataset(timeout="8s")
def long() -> pl.DataFrame:
    Path("began").touch()
    time.sleep(600)
"""


class EngineContract:
    """Subclass it, and give `engine`: it makes an engine for a site. `is_apart` says whether steps have other processes.

    The engine is handed contexts as the runner makes them; the steps of a small project are carried out for real.
    """

    is_apart = True

    def engine(self, site: Site) -> Engine:
        """Return a new engine for the site."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
        """Return the site of the contract's project, with a version of `base`."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / "project.py").write_text(PROJECT)
        settings = load_settings(tmp_path, {"environment": "dev"})
        catalog = Catalog(settings.home_folder, VirtualClock(moment("2024-01-01")), who="ana")
        project = load(tmp_path, ["project.py"], KINDS)
        site = Site(project, catalog, Files(settings.home_folder / "files"), settings, "dev", tmp_path)
        runner.run(site, ["base"]).raise_first()
        yield site
        catalog.close()

    def test_steps_give_the_same_bytes_as_inline_in_any_order(self, place: Site) -> None:
        names = ["doubled", "drawn", "doubled", "base"]
        known = {done.context.asset.name: done for done in _carried_out(Inline(), place, names)}
        for order in (names, names[::-1]):
            found = _carried_out(self.engine(place), place, order)
            assert sorted(done.context.asset.name for done in found) == sorted(order)
            for done in found:
                assert _told(done) == _told(known[done.context.asset.name])

    def test_what_a_step_prints_is_in_its_log(self, place: Site) -> None:
        (done,) = _carried_out(self.engine(place), place, ["doubled"])
        assert "doubling" in done.context.lines

    def test_an_error_keeps_its_class_and_its_words(self, place: Site) -> None:
        known = {done.context.asset.name: done.error for done in _carried_out(Inline(), place, ["wrong", "flaky"])}
        Path("called-flaky").unlink()
        for done in _carried_out(self.engine(place), place, ["wrong", "flaky"]):
            expected = known[done.context.asset.name]
            assert done.error is not None and done.made is None and done.stored is None
            assert (type(done.error), str(done.error)) == (type(expected), str(expected))
            assert isinstance(done.error, StepFailed)
        assert Path("called-flaky").read_text() == "..."  # once, and twice more, as declared

    def test_a_result_that_breaks_a_check_is_there_to_be_looked_at(self, place: Site) -> None:
        (known,) = _carried_out(Inline(), place, ["checked"])
        (done,) = _carried_out(self.engine(place), place, ["checked"])
        assert done.error is None and done.made is not None and known.made is not None
        assert isinstance(done.made.broken, CheckFailed)
        assert str(done.made.broken) == str(known.made.broken)

    def test_a_step_that_takes_too_long_is_ended(self, place: Site) -> None:
        began = time.monotonic()
        (done,) = _carried_out(self.engine(place), place, ["slow"])
        assert isinstance(done.error, StepTimeout) and time.monotonic() - began < 15
        assert "slow ran longer than its timeout of 0.4 s" in str(done.error)

    def test_a_dead_process_is_one_failed_attempt(self, place: Site) -> None:
        if not self.is_apart:
            pytest.skip("a step that dies takes this process with it")
        found = {
            each.context.asset.name: each for each in _carried_out(self.engine(place), place, ["dying", "doubled"])
        }
        assert found["dying"].error is not None and found["doubled"].error is None
        assert Path("called-dying").read_text() in (".", "..")  # no more often than declared

    def test_no_more_steps_than_slots_are_under_way_and_waiting_has_an_end(self, place: Site) -> None:
        with closing(self.engine(place)) as engine:
            assert engine.slots >= 1
            assert list(engine.wait(0.0)) == []
            for _ in range(engine.slots):
                engine.submit(_context(place, "doubled"))
            found: list[Done] = []
            while len(found) < engine.slots:
                found += engine.wait(1.0)
            assert list(engine.wait(0.0)) == []

    def test_closing_ends_what_runs_and_leaves_nothing(self, place: Site) -> None:
        before = _processes()
        engine = self.engine(place)
        engine.submit(_context(place, "long"))
        until = time.monotonic() + 30
        while self.is_apart and not Path("began").exists():
            assert time.monotonic() < until
            engine.wait(0.05)
        began = time.monotonic()
        engine.close()
        assert time.monotonic() - began < 10
        assert list(engine.wait(0.0)) == []
        assert _processes() <= before
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("oito")] == []
        assert not any((place.files.root / "scratch").iterdir())
        engine.close()

    def test_an_engine_writes_nothing_into_the_catalog(self, place: Site) -> None:
        before = place.catalog.rows.read("SELECT * FROM version"), place.catalog.rows.foreign_changes()
        _carried_out(self.engine(place), place, ["doubled", "wrong"])
        assert (place.catalog.rows.read("SELECT * FROM version"), place.catalog.rows.foreign_changes()) == before


def _context(site: Site, name: str) -> Context:
    asset = site.project.assets[name]
    inputs = {i.role: versions.newest(site.catalog.rows, i.asset) for i in asset.inputs}
    return Context(site, asset, {role: version for role, version in inputs.items() if version}, None, definition="d")


def _carried_out(engine: Engine, site: Site, names: list[str]) -> list[Done]:
    """Carry steps out as the runner does, and close the engine."""
    found: list[Done] = []
    waiting, until = [_context(site, name) for name in names], time.monotonic() + 60
    with closing(engine):
        while len(found) < len(names):
            assert time.monotonic() < until, "the engine does not come to an end"
            for _ in range(engine.slots - (len(names) - len(waiting) - len(found))):
                if waiting:
                    engine.submit(waiting.pop(0))
            found += engine.wait(0.2)
    return found


def _told(done: Done) -> dict[str, Any]:
    assert done.error is None, done.error
    assert done.made is not None and done.stored is not None
    record = {name: value for name, value in done.made.record.items() if name != KEPT}  # the process is another one
    return {"stored": done.stored, "metrics": dict(done.made.metrics), "record": record}


def _processes() -> set[int]:
    """Return the processes below this one, as far as the system tells."""
    task = Path("/proc/self/task")
    files = [each / "children" for each in task.iterdir()] if task.exists() else []
    return {int(number) for file in files if file.exists() for number in file.read_text().split()}
