"""Other processes for the contracts: several that run to their end at once, and one that is killed while it works."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence


def together(codes: Sequence[str], *, timeout_s: float = 120.0) -> list[str]:
    """Run pieces of Python at the same time, each in a process, and return what each printed.

    Raises:
        AssertionError: one of them failed; the text is what it said.
    """
    running = [_start(code) for code in codes]
    told = [each.communicate(timeout=timeout_s) for each in running]
    for each, (_, error) in zip(running, told, strict=True):
        assert each.returncode == 0, error
    return [out for out, _ in told]


def killed(code: str, *, after_lines: int) -> list[str]:
    """Run a piece of Python until it has printed so many lines, kill it without a warning, and return all whole lines."""
    child = _start(code)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(after_lines)]
    os.kill(child.pid, signal.SIGKILL)
    rest, error = child.communicate()
    assert lines[0], error
    return [line.strip() for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")]


def _start(code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
    )


@contextlib.contextmanager
def holding(code: str) -> Iterator[None]:
    """Run a piece of Python that prints one line and then reads its input to the end, which comes with the block's."""
    child = _start(code)
    assert child.stdout is not None
    try:
        assert child.stdout.readline(), child.communicate()[1]
        yield
    finally:
        child.communicate()
