"""A thousand small appends: oito's tables, with version, edges and event each, beside three table formats."""

import statistics
import tempfile
import time
from pathlib import Path

import polars as pl
from venvs import Missing, told

from oito.catalog.catalog import Catalog
from oito.clock import RealClock
from oito.storage.files import Files

from storage import Stream  # isort: skip
from table import missing, report  # isort: skip

APPENDS = 1_000
NEAR = 20  # commits at the end whose median is the figure
LOOP = """
import json, statistics, time
import pyarrow as pa
def batch(n): return pa.table({{"id": list(range(n * 100, n * 100 + 100)), "x": [0.5] * 100, "name": ["rides"] * 100}})
{code}
spent, began = [], time.perf_counter()
while len(spent) < {appends} and time.perf_counter() - began < 60:
    one = time.perf_counter()
    append(batch(len(spent)))
    spent.append(1000 * (time.perf_counter() - one))
print(json.dumps({{"ms": statistics.median(spent[-{near}:]), "count": len(spent), "s": sum(spent) / 1000}}), flush=True)
"""
CODES = {
    "deltalake": """
from deltalake import DeltaTable, write_deltalake
write_deltalake("table", batch(0))
table = DeltaTable("table")
def append(rows): write_deltalake(table, rows, mode="append")
""",
    "pyiceberg": """
from pathlib import Path
from pyiceberg.catalog.sql import SqlCatalog
Path("warehouse").mkdir()
catalog = SqlCatalog("bench", uri="sqlite:///catalog.db", warehouse=f"file://{Path('warehouse').absolute()}")
catalog.create_namespace("n")
table = catalog.create_table("n.t", schema=batch(0).schema)
def append(rows): table.append(rows)
""",
    "lance": """
import lance
lance.write_dataset(batch(0), "table.lance")
def append(rows): lance.write_dataset(rows, "table.lance", mode="append")
""",
}


def main() -> None:
    """Report milliseconds of a commit near the thousandth, or as many as there were in a minute, and the seconds of all.

    Traced, 20 appends of Delta Lake and of Lance call fsync not once, those of Iceberg 96 times, in its catalog; oito syncs
    each file and its name before the commit, and the catalog now and then. A busy disk therefore slows oito more than the two.
    """
    for name, code in CODES.items():
        with tempfile.TemporaryDirectory() as folder:
            near, total = _ours(Path(folder))  # again for each, so that both meet the same machine
        try:
            theirs = told(name, LOOP.format(code=code, appends=APPENDS, near=NEAR))
        except Missing as reason:
            missing("a 100-row commit", name, str(reason))
            continue
        count = int(theirs["count"])
        report(f"a 100-row commit, after {APPENDS:,}", near, f"{name} after {count:,}", theirs["ms"], at_most=3.0)
        if count == APPENDS:
            report(f"{APPENDS:,} of them", total, name, theirs["s"], unit="s")


def _ours(root: Path) -> tuple[float, float]:
    batch = pl.DataFrame({"id": range(100), "x": [0.5] * 100, "name": ["rides"] * 100})
    stream, began = Stream(Catalog(root, RealClock(), who="bench"), Files(root / "files"), "rides"), time.perf_counter()
    spent = [stream.commit(batch.with_columns(pl.col("id") + n * 100)) for n in range(APPENDS)]
    return statistics.median(spent[-NEAR:]), time.perf_counter() - began


if __name__ == "__main__":
    main()
