"""What is promised of predictions of the past: they replay bit-equal, and explain themselves down to source rows and the truth."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.endpoints import actions, journal, panels, predictions
from oito.endpoints.explain import background_rows, contributions
from oito.endpoints.loading import journal_folder, loaded, signature_of
from oito.errors import BadInput, BadRequest, DataError, UnknownPrediction
from oito.show import Chart, Facts, Table
from oito.workspace import Workspace

KEYS = {"ride_id": 700, "asked_at": "2026-01-26T12:00:00Z", "driver": "D03", "zone": "hills", "distance": 7.5}


def ask(house: Any, row: dict[str, Any]) -> str:
    status, answer = house.service.call("/predict", row)
    assert status == 200, answer
    return str(answer["prediction_id"])


@given(
    weights=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    row=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    seed=st.integers(0, 2**128 - 1),
)
@settings(max_examples=50)
def test_contributions_add_up_to_the_answer_less_the_mean_of_the_background(
    weights: list[float], row: list[float], seed: int
) -> None:
    def score(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        mixed = X @ np.array(weights) + X[:, 0] * X[:, 1] - np.sin(X[:, 2])
        return np.column_stack([mixed, np.tanh(mixed)])

    background = np.random.default_rng(8).normal(size=(17, 3))
    found = contributions(score, np.array(row), background, seed=seed)
    expected = score(np.array([row]))[0] - score(background).mean(axis=0)
    np.testing.assert_allclose(found.values.sum(axis=0), expected, rtol=0, atol=1e-10)


def test_contributions_are_shapley_values() -> None:
    """Against the definition: the mean over every order of the columns, for a function of products."""

    def score(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.column_stack([X[:, 0] * X[:, 1] + 2 * X[:, 2]])

    found = contributions(score, np.array([3.0, 5.0, 1.0, 9.0]), np.zeros((400, 4)), seed=1)
    np.testing.assert_allclose(found.values[:, 0], [7.5, 7.5, 2.0, 0.0], atol=1e-9)
    again = contributions(score, np.array([3.0, 5.0, 1.0, 9.0]), np.zeros((400, 4)), seed=1)
    assert again.values.tobytes() == found.values.tobytes()


def test_a_background_is_spread_over_the_rows_and_bounded() -> None:
    rows = np.arange(1000.0)[:, np.newaxis]
    assert background_rows(rows, columns=1)[[0, -1], 0].tolist() == [0.0, 999.0]
    assert len(background_rows(rows, columns=1)) == 100
    assert len(background_rows(rows[:3], columns=1)) == 3
    assert len(background_rows(rows, columns=1000)) == 3


def test_a_prediction_replays_bit_equal(house: Any) -> None:
    name = ask(house, KEYS)
    page = actions.replay(house.workspace.site, name)
    assert page.data["bit_equal"] is True
    assert page.data["again"] == page.data["answered"] == page.data["in_a_batch"]
    elsewhere = Workspace(house.workspace.root)
    assert actions.replay(elsewhere.site, name).data["environment"] == "production"
    elsewhere.close()


def test_the_newest_replay_alone_and_in_batches(house: Any) -> None:
    house.service.call("/predict", {"rows": [{**KEYS, "distance": n / 7} for n in range(150)]})
    page = actions.replay(house.workspace.site, all=100)
    assert (page.data["replayed"], page.data["bit_equal"], page.data["differ"]) == (100, 100, [])


def test_replay_needs_one_thing_and_a_known_prediction(house: Any) -> None:
    site = house.workspace.site
    with pytest.raises(BadInput, match="replay needs one thing"):
        actions.replay(site)
    with pytest.raises(BadInput, match="it takes 1 to 100000"):
        actions.replay(site, all=-1)
    with pytest.raises(UnknownPrediction, match="journals: delay_risk in production"):
        actions.replay(site, "0" * 32)
    with pytest.raises(BadRequest, match="no prediction id"):
        actions.explain(site, "late")


def test_what_differs_is_said(rides: Path) -> None:
    """A journal whose outputs are other than what the model says is told apart, prediction by prediction."""
    workspace = Workspace(rides, environment="production")
    site, version = workspace.site, workspace.catalog.find("delay_risk", "production")
    features = np.array([[1.0, 7.5, 7.5, 12.0, 1.0], [0.0, 1.5, 2.5, 12.0, 0.0]])
    said = loaded(site, version).predict(features)[:, 1:] * 1.0
    said[1] = np.nextafter(said[1], 1)
    book = journal.Journal(journal_folder(site, "delay_risk"))
    about = journal.About("delay_risk", version.ref, "late_ride:v1", "champion", signature_of(version).names, ("late",))
    names = book.stream(about).append(features, said, [b"{}", b"{}"])
    book.close()
    page = actions.replay(site, all=5)
    assert (page.data["replayed"], page.data["bit_equal"]) == (2, 1)
    assert page.data["differ"][0]["prediction_id"] == names[1].hex()
    assert actions.replay(site, names[1].hex()).data["bit_equal"] is False
    workspace.close()


def test_an_explanation_leads_to_the_rows_a_prediction_came_from(house: Any) -> None:
    name = ask(house, KEYS)
    page = actions.explain(house.workspace.site, name)
    data = page.data
    assert data["bit_equal"] is True
    assert data["request"] == KEYS
    total = sum(each["late"] for each in data["contributions"])
    assert math.isclose(total, data["outputs"]["late"] - data["baseline"]["late"], abs_tol=1e-12)
    assert data["features"]["zone"] == "hills"
    assert data["features"]["is_long"] is True
    used = data["feature_rows"][0]
    assert (used["version"], used["count"]) == ("driver_record:v1", 1)
    assert used["rows"][0] == ["D03", data["as_of"]["driver_record"], data["features"]["driver_delay"]]
    question, behind = data["source_rows"]
    assert (question["version"], question["why"], question["count"]) == (
        "rides:v1",
        "ride_id=700, the question's key",
        1,
    )
    assert behind["why"].startswith("driver=D03, the key of driver_record, up to 2026-01-2")
    assert {row[1] for row in behind["rows"]} == {"D03"}
    assert len(behind["rows"]) == 20 < behind["count"]
    assert data["made_from"] == [
        "rides:v1", "calendar:v1", "clean_rides:v1", "driver_record:v1", "late:v1", "lateness:v1", "late_ride:v1",
        "delay_risk:v1",
    ]  # fmt: skip
    assert data["truth"] is None
    json.dumps(data, allow_nan=False)


def test_the_truth_comes_from_labels_by_entity_and_time_or_from_feedback(house: Any) -> None:
    site = house.workspace.site
    ride: dict[str, Any] = site.table(site.catalog.find("late", "production")).collect().row(700, named=True)
    labeled = ask(house, {**KEYS, "ride_id": ride["ride_id"], "asked_at": ride["asked_at"].isoformat()})
    truth = actions.explain(site, labeled).data["truth"]
    assert (truth["value"], truth["told_by"]) == (ride["late"], "late:v1")
    told = ask(house, {**KEYS, "ride_id": 9000})
    house.service.call("/feedback", {"prediction_id": told, "truth": True, "at": "2026-01-27T08:00:00Z"})
    truth = actions.explain(site, told).data["truth"]
    assert truth == {"value": True, "known_at": "2026-01-27T08:00:00.000000Z", "told_by": "feedback"}


def test_a_prediction_from_given_features_has_no_rows_to_lead_to(house: Any) -> None:
    name = ask(house, {"zone": "moon", "distance": None, "driver_delay": 3, "hour": 4, "is_long": True})
    data = actions.explain(house.workspace.site, name).data
    assert data["feature_rows"][0]["why"] == "not looked up: the caller gave the features"
    assert data["source_rows"] == []
    assert (data["features"]["zone"], data["features"]["distance"]) == (None, None)


def test_the_latest_predictions_are_listed_newest_first(house: Any) -> None:
    first, second = ask(house, KEYS), ask(house, KEYS)
    page = actions.latest(house.workspace.site, "delay_risk", limit=2)
    assert [each["prediction_id"] for each in page.data["predictions"]] == [second, first]
    table = page.blocks[0]
    assert isinstance(table, Table)
    assert table.rows[0][0].to == f"/predictions/{second}"  # type: ignore[union-attr]  # the first cell is a link


def test_the_page_shows_what_a_caller_must_know_and_what_was_answered(house: Any) -> None:
    ask(house, KEYS)
    site = house.workspace.site
    asset, version = site.project.asset("delay_risk"), site.catalog.find("delay_risk", "production")
    blocks = panels.asset_blocks(site, asset, version)
    titles = [getattr(block, "title", "") for block in blocks]
    assert titles[:5] == ["Takes and gives", "Ask it", "Proof of the compiled model", "Versions over time", "Traffic"]
    assert titles[-3:] == ["Answers: late", "From arrival to written down, ms", "Latest predictions in production"]
    fields = {row[0]: row[1:] for row in blocks[0].rows}  # type: ignore[union-attr]  # it is a table
    assert fields["ride_id"] == ["a whole number", "key"]
    assert fields["zone"] == ["a text: center, harbor, hills", "input"]
    assert fields["driver_delay"] == ["a number", "input, looked up when absent"]
    example = json.loads(str(blocks[1].text).split("-d '")[1][:-1])  # type: ignore[union-attr]  # it is a text
    assert house.service.call("/predict", example)[0] == 200
    assert any(isinstance(block, Chart) for block in blocks)
    assert isinstance(blocks[2], Facts)


def test_a_page_without_predictions_says_so(production: Workspace) -> None:
    site = production.site
    blocks = panels.asset_blocks(site, site.project.asset("delay_risk"), site.catalog.find("delay_risk", "production"))
    assert isinstance(blocks[-1], Table)
    assert (blocks[-1].rows, blocks[-1].empty) == ([], "nothing was asked yet")
    assert production["delay_risk"].read().height == 0
    assert "late" in production["delay_risk"].read().columns


def test_a_file_is_scored_with_the_bits_of_the_server(house: Any, production: Workspace) -> None:
    questions = [{**KEYS, "ride_id": 6000 + n, "distance": n / 3} for n in range(40)]
    online = [house.service.call("/predict", question)[1]["prediction"] for question in questions]
    site = production.site
    pl.DataFrame(questions).write_csv(production.root / "asked.csv")
    page = actions.score(site, "delay_risk", "asked.csv", out="scored.parquet")
    scored = pl.read_parquet(production.root / "scored.parquet")
    assert scored["late"].to_list() == online
    assert page.data["rows"] == 40
    assert scored["asked_at"][0] == datetime(2026, 1, 26, 12, tzinfo=UTC)
    with pytest.raises(DataError, match="has a column 'late' already"):
        actions.score(site, "delay_risk", "scored.parquet")
    for path in ("../asked.csv", "/etc/passwd", ".oito/x.csv", "asked.txt"):
        with pytest.raises(BadInput, match="cannot hold rows"):
            actions.score(site, "delay_risk", path)


def test_the_newest_blocks_are_read_from_the_end(tmp_path: Path) -> None:
    about = journal.About("e", "e:v1", "m:v1", "champion", ("x",), ("y",))
    book = journal.Journal(tmp_path, segment_bytes=2000)
    stream = book.stream(about)
    names = [name for n in range(60) for name in stream.append(np.full((2, 1), n), np.zeros((2, 1)), [b"{}", b"{}"])]
    book.close()
    assert len(list(tmp_path.iterdir())) > 3
    for count in (1, 2, 7, 119, 120, 500):
        found = [name for block in journal.newest(tmp_path, count) for name in block.ids]
        assert found == names[-(count + count % 2) :]
    assert journal.newest(tmp_path / "absent", 5) == []


def test_a_prediction_is_found_in_any_environment(rides: Path) -> None:
    workspace = Workspace(rides)
    site = workspace.site
    book = journal.Journal(journal_folder(site.within("feature/x"), "delay_risk"))
    names = book.stream(journal.About("delay_risk", "delay_risk:v1", "m:v1", "champion", ("x",), ("y",))).append(
        np.zeros((1, 1)), np.zeros((1, 1)), [b"{}"]
    )
    book.close()
    assert predictions.find(site, names[0].hex()).environment == "feature/x"
    workspace.close()
