"""Model files: what goes in comes out bit for bit, and the same fit gives the same bytes."""

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from oito.experiments.model_files import dump, load

_draw = np.random.default_rng(5)
X = _draw.random((60, 5))
Y_TWO = (X[:, 0] + _draw.random(60) / 2 > 0.7).astype(int)
Y_TEXT = _draw.choice(["a", "b", "c"], 60)
Y_NUMBER = X @ _draw.random(5) + 0.1
ME = __name__
SUPERVISED = sorted({name for kind in ("classifier", "regressor") for name, _ in all_estimators(type_filter=kind)})
SHAPES: list[tuple[Any, Any]] = [(X, Y_TWO), (X, np.c_[Y_TWO, 1 - Y_TWO]), (X, Y_TWO + 1), (X[:, :1], Y_TWO)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence on 60 rows is not what is tested
        yield


def fitted(estimator: Any) -> tuple[Any, Any, Any]:
    """Return two fits of one estimator and the rows they were fitted on, in the first shape of data that it takes."""
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    for rows, truth in SHAPES:
        try:
            return clone(estimator).fit(rows, truth), clone(estimator).fit(rows, truth), rows
        except (IndexError, TypeError, ValueError):
            continue
    raise AssertionError(f"{estimator} takes none of the shapes")


def bits(answer: Any) -> Any:
    if isinstance(answer, list):
        return [bits(part) for part in answer]
    values = answer.toarray() if sparse.issparse(answer) else np.asarray(answer)
    return values.tolist() if values.dtype == object else (values.dtype.str, values.shape, values.tobytes())


def assert_same_answers(one: Any, other: Any, rows: Any) -> None:
    # A copy of the rows: a kernel of an array with itself takes another path through BLAS.
    rows = rows.copy() if isinstance(rows, np.ndarray) else rows
    methods = [name for name in ("predict", "predict_proba", "decision_function", "transform") if hasattr(one, name)]
    assert methods
    for method in methods:
        assert bits(getattr(one, method)(rows)) == bits(getattr(other, method)(rows)), method


def assert_kept(first: Any, second: Any, rows: Any) -> None:
    files = dump(first)
    assert dump(second) == files, "two fits of the same data and seed differ"
    again = load(files)
    assert dump(again) == files, "what was loaded is written otherwise"
    assert type(again) is type(first)
    assert_same_answers(first, again, rows)


def test_the_supervised_estimators_are_at_least_the_77_that_were_promised() -> None:
    assert len(SUPERVISED) >= 77


@pytest.mark.parametrize("name", SUPERVISED)
def test_every_supervised_estimator_is_canonical_and_predicts_bit_for_bit(name: str) -> None:
    kind = dict(all_estimators())[name]
    kept = 0
    for estimator in list(_construct_instances(kind))[:2]:
        if (
            estimator.get_params().get("metric") == "precomputed"
            or estimator.get_params().get("kernel") == "precomputed"
        ):
            continue
        assert_kept(*fitted(estimator))
        kept += 1
    assert kept


CASES: dict[str, tuple[Any, Any, Any]] = {
    "histogram boosting with categories": (
        HistGradientBoostingClassifier(max_iter=5, categorical_features=[0], random_state=0),
        np.c_[_draw.integers(0, 6, 60), X],
        Y_TEXT,
    ),
    "histogram boosting of a quantile": (
        HistGradientBoostingRegressor(loss="quantile", quantile=0.3, random_state=0),
        X,
        Y_NUMBER,
    ),
    "boosting with Huber's loss": (
        GradientBoostingRegressor(loss="huber", n_estimators=5, random_state=0),
        X,
        Y_NUMBER,
    ),
    "a forest of several outputs": (
        RandomForestClassifier(4, oob_score=True, random_state=np.random.RandomState(3)),
        X,
        np.c_[Y_TWO, 1 - Y_TWO],
    ),
    "a forest on some of the columns": (IsolationForest(n_estimators=4, max_features=0.5, random_state=0), X, None),
    "support vectors of a sparse table": (SVC(), sparse.csr_matrix(X), Y_TEXT),
    "neighbours in a ball tree": (
        KNeighborsRegressor(
            algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.linalg.inv(np.cov(X.T))}
        ),
        X,
        Y_NUMBER,
    ),
    "neighbours by the third power": (KNeighborsClassifier(algorithm="kd_tree", p=3), X.astype(np.float32), Y_TEXT),
    "stochastic descent": (SGDClassifier(loss="modified_huber", average=True, random_state=0), X, Y_TEXT),
    "a Gaussian process": (
        GaussianProcessRegressor(Matern() + WhiteKernel() * DotProduct() ** 2, random_state=0),
        X[:20],
        Y_NUMBER[:20],
    ),
    "a calibrated forest": (
        CalibratedClassifierCV(RandomForestClassifier(3, random_state=0), method="isotonic"),
        X,
        Y_TWO,
    ),
    "a network": (MLPClassifier((4,), early_stopping=True, random_state=0, max_iter=5), X, Y_TEXT),
    "a long pipeline": (
        make_pipeline(
            FunctionTransformer(np.log1p, inverse_func=np.expm1),
            SplineTransformer(),
            PolynomialFeatures(),
            SelectKBest(f_regression, k=20),
            QuantileTransformer(n_quantiles=20),
            Ridge(),
        ),
        X,
        Y_NUMBER,
    ),
    "texts with half a surrogate": (
        make_pipeline(TfidfVectorizer(stop_words=["the"]), LogisticRegression()),
        [f"the café w{row % 7} \ud800x w{row % 5}" for row in range(60)],
        Y_TWO,
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_every_part_of_a_model_is_kept(what: str) -> None:
    estimator, rows, truth = CASES[what]
    first, second = (clone(estimator).fit(rows, truth) for _ in range(2))
    assert_kept(first, second, rows)


PEOPLE = pl.DataFrame(
    {
        "age": [None, *X[1:, 0].tolist()],
        "income": X[:, 1] * 1000,
        "city": pl.Series(Y_TEXT.tolist()).cast(pl.Enum(["a", "b", "c", "never seen"])),
    }
)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5, random_state=0),
        make_pipeline(
            make_column_transformer(
                (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
                (make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
                remainder="passthrough",
            ).set_output(transform="polars"),
            VotingClassifier(
                [("line", LogisticRegression()), ("wood", RandomForestClassifier(3, random_state=0))], voting="soft"
            ),
        ),
        make_pipeline(
            make_column_transformer((StandardScaler(), ["income"])),
            StackingClassifier([("tree", DecisionTreeClassifier(random_state=0)), ("line", LogisticRegression())]),
        ),
    ],
    ids=["categories by type", "columns and votes", "columns and a stack"],
)
def test_a_frame_with_categories_goes_through_a_loaded_model(estimator: Any) -> None:
    first, second = (clone(estimator).fit(PEOPLE, Y_TWO) for _ in range(2))
    assert_kept(first, second, PEOPLE)
    assert load(dump(first)).feature_names_in_.tolist() == ["age", "income", "city"]


def test_how_long_the_fits_of_a_search_took_is_not_kept() -> None:
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, None]}, cv=StratifiedKFold(3))
    first, second = (clone(search).fit(X, Y_TEXT) for _ in range(2))
    assert first.refit_time_ > 0 and first.cv_results_["mean_fit_time"].all()
    assert_kept(first, second, X)
    assert load(dump(first)).refit_time_ == 0
    assert first.refit_time_ > 0, "writing changes nothing"


def test_predicting_does_not_change_what_is_written() -> None:
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, Y_TEXT)  # its tree counts its visits
    before = dump(model)
    model.predict(X)
    assert dump(model) == before


_FIT = """
import hashlib, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from oito.experiments.model_files import dump
X, y = make_classification(200, 6, random_state=0)
words = make_pipeline(TfidfVectorizer(stop_words=["the", "a"]), RandomForestClassifier(3, random_state=0))
words.set_params(tfidfvectorizer__vocabulary={"one", "two", "three", "four"})
hashed = hashlib.sha256()
for model in (
    HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, y),
    RandomForestClassifier(5, random_state=0).fit(X, y),
    words.fit(["one two", "the three", "a four"] * 3, [0, 1, 0] * 3),
):
    for name, data in sorted(dump(model).items()):
        hashed.update(data)
print(hashed.hexdigest())
"""


def test_another_process_with_another_order_of_sets_and_other_threads_writes_the_same_bytes() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _FIT],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed, "OPENBLAS_NUM_THREADS": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("library", "kind"), [("lightgbm", "LGBMClassifier"), ("lightgbm", "LGBMRegressor"), ("xgboost", "XGBClassifier")]
)
def test_boosting_libraries_are_kept_by_their_own_formats(library: str, kind: str) -> None:
    settings: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1, "random_state": 0}
    if library == "lightgbm":
        settings |= {"verbose": -1, "deterministic": True, "force_row_wise": True}
    made = getattr(pytest.importorskip(library), kind)(**settings)
    first, second = (clone(made).fit(X, Y_TWO) for _ in range(2))
    assert_kept(first, second, X)


def test_the_bytes_of_a_model_are_held_by_their_own_digest() -> None:
    files = dump(Ridge().fit(X, Y_NUMBER))
    head = b'{"sha256":"' + b"0" * 64 + b'",'
    body, blob = files["model.json"][len(head) :], files["arrays.bin"]
    digest = hashlib.sha256(len(body).to_bytes(8, "big") + body + blob).hexdigest()
    assert files["model.json"].startswith(b'{"sha256":"' + digest.encode())
