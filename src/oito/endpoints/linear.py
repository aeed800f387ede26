"""Linear models and constant baselines of scikit-learn as one list of weights. How trees compile is in trees.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge

from oito.endpoints.columns import Columns, Number
from oito.endpoints.preprocess import Feature, NotCompilable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """Scores = intercept [outputs] + features · weights [features, outputs], then a link."""

    features: Sequence[Feature]
    weights: Floats
    intercept: Floats
    link: str


def is_constant(estimator: Any) -> bool:
    return isinstance(estimator, DummyClassifier | DummyRegressor)


def compiled(estimator: Any, features: Sequence[Feature]) -> Linear | None:
    """Return the estimator as weights, or None when it is of another family."""
    if isinstance(estimator, LogisticRegression):
        link = "logistic" if len(estimator.classes_) == 2 else "softmax"
        return _weighted(estimator, features, link)
    if isinstance(estimator, LinearRegression | Ridge | ElasticNet):
        return _weighted(estimator, features, "identity")
    return None


def constant(estimator: Any) -> Linear:
    """Return a baseline that answers the same to every row."""
    if isinstance(estimator, DummyRegressor):
        answer = np.asarray(estimator.constant_, dtype=np.float64).ravel()
    elif estimator.strategy == "stratified":
        raise NotCompilable("a stratified DummyClassifier answers at random")
    else:
        answer = np.asarray(estimator.predict_proba(np.zeros((1, 1))), dtype=np.float64).ravel()
    return Linear((), np.zeros((0, len(answer))), answer, "identity")


def _weighted(estimator: Any, features: Sequence[Feature], link: str) -> Linear:
    weights = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64)).T
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (weights.shape[1],))
    return Linear(features, weights, intercept, link)


def plan(linear: Linear, places: Sequence[int], *, width: int) -> dict[str, Any]:
    """Return the plan of an executor for the weights; equal weights give equal plans."""
    numbers = [(f, w) for f, w in zip(linear.features, linear.weights, strict=True) if isinstance(f, Number)]
    numbers.sort(key=lambda pair: ([word for word, _ in pair[0].steps], pair[0].source))
    return {
        "kind": "linear",
        "columns": Columns([number for number, _ in numbers], width=width).data(),
        "weights": [weights.tolist() for _, weights in numbers],
        "intercept": linear.intercept.tolist(),
        "tables": _tables(linear),
        "link": linear.link,
        "places": list(places),
    }


def _tables(linear: Linear) -> list[dict[str, Any]]:
    """Return per column the share of the scores that each of its values brings, over all features made from it."""
    found: dict[int, dict[str, Any]] = {}
    for table, weights in zip(linear.features, linear.weights, strict=True):
        if isinstance(table, Number):
            continue
        values = np.where(table.refused, np.nan, table.values)
        shares = np.multiply.outer(values[:-1] if table.is_category else values, weights)
        keys = None if table.is_category else table.keys.tolist()
        known = found.setdefault(table.source, {"source": table.source, "keys": keys, "shares": np.zeros(shares.shape)})
        if known["keys"] != keys:
            raise NotCompilable("a column is encoded twice over different values")
        known["shares"] = known["shares"] + shares
    return [{**found[source], "shares": found[source]["shares"].tolist()} for source in sorted(found)]
