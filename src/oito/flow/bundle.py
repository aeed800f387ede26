"""The project's own source as one stored file, so that production and a reproduction run code that nobody is editing."""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import stat
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from oito.storage.files import Files

SUFFIXES = (".py", ".sql", ".toml")
EPOCH = (1980, 1, 1, 0, 0, 0)  # one date for all, so that the same source is the same bytes
_SETTLED_NS = 100_000_000  # a file or folder changed more recently may change again within one tick of its mtime
_OTHERS = frozenset({"node_modules", "site-packages", "__pycache__"})

_Stamped = tuple[str, int, int, int]


def keep(root: Path, files: Files, *, loaded: Mapping[str, bytes] | None = None) -> str:
    """Store the source below `root` and return the digest of the bundle; the same source gives the same digest.

    Linked folders, hidden ones and virtual environments are left out.

    Args:
        loaded: file → the bytes that this process runs, where that may be older than what the folder holds by now.
    """
    return files.put(_bytes(root, files, loaded))


def digest(root: Path, files: Files, *, loaded: Mapping[str, bytes] | None = None) -> str:
    """Return the digest that `keep` would give, and store nothing."""
    return hashlib.sha256(_bytes(root, files, loaded)).hexdigest()


def _bytes(root: Path, files: Files, loaded: Mapping[str, bytes] | None) -> bytes:
    home = files.root.parent  # earlier bundles stand there
    found = sorted(stamps(root, but=home if home != root else None))
    held = {os.path.relpath(file, root): data for file, data in (loaded or {}).items()}
    texts = tuple(sorted((name, data) for name, data in held.items() if name in {each[0] for each in found}))
    newest = max((each[2] for each in found), default=0)
    if time.time_ns() - newest < _SETTLED_NS:
        return _packed.__wrapped__(root, tuple(found), texts)
    return _packed(root, tuple(found), texts)


@lru_cache(maxsize=8)
def _packed(root: Path, found: tuple[_Stamped, ...], texts: tuple[tuple[str, bytes], ...]) -> bytes:
    held, packed = dict(texts), io.BytesIO()
    # Not compressed: what deflate gives differs from build to build.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as bundle:
        for name, *_ in found:
            bundle.writestr(zipfile.ZipInfo(Path(name).as_posix(), EPOCH), held.get(name) or (root / name).read_bytes())
    return packed.getvalue()


def unpacked(files: Files, digest: str, folder: Path) -> Path:
    """Return a folder that holds the bundle's files and no other source; one that somebody edited is made anew.

    Any number of processes may ask at once: one of them makes the folder, and none sees it half made or taken away.
    """
    target = folder / digest[:16]
    with zipfile.ZipFile(io.BytesIO(files.read(digest))) as bundle:
        wanted = {name: bundle.read(name) for name in bundle.namelist()}
    if not _holds(target, wanted):
        with _alone(folder):
            if not _holds(target, wanted):  # else another process was quicker
                _make(target, wanted)
    return target


def _make(target: Path, wanted: Mapping[str, bytes]) -> None:
    scratch, replaced = (target.parent / f"{uuid.uuid4().hex}.part" for _ in range(2))
    try:
        for name, data in wanted.items():
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_bytes(data)
        scratch.mkdir(exist_ok=True)  # a bundle without any file is a folder, too
        if target.exists():
            target.rename(replaced)
        scratch.rename(target)
    finally:
        for left in (scratch, replaced):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes, and other threads, from making a folder here; the system lets go of what a killed one held."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _holds(target: Path, wanted: Mapping[str, bytes]) -> bool:
    try:
        names = {name for name, *_ in stamps(target)}
        return names == set(wanted) and all((target / name).read_bytes() == data for name, data in wanted.items())
    except OSError:  # not there, or another process is about to make it anew
        return False


def stamps(root: Path, *, but: Path | None = None) -> Iterator[_Stamped]:
    """Yield (name below the root, size, time, inode) of each source file."""
    waiting = [root]
    while waiting:
        inner, sources = _listed(waiting.pop())
        waiting += [each for each in inner if each != but]
        for path in sources:
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue  # deleted since the folder was listed
            if stat.S_ISREG(facts.st_mode):
                yield str(path.relative_to(root)), facts.st_size, facts.st_mtime_ns, facts.st_ino


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    changed_ns = folder.stat().st_mtime_ns
    if time.time_ns() - changed_ns < _SETTLED_NS:
        return _entries.__wrapped__(folder, changed_ns)
    return _entries(folder, changed_ns)


@lru_cache(maxsize=4096)
def _entries(folder: Path, changed_ns: int) -> tuple[list[Path], list[Path]]:
    """Return the folders and the source files in a folder; a folder of a million data files is read once."""
    del changed_ns  # part of the cache's key only
    folders, sources = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _OTHERS:
                continue
            if entry.is_dir(follow_symlinks=False):
                if not (folder / entry.name / "pyvenv.cfg").exists():
                    folders.append(folder / entry.name)
            elif entry.name.endswith(SUFFIXES):
                sources.append(folder / entry.name)
    return folders, sources
