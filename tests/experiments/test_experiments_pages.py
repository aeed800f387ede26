"""The pages of experiments hold what a person must see, and can be drawn and sent as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import pytest

from oito.errors import BadInput
from oito.experiments import actions
from oito.experiments.panels import asset_blocks, version_blocks
from oito.flow import runner
from oito.flow.action import actions_of
from oito.flow.releases import release
from oito.flow.site import Site
from oito.show import Block, Chart, Facts, Form, Page, Table, Text
from oito.web.render import fragment

Open = Callable[..., Site]
B = TypeVar("B", bound=Table | Chart | Facts)
HOURS = """
    @oito.labels(entity="parcel", time="sent_at", known_at="arrived_at", label="hours")
    def how_long(sendings):
        return sendings.select("parcel", "sent_at", "arrived_at", "weight", "city", "hours")

    @oito.model(labels=how_long, task="regression", baselines=["dummy"])
    def duration():
        return Ridge()

    @oito.experiment(model=duration)
    def hours_needed(estimator, train):
        return make_pipeline(SimpleImputer(), estimator).fit(train.X.select("weight").to_numpy(), train.y)
    """


def version_of(site: Site, name: str = "late_parcel") -> list[Block]:
    runner.run(site, [name]).raise_first()
    return version_blocks(site, site.catalog.find(name, "dev"))


def titled(blocks: list[Block], title: str, kind: type[B]) -> B:
    return next(each for each in blocks if isinstance(each, kind) and each.title.startswith(title))


def test_a_version_shows_figures_rivals_weak_spots_search_and_data(opened: Open) -> None:
    site = opened({'metric="roc_auc")': 'gate=[oito.at_least("roc_auc", 0.7)])'})
    blocks = version_of(site)
    headline = titled(blocks, "On 300 rows", Table)
    assert [len(row) for row in headline.rows] == [4] * 7
    rivals = titled(blocks, "Rivals by roc_auc", Table)
    assert [row[0] for row in rivals.rows] == ["baseline dummy", "baseline linear"]
    assert titled(blocks, "Gates, asked now", Table).rows[0][0] == "roc_auc at least 0.7"
    charts = [each.title.split(":")[0] for each in blocks if isinstance(each, Chart)]
    assert charts == ["ROC", "Precision and recall", "Calibration", "Scores by true class", "Cost by threshold",
                      "Importance", "Search"]  # fmt: skip
    spots = titled(blocks, "Weak spots", Table)
    figures = [row[3] for row in spots.rows if row[7] is None and row[6] is not None]
    assert figures == sorted(figures, key=lambda value: float(str(value)))
    assert [row[0] for row in titled(blocks, "Trials", Table).rows] == [1, 2, 3, 4]
    assert [row[2] for row in titled(blocks, "Views", Table).rows] == [0]
    assert ("left out, truth too late", 18) in titled(blocks, "Split and frame", Facts).pairs
    assert titled(blocks, "Environment", Facts).pairs[0][0] == "python"


def test_a_regression_shows_its_residuals(opened: Open) -> None:
    more = HOURS.replace("make_pipeline(SimpleImputer(), estimator)", "estimator").replace(
        'train.X.select("weight").to_numpy()', 'train.X.select("weight")'
    )
    site = opened(more=more.replace("@oito.model(labels=how_long,", '@oito.model(labels=how_long, request=["weight"],'))
    blocks = version_of(site, "hours_needed")
    titles = [each.title for each in blocks if isinstance(each, Chart)]
    assert titles[:3] == ["Truth by prediction", "Residuals: median, and 8 of 10", "Residuals"]
    assert fragment(Page("page", blocks, {}))


def test_a_parameter_at_the_edge_of_its_range_is_a_warning(opened: Open) -> None:
    site = opened({"oito.Int(4, 16)": "oito.Int(10, 400, default=10)", "trials=4": "trials=1"})
    texts = [each.text for each in version_of(site) if isinstance(each, Text)]
    assert texts == ["at the edge of the space: leaves=10. A wider range may be better."]


def test_an_experiment_shows_its_metric_by_version_and_where_each_stands(opened: Open) -> None:
    runner.run(site := opened()).raise_first()
    release.release(site, "production")
    site = opened({"trials=4": "trials=2"})
    runner.run(site, ["late_parcel"]).raise_first()
    blocks = asset_blocks(site, site.project.asset("late_parcel"), site.catalog.find("late_parcel", "dev"))
    stands = titled(blocks, "Where it stands", Table)
    assert [str(getattr(row[1], "text", "")) for row in stands.rows] == ["late_parcel:v2", "late_parcel:v1"]
    chart = titled(blocks, "roc_auc by version", Chart)
    assert list(chart.series[0].x) == ["v1", "v2"] and chart.series[0].low is not None
    assert [each.action for each in blocks if isinstance(each, Form)] == ["retrain"]
    assert asset_blocks(site, site.project.asset("late_parcel"), None) == []


def test_trials_can_be_listed(opened: Open) -> None:
    runner.run(site := opened(), ["late_parcel"]).raise_first()
    page = actions.trials(site, "late_parcel")
    assert page.title == "Trials of late_parcel:v1" and len(page.data["trials"]) == 4
    json.dumps(page.data, allow_nan=False)
    with pytest.raises(BadInput, match="late:v1 is of the kind labels"):
        actions.trials(site, "late")


def test_two_versions_are_compared_on_the_same_rows(opened: Open) -> None:
    runner.run(opened({"max_iter=10": "max_iter=1"}), ["late_parcel"]).raise_first()
    runner.run(site := opened({"trials=4": "trials=2"}), ["late_parcel"]).raise_first()
    page = actions.compare(site, "late_parcel:v1", "late_parcel:v2")
    found = page.data["comparison"]
    assert found["n"] == 300 and found["challenger"] > found["champion"]
    assert page.data["rows"] == "the 300 test rows of late_parcel:v2"
    scores = {each["metric"]: each for each in page.data["scores"]}
    assert scores["roc_auc"]["second"] == found["challenger"]
    json.dumps(page.data, allow_nan=False)
    assert fragment(page)


def test_versions_that_cannot_answer_the_same_rows_are_shown_by_their_own(opened: Open) -> None:
    runner.run(opened(), ["late_parcel"]).raise_first()
    runner.run(site := opened({'exclude=["van"]': 'exclude=["van", "city"]'}), ["late_parcel"]).raise_first()
    page = actions.compare(site, "late_parcel:v1", "late_parcel:v2")
    assert page.title == "late_parcel:v2 against late_parcel:v1: not comparable"
    assert page.data["comparison"] is None and "the column 'city' is missing" in page.data["notes"][0]
    assert {"what": "column city", "before": "an input", "after": "absent"} in page.data["changes"]
    assert page.data["scores"][0]["first"] != page.data["scores"][0]["second"]


def test_the_actions_explain_themselves() -> None:
    assert [each.name for each in actions_of(actions)] == ["experiments trials", "experiments compare"]
    for each in actions_of(actions):
        assert each.summary and all(field.help for field in each.fields) and not each.writes
