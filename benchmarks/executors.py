"""One row through a compiled executor against the estimator it was made from, its DataFrame included; microseconds."""

import time
import warnings
from collections.abc import Callable
from itertools import repeat
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from table import report

from oito.catalog.signature import infer
from oito.endpoints.compile import compile_model
from oito.endpoints.executor import asking, load

Floats = NDArray[np.float64]
ROWS = 6_000


def table() -> tuple[pl.DataFrame, pl.Series]:
    """Return 20 numbers, 5 % of them missing, and two categories of 16 and 105 values, with a target of two classes."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=(ROWS, 20))
    carrier, dest = rng.integers(0, 16, ROWS), rng.integers(0, 105, ROWS)
    score = values[:, 0] + values[:, 1] * values[:, 2] + np.sin(carrier * 3.0) + np.cos(dest * 5.0)
    values[rng.random(values.shape) < 0.05] = np.nan
    frame = pl.DataFrame(values, schema=[f"x{place}" for place in range(20)]).with_columns(
        carrier=pl.Series([f"c{code}" for code in carrier]), dest=pl.Series([f"d{code}" for code in dest])
    )
    return frame, pl.Series("late", score + rng.normal(size=ROWS) > 0)


def models(frame: pl.DataFrame) -> dict[str, Any]:
    numbers, categories = frame.columns[:20], frame.columns[20:]

    def encoded(estimator: Any) -> Any:
        scaled = make_pipeline(SimpleImputer(), StandardScaler())
        encoder = OneHotEncoder(handle_unknown="ignore")
        return make_pipeline(make_column_transformer((scaled, numbers), (encoder, categories)), estimator)

    return {
        "boosting, 100 trees": HistGradientBoostingClassifier(max_iter=100, early_stopping=False),
        "forest, 100 trees, one-hot": encoded(RandomForestClassifier(100, max_depth=10, random_state=0)),
        "logistic, scaled, one-hot": encoded(LogisticRegression(max_iter=500)),
    }


def microseconds(call: Callable[[Floats], Any], rows: Floats, *, calls: int) -> float:
    """Return the time of one call with `rows`, the best of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(calls):
            call(rows)
        rounds.append((time.perf_counter() - start) / calls)
    return min(rounds) * 1e6


def main() -> None:
    frame, target = table()
    signature = infer(frame, target, task="classification")
    X = signature.matrix(frame)
    row, thousand = X[:1].copy(), X[:1000].copy()
    print(
        f"{'model':<28}{'one row':>9}{'estimator':>11}{'ratio':>8}{'1,000 rows, per row':>21}{'estimator':>11}  proof"
    )
    for name, model in models(frame).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(signature.frame(X), target.to_numpy())
        start = time.perf_counter()
        found = compile_model(model, signature, X)
        took_s = time.perf_counter() - start
        ask = asking(model, signature)
        executor = load(found.files, signature, native=repeat(model).__next__)
        mine = microseconds(executor.predict, row, calls=2_000)
        theirs = microseconds(ask, row, calls=20)
        many = microseconds(executor.predict, thousand, calls=5) / 1000
        many_theirs = microseconds(ask, thousand, calls=3) / 1000
        proof = found.proof
        print(
            f"{name:<28}{mine:>9.1f}{theirs:>11.1f}{theirs / mine:>7.0f}x{many:>21.2f}{many_theirs:>11.2f}"
            f"  {proof.kind}, {proof.rows:,} rows, differs {proof.max_difference:.1g}, bit equal {proof.bit_equal},"
            f" compiled in {took_s:.1f} s"
        )
        report(f"one row by {name}", mine, "its estimator", theirs, unit="µs")


if __name__ == "__main__":
    main()
