"""A run of released code: only its stored source is in reach, in a process of its own where this one has seen other code.

As a program it is that process: `python -m oito.flow.releases.released` reads one message and carries out the run that it tells of.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from oito.catalog import runs
from oito.clock import RealClock
from oito.errors import OitoError, WorkerDied
from oito.flow import runner
from oito.flow.engines import messages
from oito.flow.engines.messages import Message
from oito.flow.releases.reach import Reach
from oito.flow.runner import Outcome
from oito.flow.site import Site

STOPPED = 130


def run(site: Site, targets: Sequence[str] = (), **how: Any) -> Outcome:
    """Carry out a run as `runner.run` does; one of stored source cannot import from the folder that people work in.

    A process that has run the working folder's modules, or another release's, or would find them, starts a clean one: what
    such modules have left behind in libraries and variables is not there, either. A rehearsal, on a clock that is moved by
    hand, stays in this process.
    """
    if site.project.root == site.root:
        return runner.run(site, targets, **how)
    reach = Reach(site.project.root, site.root, site.home)
    if isinstance(site.clock, RealClock) and reach.is_open():
        return _elsewhere(site, reach, targets, how)
    with reach.closed():
        return runner.run(site, targets, **how)


def _elsewhere(site: Site, reach: Reach, targets: Sequence[str], how: Mapping[str, Any]) -> Outcome:
    told = {**messages.site_message(site), "path": reach.path(sys.path)}
    request = messages.line({"site": told, "targets": list(targets), "how": _plain(how)})
    # -P: the folder in which the command was given must not come first.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=reach.variables(os.environ),
    )  # fmt: skip
    assert process.stdin and process.stdout
    with process:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(request)
        ended = _listen(site, process.stdout)
    if ended is None:
        raise WorkerDied(
            f"the process that ran {site.environment} ended with {process.returncode}",
            known="what its steps had committed by then is kept", next="run the same command again",
        )  # fmt: skip
    if "error" in ended:
        raise messages.error_of(ended["error"])
    errors = {name: messages.error_of(each) for name, each in ended["errors"].items()}
    return Outcome(ended["run"], site.environment, tuple(runs.steps(site.catalog.rows, ended["run"])), errors)


def _listen(site: Site, said: IO[bytes]) -> Message | None:
    """Pass on what the other process tells of its steps, and return the message that it ends with, if it comes to that."""
    for line in said:
        message = messages.read(line)
        if "tell" not in message:
            return message
        site.tell(*message["tell"])
    return None


def _plain(how: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in how.items()}


def main() -> int:
    """Carry out the run that one line on standard input tells of; answer with lines on what was standard output."""
    request = messages.read(sys.stdin.buffer.readline())
    outbox = os.dup(1)
    os.dup2(2, 1)  # what a step prints by itself must not come between the messages

    def say(message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # who asked is gone; the run goes on to its end
            os.write(outbox, messages.line(message))

    try:
        outcome = _carried_out(request, say)
    except OitoError as error:
        say({"error": messages.error_message(error)})
        return 1
    except KeyboardInterrupt:
        return STOPPED
    errors = {name: messages.error_message(error) for name, error in outcome.errors.items()}
    say({"run": outcome.run, "errors": errors})
    return 0


def _carried_out(request: Message, say: Callable[[Mapping[str, Any]], None]) -> Outcome:
    told = request["site"]
    with Reach(Path(told["code"]), Path(told["root"]), Path(told["home"])).closed():
        site = messages.opened(told)
        site = replace(site, tell=lambda asset, what: say({"tell": [asset, what]}))
        return runner.run(site, request["targets"], **request["how"])


if __name__ == "__main__":
    sys.exit(main())
