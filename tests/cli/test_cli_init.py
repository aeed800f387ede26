"""`oito init`: from a table of thirty mixed columns with gaps to a monitored endpoint, in under forty lines; nothing is lost."""

import ast
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from begun_project import BEGAN, LATER, began_at, begin, mixed_table, opened, went_round
from oito.cli import services
from oito.errors import BadInput, Refused
from oito.starter import example
from oito.starter.table import guessed
from oito.workspace import Workspace

KINDS = ["source", "dataset", "features", "labels", "model", "experiment", "endpoint", "monitor"]


@pytest.mark.parametrize(
    ("label", "task", "outputs"),
    [
        ("bool", "classification", 1),
        ("text", "classification", 1),
        ("int", "classification", 3),
        ("number", "regression", 1),
    ],
)
def test_a_table_of_thirty_columns_reaches_a_monitored_endpoint(
    label: str, task: str, outputs: int, tmp_path: Path
) -> None:
    assert mixed_table(label).width == 30
    page = begin(tmp_path / "made", label)
    assert page.data["task"] == task and page.data["label"] == "target" and page.data["entity"] == "client_id"
    assert page.data["left_out"] == ["notes", "born", "empty"]
    said = went_round(tmp_path / "made")
    assert len({answer["prediction_id"] for answer in said}) == 3
    workspace = opened(tmp_path / "made")
    assert [asset.kind.word for asset in workspace.project.assets.values()] != KINDS[:1]
    assert sorted(asset.kind.word for asset in workspace.project.assets.values()) == sorted(KINDS)
    endpoint = workspace["target_service"].version
    assert len(endpoint.record["outputs"]) == outputs
    verdict = workspace["target_watch"].version
    assert verdict.record["status"] == "good" and verdict.environment == "production"
    workspace.close()


@pytest.mark.parametrize("label", ["bool", "text", "int", "number"])
def test_the_module_is_short_formatted_and_fully_typed_in_names(label: str, tmp_path: Path) -> None:
    begin(tmp_path / "made", label)
    module = tmp_path / "made" / "project.py"
    text = module.read_text()
    assert len(text.splitlines()) <= 40
    assert ast.get_docstring(ast.parse(text))
    style = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--line-length", "120", str(module)]
    assert subprocess.run(style, capture_output=True, check=False).returncode == 0
    lint = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "E,F,W,I,UP,B",
        "--line-length",
        "120",
        str(module),
    ]
    assert subprocess.run(lint, capture_output=True, check=False).returncode == 0


def test_without_a_table_a_made_up_one_is_split_by_time(tmp_path: Path) -> None:
    page = services.init(Workspace(tmp_path, now=BEGAN))
    assert page.data["label"] == "returned" and page.data["time"] == "ordered_at" and page.data["entity"] == "order_id"
    assert "by_time" in (tmp_path / "project.py").read_text()
    assert (tmp_path / ".gitignore").read_text().startswith(".oito/")
    assert page.data["next"] == ["oito run", 'oito release production --message "first"', "oito serve"]
    workspace = Workspace(tmp_path, now=BEGAN)
    assert len(workspace.project.assets) == 8
    workspace.close()
    assert example.orders(began_at()) == example.orders(began_at())


def test_a_table_without_key_and_times_is_numbered_and_has_one_moment(tmp_path: Path) -> None:
    mixed_table("bool").drop("client_id", "born").write_csv(tmp_path / "2024 Class!.csv")
    page = services.init(Workspace(tmp_path, now=BEGAN), "p", data=str(tmp_path / "2024 Class!.csv"))
    text = (tmp_path / "p" / "project.py").read_text()
    assert page.data["entity"] is None and page.data["time"] is None
    assert 't2024_class = oito.source.files("data/2024 Class!.csv")' in text
    assert '.with_row_index("row")' in text and "datetime(2024, 6, 1, 12, 0, tzinfo=UTC)" in text
    workspace = Workspace(tmp_path / "p", now=LATER)
    workspace.run("target")
    assert workspace["target"].frame().height == mixed_table("bool").height
    workspace.close()


def test_a_table_inside_the_project_is_left_where_it_is(tmp_path: Path) -> None:
    mixed_table("bool").write_csv(tmp_path / "here.csv")
    services.init(Workspace(tmp_path, now=BEGAN), data=str(tmp_path / "here.csv"))
    assert 'oito.source.files("here.csv"' in (tmp_path / "project.py").read_text()
    assert not (tmp_path / "data").exists()


def test_a_project_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_text("mine = 1\n")
    with pytest.raises(Refused, match="has a project already"):
        services.init(Workspace(tmp_path, now=BEGAN))
    assert (tmp_path / "project.py").read_text() == "mine = 1\n" and len(list(tmp_path.iterdir())) == 1


def test_columns_that_are_named_are_checked_and_nothing_is_written(tmp_path: Path) -> None:
    mixed_table("bool").write_csv(tmp_path / "t.csv")
    workspace = Workspace(tmp_path, now=BEGAN)

    def refused(**named: str) -> str:
        with pytest.raises(BadInput) as caught:
            services.init(workspace, "p", data=str(tmp_path / "t.csv"), **named)
        assert not (tmp_path / "p").exists()
        return str(caught.value)

    assert "no column 'targt'" in refused(label="targt") and "did you mean 'target'?" in refused(label="targt")
    assert "'notes' is a text of 420 values" in refused(label="notes")
    assert "'group_1' is no time" in refused(time="group_1")
    assert "rows repeat another's count_1" in refused(entity="count_1")
    assert "is missing in" in refused(entity="group_1")
    assert "cannot name rows" in refused(entity="amount 1")
    assert "'empty' has 0 values" in refused(label="empty")
    with pytest.raises(BadInput, match="there is no file"):
        services.init(workspace, "p", data="nowhere.csv")


def test_guesses_follow_the_columns() -> None:
    now = began_at()
    days = [now - timedelta(days=n) for n in range(100)][::-1]
    table = pl.DataFrame({"at": days, "who": ["a", "b"] * 50, "size": range(100), "kind": [0.0, 1.0] * 50})
    found = guessed(table, now=now)
    assert (found.time, found.label, found.task, found.is_whole) == ("at", "kind", "classification", True)
    assert found.entity == "" and found.inputs == ("who", "size") and found.test_days == 20
    assert guessed(table, now=days[50]).time == "", "moments of the future are no time to ask at"
    assert guessed(table, label="size", now=now).task == "regression"
    assert guessed(table, entity="who", now=now).is_key is False
    with pytest.raises(BadInput, match="the table has 9 rows"):
        guessed(table.head(9), now=now)
