"""LightGBM and XGBoost, their estimators and their native boosters: trained with categories, kept, asked and made again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from oito.catalog.signature import Column, Signature
from oito.errors import BadInput
from oito.experiments import boosters
from oito.experiments.model_files import dump, load
from oito.experiments.trained import opened as open_model
from oito.experiments.trained import predicted
from oito.flow import runner
from oito.flow.remaking.reproduction import reproduce
from oito.flow.site import Site

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

Open = Callable[..., Site]
DESIGNS = """
    from lightgbm import LGBMClassifier, LGBMRegressor
    from xgboost import XGBClassifier

    split = oito.by_time(valid="10d", test="15d")

    @oito.model(labels=late, features=[van_record], exclude=["van"], baselines=["dummy"])
    def light(*, leaves: int = oito.Int(4, 16)):
        return LGBMClassifier(n_estimators=8, num_leaves=leaves, subsample=0.5, subsample_freq=1, verbose=-1)

    light_parcel = oito.experiment(model=light, trials=2, split=split)

    @oito.model(labels=late, features=[van_record], exclude=["van"], baselines=["dummy"])
    def extreme(*, depth: int = oito.Int(2, 4)):
        return XGBClassifier(n_estimators=8, max_depth=depth, subsample=0.5)

    extreme_parcel = oito.experiment(model=extreme, trials=2, split=split)

    @oito.experiment(model=light, trials=1, split=split)
    def light_native(estimator, train, valid):
        import lightgbm

        kept = {"objective": "binary", "verbose": -1, "seed": 7, "deterministic": True, "force_row_wise": True}
        return lightgbm.train(kept, lightgbm.Dataset(train.X.to_numpy(), train.y), 8)

    @oito.experiment(model=extreme, trials=1, split=split)
    def extreme_native(estimator, train, valid):
        import xgboost

        rows = xgboost.DMatrix(train.X, train.y, enable_categorical=True)
        return xgboost.train({"objective": "binary:logistic", "seed": 7}, rows, 8)
    """
NAMES = {
    "light_parcel": "LGBMClassifier",
    "extreme_parcel": "XGBClassifier",
    "light_native": "lightgbm.Booster",
    "extreme_native": "xgboost.Booster",
}


def test_boosters_learn_categories_and_are_made_again_bit_by_bit(opened: Open) -> None:
    site = opened(more=DESIGNS)
    runner.run(site, list(NAMES)).raise_first()
    for name, word in NAMES.items():
        version = site.catalog.find(name, "dev")
        assert version.record["estimator"] == word
        assert version.record["report"]["headline"]["roc_auc"]["value"] > 0.6
        model, again = open_model(site, version), open_model(site, version)
        oslo, rio, absent, unknown = (
            model.predict([{"weight": weight, "van_hours": 12.0, "city": city} for weight in np.linspace(2, 8, 25)])
            for city in ("Oslo", "Rio", None, "never seen")
        )
        assert oslo.shape == (25, 2) and np.allclose(oslo.sum(axis=1), 1)
        assert oslo[:, 1].mean() > rio[:, 1].mean(), "parcels to Oslo are late more often"
        assert (absent == unknown).all()
        assert dump(again.estimator) == dict(model.files)
        found = reproduce(site, version)
        assert (found.verdict, found.differences) == ("bit-equal", ()), name


_FIT = """
import hashlib, warnings
import numpy as np, lightgbm, xgboost
from oito.experiments import boosters
from oito.experiments.model_files import dump
draw = np.random.default_rng(1)
X = draw.random((3000, 6)); y = (X[:, 0] + draw.random(3000) > 1).astype(float)
hashed = hashlib.sha256()
for model in (
    lightgbm.LGBMClassifier(n_estimators=5, subsample=0.5, subsample_freq=1, random_state=0, verbose=-1),
    lightgbm.LGBMRegressor(n_estimators=5, colsample_bytree=0.5, random_state=0, verbose=-1),
    xgboost.XGBClassifier(n_estimators=5, subsample=0.5, random_state=0),
    xgboost.XGBRegressor(n_estimators=5, colsample_bytree=0.5, random_state=0),
    xgboost.XGBRFClassifier(n_estimators=5, random_state=0),
):
    boosters.prepare(model, __import__("polars").DataFrame())
    for data in dump(model.fit(X, y)).values():
        hashed.update(data)
print(hashed.hexdigest())
"""


def test_other_threads_and_another_order_of_sets_give_the_same_bytes() -> None:
    digests = set()
    for number in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": number}
        ran = subprocess.run([sys.executable, "-c", _FIT], env=env, capture_output=True, check=True, text=True)
        digests.add(ran.stdout)
    assert len(digests) == 1


def test_how_many_threads_lightgbm_had_is_not_written() -> None:
    draw = np.random.default_rng(2)
    X, y = draw.random((200, 3)), draw.random(200)
    kept = {"verbose": -1, "deterministic": True, "force_row_wise": True}
    one, two = (lightgbm.train({**kept, "num_threads": n}, lightgbm.Dataset(X, y), 3) for n in (1, 2))
    assert dump(one) == dump(two)


def test_what_the_author_decided_about_sums_is_left_alone() -> None:
    decided = lightgbm.LGBMRegressor(force_col_wise=True)
    boosters.prepare(decided, pl.DataFrame())
    assert "deterministic" not in decided.get_params()


def test_three_classes_and_numbers_are_answered_by_native_boosters() -> None:
    draw = np.random.default_rng(3)
    X = draw.random((300, 2))
    columns = (Column("a", "number"), Column("b", "number"))
    three = Signature(columns, "classification", "y", ("p", "q", "r"))
    y = np.floor(X[:, 0] * 3)
    kept = {"num_class": 3, "seed": 0, "verbosity": 0}
    for booster in (
        lightgbm.train({**kept, "objective": "multiclass", "verbosity": -1}, lightgbm.Dataset(X, y), 5),
        xgboost.train({**kept, "objective": "multi:softprob"}, xgboost.DMatrix(X, y), 5),
    ):
        model = boosters.finished(booster, three.frame(X), classes=3)
        said = predicted(load(dump(model)), three, X)
        assert said.shape == (300, 3) and (said == predicted(model, three, X)).all()
        assert (model.predict(three.frame(X)) == y).mean() > 0.9
    value = Signature(columns, "regression", "y")
    line = boosters.finished(xgboost.train({"seed": 0}, xgboost.DMatrix(X, X[:, 0]), 20), value.frame(X), classes=0)
    assert np.abs(predicted(load(dump(line)), value, X) - X[:, 0]).max() < 0.2


def test_a_booster_that_gives_no_shares_is_refused_with_the_way_out() -> None:
    draw = np.random.default_rng(4)
    X = draw.random((100, 2))
    y = (X[:, 0] > 0.5).astype(float)
    booster = xgboost.train({"objective": "binary:logitraw"}, xgboost.DMatrix(X, y), 3)
    model = boosters.Boosted(booster, 2)
    with pytest.raises(BadInput, match="the booster's answers are no probabilities") as error:
        model.predict_proba(pl.DataFrame(X, schema=["a", "b"]))
    assert 'objective "binary" or "multiclass" (LightGBM)' in str(error.value)
