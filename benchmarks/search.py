"""What the search costs per trial, as a ratio to plain in-memory Optuna in the same run."""

import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from table import report

from oito.experiments.search import Report, Trial, search
from oito.flow.space import Choice, Float, Int

TRIALS = 200
SPACE = {"rate": Float(0.001, 1.0, log=True), "leaves": Int(2, 200), "l2": Float(0.0, 1.0), "loss": Choice(["a", "b"])}


def _value(params: dict[str, Any]) -> float:
    return float((params["rate"] - 0.1) ** 2 + abs(params["leaves"] - 50) / 100 + params["l2"])


def _objective(params: dict[str, Any], report: Report) -> float:
    return _value(params)


def _reporting(params: dict[str, Any], report: Report) -> float:
    for step in range(10):
        report(step, _value(params) + 1 / (step + 1))
    return _value(params)


def _plain() -> None:
    def objective(trial: optuna.Trial) -> float:
        params = {
            "rate": trial.suggest_float("rate", 0.001, 1.0, log=True),
            "leaves": trial.suggest_int("leaves", 2, 200),
            "l2": trial.suggest_float("l2", 0.0, 1.0),
            "loss": trial.suggest_categorical("loss", ["a", "b"]),
        }
        return _value(params)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    study.optimize(objective, n_trials=TRIALS)


def _stored(reporting: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "trials").open("a") as file:

        def keep(trial: Trial) -> None:
            file.write(repr(trial.data()))
            file.flush()

        objective = _reporting if reporting else _objective
        search(SPACE, objective, trials=TRIALS, study_seed=1, direction="minimize", on_trial=keep)


def _resumed() -> None:
    finished = search(SPACE, _objective, trials=TRIALS, study_seed=1, direction="minimize")
    began = time.perf_counter()
    search(SPACE, _objective, trials=TRIALS + 1, study_seed=1, direction="minimize", finished=finished)
    print(f"replay of {TRIALS} trials and one new: {(time.perf_counter() - began) * 1e3:.0f} ms")


def _ms_per_trial(work: Any, *given: Any) -> float:
    began = time.process_time()
    work(*given)
    return (time.process_time() - began) / TRIALS * 1e3


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _plain()  # the first run pays for imports
    floor = _ms_per_trial(_plain)
    print(f"CPU ms per trial, {TRIALS} trials: plain Optuna in memory {floor:.2f}")
    for name, reporting in (("stored", False), ("stored, 10 reports each", True)):
        took = _ms_per_trial(_stored, reporting)
        report(f"a trial, {name}", took, "plain Optuna in memory", floor, unit="CPU ms")
    _resumed()


if __name__ == "__main__":
    main()
