"""Steps in processes of their own give the same bytes as here; what ends badly ends alone, with its reason, and nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito import errors
from oito.errors import (
    BadInput,
    BadSetting,
    CheckFailed,
    DeclarationError,
    MemoryExceeded,
    OitoError,
    ProjectFaults,
    StepFailed,
    StepTimeout,
    WorkerDied,
)
from oito.flow import messages
from oito.flow.engine import Done, Engine, Inline
from oito.flow.engines import cores, engine_of
from oito.flow.processes import Processes
from oito.flow.site import Context, Site
from oito.settings import load as load_settings
from oito.workspace import Workspace
from tiny import CHAIN, HEAD, Tiny

PARCELS = Path(__file__).parents[2] / "docs" / "examples" / "parcels"
BUSY_IN_C = "import itertools; sum(itertools.repeat(0))"  # never asks for signals, never lets another thread run


@contextmanager
def processes(site: Site, slots: int = 1) -> Iterator[Processes]:
    engine = Processes(site, slots=slots)
    try:
        yield engine
    finally:
        engine.close()


def context(site: Site, name: str, **more: Any) -> Context:
    """Return a step as the runner hands it out: with the versions that its inputs have now."""
    asset = site.project.asset(name)
    inputs = {each.role: site.catalog.find(each.asset, site.environment) for each in asset.inputs}
    return Context(site, asset, inputs, **more)


def ended(engine: Engine, *contexts: Context) -> dict[str, Done]:
    """Hand steps out, as many at once as the engine takes, and return how each ended."""
    waiting, under_way, found = list(contexts), 0, {}
    until = time.monotonic() + 120
    while waiting or under_way:
        assert time.monotonic() < until, "the engine never came back"
        while waiting and under_way < engine.slots:
            engine.submit(waiting.pop(0))
            under_way += 1
        for done in engine.wait(1.0):
            found[done.context.asset.name] = done
            under_way -= 1
    return found


def one(tiny: Tiny, body: str, name: str = "step") -> Done:
    """Return how a step ends in a process of its own."""
    with processes(tiny.write(HEAD + body).site()) as engine:
        return ended(engine, context(engine._site, name))[name]


def alive(of: Callable[[int, list[str]], bool]) -> list[int]:
    """Return the processes of whose id and fields of `stat` (from the state on) something is true."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and of(int(path.parent.name), fields):
            found.append(int(path.parent.name))
    return found


def in_session(session: int) -> list[int]:
    return alive(lambda _, fields: int(fields[3]) == session)


def children(of: int) -> list[int]:
    return alive(lambda _, fields: int(fields[1]) == of)


def gone(still: Callable[[], list[int]]) -> bool:
    until = time.monotonic() + 20
    while still() and time.monotonic() < until:
        time.sleep(0.02)
    return not still()


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


# What ends badly


DEATHS = {
    "os._exit(3)": "ended with exit code 3",
    "os.kill(os.getpid(), 9)": "was killed, perhaps by the system for want of memory",
    "import ctypes; ctypes.string_at(0)": "died of SIGSEGV",
    "os.abort()": "died of SIGABRT",
}


@pytest.mark.parametrize("body", DEATHS)
def test_a_worker_that_dies_is_a_failed_step_with_the_reason(tiny: Tiny, body: str) -> None:
    done = one(tiny, f"@oito.source\ndef step(since):\n    print('so far')\n    {body}\n")
    assert isinstance(done.error, WorkerDied)
    assert done.error.what == f"the process that made step {DEATHS[body]}"
    assert done.error.known.endswith("no pointer moved; what was made before is kept")
    assert done.context.lines == ["so far"]
    if "SIG" in DEATHS[body]:
        assert done.error.where == f"project.py:{(HEAD + body).count(chr(10)) + 4}, in step"
        assert done.error.known.startswith("Fatal Python error: ")


def test_a_step_whose_worker_died_is_tried_again_by_a_fresh_one_and_the_others_go_on(tiny: Tiny) -> None:
    body = """
import time
@oito.source(retries=1)
def dies(since):
    ran("dies")
    if len(Path(os.environ["RAN"]).read_text().split()) == 1:
        os.kill(os.getpid(), 9)
    return pl.DataFrame({"n": [1]})

@oito.source
def lives(since):
    time.sleep(1)
    return pl.DataFrame({"n": [os.getpid()]})
"""
    with processes(tiny.write(HEAD + body).site(), 2) as engine:
        found = ended(engine, context(engine._site, "dies"), context(engine._site, "lives"))
    assert (found["dies"].error, found["lives"].error) == (None, None)
    assert found["dies"].context.lines[0] == (
        "attempt 1 of 2 failed: the process that made dies was killed, perhaps by the system for want of memory"
    )
    assert tiny.ran() == ["dies", "dies"]


def test_a_worker_that_dies_between_two_steps_costs_no_attempt(tiny: Tiny) -> None:
    site = tiny.write(CHAIN).site()
    with processes(site) as engine:
        ended(engine, context(site, "orders"))
        (worker,) = engine._workers
        os.kill(worker._process.pid, signal.SIGKILL)
        assert ended(engine, context(site, "orders"))["orders"].error is None


@pytest.mark.parametrize("body", ["time.sleep(60)", BUSY_IN_C])
def test_a_step_that_runs_too_long_is_ended_also_in_native_code(tiny: Tiny, body: str) -> None:
    done = one(tiny, f"import time\n@oito.source(timeout='200ms')\ndef step(since):\n    {body}\n")
    assert isinstance(done.error, StepTimeout)
    assert done.error.what == "step ran longer than its timeout of 0.2 s"
    assert done.error.next == "raise timeout="


def test_a_step_that_uses_too_much_memory_is_ended_and_says_so(tiny: Tiny) -> None:
    body = """
import subprocess, sys, time
@oito.source(memory="300MB")
def step(since):
    {}
"""
    for grown in (
        "held = [bytearray(10**7) for _ in range(400) if not time.sleep(0.01)]",
        'subprocess.run([sys.executable, "-c", "held = bytearray(4 * 10**8); input()"], stdin=open("/dev/zero"))',
    ):
        error = one(tiny, body.format(grown)).error
        assert isinstance(error, MemoryExceeded)
        assert error.what.startswith("step used ")
        assert error.what.endswith("B of memory, more than its limit of 300MB")
        assert error.known.endswith("MB of it were there before it began: Python and the libraries")
        assert error.next == "take in less at once (fewer columns, lazy frames, partitions), or raise memory="


def test_what_an_earlier_step_left_in_memory_does_not_count_against_the_next(tiny: Tiny) -> None:
    body = """
@oito.source
def first(since):
    oito.left = bytearray(4 * 10**8)
    return pl.DataFrame({"n": [1]})

@oito.source(memory="400MB")
def second(since): return pl.DataFrame({"n": [1]})
"""
    with processes(tiny.write(HEAD + body).site()) as engine:
        found = ended(engine, context(engine._site, "first"), context(engine._site, "second"))
    assert (found["first"].error, found["second"].error) == (None, None)


def test_a_step_that_exits_has_failed_in_every_engine(tiny: Tiny) -> None:
    body = "@oito.source\ndef step(since): sys.exit('enough')\nimport sys\n"
    assert str(one(tiny, body).error) == str(tiny.tried().errors["step"])


# Nothing stays behind


LONG = """
import subprocess, time
@oito.source
def step(since):
    subprocess.Popen(["sleep", "600"])
    try:
        ran(str(os.getpid()))
        time.sleep(600)
    finally:
        (Path(os.environ["RAN"]).parent / "tidied").touch()
"""


def begun(tiny: Tiny, engine: Engine) -> int:
    """Wait until the step of LONG is at work and return its process."""
    for _ in range(600):
        if engine.wait(0.05):
            break
        if ran := tiny.ran():
            return int(ran[0])
    raise AssertionError("the step never began")


def test_closing_ends_every_process_and_lets_steps_tidy_up(tiny: Tiny) -> None:
    site = tiny.write(HEAD + LONG).site()
    engine = Processes(site, slots=1)
    engine.submit(context(site, "step"))
    worker = begun(tiny, engine)
    assert len(in_session(worker)) == 2
    engine.close()
    assert gone(lambda: in_session(worker))
    assert (tiny.root / "tidied").exists()
    assert children(os.getpid()) == []
    engine.close()  # once more changes nothing


def test_an_interrupt_while_waiting_is_raised_when_nothing_runs_any_more(tiny: Tiny) -> None:
    site = tiny.write(HEAD + LONG).site()
    engine = Processes(site, slots=1)
    engine.submit(context(site, "step"))
    worker = begun(tiny, engine)

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            engine.wait(60)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert gone(lambda: in_session(worker))
    assert children(os.getpid()) == []


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import Tiny
from oito.flow.processes import Processes
from oito.flow.site import Context
tiny = Tiny(Path(sys.argv[1]))
site = tiny.site()
engine = Processes(site, slots=1)
engine.submit(Context(site, site.project.asset("step"), {{}}))
engine.wait(600)
"""


@pytest.mark.parametrize("body", ["import time; time.sleep(600)", BUSY_IN_C])
def test_workers_end_with_a_run_that_is_killed(tiny: Tiny, body: str) -> None:
    tiny.write(HEAD + f"@oito.source\ndef step(since):\n    ran(str(os.getpid()))\n    {body}\n")
    code = PARENT.format(tests=str(Path(__file__).parents[1]))
    with subprocess.Popen([sys.executable, "-c", code, str(tiny.root)]) as parent:
        for _ in range(600):
            time.sleep(0.05)
            if ran := tiny.ran():
                break
        parent.kill()
    assert gone(lambda: in_session(int(ran[0])))


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
