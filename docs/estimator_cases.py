"""How each estimator stands in a design: alone, or in a pipeline before a simple one. What comes of it is measured in estimators.py."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
import sklearn.experimental.enable_halving_search_cv
import sklearn.experimental.enable_iterative_imputer  # noqa: F401  # both only make estimators known
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.decomposition import SparseCoder
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

NUMBERS = ("a", "b", "c", "n")
TEXT = "text"
OTHERS = {
    "lightgbm": ("LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
    "xgboost": ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker"),
}
COLUMN = frozenset({"MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "RegressorChain"})  # fmt: skip
"""Those that want their labels as a matrix: the experiment's own way to fit gives them one column."""

_OUTSIDE: Mapping[str, str] = {
    "ClassifierChain": "it learns several labels at once, an experiment has one",
    "KernelCenterer": "it takes a kernel between new rows and those of the fit, and no step before it gives one",
    "LGBMRanker": "it ranks within groups, a task that oito does not have",
    "LabelBinarizer": "it codes labels, which oito numbers itself",
    "LabelEncoder": "it codes labels, which oito numbers itself",
    "MultiLabelBinarizer": "it codes labels, which oito numbers itself",
    "MultiOutputClassifier": "it learns several labels at once, an experiment has one",
    "PLSSVD": "in a pipeline it passes the labels on as well, which no later step takes",
    "PatchExtractor": "it gives another number of rows than it takes",
    "XGBRanker": "it ranks within groups, a task that oito does not have",
}
_NO_ANSWER = "it has no answer for rows that it was not fitted on"


def names() -> dict[str, str]:
    """Return the name of every estimator → the library it comes from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: "sklearn" for name, _ in all_estimators()}
    return found | {name: library for library, listed in OTHERS.items() for name in listed}


def build(name: str) -> Any:
    """Return the estimator as a design would build it, small enough for 200 rows."""
    if name in _SPECIAL:
        return _SPECIAL[name]()
    made = _plain(name)
    return made if _stands_alone(made) else make_pipeline(made, LogisticRegression())


def bare(name: str) -> Any:
    """Return the estimator by itself, to be fitted outside of any experiment."""
    return build(name) if name in _SPECIAL else _plain(name)


def task(name: str) -> str:
    """Return the task of the experiment it stands in, or "" when there is none."""
    if outside(name):
        return ""
    return "classification" if is_classifier(build(name)) else "regression"


def outside(name: str) -> str:
    """Return why it cannot stand in an experiment, or ""."""
    if name in _OUTSIDE or name in _SPECIAL:
        return _OUTSIDE.get(name, "")
    made = _plain(name)
    return "" if _stands_alone(made) or hasattr(made, "transform") else _NO_ANSWER


def _stands_alone(made: Any) -> bool:
    return is_classifier(made) or is_regressor(made) or (hasattr(made, "predict") and not hasattr(made, "transform"))


def _plain(name: str) -> Any:
    for library, listed in OTHERS.items():
        if name in listed:
            quiet = {"verbose": -1} if library == "lightgbm" else {}
            return getattr(importlib.import_module(library), name)(n_estimators=5, subsample=0.5, **quiet)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return next(iter(_construct_instances(dict(all_estimators())[name])))


def as_dicts(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows as dicts, for `DictVectorizer`."""
    return rows.select(*NUMBERS, TEXT).to_dicts()


def as_words(rows: pl.DataFrame) -> list[list[str]]:
    """Return the words of each row, for `FeatureHasher`."""
    return [str(text).split() for text in rows[TEXT]]


def _of_text(vectorizer: Any) -> Any:
    return make_pipeline(make_column_transformer((vectorizer, TEXT)), LogisticRegression())


def _frozen() -> Any:
    return FrozenEstimator(Ridge().fit(pl.DataFrame(np.eye(4), schema=list(NUMBERS)), [0.0, 1.0, 2.0, 3.0]))


_SPECIAL: Mapping[str, Callable[[], Any]] = {
    "CountVectorizer": lambda: _of_text(CountVectorizer()),
    "DictVectorizer": lambda: make_pipeline(FunctionTransformer(as_dicts), DictVectorizer(), LogisticRegression()),
    "FeatureHasher": lambda: make_pipeline(
        FunctionTransformer(as_words), FeatureHasher(16, input_type="string"), LogisticRegression()
    ),
    "FrozenEstimator": _frozen,
    "HashingVectorizer": lambda: _of_text(HashingVectorizer(n_features=16)),
    "IsotonicRegression": lambda: make_pipeline(
        make_column_transformer(("passthrough", ["a"])), IsotonicRegression(out_of_bounds="clip")
    ),
    "LocalOutlierFactor": lambda: LocalOutlierFactor(novelty=True),
    "MissingIndicator": lambda: make_pipeline(MissingIndicator(features="all"), LogisticRegression()),
    "OrdinalEncoder": lambda: make_pipeline(make_column_transformer((OrdinalEncoder(), ["n"])), LogisticRegression()),
    "SparseCoder": lambda: make_pipeline(SparseCoder(np.eye(4)), LogisticRegression()),
    "TfidfVectorizer": lambda: _of_text(TfidfVectorizer()),
}
OF_TEXT = frozenset({"CountVectorizer", "DictVectorizer", "FeatureHasher", "HashingVectorizer", "TfidfVectorizer"})
