"""What storage costs: digests beside bare SHA-256, small commits into a short and a long table, a small upsert into a large one."""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from table import report

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import RealClock
from oito.flow.stored import digests
from oito.storage import tables
from oito.storage.contents import digest_of
from oito.storage.files import Files
from oito.storage.sql import Database

_ROWS = 2_000_000
_COMMITS = 1_000
_TURNS = 100
_BATCH = pl.DataFrame({"id": range(100), "x": [0.5] * 100, "name": ["rides"] * 100})


def main() -> None:
    """Report every figure as a ratio to something measured in the same run."""
    source = np.random.default_rng(8)
    numeric = pl.DataFrame({f"x{n}": source.random(_ROWS) for n in range(8)} | {"id": np.arange(_ROWS)})
    _digest("numbers", numeric, [column.to_numpy() for column in numeric.get_columns()])
    text = pl.DataFrame({"name": numeric["id"].cast(pl.String) + " flights"})
    _digest("text", text, ["".join(text["name"].to_list()).encode()])
    with tempfile.TemporaryDirectory() as folder:
        _commits(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        _upsert(Files(Path(folder)), numeric)


class Stream:
    """A table that grows by commits as a source's does: bytes, then version, edge, fingerprint, pointer and event at once."""

    def __init__(self, catalog: Catalog, files: Files, asset: str) -> None:
        self.catalog, self.files, self.asset = catalog, files, asset
        self.table, self.last, self.number = tables.write(files, _BATCH), 0, 0

    def commit(self, rows: pl.DataFrame) -> float:
        """Return the milliseconds of one commit."""
        began = time.perf_counter()
        self.number += 1
        self.table = tables.append(self.files, self.table, rows)
        stored = {"rows": self.table.data()}
        new = NewVersion(
            self.asset, "source", fingerprint=hashlib.sha256(f"{self.asset} {self.number}".encode()).hexdigest(),
            definition="d" * 64, content=self.table.content, parts={"code": {"project.rides": "c" * 64}, "n": self.number},
            inputs=[("before", self.last)] if self.last else [], rows=self.table.rows, size_bytes=self.table.size_bytes,
            record={"cursor": self.number, "added": 100}, tables=stored, metrics={"rows": self.table.rows, "added": 100},
            digests=digests(stored, {}),
        )  # fmt: skip
        with self.catalog.change() as change:
            self.last = versions.insert(change.rows, new, at=change.at, environment="dev", run="r-1")
            change.move("dev", self.asset, self.last)
            change.event("made", f"{self.asset}:v{self.number}", content=new.content)
        return 1000 * (time.perf_counter() - began)


def _commits(root: Path) -> None:
    """Grow one table to 1,000 commits, then commit in turns to it and to a new one, so that both meet the same machine."""
    catalog, files = Catalog(root, RealClock(), who="bench"), Files(root / "files")
    long = Stream(catalog, files, "long")
    for n in range(_COMMITS - _TURNS):
        long.commit(_BATCH.with_columns(pl.col("id") + n * 100))
    late, late_cpu, early_cpu, floors = [], [], [], []
    database = Database(root / "floor.db")
    database.one("CREATE TABLE t (x)")
    for turn in range(_TURNS):
        if turn % 20 == 0:
            short = Stream(catalog, files, f"short{turn}")
        rows = _BATCH.with_columns(pl.col("id") + (_COMMITS + turn) * 100)
        late_cpu.append(_cpu_ms(lambda: late.append(long.commit(rows))))  # noqa: B023  # called at once
        early_cpu.append(_cpu_ms(lambda: short.commit(rows.with_columns(pl.col("x") + turn))))  # noqa: B023  # called at once
        floors.append(_ms(lambda: _floor(files, database)))
    at_end, end_cpu, start_cpu = (statistics.median(each) for each in (late, late_cpu, early_cpu))
    told = f"100-row commit with its lineage, after {_COMMITS:,}"
    report(told, at_end, "a synced file, a row", statistics.median(floors), at_most=3.0)
    report("the same, the slowest of a hundred left out", float(np.quantile(late, 0.99)), "the usual one", at_end)
    report(
        f"a commit after {_COMMITS:,}", end_cpu, "one of the first 20", start_cpu, unit="CPU ms",
        at_most=round(1.2 * start_cpu, 2),
    )  # fmt: skip
    print(f"{len(long.table.parts)} parts after {_COMMITS:,} commits; last/first {end_cpu / start_cpu:.2f}, aim ≤ 1.2")


def _upsert(files: Files, frame: pl.DataFrame) -> None:
    table = None

    def write() -> None:
        nonlocal table
        table = tables.write(files, frame)

    whole = _ms(write)
    assert table is not None
    batch = frame[:100].with_columns(x0=pl.lit(2.0))
    tables.upsert(files, table, batch[:1], "id")
    report(
        "upsert of 100 rows into 2 million", _ms(lambda: tables.upsert(files, table, batch, "id")), "writing all", whole
    )


def _digest(name: str, frame: pl.DataFrame, raw: Sequence[Any]) -> None:
    size = sum(memoryview(each).nbytes for each in raw) / 1e6
    floor = size / (_best(lambda: [hashlib.sha256(each).digest() for each in raw]) / 1000)
    ours = size / (_best(lambda: digest_of(frame)) / 1000)
    report(f"digest of {name}", ours, "SHA-256 alone", floor, unit="MB/s", more_is_better=True)


def _floor(files: Files, database: Database) -> None:
    files.put(time.time_ns().to_bytes(8, "little") * 300)
    with database.write() as change:
        change.run("INSERT INTO t VALUES (1)")


def _best(work: Callable[[], object], *, times: int = 3) -> float:
    return min(_ms(work) for _ in range(times))


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the milliseconds of processor time: how busy the disk is does not tell whether a commit grew."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def _ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
