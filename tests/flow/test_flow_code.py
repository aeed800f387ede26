"""Closures of functions beyond single edits: places, errors, packages on disk, code that is older than its file."""

import importlib.util
import linecache
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.errors import DeclarationError
from oito.flow.code import packages
from oito.flow.code.closure import Closure, closure
from oito.flow.code.packages import version_of
from oito.flow.code.references import uses_of
from oito.flow.code.shown import shown_text
from oito.flow.code.syntax import bytecode

PROJECT = """\
import helpers

RATE = 0.25
API_KEY = "hunter2"


def asset(rows, least=1):
    return helpers.clean(rows) * RATE, API_KEY
"""


def loaded(folder: Path, name: str, text: str, *, file: str = "project.py") -> types.ModuleType:
    """Write a module and load it from its path under `name`."""
    path = folder / file
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def keys(found: Closure) -> tuple[Any, ...]:
    return dict(found.code), dict(found.values), dict(found.packages)


@pytest.fixture(autouse=True)
def a_clean_import_system(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the modules and folders that a test has added, but no library, and leave no bytecode beside sources."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    modules, path = dict(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - set(modules):
        if sys.prefix not in str(getattr(sys.modules[name], "__file__", None) or sys.prefix):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def project(tmp_path: Path) -> types.ModuleType:
    sys.path.insert(0, str(tmp_path))
    (tmp_path / "helpers.py").write_text("def clean(rows):\n    return rows\n")
    return loaded(tmp_path, "project", PROJECT)


def test_symbols_values_places_and_files_are_told(project: types.ModuleType, tmp_path: Path) -> None:
    found = closure(project.asset, roots=[tmp_path])
    assert set(found.code) == {"project.asset", "helpers.clean"}
    assert set(found.values) == {"project.RATE", "project.API_KEY", "project.asset.<default least>"}
    assert found.places["helpers.clean"] == (str(tmp_path / "helpers.py"), 1)
    assert found.places["project.RATE"] == (str(tmp_path / "project.py"), 3)
    assert set(found.files) == {str(tmp_path / "project.py"), str(tmp_path / "helpers.py")}
    assert found.shown["project.RATE"] == "0.25"
    assert found.packages == {}


def test_a_value_that_sounds_like_a_secret_is_never_shown(project: types.ModuleType, tmp_path: Path) -> None:
    assert "hunter2" not in str(closure(project.asset, roots=[tmp_path]))


def test_a_module_loaded_under_another_name_has_the_same_digests(project: types.ModuleType, tmp_path: Path) -> None:
    again = loaded(tmp_path, "project_1f3a", PROJECT)
    assert keys(closure(again.asset, roots=[tmp_path])) == keys(closure(project.asset, roots=[tmp_path]))


def test_several_functions_are_read_in_one_walk_so_that_no_two_share_a_name(tmp_path: Path) -> None:
    module = loaded(tmp_path, "project", "a = lambda x: x + 1\nb = lambda x: x + 2\n")
    found = closure((module.a, module.b), roots=[tmp_path])
    assert set(found.code) == {"project.<lambda>", "project.<lambda>#2"}


def test_a_global_that_cannot_be_keyed_is_an_error_with_path_use_and_fix(tmp_path: Path) -> None:
    module = loaded(
        tmp_path,
        "project",
        "import threading\nPOOL = {'a': threading.Lock()}\ndef read():\n    return POOL\ndef asset(): return read()\n",
    )
    with pytest.raises(DeclarationError) as caught:
        closure(module.asset, roots=[tmp_path])
    assert str(caught.value) == (
        "project.POOL['a'] is a _thread.lock: its content cannot be told, so a change of it would not be seen\n"
        "  where    project.py:2; used by project.read at project.py:3\n"
        "  known    reached through project.asset -> project.read -> project.POOL['a']\n"
        "  next     make it inside read, or behind a function with functools.cache, "
        "or leave it out in its object's __getstate__"
    )


def test_code_that_is_older_than_its_file_is_keyed_as_it_was_loaded(project: types.ModuleType, tmp_path: Path) -> None:
    before = closure(project.asset, roots=[tmp_path])
    (tmp_path / "project.py").write_text(PROJECT.replace("* RATE", "/ RATE"))
    edited = loaded(tmp_path, "edited", PROJECT.replace("* RATE", "/ RATE"))
    old, new = closure(project.asset, roots=[tmp_path]), closure(edited.asset, roots=[tmp_path])
    assert old.code["project.asset"] not in (before.code["project.asset"], new.code["project.asset"])
    assert old.code["project.asset"] == bytecode(project.asset.__code__)


def test_a_comment_written_while_a_process_runs_changes_nothing(project: types.ModuleType, tmp_path: Path) -> None:
    before = keys(closure(project.asset, roots=[tmp_path]))
    (tmp_path / "project.py").write_text("# a new first line\n\n" + PROJECT)
    assert keys(closure(project.asset, roots=[tmp_path])) == before


def executed(text: str) -> Any:
    space: dict[str, Any] = {"__name__": "console"}
    exec(text, space)
    return space["asset"]


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("def asset(x): return x + 1", True),
        ("def asset(x):\n    'Doc.'\n\n    return x + 1", True),
        ("def asset(x): return x + 2", False),
        ("def asset(x): return x - 1", False),
        ("def asset(x, y=1): return x + 1", False),
    ],
)
def test_code_without_a_source_is_keyed_by_what_it_does(text: str, is_same: bool) -> None:
    first = closure(executed("def asset(x): return x + 1"), roots=[])
    assert (keys(closure(executed(text), roots=[])) == keys(first)) == is_same


def test_constants_in_a_set_have_one_digest_in_every_process() -> None:
    text = (
        "from oito.flow.code.closure import closure\nspace = {'__name__': 'console'}\n"
        "exec(\"def asset(x): return x in {'a', 'b', 'c', 'd'}\", space)\n"
        "print(closure(space['asset'], roots=[]).code)"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", text], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1


def test_a_notebook_cell_is_read_from_the_line_cache() -> None:
    texts = ["def asset(x):\n    return x  # one\n", "def asset(x):\n\n    return x\n"]
    digests = []
    for number, text in enumerate(texts):
        file = f"<cell {number}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, file, "exec"), space)
        digests.append(closure(space["asset"], roots=[]).code)
    assert digests[0] == digests[1]


def test_decorators_of_oito_are_no_part_of_the_code(tmp_path: Path) -> None:
    text = "from oito.flow import declare\nclass Spec: pass\n{}def asset(rows): return rows\n"
    plain = loaded(tmp_path, "plain", text.format(""))
    before = closure(plain.asset, roots=[tmp_path])
    decorated = loaded(tmp_path, "decorated", text.format("@declare.Decorator(Spec())\n"))
    assert decorated.asset.__oito__
    assert keys(closure(decorated.asset, roots=[tmp_path])) == keys(before)


def test_an_asset_called_as_a_helper_counts_as_code(tmp_path: Path) -> None:
    text = "from oito.flow import declare\n@declare.Decorator({})\ndef clean(rows): return rows\ndef asset(rows): return clean(rows)\n"
    module = loaded(tmp_path, "project", text.replace("{}", "object()"))
    assert set(closure(module.asset, roots=[tmp_path]).code) == {"project.asset", "project.clean"}


def test_a_module_that_cannot_be_imported_is_keyed_by_its_text(tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    text = "def asset():\n    try:\n        import fragile\n    except ImportError:\n        return 0\n    return fragile.x\n"
    module = loaded(tmp_path, "project", text)
    found = []
    for number in (1, 2):
        (tmp_path / "fragile.py").write_text(f"import no_such_thing\nx = {number}{' ' * number}\n")
        found.append(closure(module.asset, roots=[tmp_path]).code)
    assert found[0]["fragile"] != found[1]["fragile"]


LINES = [
    "kept = []",
    "for row in rows:",
    "    kept.append(row * RATE)",
    "    if row > 3:",
    "        break",
    "return kept",
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["", "# a comment", "    # another", "\t"]), min_size=len(LINES), max_size=len(LINES)))
def test_comments_and_blank_lines_between_statements_never_count(tmp_path_factory: Any, between: list[str]) -> None:
    folder = tmp_path_factory.mktemp("lines")
    head = "RATE = 2\ndef asset(rows):\n"
    plain = loaded(folder, "plain", head + "".join(f"    {line}\n" for line in LINES))
    before = keys(closure(plain.asset, roots=[folder]))
    noisy = head + "".join(f"{noise}\n    {line}\n" for noise, line in zip(between, LINES, strict=True))
    assert keys(closure(loaded(folder, "noisy", noisy).asset, roots=[folder])) == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner) | st.frozensets(st.integers()),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_two_values_share_a_digest_only_when_type_and_content_agree(one: object, other: object) -> None:
    def holder(value: object) -> Any:
        return lambda: value

    same = repr(one) == repr(other)
    first, second = closure(holder(one), roots=[]), closure(holder(other), roots=[])
    assert (first.values == second.values) == same


def installed(folder: Path, version: str, *, module: str = "fakelib", name: str = "Fake-Lib") -> None:
    """Put a distribution on the disk as an installer does."""
    for old in folder.glob("*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    package = folder / module
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("def mean(rows): return 0\n")
    info = folder / f"{name.replace('-', '_').lower()}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: 9 is a heading\n"
    )
    (info / "RECORD").write_text(f"{module}/__init__.py,sha256=x,25\n{info.name}/METADATA,,\n")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    sys.path.insert(0, str(folder))
    return folder


def test_an_upgrade_on_the_disk_is_seen(site: Path, tmp_path: Path) -> None:
    installed(site, "1.0.0")
    module = loaded(
        tmp_path, "project", "import fakelib as f\ndef asset(rows): return f.mean(rows)\ndef other(rows): return rows\n"
    )
    before = closure(module.asset, roots=[tmp_path])
    assert before.packages == {"Fake-Lib": "1.0.0"}
    assert version_of("fakelib") == packages.Package("Fake-Lib", "1.0.0")
    installed(site, "1.1.0")
    after = closure(module.asset, roots=[tmp_path])
    assert (after.code, after.values) == (before.code, before.values)
    assert after.packages == {"Fake-Lib": "1.1.0"}
    assert closure(module.other, roots=[tmp_path]).packages == {}


def test_a_package_imported_in_the_body_is_found_without_importing_it(site: Path, tmp_path: Path) -> None:
    installed(site, "2.0")
    module = loaded(tmp_path, "project", "def asset(rows):\n    from fakelib import mean\n    return mean(rows)\n")
    assert closure(module.asset, roots=[tmp_path]).packages == {"Fake-Lib": "2.0"}
    assert "fakelib" not in sys.modules


@pytest.mark.parametrize("annotation", ["f.Frame", "'f.Frame'", "list['f.Frame'] | None"])
def test_a_package_named_for_type_checkers_only_counts(site: Path, tmp_path: Path, annotation: str) -> None:
    installed(site, "2.0")
    text = (
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fakelib as f\n"
        f"def asset(rows: {annotation}): return rows\n"
    )
    assert closure(loaded(tmp_path, "project", text).asset, roots=[tmp_path]).packages == {"Fake-Lib": "2.0"}


def test_code_in_no_distribution_is_the_users_own_wherever_it_stands(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sys.path.insert(0, str(elsewhere))
    (elsewhere / "shared.py").write_text("def clean(rows): return rows\n")
    root = tmp_path / "root"
    root.mkdir()
    module = loaded(root, "project", "import shared\ndef asset(rows): return shared.clean(rows)\n")
    assert "shared.clean" in closure(module.asset, roots=[root]).code


def test_a_module_under_another_name_than_its_distribution_is_found() -> None:
    sklearn, yaml = version_of("sklearn"), version_of("json")
    assert sklearn is not None
    assert sklearn.name == "scikit-learn"
    assert yaml is None


def test_a_users_function_inside_a_librarys_object_is_reached(tmp_path: Path) -> None:
    text = (
        "from sklearn.preprocessing import FunctionTransformer\ndef half(x): return x / 2\n"
        "STEP = FunctionTransformer(half)\ndef asset(rows): return STEP.transform(rows)\n"
    )
    found = closure(loaded(tmp_path, "project", text).asset, roots=[tmp_path])
    assert "project.half" in found.code
    assert "scikit-learn" in found.packages


def test_names_are_read_from_bytecode_with_their_attributes_and_imports() -> None:
    space: dict[str, Any] = {}
    exec("def f(x):\n    import a.b as c, d\n    from .e import g\n    return h.i.j(c.k, d, lambda: g(x))\n", space)
    uses = uses_of(space["f"].__code__)
    assert ("h", ("i", "j")) in [(r.name, r.attributes) for r in uses.references]
    assert ("c", ("k",)) in [(r.name, r.attributes) for r in uses.references]
    assert [(i.name, i.level, i.attributes, i.alias) for i in uses.imports] == [
        ("a.b", 0, (), "c"),
        ("d", 0, (), "d"),
        ("e", 1, ("g",), "g"),
    ]


@pytest.mark.parametrize("name", ["DB_PASSWORD", "project.token", "project.SETTINGS.api_key"])
def test_a_shown_text_keeps_secrets_by_name(name: str) -> None:
    assert shown_text(name, "abc") == "a str, not shown"


def test_a_shown_text_has_at_most_sixty_characters() -> None:
    assert len(shown_text("x", list(range(1000)))) <= 60
    assert len(shown_text("x", "a" * 1000)) <= 60
