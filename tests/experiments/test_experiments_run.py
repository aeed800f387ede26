"""A small real project is trained: what is recorded, what repeats, and what is said when it cannot be."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from oito.catalog import versions
from oito.catalog.records import Version
from oito.errors import BadInput, CorruptFile, DataError, OitoError, StepFailed, StepTimeout
from oito.flow import commits, runner
from oito.flow.site import Site

Open = Callable[..., Site]
CHILD = """
import json, sys
from oito.workspace import Workspace
space = Workspace(sys.argv[1], now="2024-04-01")
space.run()
version = space.catalog.find("late_parcel", "dev")
print(json.dumps([version.content, version.files, version.record["report"], version.record["importance"]]))
"""
HOURS = """
        @oito.labels(entity="parcel", time="sent_at", known_at="arrived_at", label="hours")
        def how_long(sendings):
            return sendings.select("parcel", "sent_at", "arrived_at", "weight", "city", "van", "hours")

        @oito.model(labels=how_long, features=[van_record], task="regression", exclude=["van"])
        def duration(*, leaves: int = oito.Int(4, 16)):
            return HistGradientBoostingRegressor(max_leaf_nodes=leaves, max_iter=10, categorical_features="from_dtype")

        hours_needed = oito.experiment(model=duration, trials=2, split=oito.by_share(), gate=[oito.at_least("rmse", 13)])
        """
WHICH = """
        @oito.labels(entity="parcel", time="sent_at", known_at="arrived_at", label="speed")
        def speed(sendings):
            speed = pl.when(pl.col("hours") < 8).then(pl.lit("fast")).when(pl.col("hours") < 15).then(pl.lit("fair"))
            return sendings.select("parcel", "sent_at", "arrived_at", "weight", "city", speed=speed.otherwise(pl.lit("slow")))

        @oito.model(labels=speed, baselines=["dummy"])
        def which():
            return HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype")

        which_speed = oito.experiment(model=which, metric="log_loss", split=oito.by_share(valid=0.2, test=0.3))
        """


def trained(site: Site, name: str = "late_parcel") -> Version:
    runner.run(site, [name]).raise_first()
    return site.catalog.find(name, site.environment)


def refused(site: Site, name: str = "late_parcel") -> Exception:
    return runner.run(site, [name]).errors[name]


def test_a_training_keeps_its_model_its_test_rows_and_why_to_trust_it(opened: Open) -> None:
    site = opened()
    version = trained(site)
    record = version.record
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["entity"] == ["parcel"] and record["time"] == "sent_at" and record["label"] == "late"
    assert record["features"] == ["van_record"] and record["on_request"] == [] and record["model"] == "lateness"
    assert record["request_fields"] == ["parcel", "sent_at", "weight", "city", "van"]
    assert [column["name"] for column in record["signature"]["columns"]] == ["weight", "city", "van_hours"]
    assert record["learned_until"] < record["test_from"] <= record["test_until"] <= record["cut_off"]
    assert len(record["trials"]) == 4 and set(record["report"]["baselines"]) == {"dummy", "linear"}
    assert record["report"]["classes"] == {"False": 190, "True": 110} and record["notes"] == []
    assert versions.metrics(site.catalog.rows, version.id)["roc_auc"] > 0.8
    assert not list((site.home / "trials").iterdir())


def test_the_stored_test_rows_give_the_stored_answers(opened: Open) -> None:
    site = opened()
    version = trained(site)
    rows = site.table(version, "test", as_type=pl.DataFrame)
    assert rows.columns == ["parcel", "time", "truth", "said", "x_weight", "x_city", "x_van_hours"]
    model = site.read(version)
    seen = rows.select(pl.col("^x_.*$").name.map(lambda name: name.removeprefix("x_")))
    assert np.array_equal(model.predict(seen)[:, 1], rows["said"].to_numpy())
    assert model.predict(seen.head(1).to_dicts())[0, 1] == rows["said"][0]
    assert repr(model) == "<late_parcel:v1: HistGradientBoostingClassifier, 3 columns>"


def test_two_processes_make_the_same_bits(opened: Open) -> None:
    told = []
    for folder in ("here", "there"):
        root = opened(folder=folder).root
        command = [sys.executable, "-c", CHILD, str(root)]
        told.append(json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout))
    assert told[0] == told[1]


def test_another_seed_makes_another_model(opened: Open) -> None:
    contents = {trained(opened(folder=f"seed{seed}", seed=seed)).content for seed in (0, 1)}
    assert len(contents) == 2


def test_a_regression_is_judged_by_its_own_figures(opened: Open) -> None:
    site = opened(more=HOURS)
    version = trained(site, "hours_needed")
    metrics = versions.metrics(site.catalog.rows, version.id)
    assert metrics["rmse"] < 20 and metrics["r2"] > 0.2 and "roc_auc" not in metrics
    assert version.record["metric"] == "rmse" and not version.record["greater_is_better"]
    assert version.record["split"]["test"] == pytest.approx(version.record["frame"]["rows"] * 0.2, abs=1)
    gate = commits.gates(site, version)[0]
    assert gate.name == "rmse at most 13" and gate.passed == (metrics["rmse"] <= 13)
    assert site.read(version).predict([{"weight": 4.0, "city": "Rio", "van_hours": None}]).shape == (1,)


def test_more_than_two_classes_have_a_probability_each(opened: Open) -> None:
    site = opened(more=WHICH)
    version = trained(site, "which_speed")
    assert version.record["signature"]["classes"] == ["fair", "fast", "slow"]
    assert list(version.record["report"]["classes"]) == ["fair", "fast", "slow"]
    assert len(version.record["trials"]) == 1  # there is nothing to search
    rows = site.table(version, "test", as_type=pl.DataFrame)
    assert np.allclose(rows.select("said_0", "said_1", "said_2").sum_horizontal(), 1.0)


def test_the_user_says_how_to_fit_and_valid_stays_apart_when_it_is_used(opened: Open) -> None:
    fit = """
        @oito.experiment(model=lateness, trials=2, split=oito.by_time(valid="10d", test="15d"))
        def own(estimator, train, valid):
            estimator.fit(train.X, train.y)
            estimator.seen_ = (len(train.y), len(valid.y))
            return estimator
        """
    site = opened(more=fit)
    version = trained(site, "own")
    split = version.record["split"]
    assert site.read(version).estimator.seen_ == (split["train"], split["valid"])
    for parameters in ("train, valid)", "train)"):
        plain = opened(more=fit.replace("train, valid)", parameters).replace("len(valid.y)", "0"))
        version = trained(plain, "own")
        assert plain.read(version).estimator.seen_ == (split["train"] + split["valid"], 0)


def test_what_one_trial_does_to_its_rows_no_other_sees(opened: Open) -> None:
    more = """
        @oito.experiment(model=lateness, trials=3, split=oito.by_time(valid="10d", test="15d"))
        def own(estimator, train):
            assert train.X["weight"].max() < 100
            train.X[0, "weight"] = 1000.0
            return estimator.fit(train.X, train.y)
        """
    assert len(trained(opened(more=more), "own").record["trials"]) == 3
    error = refused(opened(more=more.replace('train.X[0, "weight"]', "train.y[0]"), folder="second"), "own")
    assert isinstance(error, OitoError)
    assert error.what == "own raised ValueError: assignment destination is read-only"


def test_a_fit_that_returns_nothing_is_told_so(opened: Open) -> None:
    more = """
        @oito.experiment(model=lateness, split=oito.by_time(valid="10d", test="15d"))
        def own(estimator, train):
            estimator.fit(train.X, train.y)
        """
    error = refused(opened(more=more), "own")
    assert isinstance(error, StepFailed)
    assert "the fit returned NoneType, which does not predict" in str(error)
    assert "end the function with: return estimator.fit(...)" in str(error)


def test_a_classifier_without_probabilities_says_one_for_its_class(opened: Open) -> None:
    more = """
        from sklearn.linear_model import RidgeClassifier

        @oito.model(labels=late, request=["weight"], baselines=[])
        def plain():
            return RidgeClassifier()

        said = oito.experiment(model=plain, metric="accuracy", split=oito.by_time(valid="10d", test="15d"))
        """
    site = opened(more=more)
    rows = site.table(trained(site, "said"), "test", as_type=pl.DataFrame)
    assert set(rows["said"].unique()) <= {0.0, 1.0}


def test_one_class_only_is_a_clear_error(opened: Open) -> None:
    error = refused(opened({'pl.col("hours") > 12': 'pl.col("hours") > 1e9'}))
    assert isinstance(error, DataError)
    assert "the labels have one class only: False" in str(error) and "in all 1844 rows" in str(error)


def test_one_class_among_the_rows_that_choose_is_a_clear_error(opened: Open) -> None:
    late = 'pl.col("hours") > 12) & (pl.col("sent_at") < datetime(2024, 3, 1, tzinfo=timezone.utc))'
    error = refused(opened({'late=pl.col("hours") > 12)': f"late=({late})"}))
    assert isinstance(error, DataError)
    assert "roc_auc does not exist on the 194 rows that choose" in str(error) and "their labels are False" in str(error)


def test_an_empty_part_of_the_split_is_a_clear_error(opened: Open) -> None:
    error = refused(opened({'test="15d"': 'test="400d"'}))
    assert isinstance(error, DataError) and "the train part of the split is empty" in str(error)


def test_a_gate_on_a_metric_of_another_task_is_refused_before_training(opened: Open) -> None:
    error = refused(opened({'metric="roc_auc")': 'gate=[oito.at_least("rmse", 3)])'}))
    assert isinstance(error, BadInput) and "rmse is not for classification" in str(error)


def test_an_estimator_that_raises_is_named_with_its_line(opened: Open) -> None:
    site = opened({"max_iter=10": "max_iter=-1"})
    error = refused(site)
    assert isinstance(error, StepFailed)
    assert "late_parcel raised InvalidParameterError: The 'max_iter' parameter" in str(error)
    assert "where    project.py:" in str(error)
    assert not versions.listed(site.catalog.rows, "late_parcel")


def test_a_fit_that_raises_is_named_with_its_line(opened: Open) -> None:
    more = """
        @oito.experiment(model=lateness, split=oito.by_time(valid="10d", test="15d"))
        def own(estimator, train):
            return estimator.fit(train.X, train.z)
        """
    site = opened(more=more)
    text = (site.root / "project.py").read_text()
    line = text[: text.index("train.z")].count("\n") + 1
    error = refused(site, "own")
    assert f"project.py:{line}, in own" in str(error) and "has no attribute 'z'" in str(error)


def test_values_that_do_not_work_fail_their_trial_and_not_the_search(opened: Open) -> None:
    site = opened({"max_leaf_nodes=leaves, max_iter=10": "max_leaf_nodes=leaves if leaves == 10 else -1, max_iter=15"})
    trials = trained(site).record["trials"]
    assert trials[0]["state"] == "ok" and {each["state"] for each in trials} == {"ok", "failed"}
    assert any("max_leaf_nodes" in each["error"] for each in trials)


def test_a_timeout_ends_the_search_and_not_only_a_trial(opened: Open) -> None:
    more = """
        import time

        @oito.experiment(model=lateness, split=oito.by_time(valid="10d", test="15d"), timeout="500ms")
        def slow(estimator, train):
            time.sleep(30)
            return estimator.fit(train.X, train.y)
        """
    assert isinstance(refused(opened(more=more), "slow"), StepTimeout)


def test_a_flipped_byte_in_a_model_file_is_seen_when_it_is_read(opened: Open) -> None:
    site = opened()
    version = trained(site)
    path = site.files.path(version.files["arrays.bin"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="does not have the bytes it was written with"):
        site.read(version)


def test_a_group_stays_on_one_side(opened: Open) -> None:
    site = opened(
        {'split=oito.by_time(valid="10d", test="15d")': 'split=oito.by_share(valid=0.2, test=0.2, group="parcel")'}
    )
    assert trained(site).record["split"]["test"] > 300
    error = refused(opened({'split=oito.by_time(valid="10d", test="15d")': 'split=oito.by_share(group="vam")'}))
    assert "late_parcel splits by the group 'vam', which is no column" in str(error)


def test_only_what_a_call_needs_is_asked_of_it(opened: Open) -> None:
    site = opened({"features=[van_record], ": ""})
    assert trained(site).record["request_fields"] == ["parcel", "sent_at", "weight", "city"]
    more = """
        @oito.features(on_request=True)
        def heavy(request):
            return request.select(heavy=pl.col("weight") > 6)
        """
    text = {
        "features=[van_record], ": "features=[heavy], ",
        "@oito.model(labels=late": more.replace("        ", "")[1:] + "\n\n@oito.model(labels=late",
    }
    record = trained(opened(text, folder="asked")).record
    assert record["on_request"] == ["heavy"] and record["request_fields"] == [
        "parcel",
        "sent_at",
        "weight",
        "city",
        "van",
    ]


def test_numbers_that_do_not_exist_are_null_in_the_record(opened: Open) -> None:
    late = 'pl.col("hours") > 12) & (pl.col("sent_at") < datetime(2024, 3, 14, tzinfo=timezone.utc))'
    version = trained(opened({'late=pl.col("hours") > 12)': f"late=({late})"}))
    headline: dict[str, Any] = version.record["report"]["headline"]
    assert headline["roc_auc"]["value"] is None and math.isfinite(headline["log_loss"]["value"])
    assert version.record["notes"][0] == "the class True does not occur in these rows"
