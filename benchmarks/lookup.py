"""What it costs to answer by keys: features looked up online and computed on request, against the user's own function alone.

    python benchmarks/lookup.py

The floor is the project's on-request function on a frame that is ready, which no server can do without; the rival is the same
work row by row. A whole project is made first, which takes some seconds.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from table import report

PROJECT = Path(__file__).parents[1] / "tests" / "endpoints" / "rides_project.py"
ROW = {"ride_id": 5000, "asked_at": "2026-01-26T12:00:00Z", "driver": "D03", "zone": "hills", "distance": 7.5}
ROWS = 64


def median_us(work: Callable[[], Any], *, repeats: int = 400) -> float:
    """Return the median time of one call, in microseconds."""
    spans = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans) * 1e6


def made(root: Path) -> Any:
    """Return the workspace of the released project, in production."""
    from oito.workspace import Workspace

    shutil.copy(PROJECT, root / "project.py")
    (root / "oito.toml").write_text('now = "2026-01-27"\n')
    workspace = Workspace(root)
    workspace.run()
    workspace.release()
    workspace.close()
    return Workspace(root, environment="production")


def main() -> None:
    from oito.endpoints.requests import Fields
    from oito.endpoints.serving import Stand

    with tempfile.TemporaryDirectory() as folder:
        workspace = made(Path(folder))
        site = workspace.site
        version = site.catalog.find("delay_risk", "production")
        served = Stand(site, "delay_risk").load()
        enrich: Any = served.enrich
        fields = Fields(version.record)
        function = site.project.asset("calendar").function
        one, many = fields.frame([fields.typed(ROW)]), fields.frame([fields.typed(ROW)] * ROWS)
        rows = [{**ROW, "driver": f"D{n % 12:02d}"} for n in range(ROWS)]
        features = served.signature.matrix(site.table(site.catalog.find("late_ride", "production"), "test", as_type=None).head(1)
                                           .select("^x_.*$").rename(lambda name: name.removeprefix("x_")).collect())  # fmt: skip
        figures = {
            "floor: the function alone, 1 row": median_us(lambda: function(request=one)),
            "1 row by keys": median_us(lambda: enrich([ROW])),
            f"floor: the function alone, {ROWS} rows": median_us(lambda: function(request=many)),
            f"{ROWS} rows of one turn": median_us(lambda: enrich(rows)),
            f"rival: {ROWS} rows one by one": median_us(lambda: [enrich([row]) for row in rows], repeats=40),
            "scoring 1 row": median_us(lambda: served.score(features)),
        }
        workspace.close()
    for name, figure in figures.items():
        print(f"{name:<44}{figure:>10.0f} us")
    alone, turn = figures["1 row by keys"], figures[f"{ROWS} rows of one turn"]
    report(
        "features of one question", alone, "the function alone", figures["floor: the function alone, 1 row"], unit="µs"
    )
    report(f"features of {ROWS} questions", turn, "one by one", figures[f"rival: {ROWS} rows one by one"], unit="µs")


if __name__ == "__main__":
    main()
