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
from oito.flow import machine
from oito.flow.dimensions import named
from oito.flow.project import Asset
from oito.flow.reads.undeclared import observed
from oito.flow.site import Context, Made, failed
from oito.flow.stored import Stored, store
from oito.flow.tracking import recording
from oito.names import duration

RING_AGAIN_S = 1.0  # user code may swallow the first alarm
LONGEST_PAUSE_S = 10.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def attempt(context: Context) -> tuple[Made, Stored | None]:
    """Return what the kind's step made and where its bytes are stored; None when nothing is new.

    Raises:
        StepFailed, StepTimeout: the user's code raised, or took too long, in the last of its attempts.
        OitoError: anything else that went wrong, by its own class.
    """
    number = 0
    while True:
        try:
            return once(context)
        except OitoError as error:
            pause_s = again(context, number, error)
            if pause_s is None:
                raise
        time.sleep(pause_s)
        number += 1


def again(context: Context, number: int, error: OitoError) -> float | None:
    """Return after how many seconds a step whose attempt failed is tried once more, None when it is not."""
    retries = context.asset.spec.retries
    if not error.may_retry or number >= retries:
        return None
    context.say(f"attempt {number + 1} of {retries + 1} failed: {error.what}")
    return float(min(2.0**number * 0.1, LONGEST_PAUSE_S))


def once(context: Context) -> tuple[Made, Stored | None]:
    """Return what one attempt made; what it prints is kept in the context's lines."""
    try:
        with captured(context.lines), observed(context) as read, recording(context) as recorder, _alarm(context):
            made: Made = context.asset.kind.door("run").make(context)
            # Storing is part of the step: a lazy frame does the user's work only now.
            if made.unchanged:
                return made, None
            stored = recorder.kept(made, store(context, made))
            made.record = machine.noted(context.site.files, made.record)
            made.undeclared = read  # filled at the end of the block
            return made, stored
    except OitoError:
        raise
    except (Exception, SystemExit) as error:  # a step that exits has failed; the run goes on
        if isinstance(error, OSError) and error.errno in _FULL:
            raise StorageFull(
                "there is no room to write", where=context.asset.place, known=str(error), next="free some space"
            ) from error
        raise failed(context.asset, error, context.site.project.root) from error


def timeout_s(asset: Asset) -> float | None:
    """Return how long one attempt of the step may take."""
    return None if asset.spec.timeout is None else duration(asset.spec.timeout).total_seconds()


def step_name(context: Context) -> str:
    """Return what the step makes, as people name it: an asset, or one partition of it."""
    return named(context.asset.name, context.partition) if context.partition else context.asset.name


def too_slow(context: Context) -> StepTimeout:
    """Return the error of an attempt that took longer."""
    asset = context.asset
    return StepTimeout(
        f"{step_name(context)} ran longer than its timeout of {timeout_s(asset):g} s",
        where=asset.place, next="raise timeout=",
    )  # fmt: skip


@contextlib.contextmanager
def _alarm(context: Context) -> Iterator[None]:
    """Interrupt the block after the step's time; on other threads than the main one it is told afterwards."""
    seconds = timeout_s(context.asset)
    if seconds is None:
        yield
        return
    problem = too_slow(context)

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
        self.lines.extend(whole)
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
