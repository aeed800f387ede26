"""Every family that compiles answers as its estimator does: with missing values, categories and values at each split."""

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from oito.catalog.signature import Signature, infer
from oito.endpoints.compile import Compiled, compile_model
from oito.endpoints.executor import asking, load

Floats = NDArray[np.float64]
ROWS = 1_200
NUMBERS = ["delay", "wind", "hour", "holiday"]
CATEGORIES = ["city", "grade"]


def _table() -> tuple[pl.DataFrame, Floats]:
    rng = np.random.default_rng(8)
    cities = np.array([f"city {place:02}" for place in range(30)])
    place = rng.integers(0, len(cities), ROWS)
    delay, wind = rng.normal(size=ROWS), rng.gamma(2.0, 10.0, size=ROWS)
    score = delay + wind / 20 + np.sin(place * 7.0) + rng.normal(size=ROWS) / 2
    wind[rng.random(ROWS) < 0.1] = np.nan
    frame = pl.DataFrame(
        {
            "delay": delay,
            "wind": wind,
            "hour": rng.integers(0, 24, ROWS),
            "holiday": rng.random(ROWS) < 0.2,
            "city": [None if rng.random() < 0.05 else str(cities[at]) for at in place],
            "grade": rng.choice(["a", "b", "é"], ROWS),
        }
    )
    return frame, score


FRAME, SCORE = _table()
TARGETS: dict[str, pl.Series] = {
    "two": pl.Series("y", SCORE > 1),
    "four": pl.Series("y", np.digitize(SCORE, [0, 1, 2]).astype(str)),
    "value": pl.Series("y", SCORE),
    "count": pl.Series("y", np.exp(SCORE / 3)),
}


def one_hot() -> Any:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    return make_column_transformer((numbers, NUMBERS), (OneHotEncoder(handle_unknown="ignore"), CATEGORIES))


def ordinal() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    return make_column_transformer((encoder, CATEGORIES), remainder=SimpleImputer(strategy="median"))


def numbers_as_categories() -> Any:
    filled = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    scaled = make_pipeline(SimpleImputer(strategy="constant", fill_value=-9), RobustScaler(), MinMaxScaler(clip=True))
    return make_column_transformer((filled, ["hour", "city"]), (scaled, ["delay", "wind"]), ("drop", ["holiday"]))


def with_nan() -> Any:
    return make_column_transformer(("passthrough", NUMBERS))


def boosted_over_codes() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    codes = make_column_transformer((encoder, CATEGORIES), remainder="passthrough")
    return make_pipeline(codes, HistGradientBoostingClassifier(categorical_features=[0, 1, 4], max_iter=15))


TREES: dict[str, tuple[Any, str]] = {
    "boosting, two classes": (HistGradientBoostingClassifier(max_iter=25), "two"),
    "boosting, four classes": (HistGradientBoostingClassifier(max_iter=10), "four"),
    "boosting, values": (HistGradientBoostingRegressor(max_iter=25), "value"),
    "boosting, counts": (HistGradientBoostingRegressor(loss="poisson", max_iter=20), "count"),
    "boosting, positive": (HistGradientBoostingRegressor(loss="gamma", max_iter=20), "count"),
    "boosting over codes": (boosted_over_codes(), "two"),
    "forest, one-hot": (make_pipeline(one_hot(), RandomForestClassifier(12, random_state=0)), "two"),
    "forest, ordinal": (make_pipeline(ordinal(), RandomForestClassifier(12, random_state=0)), "four"),
    "forest, missing": (make_pipeline(with_nan(), RandomForestClassifier(12, random_state=0)), "two"),
    "forest, values": (make_pipeline(ordinal(), RandomForestRegressor(12, random_state=0)), "value"),
    "extra trees": (make_pipeline(ordinal(), ExtraTreesClassifier(12, random_state=0)), "two"),
    "extra trees, values": (make_pipeline(numbers_as_categories(), ExtraTreesRegressor(8, random_state=0)), "value"),
    "one tree": (make_pipeline(ordinal(), DecisionTreeClassifier(max_depth=7, random_state=0)), "four"),
    "one tree, values": (make_pipeline(numbers_as_categories(), DecisionTreeRegressor(random_state=0)), "value"),
    "gradient, two classes": (make_pipeline(ordinal(), GradientBoostingClassifier(n_estimators=15)), "two"),
    "gradient, exponential": (
        make_pipeline(ordinal(), GradientBoostingClassifier(loss="exponential", n_estimators=15)),
        "two",
    ),
    "gradient, four classes": (make_pipeline(one_hot(), GradientBoostingClassifier(n_estimators=8)), "four"),
    "gradient, values": (make_pipeline(ordinal(), GradientBoostingRegressor(n_estimators=15)), "value"),
    "a stump that never splits": (make_pipeline(ordinal(), DecisionTreeRegressor(min_samples_leaf=ROWS)), "value"),
}
SUMS: dict[str, tuple[Any, str]] = {
    "logistic, two classes": (make_pipeline(one_hot(), LogisticRegression(max_iter=500)), "two"),
    "logistic, four classes": (
        make_pipeline(numbers_as_categories(), StandardScaler(with_mean=False), LogisticRegression(max_iter=500)),
        "four",
    ),
    "least squares": (make_pipeline(one_hot(), LinearRegression()), "value"),
    "ridge": (make_pipeline(numbers_as_categories(), Ridge()), "value"),
    "the class shares": (DummyClassifier(), "four"),
    "the commonest class": (DummyClassifier(strategy="most_frequent"), "two"),
    "the mean": (DummyRegressor(), "value"),
}


def fitted(estimator: Any, target: str) -> tuple[Any, Signature, Floats]:
    truth = TARGETS[target]
    signature = infer(FRAME, truth, task="classification" if target in ("two", "four") else "regression")
    X = signature.matrix(FRAME)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how well an estimator converges is not what is tested
        return estimator.fit(signature.frame(X), truth.to_numpy()), signature, X


def compiled(estimator: Any, target: str) -> tuple[Compiled, Any, Signature, Floats]:
    model, signature, X = fitted(estimator, target)
    return compile_model(model, signature, X), model, signature, X


@pytest.mark.parametrize("name", TREES)
def test_trees_answer_with_the_very_bits_of_the_estimator(name: str) -> None:
    found, model, signature, X = compiled(*TREES[name])
    assert (found.proof.kind, found.proof.reason, found.proof.bit_equal) == ("trees", "", True)
    assert found.proof.rows > len(X)
    executor = load(found.files, signature, native=lambda: pytest.fail("scikit-learn was asked"))
    assert np.array_equal(executor.predict(X), asking(model, signature)(X), equal_nan=True)


@pytest.mark.parametrize("name", SUMS)
def test_sums_answer_as_the_estimator_does(name: str) -> None:
    found, model, signature, X = compiled(*SUMS[name])
    assert (found.proof.kind, found.proof.reason, found.proof.class_agreement) == ("linear", "", 1.0)
    assert found.proof.max_difference < 1e-12
    executor = load(found.files, signature, native=lambda: pytest.fail("scikit-learn was asked"))
    assert np.allclose(executor.predict(X), asking(model, signature)(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["boosting, two classes", "forest, one-hot", "logistic, two classes"])
def test_a_category_never_seen_is_answered_as_the_estimator_answers_it(name: str) -> None:
    found, model, signature, _ = compiled(*{**TREES, **SUMS}[name])
    known = {"delay": 0.1, "wind": 3.0, "hour": 9, "holiday": False, "grade": "a"}
    rows = [{**known, "city": "Atlantis"}, {**known, "city": None}]
    X = np.array([signature.row(row) for row in rows])
    answers = load(found.files, signature, native=lambda: None).predict(X)
    assert np.allclose(answers, asking(model, signature)(X), rtol=1e-12)


def test_a_category_that_only_the_signature_knows_is_a_category_never_seen() -> None:
    truth = TARGETS["two"]
    signature = infer(FRAME, truth, task="classification")
    X = signature.matrix(FRAME)
    kept = X[:, 4] != 7.0
    model = HistGradientBoostingClassifier(max_iter=20).fit(signature.frame(X[kept]), truth.to_numpy()[kept])
    proof = compile_model(model, signature, X).proof
    assert (proof.kind, proof.bit_equal) == ("trees", True)


def test_a_class_the_estimator_never_saw_has_probability_zero() -> None:
    truth = TARGETS["four"]
    signature = infer(FRAME, truth, task="classification")
    X = signature.matrix(FRAME)
    kept = truth.to_numpy() != "1"
    model = HistGradientBoostingClassifier(max_iter=5).fit(signature.frame(X[kept]), truth.to_numpy()[kept])
    found = compile_model(model, signature, X)
    answers = load(found.files, signature, native=lambda: model).predict(X)
    assert found.proof.kind == "trees"
    assert answers.shape == (ROWS, 4)
    assert (answers[:, 1] == 0).all()


def test_a_row_the_estimator_refuses_is_nan_and_leaves_its_neighbors_alone() -> None:
    model = make_pipeline(make_column_transformer(("passthrough", ["delay", "wind"])), GradientBoostingRegressor())
    signature = infer(FRAME, TARGETS["value"], task="regression")
    X = signature.matrix(FRAME)
    is_whole = ~np.isnan(X[:, 1])
    model.fit(signature.frame(X[is_whole]), TARGETS["value"].to_numpy()[is_whole])
    found = compile_model(model, signature, X)
    answers = load(found.files, signature, native=lambda: model).predict(X)
    assert found.proof.kind == "trees"
    assert np.array_equal(np.isnan(answers[:, 0]), ~is_whole)
    assert np.array_equal(answers[is_whole], asking(model, signature)(X[is_whole]))


def test_classes_named_by_texts_keep_their_shares() -> None:
    truth = pl.Series("y", np.where(SCORE > 1, "yes", "no"))
    signature = infer(FRAME, truth, task="classification")
    X = signature.matrix(FRAME)
    numbers = np.array([signature.classes.index(name) for name in truth.to_list()])
    model = HistGradientBoostingClassifier(max_iter=10).fit(signature.frame(X), numbers)
    executor = load(compile_model(model, signature, X).files, signature, native=lambda: None)
    assert signature.classes == ("no", "yes")
    assert np.array_equal(executor.predict(X), model.predict_proba(signature.frame(X)))
