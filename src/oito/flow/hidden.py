"""Assets that something of the same name, further down in the file, hides: Python keeps the last, and says nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from oito.errors import DeclarationError
from oito.flow.declare import Decorator
from oito.flow.kind import Kind


def hidden(module: ModuleType, kinds: Mapping[str, Kind]) -> Iterator[DeclarationError]:
    """Yield a fault for each asset that something of the same name, further down, hides."""
    if not module.__file__:
        return
    file, first = Path(module.__file__), dict[str, int]()
    for node in ast.parse(file.read_bytes()).body:
        is_asset, names = _binding(node, module, kinds)
        line = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        for name in names:
            if name in first:
                known = f"the other is at {file.name}:{first[name]}"
                where = f"{file.name}:{line}"
                yield DeclarationError(f"two assets are named {name!r}" if is_asset else f"something hides the asset {name!r}",
                                       where=where, known=known, next="rename one of them")  # fmt: skip
            if is_asset:
                first[name] = line


def _binding(node: ast.stmt, module: ModuleType, kinds: Mapping[str, Kind]) -> tuple[bool, list[str]]:
    """Return whether a statement declares an asset, and the names that it binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return any(_declares(each, module, kinds) for each in node.decorator_list), [node.name]
    if isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        return isinstance(node.value, ast.Call) and _declares(node.value, module, kinds), names
    return False, []


def _declares(node: ast.expr, module: ModuleType, kinds: Mapping[str, Kind]) -> bool:
    """Say whether an expression is the decorator of a kind: `@dataset`, `@oito.dataset(...)`, `oito.source.files(...)`."""
    words = []
    while isinstance(node, ast.Call | ast.Attribute):
        if isinstance(node, ast.Attribute):
            words.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    thing = vars(module).get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(thing, ModuleType):
        packages = {"oito", *(kind.package for kind in kinds.values())}
        return thing.__name__ in packages and not {*words}.isdisjoint(kinds)
    if isinstance(thing, Decorator):
        return True
    homes = {f"{kind.package}.spec" for kind in kinds.values()}
    word = getattr(thing, "__name__", type(thing).__name__.strip("_").lower())
    return getattr(thing, "__module__", None) in homes and word in kinds
