"""Reads a command line against the list of actions. Carrying them out is main.py's work."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from oito.cli import overview
from oito.errors import BadInput
from oito.flow.action import Action, actions_of
from oito.names import did_you_mean
from oito.show import Field

PROGRAM = "oito"
_WITH_VALUE = frozenset({"-e", "--environment", "-C", "--folder", "--now", "--as"})
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
    given = _common_last(given)
    if not given or given[0] in {"-h", "--help"}:
        return Told(None, help=overview.text(overview.read()), is_asked=bool(given))
    if given[0] == "--version":
        from importlib.metadata import version

        return Told(None, help=f"oito {version('oito')}\n", is_asked=True)
    known = everything()
    wants_help = "-h" in given or "--help" in given
    if wants_help and given[0] not in known and (below := _below(given[0], known)):
        return Told(None, help=overview.text(_lines(below)), is_asked=True)
    name = _command(given, known)
    action, is_service = known[name]
    parser = _parser(action)
    if wants_help:
        return Told(None, help=parser.format_help(), is_asked=True)
    values = vars(parser.parse_intermixed_args(given[len(name.split()) :]))
    common = {field: values.pop(field) for field in ("folder", "environment", "now", "who", "as_json")}
    return Told(action, is_service, {n: v for n, v in values.items() if v is not None}, **common)


def everything() -> dict[str, tuple[Action, bool]]:
    """Return command → (action, whether it is a service of the terminal alone), in the order of the help."""
    from oito.cli import services
    from oito.workspace import actions

    own = {action.name: (action, True) for action in actions_of(services)}
    return {**own, **{action.name: (action, False) for action in actions() if action.name not in own}}


def _common_last(given: Sequence[str]) -> list[str]:
    """Return the words with the options that stand before the command behind it: `oito -e dev plan` is fine, too."""
    words = list(given)
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] not in {"-h", "--help", "--version"}:
        place += 2 if words[place] in _WITH_VALUE else 1
    return [*words[place:], *words[:place]]


def _lines(known: Mapping[str, tuple[Action, bool]]) -> list[overview.Line]:
    return [overview.Line(name, a.summary, a.group, a.writes, is_service) for name, (a, is_service) in known.items()]


def _below(start: str, known: Mapping[str, tuple[Action, bool]]) -> dict[str, tuple[Action, bool]]:
    return {name: each for name, each in known.items() if name.startswith(start + " ")}


def _command(given: Sequence[str], known: Mapping[str, tuple[Action, bool]]) -> str:
    for length in (3, 2, 1):
        name = " ".join(given[:length])
        if name in known:
            return name
    start = given[0]
    if start.startswith("-"):
        raise BadInput(f"{start} stands without a command", next="oito --help")
    below = _below(start, known)
    if below and (len(given) == 1 or given[1].startswith("-")):
        raise BadInput(f"oito {start} needs one more word", known=", ".join(below), next=f"oito {start} --help")
    if below:
        raise BadInput(
            f"there is no command {start + ' ' + given[1]!r}",
            next=did_you_mean(given[1], [name.removeprefix(start + " ") for name in below]),
        )
    firsts = {name.split()[0] for name in known}
    close = did_you_mean(start, firsts)
    raise BadInput(f"there is no command {start!r}", next=close if close.startswith("did") else "oito --help lists all")


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
    default = f" (default {field.default})" if field.default not in (None, "", False, 0) else ""
    help = (field.help + default).replace("%", "%%")
    if is_argument:
        count = "*" if is_many else None if field.required else "?"
        parser.add_argument(field.name, nargs=count, type=wanted, choices=choices, help=help)
        return
    flag = "--" + field.name.replace("_", "-")
    if field.kind == "bool":
        parser.add_argument(flag, dest=field.name, action=argparse.BooleanOptionalAction, default=None, help=help)
    else:
        count = "+" if is_many else None
        parser.add_argument(
            flag, dest=field.name, nargs=count, type=wanted, choices=choices, required=field.required, help=help
        )
