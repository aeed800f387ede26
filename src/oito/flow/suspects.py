"""What the user's code did, while it was watched, that no fingerprint sees: clocks, chance, undeclared variables and files.

Watching costs time and cannot be taken back within a process, so it is for a child process that looks for a cause.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from types import FrameType
from typing import Any

_CLOCK = frozenset(
    f"time.{name}"
    for name in ["time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "ctime", "strftime"]
) | {"datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"}
_CHANCE = ("random.", "numpy.random.", "uuid.uuid1", "uuid.uuid4")
_ENTROPY = ("posix.urandom", "secrets.", "random.SystemRandom.")  # what a generator without a seed begins with
_DRAWS = frozenset({"sample", "shuffle", "sample_n"})
_FRAMES = frozenset({"polars", "pandas", "pyarrow", "duckdb"})
_CODE = (".py", ".pyc", ".so", ".pth", ".toml")


class Watch:
    """Collects, while it is entered, what the code below `root` asks of the world; `found` tells it, one sentence each.

    Args:
        files, variables: what is declared, and so is known already.
    """

    def __init__(self, root: Path, *, files: Collection[str] = (), variables: Collection[str] = ()) -> None:
        self.found: list[str] = []
        self._root = str(root) + os.sep
        self._files = {str(Path(file).absolute()) for file in files}
        self._variables = frozenset(variables)
        self._is_on = False

    def __enter__(self) -> Watch:
        self._is_on = True
        sys.addaudithook(self._audited)
        _WatchedVariables.watch = self
        os.environ.__class__ = _WatchedVariables
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)
        self._is_on, _WatchedVariables.watch = False, None

    def variable(self, name: str) -> None:
        """Take note that a variable was read."""
        place = self._place(sys._getframe(1), depth=8)
        if place and name not in self._variables:
            self._note(f"variable {name} is read at {place}, and not declared by env=")

    def _note(self, text: str) -> None:
        if self._is_on and text not in self.found:
            self.found.append(text)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not self._is_on or not isinstance(arguments[0], str | bytes):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  # an audit hook should raise no further events
        is_own = path.startswith((self._root, sys.prefix, sys.base_prefix)) or path.endswith(_CODE)
        if is_own or path in self._files or "w" in str(arguments[1] or ""):
            return
        if place := self._place(sys._getframe(1), depth=40):
            self._note(f"file {Path(path).name} is read at {place}, and not declared by reads=")

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
            self._judge(name, f"{Path(caller.f_code.co_filename).name}:{caller.f_lineno}")

    def _judge(self, name: str, place: str) -> None:
        top, last = name.partition(".")[0], name.rpartition(".")[2]
        if name in _CLOCK:
            self._note(f"clock: {name} is asked at {place}")
        elif name.startswith(_ENTROPY):
            self._note(f"chance: a draw without a seed at {place}")
        elif name.startswith(_CHANCE) or (top in _FRAMES and last in _DRAWS):
            self._note(f"chance: {name} is drawn from at {place}")
        elif top in _FRAMES and last.startswith(("read_", "scan_")):
            self._note(f"files are read by {top}.{last} at {place}")

    def _place(self, frame: FrameType | None, *, depth: int) -> str:
        """Return the user's line that is nearest above a frame, within so many frames."""
        for _ in range(depth):
            if frame is None:
                break
            if frame.f_code.co_filename.startswith(self._root):
                return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
            frame = frame.f_back
        return ""


class _WatchedVariables(type(os.environ)):  # type: ignore[misc]  # its class has no public name
    watch: Watch | None = None

    def __getitem__(self, name: str) -> str:
        if _WatchedVariables.watch is not None:
            _WatchedVariables.watch.variable(name)
        value: str = super().__getitem__(name)
        return value


def _name_of(function: Any) -> str:
    """Return a built-in function's dotted name: of a method with the module of its class."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    if module is None and owner is not None:
        module = getattr(owner if isinstance(owner, type) else type(owner), "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', '')}"
