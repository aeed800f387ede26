"""Verification: cached steps made again, those that are not deterministic named with where they differ, nothing moved."""

import pytest

from oito.catalog import events
from oito.errors import BadInput, NotReproduced, UnknownAsset
from oito.flow.remaking import verify
from tiny import HEAD, Tiny

PROJECT = (
    HEAD
    + """
import random, time
@oito.source(key="id", partition=oito.Day.of("at"))
def orders(since):
    return outside().with_columns(pl.col("at").str.to_datetime(time_zone="UTC"))

@oito.dataset
def steady(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.sort("id")

@oito.dataset
def chancy(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(x=pl.Series([0.5, random.random()]))

@oito.dataset
def daily(orders: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    return orders.select(pl.col("n").sum())
"""
)


@pytest.fixture
def made(tiny: Tiny) -> Tiny:
    tiny.tell(id=[1, 2], at=["2024-01-01T01:00:00", "2024-01-02T01:00:00"], n=[1, 2])
    tiny.write(PROJECT).run(environment="production")
    return tiny


def test_a_step_that_is_not_deterministic_is_named_with_where_it_differs(made: Tiny) -> None:
    site = made.site("production")
    before = site.catalog.resolve_all("production")
    with pytest.raises(NotReproduced) as told:
        verify.verify(site, ["chancy"])
    assert told.value.what == "1 of 1 step is not deterministic"
    assert told.value.where == "chancy:v1"
    assert told.value.known.startswith("chancy:v1 table rows: column x, row 1: 0.")
    assert "draws at project.py:" in told.value.known
    assert site.catalog.resolve_all("production") == before
    assert site.catalog.rows.one("SELECT COUNT(*) AS n FROM version WHERE asset = 'chancy'")["n"] == 1  # type: ignore[index]  # a count is always there
    last = events.listed(site.catalog.rows, limit=1)[0]
    assert (last.verb, last.subject, last.who) == ("verified", "production", "ana")
    assert list(last.detail["differ"]) == ["chancy:v1"]


def test_deterministic_steps_and_partitions_are_the_same_again(made: Tiny) -> None:
    page = verify.verify(made.site("production"), ["steady", "daily"])
    assert page.title == "3 steps of 3 made again"
    assert [(each["version"], each["verdict"]) for each in page.data["steps"]] == [
        ("steady:v1", "same"), ("daily[2024-01-01]:v1", "same"), ("daily[2024-01-02]:v1", "same"),
    ]  # fmt: skip


def test_a_sample_is_a_share_or_a_number_of_the_steps(made: Tiny) -> None:
    site = made.site("production")
    steps = list(verify._steps(site, []))
    assert [len(verify._drawn(steps, each)) for each in ("1%", "50%", "100%", "0", "2", "99")] == [1, 3, 5, 0, 2, 5]
    page = verify.verify(site, ["steady"], sample="1")
    assert page.data["of"] == len(page.data["steps"]) == 1
    with pytest.raises(BadInput, match=r"the sample is '1\.5'"):
        verify.verify(site, sample="1.5")
    with pytest.raises(UnknownAsset):
        verify.verify(site, ["none"])


def test_a_step_whose_source_is_gone_is_told_and_the_others_are_verified(made: Tiny) -> None:
    site = made.site("production")
    version = made.version("steady", "production")
    with site.catalog.change() as change:
        change.rows.run("UPDATE run SET bundle = ? WHERE id = ?", "0" * 64, version.run)
    page = verify.verify(site, ["steady"])
    assert page.data["steps"] == [
        {"version": "steady:v1", "verdict": "cannot be made", "first": "", "why": ["the source that made steady:v1 was not stored"]}
    ]  # fmt: skip
