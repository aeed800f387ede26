"""What ends badly ends alone, with its reason; however a run ends, no process stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine_room import BUSY_IN_C, children, context, ended, gone, in_session, one, processes
from oito.errors import MemoryExceeded, StepTimeout, WorkerDied
from oito.flow.engines.engine import Engine
from oito.flow.engines.processes import Processes
from tiny import CHAIN, HEAD, Tiny

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
    others = children(os.getpid())  # a library's helper process may stay for all tests
    site = tiny.write(HEAD + LONG).site()
    engine = Processes(site, slots=1)
    engine.submit(context(site, "step"))
    worker = begun(tiny, engine)
    assert len(in_session(worker)) == 2
    engine.close()
    assert gone(lambda: in_session(worker))
    assert (tiny.root / "tidied").exists()
    assert set(children(os.getpid())) <= set(others)
    engine.close()  # once more changes nothing


def test_an_interrupt_while_waiting_is_raised_when_nothing_runs_any_more(tiny: Tiny) -> None:
    others = children(os.getpid())
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
    assert set(children(os.getpid())) <= set(others)


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import Tiny
from oito.flow.engines.processes import Processes
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
