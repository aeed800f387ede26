"""The command `oito`: finds the action, opens the workspace, prints the page or its data, and says errors in four facts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from oito.cli import parser
from oito.errors import OitoError
from oito.show import Page, json_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command and return its exit code: 0, or that of the error's class."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # spinning threads of small fits starve each other on a busy machine
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _carry_out(given)
    except OitoError as error:
        return _told(error, as_json="--json" in given)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was finished is kept, and the same command goes on from there\n")
        return 130
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the reader left; Python flushes once more at exit
        return 0


def _carry_out(given: list[str]) -> int:
    told = parser.parse(given)
    if told.action is None:
        sys.stdout.write(told.help)
        return 0 if told.is_asked else 2
    from oito.workspace import Workspace

    workspace = Workspace(told.folder, environment=told.environment, now=told.now, who=told.who)
    if not told.as_json:
        from oito.cli.progress import tell

        workspace.tell = tell
    try:
        action, values = told.action, told.values or {}
        if action.is_glance:
            page = workspace.look(lambda site: action.carry_out(site, values))
        else:
            page = action.carry_out(workspace if told.is_service else workspace.site, values)
        _shown(page, told.as_json)
    finally:
        workspace.close()
    return 0


def _shown(page: Page, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json_text(page.data, indent=2) + "\n")
        return
    from oito.cli.terminal import print_page

    print_page(page)


def _told(error: OitoError, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json_text(error.data(), indent=2) + "\n")
    name = type(error).__name__
    is_bright = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write((f"\x1b[1;31m{name}\x1b[0m" if is_bright else name) + f": {error}\n")
    return error.exit_code
