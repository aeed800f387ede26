"""What a catalog promises: versions that never change, pointers that are never forgotten, work that is done once."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from oito.catalog import answers, environments, events, lineage, runs, versions
from oito.catalog.records import NewVersion, Run, Version
from oito.clock import VirtualClock, text
from oito.errors import UnknownAsset, UnknownEnvironment, UnknownVersion
from oito.testing import children

_MAKING = """
from oito.catalog import versions
from oito.catalog.records import NewVersion
for n in range(15):
    new = NewVersion("shared", "dataset", f"{own}-{{n}}", "d", "c", {{}}, [])
    with catalog.change() as change:
        versions.insert(change.rows, new, at=change.at, environment="dev", run="r")
        change.event("made", "shared", by={own!r})
"""
_CLAIMING = """
from oito.catalog import runs
for n in range(30):
    with catalog.change() as change:
        if not runs.claim(change.rows, f"work-{{n}}", {own!r}, now=0.0, lease_s=1e9):
            print(n)
"""
_KILLED = """
from oito.catalog import versions
from oito.catalog.records import NewVersion
before = []
while True:
    new = NewVersion("chain", "dataset", "f", "d", "c", {"of": "f"}, [("r", i) for i in before])
    with catalog.change() as change:
        identity = versions.insert(change.rows, new, at=change.at, environment="dev", run="r")
        change.move("dev", "chain", identity)
        change.event("made", f"chain:v{identity}")
    before = [identity]
    print(identity, flush=True)
"""


class CatalogContract:
    """Subclass it, and give a fixture `catalog`: new, by the `VirtualClock` of 2024-01-01, of the person "ana", with
    production protected; and `opening`, which is Python that opens it elsewhere as `catalog`."""

    def opening(self, catalog: Any) -> str:
        """Return Python that opens the same catalog in another process, under the name `catalog`."""
        raise NotImplementedError

    # Versions

    def test_numbers_count_per_asset_in_all_processes_at_once(self, catalog: Any) -> None:
        head = self.opening(catalog)
        children.together([f"{head}\n{_MAKING.format(own=f'p{n}')}" for n in range(3)])
        numbers = [version.number for version in versions.listed(catalog.rows, "shared", limit=100)]
        assert numbers == list(range(45, 0, -1))
        assert versions.is_known(catalog.rows, "shared") and not versions.is_known(catalog.rows, "other")
        assert events.first_broken(catalog.rows) is None
        assert len(events.listed(catalog.rows, subject="shared")) == 45

    def test_a_version_comes_back_as_it_was_written_and_never_changes(self, catalog: Any) -> None:
        new = NewVersion(
            "rides", "dataset", "f1", "d1", "c1", {"code": {"a.b": "1"}}, [], seconds=1.5, rows=3, size_bytes=7,
            record={"cursor": "2024", "list": [1, None]}, tables={"rows": {"rows": 3}}, files={"model": "0" * 64},
            metrics={"auc": 0.5, "odd": float("nan"), "far": float("inf")}, digests=["0" * 64],
        )  # fmt: skip
        identity = _inserted(catalog, new)
        first = versions.by_id(catalog.rows, identity)
        assert first is not None and first.ref == "rides:v1"
        told = {
            name: getattr(first, name) for name in ("kind", "fingerprint", "content", "seconds", "rows", "size_bytes")
        }
        assert told == {name: getattr(new, name) for name in told}
        assert (dict(first.record), dict(first.tables), dict(first.files)) == (new.record, new.tables, new.files)
        assert versions.metrics(catalog.rows, identity) == {"auc": 0.5}
        assert versions.parts(catalog.rows, "f1") == {"code": {"a.b": "1"}}
        known = _plain(first)
        _inserted(catalog, replace(new, content="c2", metrics={"auc": 0.9}))
        with catalog.change() as change:
            change.move("dev", "rides", identity)
        again = versions.by_id(catalog.rows, identity)
        assert again is not None and _plain(again) == known
        assert versions.metrics(catalog.rows, identity) == {"auc": 0.5}
        assert json.loads(json.dumps(catalog.facts(again)))["version"] == "rides:v1"

    def test_only_a_good_version_is_found_by_its_fingerprint_and_ones_own_first(self, catalog: Any) -> None:
        mine = _insert(catalog, "mine", fingerprint="f")
        _insert(catalog, "theirs", fingerprint="f")
        _insert(catalog, "mine", fingerprint="g", state="broken")
        found = versions.by_fingerprint(catalog.rows, "f", asset="mine")
        assert found is not None and found.id == mine
        renamed = versions.by_fingerprint(catalog.rows, "f", asset="new_name")
        assert renamed is not None and renamed.fingerprint == "f"
        assert versions.by_fingerprint(catalog.rows, "g", asset="mine") is None

    def test_lineage_is_walked_both_ways(self, catalog: Any) -> None:
        source = _insert(catalog, "a")
        left, right = _insert(catalog, "b", source), _insert(catalog, "c", source)
        top = _insert(catalog, "d", left, right)
        _insert(catalog, "apart")
        edges = {(edge.version, edge.input) for edge in lineage.upstream(catalog.rows, top)}
        assert edges == {(top, left), (top, right), (left, source), (right, source)}
        assert {(edge.version, edge.input) for edge in lineage.downstream(catalog.rows, source)} == edges
        assert {edge.input for edge in lineage.inputs(catalog.rows, top)} == {left, right}

    def test_what_is_not_there_is_told_by_its_own_error(self, catalog: Any) -> None:
        _insert(catalog, "rides")
        for written, error in (("ride", UnknownAsset), ("rides:v9", UnknownVersion), ("rides@dev", UnknownEnvironment)):
            with pytest.raises(error):
                catalog.find(written, "dev")
        assert catalog.find("rides:v1", "dev").ref == "rides:v1"

    # Transactions

    def test_a_change_is_kept_whole_or_not_at_all(self, catalog: Any) -> None:
        first = _insert(catalog, "rides")
        with pytest.raises(ZeroDivisionError), catalog.change() as change:
            new = NewVersion("rides", "dataset", "f", "d", "c", {}, [("before", first)], metrics={"auc": 1.0})
            identity = versions.insert(change.rows, new, at=change.at, environment="dev", run="r")
            change.move("dev", "rides", identity)
            change.event("made", "rides:v2")
            _ = 1 / 0
        assert [version.id for version in versions.listed(catalog.rows, "rides")] == [first]
        assert environments.names(catalog.rows) == [] and events.listed(catalog.rows) == []
        assert lineage.downstream(catalog.rows, first) == []

    def test_a_killed_process_leaves_no_version_without_its_edges(self, catalog: Any) -> None:
        told = [int(line) for line in children.killed(f"{self.opening(catalog)}\n{_KILLED}", after_lines=20)]
        found = sorted(versions.listed(catalog.rows, "chain", limit=1_000_000), key=lambda version: version.number)
        assert {version.id for version in found} >= set(told)
        for before, version in pairwise(found):
            assert [edge.input for edge in lineage.inputs(catalog.rows, version.id)] == [before.id]
        assert [move.version for move in environments.moves(catalog.rows, "dev", "chain")] == [v.id for v in found]
        assert len(events.listed(catalog.rows, limit=1_000_000)) == len(found)
        assert events.first_broken(catalog.rows) is None

    # Environments

    def test_an_environment_reads_the_bases_versions_until_it_has_its_own(self, catalog: Any) -> None:
        first, second = _insert(catalog, "a"), _insert(catalog, "a")
        with catalog.change() as change:
            assert change.move("production", "a", first)
            assert not change.move("production", "a", first)
        assert catalog.resolve("a", "dev").id == first
        with catalog.change() as change:
            change.move("dev", "a", second)
        assert (catalog.resolve("a", "dev").id, catalog.resolve("a", "production").id) == (second, first)
        assert {name: version.id for name, version in catalog.resolve_all("dev").items()} == {"a": second}
        with catalog.change() as change:
            change.move("dev", "a", None)
        assert catalog.resolve("a", "dev").id == first

    def test_what_an_environment_was_at_any_moment_is_known(self, catalog: Any) -> None:
        chance = random.Random(8)
        ids = {name: [_insert(catalog, name) for _ in range(4)] for name in ("a", "b", "c")}
        current: dict[str, int] = {}
        told = []
        assert isinstance(catalog.clock, VirtualClock), "the contract moves the clock by hand"
        for _ in range(150):
            catalog.clock.advance(timedelta(seconds=1))
            name = chance.choice(list(ids))
            goal = chance.choice([*ids[name], None])
            with catalog.change() as change:
                change.move("production", name, goal)
                change.move("dev", name, chance.choice(ids[name]))
            current = {each: v for each, v in {**current, name: goal}.items() if v is not None}
            told.append((text(catalog.clock.now()), current))
        for at, expected in chance.sample(told, 40):
            assert environments.at_time(catalog.rows, "production", at) == expected
        assert environments.at_time(catalog.rows, "production", "2000-01-01T00:00:00.000000Z") == {}
        assert {name: v.id for name, v in environments.pointed(catalog.rows, "production").items()} == current

    def test_releases_are_numbered_and_kept_with_what_they_said(self, catalog: Any) -> None:
        for environment, message in (("production", "first"), ("canary", "other"), ("production", "second")):
            with catalog.change() as change:
                _, number = environments.insert_release(
                    change.rows, environment, at=change.at, who=change.who, message=message, bundle="b" * 64,
                    record={"gates": [{"passed": True}]},
                )  # fmt: skip
        assert number == 2
        found = environments.releases(catalog.rows, "production")
        assert [(each.number, each.message, each.who) for each in found] == [(2, "second", "ana"), (1, "first", "ana")]
        assert found[0].record == {"gates": [{"passed": True}]}
        assert len(environments.releases(catalog.rows)) == 3

    # Events, runs, people

    def test_a_changed_or_missing_event_is_found(self, catalog: Any) -> None:
        with catalog.change() as change:
            for n in range(5):
                change.event("made", f"rides:v{n}", rows=n)
        assert events.first_broken(catalog.rows) is None
        ids = sorted(event.id for event in events.listed(catalog.rows))
        assert [event.detail["rows"] for event in events.listed(catalog.rows, limit=2, before=ids[3])] == [2, 1]
        with catalog.change() as change:
            change.rows.run("UPDATE event SET who = 'bo' WHERE id = ?", ids[2])
        assert events.first_broken(catalog.rows) == ids[2]
        with catalog.change() as change:
            change.rows.run("UPDATE event SET who = 'ana' WHERE id = ?", ids[2])
            change.rows.run("DELETE FROM event WHERE id = ?", ids[1])
        assert events.first_broken(catalog.rows) == ids[2]

    def test_a_piece_of_work_is_claimed_by_one_alone(self, catalog: Any) -> None:
        head = self.opening(catalog)
        told = children.together([f"{head}\n{_CLAIMING.format(own=f'p{n}')}" for n in range(3)])
        assert sorted(int(line) for each in told for line in each.split()) == list(range(30))

    def test_a_lease_without_a_sign_of_life_may_be_taken_over(self, catalog: Any) -> None:
        with catalog.change() as change:
            for run in ("one", "two"):
                runs.insert(change.rows, Run(run, "dev", "", "ana", "running", change.at, 0.0, 0.0, None, ""))
            assert runs.claim(change.rows, "work", "one", now=0.0, lease_s=10.0) == ""
            assert runs.claim(change.rows, "work", "one", now=5.0, lease_s=10.0) == ""
            assert runs.claim(change.rows, "work", "two", now=9.0, lease_s=10.0) == "one"
            runs.seen(change.rows, "one", now=14.0)
            assert runs.claim(change.rows, "work", "two", now=20.0, lease_s=10.0) == "one"
        assert runs.holder(catalog.rows, "work", now=20.0, lease_s=10.0) == "one"
        assert runs.holder(catalog.rows, "work", now=30.0, lease_s=10.0) == ""
        with catalog.change() as change:
            assert runs.claim(change.rows, "work", "two", now=30.0, lease_s=10.0) == ""
            assert runs.holds(change.rows, "work", "two") and not runs.holds(change.rows, "work", "one")
            runs.free(change.rows, "work", "one")
            assert runs.holds(change.rows, "work", "two")
            assert runs.end_dead(change.rows, now=30.0, lease_s=10.0) == ["one", "two"]
        assert runs.holder(catalog.rows, "work", now=30.0, lease_s=10.0) == ""

    def test_the_last_answer_of_a_person_counts_and_all_are_kept(self, catalog: Any) -> None:
        with catalog.change() as change:
            for who, label in (("ana", "cat"), ("bo", ["dog"]), ("ana", None)):
                answers.insert(change.rows, "pets", "1", label, who=who, at=change.at)
        told = [(each.who, each.label) for each in answers.listed(catalog.rows, "pets")]
        assert told == [("bo", ["dog"]), ("ana", None)]
        assert len(answers.listed(catalog.rows, "pets", history=True)) == 3


def _insert(catalog: Any, asset: str, *inputs: int, fingerprint: str = "", state: str = "ok") -> int:
    edges = [(f"r{each}", each) for each in inputs]
    return _inserted(
        catalog, NewVersion(asset, "dataset", fingerprint or f"f-{asset}", "d", "c", {}, edges, state=state)
    )


def _inserted(catalog: Any, new: NewVersion) -> int:
    with catalog.change() as change:
        identity: int = versions.insert(change.rows, new, at=change.at, environment="dev", run="r")
    return identity


def _plain(version: Version) -> dict[str, Any]:
    return {each.name: getattr(version, each.name) for each in fields(version)}
