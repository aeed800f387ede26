"""What belongs to a class: the members that can change a result, without what Python and libraries generate from them."""

import ast
import sys
import types
from collections.abc import Iterator
from enum import EnumMeta
from typing import Any

from oito.flow.code.syntax import Function

# Kinds of member that only say where an instance keeps a field.
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_SPECIAL_FUNCTIONS = (types.FunctionType, classmethod, staticmethod, property)


def names_in_body(node: ast.ClassDef) -> frozenset[str]:
    """Return the names that a class body defines or assigns."""
    found: set[str] = set()
    for statement in ast.walk(node):
        if isinstance(statement, Function | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Name) and isinstance(statement.ctx, ast.Store):
            found.add(statement.id)
    return frozenset(found)


def members_of(kind: type, *, written: frozenset[str] | None) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, value, strict) of a class's own members; `written` are the names in its body, None without source.

    Members the body does not name were put there by a decorator, a metaclass or a library: generated functions follow
    from the fields and are left out, other values count as far as they can be keyed (`strict` is false).
    """
    if isinstance(kind, EnumMeta):
        members: dict[str, Any] = dict(kind.__members__)
        for name, member in members.items():
            yield name, member.value, True
    for name, value in list(vars(kind).items()):
        if isinstance(value, _SLOTS) or (isinstance(kind, EnumMeta) and _is_of_enum(name, value, kind, written)):
            continue
        is_code = isinstance(value, _SPECIAL_FUNCTIONS)
        if name.startswith("__") and name.endswith("__") and not is_code:
            continue
        if written is None:
            yield name, value, False
        elif name in written:
            yield name, value, True
        elif not _is_generated(value) and not name.startswith("_abc_"):
            yield name, value, False
    yield from _field_defaults(kind)


def _is_generated(value: object) -> bool:
    function = getattr(value, "__func__", getattr(value, "fget", value))
    return isinstance(function, types.FunctionType) and function.__code__.co_filename.startswith("<")


def _is_of_enum(name: str, value: object, kind: EnumMeta, written: frozenset[str] | None) -> bool:
    """Return whether a name on an enum is a member, or machinery that the enum made for itself."""
    if isinstance(value, kind) or name in kind.__members__:
        return True
    is_written = name in written if written is not None else isinstance(value, _SPECIAL_FUNCTIONS)
    return name.startswith("_") and name.endswith("_") and not is_written


def _field_defaults(kind: type) -> Iterator[tuple[str, Any, bool]]:
    """Yield the defaults of a dataclass's fields: with slots they are not on the class."""
    import dataclasses

    if "__dataclass_fields__" in vars(kind):
        for each in dataclasses.fields(kind):
            if each.default is not dataclasses.MISSING:
                yield f"<default {each.name}>", each.default, True
            if each.default_factory is not dataclasses.MISSING:
                yield f"<factory {each.name}>", each.default_factory, True


def line_inside(kind: type) -> int | None:
    """Return a line inside a class's body: Python says it from 3.13 on, before that its own methods do."""
    if "__firstlineno__" in vars(kind):
        return int(vars(kind)["__firstlineno__"])
    for member in vars(kind).values():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(function, types.FunctionType) and function.__code__.co_qualname.startswith(
            f"{kind.__qualname__}."
        ):
            return function.__code__.co_firstlineno
    return None


def is_current(kind: type) -> bool:
    """Return whether a class is still what its module calls by its name; classes made inside functions always are."""
    found: object = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        if name == "<locals>":
            return True
        found = getattr(found, name, None)
    return found is kind
