"""What an experiment costs beside its bare fits: search, report, importance and files on 270,000 rows of 25 columns."""

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

from table import report

from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock, moment
from oito.eight import KINDS
from oito.flow import project, runner
from oito.flow.site import Site
from oito.settings import load
from oito.storage.files import Files

TRIALS = 6
PROJECT = f"""
from datetime import datetime, timezone
import numpy as np, polars as pl, oito
from sklearn.ensemble import HistGradientBoostingClassifier

@oito.source(key="id", cursor="asked_at")
def rides(since):
    rng, n = np.random.default_rng(8), 320_000
    start = int(datetime(2023, 1, 1, tzinfo=timezone.utc).timestamp() * 1e6)
    seconds = np.sort(rng.integers(0, 365 * 86400, n))
    numbers = {{f"n{{i}}": np.round(rng.normal(size=n), 3) for i in range(19)}}
    texts = {{f"t{{i}}": rng.choice([f"v{{k}}" for k in range(size)], n) for i, size in enumerate((3, 16, 16, 105, 12, 7))}}
    risk = numbers["n0"] + 0.5 * numbers["n1"] * numbers["n2"] + (texts["t0"] == "v1")
    late = rng.random(n) < 1 / (1 + np.exp(1.3 - risk))
    asked = pl.Series(start + seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame({{"id": np.arange(n), "asked_at": asked, **numbers, **texts, "late": late}})

@oito.labels(entity="id", time="asked_at", known_at="known_at", label="late")
def late(rides):
    return rides.with_columns(known_at=pl.col("asked_at") + pl.duration(hours=5))

@oito.model(labels=late)
def lateness(*, rate: float = oito.Float(0.05, 0.3, log=True), leaves: int = oito.Int(8, 64)):
    return HistGradientBoostingClassifier(
        learning_rate=rate, max_leaf_nodes=leaves, max_iter=100, early_stopping=False, categorical_features="from_dtype")

late_ride = oito.experiment(model=lateness, trials={TRIALS}, split=oito.by_time(valid="28d", test="28d"))
"""


def main() -> None:
    """Print the seconds of the experiment, of its bare fits, and their ratio; `profile` prints where the time goes."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "project.py").write_text(PROJECT)
        catalog = Catalog(root / ".oito", VirtualClock(moment("2024-01-01")))
        files = Files(root / ".oito" / "files")
        site = Site(project.load(root, ["project.py"], KINDS), catalog, files, load(root), "dev", root)
        runner.run(site, ["late", "lateness"]).raise_first()
        profile = cProfile.Profile()
        if "profile" in sys.argv:
            profile.enable()
        cpu, wall = time.process_time(), time.perf_counter()
        runner.run(site, ["late_ride"]).raise_first()
        whole_s, whole_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        profile.disable()
        floor_s, floor_cpu_s = _bare(site)
        catalog.close()
    print(f"experiment, {TRIALS} trials  {whole_s:6.1f} s wall {whole_cpu_s:6.1f} s CPU")
    print(f"its bare fits         {floor_s:6.1f} s wall {floor_cpu_s:6.1f} s CPU")
    report(f"an experiment of {TRIALS} trials", whole_cpu_s, "its bare fits", floor_cpu_s, unit="CPU s")
    if "profile" in sys.argv:
        pstats.Stats(profile).sort_stats("cumulative").print_stats("oito", 60)


def _bare(site: Site) -> tuple[float, float]:
    """Return the seconds of the same fits of the same rows, with nothing around them."""
    version = site.catalog.find("late_ride", "dev")
    design = site.read(site.catalog.find("lateness", "dev"))
    frame = design.frame(cut_off=site.now())
    matrix = frame.signature.matrix(frame.frame)
    rows, truth = frame.signature.frame(matrix), frame.y.to_numpy()
    train, learned = (
        version.record["split"]["train"],
        version.record["split"]["train"] + version.record["split"]["valid"],
    )
    cpu, wall = time.process_time(), time.perf_counter()
    for trial in version.record["trials"]:
        design.build(trial["params"]).fit(rows[:train], truth[:train])
    design.build(version.record["params"]).fit(rows[:learned], truth[:learned])
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
