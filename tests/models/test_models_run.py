"""A design is built once, described, and read: its builder, its space, its rivals, and a new content when it changes."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import Ridge

from oito import settings
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock
from oito.eight import KINDS
from oito.errors import BadInput, DeclarationError, OitoError, StepFailed
from oito.flow.project import load
from oito.flow.site import Site
from oito.flow.space import Choice, Float
from oito.models import estimators, panels
from oito.models.design import Design
from oito.storage.files import Files

NOW = datetime(2024, 3, 1, tzinfo=UTC)

PROJECT = """
import oito
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

@oito.source()
def flights(since): raise RuntimeError("a design needs no data")

@oito.labels(entity="id", time="asked_at", known_at="arrived_at")
def late(flights): return flights

@oito.features(entity="carrier", time="arrived_at")
def record(flights): return flights

@oito.features(on_request=True)
def calendar(request): return request

@oito.model(labels=late, features=[record, calendar], exclude=["tail"], baselines=["linear", "dummy"])
def lateness(*, strength: float = oito.Float(0.01, 10, log=True), fit: bool = oito.Choice([True, False]), rounds=200):
    BODY
"""
BODY = "return make_pipeline(StandardScaler(), LogisticRegression(C=strength, fit_intercept=fit, max_iter=rounds))"


def _site(root: Path, body: str = BODY, project: str = PROJECT) -> Site:
    (root / "project.py").write_text(project.replace("BODY", body))
    sys.modules.pop("project", None)
    given = settings.load(root)
    home = given.home_folder
    return Site(
        load(root, ["project.py"], KINDS), Catalog(home, VirtualClock(NOW), who="ann"), Files(home / "files"), given,
        "dev", root,
    )  # fmt: skip


def _design(root: Path, body: str = BODY, project: str = PROJECT) -> Design:
    site = _site(root, body, project)
    return Design(site, site.project.asset("lateness"), {})


def test_a_design_is_described_without_any_data(tmp_path: Path) -> None:
    site = _site(tmp_path)
    asset = site.project.asset("lateness")
    from oito.flow.site import Context
    from oito.models import run

    made = run.make(Context(site, asset, {}, definition="d"))
    record = json.loads(json.dumps(made.record))
    assert made.content == "d"
    assert (record["labels"], record["features"], record["on_request"]) == ("late", ["record"], ["calendar"])
    assert (record["task"], record["request"], record["exclude"]) == ("classification", None, ["tail"])
    assert record["baselines"] == ["dummy", "linear"]
    assert record["space"]["strength"] == Float(0.01, 10, log=True).data()
    assert record["space"]["fit"] == Choice([True, False]).data()
    assert record["space"]["rounds"] == {"kind": "fixed", "value": 200}
    steps = record["estimator"]["params"]["steps"]
    assert record["estimator"]["class"] == "sklearn.pipeline.Pipeline"
    assert steps[1][1]["params"]["C"] == pytest.approx(0.31622776)
    assert "0x" not in json.dumps(record)


def test_params_build_a_new_estimator_each_time(tmp_path: Path) -> None:
    design = _design(tmp_path)
    first, second = design.build({"strength": 2.0}), design.build({"strength": 2.0})
    assert first is not second and first[-1].C == 2.0 and first[-1].max_iter == 200
    with pytest.raises(BadInput) as caught:
        design.build({"strenght": 2.0})
    assert caught.value.what == "lateness has no parameter 'strenght'"
    assert caught.value.next == "did you mean 'strength'?"


def test_an_estimator_that_predicts_only_once_it_is_fitted_is_one() -> None:
    stack = StackingRegressor([("line", Ridge())])
    assert not hasattr(stack, "predict")
    estimators.check(stack, task="regression", name="stacked", place="project.py:1")


def test_the_rivals_are_those_declared_weakest_first(tmp_path: Path) -> None:
    rivals = _design(tmp_path).baselines()
    assert list(rivals) == ["dummy", "linear"]
    assert hasattr(rivals["linear"](3), "predict_proba")


def test_a_seed_option_is_filled_and_never_searched(tmp_path: Path) -> None:
    project = PROJECT.replace("rounds=200", "seed, rounds=200").replace("max_iter=rounds", "random_state=seed")
    design = _design(tmp_path, BODY.replace("max_iter=rounds", "random_state=seed"), project)
    assert "seed" not in design.space
    assert design.build()[-1].random_state == design.build()[-1].random_state > 0


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("StandardScaler()", "lateness built builtins.NoneType, which has no fit and no predict_proba"),
        (
            "return StandardScaler()",
            "lateness built sklearn.preprocessing._data.StandardScaler, which has no predict_proba",
        ),
    ],
)
def test_what_cannot_be_fitted_and_asked_is_no_design(tmp_path: Path, body: str, what: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        _design(tmp_path, body).build()
    assert caught.value.what == what
    assert caught.value.where.startswith("project.py:") and caught.value.known and caught.value.next


def test_an_error_of_the_function_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(StepFailed) as caught:
        _design(tmp_path, "return 1 / 0").build()
    assert caught.value.what == "lateness raised ZeroDivisionError: division by zero"
    assert caught.value.where == "project.py:21, in lateness"


def test_without_versions_a_frame_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(OitoError) as caught:
        _design(tmp_path).frame()
    assert caught.value.what == "lateness has no data to learn from: late, record, calendar were never made"
    assert caught.value.next == "oito run late record calendar"


def test_the_card_shows_graph_space_and_parameters(tmp_path: Path) -> None:
    from oito.flow.site import Context
    from oito.models import run

    site = _site(tmp_path)
    made = run.make(Context(site, site.project.asset("lateness"), {}, definition="d"))
    version = Version(
        1, "lateness", 1, "model", "ok", "f", "d", "c", "", "dev", "r", 0.0, None, 0, made.record, {}, {}, {}
    )
    facts, graph, space, params = panels.version_blocks(site, version)
    assert ("must beat", "dummy, linear") in facts.pairs  # type: ignore[union-attr]  # facts
    assert [node.id for node in graph.nodes] == ["late", "record", "calendar", "lateness"]  # type: ignore[union-attr]  # a graph
    assert [row[0] for row in space.rows] == ["strength", "fit", "rounds"]  # type: ignore[union-attr]  # a table
    assert ("steps.logisticregression.max_iter", 200) in [tuple(row) for row in params.rows]  # type: ignore[union-attr]  # a table
