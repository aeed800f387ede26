"""A whole loop: served, told the truth, watched, retrained; and faults and silence that are told within a window."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from oito.errors import BadInput, DataError
from oito.flow.action import actions_of
from oito.monitors import actions, panels

Start = Callable[..., Any]


def _kinds(verdict: Any) -> list[str]:
    return [alarm["kind"] for alarm in verdict.record["alarms"]]


def test_before_anything_is_served_there_is_neither_alarm_nor_regret(loop: Start) -> None:
    verdict = loop().run()
    assert verdict.record["status"] == "nothing served"
    assert verdict.record["decision"]["text"] == "did not retrain: nothing has been served yet"
    assert verdict.record["alarms"] == []


def test_a_good_model_is_watched_and_kept(loop: Start) -> None:
    world = loop()
    world.run()
    for _ in range(3):
        verdict = world.day()
    assert verdict.record["status"] == "good"
    assert verdict.record["window"] == ["2024-02-12T00:00:00.000000Z", "2024-02-13T00:00:00.000000Z"]
    assert verdict.record["rows"] == 200
    assert verdict.record["coverage"] == 155 / 200  # the truth of the last hours is not known yet
    assert verdict.record["settled"] == "2024-02-11T00:00:00.000000Z"
    assert {"roc_auc", "accuracy", "same_as_last_time", "yes_share", "mean_score"} <= set(verdict.record["figures"])
    assert verdict.record["decision"]["text"] == "did not retrain: regret 0.0 of 20"
    assert "asks" not in verdict.record
    rows = world.site.table(verdict, as_type=pl.DataFrame)
    assert rows["labelled"].to_list() == [200, 200, 155]  # windows before were opened again
    assert rows["is_final"].to_list() == [True, True, False]
    json.dumps(verdict.record)


def test_running_again_without_news_writes_no_verdict(loop: Start) -> None:
    world = loop()
    world.run()
    first = world.day()
    assert world.run().ref == first.ref


def test_a_world_that_turns_makes_the_model_be_trained_again_once(loop: Start) -> None:
    world = loop(turns=42, rule='oito.on_regret(price=20, cool_down="2d")')
    world.run()
    verdicts = [world.day() for _ in range(5)]
    asked = [verdict for verdict in verdicts if verdict.record.get("asks")]
    assert [verdict.record["asks"] for verdict in asked] == [{"fitted": asked[0].record["decision"]["text"]}]
    assert asked[0].record["decision"]["text"].startswith("retrain: regret ")
    assert _kinds(asked[0]) == ["performance", "concept"]
    fitted = world.site.catalog.find("fitted", "production")
    assert fitted.number == 2
    assert verdicts[-1].record["decision"]["numbers"]["since_training_s"] == 86400.0
    assert world.site.catalog.find("answers", "production").record["model"] == "fitted:v2"


def test_newer_data_alone_does_not_train_again(loop: Start) -> None:
    world = loop()
    world.run()
    for _ in range(2):
        world.day()
    assert world.site.catalog.find("fitted", "production").number == 1


def test_a_schedule_asks_when_the_model_is_old_and_never_asks_never(loop: Start) -> None:
    world = loop(rule='oito.on_schedule("2d")')
    world.run()
    texts = [world.day().record["decision"]["text"] for _ in range(3)]
    assert texts == [
        "did not retrain: the last training is 1d ago, every 2d",
        "retrain: the last training is 2d ago, every 2d",
        "did not retrain: the last training is 1d ago, every 2d",
    ]


def test_a_day_without_questions_is_silence_and_alarms(loop: Start) -> None:
    world = loop()
    world.run()
    world.day()
    verdict = world.day(share=0.0)
    assert verdict.record["status"] == "silent"
    assert [a["text"] for a in verdict.record["alarms"]] == ["no prediction from 2024-02-11 00:00 to 2024-02-12 00:00"]


def test_a_changed_unit_is_told_in_its_first_window_with_who_made_it(loop: Start) -> None:
    world = loop()
    world.run()
    world.day()
    verdict = world.day(lambda rows: rows.with_columns(pl.col("km") / 1.609344))
    alarm = next(a for a in verdict.record["alarms"] if a["column"] == "km")
    assert alarm["kind"] == "unit"
    assert alarm["text"] == "km is 0.6352 times what it was: another unit (kilometers and miles?)"
    assert alarm["version"] == "answers:v1"
    assert alarm["run"]
    assert verdict.record["status"] == "alarm"


def test_missed_days_are_looked_at_one_by_one(loop: Start) -> None:
    world = loop()
    world.run()
    world.day()
    world.clock.advance(timedelta(days=3))
    verdict = world.run()
    rows = world.site.table(verdict, as_type=pl.DataFrame)
    assert rows["rows"].to_list() == [200, 0, 0, 0]
    assert _kinds(verdict) == ["silence"] * 3


def test_pages_and_actions_show_the_noes_too(loop: Start) -> None:
    world = loop()
    asset = world.site.project.asset("watch")
    assert panels.asset_blocks(world.site, asset, None)
    panels.asset_blocks(world.site, asset, world.run())
    world.day()
    verdict = world.day()
    titles = [getattr(block, "title", "") for block in panels.asset_blocks(world.site, asset, verdict)]
    assert "Regret, and the price of a retraining" in titles
    assert "Columns in the last window" in titles
    assert panels.version_blocks(world.site, verdict)
    for each in actions_of(actions):
        assert each.group == "monitors"
        json.dumps(each.carry_out(world.site, {"asset": "watch"}).data)
    told = actions.decisions(world.site, "watch").data["decisions"]
    assert [each["decision"]["retrain"] for each in told] == [False] * 3
    assert actions.drift(world.site, "watch", column="km").data["windows"]
    with pytest.raises(BadInput, match="watch compares no column 'kn'"):
        actions.drift(world.site, "watch", column="kn")
    with pytest.raises(BadInput, match="fitted is no monitor"):
        actions.windows(world.site, "fitted")


def test_a_function_that_gives_no_figures_is_told_so(loop: Start) -> None:
    world = loop()
    world.run()
    path = world.site.root / "project.py"
    path.write_text(
        path.read_text().replace('{"yes_share": window.truth.mean(), "mean_score": window.score.mean()}', "3")
    )
    world.reload()
    with pytest.raises(DataError, match="watch gave no figures"):
        world.day()
