"""The terminal: help at once and complete, options anywhere, errors in four facts with exit codes, plain data on request."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from begun_project import LATER
from oito.cli import main, overview, parser
from oito.errors import BadInput
from oito.flow.action import action
from oito.show import Page

HEAVY = {
    "polars",
    "numpy",
    "sklearn",
    "duckdb",
    "onnxruntime",
    "onnx",
    "optuna",
    "scipy",
    "msgspec",
    "starlette",
    "jinja2",
}


def modules_after(code: str) -> tuple[int, set[str]]:
    """Return how many modules Python code loads beyond a bare start, and the heavy ones among them."""
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - before), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(run.stderr.split())
    return len(loaded), loaded & HEAVY


def test_importing_oito_loads_few_modules_and_no_heavy_one() -> None:
    count, heavy = modules_after("import oito")
    assert count <= 150 and not heavy


def test_help_loads_no_heavy_library() -> None:
    count, heavy = modules_after("from oito.cli import main; main(['--help'])")
    assert count <= 150 and not heavy


def test_the_plan_of_a_missing_project_and_every_commands_help_load_no_heavy_library(tmp_path: Path) -> None:
    names = [name.split() for name in parser.everything()]
    code = f"from oito.cli import main\nfor name in {names!r}: assert main([*name, '--help']) == 0"
    _, heavy = modules_after(code)
    assert not heavy
    _, heavy = modules_after(f"from oito.cli import main; main(['-C', {str(tmp_path)!r}, 'settings', '--json'])")
    assert not heavy


def test_the_overview_lists_the_actions_as_they_are() -> None:
    known = {name: (act.summary, act.group, act.writes, own) for name, (act, own) in parser.everything().items()}
    read = {line.name: (line.summary, line.group, line.writes, line.is_service) for line in overview.read()}
    assert read == known and list(read) == list(known)


def test_every_action_says_what_it_does_and_what_it_takes() -> None:
    for name, (act, _) in parser.everything().items():
        assert act.summary.endswith("."), f"{name} has no sentence"
        silent = [field.name for field in act.fields if not field.help]
        assert not silent, f"{name} does not explain {silent}"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_help_of_one_command_comes_from_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "rollback", "--help")
    assert code == 0
    assert out.startswith("usage: oito rollback [--to TO]")
    assert "Put an environment back to where it stood before its newest release, in one transaction." in out
    assert "everywhere:" in out and "--json" in out


def test_without_words_the_overview_is_shown_and_a_question_was_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys)[0] == 2
    code, out, _ = said(capsys, "--help")
    assert code == 0 and "begin and serve\n  init " in out and "\nlabels\n  label next " in out
    assert said(capsys, "--version") == (0, "oito 0.1.0\n", "")
    code, out, _ = said(capsys, "label", "--help")
    assert code == 0 and "label give" in out and "begin and serve" not in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["plam"], "BadInput: there is no command 'plam'\n  next     did you mean 'plan'?\n"),
        (["xyzzy"], "BadInput: there is no command 'xyzzy'\n  next     oito --help lists all\n"),
        (["label", "nxt"], "BadInput: there is no command 'label nxt'\n  next     did you mean 'next'?\n"),
        (["-e"], "BadInput: -e stands without a command\n  next     oito --help\n"),
        (
            ["runs", "--limit", "x"],
            "BadInput: oito runs: argument --limit: invalid int value: 'x'\n  next     oito runs --help\n",
        ),
        (
            ["accept", "x"],
            "BadInput: oito accept: the following arguments are required: --reason\n  next     oito accept --help\n",
        ),
    ],
)
def test_words_that_are_no_command_get_the_closest_one(
    words: Sequence[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *words) == (2, "", text)


def test_a_folder_without_a_project_is_told_and_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, "-C", str(tmp_path), "plan")
    assert (code, out) == (2, "")
    assert err == (
        "DeclarationError: the project file project.py is not there\n"
        f"  where    {tmp_path}\n"
        "  next     run the command in the project's folder, or start one with: oito init\n"
    )
    code, out, _ = said(capsys, "settings", "-C", str(tmp_path), "--json")
    assert code == 0
    told = {each["name"]: each for each in json.loads(out)["settings"]}
    assert told["port"] == {"name": "port", "value": 8787, "from": "default"}
    assert list(tmp_path.iterdir()) == []


def test_an_error_as_data_has_the_four_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "plan", "--json", "-C", str(tmp_path))
    assert code == 2 and list(json.loads(out)) == ["error", "what", "where", "known", "next"]
    assert err.startswith("DeclarationError: ")


def test_a_secret_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "oito.toml").write_text('token = "very secret"\n')
    for words in (["settings"], ["settings", "--json"]):
        _, out, _ = said(capsys, *words, "-C", str(tmp_path))
        assert "very secret" not in out and "•••" in out


LOOKS = [
    ["status"], ["plan"], ["plan", "target", "clean_clients_text"], ["why", "target_model"], ["diff"], ["check"], ["settings"],
    ["show", "target_model"], ["show", "target_model:v1"], ["show", "target_watch@production"], ["kind", "sources"],
    ["lineage", "target_service"], ["runs"], ["releases"], ["events", "--limit", "3"], ["environments", "--at", "2024-06-02"],
    ["experiments", "trials", "target_model"], ["monitor", "decisions", "target_watch"], ["dataset", "profile", "clean_clients_text"],
]  # fmt: skip


@pytest.mark.parametrize("words", LOOKS, ids=lambda words: " ".join(words))
def test_every_look_prints_and_gives_plain_data(
    words: Sequence[str], looped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-C", str(looped), "-e", "production", "--now", LATER]
    code, out, err = said(capsys, *words, *where)
    assert code == 0 and out.strip() and not err
    code, out, _ = said(capsys, *where, *words, "--json")
    assert code == 0 and isinstance(json.loads(out), dict)


def test_a_field_takes_what_its_type_says_and_says_so_otherwise() -> None:
    @action("do it")
    def do_it(
        site: object, names: list[str] | None = None, *, from_: int = 0, share: float = 0.5, is_on: bool = False
    ) -> Page:
        """Do it."""
        return Page("done", [], {"names": names, "from": from_, "share": share, "is_on": is_on})

    found = do_it.__action__  # type: ignore[attr-defined]  # hung there by the decorator
    assert found.many == "names" and [field.name for field in found.fields] == ["names", "from", "share", "is_on"]
    told = found.carry_out(None, {"names": "a b", "from": "7", "share": 1, "is_on": "on"})
    assert told.data == {"names": ["a", "b"], "from": 7, "share": 1.0, "is_on": True}
    for wrong, text in [
        ({"form": 1}, "do it takes no 'form'"), ({"from": "x"}, "from is 'x'"), ({"from": True}, "from is 'True'"),
        ({"names": [1]}, r"names is '\[1\]'"), ({"is_on": "maybe"}, "is_on is 'maybe'"), ({"share": [0.1]}, "share is"),
    ]:  # fmt: skip
        with pytest.raises(BadInput, match=text):
            found.carry_out(None, wrong)
