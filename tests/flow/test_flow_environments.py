"""Environments keep to themselves: a git branch has its own, recomputes nothing that another has, and changes nothing of it."""

import os
import subprocess
from pathlib import Path

import pytest

from oito.errors import BadSetting
from oito.flow import actions, release
from oito.settings import branch_environment, git_branch, load
from oito.workspace import Workspace
from tiny import CHAIN, Tiny


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
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/.invalid\n")  # so writes git where it keeps names in tables
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
