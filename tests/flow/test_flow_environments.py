"""Environments keep to themselves: a git branch has its own, recomputes nothing that another has, and changes nothing of it."""

import contextlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oito.catalog import environments
from oito.errors import BadSetting, OitoError
from oito.flow import actions, bundle
from oito.flow.plan import Planner
from oito.flow.project import load as load_project
from oito.flow.releases import release
from oito.settings import branch_environment, git_branch, load
from oito.workspace import Workspace
from tiny import CHAIN, KINDS_AND_MORE, WATCHED, Tiny


class Repository:
    """A git repository made by real git, on `main`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")
        (root / ".gitignore").write_text(".oito\n*.json\nran.txt\n")
        self.commit()

    def git(self, *words: str) -> str:
        own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        for role in ("AUTHOR", "COMMITTER"):
            own |= {f"GIT_{role}_NAME": "ana", f"GIT_{role}_EMAIL": "ana@example.org"}
        command = ["git", "-c", "advice.detachedHead=false", *words]
        done = subprocess.run(
            command, cwd=self.root, env={**os.environ, **own}, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "more")


def environment(root: Path) -> tuple[str, str]:
    found = load(root)
    return found.environment, found.origins["environment"]


def test_the_environment_is_the_branch_and_dev_on_main_or_without_git(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert environment(tmp_path / "plain") == ("dev", "default")
    repository = Repository(tmp_path / "code")
    root = repository.root
    assert environment(root) == ("dev", "default")
    repository.git("checkout", "-q", "-b", "feature/Late_Flights")
    assert environment(root) == ("feature-late-flights", "git branch feature/Late_Flights")
    (root / "deep" / "project").mkdir(parents=True)
    assert environment(root / "deep" / "project")[0] == "feature-late-flights"
    repository.git("worktree", "add", "-q", "-b", "hotfix", str(tmp_path / "beside"))
    assert environment(tmp_path / "beside") == ("hotfix", "git branch hotfix")
    repository.git("checkout", "-q", "--detach")
    assert environment(root) == ("dev", "default")
    repository.git("checkout", "-q", "-b", "master")
    assert environment(root) == ("dev", "default")


def test_what_a_person_says_wins_over_the_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(tmp_path)
    repository.git("checkout", "-q", "-b", "feature")
    assert load(tmp_path, {"environment": "other"}).environment == "other"
    (tmp_path / "oito.toml").write_text('environment = "mine"\n')
    assert environment(tmp_path) == ("mine", "oito.toml")
    monkeypatch.setenv("OITO_ENVIRONMENT", "theirs")
    assert environment(tmp_path) == ("theirs", "environment variable")


def test_a_branch_never_becomes_a_protected_environment(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.git("checkout", "-q", "-b", "production")
    assert environment(tmp_path)[0] == "branch-production"
    assert branch_environment("🙂", ()) == "branch"
    assert branch_environment("x" * 300, ()) == "x" * 80


def test_a_damaged_head_is_no_branch(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert git_branch(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_bytes(b"\xff\xfe")
    assert git_branch(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").write_text(
        "ref: refs/heads/.invalid\n"
    )  # so writes git where it keeps names in tables
    assert git_branch(tmp_path) == ""
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git").rmdir()
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert git_branch(tmp_path) == ""


def test_settings_say_that_the_branch_decides_and_pages_follow_it(tiny: Tiny) -> None:
    repository = Repository(tiny.root)
    repository.git("checkout", "-q", "-b", "feature")
    tiny.write("")
    workspace = Workspace(tiny.root, clock=tiny.clock)
    told = {each["name"]: each for each in actions.settings_page(workspace.settings).data["settings"]}
    assert (told["environment"]["value"], told["environment"]["from"]) == ("feature", "git branch feature")
    assert workspace.refreshed().environment == "feature"
    repository.git("checkout", "-q", "-b", "other")
    assert (workspace.refreshed().environment, workspace.environment) == ("other", "other")
    workspace.close()


def test_a_branch_recomputes_nothing_that_production_or_another_branch_has(tiny: Tiny) -> None:
    tiny.write(CHAIN)
    repository = Repository(tiny.root)

    def ran() -> list[str]:
        found = load(tiny.root).environment
        tiny.run(environment=found)
        return tiny.ran()

    assert ran() == ["orders", "cleaned", "total"]
    release.release(tiny.site(), "production")
    repository.git("checkout", "-q", "-b", "feature")
    assert ran() == []
    tiny.edit("> 0", "> 5")
    repository.commit()
    assert ran() == ["cleaned", "total"]
    repository.git("checkout", "-q", "main")
    assert ran() == []
    repository.git("checkout", "-q", "-b", "second")
    tiny.edit("> 0", "> 5")  # the same idea twice
    tiny.edit("import json, os", "import json, os  # and a comment")
    assert ran() == []
    tiny.edit(".sum()", ".max()")
    repository.commit()
    assert ran() == ["total"]
    assert tiny.rows("total", "second")["n"].to_list() == [7]
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "second")
    assert ran() == []
    assert tiny.rows("total", "dev")["n"].to_list() == [7]
    assert tiny.rows("total", "production")["n"].to_list() == [12]
    made, _ = release.release(tiny.site(), "production")
    assert [change["asset"] for change in made.record["changes"]] == ["cleaned", "total"]
    assert tiny.did(tiny.run(environment="production")) == {"orders": "unchanged"}  # it asks, as production does


def test_a_wrong_environment_setting_is_told(tmp_path: Path) -> None:
    (tmp_path / "oito.toml").write_text("environment = 3\n")
    with pytest.raises(BadSetting, match="the setting 'environment' is 3"):
        load(tmp_path)


VIEWED = (
    CHAIN
    + """
from datetime import UTC, datetime

@oito.features(entity="id", time="at")
def record(cleaned):
    return cleaned.select("id", pl.col("n").alias("amount"), at=datetime(2023, 1, 1, tzinfo=UTC))
"""
)
EDITS = (
    ("> 0", "> 5"),
    (".sum()", ".max()"),
    ('.alias("amount")', '.alias("other")'),
    ('ran("total")', "raise ValueError"),
)
STEPS = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, len(EDITS) - 1)),
    st.tuples(st.sampled_from(["run", "collect", "force", "release", "rollback", "branch"]), st.just(0)),
    st.tuples(st.just("accept"), st.sampled_from(["cleaned", "total", "record"])),
    st.tuples(st.just("tell"), st.integers(1, 9)),
)


class Life:
    """What people do to `dev`, and in a branch that is released to it; whatever fails in it fails for them alone."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny, self.edited = tiny, [False] * len(EDITS)

    def edit(self, number: int) -> None:
        """Make an edit, or take it back."""
        before, after = EDITS[number]
        self.tiny.edit(*((after, before) if self.edited[number] else (before, after)))
        self.edited[number] = not self.edited[number]

    def tell(self, number: int) -> None:
        self.tiny.tell(id=[1, 2, 3, 10 + number], n=[5, 0, 7, number])

    def run(self, _: int) -> None:
        self.tiny.tried()

    def branch(self, _: int) -> None:
        self.tiny.tried(environment="branch")

    def collect(self, _: int) -> None:
        self.tiny.tried(collect=["orders"])

    def force(self, _: int) -> None:
        self.tiny.tried("total", force=["total"])

    def accept(self, asset: str) -> None:
        actions.accept(self.tiny.site(), asset, reason="it is fine")

    def release(self, _: int) -> None:
        release.release(self.tiny.site("branch"), "dev")

    def rollback(self, _: int) -> None:
        release.rollback(self.tiny.site(), "dev")


def seen_in_production(tiny: Tiny) -> dict[str, object]:
    """Return all that a reader of production gets: names, rows, features online, files kept for it, what would run."""
    site = tiny.site("production")
    last = release.current_release_of(site.catalog, "production")
    assert last is not None
    code = bundle.unpacked(site.files, last.bundle, site.home / "bundles")
    pointed = environments.pointed(site.catalog.rows, "production")
    project = load_project(code, ["project.py"], KINDS_AND_MORE)
    planner = Planner(replace(site, project=project))
    states = {a.name: planner.entry(a, pointed).state for a in project.assets.values() if a.name != "orders"}
    lookup = site.project.kinds["features"].door("run").Lookup(site, "record")
    moves = [move for name in pointed for move in environments.moves(site.catalog.rows, "production", name)]
    kept = [
        path
        for path in site.home.rglob("*")
        if "production" in str(path.relative_to(site.home)) and path.suffix != ".db-shm"
    ]
    return {
        "pointers": {name: version.ref for name, version in pointed.items()},
        "rows": {name: site.table(version, as_type=pl.DataFrame).rows() for name, version in pointed.items()},
        "online": [lookup.of({"id": entity}, site.now()) for entity in range(20)],
        "moves": moves,
        "releases": [vars(each) for each in environments.releases(site.catalog.rows, "production")],
        "files": {path: path.read_bytes() for path in kept if path.is_file()},
        "states": states,
    }


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(STEPS, min_size=1, max_size=7))
@example([("edit", 0), ("run", 0), ("branch", 0), ("release", 0), ("edit", 2), ("run", 0), ("rollback", 0)])
@example([("tell", 4), ("collect", 0), ("edit", 2), ("accept", "record"), ("run", 0), ("edit", 3), ("force", 0)])
def test_nothing_that_happens_in_dev_changes_what_production_reads(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    tiny = Tiny(tmp_path_factory.mktemp("life")).tell(id=[1, 2, 3], n=[5, 0, 7])
    tiny.write(VIEWED).run()
    release.release(tiny.site(), "production")
    before, life = seen_in_production(tiny), Life(tiny)
    for name, given_ in steps:
        with contextlib.suppress(OitoError):
            getattr(life, name)(given_)
        assert seen_in_production(tiny) == before
    assert before["states"] == {"cleaned": "fresh", "total": "fresh", "record": "fresh"}
    tiny.close()


def test_what_dev_accepts_stands_in_dev_alone_until_it_is_released(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.release(tiny.site(), "production")
    tiny.tell(id=[4], n=[100])
    tiny.run("orders", environment="production")  # newer rows, which dev reads as well
    assert tiny.states("production")["cleaned"] == tiny.states()["cleaned"] == "stale"
    actions.accept(tiny.site(), "cleaned", reason="not needed yet")
    assert tiny.states()["cleaned"] == "accepted"
    assert tiny.states("production")["cleaned"] == "stale"
    release.release(tiny.site(), "production")
    assert tiny.states("production")["cleaned"] == tiny.states()["cleaned"] == "accepted"


def test_environments_whose_names_look_alike_keep_apart(tiny: Tiny) -> None:
    tiny.write(VIEWED)
    for name in ("a/b", "a_b"):
        tiny.run(environment=name)
    assert sorted(path.name for path in (tiny.root / ".oito" / "online").glob("*.db")) == ["a%2Fb.db", "a_b.db"]


def test_a_branch_reads_verdicts_on_what_is_production_s_own_and_judges_what_it_made_itself(tiny: Tiny) -> None:
    tiny.write(WATCHED).run()
    release.release(tiny.site(), "production")
    tiny.run(environment="production")
    tiny.ran()
    assert tiny.states("branch") == dict.fromkeys(("orders", "cleaned", "total", "size", "watch"), "fresh")
    assert tiny.plan("branch")["watch"].note == "reads production's"
    tiny.edit("> 0", "> 5")
    tiny.run(environment="branch")
    assert tiny.version("watch", "branch").id != tiny.version("watch", "production").id
