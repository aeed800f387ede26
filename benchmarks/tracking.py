"""What a metric point costs inside a step, how soon another process reads it, and how long a long curve takes to draw."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from table import report

import oito
from oito.catalog import points
from oito.catalog.points import PointFile
from oito.clock import RealClock
from oito.flow import tracking
from oito.flow.curves import thinned

_POINTS = 1_000
_LONG = 1_000_000

PROJECT = """
import time
import polars as pl
import oito

@oito.dataset
def trained() -> pl.DataFrame:
    spent = []
    for turn in range(9):
        began = time.perf_counter()
        for step in range({points}):
            oito.log_metric("loss", 1 / (step + 1), step=step)
        spent.append(1000 * (time.perf_counter() - began) / {points})
    return pl.DataFrame({{"ms": spent}})
"""

WATCHER = """
import sys, time
from pathlib import Path
from oito.catalog import points
seen = 0
print("ready", flush=True)
while seen < {most}:
    found = points.live(Path(sys.argv[1]), "r-1").get("train", [])
    if len(found) > seen:
        now, seen = time.time(), len(found)
        print(now - found[-1][3], flush=True)
"""


def main() -> None:
    """Report milliseconds per point, beside a bare write of the same bytes; the delay until another process has it."""
    with tempfile.TemporaryDirectory() as folder:
        _cost(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _delay(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _long(Path(folder))


def _cost(root: Path) -> None:
    (root / "project.py").write_text(PROJECT.format(points=_POINTS))
    workspace = oito.open(root, environment="dev")
    workspace.run()
    spent = workspace["trained"].frame()["ms"].to_list()
    workspace.close()
    line = b'["loss",999,0.123456789,1735689600.123456]\n'
    with (root / "bare").open("ab", buffering=0) as bare:
        floor = statistics.median(_ms(lambda: [bare.write(line) for _ in range(_POINTS)]) / _POINTS for _ in range(9))
    report("a metric point, readable at once", statistics.median(spent), "a bare write", floor, at_most=0.05)


def _delay(home: Path) -> None:
    file, count = PointFile(home, "r-1", "train", RealClock()), 30
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCHER.format(most=count), str(home)], stdout=subprocess.PIPE, text=True
    )
    assert watcher.stdout is not None
    watcher.stdout.readline()
    for step in range(count):
        file.add("loss", 0.5, step)
        time.sleep(0.02)
    found = [1000 * float(line) for line in watcher.stdout]
    watcher.wait()
    report("until another process has read it, the slowest", max(found), "aim", 200.0, at_most=200.0)


def _long(home: Path) -> None:
    file = PointFile(home, "r-1", "train", RealClock())
    file.add("loss", 0.5, 0)
    with file.path.open("ab") as lines:
        lines.writelines(b'["loss",%d,0.%06d,1735689600.5]\n' % (step, step) for step in range(1, _LONG))
    read = _ms(lambda: points.read(file.path))
    frame = tracking.frame("train", points.read(file.path)[1])
    bare = _ms(lambda: file.path.read_bytes().count(b"\n"))
    report("a million points read while they are logged", read, "counting the lines", bare)
    drawn = min(_ms(lambda: thinned(frame.select(pl.all()))) for _ in range(5))
    report("a million points thinned for a chart", drawn, "reading them", read, at_most=100.0)


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
