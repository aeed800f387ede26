"""People answer: the queue, majority, ties, corrections and undo, through the actions of a project on disk."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oito import settings
from oito.catalog import events
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock
from oito.eight import KINDS
from oito.errors import BadInput
from oito.flow import runner
from oito.flow.plan import Planner
from oito.flow.project import load
from oito.flow.site import Site
from oito.labels import actions, panels
from oito.storage.files import Files

DAY = datetime(2024, 1, 1, tzinfo=UTC)

PROJECT = """
import polars as pl
import oito
from datetime import datetime, timedelta

@oito.source(every="3650d")
def notes(since):
    asked = [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(COUNT)]
    return pl.DataFrame({"id": [f"n{n}" for n in range(COUNT)], "asked_at": asked, "text": ["a note"] * COUNT,
                         "told": [None] * (COUNT - 1) + ["spam"]})

@oito.labels(entity="id", time="asked_at", label="kind", classes=("spam", "ham"), asks_people=True)
def kind(notes):
    return notes.with_columns(
        known_at=pl.when(pl.col("told").is_not_null()).then(pl.col("asked_at")), kind=pl.col("told")
    ).drop("told")
"""


def _site(root: Path, *, count: int = 5, project: str = PROJECT) -> Site:
    (root / "project.py").write_text(project.replace("COUNT", str(count)))
    sys.modules.pop("project", None)
    given = settings.load(root)
    home = given.home_folder
    clock = VirtualClock(DAY + timedelta(days=1))
    return Site(
        load(root, ["project.py"], KINDS), Catalog(home, clock, who="ann"), Files(home / "files"), given, "dev", root
    )


def _run(site: Site) -> Version:
    runner.run(site, ["kind"]).raise_first()
    return site.catalog.find("kind", "dev")


def _later(site: Site, hours: int = 1) -> datetime:
    assert isinstance(site.clock, VirtualClock)
    site.clock.advance(timedelta(hours=hours))
    return site.now()


def _labels(site: Site, version: Version) -> dict[str, tuple[Any, ...]]:
    rows = site.read(version).collect()
    return {row["id"]: (row["kind"], row["known_at"], row["label_source"]) for row in rows.to_dicts()}


def _state(site: Site) -> str:
    return {entry.asset.name: entry.state for entry in Planner(site).plan(["kind"])}["kind"]


def test_answers_fill_open_rows_from_the_moment_they_were_given(tmp_path: Path) -> None:
    site = _site(tmp_path)
    made = _run(site)
    assert (made.rows, made.record["unknown"], made.record["context"]) == (1, 4, ["text"])
    assert _state(site) == "fresh"
    at = _later(site)
    page = actions.give(site, "kind", "n2", "ham", note="sure")
    assert (page.title, page.data["left"]) == ("n2@2024-01-01T02:00:00Z is ham", 3)
    assert _state(site) == "stale"
    again = _run(site)
    assert _labels(site, again) == {"n2": ("ham", at, "person"), "n4": ("spam", DAY + timedelta(hours=4), "data")}
    assert site.read(again, known_by=at - timedelta(minutes=1)).collect().height == 1
    assert _state(site) == "fresh" and _run(site).number == again.number
    assert again.record["context"] == ["text"]


def test_new_rows_of_the_input_are_seen_too(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    more = _site(tmp_path, count=11)
    assert _run(more).record["unknown"] == 10


def test_a_tie_stays_open_and_goes_to_a_third_person(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    for who, label in (("ann", "spam"), ("bo", "ham")):
        actions.give(site, "kind", "n1", label, who=who)
    assert "n1" not in _labels(site, _run(site))
    page = actions.show_next(site, "kind", who="cy")
    assert page.data["item"] == "n1@2024-01-01T01:00:00Z" and page.data["row"]["reason"] == "tie"
    assert "spam" not in json.dumps(page.data["row"])
    at = _later(site)
    actions.give(site, "kind", "n1", "ham", who="cy")
    assert _labels(site, _run(site))["n1"] == ("ham", at, "person")


def test_a_correction_counts_from_its_own_moment(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    actions.give(site, "kind", "n1", "ham")
    _run(site)
    at = _later(site)
    actions.give(site, "kind", "n1", "spam")
    assert _labels(site, _run(site))["n1"] == ("spam", at, "person")
    _later(site)
    actions.give(site, "kind", "n1", "spam", who="bo")
    assert _labels(site, _run(site))["n1"] == ("spam", at, "person")


def test_undo_brings_back_what_counted_before(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    actions.give(site, "kind", "n1", "ham")
    actions.give(site, "kind", "n1", "spam")
    assert actions.undo(site, "kind").data["item"] == "n1@2024-01-01T01:00:00Z"
    assert _labels(site, _run(site))["n1"][0] == "ham"
    actions.undo(site, "kind")
    assert "n1" not in _labels(site, _run(site))
    assert actions.show_queue(site, "kind", who="ann").data["left"] == 4
    with pytest.raises(BadInput, match="ann has no answer in kind to take back"):
        actions.undo(site, "kind")
    verbs = [event.verb for event in events.listed(site.catalog.rows, subject="kind") if event.verb != "made"]
    assert verbs == ["took back", "took back", "labelled", "labelled"]


def test_what_a_person_answered_or_skipped_is_not_asked_of_them_again(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    seen = []
    while item := actions.show_next(site, "kind").data["item"]:
        seen.append(item)
        if len(seen) % 2:
            actions.skip(site, "kind", item)
        else:
            actions.give(site, "kind", item, "ham")
    assert len(seen) == len(set(seen)) == 4
    assert actions.show_queue(site, "kind", who="bo").data["left"] == 4


@pytest.mark.parametrize(
    ("item", "label", "text"),
    [
        ("n9", "ham", "kind asks nothing about 'n9'"),
        ("n1", "hamm", "'hamm' is no class of kind"),
        ("n4", "ham", "kind asks nothing about 'n4'"),
    ],
)
def test_answers_that_fit_nothing_are_refused(tmp_path: Path, item: str, label: str, text: str) -> None:
    site = _site(tmp_path)
    _run(site)
    with pytest.raises(BadInput) as caught:
        actions.give(site, "kind", item, label)
    assert caught.value.what == text and caught.value.next


def test_answers_go_out_and_come_in_once(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    actions.give(site, "kind", "n1", "ham", note="ñ")
    actions.give(site, "kind", "n2", "ham", who="bo")
    actions.undo(site, "kind", who="bo")
    assert actions.export(site, "kind", "answers.jsonl").data["answers"] == 3
    assert actions.import_answers(site, "kind", "answers.jsonl").data == {"asset": "kind", "new": 0, "known": 3}
    other = tmp_path / "other"
    other.mkdir()
    (other / "answers.jsonl").write_text((tmp_path / "answers.jsonl").read_text())
    fresh = _site(other)
    _run(fresh)
    assert actions.import_answers(fresh, "kind", "answers.jsonl").data["new"] == 3
    assert set(_labels(fresh, _run(fresh))) == {"n1", "n4"}


def test_each_bad_line_of_a_file_is_named_and_none_is_kept(tmp_path: Path) -> None:
    site = _site(tmp_path)
    _run(site)
    good = {"item": "n1@2024-01-01T01:00:00Z", "label": "ham"}
    bad: list[Any] = [
        {**good, "item": "n1"}, {**good, "label": "hamm"}, {**good, "lable": 1}, {"item": good["item"]},
        {**good, "at": "2999-01-01"}, {**good, "at": "soon"}, {**good, "label": 3}, 7,
    ]  # fmt: skip
    text = "\n".join([json.dumps(good), "", *map(json.dumps, bad), "{"])
    (tmp_path / "in.jsonl").write_text(text)
    with pytest.raises(BadInput) as caught:
        actions.import_answers(site, "kind", "in.jsonl")
    assert caught.value.what == "9 faults in the answers; none was kept"
    assert caught.value.where.splitlines() == [
        "line 3: nothing is asked about 'n1'",
        "line 4: 'hamm' is no class; did you mean 'ham'?",
        "line 5: unknown field 'lable', did you mean 'label'?",
        "line 6: the field 'label' is missing",
        "line 7: at 2999-01-01T00:00:00.000000Z lies in the future",
        "line 8: 'soon' is not a date or time",
        "line 9: label is 3, which is no text",
        "line 10: int instead of an object",
        "line 11: no JSON object: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]
    assert actions.show_queue(site, "kind", who="ann").data["left"] == 4


def test_agreement_and_the_page_tell_how_people_answered(tmp_path: Path) -> None:
    site = _site(tmp_path, count=9)
    made = _run(site)
    for n in range(8):
        actions.give(site, "kind", f"n{n}", ("spam", "ham")[n % 2])
        actions.give(site, "kind", f"n{n}", ("spam", "ham")[n % 2 and n != 3], who="bo")
    data = actions.show_agreement(site, "kind").data
    assert data["items"] == 8 and data["tied"] == ["n3@2024-01-01T03:00:00Z"] and 0.7 < data["alpha"] < 0.8
    blocks = panels.asset_blocks(site, site.project.asset("kind"), made)
    assert ("ties", 1) in blocks[0].pairs  # type: ignore[union-attr]  # the first block is facts


def test_a_label_set_that_asks_nobody_says_so(tmp_path: Path) -> None:
    site = _site(tmp_path, project=PROJECT + """
@oito.labels(entity="id", time="asked_at", known_at="asked_at", label="told")
def told(notes): return notes
""")  # fmt: skip
    with pytest.raises(BadInput) as caught:
        actions.show_next(site, "told")
    assert (caught.value.what, caught.value.known) == ("told does not ask people", "asking are: kind")


def test_a_function_that_gives_only_questions_is_enough(tmp_path: Path) -> None:
    short = PROJECT.split("@oito.labels")[0] + """
@oito.labels(entity="id", time="asked_at", classes=("spam", "ham"), asks_people=True)
def kind(notes): return notes.drop("told")
"""  # fmt: skip
    site = _site(tmp_path, project=short)
    made = _run(site)
    assert (made.rows, made.record["unknown"], made.record["known_at"]) == (0, 5, "known_at")
    actions.give(site, "kind", "n0", "ham")
    assert site.read(_run(site)).collect()["kind"].to_list() == ["ham"]


def test_a_score_puts_the_uncertain_rows_first_and_is_no_field_of_a_request(tmp_path: Path) -> None:
    scored = PROJECT.replace(".drop(", """.with_columns(score=pl.Series([0.9, 0.6, float("nan"), 0.5, 0.1])).drop(""")
    site = _site(tmp_path, project=scored)
    made = _run(site)
    assert made.record["context"] == ["text"]
    asked = actions.show_queue(site, "kind").data["queue"]
    doubts = [(row["id"], row["reason"]) for row in asked if row["reason"] == "uncertain"]
    assert doubts == [
        pair for pair in [("n3", "uncertain"), ("n1", "uncertain"), ("n0", "uncertain")] if pair in doubts
    ]
    assert sorted(row["id"] for row in asked) == ["n0", "n1", "n2", "n3"] and len(doubts) >= 2


@pytest.mark.parametrize("file", ["../answers.jsonl", "/tmp/answers.jsonl", "project.py", ".oito/catalog.db"])
def test_answers_never_touch_another_file(tmp_path: Path, file: str) -> None:
    site = _site(tmp_path)
    _run(site)
    for action in (actions.export, actions.import_answers):
        with pytest.raises(BadInput) as caught:
            action(site, "kind", file)
        assert caught.value.what == f"{file!r} cannot hold answers" and caught.value.next == 'write "answers.jsonl"'
