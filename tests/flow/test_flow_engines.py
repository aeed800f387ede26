"""Steps in processes of their own give the same bytes as here, and say the same; settings choose between the two."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import hypothesis
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_room import context, ended, one, processes
from oito import errors
from oito.catalog import versions
from oito.errors import (
    BadInput,
    BadSetting,
    CheckFailed,
    DeclarationError,
    OitoError,
    ProjectFaults,
    StepFailed,
)
from oito.flow.engines import messages
from oito.flow.engines.choice import cores, engine_of
from oito.flow.engines.engine import Inline
from oito.flow.site import Context, Made
from oito.settings import load as load_settings
from oito.workspace import Workspace
from tiny import CHAIN, HEAD, Tiny

PARCELS = Path(__file__).parents[2] / "docs" / "examples" / "parcels"


# The same bytes


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a project of all eight kinds, made in this process."""
    folder = tmp_path_factory.mktemp("engines") / "parcels"
    shutil.copytree(PARCELS, folder, ignore=shutil.ignore_patterns(".oito", "__pycache__"))
    workspace = Workspace(folder, now="2024-03-15", engine="inline")
    workspace.run(collect=["parcels"])
    yield workspace
    workspace.close()


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_every_kind_of_step_gives_the_same_bytes_as_in_this_process(parcels: Workspace, slots: int) -> None:
    site = parcels.site
    kinds = {asset.kind.word for asset in site.project.assets.values()}
    assert len(kinds) == 8
    with processes(site, slots) as engine:
        made = {name: site.catalog.find(name, site.environment) for name in site.project.assets}
        found = ended(engine, *(context(site, name, definition=made[name].definition) for name in made))
    for name, version in made.items():
        done = found[name]
        assert done.error is None, done.error
        assert done.stored is not None
        assert done.stored.content == version.content, name
        assert dict(done.stored.files) == dict(version.files), name
        assert json.loads(json.dumps(dict(done.stored.tables))) == dict(version.tables), name


def test_each_field_of_a_step_and_of_its_result_crosses_to_another_process(tiny: Tiny) -> None:
    step = context(tiny.write(CHAIN).site(), "orders")
    here = {"site", "asset", "lines", "tell", "touched"}
    told = messages.task_message(step)
    assert {field.name for field in fields(Context)} - here == set(told) - {"asset", "now"}
    bytes_alone = {"frame", "table", "frames", "files"}
    made = messages.made_message(Made(), None, {})["made"]
    assert {field.name for field in fields(Made)} - bytes_alone == set(made)


def test_a_metric_that_a_step_logs_is_kept_from_another_process(tiny: Tiny) -> None:
    body = "@oito.dataset\ndef fitted(orders):\n    oito.log_metric('loss', 0.5, step=1)\n    return orders\n"
    tiny.write(CHAIN + body).run("fitted", collect=["orders"], jobs=1)
    version = tiny.version("fitted")
    assert versions.metrics(tiny.site().catalog.rows, version.id)["loss"] == 0.5
    assert tiny.site().table(version, "points", as_type=pl.DataFrame)["value"].to_list() == [0.5]


def test_a_step_sees_the_moment_of_a_clock_that_is_moved_by_hand(tiny: Tiny) -> None:
    site = tiny.write(HEAD + "@oito.source\ndef step(until): return pl.DataFrame({'at': [until]})\n").site()
    with processes(site) as engine:
        for second in (1, 2):
            tiny.tell(id=[1])
            done = ended(engine, context(site, "step"))["step"]
            assert done.stored is not None
            here = Inline()
            here.submit(context(site, "step"))
            beside = here.wait(1.0)[0]
            assert beside.stored is not None
            assert done.stored.content == beside.stored.content, second


def test_a_worker_runs_the_source_that_the_run_began_with(tiny: Tiny) -> None:
    tiny.write("def value(): return 1\n", "helper.py")
    body = "import helper\n@oito.source\ndef step(since): return pl.DataFrame({'n': [helper.value()]})\n"
    with processes(tiny.write(HEAD + body).site()) as engine:
        tiny.write("raise RuntimeError('edited while it runs')\n").write("def value(): return 2\n", "helper.py")
        done = ended(engine, context(engine._site, "step"))["step"]
    assert done.error is None
    assert done.stored is not None
    rows = pl.read_parquet(engine._site.files.path(done.stored.tables["rows"]["parts"][0][0]))
    assert rows["n"].to_list() == [1]


def test_a_worker_with_another_source_says_so(tiny: Tiny) -> None:
    told = messages.site_message(tiny.write(HEAD).site())
    told["sources"] = {file: source + "# another\n" for file, source in told["sources"].items()}
    with pytest.raises(DeclarationError) as raised:
        messages.opened({**told, "path": list(sys.path)})
    assert raised.value.what == "a worker has loaded another source of project.py than the run"


def test_a_table_is_its_steps_own_in_every_engine(tiny: Tiny) -> None:
    body = """
import pandas
@oito.dataset
def changed(orders: pl.DataFrame):
    orders[0, "n"] = -1
    return orders

@oito.dataset
def also(orders: pandas.DataFrame):
    orders.loc[0, "n"] = -2
    return orders
"""
    for jobs in (0, 1):
        tiny.tell(id=[1, 2 + jobs], n=[5, 0]).write(CHAIN + body).run(jobs=jobs, collect=["orders"])
        assert [tiny.rows(name)["n"][0] for name in ("orders", "changed", "also")] == [5, -1, -2]


# What a step says


def test_what_a_step_prints_is_its_log_and_nothing_of_it_is_taken_for_a_message(tiny: Tiny) -> None:
    body = """
@oito.source
def step(since):
    print("three", "rows")
    print('{"made": 1}')
    os.write(1, b'{"error": 2}\\n')
    os.system("echo from a child")
    print("ä" * 100_000)
    print("no line end", end="")
    assert input() == "nothing to read"
"""
    done = one(tiny, body)
    assert isinstance(done.error, StepFailed)
    assert done.error.what == "step raised EOFError: EOF when reading a line"
    assert done.context.lines == ["three rows", '{"made": 1}', "ä" * 100_000, "no line end"]


def test_progress_is_told_while_a_step_runs(tiny: Tiny) -> None:
    told: list[str] = []
    site = tiny.write(CHAIN).site()
    with processes(site) as engine:
        ended(engine, context(site, "orders", tell=told.append))
    assert told == ["3 rows read, 3 added, 0 set aside, 0 wait"]


@pytest.mark.parametrize("cls", [each for each in messages._classes(OitoError) if each is not ProjectFaults])
@hypothesis.settings(max_examples=20)
@given(fields=st.fixed_dictionaries(dict.fromkeys(("what", "where", "known", "next"), st.text())), may=st.booleans())
def test_an_error_is_the_same_in_another_process(cls: type[OitoError], fields: dict[str, str], may: bool) -> None:
    error = errors.revived(cls, fields)
    error.may_retry = may
    found = messages.error_of(messages.read(messages.line(messages.error_message(error))))
    assert type(found) is cls
    assert (found.data(), found.may_retry, str(found)) == (error.data(), may, str(error))


def test_an_error_of_the_users_own_class_comes_as_it_or_as_the_nearest_of_ours(tiny: Tiny) -> None:
    body = """
from oito.errors import StepFailed
class TooCold(StepFailed): may_retry = True
@oito.source
def step(since): raise TooCold("it freezes", where="outside", known="-3", next="wait")
"""
    error = one(tiny, body).error
    assert error is not None
    assert type(error).__name__ == "TooCold"
    assert str(error) == "it freezes\n  where    outside\n  known    -3\n  next     wait"
    assert error.may_retry
    told = messages.error_message(error)
    elsewhere = messages.error_of({**told, "classes": ["OfAnotherProject", *told["classes"][1:]]})
    assert (type(elsewhere), str(elsewhere), elsewhere.may_retry) == (StepFailed, str(error), True)


def test_a_result_that_broke_a_check_comes_with_its_error(tiny: Tiny) -> None:
    tiny.write(
        CHAIN.replace("@oito.dataset\ndef cleaned", "@oito.dataset(checks=[oito.between('n', 0, 6)])\ndef cleaned")
    )
    tiny.run("orders")
    site = tiny.site()
    with processes(site) as engine:
        done = ended(engine, context(site, "cleaned"))["cleaned"]
    assert done.made is not None
    assert isinstance(done.made.broken, CheckFailed)
    assert done.made.broken.what == 'cleaned broke "n is between 0 and 6" in 1 of 2 rows'
    assert done.stored is not None
    assert "broken" in done.stored.tables


def test_faults_of_a_project_that_only_a_worker_sees_are_told(tiny: Tiny) -> None:
    body = "if os.getpid() != int(os.environ['FIRST']): raise ValueError('not twice')\n@oito.source\ndef step(since): pass\n"
    os.environ["FIRST"] = str(os.getpid())
    error = one(tiny, body).error
    assert isinstance(error, DeclarationError)
    assert error.what == "project.py cannot be imported: ValueError: not twice"


# Which engine


def test_the_settings_and_the_command_say_which_engine_it_is(tiny: Tiny) -> None:
    def chosen(told: int = 0, **settings: Any) -> tuple[str, int]:
        engine = engine_of(tiny.write(HEAD).site(**settings), told)
        engine.close()
        return type(engine).__name__, engine.slots

    assert chosen() == ("Inline", 1)
    assert chosen(1) == ("Processes", 1)
    assert chosen(3) == ("Processes", 3)
    assert chosen(engine="processes") == ("Processes", cores())
    assert chosen(engine="processes", jobs=5) == ("Processes", 5)
    assert chosen(2, engine="processes", jobs=5) == ("Processes", 2)
    assert chosen(jobs=0, engine="inline") == ("Inline", 1)
    with pytest.raises(BadInput, match="jobs is -1"):
        chosen(-1)
    with pytest.raises(BadSetting, match="the setting 'engine' is 'process'"):
        load_settings(tiny.root, {"engine": "process"})


def test_a_limit_of_memory_is_a_number_with_a_unit(tiny: Tiny) -> None:
    with pytest.raises(ProjectFaults, match="step: memory: 'much' is no amount of memory"):
        tiny.write(HEAD + "@oito.source(memory='much')\ndef step(since): pass\n").load()
    with pytest.raises(ProjectFaults, match="step: memory is none at all"):
        tiny.write(HEAD + "@oito.source(memory='0MB')\ndef step(since): pass\n").load()


def test_limits_do_not_make_a_version_anew(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    tiny.edit("@oito.dataset\ndef cleaned", "@oito.dataset(memory='4GB', timeout='1h', retries=1)\ndef cleaned")
    assert tiny.states()["cleaned"] == "fresh"
