"""One step tried: within its timeout, again where its error says so, its prints kept. What becomes of the result is the runner's."""

from __future__ import annotations

import contextlib
import errno
import io
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from oito.clock import stopwatch
from oito.errors import OitoError, StepTimeout, StorageFull
from oito.flow.project import Asset
from oito.flow.site import Context, Made, failed
from oito.flow.stored import Stored, store
from oito.names import duration

RING_AGAIN_S = 1.0  # user code may swallow the first alarm
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def attempt(context: Context) -> tuple[Made, Stored | None]:
    """Return what the kind's step made and where its bytes are stored; None when nothing is new.

    Raises:
        StepFailed, StepTimeout: the user's code raised, or took too long, in the last of its attempts.
        OitoError: anything else that went wrong, by its own class.
    """
    spec = context.asset.spec
    for number in range(spec.retries + 1):
        try:
            with captured(context.lines):
                return _tried(context)
        except OitoError as error:
            if not error.may_retry or number == spec.retries:
                raise
            context.say(f"attempt {number + 1} of {spec.retries + 1} failed: {error.what}")
            time.sleep(min(2.0**number * 0.1, 10.0))
    raise AssertionError("unreachable")


def _tried(context: Context) -> tuple[Made, Stored | None]:
    try:
        with _alarm(context.asset, context.asset.spec.timeout):
            made: Made = context.asset.kind.door("run").make(context)
            # Storing is part of the step: a lazy frame does the user's work only now.
            return made, None if made.unchanged else store(context.site.files, made)
    except OitoError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(
                "there is no room to write", where=context.asset.place, known=str(error), next="free some space"
            ) from error
        raise failed(context.asset, error, context.site.project.root) from error


@contextlib.contextmanager
def _alarm(asset: Asset, timeout: str | None) -> Iterator[None]:
    """Interrupt the block after a while; on other threads than the main one it is told afterwards."""
    if timeout is None:
        yield
        return
    seconds = duration(timeout).total_seconds()
    problem = StepTimeout(
        f"{asset.name} ran longer than its timeout of {seconds:g} s", where=asset.place, next="raise timeout="
    )

    def ring(number: int, frame: Any) -> None:
        raise problem

    began = stopwatch()
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds, RING_AGAIN_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    else:
        yield
    if stopwatch() - began > seconds:  # swallowed, or spent in native code
        raise problem


class _Log:
    """Takes text and gives whole lines, in the order in which they came among the other lines of the log."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.rest = lines, ""

    def write(self, text: str) -> int:
        *whole, self.rest = (self.rest + text).split("\n")
        self.lines += whole
        return len(text)

    def close(self) -> None:
        if self.rest:
            self.lines.append(self.rest)


_log: ContextVar[_Log | None] = ContextVar("printed", default=None)
_guard = threading.Lock()


class _Router(io.TextIOBase):
    """Stands for `sys.stdout` while steps run: what a step prints goes into its log, anything else where it went before."""

    def __init__(self, under: Any) -> None:
        self.under, self.users = under, 0

    def write(self, text: str) -> int:
        log = _log.get()
        return int((self.under if log is None else log).write(text))

    def flush(self) -> None:
        if _log.get() is None:
            self.under.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)


@contextlib.contextmanager
def captured(lines: list[str]) -> Iterator[None]:
    """Keep what is printed inside the block, by this thread, as lines; several threads may do so at once."""
    with _guard:
        router = sys.stdout if isinstance(sys.stdout, _Router) else _Router(sys.stdout)
        router.users += 1
        sys.stdout = router
    log = _Log(lines)
    token = _log.set(log)
    try:
        yield
    finally:
        _log.reset(token)
        log.close()
        with _guard:
            router.users -= 1
            if not router.users and sys.stdout is router:
                sys.stdout = router.under
