"""One worker process as its engine sees it: told of a step, listened to, watched, ended. Which step it gets is the engine's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from oito.clock import stopwatch
from oito.flow.engines import messages, resident
from oito.flow.engines.attempt import timeout_s
from oito.flow.engines.messages import Message
from oito.flow.project import Asset
from oito.names import size_bytes

WORKER = "oito.worker"  # started by name: it stands above
_READ_BYTES = 1 << 16
_FULL_SHARE = 0.5  # of a step's memory that an earlier step may have left in use


class Child:
    """A started worker; `told` is the number of the open file that says what it opens.

    `steps` is how many steps it was given, `has_begun` whether it is at work on the last one, `deadline` when (on the
    stopwatch) that must be done, `limit_bytes` how much memory it may use and `before_bytes` what it used at its begin.
    `crash` is what was written down when it died of a fault.
    """

    def __init__(self, told: int) -> None:
        self._crashes = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        numbers = (told, self._crashes.fileno())
        # -P: the folder it is started in must not shadow anything. -u: what is printed at its end is not lost.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", WORKER, *map(str, numbers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, pass_fds=numbers, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._inbox, self.outbox = self._process.stdin, self._process.stdout
        os.set_blocking(self.outbox.fileno(), False)
        self._heard = bytearray()
        self.steps, self.has_begun, self.is_silent, self.crash = 0, False, False, ""
        self.deadline, self.limit_bytes, self.before_bytes = 0.0, 0, 0

    def begin(self, message: Message) -> None:
        """Tell it of a step."""
        self.steps += 1
        with contextlib.suppress(BrokenPipeError):  # it has just died, which is noticed soon
            self._inbox.write(messages.line(message))

    def watch(self, asset: Asset, *, grace_s: float) -> None:
        """Note that it is at work, and within which limits; it stops by itself in time, if it can."""
        self.has_begun = True
        seconds = timeout_s(asset)
        self.deadline = stopwatch() + seconds + grace_s if seconds is not None else 0.0
        if asset.spec.memory and resident.is_known():
            self.limit_bytes, self.before_bytes = size_bytes(asset.spec.memory), self.resident_bytes()

    def end(self) -> None:
        """Note that its step has ended."""
        self.has_begun, self.deadline, self.limit_bytes = False, 0.0, 0

    def heard(self) -> Iterator[Message]:
        """Yield what it has said since; `is_silent` from the moment it cannot say any more."""
        while not self.is_silent:
            try:
                chunk = os.read(self.outbox.fileno(), _READ_BYTES)
            except BlockingIOError:
                return
            self.is_silent = not chunk
            *whole, rest = chunk.split(b"\n")
            for piece in whole:
                line = bytes(self._heard + piece)
                self._heard.clear()
                with contextlib.suppress(ValueError):  # cut short by an alarm
                    yield messages.read(line or b"?")
            self._heard += rest

    def resident_bytes(self) -> int:
        """Return the memory that it and what it has started hold."""
        return resident.resident_bytes(self._process.pid)

    def is_too_full_for(self, asset: Asset) -> bool:
        """Say whether earlier steps have left too much in use for one whose memory is limited."""
        if not asset.spec.memory or not resident.is_known():
            return False
        return self.resident_bytes() > _FULL_SHARE * size_bytes(asset.spec.memory)

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Say whether the process is no more, now or within a while."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Ask it to end: a step that is under way is interrupted as by Ctrl-C."""
        if self.has_begun:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)
        else:
            self._inbox.close()

    def kill(self) -> int:
        """End it now, with everything that its steps have started, and return its exit code."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left, or only what has just ended
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self._inbox.close()
        self.outbox.close()
        self._crashes.seek(0)
        self.crash = self._crashes.read().decode(errors="replace")
        self._crashes.close()
        return code
