"""What a step costs more in a process of its own than in this one: small steps through both engines in turns, and starting a worker."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from table import report

from oito.catalog.catalog import Catalog
from oito.clock import RealClock
from oito.eight import KINDS
from oito.flow.engines.engine import Engine, Inline
from oito.flow.engines.processes import Processes
from oito.flow.project import load
from oito.flow.site import Context, Site
from oito.settings import load as load_settings
from oito.storage.files import Files

_ROUNDS, _STEPS, _GOAL_MS = 15, 20, 10.0
_PROJECT = """
import polars as pl
import oito

@oito.source
def small(since): return pl.DataFrame({"n": [1, 2, 3]})
"""


def main() -> None:
    """Print milliseconds of a step in both engines, what is added, and what a worker costs to start."""
    with tempfile.TemporaryDirectory() as folder:
        site = _site(Path(folder))
        here, there = Inline(), Processes(site, slots=1)
        began = time.perf_counter()
        _carry_out(there, site, 1)
        start_ms = 1000 * (time.perf_counter() - began)
        _carry_out(here, site, 1)  # what is imported late is here now
        times = [(_ms(here, site), _ms(there, site)) for _ in range(_ROUNDS)]
        there.close()
        inline_ms, processes_ms = (statistics.median(column) for column in zip(*times, strict=True))
        added_ms = statistics.median(there - here for here, there in times)
        print(f"a step: {inline_ms:.2f} ms inline, {processes_ms:.2f} ms in a process")
        report("what a process adds to a step", added_ms, "the step, inline", inline_ms, at_most=_GOAL_MS)
        print(f"the first in a worker {start_ms:5.0f} ms: started, project loaded, step made")


def _ms(engine: Engine, site: Site) -> float:
    """Return the milliseconds of one step, of several one after the other."""
    began = time.perf_counter()
    _carry_out(engine, site, _STEPS)
    return 1000 * (time.perf_counter() - began) / _STEPS


def _carry_out(engine: Engine, site: Site, count: int) -> None:
    for _ in range(count):
        engine.submit(Context(site, site.project.asset("small"), {}))
        while not (ended := engine.wait(10.0)):
            pass
        if ended[0].error:
            raise ended[0].error


def _site(root: Path) -> Site:
    (root / "project.py").write_text(_PROJECT)
    settings = load_settings(root, {})
    catalog = Catalog(settings.home_folder, RealClock(), who="bench")
    files = Files(settings.home_folder / "files")
    return Site(load(root, ["project.py"], KINDS), catalog, files, settings, "dev", root)


if __name__ == "__main__":
    main()
