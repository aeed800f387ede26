"""Intervals against their definitions and SciPy, and the promise that equal models are seldom told apart."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oito.errors import BadInput, DataError
from oito.experiments.intervals import (
    benjamini_hochberg,
    bootstrap,
    compare,
    delong,
    delong_pair,
    holm,
    mcnemar,
    percentile_interval,
    wilson,
)
from oito.experiments.metrics import METRICS, Floats


def _models(seed: int, n: int, *, noise: tuple[float, float] = (1.0, 1.0)) -> tuple[Floats, Floats, Floats]:
    """Return truth and two models that see the same signal, each with noise of its own."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    truth = (rng.uniform(size=n) < 1 / (1 + np.exp(-signal))).astype(float)
    p, q = (1 / (1 + np.exp(-(signal + rng.normal(scale=scale, size=n)))) for scale in noise)
    return truth, p, q


@given(st.integers(0, 10**6), st.integers(6, 30), st.sampled_from([3, 1000]))
@settings(max_examples=40, deadline=None)
def test_delong_is_its_definition_over_all_pairs(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.array([0.0, 1.0] * (n // 2))
    p, q = (rng.integers(0, levels, len(y)) / levels for _ in range(2))
    wins = [np.array([[float(a > b) + 0.5 * (a == b) for b in s[y == 0]] for a in s[y == 1]]) for s in (p, q)]
    gap = wins[1] - wins[0]
    rows, columns = gap.mean(axis=1), gap.mean(axis=0)
    variance = rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns)
    interval, error = delong_pair(y, p, q)
    assert interval.value == pytest.approx(gap.mean(), abs=1e-12)
    assert error == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert delong(y, p).value == pytest.approx(METRICS["roc_auc"].score(y, p))


def test_delong_covers_the_truth_nineteen_times_in_twenty() -> None:
    big, p, _ = _models(1, 400_000)
    true_value = METRICS["roc_auc"].score(big, p)
    parts = [slice(start, start + 200) for start in range(0, 400_000, 200)]
    hits = [(found := delong(big[part], p[part])).low <= true_value <= found.high for part in parts]
    assert 0.935 < np.mean(hits) < 0.965


def test_delong_and_the_bootstrap_give_the_same_interval() -> None:
    y, p, q = _models(2, 4000, noise=(1.0, 2.0))
    exact, _ = delong_pair(y, p, q)
    drawn = bootstrap(y, [p, q], [METRICS["roc_auc"]], seed=1, replicates=600)
    rough = percentile_interval(exact.value, drawn[:, 1, 0] - drawn[:, 0, 0])
    assert (rough.low, rough.high) == pytest.approx((exact.low, exact.high), abs=0.004)


def test_a_separation_without_an_error_still_has_an_interval() -> None:
    interval = delong(np.array([0.0] * 50 + [1.0] * 5), np.arange(55) / 55)
    assert interval.value == interval.high == 1.0
    assert 0.4 < interval.low < 0.7  # five rows of one class prove little


def test_without_a_second_class_there_is_no_auc() -> None:
    assert delong(np.ones(3), np.arange(3) / 3).data() == {"value": None, "low": None, "high": None}
    judged = compare(np.ones(3), np.arange(3) / 3, np.ones(3), metric=METRICS["roc_auc"], seed=1)
    assert (judged.verdict, judged.n_needed, judged.data()["difference"]) == ("tie", None, None)
    with pytest.raises(BadInput, match=r"DeLong compares two classes\n  known    these are predictions of 3"):
        delong(np.array([0.0, 1.0]), np.ones((2, 3)) / 3)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_of_200_pairs_of_equal_models_at_most_one_in_twenty_is_a_false_win(name: str) -> None:
    verdicts = [
        compare(*_models(seed, 500), metric=METRICS[name], seed=seed, replicates=200).verdict for seed in range(200)
    ]
    assert verdicts.count("win") <= 10
    assert verdicts.count("lose") <= 10


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "f1", "pr_auc", "ece"])
def test_a_clearly_better_model_wins_and_the_worse_loses(name: str) -> None:
    y, p, q = _models(3, 5000, noise=(4.0, 0.3))
    better = compare(y, p, q, metric=METRICS[name], seed=1, replicates=200)
    worse = compare(y, q, p, metric=METRICS[name], seed=1, replicates=200)
    assert (better.verdict, worse.verdict) == ("win", "lose")
    assert better.difference == -worse.difference
    assert better.p_value < 0.01
    assert better.n_needed is not None and better.n_needed < 5000


def test_the_rows_needed_are_those_that_show_the_difference() -> None:
    y, p, q = _models(4, 2000, noise=(1.2, 1.0))
    needed = compare(y, p, q, metric=METRICS["roc_auc"], seed=1).n_needed
    assert needed is not None
    truth = _models(5, 10 * needed, noise=(1.2, 1.0))
    assert compare(*truth, metric=METRICS["roc_auc"], seed=1).verdict == "win"


def test_the_same_predictions_are_a_tie() -> None:
    y, p, _ = _models(6, 300)
    for name in ("roc_auc", "brier"):
        judged = compare(y, p, p, metric=METRICS[name], seed=1, replicates=50)
        assert (judged.difference, judged.verdict, judged.p_value, judged.n_needed) == (0.0, "tie", 1.0, None)


def test_a_comparison_is_the_same_for_the_same_seed_and_takes_weights() -> None:
    y, p, q = _models(7, 400)
    weights = np.random.default_rng(1).uniform(0.5, 2, 400)
    runs = [compare(y, p, q, metric=METRICS["roc_auc"], seed=9, weights=weights, replicates=100) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].champion == METRICS["roc_auc"].score(y, p, weights=weights)


def test_broken_predictions_and_levels_are_errors() -> None:
    y = np.array([0.0, 1.0])
    with pytest.raises(DataError, match=r"1 of 2 predictions are NaN or infinite"):
        compare(y, y, np.array([np.nan, 1.0]), metric=METRICS["brier"], seed=1)
    with pytest.raises(BadInput, match=r"level is 95"):
        compare(y, y, y, metric=METRICS["brier"], seed=1, level=95)


@given(st.integers(0, 50), st.integers(0, 50))
def test_wilson_agrees_with_scipy(successes: int, failures: int) -> None:
    n = successes + failures
    if not n:
        assert math.isnan(wilson(0, 0).value)
        return
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(only_old: int, only_new: int) -> None:
    truth = np.ones(only_old + only_new)
    old = np.concatenate([np.ones(only_old), np.zeros(only_new)])
    found = mcnemar(truth, old, 1 - old)
    expected = stats.binomtest(only_old, only_old + only_new).pvalue if len(truth) else 1.0
    assert found[:2] == (only_old, only_new)
    assert found[2] == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_adjusted_p_values_agree_with_their_definitions(p: list[float]) -> None:
    assert benjamini_hochberg(p).tolist() == pytest.approx(stats.false_discovery_control(p).tolist())
    ranked = sorted(range(len(p)), key=p.__getitem__)
    stepped = [max(min(1.0, (len(p) - j) * p[ranked[j]]) for j in range(place + 1)) for place in range(len(p))]
    assert holm(p)[ranked].tolist() == pytest.approx(stepped)
