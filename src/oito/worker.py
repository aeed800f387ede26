"""The process behind the engine `processes`: carries out one step after another, each told on standard input.

It is started as `python -m oito.worker` with the numbers of two open files: what to open, and where a crash is written
down. When the engine goes away it ends at once, and so does everything that its steps have started.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any, BinaryIO

from oito.errors import OitoError
from oito.flow.engines import messages
from oito.flow.engines.attempt import once
from oito.flow.engines.messages import Message
from oito.flow.site import Site, failed

_PR_SET_PDEATHSIG = 1
STOPPED = 130


def main() -> None:
    """Answer the engine until it goes away."""
    told_in, crashes = int(sys.argv[1]), int(sys.argv[2])
    told = _read(told_in)
    _end_with(told["parent"])
    faulthandler.enable(crashes, all_threads=False)
    # The step's own input and output are others: what it prints by itself must not come between the messages.
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    tasks: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, tasks), name="oito-engine", daemon=True).start()
    try:
        _Worker(told, outbox).answer(tasks)
    except KeyboardInterrupt:
        os._exit(STOPPED)


def _read(number: int) -> Message:
    """Return what an open file holds; workers share its place, so none of them moves it."""
    message: Message = json.loads(os.pread(number, os.fstat(number).st_size, 0))
    os.close(number)
    return message


def _end_with(parent: int) -> None:
    """Let the system end this process with the one that started it, also when native code never comes back."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(STOPPED)


def _listen(inbox: BinaryIO, tasks: queue.SimpleQueue[Message]) -> None:
    for line in inbox:
        tasks.put(messages.read(line))
    os.killpg(os.getpid(), signal.SIGKILL)  # the engine is gone, and what steps have started goes, too


class _Worker:
    def __init__(self, told: Message, outbox: int) -> None:
        self._told, self._outbox, self._lock = told, outbox, threading.Lock()
        self._site: Site | None = None

    def answer(self, tasks: queue.SimpleQueue[Message]) -> None:
        while True:
            self._send(self._answered(tasks.get()))

    def say(self, **message: Any) -> None:
        self._send(messages.line(message))

    def _send(self, line: bytes) -> None:
        # An alarm may cut a long line short: the next one begins anew, and the engine passes the rest over.
        left = b"\n" + line
        with self._lock:
            while left:
                left = left[os.write(self._outbox, left) :]

    def _answered(self, task: Message) -> bytes:
        """Return what became of one attempt of a step."""
        try:
            context = messages.context_of(self._opened(), task)
            context.lines = _Lines(self)
            context.tell = lambda text: self.say(tell=text)
            self.say(began=True)
            made, stored = once(context)
            try:
                return messages.line(messages.made_message(made, stored, context.touched))
            except (TypeError, ValueError) as error:
                raise failed(context.asset, error, context.site.project.root) from error
        except OitoError as error:
            return messages.line({"error": messages.error_message(error)})

    def _opened(self) -> Site:
        if self._site is None:
            self._site = messages.opened(self._told)
        return self._site


class _Lines(list[str]):
    """Lines of a step's log that are sent as they come, so that those of a step that dies are known."""

    def __init__(self, worker: _Worker) -> None:
        super().__init__()
        self._worker = worker

    def append(self, text: str) -> None:
        self._worker.say(line=text)

    def extend(self, lines: Iterable[str]) -> None:
        for text in lines:
            self.append(text)


if __name__ == "__main__":
    main()
