"""Time to save and load a fitted model: our canonical files against joblib, both through a file of a temporary folder."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from table import report

from oito.experiments.model_files import dump, load

ROUNDS = 9


def save_ours(model: Any, folder: Path) -> None:
    for name, data in dump(model).items():
        (folder / name).write_bytes(data)


def load_ours(folder: Path) -> Any:
    return load({name: (folder / name).read_bytes() for name in ("model.json", "arrays.bin")})


def save_joblib(model: Any, folder: Path) -> None:
    joblib.dump(model, folder / "model.joblib")


def load_joblib(folder: Path) -> Any:
    return joblib.load(folder / "model.joblib")


def median_ms(*calls: Callable[[], Any]) -> list[float]:
    """Return the median of each call, taken in turns so that a busy moment hits all of them."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, taken in zip(calls, times, strict=True):
            start = perf_counter()
            call()
            taken.append((perf_counter() - start) * 1000)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    rows, truth = make_classification(20_000, 20, n_informative=10, random_state=0)
    models = {
        "random forest, 100 trees": RandomForestClassifier(100, random_state=0, n_jobs=1),
        "histogram boosting, 200 rounds": HistGradientBoostingClassifier(max_iter=200, random_state=0),
    }
    for what, model in models.items():
        model.fit(rows, truth)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            save, save_rival = median_ms(lambda: save_ours(model, folder), lambda: save_joblib(model, folder))  # noqa: B023  # called at once
            read, read_rival = median_ms(lambda: load_ours(folder), lambda: load_joblib(folder))  # noqa: B023  # called at once
            size = sum((folder / part).stat().st_size for part in ("model.json", "arrays.bin"))
            size_rival = (folder / "model.joblib").stat().st_size
        print(what)
        report(f"saving: {what}", save, "joblib", save_rival)
        report(f"loading: {what}", read, "joblib", read_rival)
        print(f"  size   {size / 1e6:8.2f} MB   joblib {size_rival / 1e6:8.2f} MB   ratio {size / size_rival:.2f}")


if __name__ == "__main__":
    main()
