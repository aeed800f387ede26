"""A search that was interrupted is the search that was not, and every way a trial can end is survived."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from oito.errors import BadInput, StepFailed
from oito.experiments.search import Report, Trial, at_the_edge, best, search
from oito.flow.space import Choice, Float, Int

SPACE = {
    "rate": Float(0.001, 1.0, log=True),
    "leaves": Int(2, 200, log=True),
    "depth": Int(1, 9),
    "loss": Choice(["a", "b", None, 3]),
    "seed": 7,
}


def _bowl(params: dict[str, Any], report: Report) -> float:
    size = (math.log(params["rate"]) + 2) ** 2 + (math.log(params["leaves"]) - 3) ** 2 + abs(params["depth"] - 4)
    value = float(size) + (0 if params["loss"] == "b" else 1)
    for step in range(3):
        report(step, value + 1 / (step + 1))
    if params["depth"] == 9:
        raise ValueError("too deep")
    return value


def _search(
    trials: int, finished: Sequence[Trial] = (), *, pruner: Literal["none", "median"] = "none", seed: int = 5
) -> list[Trial]:
    return search(
        SPACE,
        _bowl,
        trials=trials,
        study_seed=seed,
        finished=finished,
        direction="minimize",
        n_startup=5,
        pruner=pruner,
    )


def _told(trials: Sequence[Trial]) -> list[object]:
    return [(trial.number, trial.params, trial.value, trial.state, trial.reports) for trial in trials]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_resumed_search_is_the_uninterrupted_one(pruner: Literal["none", "median"]) -> None:
    whole = _search(40, pruner=pruner)
    assert {trial.state for trial in whole} == {"ok", "pruned" if pruner == "median" else "failed"}
    for cut in (1, 4, 5, 17, 39):
        stored = [Trial(**json.loads(json.dumps(trial.data()))) for trial in whole[:cut]]
        resumed = _search(40, stored, pruner=pruner)
        assert [trial.params for trial in resumed] == [trial.params for trial in whole]
        assert _told(resumed[cut:]) == _told(whole[cut:])


def test_trials_that_were_killed_are_made_again_in_their_place() -> None:
    whole = _search(25)
    for lost in (0, 6, 24):
        assert _told(_search(25, [trial for trial in whole if trial.number != lost])) == _told(whole)


def test_the_first_trial_has_the_defaults_and_fixed_values_come_along() -> None:
    first = _search(1)[0]
    assert first.params == {"rate": pytest.approx(0.0316, abs=1e-4), "leaves": 20, "depth": 5, "loss": "a", "seed": 7}


def test_another_seed_is_another_search_and_the_search_finds_the_valley() -> None:
    assert _told(_search(8, seed=1))[1:] != _told(_search(8, seed=2))[1:]
    found = best(_search(60), direction="minimize")
    assert found.value is not None and found.value < 1.5


def test_every_new_trial_is_handed_over_before_the_next_begins() -> None:
    stored: list[Trial] = []
    seen: list[int] = []

    def objective(params: dict[str, Any], report: Report) -> float:
        seen.append(len(stored))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return float(params["x"])

    with pytest.raises(KeyboardInterrupt):
        search({"x": Float(0.0, 1.0)}, objective, trials=9, study_seed=1, direction="maximize", on_trial=stored.append)
    assert seen == [0, 1, 2, 3]
    assert [trial.number for trial in stored] == [0, 1, 2]


def test_a_failing_or_infinite_objective_ends_its_trial_only() -> None:
    def objective(params: dict[str, Any], report: Report) -> float:
        return math.nan if params["x"] > 0.5 else 1 / int(params["x"])

    ends = search({"x": Float(0.0, 1.0)}, objective, trials=12, study_seed=1, direction="maximize")
    assert {trial.error for trial in ends} == {"the objective returned nan", "ZeroDivisionError: division by zero"}
    with pytest.raises(StepFailed, match=r"none of 12 trials ended well\n  known    (ZeroDivisionError|the objective)"):
        best(ends, direction="maximize")


def test_with_nothing_to_search_there_is_one_trial() -> None:
    found = search({"x": 3}, lambda params, report: float(params["x"]), trials=9, study_seed=1, direction="maximize")
    assert [(trial.params, trial.value) for trial in found] == [({"x": 3}, 3.0)]


def test_after_the_timeout_no_trial_begins_and_finished_ones_stay() -> None:
    whole = _search(6)
    cut = search(
        SPACE, _bowl, trials=6, study_seed=5, finished=whole[:3], direction="minimize", n_startup=5, timeout_s=0.0
    )
    assert _told(cut) == _told(whole[:3])


def test_the_best_is_the_earliest_among_equals() -> None:
    trials = [Trial(n, {}, value, "ok", 0.0) for n, value in enumerate([1.0, 2.0, 2.0, 0.5])]
    assert best(trials, direction="maximize").number == 1
    assert best(trials, direction="minimize").number == 3


def test_values_at_a_bound_are_named() -> None:
    params = {"rate": 0.00101, "leaves": 20, "depth": 9, "loss": "a", "seed": 7}
    assert at_the_edge(SPACE, params) == ["rate", "depth"]


def _finished(**changed: Any) -> Callable[[], list[Trial]]:
    params = {"rate": 0.1, "leaves": 20, "depth": 5, "loss": "a", "seed": 7, **changed}
    return lambda: _search(3, [Trial(0, params, 1.0, "ok", 0.1)])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            _finished(more=1),
            r"trial 0 has the parameters depth, leaves, loss, more, rate, seed\n  known    the space has",
        ),
        (_finished(rate=2.0), r"trial 0 has rate=2.0, outside of Float\(low=0.001"),
        (_finished(rate="x"), r"trial 0 has rate='x', outside of Float"),
        (_finished(loss="z"), r"trial 0 has loss='z', outside of Choice"),
        (lambda: _search(0), r"a search of 0 trials finds nothing"),
    ],
)
def test_trials_of_another_space_are_refused(make: Callable[[], list[Trial]], text: str) -> None:
    with pytest.raises(BadInput, match=text):
        make()
