"""The project's own source as one stored file, so that production and a reproduction run code that nobody is editing."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from oito.storage.files import Files

SUFFIXES = frozenset({".py", ".sql", ".toml"})
EPOCH = (1980, 1, 1, 0, 0, 0)  # one date for all, so that the same source is the same bytes
MAX_FILES = 2000


def keep(root: Path, files: Files) -> str:
    """Store the source below `root` and return the digest of the bundle; the same source gives the same digest."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in _sources(root):
            bundle.writestr(zipfile.ZipInfo(name, EPOCH), (root / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return files.put(packed.getvalue())


def unpacked(files: Files, digest: str, folder: Path) -> Path:
    """Return a folder that holds the bundle's files, unpacked once."""
    target = folder / digest[:16]
    if not target.is_dir():
        scratch = target.with_suffix(".part")
        with zipfile.ZipFile(io.BytesIO(files.read(digest))) as bundle:
            bundle.extractall(scratch)
        scratch.rename(target)
    return target


def _sources(root: Path) -> Iterator[str]:
    found = sorted(_walk(root, root))
    yield from found[:MAX_FILES]


def _walk(folder: Path, root: Path) -> Iterator[str]:
    for path in folder.iterdir():
        if path.name.startswith((".", "__")) and path.name != "__init__.py":
            continue
        if path.is_dir():
            if not (path / "pyvenv.cfg").exists() and path.name not in {"node_modules", "site-packages"}:
                yield from _walk(path, root)
        elif path.suffix in SUFFIXES:
            yield path.relative_to(root).as_posix()
