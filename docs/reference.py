"""Writes what the manual lists: commands.md, settings.md, the table of errors. Run it after changing any: `python docs/reference.py`."""

import re
from collections.abc import Iterator
from pathlib import Path

from oito.cli.parser import everything
from oito.errors import OitoError
from oito.flow.action import Action
from oito.settings import SETTINGS
from oito.show import Field

FOLDER = Path(__file__).parent
GENERATED = "<!-- written by docs/reference.py -->"
_EVERYWHERE = """\
# Commands

Every command of `oito`, with what it takes; each is also a page or a form of `oito up`.

{generated}

These options go with every command:

| option | meaning |
|---|---|
| `-e`, `--environment` | The environment to work in; by default the setting `environment`. |
| `-C`, `--folder` | The project folder; by default the current one. |
| `--now` | A moment to take as now, such as `2024-03-29`. |
| `--as` | Whose name stands in the events. |
| `--json` | Print plain data instead of tables; errors too. |

A command ends with 0, or with the exit code of its error ([when things break](when-things-break.md)).
"""
_SETTINGS = """\
# Settings

Every setting, its default and its meaning; `oito settings` prints the values of a project and where each came from.

{generated}

A value comes from an environment variable `OITO_NAME`, else from `oito.toml`, else from `[tool.oito]` in `pyproject.toml`, else it is the default. An unknown name is an error.

| setting | default | meaning |
|---|---|---|
"""


def commands() -> str:
    """Return the page of all commands."""
    parts = [_EVERYWHERE.format(generated=GENERATED)]
    group = None
    for name, (action, is_service) in everything().items():
        if action.group != group:
            group = action.group
            parts.append(f"## {group.capitalize() or 'The project'}\n")
        parts.append(_command(name, action, is_service=is_service))
    return "\n".join(parts)


def settings() -> str:
    """Return the page of all settings."""
    rows = [f"| `{each.name}` | {_value(each.default)} | {each.doc} |" for each in SETTINGS]
    return _SETTINGS.format(generated=GENERATED) + "\n".join(rows) + "\n"


def errors() -> str:
    """Return the table of all errors, each below its parent."""
    rows = [f"| `{each.__name__}` | {each.__doc__} | {each.exit_code} | {each.status} |" for each in _tree(OitoError)]
    return "\n".join(["| error | meaning | exit code | HTTP status |", "|---|---|---|---|", *rows]) + "\n"


def _tree(error: type[OitoError]) -> Iterator[type[OitoError]]:
    for below in error.__subclasses__():
        yield below
        yield from _tree(below)


def _command(name: str, action: Action, *, is_service: bool) -> str:
    words = [f"oito {name}"]
    for field in action.fields:
        is_argument = field.name in action.arguments
        shown = field.name.upper() if is_argument else f"--{field.name.replace('_', '-')}"
        shown += "…" if field.name == action.many else ""
        words.append(shown if field.required else f"[{shown}]")
    lines = [f"### oito {name}", "", action.description.replace("\n", " ").replace("  ", " ")]
    if action.page and not is_service:
        lines += ["", f"Page: `{action.page}`, its data at the same address with `.json`."]
    lines += ["", f"`{' '.join(words)}`", ""]
    if action.fields:
        lines += ["| told | kind | meaning |", "|---|---|---|", *(_row(field, action) for field in action.fields), ""]
    return "\n".join(lines)


def _row(field: Field, action: Action) -> str:
    name = field.name if field.name in action.arguments else "--" + field.name.replace("_", "-")
    kind = " or ".join(map(str, field.choices)) if field.choices else field.kind
    default = "" if field.default in (None, "", False, 0) else f" Default {_value(field.default)}."
    return f"| `{name}` | {kind} | {field.help}{default} |"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value) or "none"
    return "empty" if value == "" else f"`{value}`"


if __name__ == "__main__":
    (FOLDER / "commands.md").write_text(commands())
    (FOLDER / "settings.md").write_text(settings())
    page = FOLDER / "when-things-break.md"
    page.write_text(re.sub(r"^\| error .*?\n(?!\|)", lambda _: errors(), page.read_text(), flags=re.M | re.S))
