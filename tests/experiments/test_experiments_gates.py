"""What gates say, on which evidence, and that a model which is watched waits for a verdict."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from oito.catalog import environments
from oito.clock import VirtualClock
from oito.errors import GateRefused
from oito.flow import runner
from oito.flow.releases import release
from oito.flow.site import Gate, Site

Open = Callable[..., Site]
BEATS = {'metric="roc_auc")': 'gate=[oito.beats("production", on="roc_auc")])'}
WEAK = {"max_iter=10": "max_iter=1"}
FEWER = {'exclude=["van"]': 'exclude=["van", "city"]'}
WATCHED = """
    risk = oito.endpoint(model=late_parcel)
    watch = oito.monitor(endpoint=risk, every="1d", retrain=oito.on_regret(price=50))
    """


def released(site: Site) -> list[Gate]:
    runner.run(site).raise_first()
    return release.release(site, "production")[1]


def pointed(site: Site, environment: str = "production") -> str:
    version = environments.target(site.catalog.rows, environment, "late_parcel")
    return version.ref if version else ""


def test_without_a_champion_the_first_model_passes(opened: Open) -> None:
    (gate,) = released(opened(BEATS))
    assert gate.passed and gate.text == "production has no other late_parcel"


def test_a_better_challenger_passes_and_a_worse_one_is_refused_with_its_numbers(opened: Open) -> None:
    released(opened({**BEATS, **WEAK}))
    (gate,) = released(opened(BEATS))
    assert gate.passed and gate.name == "beats production on roc_auc"
    assert "of late_parcel:v1 on 300 rows: +0." in gate.text
    assert gate.numbers["champion_version"] == "late_parcel:v1" and gate.numbers["difference"] > 0
    site = opened({**BEATS, **WEAK, "trials=4": "trials=2"})
    with pytest.raises(GateRefused, match="a gate refused late_parcel:v3") as error:
        released(site)
    assert "of late_parcel:v2 on 300 rows: -0." in str(error.value)
    assert pointed(site) == "late_parcel:v2"


def test_a_margin_must_be_beaten_too(opened: Open) -> None:
    released(opened({**BEATS, **WEAK}))
    with pytest.raises(GateRefused, match="a gate refused") as error:
        released(opened({'metric="roc_auc")': 'gate=[oito.beats("production", on="roc_auc", margin=0.4)])'}))
    assert "asked is more than 0.4" in str(error.value)


def test_a_champion_that_needs_a_lost_column_is_not_beaten_silently(opened: Open) -> None:
    released(opened(BEATS))
    with pytest.raises(GateRefused) as error:
        released(opened({**BEATS, **FEWER}))
    text = "not comparable: late_parcel:v1 cannot answer these rows: the column 'city' is missing"
    assert text in str(error.value)


def test_a_champion_is_compared_in_the_report_and_named(opened: Open) -> None:
    released(opened(WEAK))
    site = opened()
    runner.run(site).raise_first()
    record = site.catalog.find("late_parcel", "dev").record
    assert record["champion"] == "late_parcel:v1" and record["report"]["champion"]["verdict"] in {"win", "tie"}
    assert record["report"]["champion"]["n"] == 300
    site = opened(FEWER)
    runner.run(site).raise_first()
    record = site.catalog.find("late_parcel", "dev").record
    assert record["report"]["champion"] is None
    assert record["notes"] == ["late_parcel:v1 cannot answer these rows: the column 'city' is missing"]


def test_a_champion_that_learned_from_the_test_rows_is_told(opened: Open) -> None:
    released(opened(BEATS))
    site = opened({**BEATS, 'test="15d"': 'test="30d"'})
    runner.run(site).raise_first()
    (note,) = site.catalog.find("late_parcel", "dev").record["notes"]
    assert note.startswith("late_parcel:v1 learned up to 2024-03-") and note.endswith("its figure flatters it")


def test_a_bound_is_a_gate(opened: Open) -> None:
    gates = {'metric="roc_auc")': 'gate=[oito.at_least("roc_auc", 0.7), oito.at_least("log_loss", 0.6)])'}
    said = released(opened(gates))
    assert [gate.name for gate in said] == ["roc_auc at least 0.7", "log_loss at most 0.6"]
    assert all(gate.passed for gate in said)
    with pytest.raises(GateRefused) as error:
        released(opened({'metric="roc_auc")': 'gate=[oito.at_least("roc_auc", 0.99)])'}, folder="strict"))
    assert "asked is at least 0.99" in str(error.value)


def test_newer_data_trains_again_only_where_nobody_watches(opened: Open) -> None:
    for more, expected in (("", "late_parcel:v2"), (WATCHED, "late_parcel:v1")):
        site = opened(more=more, folder="watched" if more else "alone")
        runner.run(site, ["late_parcel"]).raise_first()
        clock = site.clock
        assert isinstance(clock, VirtualClock)
        clock.advance(timedelta(days=10))
        runner.run(site, ["late_parcel"], collect=["parcels"]).raise_first()
        assert pointed(site, "dev") == expected
        assert site.catalog.find("late", "dev").ref == "late:v2"
