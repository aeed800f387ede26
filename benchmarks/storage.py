"""What storage costs: the digest of a table beside bare SHA-256, and a small commit into a short and into a long table."""

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from oito.storage import tables
from oito.storage.contents import digest_of
from oito.storage.files import Files

_ROWS = 2_000_000
_APPENDS = 1_000


def main() -> None:
    """Print every figure as a ratio to something measured in the same run."""
    source = np.random.default_rng(8)
    numeric = pl.DataFrame({f"x{n}": source.random(_ROWS) for n in range(8)} | {"id": np.arange(_ROWS)})
    _digest("numbers", numeric, [column.to_numpy() for column in numeric.get_columns()])
    text = pl.DataFrame({"name": numeric["id"].cast(pl.String) + " flights"})
    _digest("text", text, ["".join(text["name"].to_list()).encode()])
    with tempfile.TemporaryDirectory() as folder:
        _commits(Files(Path(folder)))


def _digest(name: str, frame: pl.DataFrame, raw: Sequence[Any]) -> None:
    size = sum(memoryview(each).nbytes for each in raw) / 1e6
    floor = size / _best(lambda: [hashlib.sha256(each).digest() for each in raw])
    ours = size / _best(lambda: digest_of(frame))
    print(f"digest of {name:<8} {ours:7,.0f} MB/s; SHA-256 alone {floor:,.0f} MB/s; ratio {ours / floor:.2f}")


def _commits(files: Files) -> None:
    batch = pl.DataFrame({"id": range(100), "x": [0.5] * 100, "name": ["rides"] * 100})
    table = tables.write(files, batch)
    spent_ms = []
    for n in range(_APPENDS):
        rows = batch.with_columns(pl.col("id") + n * 100)
        begun = time.perf_counter()
        table = tables.append(files, table, rows)
        spent_ms.append(1000 * (time.perf_counter() - begun))
    first, last = statistics.median(spent_ms[:20]), statistics.median(spent_ms[-20:])
    floor = 1000 * _best(lambda: files.put(time.time_ns().to_bytes(8, "little") * 300), times=20)
    print(
        f"100-row commit       {first:.2f} ms around append 10, {last:.2f} ms around {_APPENDS}; last/first {last / first:.2f}"
    )
    print(
        f"                     p99 {np.quantile(spent_ms, 0.99):.1f} ms; one synced file alone {floor:.2f} ms; {len(table.parts)} parts"
    )


def _best(work: Callable[[], object], *, times: int = 3) -> float:
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun)
    return min(spent)


if __name__ == "__main__":
    main()
