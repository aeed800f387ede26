"""The text of `oito --help`. It reads the actions' files without importing them, because help must come at once.

What one action takes is read from the action itself, by parser.py. A test holds the two to the same list.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from oito.eight import kinds

GENERAL = (
    "oito.flow.actions",
    "oito.flow.releases.releasing",
    "oito.flow.pages",
    "oito.flow.curves",
    "oito.flow.timetable",
    "oito.flow.upkeep.cleaning",
    "oito.flow.upkeep.integrity",
    "oito.flow.remaking.verify",
    "oito.simulation.actions",
)
OWN = "oito.cli.services"


@dataclass(frozen=True)
class Line:
    """What the overview tells of one action."""

    name: str
    summary: str
    group: str
    writes: bool
    is_service: bool


def read() -> list[Line]:
    """Return a line for each action, in the order in which they are written."""
    own = list(_lines(OWN))
    taken = {line.name for line in own}
    modules = (*GENERAL, *(f"{kind.package}.actions" for kind in kinds()))
    return [*own, *(line for module in modules for line in _lines(module) if line.name not in taken)]


def text(lines: Iterable[Line]) -> str:
    """Return the lines under their groups: what begins, what changes, what looks, then system by system."""
    lines = list(lines)
    width = max(len(line.name) for line in lines) + 2
    groups: dict[str, list[str]] = {}
    for line in lines:
        group = line.group or ("begin and serve" if line.is_service else "change" if line.writes else "look")
        groups.setdefault(group, []).append(f"  {line.name:<{width}}{_headline(line.summary)}")
    told = [
        "oito: a whole machine-learning system as one plain Python module",
        "",
        "usage: oito COMMAND [--json] [-e ENVIRONMENT] [-C FOLDER] [--now MOMENT]",
        "",
    ]
    for group in sorted(groups, key=["begin and serve", "change", "look", *groups].index):
        told += [group, *groups[group], ""]
    return "\n".join([*told, "oito COMMAND --help tells more about one."]) + "\n"


def _lines(module: str) -> Iterator[Line]:
    spec = find_spec(module)
    if spec is None or not spec.origin:
        return
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "action":
                    told = {each.arg: ast.literal_eval(each.value) for each in mark.keywords}
                    summary = (ast.get_docstring(node) or "").split("\n")[0]
                    name = ast.literal_eval(mark.args[0])
                    yield Line(name, summary, told.get("group", ""), told.get("writes", False), module == OWN)


def _headline(sentence: str) -> str:
    """Return a sentence up to its first explanation.

    Example:
        >>> _headline("Open the pages: the loop, every asset.")
        'Open the pages'
    """
    return re.split(r"[:;] | \(", sentence)[0].rstrip(".")
