"""Reads a command line against the list of actions. Carrying them out is main.py's work."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from oito.cli import services
from oito.errors import BadInput
from oito.flow.action import Action, actions_of
from oito.names import did_you_mean
from oito.show import Field

PROGRAM = "oito"
_TYPES: Mapping[str, type] = {"int": int, "float": float}


@dataclass(frozen=True)
class Told:
    """What a command line says; without an action, `help` is what there is to answer."""

    action: Action | None
    is_service: bool = False
    values: Mapping[str, Any] | None = None
    folder: Path = Path()
    environment: str = ""
    now: str = ""
    who: str = ""
    as_json: bool = False
    help: str = ""
    is_asked: bool = False


def parse(given: Sequence[str]) -> Told:
    """Return what the words say.

    Raises:
        BadInput: an unknown command (with the closest known one), or options that do not fit it.
    """
    known = everything()
    words = [word for word in given if not word.startswith("-")]
    if not given or (not words and any(word in {"-h", "--help"} for word in given)):
        return Told(None, help=_overview(known), is_asked=bool(given))
    if given[0] == "--version":
        from importlib.metadata import version

        return Told(None, help=f"oito {version('oito')}\n", is_asked=True)
    name = _command(given, known)
    action, is_service = known[name]
    parser = _parser(action)
    rest = list(given[len(name.split()) :])
    if "-h" in rest or "--help" in rest:
        return Told(None, help=parser.format_help(), is_asked=True)
    values = vars(parser.parse_intermixed_args(rest))
    common = {field: values.pop(field) for field in ("folder", "environment", "now", "who", "as_json")}
    return Told(action, is_service, {n: v for n, v in values.items() if v is not None}, **common)


def everything() -> dict[str, tuple[Action, bool]]:
    """Return command → (action, whether it is a service of the terminal alone), in the order of the help."""
    from oito.workspace import actions

    found = {action.name: (action, True) for action in actions_of(services)}
    return {**found, **{action.name: (action, False) for action in actions()}}


def _command(given: Sequence[str], known: Mapping[str, Any]) -> str:
    for length in (3, 2, 1):
        name = " ".join(given[:length])
        if name in known:
            return name
    start = given[0]
    below = [name for name in known if name.startswith(start + " ")]
    if below:
        raise BadInput(f"oito {start} needs one more word", known=", ".join(below), next=f"oito {below[0]} --help")
    raise BadInput(f"there is no command {start!r}", next=did_you_mean(start, known) or "oito --help")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{self.prog}: {message}", next=f"{self.prog} --help")


def _parser(action: Action) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{PROGRAM} {action.name}",
        description=action.description,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for field in action.fields:
        _add(parser, field, is_argument=field.name in action.arguments, is_many=field.name == action.many)
    common = parser.add_argument_group("everywhere")
    common.add_argument("-h", "--help", action="store_true", default=None, help="Show this text.")
    common.add_argument("-e", "--environment", default="", help="The environment to work in.")
    common.add_argument("-C", "--folder", type=Path, default=Path(), help="The project folder.")
    common.add_argument("--now", default="", help="A moment to take as now, such as 2013-11-01.")
    common.add_argument("--as", dest="who", default="", help="Whose name stands in the events.")
    common.add_argument("--json", dest="as_json", action="store_true", help="Print plain data.")
    return parser


def _add(parser: argparse.ArgumentParser, field: Field, *, is_argument: bool, is_many: bool) -> None:
    choices = list(field.choices) or None
    wanted = _TYPES.get(field.kind, str)
    if is_argument:
        count = "*" if is_many else None if field.required else "?"
        parser.add_argument(
            field.name, nargs=count, type=wanted, choices=choices, help=field.help, default=field.default
        )
        return
    flag = "--" + field.name.replace("_", "-")
    shown = field.help + (f" (default {field.default})" if field.default not in (None, "", False) else "")
    if field.kind == "bool":
        parser.add_argument(flag, dest=field.name, action=argparse.BooleanOptionalAction, default=None, help=shown)
    else:
        parser.add_argument(
            flag, dest=field.name, type=wanted, choices=choices, required=field.required, help=shown.replace("%", "%%")
        )


def _overview(known: Mapping[str, tuple[Action, bool]]) -> str:
    width = max(len(name) for name in known) + 2
    groups: dict[str, list[str]] = {}
    for name, (action, _) in known.items():
        groups.setdefault(action.group, []).append(f"  {name:<{width}}{action.summary}")
    lines = [
        "oito: a whole machine-learning system as one plain Python module",
        "",
        "usage: oito COMMAND [--json] [-e ENVIRONMENT] [-C FOLDER] [--now MOMENT]",
        "",
    ]
    for group, listed in groups.items():
        lines += [*([group] if group else []), *listed, ""]
    return "\n".join([*lines, "oito COMMAND --help tells more about one."]) + "\n"
