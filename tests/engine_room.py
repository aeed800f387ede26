"""Steps handed to an engine as the runner does it, and a look at the processes that are left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oito.flow.engines.engine import Done, Engine
from oito.flow.engines.processes import Processes
from oito.flow.site import Context, Site
from tiny import HEAD, Tiny

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
