"""What a durable step costs: fresh and cached, beside one synced file and one SQLite commit; and the plan of 300 assets."""

import cProfile
import pstats
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from table import report

from oito.catalog.catalog import Catalog
from oito.clock import RealClock
from oito.eight import KINDS
from oito.flow import runner
from oito.flow.engines import engine
from oito.flow.plan import Planner
from oito.flow.project import load
from oito.flow.site import Context, Made, Site
from oito.flow.stored import Stored
from oito.settings import load as load_settings
from oito.storage.files import Files

_STEPS, _ASSETS = 50, 300
_HEAD = (
    "import polars as pl\nimport oito\n@oito.source(every='100d')\ndef start(since): return pl.DataFrame({'n': [0]})\n"
)


def main() -> None:
    """Print milliseconds of one step with goal, floor and ratio; `--profile` says where they go."""
    with tempfile.TemporaryDirectory() as folder:
        _steps(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _plan(Path(folder))


def _steps(root: Path) -> None:
    chain = "".join(
        f"@oito.dataset\ndef d{n}({f'd{n - 1}' if n else 'start'}): return pl.DataFrame({{'n': [{n}]}})\n"
        for n in range(_STEPS)
    )
    (root / "project.py").write_text(_HEAD + chain)
    site = _site(root)
    runner.run(site, ["d0"]).raise_first()  # what is imported late is here now
    floor_ms = _floor(root)
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            runner.run(site, [f"d{_STEPS - 1}"]).raise_first()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
        return
    inside_ms, cpu_s = _counted(), time.process_time()
    fresh_ms = _ms(lambda: runner.run(site, [f"d{_STEPS - 1}"]).raise_first()) / (_STEPS - 1)
    cpu_ms, within_ms = 1000 * (time.process_time() - cpu_s) / (_STEPS - 1), sum(inside_ms) / (_STEPS - 1)
    cached_ms = min(_ms(lambda: runner.run(site, [f"d{_STEPS - 1}"]).raise_first()) for _ in range(5)) / (_STEPS + 1)
    report("a durable step", fresh_ms, "a synced file, a row", floor_ms, at_most=8.0)
    print(
        f"  {within_ms:.2f} ms of it the kind's own work and its bytes, {fresh_ms - within_ms:.2f} ms around; CPU {cpu_ms:.2f} ms"
    )
    report("the same with nothing to do", cached_ms, "a synced file, a row", floor_ms, at_most=1.0)
    alone = "@oito.dataset\ndef alone(start): return pl.DataFrame({'n': [-1]})\n"
    (root / "project.py").write_text(_HEAD + chain + alone)
    site = _site(root)
    one_ms = _ms(lambda: runner.run(site, ["alone"]).raise_first())
    again_ms = min(_ms(lambda: runner.run(site, ["alone"]).raise_first()) for _ in range(20))
    report("a run of one step", one_ms, "a synced file, a row", floor_ms)
    report("a run with nothing to do", again_ms, "a synced file, a row", floor_ms)


def _counted() -> list[float]:
    """Return a list that grows by the milliseconds of each step's own work."""
    found: list[float] = []
    inner = engine.attempt

    def timed(context: Context) -> tuple[Made, Stored | None]:
        began = time.perf_counter()
        made = inner(context)
        found.append(1000 * (time.perf_counter() - began))
        return made

    vars(engine)["attempt"] = timed
    return found


def _plan(root: Path) -> None:
    (root / "helper.py").write_text("".join(f"def h{n}(x):\n    return x + {n}\n" for n in range(50)))
    body = "".join(
        f"@oito.dataset\ndef d{n}({f'd{n // 3 - 1}' if n >= 3 else 'start'}): return helper.h{n % 50}(1), helper.h{n % 7}(2)\n"
        for n in range(_ASSETS)
    )
    (root / "project.py").write_text(_HEAD + "import helper\n" + body)
    load_ms = _ms(lambda: _site(root))
    site = _site(root)
    cold_ms = _ms(lambda: Planner(site).plan())
    warm_ms = min(_ms(lambda: Planner(site).plan()) for _ in range(3))
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            Planner(site).plan()
        pstats.Stats(profile).sort_stats("cumulative").print_stats(30)
    print(f"{_ASSETS} assets     load {load_ms:.0f} ms, plan {cold_ms:.0f} ms cold, {warm_ms:.0f} ms again")


def _site(root: Path) -> Site:
    settings = load_settings(root, {})
    catalog = Catalog(settings.home_folder, RealClock(), who="bench")
    return Site(
        load(root, ["project.py"], KINDS), catalog, Files(settings.home_folder / "files"), settings, "dev", root
    )


def _floor(root: Path) -> float:
    """Return the milliseconds of one small synced file and one commit, the least a durable step can be."""
    files = Files(root / "floor")
    rows = sqlite3.connect(root / "floor.db", isolation_level=None)
    rows.execute("PRAGMA journal_mode=WAL")
    rows.execute("PRAGMA synchronous=NORMAL")
    rows.execute("CREATE TABLE t (x)")

    def once() -> None:
        files.put(time.time_ns().to_bytes(8, "little") * 100)
        rows.execute("BEGIN IMMEDIATE")
        rows.execute("INSERT INTO t VALUES (1)")
        rows.execute("COMMIT")

    found = statistics.median(_ms(once) for _ in range(30))
    rows.close()
    return found


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
