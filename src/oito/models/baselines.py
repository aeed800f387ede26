"""The ladder of plain models that a design must beat: nothing learned, a linear model, default boosting.

They take the frames of a signature: Float64 columns (missing is NaN) and Enum columns (missing is null). Fitting and
judging them is an experiment's work.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Task = Literal["classification", "regression"]
Rung = Callable[[int], BaseEstimator]  # seed -> an estimator that is not fitted yet


def baselines(task: Task) -> Mapping[str, Rung]:
    """Return the rungs of the ladder by name, weakest first; each makes an unfitted estimator from a seed.

    The same rows in the same order and the same seed give the same fit. A category that training had never seen is
    treated as the rare ones by the linear model, as missing by boosting.

    Example:
        >>> frame = pl.DataFrame({"x": [1.0, 2.0, float("nan"), 4.0]})
        >>> {name: round(float(make(1).fit(frame, [0, 0, 1, 1]).predict_proba(frame)[0, 0]), 1)
        ...  for name, make in baselines("classification").items() if name == "dummy"}
        {'dummy': 0.5}
    """
    if task == "classification":
        return {
            "dummy": lambda seed: DummyClassifier(strategy="prior"),
            "linear": lambda seed: _linear(LogisticRegression(max_iter=1000, random_state=seed)),
            "boosting": lambda seed: _boosting(HistGradientBoostingClassifier, seed),
        }
    return {
        "dummy": lambda seed: DummyRegressor(strategy="mean"),
        "linear": lambda seed: _linear(Ridge(random_state=seed)),
        "boosting": lambda seed: _boosting(HistGradientBoostingRegressor, seed),
    }


class FillEmpty(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Makes columns that training saw only empty constant, because histogram boosting cannot bin them."""

    def fit(self, frame: pl.DataFrame, y: Any = None) -> "FillEmpty":
        numbers = frame.select(_numbers(frame)).fill_nan(None)
        self.empty_ = [column.name for column in numbers if column.null_count() == len(column)]
        return self

    def transform(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.lit(0.0).alias(name) for name in self.empty_)


def _boosting(last: Callable[..., BaseEstimator], seed: int) -> Pipeline:
    # "auto" would stop early above 10,000 rows, on a validation share that depends on the order of the rows.
    return make_pipeline(FillEmpty(), last(early_stopping=False, random_state=seed))


def _linear(last: BaseEstimator) -> Pipeline:
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    # A level needs some rows to earn a coefficient; rarer ones, and those never seen, share one.
    categories = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False)
    return make_pipeline(
        ColumnTransformer([("numbers", numbers, _numbers), ("categories", categories, _categories)]), last
    )


def _numbers(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]


def _categories(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if not dtype.is_numeric()]
