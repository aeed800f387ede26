"""Append-only files of framed, checksummed blocks: written with one write(2) each, read past any damage. What a block means lives elsewhere.

A segment opens with `OITOSEG1` and eight random bytes, its marker. A frame is marker, length and CRC-32 (both u32, little
endian; the sum covers length and payload), payload. Nobody outside knows the marker, so no request can forge a frame, and a
reader finds the next whole frame from any offset. Only the process that made a segment writes it.
"""

import itertools
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from oito.errors import CorruptFile, StorageFull

_MAGIC = b"OITOSEG1"
_OPENING = len(_MAGIC) + 8
_FRAME = struct.Struct("<8sII")
_LENGTH = struct.Struct("<I")
_NEAR = 1 << 16  # bytes that are faster walked than halved


class Segment:
    """One file being written; not thread-safe, except that `sync` may run beside `append`."""

    def __init__(self, folder: Path, kind: str, *, time_ns: int, first: bytes = b"") -> None:
        """Open a new file whose first block is `first`, if given; without room for it there is no file."""
        folder.mkdir(parents=True, exist_ok=True)
        self._marker = os.urandom(8)
        self.path, self._fd = _create(folder, kind, time_ns)
        self.size_bytes = 0
        try:
            self._write([_MAGIC, self._marker])
            if first:
                self.append([first])
        except StorageFull:
            self.close()
            self.path.unlink()
            raise
        _sync_folder(folder)

    def append(self, parts: Sequence[bytes]) -> None:
        """Write the concatenated `parts` as one block, whole or not at all.

        Raises:
            StorageFull: the disk, quota or file-size limit has no room; the file is as before.
        """
        length = _LENGTH.pack(sum(map(len, parts)))
        total = crc32(length)
        for part in parts:
            total = crc32(part, total)
        self._write([self._marker, length, _LENGTH.pack(total), *parts])

    def _write(self, parts: list[bytes]) -> None:
        data = b"".join(parts)
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            written, reason = 0, error.strerror or str(error)
        else:
            reason = "only a part fitted"
        if written != len(data):
            os.ftruncate(self._fd, self.size_bytes)
            raise StorageFull(
                "the prediction journal cannot be written, so nothing is answered",
                known=reason,
                next="free space on the journal's disk; the endpoint goes on by itself",
            )
        self.size_bytes += written

    def sync(self) -> None:
        """Return when everything appended before the call would survive a loss of power."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _create(folder: Path, kind: str, time_ns: int) -> tuple[Path, int]:
    for number in itertools.count():
        path = folder / f"{kind}-{time_ns // 1000:020d}-{os.getpid()}-{number}.seg"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageFull("the prediction journal cannot be opened", known=error.strerror or str(error)) from None
    raise AssertionError("unreachable: the count has no end")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def paths(folder: Path, kind: str) -> list[Path]:
    """Return the segments of one kind, oldest start first."""
    return sorted(folder.glob(f"{kind}-*.seg"))


def start_us(path: Path) -> int:
    """Return the start of a segment in microseconds since 1970, as its name says."""
    return int(path.stem.rsplit("-", 3)[1])


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that are no whole frame, though whole frames or a claimed end follow."""

    path: Path
    start: int
    end: int

    def error(self) -> CorruptFile:
        return CorruptFile(
            f"the journal segment {self.path.name} is damaged",
            where=f"{self.path}; bytes {self.start} to {self.end}",
            known="every block outside these bytes is whole and can be read",
            next="restore the file from a copy, or read around the damage",
        )


class Frames:
    """The frames of one segment, as bytes of the mapped file."""

    def __init__(self, path: Path, data: bytes | mmap.mmap) -> None:
        self.path, self._data = path, data
        self._marker = data[len(_MAGIC) : _OPENING] if data[: len(_MAGIC)] == _MAGIC else b""

    def walk(self, start: int = 0, *, damaged: Callable[[Damage], None]) -> Iterator[bytes]:
        """Yield payloads in order; a torn tail ends the walk, damage before it is told to `damaged` and stepped over."""
        at = start or _OPENING
        if not self._marker:
            if len(self._data) >= _OPENING and any(self._data[:_OPENING]):
                damaged(Damage(self.path, 0, len(self._data)))
            return
        while at < len(self._data):
            if end := self._end(at):
                yield self._data[at + _FRAME.size : end]
                at = end
                continue
            following = self._next(at + 1, len(self._data))
            if following is None and self._is_torn(at):
                return
            damaged(Damage(self.path, at, following or len(self._data)))
            at = following or len(self._data)

    def near(self, is_before: Callable[[bytes], bool]) -> int:
        """Return where to start walking for the last frame with `is_before`; frames must be ordered by it. About 20 probes."""
        low, high = _OPENING, len(self._data)
        while high - low > _NEAR:
            middle = (low + high) // 2
            at = self._next(middle, high)
            if at is None or not is_before(self._data[at + _FRAME.size : self._end(at)]):
                high = middle
            else:
                low = at
        return low

    def _end(self, at: int) -> int:
        """Return the end of the whole frame that starts at `at`, or 0."""
        if at + _FRAME.size > len(self._data):
            return 0
        marker, length, total = _FRAME.unpack_from(self._data, at)
        end: int = at + _FRAME.size + length
        if marker != self._marker or end > len(self._data):
            return 0
        payload = self._data[at + _FRAME.size : end]
        return end if crc32(payload, crc32(_LENGTH.pack(length))) == total else 0

    def _next(self, start: int, stop: int) -> int | None:
        at = self._data.find(self._marker, start, stop)
        while at >= 0:
            if self._end(at):
                return at
            at = self._data.find(self._marker, at + 1, stop)
        return None

    def _is_torn(self, at: int) -> bool:
        """Return whether the rest is an unfinished write: cut short, or zeros that a crash left."""
        rest = self._data[at:]
        if rest[: len(self._marker)] == self._marker and len(rest) >= _FRAME.size:
            length: int = _LENGTH.unpack_from(rest, 8)[0]
            return len(rest) < _FRAME.size + length
        return self._marker.startswith(rest[:8]) or not any(rest)


@contextmanager
def mapped(path: Path) -> Iterator[Frames]:
    """Open a segment for reading, also while it is being written."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            yield Frames(path, b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield Frames(path, data)
