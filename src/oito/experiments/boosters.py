"""LightGBM and XGBoost among the estimators: fitted the same way every time, shown categories in the form they take.

Their own estimators and their native boosters both serve; how they are written as files stands in model_forms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from oito.errors import BadInput
from oito.experiments.model_types import name_of

Floats = NDArray[np.float64]
LIGHTGBM = frozenset(f"lightgbm.sklearn.{name}" for name in ("LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor"))  # fmt: skip
XGBOOST = frozenset(f"xgboost.sklearn.{name}" for name in ("XGBClassifier", "XGBModel", "XGBRanker", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"))  # fmt: skip
NATIVE = frozenset({"lightgbm.basic.Booster", "xgboost.core.Booster"})
# Any of these, and the author has decided how histograms are summed.
_DECIDED = frozenset({"deterministic", "force_row_wise", "force_col_wise"})


class Boosted:
    """A fitted booster that takes frames and gives answers as scikit-learn's estimators do.

    LightGBM ends the whole process when it meets a column of categories, so it is shown their codes. A native booster
    answers with one number per row where there are two classes; here it answers with a share for each class.
    """

    def __init__(self, booster: Any, classes: int) -> None:
        self.booster = booster
        self.classes_ = np.arange(classes)

    def predict(self, rows: pl.DataFrame) -> Any:
        """Return values [rows], or the number of the likeliest class."""
        if not len(self.classes_):
            return self._said(rows)
        return self.classes_[np.argmax(self.predict_proba(rows), axis=1)]

    def predict_proba(self, rows: pl.DataFrame) -> Floats:
        """Return shares [rows, classes].

        Raises:
            BadInput: the booster's objective gives none.
        """
        if name_of(type(self.booster)) not in NATIVE:
            return np.asarray(self.booster.predict_proba(coded(rows)), dtype=np.float64)
        said = self._said(rows)
        is_shaped = said.ndim == (1 if len(self.classes_) == 2 else 2)
        if not is_shaped or not ((said >= 0) & (said <= 1)).all():
            raise BadInput(
                "the booster's answers are no probabilities",
                known=f"shape {list(said.shape)} for {len(self.classes_)} classes",
                next='train it for shares: objective "binary" or "multiclass" (LightGBM), "binary:logistic" or "multi:softprob" (XGBoost)',
            )
        return np.stack([1 - said, said], axis=1) if said.ndim == 1 else said

    def _said(self, rows: pl.DataFrame) -> Floats:
        kind = name_of(type(self.booster))
        if kind == "xgboost.core.Booster":
            takes_categories = "c" in (self.booster.feature_types or ())
            seen: Any = rows if takes_categories else coded(rows)
            said = self.booster.inplace_predict(seen if self.booster.feature_names else seen.to_numpy())
        else:
            said = self.booster.predict(coded(rows).to_numpy() if kind in NATIVE else coded(rows))
        return np.asarray(said, dtype=np.float64)


def coded(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with each category as the place it has among the known ones, missing as NaN.

    Example:
        >>> city = pl.Series("city", ["Rio", None, "Faro"], dtype=pl.Enum(["Faro", "Oslo", "Rio"]))
        >>> coded(pl.DataFrame({"city": city}))["city"].to_list()
        [2.0, nan, 0.0]
    """
    return rows.with_columns(pl.col(pl.Enum).to_physical().cast(pl.Float64).fill_null(float("nan")))


def shown(estimator: Any, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the frame as the estimator takes it when it is fitted."""
    return coded(rows) if name_of(type(estimator)) in LIGHTGBM else rows


def categories(estimator: Any, rows: pl.DataFrame) -> dict[str, Any]:
    """Return what the estimator's `fit` must be told of the categories in a frame."""
    places = [place for place, dtype in enumerate(rows.dtypes) if dtype == pl.Enum]
    return {"categorical_feature": places} if places and name_of(type(estimator)) in LIGHTGBM else {}


def prepare(estimator: Any, rows: pl.DataFrame) -> None:
    """Make the estimator, and those inside of it, sum in one order; let XGBoost see the frame's categories.

    Source: LightGBM's parameters, "deterministic": it wants one of the two ways to build histograms to be forced.
    """
    has_categories = pl.Enum in [dtype.base_type() for dtype in rows.dtypes]
    for part in _parts(estimator):
        kind = name_of(type(part))
        if kind in LIGHTGBM and _DECIDED.isdisjoint(part.get_params()):
            part.set_params(deterministic=True, force_row_wise=True)
        if kind in XGBOOST and part is estimator and has_categories:
            part.set_params(enable_categorical=True)


def finished(fitted: Any, rows: pl.DataFrame, *, classes: int) -> Any:
    """Return what was fitted as something that takes the frame and gives answers as estimators do."""
    kind = name_of(type(fitted))
    needs_codes = kind in LIGHTGBM and pl.Enum in [dtype.base_type() for dtype in rows.dtypes]
    return Boosted(fitted, classes) if needs_codes or kind in NATIVE else fitted


def word(estimator: Any) -> str:
    """Return the name of an estimator's class as its author knows it."""
    if isinstance(estimator, Boosted):
        estimator = estimator.booster
    kind = type(estimator)
    return f"{kind.__module__.partition('.')[0]}.Booster" if name_of(kind) in NATIVE else kind.__name__


def _parts(estimator: Any) -> Iterator[Any]:
    yield estimator
    if hasattr(estimator, "get_params") and not isinstance(estimator, type):
        yield from (each for each in estimator.get_params(deep=True).values() if hasattr(each, "get_params"))
