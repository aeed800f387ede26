"""Production runs the source of its release and nothing else: whatever the working folder, the import path or this process holds."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from oito.catalog import environments, runs
from oito.clock import VirtualClock, moment
from oito.errors import DeclarationError, StepFailed
from oito.flow.releases.reach import OWN, Reach
from oito.workspace import Workspace

PROJECT = """
import os
import polars as pl
import oito
import helper
from inner import shared

try:
    import extra
except ImportError:
    extra = None

@oito.source(key="id")
def orders(since):
    return pl.DataFrame({"id": [1, int(os.environ.get("MORE", "1"))]}).unique()

@oito.dataset
def said(orders: pl.DataFrame) -> pl.DataFrame:
    import late
    words = [helper.WORD, shared.WORD, late.WORD, extra.WORD if extra else "nothing"]
    return pl.DataFrame({"word": [" ".join(words)], "process": [os.getpid()], "count": [orders.height]})
"""
FILES = {"project.py": PROJECT, "helper.py": "WORD = 'released'\n", "late.py": "WORD = 'released'\n",
         "inner/__init__.py": "", "inner/shared.py": "WORD = 'released'\n"}  # fmt: skip
ANSWER = "released released released nothing"
_MAIN = "import sys; from oito.cli.main import main; sys.exit(main())"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was released once and edited in every file since; production has new rows to work on."""
    monkeypatch.delenv("MORE", raising=False)
    write(tmp_path, FILES)
    workspace = Workspace(tmp_path)
    workspace.run()
    workspace.release()
    workspace.close()
    edited = {name: text.replace("released", "edited") for name, text in FILES.items()}
    write(tmp_path, {**edited, "extra.py": "WORD = 'edited'\n"})
    monkeypatch.setenv("MORE", "2")
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def said(root: Path) -> tuple[str, int, int]:
    """Return what production's rows say: the words, the process that said them, how many rows it saw."""
    workspace = Workspace(root, environment="production")
    word, process, count = workspace["said"].frame().row(0)
    workspace.close()
    return word, process, count


def command(root: Path, *words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-c", _MAIN, *words, "-C", str(root), "-e", "production"]
    return subprocess.run(given, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


def test_a_command_in_the_edited_folder_runs_the_release(root: Path) -> None:
    done = command(root, "run", cwd=root)  # Python puts the present folder first on the path of `-c`
    assert done.returncode == 0, done.stderr
    assert said(root)[::2] == (ANSWER, 2)


def test_the_folder_on_the_path_of_python_changes_nothing(root: Path) -> None:
    done = command(root, "run", PYTHONPATH=os.pathsep.join([str(root), str(root / "inner")]))
    assert done.returncode == 0, done.stderr
    assert said(root)[::2] == (ANSWER, 2)


def test_a_broken_working_folder_stops_neither_a_run_nor_a_rollback(root: Path) -> None:
    write(root, {"project.py": "this is no Python", "helper.py": "raise SystemExit", "late.py": "1 / 0"})
    done = command(root, "run", cwd=root)
    assert done.returncode == 0, done.stderr
    assert said(root)[::2] == (ANSWER, 2)
    with pytest.raises(DeclarationError, match=r"project\.py cannot be imported"):
        _ = Workspace(root).project
    write(root, {"project.py": PROJECT.replace("import extra\n", "import missing\n"), **dict(list(FILES.items())[1:])})
    workspace = Workspace(root)
    workspace.run()
    workspace.release()
    workspace.close()
    write(root, {"project.py": "this is no Python"})
    done = command(root, "rollback", "production", cwd=root)
    assert "production is back at release 1" in done.stdout, done.stderr


def test_a_process_that_has_loaded_the_edited_modules_runs_the_release_in_another(root: Path) -> None:
    dev = Workspace(root)
    dev.run()
    assert dev["said"].frame()["word"].to_list() == ["edited edited edited edited"]
    production = Workspace(root, environment="production")
    lines: list[tuple[str, str]] = []
    production.tell = lambda asset, text: lines.append((asset, text))
    outcome = production.run()
    word, process, count = said(root)
    assert (word, count, process != os.getpid()) == (ANSWER, 2, True)
    assert [step.asset for step in outcome.steps] == ["orders", "said"]
    assert ("said", "running") in lines
    recorded = runs.by_id(production.catalog.rows, outcome.run)
    assert recorded is not None
    assert recorded.bundle == environments.releases(production.catalog.rows, "production")[0].bundle
    assert dev["said"].frame()["word"].to_list() == ["edited edited edited edited"]
    dev.close()
    production.close()


def test_an_error_in_the_other_process_comes_back_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ = Workspace(root).project  # the edited modules are here now
    monkeypatch.setenv("MORE", "two")
    production = Workspace(root, environment="production")
    with pytest.raises(StepFailed) as told:
        production.run()
    assert told.value.what == "orders raised ValueError: invalid literal for int() with base 10: 'two'"
    assert told.value.where.startswith("project.py:")
    production.close()


def test_what_the_other_process_is_told_leaves_out_the_working_folder(tmp_path: Path) -> None:
    code = tmp_path / ".oito" / "bundles" / "1"
    (code / "src").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    site = tmp_path / ".venv" / "lib" / "site-packages"
    reach = Reach(code, tmp_path, tmp_path / ".oito")
    entries = [str(tmp_path), "/opt/python", str(tmp_path / "src"), str(site), str(code), str(tmp_path / "lib")]
    assert reach.path(entries) == ["/opt/python", str(code / "src"), str(site), str(code)]
    assert reach.variables({"A": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path), "/opt"])}) == {
        "A": "1",
        "PYTHONPATH": "/opt",
    }
    assert reach.variables({"PYTHONPATH": str(tmp_path)}) == {}


def test_a_project_that_lies_where_oito_itself_is_developed_keeps_oito_in_reach() -> None:
    home = OWN.parent / ".oito"
    reach = Reach(home / "bundles" / "1", OWN.parent, home)
    assert reach.path([str(OWN), str(OWN.parent), str(OWN.parent / "other")]) == [str(OWN)]


def test_an_importer_that_offers_the_working_folder_is_not_listened_to(tmp_path: Path) -> None:
    (tmp_path / "home" / "1").mkdir(parents=True)
    write(tmp_path, {"offered_module.py": "WORD = 'edited'\n"})
    text = f"""
        import sys
        from importlib.machinery import PathFinder
        from pathlib import Path
        from oito.flow.releases.reach import Reach

        class Editable:  # as installers put it there for a package in development
            @staticmethod
            def find_spec(name, path=None, target=None):
                return PathFinder.find_spec(name, [{str(tmp_path)!r}], target) if name.startswith("offered") else None

        sys.meta_path.append(Editable)
        with Reach(Path({str(tmp_path / "home" / "1")!r}), Path({str(tmp_path)!r}), Path({str(tmp_path / "home")!r})).closed():
            try:
                import offered_module
            except ImportError as error:
                print(error)
        import offered_module
        print(offered_module.WORD)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "No module named 'offered_module' in the released source; the working folder's is not used", "edited",
    ]  # fmt: skip


def test_a_rehearsal_stays_in_the_process_and_still_imports_the_release_alone(root: Path) -> None:
    clock = VirtualClock(moment("2024-01-01"))
    dev = Workspace(root, clock=clock)
    dev.run()
    production = Workspace(root, clock=clock, environment="production")
    production.run()
    word, process, _ = said(root)
    assert (word, process) == (ANSWER, os.getpid())
    dev.close()
    production.close()
