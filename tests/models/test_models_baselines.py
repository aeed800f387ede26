"""The ladder fits and predicts on signature frames with every kind of gap, the same way each time."""

import math
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from oito.catalog.signature import Signature, infer
from oito.models.baselines import baselines

TASKS: tuple[Literal["classification", "regression"], ...] = ("classification", "regression")
RUNGS = ("dummy", "linear", "boosting")


def _rows(n: int, seed: int = 0) -> tuple[pl.DataFrame, pl.Series]:
    rng = np.random.default_rng(seed)
    x, city = rng.normal(size=n), rng.choice(["Faro", "Rio", "São Paulo"], n)
    y = x + (city == "Rio") * 2 + rng.normal(size=n) > 0.5
    frame = pl.DataFrame(
        {
            "x": [None if place % 7 == 0 else float(value) for place, value in enumerate(x)],
            "city": [None if place % 11 == 0 else str(value) for place, value in enumerate(city)],
            "flag": rng.integers(0, 2, n).astype(bool),
            "empty": pl.Series([None] * n, dtype=pl.Float64),
            "no_text": pl.Series([None] * n, dtype=pl.String),
            "same": np.ones(n),
        }
    )
    return frame, pl.Series("y", y)


def _truth(y: pl.Series, task: str) -> NDArray[Any]:
    values = y.cast(pl.Float64) * 3 + 1 if task == "regression" else y
    return values.to_numpy()


def _predict(model: Any, frame: pl.DataFrame, task: str) -> NDArray[np.float64]:
    out: NDArray[np.float64] = model.predict(frame) if task == "regression" else model.predict_proba(frame)
    return out


def _seen(sign: Signature, frame: pl.DataFrame) -> pl.DataFrame:
    return sign.frame(sign.matrix(frame))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_takes_missing_and_unknown_values(task: Literal["classification", "regression"], rung: str) -> None:
    frame, y = _rows(600)
    sign = infer(frame, y, task=task)
    model: Any = baselines(task)[rung](1)
    model.fit(_seen(sign, frame), _truth(y, task))
    strange = frame.head(3).with_columns(
        x=pl.Series([math.nan, None, 1e300]), city=pl.Series(["Oslo", None, "Rio"]), same=pl.Series([None, 0.0, 1.0])
    )
    assert np.isfinite(_predict(model, _seen(sign, strange), task)).all()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_category_the_training_part_never_held_is_no_error(
    task: Literal["classification", "regression"], rung: str
) -> None:
    frame, y = _rows(600)
    sign = infer(frame, y, task=task)  # knows every city; the rows that train hold only some
    whole = _seen(sign, frame)
    some = (pl.Series(whole["city"].cast(pl.String)) == "Rio").fill_null(False)
    model: Any = baselines(task)[rung](1)
    model.fit(whole.filter(~some), _truth(y.filter(~some), task))
    assert np.isfinite(_predict(model, whole, task)).all()


@pytest.mark.parametrize("task", TASKS)
def test_each_rung_is_better_than_nothing_and_the_same_each_time(task: Literal["classification", "regression"]) -> None:
    frame, y = _rows(2000)
    sign = infer(frame, y, task=task)
    train, test = _seen(sign, frame.head(1500)), _seen(sign, frame.tail(500))
    truth = _truth(y, task)
    errors = {}
    for name, make in baselines(task).items():
        first: Any = make(3)
        second: Any = make(3)
        out = _predict(first.fit(train, truth[:1500]), test, task)
        assert out.tobytes() == _predict(second.fit(train, truth[:1500]), test, task).tobytes()
        said = out if task == "regression" else out[:, 1]
        errors[name] = float(np.mean((said - truth[1500:]) ** 2))
    assert list(errors) == list(RUNGS)
    assert errors["linear"] < 0.8 * errors["dummy"]
    assert errors["boosting"] < 0.8 * errors["dummy"]


@pytest.mark.parametrize("rung", RUNGS)
def test_only_categories_or_only_numbers_are_enough(rung: str) -> None:
    frame, y = _rows(300)
    for names in (["city"], ["x", "flag"]):
        sign = infer(frame.select(names), y, task="classification")
        model: Any = baselines("classification")[rung](1)
        seen = _seen(sign, frame)
        assert _predict(model.fit(seen, y.to_numpy()), seen, "classification").shape == (300, 2)


def test_three_classes_have_three_probabilities() -> None:
    frame, _ = _rows(300)
    y = pl.Series("y", ["a", "b", "c"] * 100)
    sign = infer(frame, y, task="classification")
    for make in baselines("classification").values():
        model: Any = make(1)
        assert model.fit(_seen(sign, frame), y.to_numpy()).predict_proba(_seen(sign, frame)).shape == (300, 3)
