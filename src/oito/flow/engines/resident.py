"""How much memory the processes of a session hold right now. Linux alone tells; what a step may hold is its declaration's matter."""

import os
from pathlib import Path

PROC = Path("/proc")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION, _PAGES = 3, 21  # fields of /proc/<pid>/stat behind the name, which may hold anything


def is_known() -> bool:
    """Say whether this system tells."""
    return (PROC / "self" / "stat").exists()


def resident_bytes(session: int) -> int:
    """Return the resident bytes of all processes of a session; a page that two of them share counts twice."""
    return sum(pages for of, pages in _processes() if of == session) * _PAGE_BYTES


def _processes() -> list[tuple[int, int]]:
    """Return (session, resident pages) of each process."""
    found = []
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue  # it has ended since
            found.append((int(fields[_SESSION]), int(fields[_PAGES])))
    return found
