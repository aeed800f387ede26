"""Truth is joined and judged, estimates are withdrawn when they are wrong, and a retraining is asked for when it pays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error

from oito.monitors import estimate, quality, regret, windows
from oito.monitors.performance import (
    Target,
    figures,
    known,
    losses,
    named,
    same_as_last_time,
    summed,
    usual_delay_s,
    with_truth,
)
from oito.monitors.regret import Losses, Regret

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
YES_NO = Target(("id",), "asked_at", "late", (False, True))
NUMBER = Target(("id",), "asked_at", "minutes")


def _labels() -> pl.LazyFrame:
    rows = [(1, 0, 2, True), (2, 1, 3, False), (2, 1, 4, True), (3, 2, 9, True), (4, 2, None, None)]
    return pl.LazyFrame(
        {
            "id": [row[0] for row in rows],
            "asked_at": [NOON + row[1] * HOUR for row in rows],
            "known": [None if row[2] is None else NOON + row[2] * HOUR for row in rows],
            "late": [row[3] for row in rows],
        },
        schema_overrides={"asked_at": windows.TIME, "known": windows.TIME},
    )


def _asked(*ids: int) -> pl.DataFrame:
    times = [NOON + max(each - 1, 0) * HOUR for each in ids]
    return pl.DataFrame({"id": ids, "asked_at": times, "at": times}, schema_overrides={"at": windows.TIME})


def test_truth_counts_once_it_is_known_and_a_correction_replaces_it() -> None:
    early = known(_labels(), YES_NO, known_at="known", now=NOON + 3 * HOUR)
    late = known(_labels(), YES_NO, known_at="known", now=NOON + 5 * HOUR)
    asked = _asked(1, 2, 3)
    assert with_truth(asked, early, YES_NO)["y"].to_list() == [1.0, 0.0, None]
    assert with_truth(asked, late, YES_NO)["y"].to_list() == [1.0, 1.0, None]
    assert with_truth(asked, late, YES_NO)["id"].to_list() == [1, 2, 3]


def test_feedback_for_a_prediction_fills_what_the_labels_leave_open() -> None:
    truths = known(_labels(), YES_NO, known_at="known", now=NOON + 5 * HOUR)
    asked = _asked(1, 3, 9).with_columns(
        pl.Series("truth", ["false", "true", None]), pl.lit(NOON + 7 * HOUR).cast(windows.TIME).alias("truth_at")
    )
    told = with_truth(asked, truths, YES_NO)
    assert told["y"].to_list() == [1.0, 1.0, None]
    assert told["y_at"].to_list() == [NOON + 2 * HOUR, NOON + 7 * HOUR, None]
    assert named(told["y"], YES_NO).to_list() == [True, True, None]


def test_the_usual_delay_is_that_of_most_truths() -> None:
    truths = known(_labels(), YES_NO, known_at="known", now=NOON + 9 * HOUR)
    assert usual_delay_s(truths, YES_NO, share=0.5) == 2.5 * 3600
    assert usual_delay_s(truths.clear(), YES_NO) is None


def test_a_window_is_final_when_truth_had_its_usual_time() -> None:
    assert windows.is_final(NOON, delay_s=3600, known_until=NOON + HOUR)
    assert not windows.is_final(NOON, delay_s=3600, known_until=NOON + HOUR / 2)
    assert not windows.is_final(NOON, delay_s=None, known_until=NOON)


@given(seed=st.integers(0, 5000), rows=st.integers(20, 200))
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_scikit_learn_and_lie_in_their_intervals(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.4).astype(np.float64)
    y[:4] = [0, 1, 0, 1]
    score = np.asarray(np.round(np.clip(y * 0.2 + random.random(rows) * 0.7, 0.01, 0.99), 2), dtype=np.float64)
    found = {each.name: each for each in figures(y, np.column_stack([1 - score, score]), YES_NO)}
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(y, score))
    assert found["brier"].value == pytest.approx(brier_score_loss(y, score))
    assert found["log_loss"].value == pytest.approx(log_loss(y, score))
    numbers = {each.name: each for each in figures(y, score, NUMBER)}
    assert numbers["mae"].value == pytest.approx(mean_absolute_error(y, score))
    assert numbers["rmse"].value == pytest.approx(root_mean_squared_error(y, score))
    for each in [*found.values(), *numbers.values()]:
        assert each.low is not None and each.high is not None
        assert each.low <= each.value <= each.high


def test_figures_of_nothing_and_of_one_class_are_left_out() -> None:
    assert figures(np.empty(0), np.empty((0, 2)), YES_NO) == []
    assert [each.name for each in figures(np.ones(3), np.full((3, 2), 0.5), YES_NO)] == [
        "accuracy",
        "brier",
        "log_loss",
    ]
    three = losses(np.array([2.0]), np.array([[0.1, 0.2, 0.7]]), "log_loss")
    assert three.tolist() == pytest.approx([-np.log(0.7)])


def test_the_last_known_truth_is_the_naive_answer_and_knows_no_future() -> None:
    truths = known(_labels(), YES_NO, known_at="known", now=NOON + 9 * HOUR)
    asked = with_truth(_asked(1, 2, 3), truths, YES_NO)
    found = same_as_last_time(asked, truths, YES_NO)
    assert found is not None
    assert (found.rows, found.value) == (1, 1.0)  # only the third was asked after a truth was known


def test_an_estimate_fits_the_truth_until_the_concept_changes() -> None:
    random = np.random.default_rng(1)
    scores = random.random(6000)
    truth = (random.random(6000) < scores**2).astype(float)
    learned = estimate.calibrate(scores[:3000], truth[:3000])
    later, unknown = scores[3000:], np.full(3000, np.nan)
    accuracy = float(((later >= 0.5) == truth[3000:]).mean())
    assert estimate.accuracy(later, unknown, learned).value == pytest.approx(accuracy, abs=0.03)
    some = np.where(random.random(3000) < 0.1, truth[3000:], np.nan)
    agreed = estimate.accuracy(later, some, learned, level=0.99)
    assert agreed.corrected and not agreed.is_withdrawn and agreed.low <= accuracy <= agreed.high
    turned = estimate.accuracy(later, 1 - some, learned)
    assert turned.is_withdrawn
    assert turned.value == pytest.approx(1 - accuracy, abs=0.1)


def test_labels_that_were_asked_for_where_it_is_hard_are_weighted_back() -> None:
    random = np.random.default_rng(2)
    scores = random.random(20_000)
    truth = (random.random(20_000) < scores).astype(float)
    learned = estimate.Calibration(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    inclusion = np.where(np.abs(scores - 0.5) < 0.2, 0.2, 0.02)
    asked = np.where(random.random(20_000) < inclusion, truth, np.nan)
    found = estimate.accuracy(scores, asked, learned, inclusion=inclusion, level=0.999)
    assert found.low <= float(((scores >= 0.5) == truth).mean()) <= found.high


def _windows(means: list[float], *, rows: int = 400, seed: int = 0) -> list[Losses]:
    random = np.random.default_rng(seed)
    return [summed(random.normal(mean, 0.3, rows)) for mean in means]


ACCEPTED = Losses(3000, 0.3, 0.09)


def test_a_model_that_stays_good_is_never_regretted_enough() -> None:
    highest = [
        max(each.low for each in regret.accumulate(_windows([0.3] * 100, seed=seed), ACCEPTED)) for seed in range(20)
    ]
    assert sum(each >= 50 for each in highest) <= 2


def test_a_model_that_gets_better_is_not_regretted() -> None:
    assert regret.accumulate(_windows([0.2] * 30), ACCEPTED)[-1].low == 0.0


def test_regret_grows_by_the_excess_and_pays_in_value() -> None:
    sums = regret.accumulate(_windows([0.3] * 5 + [0.5] * 10), ACCEPTED, value=2.0)
    assert sums[-1].expected == pytest.approx(2 * 10 * 400 * 0.2, rel=0.15)
    assert 0 < sums[-1].low < sums[-1].expected
    assert [each.low for each in sums[6:]] == sorted(each.low for each in sums[6:])


@given(means=st.lists(st.floats(0, 1), min_size=1, max_size=20), cut=st.integers(0, 20))
def test_what_was_regretted_does_not_depend_on_later_windows(means: list[float], cut: int) -> None:
    windows_ = [Losses(50, mean, 0.1) for mean in means]
    whole = regret.accumulate(windows_, ACCEPTED)
    assert regret.accumulate(windows_[:cut], ACCEPTED) == whole[:cut]
    assert all(0 <= each.low <= max(each.expected, 0) for each in whole)


@pytest.mark.parametrize(
    ("found", "since", "text"),
    [
        (Regret(12.34, 20.0, 900), None, "did not retrain: regret 12.3 of 50"),
        (Regret(61.0, 90.0, 12), None, "did not retrain: regret 61.0 of 50, but only 12 rows have their truth, 50 are needed"),
        (Regret(61.0, 90.0, 900), timedelta(days=2), "did not retrain: regret 61.0 of 50, but the last training is 2d ago (cool-down 7d)"),
        (Regret(61.0, 90.0, 900), timedelta(days=7), "retrain: regret 61.0 of 50"),
    ],
)  # fmt: skip
def test_every_decision_reads_as_a_sentence_with_its_numbers(found: Regret, since: timedelta | None, text: str) -> None:
    decision = regret.on_regret(found, price=50, cool_down=timedelta(days=7), since_training=since)
    assert decision.text == text
    assert decision.retrain == text.startswith("retrain")
    assert decision.data()["numbers"]["regret"] == found.low


def test_a_rule_by_schedule_and_no_rule_are_decisions_too() -> None:
    week = timedelta(days=7)
    assert not regret.on_schedule(every=week, since_training=timedelta(days=6)).retrain
    assert regret.on_schedule(every=week, since_training=week).retrain
    assert not regret.never().retrain
    assert regret.unruled().text == "no rule: the model is made again with every newer data"


def test_silence_alarms_but_not_before_the_first_prediction() -> None:
    span = {"since": NOON, "until": NOON + HOUR}
    assert quality.traffic(0, [], **span) == []
    assert quality.traffic(0, [10], **span)[0].text == "no prediction from 2024-01-01 12:00 to 2024-01-01 13:00"
    assert quality.traffic(9, [100, 120, 0, 110], **span)[0].kind == "traffic"
    assert quality.traffic(50, [100, 120, 110], **span) == []
