"""Processes of scheduled runs: started, told to go, asked to stop. A run of its own process cannot take the scheduler down."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FINISHED = (0, 1)  # the ends of a process whose run went to its own end; a step may have failed
GRACE_S = 10.0  # between being asked to stop and being killed
TAIL_BYTES = 8_000
WAIT_S = 0.05


@dataclass
class Child:
    """One process; it does nothing before `go`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def code(self) -> int | None:
        """How it ended, negative for the signal that ended it; None while it runs."""
        return self.process.poll()

    def go(self, told: Mapping[str, Any]) -> None:
        """Tell what to run, and that it may begin now."""
        channel: IO[bytes] | None = self.process.stdin
        assert channel is not None
        with contextlib.suppress(BrokenPipeError), channel:
            channel.write(json.dumps(told).encode() + b"\n")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all it has started; where none is left, nothing happens."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def forget(self) -> None:
        """Let a process that was never told to go end by itself."""
        if self.process.stdin:
            self.process.stdin.close()


def spawn(log: Path, variables: Mapping[str, str]) -> Child:
    """Start a process that waits; what it prints goes into the file `log`. The working folder is not on its import path.

    Raises:
        OSError: the machine has no room for another process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "oito.scheduler.child"], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
            env=dict(variables), start_new_session=True,  # Ctrl-C in the terminal is for the scheduler, which then asks its children
        )  # fmt: skip
    return Child(process, log)


def stop(children: Iterable[Child], *, grace_s: float = GRACE_S) -> None:
    """Ask processes and all they started to stop, as Ctrl-C in a terminal does, and kill after a while what has not."""
    asked = [child for child in children if child.code is None]
    for child in asked:
        child.signal(signal.SIGINT)
    patient_until = time.monotonic() + grace_s
    while any(child.code is None for child in asked) and time.monotonic() < patient_until:
        time.sleep(WAIT_S)
    for child in asked:
        if child.code is None:
            child.signal(signal.SIGKILL)
            child.process.wait()


def is_there(pid: int) -> bool:
    """Say whether a process of that number lives on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def ended(code: int) -> str:
    """Return in words how a process ended.

    Example:
        >>> ended(-9), ended(2)
        ('its process was ended by SIGKILL', 'its process ended with 2')
    """
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with {code}"


def tail(log: Path) -> str:
    """Return the end of what a process printed, and remove the file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        log.unlink()
    except FileNotFoundError:
        return ""
    return text.strip()
