"""Content-addressed files: bytes kept under their own SHA-256 and verified on the way out. What they mean is not known here."""

import errno
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oito.errors import BadInput, CorruptFile, StorageError, StorageFull

_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG: the limit on file sizes set for a process
_FULL_TEXTS = (
    "No space left on device",
    "quota exceeded",
    "File too large",
)  # libraries that drop the number keep the text
_YOUNG_S = 1.0  # a file put again within this time still counts as put just now
_SETTLED_NS = 100_000_000  # a file changed more recently than this may change again within one tick of its mtime

_Stamp = tuple[int, int, int, int]


class Files:
    """Files under `root`, each named by the SHA-256 of its bytes (`root/ab/cdef…`).

    A file never changes after it has its name: it is written beside (`root/scratch`), synced, then renamed, so that a
    crash leaves scratch files but no half file. Several processes and threads may use the same root. Large files are
    verified once per process and then again only when their size, times or inode change.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._scratch = self.root / "scratch"
        self._verified: dict[str, _Stamp] = {}
        with _room(self.root):
            self._scratch.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Return the digest under which `data` is now kept; a file that is there but broken is written anew.

        One that is there has the time of this very moment from now on: a file that nobody owns yet is no leftover.

        Raises:
            StorageFull: the disk or quota is full; nothing was kept.

        Example:
            >>> import tempfile
            >>> files = Files(Path(tempfile.mkdtemp()))
            >>> files.read(files.put(b"rides"))
            b'rides'
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self._is_kept(digest):
            with self.writing() as path:
                path.write_bytes(data)
                self._install(path, digest)
        return digest

    def scratch(self) -> Path:
        """Return a path on the same file system that nobody else uses; `adopt` it or unlink it."""
        return self._scratch / uuid.uuid4().hex

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Lend a scratch path for the length of a block: what is not adopted is removed, a full disk is StorageFull."""
        path = self.scratch()
        try:
            with _room(path):
                yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path) -> str:
        """Return the digest of a finished scratch file and move it in; the path is gone afterwards, also on failure."""
        try:
            with _room(path):
                digest = _sha256(path)
                if not self._is_kept(digest):
                    self._install(path, digest)
                return digest
        finally:
            path.unlink(missing_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the file of that digest is or would be, unverified."""
        if not _DIGEST.fullmatch(digest):
            raise BadInput(f"{digest!r} is no digest of a file", known="64 hexadecimal digits in lower case")
        return self.root / digest[:2] / digest[2:]

    def read(self, digest: str) -> bytes:
        """Return the bytes of that digest, proven on this very read.

        Raises:
            CorruptFile: the bytes do not fit the digest.
            StorageError: there is no such file.
        """
        path = self.path(digest)
        with _present(path):
            data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != digest:
            raise _corrupt(path, digest, found, size_bytes=len(data))
        return data

    def verify(self, digest: str) -> Path:
        """Return the path of that digest after making sure that its bytes fit; cheap when done before and unchanged."""
        path = self.path(digest)
        with _present(path):
            stamp = _stamp(path)
            if self._verified.get(digest) == stamp:
                return path
            began_ns = time.time_ns()
            found = _sha256(path)
        if found != digest:
            self._verified.pop(digest, None)
            raise _corrupt(path, digest, found, size_bytes=stamp[0])
        if began_ns - max(stamp[1], stamp[2]) > _SETTLED_NS:
            self._verified[digest] = stamp
        return path

    def has(self, digest: str) -> bool:
        """Say whether a file of that name is there; whether it is sound is `verify`'s question."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Return the size in bytes of the file of that digest."""
        path = self.path(digest)
        with _present(path):
            return path.stat().st_size

    def size_of(self, digest: str) -> int:
        """Return the size in bytes of the file of that digest, 0 when there is none."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def digests(self) -> Iterator[str]:
        """Yield the digest of each file, in order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                if _DIGEST.fullmatch(folder.name + path.name):
                    yield folder.name + path.name

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Return those of the digests that have no file."""
        return [each for each in digests if not self.has(each)]

    def put_at(self, digest: str) -> float:
        """Return when the file of that digest was put last, in seconds since 1970 by the machine's clock."""
        path = self.path(digest)
        with _present(path):
            return path.stat().st_mtime

    def remove(self, digest: str, *, put_before: float = float("inf")) -> int:
        """Delete the file of that digest, unless it was put later, and return its size; 0 when nothing was deleted."""
        path = self.path(digest)
        try:
            stat = path.stat()
            if stat.st_mtime >= put_before:
                return 0
            path.unlink()
        except FileNotFoundError:
            return 0
        self._verified.pop(digest, None)
        return stat.st_size

    def scratches(self, older_than_s: float) -> list[Path]:
        """Return the scratch files that were untouched for longer: those of dead writers."""
        found = []
        for path in self._scratch.iterdir():
            with suppress(FileNotFoundError):  # its writer finished
                if time.time() - path.stat().st_mtime >= older_than_s:
                    found.append(path)
        return found

    def clean_scratch(self, older_than_s: float) -> int:
        """Return how many scratch files of dead writers were deleted: those untouched for longer than `older_than_s`."""
        found = self.scratches(older_than_s)
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _is_kept(self, digest: str) -> bool:
        """Say whether the bytes are there and sound, and let them count as put now."""
        try:
            path = self.verify(digest)
            if not 0 <= time.time() - path.stat().st_mtime < _YOUNG_S:
                os.utime(path)
        except (StorageError, FileNotFoundError, PermissionError):
            # broken, not there, deleted as unowned this very moment, or another account's, whose age is not ours to set
            return False
        return True

    def _install(self, path: Path, digest: str) -> None:
        home = self.path(digest)
        home.parent.mkdir(exist_ok=True)
        _sync(path)
        path.replace(home)
        _sync(home.parent)  # without it a power cut can lose the name although the bytes are safe


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Turn every way in which a full disk shows itself into StorageFull."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else None
        if number not in _FULL and not any(text in str(error) for text in _FULL_TEXTS):
            raise
        raise StorageFull(
            "there is no room to write",
            where=str(path.parent),
            known=f"{error}; nothing half-written was kept",
            next="free some space or raise the quota, then run the same command again",
        ) from error


@contextmanager
def _present(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StorageError(
            "a stored file is gone",
            where=str(path),
            next="oito repair makes it again, where that can be done; else restore it from a backup",
        ) from None


def _corrupt(path: Path, digest: str, found: str, *, size_bytes: int) -> CorruptFile:
    return CorruptFile(
        "a stored file does not have the bytes it was written with",
        where=str(path),
        known=f"expected sha256 {digest}\nfound    sha256 {found} in {size_bytes} bytes",
        next="oito repair makes it again, where that can be done; else restore it from a backup",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamp(path: Path) -> _Stamp:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
