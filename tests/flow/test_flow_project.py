"""A project is understood whole or not at all: each fault of a declaration by its text and place, all at once."""

import sys
from pathlib import Path

import pytest

from oito.errors import DeclarationError, ProjectFaults
from oito.flow.project import Project, load
from oito.workspace import Workspace
from tiny import HEAD, KINDS_AND_MORE, WATCHED, Tiny


def faults(tiny: Tiny, body: str) -> list[str]:
    """Return the faults of a project as `line what [known] (next)`."""
    with pytest.raises(ProjectFaults) as told:
        tiny.write(HEAD + body).load()
    offset = HEAD.count("\n")
    found = []
    for fault in told.value.faults:
        file, _, line = fault.where.partition(":")
        assert file == "project.py"
        more = (f" [{fault.known}]" if fault.known else "") + (f" ({fault.next})" if fault.next else "")
        found.append(f"{int(line) - offset} {fault.what}{more}")
    return found


ORDERS = """@oito.source(key="id")
def orders(since): return outside()
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("@oito.dataset\ndef cleaned(ordres): ...\n", "3 cleaned needs 'ordres', which no asset is named (did you mean 'orders'?)"),
        ("@oito.dataset\ndef cleaned(cleaned): ...\n",
         "3 cleaned needs itself (give the parameter the name of another asset)"),
        ("@oito.dataset\ndef cleaned(*orders): ...\n", "3 cleaned takes *orders [parameters before * are assets, by name]"),
        ("@oito.dataset\ndef cleaned(orders, **more): ...\n", "3 cleaned takes **more [parameters before * are assets, by name]"),
        ("@oito.dataset\ndef cleaned(orders, /): ...\n",
         "3 cleaned takes 'orders' by position only [parameters before * are assets, by name] (remove the /)"),
        ("@oito.dataset\ndef cleaned(orders, *, least): ...\n",
         "3 cleaned: the option 'least' has no default (write least=... with a value, or put it before * if it is an asset)"),
        ("@oito.dataset\ndef cleaned(orders, least=3): ...\n",
         "3 cleaned needs 'least', which no asset is named (an option stands behind a star: def cleaned(..., *, least=3))"),
        ("@oito.dataset\nasync def cleaned(orders): ...\n",
         "3 cleaned is async [a step is called, not awaited] (write def, not async def)"),
        ("@oito.dataset(timeout='soon')\ndef cleaned(orders): ...\n",
         "3 cleaned: timeout: 'soon' is not a duration (write \"14d\" or \"1h30m\")"),
        ("@oito.source(every='0s')\ndef other(since): ...\n", "3 other: every is no time at all"),
        ("@oito.dataset(retries=-1)\ndef cleaned(orders): ...\n", "3 cleaned: retries is negative"),
        ("cleaned = oito.dataset(key='id')\n", "3 cleaned has no function (write a function below @oito.dataset(...))"),
        ("@oito.source\ndef other(orders): ...\n",
         "3 other: a source takes no asset as the parameter 'orders' [it is given since, until]"),
        ("@guess(of=orders)\ndef size(rows): ...\n", "3 size: of= refers to orders, a source [it takes a dataset]"),
        ("@guess(of=outside)\ndef size(rows): ...\n", "3 size: of= refers to outside, which is no asset of this project"),
        ("@guess(of=None)\ndef size(rows): ...\n", "3 size: of= refers to nothing (it takes a dataset)"),
        ("busy = oito.dataset.sql(query='SELECT * FROM ordres')\n",
         "3 busy needs 'ordres', which no asset is named (did you mean 'orders'?)"),
        ("from typing import Annotated\n@oito.dataset\ndef cleaned(rows: Annotated[pl.DataFrame, oito.From(outside)]): ...\n",
         "4 cleaned: the parameter 'rows' is from outside, which is no asset of this project (known are orders)"),
        ("@oito.dataset\ndef cleaned(orders): ...\n@oito.dataset\ndef cleaned(orders): ...\n",
         "5 two assets are named 'cleaned' [the other is at project.py:17] (rename one of them)"),
        ("@oito.dataset\ndef cleaned(orders): ...\ncleaned = 3\n",
         "5 something hides the asset 'cleaned' [the other is at project.py:17] (rename one of them)"),
        ("import functools\ndef noisy(f):\n    @functools.wraps(f)\n    def inner(*a, **k): return f(*a, **k)\n    return inner\n"
         "@noisy\n@oito.dataset\ndef cleaned(orders): ...\n",
         "8 cleaned has another decorator above @oito.dataset, which would be passed over (write @oito.dataset on top)"),
        ("@oito.dataset\ndef a(b): ...\n@oito.dataset\ndef b(a): ...\n",
         "3 assets need each other in a ring: a → b → a (remove one of the parameters)"),
    ],
)  # fmt: skip
def test_a_fault_says_what_where_and_what_to_do(tiny: Tiny, body: str, told: str) -> None:
    assert faults(tiny, ORDERS + body) == [told]


def test_all_faults_are_told_at_once_in_the_order_of_the_lines(tiny: Tiny) -> None:
    many = "".join(f"@oito.dataset\ndef d{n}(nothing{n}): ...\n" for n in range(12))
    assert [each.split()[:3] for each in faults(tiny, ORDERS + many)] == [
        [str(3 + 2 * n), f"d{n}", "needs"] for n in range(12)
    ]


def test_the_error_itself_numbers_the_faults(tiny: Tiny) -> None:
    with pytest.raises(ProjectFaults) as told:
        tiny.write("import oito\n@oito.dataset\ndef a(x): ...\n@oito.dataset\ndef b(y): ...\n").load()
    assert str(told.value).splitlines()[:4] == [
        "the project has 2 faults",
        "1. a needs 'x', which no asset is named",
        "  where    project.py:2",
        "  next     known are b",
    ]


def test_a_class_below_a_decorator_is_told_with_its_line(tiny: Tiny) -> None:
    with pytest.raises(DeclarationError) as told:
        tiny.write("import oito\n@oito.dataset\nclass cleaned: ...\n").load()
    assert told.value.what == "@oito.dataset stands above cleaned, which is no function"
    assert told.value.where == "project.py:2"


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("import oito\nx = 1 / 0\n", "project.py cannot be imported: ZeroDivisionError: division by zero", "project.py:2"),
        ("def broken(:\n", "project.py cannot be imported: SyntaxError: invalid syntax (project.py, line 1)", "project.py:1"),
        ("import not_there\n", "project.py cannot be imported: ModuleNotFoundError: No module named 'not_there'", "project.py:1"),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_imported_is_told_with_its_line(tiny: Tiny, text: str, what: str, where: str) -> None:
    with pytest.raises(DeclarationError) as told:
        tiny.write(text).load()
    assert (told.value.what, told.value.where) == (what, where)


def test_a_project_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as told:
        load(tmp_path, ["project.py"], KINDS_AND_MORE)
    assert told.value.what == "the project file project.py is not there"
    assert told.value.next == "run the command in the project's folder, or start one with: oito init"


def test_a_kind_that_is_not_installed_is_a_fault(tiny: Tiny) -> None:
    tiny.write(HEAD + ORDERS + "@guess(of=orders)\ndef size(rows): ...\n")
    with pytest.raises(ProjectFaults) as told:
        load(tiny.root, ["project.py"], KINDS_AND_MORE[:-2])
    fault = told.value.faults[0]
    assert fault.what == "size is a guess, which is no kind here"
    assert fault.next == "install the plug-in that brings it, with its entry point in the group oito.kinds"


def test_a_plug_in_brings_its_kind_by_an_entry_point(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tiny.root / "site" / "guessing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guessing\nVersion: 1.0\n")
    lines = ["[oito.kinds]", "guess = kind_guess.spec:KIND", "look = kind_look.spec:KIND"]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(info.parent))
    tiny.write(WATCHED)
    with_plug_in = Workspace(tiny.root, clock=tiny.clock)
    assert {kind.word for kind in with_plug_in.project.kinds.values()} >= {"guess", "look", "dataset"}
    outcome = with_plug_in.run("watch")
    assert [step.asset for step in outcome.steps] == ["orders", "cleaned", "size", "watch"]
    assert with_plug_in["size"].read() == 12.0
    with_plug_in.close()


def inputs(project: Project, name: str) -> dict[str, str]:
    return {each.role: each.asset for each in project.asset(name).inputs}


def test_inputs_come_by_name_by_annotation_by_field_and_by_query(tiny: Tiny) -> None:
    body = """
from typing import Annotated
@oito.dataset
def cleaned(orders): ...
@oito.dataset
def both(orders, other: Annotated["pl.LazyFrame", oito.From(cleaned)]): ...
busy = oito.dataset.sql(query="SELECT * FROM cleaned JOIN orders USING (id)")
@guess(of=cleaned)
def size(rows): ...
"""
    project = tiny.write(HEAD + ORDERS + body).load()
    assert inputs(project, "both") == {"orders": "orders", "other": "cleaned"}
    assert inputs(project, "busy") == {"cleaned": "cleaned", "orders": "orders"}
    assert inputs(project, "size") == {"of": "cleaned"}
    assert list(project.assets) == ["orders", "cleaned", "both", "busy", "size"]
    assert [each.name for each in project.needed(["size"])] == ["orders", "cleaned", "size"]
    assert [each.name for each in project.below("cleaned")] == ["both", "busy", "size"]


def test_annotations_that_only_type_checkers_understand_still_name_their_asset(tiny: Tiny) -> None:
    body = """from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
import oito
if TYPE_CHECKING:
    import polars as pl
@oito.source
def orders(since: pl.Expr): ...
@oito.dataset
def cleaned(rows: Annotated[object, oito.From(orders)], other: Annotated[object, oito.From("orders")]) -> pl.DataFrame: ...
"""
    assert inputs(tiny.write(body).load(), "cleaned") == {"rows": "orders", "other": "orders"}


def test_an_alias_and_a_shared_decorator_make_no_asset_of_their_own(tiny: Tiny) -> None:
    body = "keyed = oito.dataset(key='id')\n@keyed\ndef a(orders): ...\nother = a\n@keyed\ndef b(a): ...\n"
    project = tiny.write(HEAD + ORDERS + body).load()
    assert list(project.assets) == ["orders", "a", "b"]
    assert [project.asset(name).line - HEAD.count("\n") for name in "ab"] == [4, 7]


def test_one_decorator_above_two_functions_does_not_mix_them_up(tiny: Tiny) -> None:
    body = "keyed = oito.dataset(key='id')\n@keyed\ndef a(orders): ...\n@keyed\ndef b(orders): ...\n@guess(of=a)\ndef size(rows): ...\n"
    assert inputs(tiny.write(HEAD + ORDERS + body).load(), "size") == {"of": "a"}


def test_assets_from_a_factory_are_named_by_the_module(tiny: Tiny) -> None:
    body = "def made(n):\n    @oito.dataset\n    def inner(orders): return orders.head(n)\n    return inner\nfirst = made(1)\nsecond = made(2)\n"
    assert list(tiny.write(HEAD + ORDERS + body).load().assets) == ["orders", "first", "second"]


def test_an_asset_of_a_helper_module_belongs_once_it_is_imported_by_name(tiny: Tiny) -> None:
    tiny.write(
        "import oito\n@oito.source\ndef orders(since): ...\n@oito.source\ndef unused(since): ...\n", "parts/shared.py"
    )
    project = tiny.write(
        "import oito\nfrom parts.shared import orders\n@oito.dataset\ndef cleaned(orders): ...\n"
    ).load()
    assert list(project.assets) == ["orders", "cleaned"]
    assert Path(project.asset("orders").file).name == "shared.py"


def test_two_projects_follow_each_other_in_one_process_and_keep_their_own_helpers(tmp_path: Path) -> None:
    for name, helper in (("one", "helper"), ("two", "helper")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{helper}.py").write_text(f"SAYS = {name!r}\n")
        (folder / f"{name}_project.py").write_text(
            "import oito\nfrom helper import SAYS\n@oito.source\ndef orders(since):\n    import helper\n    return SAYS, helper.SAYS\n"
        )
    first = load(tmp_path / "one", ["one_project.py"], KINDS_AND_MORE)
    second = load(tmp_path / "two", ["two_project.py"], KINDS_AND_MORE)
    assert second.asset("orders").function("") == ("two", "two")  # type: ignore[misc]  # it has one
    from oito.flow import loading

    loading.activate(first.root, first.modules)
    assert first.asset("orders").function("") == ("one", "one")  # type: ignore[misc]  # it has one
    assert str(tmp_path / "two") not in sys.path


def test_a_project_inside_of_another_is_told_apart_from_it_both_ways(tmp_path: Path) -> None:
    inner = tmp_path / ".oito" / "bundles" / "first"
    inner.mkdir(parents=True)
    for folder, says in ((tmp_path, "outer"), (inner, "inner")):
        (folder / "helper.py").write_text(f"SAYS = {says!r}\n")
        (folder / "project.py").write_text(
            "import oito\nfrom helper import SAYS\n@oito.source\ndef orders(since): return SAYS\n"
        )
    for folder, says in ((inner, "inner"), (tmp_path, "outer"), (inner, "inner")):
        assert load(folder, ["project.py"], KINDS_AND_MORE).asset("orders").function("") == says  # type: ignore[misc]  # it has one


def test_a_module_edited_within_the_same_second_is_read_again(tiny: Tiny) -> None:
    for n in range(20):  # the size stays, and the second most times: a compiled file would be taken for current
        tiny.write(f"VALUE = {n % 10}\n", "helper.py")
        project = tiny.write(
            "import oito\nfrom helper import VALUE\n@oito.source\ndef orders(since): return VALUE\n"
        ).load()
        assert project.asset("orders").function("") == n % 10  # type: ignore[misc]  # it has one


def test_what_did_not_change_is_not_imported_twice(tiny: Tiny) -> None:
    tiny.write(HEAD + ORDERS)
    assert tiny.load().asset("orders").function is tiny.load().asset("orders").function


def test_importing_leaves_no_compiled_files(tiny: Tiny) -> None:
    tiny.write("VALUE = 1\n", "helper.py").write("import oito\nimport helper\n").load()
    assert not list(tiny.root.rglob("*.pyc"))


def test_a_module_named_like_one_of_python_leaves_that_one_alone(tiny: Tiny) -> None:
    import statistics

    tiny.write("x = 1\n", "statistics.py").write(HEAD + ORDERS).load()
    assert sys.modules["statistics"] is statistics
