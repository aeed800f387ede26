"""What features cost: the as-known join, sliding windows and the online store, each beside a rival or floor in the same run."""

import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
from table import report

from oito.features.asof import Index, as_known
from oito.features.blobs import entity_key
from oito.features.online import Online
from oito.features.windows import sliding

START_US = 1_356_998_400_000_000
YEAR_US = 365 * 86_400_000_000
UTC_TIME = pl.Datetime("us", "UTC")
LABELS, FACTS, KEYS = 1_000_000, 5_000_000, 100_000
WEEK = timedelta(days=7)


def main() -> None:
    """Print every figure; each peak of memory is that of a process of its own."""
    parts: dict[str, Callable[[], None]] = {
        "as-known": join_as_known,
        "polars": join_polars,
        "duckdb": join_duckdb,
        "windows": windows,
        "online": online,
    }
    if len(sys.argv) > 1:
        parts[sys.argv[1]]()
        return
    for part in parts:
        subprocess.run([sys.executable, __file__, part], check=True)


def timed(name: str, work: Callable[[], Any], *, goal: str = "") -> float:
    """Do the work twice and print the better processor and wall seconds."""
    cpu_s, wall_s = [], []
    for _ in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    print(f"{name:<58} {min(cpu_s):6.2f} s CPU {min(wall_s):6.2f} s wall   {goal}", flush=True)
    return min(cpu_s)


def peak(goal: str) -> None:
    print(f"{'  peak memory':<58} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:6.2f} GiB   {goal}")


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (labels, facts): facts become known six hours late on average, and one in ten is corrected a day later."""
    rng = np.random.default_rng(8)
    event = rng.integers(0, YEAR_US, FACTS) + START_US
    key = rng.integers(0, KEYS, FACTS)
    corrections = FACTS // 10
    event[:corrections], key[:corrections] = event[-corrections:], key[-corrections:]
    known = event + rng.exponential(6 * 3600e6, FACTS).astype(np.int64)
    known[:corrections] += 86_400_000_000
    facts = pl.DataFrame({"key": key, "event": event, "known": known, "value": rng.random(FACTS)})
    asked = rng.integers(0, YEAR_US, LABELS) + START_US
    labels = pl.DataFrame({"key": rng.integers(0, KEYS, LABELS), "at": asked})
    return labels.with_columns(pl.col("at").cast(UTC_TIME)), facts.with_columns(pl.col("event", "known").cast(UTC_TIME))


def join_as_known() -> None:
    labels, facts = tables()
    result = as_known(labels, facts, by=["key"], at="at", time="event", known_at="known", ttl=WEEK)
    assert result.frame.height == labels.height
    print(f"1M labels x 5M facts, 100k keys, ttl 7d; {result.leaked_rows / LABELS:.1%} of rows would have leaked")
    timed(
        "as_known, cold",
        lambda: as_known(labels, facts, by=["key"], at="at", time="event", known_at="known", ttl=WEEK),
        goal="goal <= 5",
    )
    index = Index(facts, by=["key"], time="event", known_at="known")
    timed("as_known, stored index", lambda: index.join(labels, at="at", ttl=WEEK), goal="goal <= 1.5")
    plain = facts.drop("known")
    timed("by event time, no ttl", lambda: as_known(labels, plain, by=["key"], at="at", time="event"), goal="goal <= 4")
    peak("goal <= 1.6")


def join_polars() -> None:
    labels, facts = tables()

    def pruned() -> pl.DataFrame:
        usable = facts.with_columns(first=pl.max_horizontal("event", "known")).sort("key", "first", "event", "known")
        newest = usable.filter(pl.col("event") >= pl.col("event").cum_max().over("key")).sort("first")
        joined = labels.with_row_index("row").sort("at")
        joined = joined.join_asof(newest, left_on="at", right_on="first", by="key", check_sortedness=False)
        return joined.with_columns(pl.when(pl.col("at") - pl.col("event") <= WEEK).then("value").alias("value")).sort(
            "row"
        )

    rival_s = timed("  rival: Polars, same pruning + join_asof", pruned)
    peak("")
    compare(labels, facts, rival_s)


def join_duckdb() -> None:
    labels, facts = tables()
    with tempfile.TemporaryDirectory() as folder:
        labels.with_row_index("row").write_parquet(f"{folder}/labels.parquet")
        facts.write_parquet(f"{folder}/facts.parquet")
        connection = duckdb.connect()
        connection.execute(f"SET threads = {os.cpu_count()}")
        query = f"""
            WITH usable AS (
                SELECT *, greatest(event, known) AS first FROM '{folder}/facts.parquet'
            ), pruned AS (
                SELECT * FROM usable
                QUALIFY event >= max(event) OVER (PARTITION BY key ORDER BY first, event, known ROWS UNBOUNDED PRECEDING)
            ), single AS (
                SELECT key, first, arg_max(value, (event, known)) AS value, max(event) AS event FROM pruned GROUP BY key, first
            )
            SELECT l.row, l.key, l.at, CASE WHEN l.at - f.event <= INTERVAL 7 DAY THEN f.value END AS value
            FROM '{folder}/labels.parquet' l ASOF LEFT JOIN single f ON l.key = f.key AND l.at >= f.first ORDER BY l.row
        """
        rival_s = timed("  rival: DuckDB, dedup + ASOF (reads Parquet)", lambda: connection.execute(query).fetchnumpy())
        connection.close()
    peak("")
    compare(labels, facts, rival_s)


def compare(labels: pl.DataFrame, facts: pl.DataFrame, rival_s: float) -> None:
    """Time ours again right after the rival, so that both met the same machine."""
    ours_s = timed(
        "  as_known, cold, right after",
        lambda: as_known(labels, facts, by=["key"], at="at", time="event", known_at="known", ttl=WEEK),
    )
    report("as-known join, 1M labels x 5M facts", ours_s, "DuckDB, dedup + ASOF", rival_s, unit="CPU s")


def windows() -> None:
    for keys in (16, 220):
        print(f"330k events, {keys} keys, 7d + 30d")
        slide(flights(keys))


def flights(keys: int) -> pl.DataFrame:
    rng = np.random.default_rng(8)
    rows = 330_000
    at = np.sort(rng.integers(0, 365 * 1440, rows)) * 60_000_000 + START_US
    key, late = rng.integers(0, keys, rows), rng.random(rows) < 0.2
    events = pl.DataFrame({"key": key, "at": at, "late": late, "delay": rng.normal(size=rows)})
    return events.with_columns(pl.col("at").cast(UTC_TIME))


def slide(events: pl.DataFrame) -> None:
    def ours(values: dict[str, tuple[str, str]], every: str | None = None) -> pl.DataFrame:
        return sliding(events, by="key", time="at", windows=["7d", "30d"], values=values, every=every)

    share = {"late_share": ("late", "mean"), "flights": ("late", "count")}
    ours_s = timed("sliding: mean and count, every 1h", lambda: ours(share, "1h"), goal="goal <= 0.5")
    rival_s = timed("  rival: Polars rolling (entries only, no late rows)", lambda: rolling(events))
    report(f"sliding windows, {events['key'].n_unique()} keys", ours_s, "Polars rolling", rival_s, unit="CPU s")
    timed("sliding: mean of floats, at each exact moment", lambda: ours({"delay": ("delay", "mean")}))
    timed("sliding: std of floats, at each exact moment", lambda: ours({"delay": ("delay", "std")}))
    timed("sliding: max of floats, at each exact moment", lambda: ours({"delay": ("delay", "max")}))


def rolling(events: pl.DataFrame) -> pl.DataFrame:
    return events.with_columns(
        aggregate.over("key")
        for days in (7, 30)
        for aggregate in (
            pl.col("late").cast(pl.Float64).rolling_mean_by("at", f"{days}d").alias(f"share_{days}"),
            pl.col("late").cast(pl.Int64).rolling_sum_by("at", f"{days}d").alias(f"flights_{days}"),
        )
    )


def online() -> None:
    rng = np.random.default_rng(8)
    names = [f"feature_{number}" for number in range(20)]
    at = datetime(2013, 1, 2, tzinfo=UTC)
    features = {name: rng.random(100_000) for name in names}
    frame = pl.DataFrame({"entity": range(100_000), "at": [at] * 100_000, **features})
    print("online store, 100k entities x 20 floats")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "online.db"
        store = Online(path)
        store.declare("view", [(name, pl.Float64) for name in names])
        timed("write all", lambda: store.write("view", frame, entity=["entity"], time="at"), goal="goal <= 1.5")
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        print(f"{'  size':<58} {path.stat().st_size / 2**20:6.1f} MiB   goal <= 20")
        read(store, raw, [(int(number),) for number in rng.integers(0, 100_000, 2_000)], at + timedelta(hours=1))
        one = frame[:1]
        middle("write one", lambda _: store.write("view", one, entity=["entity"], time="at"), range(200), "<= 200")
        raw.close()
        store.close()


def read(store: Online, raw: sqlite3.Connection, picked: list[tuple[int]], at: datetime) -> None:
    keys = [entity_key(entity) for entity in picked]
    hundreds = range(0, len(picked), 100)
    select = "SELECT value FROM entity WHERE view = 1 AND key"
    ours_us = middle("read one, ttl + guard", lambda e: store.read("view", e, at=at, ttl=WEEK), picked, "<= 15")
    floor_us = middle("  floor: raw SELECT of one blob", lambda k: raw.execute(f"{select} = ?", [k]).fetchone(), keys)
    report("online features of one entity", ours_us, "a bare SELECT", floor_us, unit="µs", at_most=15.0)
    ours_us = middle(
        "read 100", lambda n: store.read_many("view", picked[n : n + 100], at=at, ttl=WEEK), hundreds, "<= 400"
    )
    many = f"{select} IN ({','.join('?' * 100)})"
    floor_us = middle(
        "  floor: raw SELECT of 100 blobs", lambda n: raw.execute(many, keys[n : n + 100]).fetchall(), hundreds
    )
    report("online features of 100 entities", ours_us, "a bare SELECT", floor_us, unit="µs", at_most=400.0)


def middle(name: str, call: Callable[[Any], Any], inputs: Iterable[Any], goal: str = "") -> float:
    """Call with each input, ten rounds; print and return the median of microseconds."""
    took_us = []
    for value in list(inputs) * 10:
        start = time.perf_counter()
        call(value)
        took_us.append((time.perf_counter() - start) * 1e6)
    print(f"{name:<58} {statistics.median(took_us):6.1f} us p50   {'goal ' + goal if goal else ''}", flush=True)
    return statistics.median(took_us)


if __name__ == "__main__":
    main()
