"""The clocks that the user's code asked, and the draws it made without a seed, while it was watched. Files and variables are watching.py's.

Watching costs time, so it is done by a child process that looks for a cause, and by nothing else.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

_CLOCK = frozenset(
    f"time.{name}"
    for name in ["time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "ctime", "strftime"]
) | {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"}
_CHANCE = ("random.", "numpy.random.", "uuid.uuid1", "uuid.uuid4")
_ENTROPY = ("posix.urandom", "secrets.", "random.SystemRandom.")  # what a generator without a seed begins with
_DRAWS = frozenset({"sample", "shuffle"})  # of frames and series


class Watch:
    """Collects in `found`, while it is entered, what code below `root` asks of clocks and chance, one sentence each."""

    def __init__(self, root: Path) -> None:
        self.found: list[str] = []
        self._root = str(root) + os.sep

    def __enter__(self) -> Watch:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            caller: FrameType | None = frame
            name = _name_of(argument)
        elif event == "call":
            caller = frame.f_back
            name = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"
        else:
            return
        if caller is not None and caller.f_code.co_filename.startswith(self._root):
            text = _judged(name)
            place = f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}"
            if text and f"{text} at {place}" not in self.found:
                self.found.append(f"{text} at {place}")


def _judged(name: str) -> str:
    if name in _CLOCK:
        return f"clock: {name} is asked"
    if name.startswith(_ENTROPY):
        return "chance: a draw without a seed"
    is_frame = name.startswith(("polars.", "pandas.")) and name.rpartition(".")[2] in _DRAWS
    return f"chance: {name} draws" if is_frame or name.startswith(_CHANCE) else ""


def _name_of(function: Any) -> str:
    """Return a built-in function's dotted name: of a method with the module of its class."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    if module is None and owner is not None:
        module = getattr(owner if isinstance(owner, type) else type(owner), "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', '')}"
