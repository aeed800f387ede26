"""The report: plain data, honest about what does not exist, finds planted weak slices and few others."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from oito.errors import BadInput, DataError
from oito.experiments.importance import importance
from oito.experiments.metrics import METRICS, Floats
from oito.experiments.report import evaluate
from oito.experiments.slices import slices


def _data(n: int = 3000, seed: int = 0) -> tuple[Floats, Floats, pl.DataFrame]:
    """Return truth, calibrated probabilities and features that have nothing to do with the errors."""
    rng = np.random.default_rng(seed)
    p = rng.beta(1.5, 3, n)
    y = (rng.uniform(size=n) < p).astype(float)
    frame = pl.DataFrame(
        {
            "age": [float(x) if x > -1 else None for x in rng.normal(size=n)],
            "city": rng.choice(["Faro", "Rio", "Oslo"], n),
            "new": rng.integers(0, 2, n).astype(bool),
        }
    )
    return y, p, frame


def _report(y: Any, p: Floats, frame: pl.DataFrame, **more: Any) -> Any:
    return evaluate(y, p, task="classification", classes=more.pop("classes", (0, 1)), frame=frame, seed=1, **more)


def test_a_report_is_json_and_the_same_for_the_same_seed() -> None:
    y, p, frame = _data()
    more = {"baselines": {"dummy": np.full(len(y), y.mean())}, "champion": np.clip(p + 0.1, 0, 1)}
    first, second = (_report(y, p, frame, **more) for _ in range(2))
    text = json.dumps(first.data(), allow_nan=False)
    assert text == json.dumps(second.data(), allow_nan=False)
    assert first.baselines["dummy"].verdict == "win"
    assert first.champion is not None and first.champion.verdict == "tie"  # AUC does not see a shift


def test_every_headline_figure_lies_inside_its_interval() -> None:
    y, p, frame = _data()
    headline = _report(y, p, frame).headline
    assert set(headline) == {"roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "f1", "ece"}
    for name, figure in headline.items():
        assert figure.low <= figure.value <= figure.high
        assert figure.value == pytest.approx(METRICS[name].score(y, p))
        assert figure.low < figure.high


def test_curves_agree_with_scikit_learn_and_are_thin() -> None:
    y, p, frame = _data(150)
    report = _report(y, p, frame)
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(y, p)
    assert report.roc["false_positive_rate"] == pytest.approx(fpr.tolist())
    assert report.roc["true_positive_rate"] == pytest.approx(tpr.tolist())
    assert report.pr["recall"] == pytest.approx(recall[::-1].tolist())
    assert report.pr["precision"] == pytest.approx(precision[::-1].tolist())
    wide = _report(*_data(5000))
    assert len(wide.roc["threshold"]) == 200
    assert (wide.roc["true_positive_rate"][0], wide.roc["true_positive_rate"][-1]) == (0.0, 1.0)


def test_the_cheapest_threshold_follows_the_costs() -> None:
    y, p, frame = _data(20_000)
    cost = _report(y, p, frame, cost_fp=1.0, cost_fn=4.0).cost
    assert cost["best"]["threshold"] == pytest.approx(0.2, abs=0.05)  # of calibrated scores: fp / (fp + fn)
    every = [float(np.mean(np.where(y == 1, 4.0 * (p < t), 1.0 * (p >= t)))) for t in np.unique(p)[::50]]
    assert cost["best"]["cost"] <= min(every) + 1e-12


def test_confusion_is_counted_at_the_threshold_with_ties_above() -> None:
    y, p, frame = _data()
    p = np.round(p, 1)
    report = _report(y, p, frame, threshold=0.3)
    assert report.confusion == confusion_matrix(y, p >= 0.3).tolist()


def test_calibrated_scores_lie_inside_their_bins_intervals() -> None:
    y, p, frame = _data(20_000)
    bins = _report(y, p, frame).calibration
    assert len(bins) == 10
    assert sum(row["n"] for row in bins) == 20_000
    assert sum(row["low"] <= row["said"] <= row["high"] for row in bins) >= 8


def test_a_planted_weak_slice_is_flagged_and_others_are_not() -> None:
    y, p, frame = _data(6000)
    weak = (frame["city"] == "Oslo").to_numpy()
    broken = np.where(weak, np.random.default_rng(1).permutation(p), p)
    for metric_name in ("roc_auc", "log_loss"):
        report = _report(y, broken, frame, metric_name=metric_name)
        assert [(each.column, each.part) for each in report.slices if each.is_worse] == [("city", "Oslo")]
    parts = {(each.column, each.part) for each in report.slices}
    assert {("age", "missing"), ("city", "Rio"), ("new", "true")} <= parts
    assert len([part for column, part in parts if column == "age"]) == 5


def test_without_weak_slices_flags_are_rare() -> None:
    flagged = 0
    for seed in range(40):
        y, p, frame = _data(1500, seed)
        flagged += any(each.is_worse for each in slices(y, p, frame, metric=METRICS["roc_auc"], weights=None))
    assert flagged <= 5  # of 40, at 5 %


def test_a_mean_of_a_slice_is_judged_as_by_hand() -> None:
    y, p, frame = _data(500)
    weights = np.random.default_rng(2).uniform(0.5, 2, 500)
    for each in slices(y, p, frame.select("city"), metric=METRICS["brier"], weights=weights):
        inside = (frame["city"] == each.part).to_numpy()
        value = METRICS["brier"].score(y[inside], p[inside], weights=weights[inside])
        assert each.figure.value == pytest.approx(value)
        assert each.n == inside.sum()
        assert each.figure.low < value < each.figure.high


def test_parts_that_cannot_be_compared_are_judged_by_the_loss() -> None:
    y, p, frame = _data(500)
    assert _report(y, p, frame, metric_name="pr_auc").slice_metric == "log_loss"
    assert _report(y, p, frame, metric_name="roc_auc", weights=np.full(500, 2.0)).slice_metric == "log_loss"
    assert _report(y, p, frame, metric_name="accuracy").slice_metric == "accuracy"


def test_a_class_that_is_absent_leaves_gaps_and_a_note() -> None:
    y, p, frame = np.array(["no"] * 60), np.linspace(0, 1, 60), _data(60)[2]
    report = _report(y, p, frame, classes=("no", "yes"), champion=p)
    plain = json.loads(json.dumps(report.data(), allow_nan=False))
    assert plain["notes"] == ["the class 'yes' does not occur in these rows"]
    assert plain["headline"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert (plain["roc"], plain["cost"], plain["champion"]["verdict"]) == (None, None, "tie")
    assert plain["classes"] == {"no": 60, "yes": 0}


def test_a_slice_of_one_row_is_shown_and_never_flagged() -> None:
    y, p, frame = _data(200)
    lonely = frame.with_columns(city=pl.Series(["solo"] + ["many"] * 199))
    for metric_name in ("roc_auc", "log_loss"):
        report = _report(y, p, lonely, metric_name=metric_name)
        solo = next(each for each in report.slices if each.part == "solo")
        assert (solo.n, solo.q_value, solo.is_worse) == (1, None, False)
    one = _report(y[:1], p[:1], frame.head(1))
    assert json.dumps(one.data(), allow_nan=False)


def test_three_classes_have_a_report() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 400)
    y = np.array(["a", "b", "c"])[(p.cumsum(axis=1) < rng.uniform(size=(400, 1))).sum(axis=1)]
    report = _report(y, p, _data(400)[2], classes=("a", "b", "c"))
    assert report.roc is None and len(report.confusion) == 3
    assert report.headline["roc_auc"].value > 0.6
    assert json.dumps(report.data(), allow_nan=False)


def test_a_regression_has_residuals() -> None:
    rng = np.random.default_rng(4)
    frame = _data(2000)[2]
    p = rng.normal(size=2000)
    wide = (frame["city"] == "Rio").to_numpy()
    y = p + rng.normal(scale=np.where(wide, 3.0, 1.0))
    report = evaluate(y, p, task="regression", frame=frame, baselines={"mean": np.full(2000, y.mean())}, seed=1)
    plain = json.loads(json.dumps(report.data(), allow_nan=False))
    assert [(each.column, each.part) for each in report.slices if each.is_worse] == [("city", "Rio")]
    assert report.baselines["mean"].verdict == "win"
    assert sum(row["n"] for row in plain["residuals"]["by_prediction"]) == 2000
    assert sum(plain["residuals"]["histogram"]["counts"]) == 2000
    assert plain["confusion"] is None


def test_weights_move_every_figure_that_has_them() -> None:
    y, p, frame = _data(400)
    twice = np.where(y == 1, 2.0, 1.0)
    doubled = np.concatenate([y, y[y == 1]]), np.concatenate([p, p[y == 1]])
    weighted = _report(y, p, frame, weights=twice).headline
    for name in ("roc_auc", "pr_auc", "log_loss", "accuracy"):
        assert weighted[name].value == pytest.approx(METRICS[name].score(*doubled))


def test_importance_names_the_columns_that_matter_and_others_do_not_move() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2000, 3))
    y = (x[:, 0] + 0.3 * x[:, 1] + rng.normal(size=2000) > 0).astype(float)

    def predict(rows: Floats) -> Floats:
        return 1 / (1 + np.exp(-(rows[:, 0] + 0.3 * rows[:, 1])))

    auc = METRICS["roc_auc"]
    found = importance(predict, x, y, names=["big", "small", "none"], metric=auc, seed=1)
    assert [each.column for each in found] == ["big", "small", "none"]
    assert found[2].lost == 0.0
    fewer = importance(predict, x[:, :2], y, names=["big", "small"], metric=auc, seed=1)
    assert fewer == found[:2]
    loss = importance(predict, x, y, names=["big", "small", "none"], metric=METRICS["log_loss"], seed=1)
    assert loss[0].lost > loss[1].lost > 0
    with pytest.raises(BadInput, match=r"1 names for 3 columns"):
        importance(predict, x, y, names=["big"], metric=auc, seed=1)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"predicted": np.array([0.1, np.nan])}, DataError, r"1 of 2 predictions are NaN or infinite"),
        (
            {"truth": ["a", "x"]},
            DataError,
            r"1 truths are none of the classes, the first is 'x'\n  known    the model knows 'a', 'b'",
        ),
        ({"truth": ["a", None]}, DataError, r"1 truths are none of the classes, the first is None"),
        ({"classes": ["a"]}, DataError, r"needs two classes or more, not \['a'\]"),
        ({"predicted": np.ones((2, 3)) / 3}, DataError, r"predictions have 3 columns for 2 classes"),
        ({"frame": pl.DataFrame({"x": [1]})}, DataError, r"the frame of features has 1 rows for 2 predictions"),
        ({"weights": np.array([1.0, 0.0])}, BadInput, r"weights are one number above 0 for each row"),
        ({"metric_name": "rmse"}, BadInput, r"rmse is not for classification"),
    ],
)
def test_broken_input_is_a_clear_error(change: dict[str, Any], error: type[Exception], text: str) -> None:
    given: dict[str, Any] = {
        "truth": ["a", "b"],
        "predicted": np.array([0.1, 0.9]),
        "classes": ["a", "b"],
        "frame": pl.DataFrame({"x": [1, 2]}),
        **change,
    }
    with pytest.raises(error, match=text):
        evaluate(given.pop("truth"), given.pop("predicted"), task="classification", seed=1, **given)
