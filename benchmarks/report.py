"""What the whole evaluation report costs, as a ratio to plain scikit-learn figures without intervals in the same run."""

import time

import numpy as np
import polars as pl
from sklearn import metrics
from table import report as row

from oito.experiments.report import evaluate

ROWS, COLUMNS = 100_000, 50


def main() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(1.5, 3, ROWS)
    y = (rng.uniform(size=ROWS) < p).astype(float)
    other = np.clip(p + rng.normal(scale=0.1, size=ROWS), 0.001, 0.999)
    columns: dict[str, object] = {f"number_{place}": rng.normal(size=ROWS) for place in range(COLUMNS - 10)}
    columns |= {f"text_{place}": rng.choice(list("abcdefgh"), ROWS) for place in range(10)}
    frame = pl.DataFrame(columns)
    began = time.perf_counter()
    for score in (metrics.roc_auc_score, metrics.average_precision_score, metrics.log_loss, metrics.brier_score_loss):
        score(y, p)
    floor = time.perf_counter() - began
    others = {"dummy": np.full(ROWS, y.mean()), "linear": other}
    for name in ("roc_auc", "log_loss"):
        began = time.perf_counter()
        report = evaluate(
            y,
            p,
            task="classification",
            classes=(0, 1),
            frame=frame,
            metric_name=name,
            baselines=others,
            champion=other,
            seed=1,
        )
        took = time.perf_counter() - began
        print(
            f"report on {ROWS:,} rows x {COLUMNS} columns by {name}, {len(report.slices)} slices, 3 comparisons: "
            f"{took:.1f} s, {took / floor:.0f}x four plain scikit-learn figures"
        )
        row(f"evaluation report by {name}", took, "four plain figures", floor, unit="s")


if __name__ == "__main__":
    main()
