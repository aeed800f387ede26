"""Metrics agree with scikit-learn, weighted and unweighted, with ties, for two classes, many classes and numbers."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from oito.errors import BadInput, DataError
from oito.experiments.metrics import METRICS, Floats, check_predictions, metric, pinball, probabilities

Reference = Callable[[Floats, Floats, Floats | None], float]

TWO_CLASSES: dict[str, Reference] = {
    "roc_auc": lambda y, p, w: reference.roc_auc_score(y, p, sample_weight=w),
    "pr_auc": lambda y, p, w: reference.average_precision_score(y, p, sample_weight=w),
    "log_loss": lambda y, p, w: reference.log_loss(y, p, sample_weight=w),
    "brier": lambda y, p, w: reference.brier_score_loss(y, p, sample_weight=w),
    "accuracy": lambda y, p, w: reference.accuracy_score(y, p >= 0.5, sample_weight=w),
    "f1": lambda y, p, w: reference.f1_score(y, p >= 0.5, sample_weight=w),
}
NUMBERS: dict[str, Reference] = {
    "rmse": lambda y, p, w: reference.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: reference.mean_absolute_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: reference.r2_score(y, p, sample_weight=w),
    "pinball_10": lambda y, p, w: reference.mean_pinball_loss(y, p, sample_weight=w, alpha=0.1),
    "pinball_50": lambda y, p, w: reference.mean_pinball_loss(y, p, sample_weight=w, alpha=0.5),
    "pinball_90": lambda y, p, w: reference.mean_pinball_loss(y, p, sample_weight=w, alpha=0.9),
}


@pytest.mark.parametrize("name", TWO_CLASSES)
@given(st.integers(0, 10**6), st.integers(5, 80), st.sampled_from([2, 10, 1000]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_two_classes_agree_with_scikit_learn(name: str, seed: int, n: int, levels: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(float)
    y[:2] = 0, 1
    p = rng.integers(0, levels, n) / levels  # few levels make many ties
    w = rng.uniform(0.1, 3, n) if is_weighted else None
    assert METRICS[name].score(y, p, weights=w) == pytest.approx(TWO_CLASSES[name](y, p, w), rel=1e-9, abs=1e-12)
    assert METRICS[name].score(y, probabilities(p), weights=w) == pytest.approx(METRICS[name].score(y, p, weights=w))


@pytest.mark.parametrize("name", NUMBERS)
@given(st.integers(0, 10**6), st.integers(3, 60), st.booleans())
@settings(max_examples=20, deadline=None)
def test_regression_agrees_with_scikit_learn(name: str, seed: int, n: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=n), rng.normal(size=n)
    w = rng.uniform(0.1, 3, n) if is_weighted else None
    assert METRICS[name].score(y, p, weights=w) == pytest.approx(NUMBERS[name](y, p, w), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_many_classes_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, 200).astype(float)
    p = rng.dirichlet(np.ones(4), 200)
    hit = y[:, None] == np.arange(4)
    expected = {
        "roc_auc": reference.roc_auc_score(y, p, multi_class="ovr"),
        "log_loss": reference.log_loss(y, p),
        "brier": float(((p - hit) ** 2).sum(axis=1).mean()),
        "accuracy": reference.accuracy_score(y, p.argmax(axis=1)),
        "f1": reference.f1_score(y, p.argmax(axis=1), average="macro"),
        "pr_auc": reference.average_precision_score(hit, p, average="macro"),
    }
    assert {name: METRICS[name].score(y, p) for name in expected} == pytest.approx(expected)


def test_calibration_error_is_the_mean_gap_of_equal_mass_bins() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=1500)
    y = (rng.uniform(size=1500) < p**2).astype(float)
    true_share, said = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert METRICS["ece"].score(y, p) == pytest.approx(np.abs(true_share - said).mean(), rel=1e-3)


def test_a_class_that_is_absent_makes_no_error() -> None:
    p = np.array([0.2, 0.7, 0.7])
    ones, zeros = np.ones(3), np.zeros(3)
    assert np.isnan(METRICS["roc_auc"].score(ones, p))
    assert np.isnan(METRICS["pr_auc"].score(zeros, p))
    assert METRICS["f1"].score(zeros, np.zeros(3)) == 0.0
    assert METRICS["log_loss"].score(ones, p) > 0
    three = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
    assert METRICS["roc_auc"].score(np.array([0.0, 1.0]), three) == 1.0  # class 2 is not asked
    assert np.isnan(METRICS["r2"].score(ones, p))


def test_every_metric_says_its_direction_and_task() -> None:
    better = {name for name, each in METRICS.items() if each.greater_is_better}
    assert better == {"roc_auc", "pr_auc", "accuracy", "f1", "r2"}
    assert pinball(0.25).name == "pinball_25"


def test_an_unknown_metric_names_the_closest() -> None:
    with pytest.raises(BadInput, match=r"no metric is called 'roc_acu'(.|\n)*did you mean 'roc_auc'\?"):
        metric("roc_acu")
    with pytest.raises(BadInput, match=r"rmse is not for classification"):
        metric("rmse", task="classification")
    assert metric("mae", task="regression").title == "Mean absolute error"


def test_predictions_that_are_not_numbers_are_an_error() -> None:
    y = np.array([0.0, 1.0])
    with pytest.raises(DataError, match=r"1 of 2 predictions are NaN or infinite"):
        check_predictions(y, np.array([0.1, np.nan]))
    with pytest.raises(DataError, match=r"1 of 2 truths are NaN or infinite"):
        check_predictions(np.array([0.1, np.inf]), y)
    with pytest.raises(DataError, match=r"3 predictions for 2 rows"):
        check_predictions(y, np.zeros(3))
    with pytest.raises(DataError, match=r"no rows to evaluate"):
        check_predictions(np.array([]), np.array([]))
