"""What a person may do, written once: a function with a docstring. Sub-command, HTTP route, form and manual come from it."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from oito.errors import BadInput
from oito.names import did_you_mean
from oito.show import Field, Page

F = TypeVar("F", bound=Callable[..., Page])
FieldKind = Literal["text", "int", "float", "bool", "choice"]
_KINDS: dict[Any, FieldKind] = {str: "text", int: "int", float: "float", bool: "bool"}
_TYPES: dict[FieldKind, Any] = {"text": str, "choice": str, "int": int, "float": int | float, "bool": bool}
_SAID = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}


@dataclass(frozen=True)
class Action:
    """One thing to do: `name` is its sub-command and route; `page` its address when it only shows something.

    The function's first parameter is the site; further ones before `*` are arguments, those after it options. A name that
    Python keeps for itself is written with an underscore behind it, and told without: `from_` is `--from`.
    """

    name: str
    function: Callable[..., Page]
    writes: bool
    page: str
    group: str

    @property
    def is_glance(self) -> bool:
        """Whether it only shows something, so that it may be carried out again."""
        return bool(self.page)

    @property
    def summary(self) -> str:
        return (self.function.__doc__ or "").strip().split("\n")[0]

    @property
    def description(self) -> str:
        """The docstring without its list of arguments."""
        return inspect.cleandoc(self.function.__doc__ or "").split("\nArgs:")[0].strip()

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """What the action can be told, in order."""
        hints = get_type_hints(self.function)
        helps = _helps(self.function.__doc__ or "")
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return tuple(_field(each, hints[each.name], helps.get(each.name.rstrip("_"), "")) for each in parameters)

    @property
    def arguments(self) -> frozenset[str]:
        """The fields that are told by place rather than by name."""
        parameters = inspect.signature(self.function).parameters.values()
        return frozenset(each.name.rstrip("_") for each in parameters if each.kind != each.KEYWORD_ONLY)

    @property
    def many(self) -> str:
        """The field that takes any number of texts, or ""."""
        hints = get_type_hints(self.function)
        return next(
            (_told(name) for name, hint in hints.items() if get_origin(_bare(hint)) in {list, Sequence, tuple}), ""
        )

    def carry_out(self, site: Any, given: Mapping[str, Any]) -> Page:
        """Call the function with values that may still be texts, as a form or an address gives them.

        Raises:
            BadInput: an unknown field, a missing one, or a value of another type.
        """
        known = {field.name: field for field in self.fields}
        for name in given:
            if name not in known:
                raise BadInput(f"{self.name} takes no {name!r}", next=did_you_mean(name, known))
        for field in self.fields:
            if field.required and given.get(field.name) in (None, "", []):
                raise BadInput(f"{self.name} needs {field.name!r}", next=field.help)
        own = {_told(name): name for name in inspect.signature(self.function).parameters}
        told = {own[name]: self._typed(known[name], value) for name, value in given.items() if value not in ("", None)}
        return self.function(site, **told)

    def _typed(self, field: Field, value: Any) -> Any:
        if field.name == self.many:
            value = value.split() if isinstance(value, str) else value
            if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
                return list(value)
            raise _misfit(field, value, "a list of texts")
        if isinstance(value, str) and field.kind not in {"text", "choice"}:
            value = _parsed(field, value)
        if not isinstance(value, _TYPES[field.kind]) or (isinstance(value, bool) and field.kind != "bool"):
            raise _misfit(field, value, f"a {field.kind}")
        if field.choices and value not in field.choices:
            raise _misfit(field, value, f"one of {', '.join(field.choices)}")
        return float(value) if field.kind == "float" else value


def action(name: str, *, writes: bool = False, page: str = "", group: str = "") -> Callable[[F], F]:
    """Mark a function as an action; `page` is its address, such as `/assets/{asset}`, when it only shows something."""

    def mark(function: F) -> F:
        function.__action__ = Action(name, function, writes, page, group)  # type: ignore[attr-defined]  # that a function takes attributes is not in its type
        return function

    return mark


def actions_of(module: types.ModuleType) -> list[Action]:
    """Return the actions of a module, in the order they are written."""
    found = (getattr(thing, "__action__", None) for thing in vars(module).values())
    return [each for each in found if isinstance(each, Action) and each.function.__module__ == module.__name__]


def _field(parameter: inspect.Parameter, hint: Any, help: str) -> Field:
    is_required = parameter.default is parameter.empty
    default = None if is_required else parameter.default
    hint = _bare(hint)
    choices = tuple(get_args(hint)) if get_origin(hint) is Literal else ()
    kind: FieldKind = "choice" if choices else _KINDS.get(hint, "text")
    return Field(_told(parameter.name), kind, is_required, default, help, choices)


def _told(name: str) -> str:
    """Return what people call a parameter: `from` for `from_`, which Python keeps for itself."""
    return name.rstrip("_")


def _bare(hint: Any) -> Any:
    """Return a type without its `| None`."""
    if get_origin(hint) in {Union, types.UnionType}:
        return next(each for each in get_args(hint) if each is not type(None))
    return hint


def _parsed(field: Field, text: str) -> Any:
    try:
        return _SAID[text.lower()] if field.kind == "bool" else (int(text) if field.kind == "int" else float(text))
    except (KeyError, ValueError):
        raise _misfit(field, text, f"a {field.kind}") from None


def _misfit(field: Field, value: Any, wanted: str) -> BadInput:
    return BadInput(f"{field.name} is {str(value)[:80]!r}", known=f"it takes {wanted}", next=field.help)


def _helps(doc: str) -> dict[str, str]:
    """Return name → sentence from the `Args:` part of a docstring."""
    _, _, listed = inspect.cleandoc(doc).partition("\nArgs:\n")
    helps: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        if line and not line.startswith(" "):
            break
        match = re.match(r" {4}(\w+): (.*)", line)
        if match:
            name = _told(match[1])
            helps[name] = match[2]
        elif name and line.strip():
            helps[name] += " " + line.strip()
    return helps
