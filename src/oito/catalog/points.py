"""Metric points while a step runs: a file per step, a line per point, there for every process at once. Kept ones are a table.

A point is written with one write(2) when it is logged: nothing is buffered here, so a killed process loses none of them.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from oito.clock import Clock
from oito.errors import BadInput, StorageFull

KEPT_S = 7 * 86_400.0  # points of a step that failed, or that was killed, can be looked at for so long
_LONGEST_NAME = 200
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_encoded = json.JSONEncoder(separators=(",", ":")).encode

Point = tuple[str, int, float, float]  # name, step, value, seconds since 1970


class PointFile:
    """The writing side for one attempt of one step; safe to use from any thread. The file begins with the first point.

    Args:
        home: the folder of the catalog.
        asset: the name of what is made, with its partition.
    """

    def __init__(self, home: Path, run: str, asset: str, clock: Clock) -> None:
        self.path = home / "points" / run / f"{hashlib.sha256(asset.encode()).hexdigest()[:24]}.jsonl"
        self._asset, self._clock = asset, clock
        self._next: dict[str, int] = {}
        self._lock = Lock()
        self._fd = -1
        self.path.unlink(missing_ok=True)  # of an attempt before

    def add(self, name: str, value: float, step: int | None = None) -> None:
        """Write one point; without a step it is the one after the last of its name.

        Raises:
            StorageFull: there is no room.
        """
        with self._lock:
            place = self._next.get(name, 0) if step is None else step
            self._next[name] = place + 1
            line = _encoded((name, place, value, self._clock.now().timestamp()))
            try:
                if self._fd < 0:
                    self._begin()
                os.write(self._fd, line.encode() + b"\n")
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                raise StorageFull("there is no room to write", where=str(self.path), next="free some space") from error

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def _begin(self) -> None:
        sweep(self.path.parent.parent)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.write(self._fd, _encoded({"asset": self._asset}).encode() + b"\n")


def checked(name: str, value: float, step: int | None) -> tuple[float, int | None]:
    """Return the value and the step of a point as plain numbers.

    Raises:
        BadInput: they are none, or the name is no text or too long.

    Example:
        >>> checked("loss", 1, None)
        (1.0, None)
    """
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise BadInput(f"{name!r:.220} is no name of a metric", known=f"text of 1 to {_LONGEST_NAME} characters")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadInput(
            f"metric {name!r} is no number", known=f"{value!r:.80}", next="log one number at a time"
        ) from None
    try:
        place = None if step is None else int(step)
    except (TypeError, ValueError):
        place = None
    if step is not None and place != step:
        raise BadInput(f"step {step!r:.80} of metric {name!r} is no whole number", next="count steps in whole numbers")
    return number, place


def live(home: Path, run: str) -> dict[str, list[Point]]:
    """Return the points of a run's steps by asset, as they are at this moment."""
    found = (read(path) for path in sorted((home / "points" / run).glob("*.jsonl")))
    return {asset: points for asset, points in found if points}


def read(path: Path) -> tuple[str, list[Point]]:
    """Return the asset and the points of one file; a line that a full disk cut short is left out."""
    lines = list(_lines(path.read_bytes()))
    head = lines[0] if lines and isinstance(lines[0], dict) else {}
    return str(head.get("asset", "")), [(*line,) for line in lines[1:] if isinstance(line, list) and len(line) == 4]


def _lines(data: bytes) -> Iterator[object]:
    whole = data[: data.rfind(b"\n") + 1].splitlines()
    try:
        yield from json.loads(b"[" + b",".join(whole) + b"]")  # ten times quicker than line by line
    except ValueError:
        for line in whole:
            try:
                yield json.loads(line)
            except ValueError:
                continue


def sweep(folder: Path, *, older_than_s: float = KEPT_S) -> None:
    """Delete the points of runs that have logged none for so long; those of good steps are in their versions."""
    for run in folder.iterdir() if folder.is_dir() else ():
        newest = max((path.stat().st_mtime for path in run.glob("*.jsonl")), default=0.0)
        if newest and time.time() - newest > older_than_s:
            shutil.rmtree(run, ignore_errors=True)
