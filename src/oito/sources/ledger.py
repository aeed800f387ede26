"""The files behind a source, and what was read of them: found without reading them. Reading is the readers' work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from glob import glob
from pathlib import Path
from typing import Any

from oito.sources.spec import FilesReader


@dataclass(frozen=True)
class Read:
    """One file of the ledger: its stamp when it was read, its rows, and when the first of those left for later is known."""

    path: str
    size_bytes: int
    changed_ns: int
    rows: int = 0
    waits_until: str = ""

    @property
    def stamp(self) -> tuple[str, int, int]:
        return self.path, self.size_bytes, self.changed_ns

    def data(self) -> dict[str, Any]:
        """Return the entry as the record keeps it."""
        return asdict(self)


def stamps(root: Path, reader: FilesReader) -> tuple[tuple[str, int, int], ...]:
    """Return (path, size in bytes, changed at in ns) of every file the reader would read."""
    return tuple(each.stamp for each in found(root, reader))


def kept(record: Mapping[str, Any]) -> tuple[Read, ...]:
    """Return the ledger that a version's record holds."""
    return tuple(Read(**each) for each in record.get("files", ()))


def found(root: Path, reader: FilesReader) -> list[Read]:
    """Return every file that the reader would read, as it is now."""
    there = []
    for name in sorted(glob(reader.pattern, root_dir=root, recursive=True)):  # noqa: PTH207  # an absolute pattern is fine, too
        path = root / name
        if path.is_file():
            stat = path.stat()
            there.append(Read(name, stat.st_size, stat.st_mtime_ns))
    return there
