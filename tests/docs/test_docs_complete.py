"""Nothing that exists is missing from the manual: commands, settings, errors, declared fields, checks, states, benchmarks, links."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, get_args

import pytest

import manual
import oito
from oito.eight import KINDS
from oito.flow.entry import State
from oito.flow.kind import Spec

INNER = {"reader", "query", "file", "unreadable", *(field.name for field in fields(Spec))}
HINT = "python docs/reference.py writes it again"


def page(name: str) -> str:
    text: str = (manual.DOCS / f"{name}.md").read_text()
    return text


def reference() -> Any:
    spec = spec_from_file_location("reference", manual.DOCS / "reference.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_stands_in_the_manual_as_it_is() -> None:
    assert page("commands") == reference().commands(), HINT


def test_every_setting_stands_in_the_manual_as_it_is() -> None:
    assert page("settings") == reference().settings(), HINT


def test_every_error_stands_in_the_manual_as_it_is() -> None:
    assert reference().errors() in page("when-things-break"), HINT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.word)
def test_every_declared_field_has_a_row_on_its_page(kind: Any) -> None:
    text = page(kind.plural)
    names = [field.name for field in fields(kind.spec) if field.name not in INNER]
    assert [name for name in names if f"| `{name}` |" not in text] == []
    assert len(text.splitlines()[2]) > 20, "a page opens with one sentence"


def test_the_fields_of_every_declaration_are_listed() -> None:
    assert [field.name for field in fields(Spec) if f"| `{field.name}` |" not in page("how-it-works")] == []


def test_every_state_of_a_plan_is_explained() -> None:
    assert [state for state in get_args(State) if f"| `{state}` |" not in page("how-it-works")] == []
    assert [state for state in get_args(State) if f"**{state}:**" not in page("words")] == []


def test_every_public_name_stands_somewhere_in_the_manual() -> None:
    text = "".join(each.read_text() for each in manual.pages())
    assert [name for name in oito.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_benchmark_is_named() -> None:
    scripts = sorted(path.name for path in (manual.ROOT / "benchmarks").glob("*.py"))
    assert [name for name in scripts if f"`{name}`" not in page("why")] == []


def test_every_link_leads_somewhere() -> None:
    lost = []
    for each in manual.pages():
        for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", each.read_text()):
            if not (each.parent / target).exists():
                lost.append(f"{each.name}: {target}")
    assert lost == []


def test_every_page_opens_with_a_title_and_one_sentence() -> None:
    for each in manual.pages():
        title, empty, sentence, after = each.read_text().splitlines()[:4]
        assert title.startswith("# ") and not empty and not after, each.name
        assert sentence.endswith("."), each.name
