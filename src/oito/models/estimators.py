"""What an estimator is, told as plain data, and whether it is one at all. Building it is the design's work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from oito.errors import DeclarationError


def described(value: Any) -> Any:
    """Return an estimator as plain data: its class by dotted path and its parameters; equal estimators give equal data.

    Example:
        >>> from sklearn.linear_model import Ridge
        >>> described(Ridge())["class"], described(Ridge())["params"]["alpha"]
        ('sklearn.linear_model._ridge.Ridge', 1.0)
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # NaN is no JSON
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if isinstance(value, type) or not hasattr(value, "get_params"):
        cls = value if hasattr(value, "__qualname__") else type(value)
        return {"class": f"{cls.__module__}.{cls.__qualname__}"}
    return {
        "class": f"{type(value).__module__}.{type(value).__qualname__}",
        "params": {name: described(each) for name, each in sorted(value.get_params(deep=False).items())},
    }


def check(estimator: Any, *, task: str, name: str, place: str) -> None:
    """Make sure that what a design built can be fitted and asked.

    Raises:
        DeclarationError: it lacks `fit`, or `predict` (for a classification `predict_proba` serves, too).
    """
    wanted = ["fit", "predict"] if task == "regression" else ["fit", "predict_proba"]
    lacking = [verb for verb in wanted if not _has(estimator, verb)]
    if lacking == ["predict_proba"] and _has(estimator, "predict"):
        return
    if lacking:
        given = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        next = f"let {name} return an unfitted estimator, such as HistGradientBoosting{_word(task)}()"
        if estimator is None:
            next = "write `return` before the estimator"
        raise DeclarationError(
            f"{name} built {given}, which has no {' and no '.join(lacking)}",
            where=place,
            known=f"a {task} needs {' and '.join(wanted)}",
            next=next,
        )


def _has(estimator: Any, verb: str) -> bool:
    """Say whether it has a method; of some, such as a stack, only the class has it until they are fitted."""
    return callable(getattr(estimator, verb, None)) or callable(getattr(type(estimator), verb, None))


def _word(task: str) -> str:
    return "Regressor" if task == "regression" else "Classifier"
