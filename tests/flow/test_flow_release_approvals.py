"""People agree to exactly what will be released; nobody's own yes counts, and any change makes them be asked again."""

from dataclasses import replace
from typing import Any

import pytest

from oito.catalog import environments, events
from oito.errors import ApprovalMissing, BadSetting, Refused
from oito.flow.releases import release, releasing
from oito.flow.releases.approvals import rule
from oito.flow.site import Site
from oito.settings import load as load_settings
from oito.show import Badge, Facts, Form
from tiny import CHAIN, Tiny


def as_(tiny: Tiny, who: str, *, asked: tuple[str, ...] = ("production=1",), environment: str = "dev") -> Site:
    site = tiny.site(environment, approvals=asked)
    site.catalog.who = who
    return site


def facts(page: Any) -> dict[str, Any]:
    found = next(block for block in page.blocks if isinstance(block, Facts))
    return {name: cell.text if isinstance(cell, Badge) else cell for name, cell in found.pairs}


def test_a_release_waits_for_another_person(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    with pytest.raises(ApprovalMissing) as told:
        release.release(as_(tiny, "ana"), "production")
    proposal = release.proposal(as_(tiny, "ana"), "production").digest[:12]
    assert told.value.what == "production waits for the approval of 1 person other than ana"
    assert told.value.known == f"production asks for 1 person; proposal {proposal} was approved by nobody yet"
    assert told.value.next == (
        f"they look with: oito diff production     and say yes with: oito approve production --proposal {proposal}"
    )
    assert environments.pointed(as_(tiny, "ana").catalog.rows, "production") == {}
    release.approve(as_(tiny, "bo"), "production", note="looked at total")
    made, _ = release.release(as_(tiny, "ana"), "production")
    assert [(a["who"], a["note"]) for a in made.record["approvals"]] == [("bo", "looked at total")]
    event = events.listed(as_(tiny, "ana").catalog.rows, subject="production")[1]
    assert (event.verb, event.who, event.detail) == (
        "approved", "bo", {"proposal": made.record["proposal"], "note": "looked at total", "changes": 3},
    )  # fmt: skip


def test_ones_own_approval_does_not_count(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.approve(as_(tiny, "ana"), "production")
    with pytest.raises(ApprovalMissing) as told:
        release.release(as_(tiny, "ana"), "production")
    assert told.value.known.endswith("was approved by ana; ana releases, so that approval does not count")
    release.release(as_(tiny, "bo"), "production")  # two people have looked at it


def test_any_change_makes_people_be_asked_again(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.approve(as_(tiny, "bo"), "production")
    first = release.proposal(as_(tiny, "ana"), "production").digest
    tiny.edit("import json, os", "import json, os  # a comment makes nothing again, and is another source")
    assert release.proposal(as_(tiny, "ana"), "production").digest != first
    with pytest.raises(ApprovalMissing):
        release.release(as_(tiny, "ana"), "production")
    page = releasing.diff(as_(tiny, "ana"), "production")
    titles = [getattr(block, "title", "") for block in page.blocks]
    assert "Approvals of another proposal, which do not count" in titles and "Approvals" not in titles
    tiny.edit("  # a comment makes nothing again, and is another source", "")
    assert release.proposal(as_(tiny, "ana"), "production").digest == first
    tiny.edit("> 0", "> 5")
    tiny.run()
    with pytest.raises(ApprovalMissing):
        release.release(as_(tiny, "ana"), "production")
    release.approve(as_(tiny, "bo"), "production")
    release.release(as_(tiny, "ana"), "production")


def test_what_production_collects_meanwhile_voids_nothing_but_another_release_does(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.release(tiny.site(), "production")
    tiny.edit("> 0", "> 5")
    tiny.run()
    before = release.approve(as_(tiny, "bo"), "production").digest
    tiny.tell(id=[4], n=[100])
    tiny.run(environment="production")
    assert release.proposal(as_(tiny, "ana"), "production").digest == before
    release.release(as_(tiny, "ana"), "production")
    release.rollback(tiny.site(), "production")
    tiny.edit("> 5", "> 6")
    tiny.run()
    again = release.approve(as_(tiny, "bo"), "production").digest
    release.rollback(tiny.site(), "production", to=2)
    assert release.proposal(as_(tiny, "ana"), "production").digest != again


def test_an_approval_of_what_was_seen_is_refused_when_it_is_another_by_now(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    seen = releasing.diff(as_(tiny, "bo"), "production").data["proposal"][:12]
    tiny.edit("> 0", "> 5")
    with pytest.raises(Refused, match="dev is not up to date"):
        releasing.approve(as_(tiny, "bo"), "production", proposal=seen)
    tiny.run()
    with pytest.raises(Refused) as told:
        releasing.approve(as_(tiny, "bo"), "production", proposal=seen)
    assert told.value.what == "what would be released to production has changed since it was looked at"
    now = releasing.diff(as_(tiny, "bo"), "production").data["proposal"][:12]
    assert (told.value.known, told.value.next) == (f"it was {seen}, it is {now}", "look again: oito diff production")
    page = releasing.approve(as_(tiny, "bo"), "production", proposal=now)
    assert page.title == "bo approves the release to production"
    assert facts(page)["still missing"] == "nobody"


def test_the_page_of_a_difference_tells_who_is_missing_and_offers_to_approve(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    asked = ("production=2", "production=cleo", "staging=1")
    assert facts(releasing.diff(as_(tiny, "ana", asked=()), "production"))["asked for"] == "nobody's approval"
    page = releasing.diff(as_(tiny, "ana", asked=asked), "production")
    assert facts(page)["asked for"] == "2 people, cleo among them"
    assert facts(page)["missing"] == "cleo, 1 person other than ana"
    form = next(block for block in page.blocks if isinstance(block, Form))
    assert form.values == {"target": "production", "proposal": page.data["proposal"][:12]}
    release.approve(as_(tiny, "bo"), "production")
    assert releasing.diff(as_(tiny, "ana", asked=asked), "production").data["missing"] == "cleo"
    release.approve(as_(tiny, "cleo"), "production")
    assert facts(releasing.diff(as_(tiny, "ana", asked=asked), "production"))["missing"] == "nobody"
    release.release(as_(tiny, "ana", asked=asked), "production")
    shown = releasing.show(tiny.site(), 1, "production")
    assert [a["who"] for a in shown.data["release"]["record"]["approvals"]] == ["bo", "cleo"]


def test_one_person_may_be_counted_and_named(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.approve(as_(tiny, "cleo"), "production")
    release.release(as_(tiny, "ana", asked=("production=1", "production=cleo")), "production")


@pytest.mark.parametrize("entry", ["production", "=1", "production=", ""])
def test_an_entry_that_names_nobody_is_told(tiny: Tiny, entry: str) -> None:
    settings = load_settings(tiny.root)
    settings = replace(settings, values={**settings.values, "approvals": (entry,)})
    with pytest.raises(BadSetting) as told:
        rule(settings, "production")
    assert told.value.what == f"the setting 'approvals' has {entry!r}"
    assert told.value.known == "an entry is an environment, =, and how many people or who"
    assert told.value.next == 'write "production=1"'


def test_the_setting_comes_from_a_file_or_a_variable(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.root / "oito.toml").write_text('approvals = ["production=1", "production=cleo", "staging=2"]\n')
    assert rule(load_settings(tiny.root), "production").text == "cleo"
    assert rule(load_settings(tiny.root), "staging").text == "2 people"
    monkeypatch.setenv("OITO_APPROVALS", "production=1")
    assert rule(load_settings(tiny.root), "production").text == "1 person"
    assert rule(load_settings(tiny.root), "dev").text == ""
