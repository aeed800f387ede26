"""The search for good parameters: deterministic, and resumed as if never interrupted. Storing trials is the caller's work.

Optuna only suggests, in memory. A trial's suggestion is a function of the study's seed, the trial's number and the trials
before it: a fresh sampler is seeded for every number, and finished trials are replayed. So where a search was cut makes
no difference, and neither does how often.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from oito.clock import stopwatch
from oito.errors import BadInput, StepFailed
from oito.experiments.seeds import stream
from oito.flow.space import Choice, Float, Int, first_values

State = Literal["ok", "failed", "pruned"]
Direction = Literal["maximize", "minimize"]
Report = Callable[[int, float], None]  # (step, value so far); ends a trial that falls behind
Objective = Callable[[dict[str, Any], Report], float]

_STATES = {"ok": TrialState.COMPLETE, "failed": TrialState.FAIL, "pruned": TrialState.PRUNED}


@dataclass(frozen=True)
class Trial:
    """One finished attempt: its number from 0, all parameters (fixed ones too), and how it ended.

    `value` is None unless the state is ok; `reports` are the (step, value) pairs told on the way.
    """

    number: int
    params: Mapping[str, Any]
    value: float | None
    state: State
    seconds: float
    error: str = ""
    reports: Sequence[tuple[int, float]] = field(default=())

    def data(self) -> dict[str, Any]:
        """Return plain data, from which `Trial(**data)` is the same trial again."""
        return {**asdict(self), "params": dict(self.params), "reports": [list(pair) for pair in self.reports]}


def search(
    space: Mapping[str, Any],
    objective: Objective,
    *,
    trials: int,
    study_seed: int,
    direction: Direction,
    finished: Sequence[Trial] = (),
    on_trial: Callable[[Trial], None] = lambda trial: None,
    n_startup: int = 10,
    pruner: Literal["none", "median"] = "none",
    timeout_s: float | None = None,
) -> list[Trial]:
    """Return trials 0 .. trials-1 in order; `objective` is called only for those that are not among `finished`.

    Trial 0 has the declared defaults, the next ones are drawn at random until `n_startup`, the rest by the
    tree-structured Parzen estimator. A trial whose objective raises or is not finite has failed, and the search goes on.
    A space with nothing to search has one trial. The median pruner is the only one, because it depends on nothing but
    the reports and so survives a replay.

    Args:
        space: name to Float, Int, Choice or a fixed value.
        objective: called with all parameters and a `report(step, value)`; returns the figure to optimise.
        on_trial: called after each new trial, before the next begins: the place to store it.
        timeout_s: no trial begins after so many seconds; the list is then shorter, and what it holds is unchanged.

    Raises:
        BadInput: `finished` does not fit the space, or trials < 1.

    Example:
        >>> found = search({"x": Float(-1.0, 3.0)}, lambda p, report: (p["x"] - 2) ** 2,
        ...                trials=20, study_seed=1, direction="minimize")
        >>> found[0].params, best(found, direction="minimize").value < 0.1
        ({'x': 1.0}, True)

    Source: Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011), as implemented by Optuna.
    """
    if trials < 1:
        raise BadInput(f"a search of {trials} trials finds nothing", next="ask for one or more")
    distributions = {name: _distribution(part) for name, part in space.items() if _is_searched(part)}
    known = {trial.number: trial for trial in finished}
    _check_finished(known, space, distributions)
    began, out = stopwatch(), []
    with _quiet():
        study = optuna.create_study(direction=direction, pruner=_pruner(pruner))
        for number in range(trials if distributions else 1):
            trial = known.get(number)
            if trial is None:
                if timeout_s is not None and stopwatch() - began >= timeout_s:
                    break
                trial = _tried(
                    study, number, space, distributions, objective, study_seed=study_seed, n_startup=n_startup
                )
                on_trial(trial)
            else:
                _replay(study, trial, distributions)
            out.append(trial)
    return out


def best(trials: Sequence[Trial], *, direction: Direction) -> Trial:
    """Return the best trial that ended well, the earliest among equals.

    Raises:
        StepFailed: none ended well; the text holds the last error.
    """
    good = [(trial.value, trial) for trial in trials if trial.state == "ok" and trial.value is not None]
    if not good:
        last = next((trial.error for trial in reversed(trials) if trial.error), "")
        raise StepFailed(
            f"none of {len(trials)} trials ended well", known=last, next="run the fit once with the defaults"
        )
    sign = -1 if direction == "maximize" else 1
    return min(good, key=lambda pair: (sign * pair[0], pair[1].number))[1]


def at_the_edge(space: Mapping[str, Any], params: Mapping[str, Any], *, share: float = 0.02) -> list[str]:
    """Return the names whose value lies within `share` of a bound of its range: there a wider range may be better.

    Example:
        >>> at_the_edge({"rate": Float(0.0, 1.0), "leaves": Int(2, 99)}, {"rate": 0.999, "leaves": 50})
        ['rate']
    """
    return [
        name
        for name, part in space.items()
        if isinstance(part, Float | Int) and not share <= _place(part, params[name]) <= 1 - share
    ]


def _tried(
    study: optuna.Study,
    number: int,
    space: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    objective: Objective,
    *,
    study_seed: int,
    n_startup: int,
) -> Trial:
    study.sampler = optuna.samplers.TPESampler(seed=stream(study_seed, f"trial {number}"), n_startup_trials=n_startup)
    if number == 0:
        study.enqueue_trial({name: first_values(space)[name] for name in distributions})
    asked = study.ask(dict(distributions))
    params = {name: asked.params.get(name, part) for name, part in space.items()}
    reports: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        reports.append((step, float(value)))
        asked.report(float(value), step)
        if asked.should_prune():
            raise optuna.TrialPruned

    began = stopwatch()
    state, value, error = _outcome(lambda: objective(dict(params), report))
    trial = Trial(number, params, value, state, stopwatch() - began, error, tuple(reports))
    study.tell(asked, value, state=_STATES[state])
    return trial


def _outcome(attempt: Callable[[], float]) -> tuple[State, float | None, str]:
    try:
        value = float(attempt())
    except optuna.TrialPruned:
        return "pruned", None, ""
    except Exception as raised:  # whatever a user's fit raises ends this trial, not the search
        return "failed", None, f"{type(raised).__name__}: {raised}"
    return ("ok", value, "") if math.isfinite(value) else ("failed", None, f"the objective returned {value}")


def _replay(study: optuna.Study, trial: Trial, distributions: Mapping[str, BaseDistribution]) -> None:
    study.add_trial(
        optuna.trial.create_trial(
            state=_STATES[trial.state],
            value=trial.value if trial.state == "ok" else trial.reports[-1][1] if trial.state == "pruned" else None,
            params={name: trial.params[name] for name in distributions},
            distributions=dict(distributions),
            intermediate_values=dict(trial.reports),
        )
    )


def _check_finished(
    known: Mapping[int, Trial], space: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> None:
    for number, trial in known.items():
        if set(trial.params) != set(space):
            raise BadInput(
                f"trial {number} has the parameters {', '.join(sorted(trial.params))}",
                known=f"the space has {', '.join(sorted(space))}",
                next="begin a new search: another space is another study",
            )
        for name, distribution in distributions.items():
            value = trial.params[name]
            inside = isinstance(distribution, CategoricalDistribution) or isinstance(value, int | float)
            try:
                inside = inside and distribution._contains(distribution.to_internal_repr(value))
            except ValueError:
                inside = False
            if not inside:
                raise BadInput(
                    f"trial {number} has {name}={value!r}, outside of {space[name]}",
                    next="begin a new search: another space is another study",
                )


def _is_searched(part: object) -> bool:
    return isinstance(part, Float | Int | Choice)


def _distribution(part: Float | Int | Choice) -> BaseDistribution:
    if isinstance(part, Choice):
        return CategoricalDistribution(part.options)
    if isinstance(part, Int):
        return IntDistribution(part.low, part.high, log=part.log)
    return FloatDistribution(part.low, part.high, log=part.log)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner(n_startup_trials=4) if name == "median" else optuna.pruners.NopPruner()


def _place(part: Float | Int, value: float) -> float:
    scale = math.log if part.log else float
    return (scale(value) - scale(part.low)) / (scale(part.high) - scale(part.low))


@contextmanager
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
