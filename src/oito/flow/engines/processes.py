"""The engine that runs steps in processes of their own, several at once. What a worker does with a step is its own file's.

A worker is started when a step has no other to go to, and stays for the next one. It is a new process and never a fork: the
threads of frame libraries do not survive one. It stands in a session of its own, so that Ctrl-C in the terminal reaches this
process alone, which then ends the workers in good order. A worker whose engine is gone ends by itself.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from oito.clock import stopwatch
from oito.errors import MemoryExceeded, OitoError, WorkerDied
from oito.flow.engines import messages
from oito.flow.engines.attempt import again, step_name, too_slow
from oito.flow.engines.child import Child
from oito.flow.engines.engine import Done
from oito.flow.engines.messages import Message
from oito.flow.site import Context, Site
from oito.names import size_text

GRACE_S = 1.0  # for steps that are to end: their `finally` blocks run
LOOK_S = 0.5  # between two looks at workers that say nothing
MEMORY_S = 0.05  # the same while one may not use more than so much memory
_CRASHED_AT = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)')


@dataclass
class _Task:
    """A step on its way to its end; `number` is how many attempts failed."""

    context: Context
    number: int = 0
    not_before: float = 0.0
    began: float = 0.0  # its first attempt


class Processes:
    """Carries steps out in up to `slots` worker processes; for one thread, which calls all three methods.

    Example:
        >>> from oito.workspace import Workspace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "project.py").write_text("")
        ...     engine = Processes(Workspace(folder).site, slots=2)
        >>> engine.slots, list(engine.wait(0))
        (2, [])
    """

    def __init__(self, site: Site, *, slots: int) -> None:
        self.slots = slots
        self._site = site
        self._told: IO[bytes] | None = None
        self._waiting: list[_Task] = []
        self._workers: dict[Child, _Task | None] = {}  # and the step that each is at
        self._done: list[Done] = []
        self._ready = selectors.DefaultSelector()

    def submit(self, context: Context) -> None:
        """Take a step that is ready; at most `slots` are under way at any time."""
        self._waiting.append(_Task(context))
        self._place()

    def wait(self, timeout_s: float) -> Sequence[Done]:
        """Return the steps that have ended, after at most so many seconds; none of them when the time is over.

        An exception on the way, such as KeyboardInterrupt, is raised when nothing runs any more.
        """
        try:
            until = stopwatch() + timeout_s
            while not self._done and self._is_busy() and (left_s := until - stopwatch()) > 0:
                self._place()
                self._listen(self._patience_s(left_s))
                self._watch()
            done, self._done = self._done, []
            return done
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End whatever still runs, and every worker; steps that ran left nothing but bytes that nobody refers to."""
        self._waiting.clear()
        try:
            for worker in self._workers:
                worker.stop()
            until = stopwatch() + GRACE_S
            for worker in self._workers:
                worker.has_ended(max(0.0, until - stopwatch()))
        finally:
            for worker in list(self._workers):
                self._bury(worker)
            self._ready.close()
            self._ready = selectors.DefaultSelector()
            if self._told is not None:
                self._told.close()
                self._told = None

    def _is_busy(self) -> bool:
        return bool(self._waiting) or any(self._workers.values())

    def _place(self) -> None:
        """Give each step that is due to a worker, as long as there are some."""
        for task in [task for task in self._waiting if task.not_before <= stopwatch()]:
            worker = self._free(task)
            if worker is None:
                return
            self._waiting.remove(task)
            self._workers[worker] = task
            worker.begin(messages.task_message(task.context))

    def _free(self, task: _Task) -> Child | None:
        """Return a worker without a step: one that is there, or a new one."""
        for worker in [worker for worker, at in self._workers.items() if at is None]:
            if not worker.has_ended() and not worker.is_too_full_for(task.context.asset):
                return worker
            self._bury(worker)
        return self._started() if len(self._workers) < self.slots else None

    def _started(self) -> Child:
        if self._told is None:
            # Not by a pipe: it would block until the worker reads. Unnamed: nothing is left of it, whatever happens.
            self._told = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the engine
            self._told.write(messages.line({**messages.site_message(self._site), "parent": os.getpid()}))
            self._told.flush()
        worker = Child(self._told.fileno())
        self._workers[worker] = None
        self._ready.register(worker.outbox, selectors.EVENT_READ, worker)
        return worker

    def _patience_s(self, left_s: float) -> float:
        """Return how long there is nothing to do but to listen."""
        now = stopwatch()
        moments = [worker.deadline - now for worker in self._workers if worker.deadline]
        moments += [task.not_before - now for task in self._waiting if task.not_before > now]
        watched = any(worker.limit_bytes for worker in self._workers)
        return max(0.0, min([left_s, MEMORY_S if watched else LOOK_S, *moments]))

    def _listen(self, seconds: float) -> None:
        for key, _ in self._ready.select(seconds):
            self._hear(key.data)
            if key.data.is_silent:
                self._lose(key.data)

    def _hear(self, worker: Child) -> None:
        for message in worker.heard():
            task = self._workers[worker]
            if task is not None:  # else a thread that a step left behind has printed
                self._take(worker, task, message)

    def _take(self, worker: Child, task: _Task, message: Message) -> None:
        if "line" in message:
            task.context.lines.append(message["line"])
        elif "tell" in message:
            task.context.tell(message["tell"])
        elif "began" in message:
            task.began = task.began or stopwatch()
            worker.watch(task.context.asset, grace_s=GRACE_S)
        else:
            worker.end()
            self._workers[worker] = None
            if "error" in message:
                self._failed(task, messages.error_of(message["error"]))
            else:
                made, stored, touched = messages.made_of(self._site.catalog, message)
                task.context.touched.update(touched)
                self._done.append(Done(task.context, made, stored, _seconds(task)))

    def _watch(self) -> None:
        """End what takes too long or too much, and notice who has died while a process that it started lives on."""
        for worker, task in [(worker, task) for worker, task in self._workers.items() if task]:
            if worker.deadline and stopwatch() > worker.deadline:
                self._lose(worker, too_slow(task.context))
            elif worker.limit_bytes and (used := worker.resident_bytes()) > worker.limit_bytes:
                self._lose(worker, _too_large(task.context, used, worker.before_bytes))
            elif worker.has_ended():
                self._hear(worker)
                self._lose(worker)

    def _lose(self, worker: Child, error: OitoError | None = None) -> None:
        """Part with a worker; the attempt of its step has failed, unless the worker died between two steps."""
        task = self._workers[worker]
        code = self._bury(worker)
        if task is None:
            return
        if error is None and not worker.has_begun and worker.steps > 1:
            self._waiting.insert(0, task)
        else:
            self._failed(task, error or _died(task.context, code, worker.crash))

    def _failed(self, task: _Task, error: OitoError) -> None:
        pause_s = again(task.context, task.number, error)
        if pause_s is None:
            self._done.append(Done(task.context, seconds=_seconds(task), error=error))
        else:
            task.number += 1
            task.not_before = stopwatch() + pause_s
            self._waiting.append(task)

    def _bury(self, worker: Child) -> int:
        """Take a worker away, with all that its steps have started; return its exit code."""
        del self._workers[worker]
        self._ready.unregister(worker.outbox)
        return worker.kill()


def _seconds(task: _Task) -> float:
    return stopwatch() - task.began if task.began else 0.0


def _too_large(context: Context, used: int, before: int) -> MemoryExceeded:
    asset = context.asset
    return MemoryExceeded(
        f"{step_name(context)} used {size_text(used)} of memory, more than its limit of {asset.spec.memory}",
        where=asset.place,
        known=f"{size_text(before)} of it were there before it began: Python and the libraries",
        next="take in less at once (fewer columns, lazy frames, partitions), or raise memory=",
    )


def _died(context: Context, code: int, crash: str) -> WorkerDied:
    asset, root = context.asset, context.site.project.root
    next = f"mend it, then: oito run {asset.name}     or let retries= try again"
    if code == -signal.SIGKILL:
        how = "was killed, perhaps by the system for want of memory"
        next = "take in less at once, or run fewer steps at once: --jobs 1     or let retries= try again"
    else:
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    places = [found for found in _CRASHED_AT.finditer(crash) if Path(found["file"]).is_relative_to(root)]
    inner = places[0] if places else None  # the innermost comes first
    at = f"{Path(inner['file']).name}:{inner['line']}, in {inner['name']}" if inner else asset.place
    known = "\n".join([*crash.splitlines()[:1], "no pointer moved; what was made before is kept"])
    return WorkerDied(f"the process that made {step_name(context)} {how}", where=at, known=known, next=next)
