"""What a step reads from the machine while it runs, heard through Python's audit hook. What becomes of it is decided in undeclared.py.

An audit hook can never be taken out again, so there is one, put in by the first step of a process; outside of steps it
does nothing. It hears what goes through Python: `open`, NumPy, pandas, csv, sqlite3, listings of folders, arguments of
programs that are started. It does not hear what compiled readers open by themselves.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Generator
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from oito.flow.code.packages import SITE_FOLDERS, STANDARD_LIBRARY
from oito.flow.code.shown import sounds_secret

Stamp = tuple[int, int] | None  # size and mtime_ns; None is a thing that was not there

_OITO = str(Path(__file__).resolve().parents[2]) + os.sep
_STANDARD_LIBRARY = str(STANDARD_LIBRARY) + os.sep
_VERSIONS = str(STANDARD_LIBRARY / "importlib" / "metadata") + os.sep  # lists folders that modules come from
_ATTEMPT = str(Path(__file__).parents[1] / "engines" / "attempt.py")
_FILES = frozenset({"open", "sqlite3.connect"})
_FOLDERS = frozenset({"os.listdir", "os.scandir"})
_EVENTS = _FILES | _FOLDERS | {"subprocess.Popen"}
_WRITES = os.O_WRONLY | os.O_RDWR
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/", "/run/", "/System/", "/Library/")
_WHOLE_ENVIRONMENT = 20  # more variables than this are handed on, not read

_current: ContextVar[Watch | None] = ContextVar("watched step", default=None)
_active: list[Watch] = []
_guard = threading.Lock()
_is_installed = False


class Watch:
    """What one step has read so far: files and folders with their state at that moment, and variables by name."""

    def __init__(self, root: Path, ignored: tuple[Path, ...]) -> None:
        self.root = str(root) + os.sep
        self.files: dict[str, Stamp] = {}
        self.folders: dict[str, Stamp] = {}
        self.written: set[str] = set()
        self._variables: dict[str, None] = {}
        self._ignored = tuple(f"{each}{os.sep}" for each in (*ignored, *_libraries()))

    @property
    def variables(self) -> list[str]:
        """The variables that the user's code asked for by name; none when it took all of them."""
        return list(self._variables) if len(self._variables) <= _WHOLE_ENVIRONMENT else []

    def hear(self, event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        """Note what an audit event says, if it is the user's code that reads."""
        if event == "subprocess.Popen":
            given = arguments[1] if isinstance(arguments[1], list | tuple) else ()
            for each in given:
                if isinstance(each, str) and Path(each).is_file():
                    self._note(self.files, each, frame)
            return
        path = arguments[0] if arguments[0] is not None else "."
        if event == "open" and _is_for_writing(arguments[1], arguments[2]):
            if isinstance(path, str | bytes):
                self.written.add(absolute(os.fsdecode(path)))
            return
        if isinstance(path, str | bytes):
            self._note(self.folders if event in _FOLDERS else self.files, os.fsdecode(path), frame)

    def asked(self, variable: str) -> None:
        """Note that the user's code asked for an environment variable."""
        if not sounds_secret(variable):
            self._variables[variable] = None

    def _note(self, found: dict[str, Stamp], path: str, frame: FrameType | None) -> None:
        path = absolute(path)
        if path not in found and not self._is_ignored(path) and _is_asked_by_user(frame):
            found[path] = stamp(path)

    def _is_ignored(self, path: str) -> bool:
        if (path + os.sep).startswith(self._ignored):
            return True
        if (path + os.sep).startswith(self.root):
            inside = path[len(self.root) :]
            return inside.startswith(".") or "/." in inside or "__pycache__" in inside or "site-packages" in inside
        return path.startswith(_SYSTEM) or path.startswith(_places())


def absolute(path: str) -> str:
    """Return a path from the root of the file system, its links not followed: it is named as the user names it."""
    return os.path.abspath(path)  # noqa: PTH100  # `resolve` would follow links


def stamp(path: str) -> Stamp:
    """Return what tells cheaply whether a file or folder has changed."""
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


@contextlib.contextmanager
def watched(root: Path, *, ignored: tuple[Path, ...] = ()) -> Generator[Watch]:
    """Note what is read inside the block: by this thread, and by others while no other step runs.

    Args:
        root: the project's folder; what lies in its hidden folders does not count.
        ignored: folders of oito's own.
    """
    _install()
    watch = Watch(root, ignored)
    token = _current.set(watch)
    with _guard:
        _active.append(watch)
    try:
        yield watch
    finally:
        with _guard:
            _active.remove(watch)
        _current.reset(token)


def _install() -> None:
    global _is_installed
    with _guard:
        if not _is_installed:
            _is_installed = True
            sys.addaudithook(_hook)
            os.environ.__class__ = _Environment


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        watch = _listening()
        if watch is not None:
            with contextlib.suppress(TypeError, ValueError, IndexError, OSError):  # a step never fails by being watched
                watch.hear(event, arguments, sys._getframe(1))


def _listening() -> Watch | None:
    watch = _current.get()
    return watch if watch is not None else _active[0] if len(_active) == 1 else None


class _Environment(os._Environ[str]):
    """`os.environ`, telling the step under way what its own code asks for."""

    def __getitem__(self, key: str) -> str:
        if _active:
            watch = _listening()
            if watch is not None and _is_own(_caller(sys._getframe(1))):
                watch.asked(str(key))
        return super().__getitem__(key)


def _is_for_writing(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return "r" not in mode and "+" not in mode
    return isinstance(flags, int) and bool(flags & _WRITES)


def _is_asked_by_user(frame: FrameType | None) -> bool:
    """Say whether the user's code is at work above the step: not when a module or its version is being found, or a traceback drawn."""
    while frame is not None:
        file = frame.f_code.co_filename
        if (
            file == _ATTEMPT
            or file.startswith(("<frozen importlib", _VERSIONS))
            or file.endswith(("linecache.py", "inspect.py"))
        ):
            return False
        if _is_own(file):
            return True
        frame = frame.f_back
    return False


def _caller(frame: FrameType | None) -> str:
    """Return the file of the innermost code that is not Python's own."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(("<frozen", _STANDARD_LIBRARY)):
            return file
        frame = frame.f_back
    return ""


@lru_cache(maxsize=4096)
def _is_own(file: str) -> bool:
    """Say whether a file is the user's code."""
    if file.startswith(("<frozen", _OITO)) or not file or not SITE_FOLDERS.isdisjoint(Path(file).parts):
        return False
    return not file.startswith(("<", _STANDARD_LIBRARY)) or file.startswith(("<ipython", "<stdin"))


@lru_cache(maxsize=1)
def _libraries() -> tuple[str, ...]:
    return tuple({str(Path(each).resolve()) for each in (sys.prefix, sys.base_prefix)} | {sys.prefix, sys.base_prefix})


@lru_cache(maxsize=1)
def _places() -> tuple[str, ...]:
    """Return where caches and passing files lie."""
    return str(Path.home() / ".cache") + os.sep, str(Path(tempfile.gettempdir())) + os.sep
