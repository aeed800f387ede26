"""Which installed distribution a module belongs to, and its version, read from the disk; no module is imported here.

A module is a package's when the folder it was found in also holds the `*.dist-info` (or `*.egg-info`) that lists its
file. An editable install keeps its metadata elsewhere: its code can change while its version does not, so it counts as
the user's own code, not as a package.
"""

import linecache
import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

STANDARD_LIBRARY = Path(linecache.__file__).resolve().parent
SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True)
class Package:
    """A distribution as its metadata names it."""

    name: str
    version: str


def version_of(module: str) -> Package | None:
    """Return the distribution that brings `module`, or None: standard library, own code, editable, not installed.

    The module is looked for where Python would find it, but not imported.

    Example:
        >>> version_of("numpy").name
        'numpy'
        >>> version_of("json") is None
        True
    """
    file = file_of(module)
    return package_of(file) if file is not None else None


def file_of(module: str) -> Path | None:
    """Return the file a module is (or would be) loaded from; None for built-in modules and unknown names."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if file else None
    places: list[str] | None = None
    for part in _prefixes(module):
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or [])
    assert spec is not None
    return Path(spec.origin) if spec.has_location and spec.origin else None


def _prefixes(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]


def in_site_folder(file: Path) -> bool:
    """Return whether a file stands where installers put packages."""
    return not SITE_FOLDERS.isdisjoint(file.parts)


@cache
def in_standard_library(file: Path) -> bool:
    """Return whether a file is part of Python itself."""
    return not in_site_folder(file) and file.resolve().is_relative_to(STANDARD_LIBRARY)


def package_of(file: Path) -> Package | None:
    """Return the distribution whose metadata, beside it on the disk, lists this file; None when there is none.

    The answer follows the disk: an upgrade is seen at the next call, also in a process that runs on.
    """
    for folder in file.parents:
        metadata = _metadata_of(folder, _stamp(folder), file.relative_to(folder).as_posix())
        if metadata is not None:
            return _read(metadata, _stamp(metadata))
        if folder.name in SITE_FOLDERS:
            break
    return None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return (0, 0)
    return facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=4096)
def _metadata_of(folder: Path, stamp: tuple[int, int], inside: str) -> Path | None:
    """Return the METADATA (or PKG-INFO) file in `folder` of the distribution that owns the relative path `inside`."""
    del stamp  # part of the cache's key only
    top = inside.split("/", 1)[0].split(".", 1)[0]
    # The distribution that shares the module's name is asked first: it nearly always is the one.
    likely_first = sorted(
        _infos(folder, _stamp(folder)), key=lambda info: not info.name.lower().startswith(top.lower())
    )
    for info in likely_first:
        if _lists(info, inside, top):
            return info / ("METADATA" if info.suffix == ".dist-info" else "PKG-INFO")
    return None


@lru_cache(maxsize=256)
def _infos(folder: Path, stamp: tuple[int, int]) -> tuple[Path, ...]:
    del stamp
    try:
        return tuple(sorted(path for path in folder.iterdir() if path.suffix in {".dist-info", ".egg-info"}))
    except OSError:
        return ()


def _lists(info: Path, inside: str, top: str) -> bool:
    if info.suffix == ".dist-info":
        record = _text(info / "RECORD")
        if record:
            return f"\n{inside}," in f"\n{record}" or f"\n{top}/__init__.py," in f"\n{record}"
        return top in _top_level(info)
    # An egg-info in a source folder belongs to an editable install (see above); in a site folder it is the installed one.
    return info.parent.name in SITE_FOLDERS and top in _top_level(info)


def _top_level(info: Path) -> list[str]:
    return _text(info / "top_level.txt").split() or [info.name.split("-", 1)[0]]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


@lru_cache(maxsize=1024)
def _read(metadata: Path, stamp: tuple[int, int]) -> Package:
    del stamp
    fields: dict[str, str] = {}
    for line in _text(metadata).splitlines():
        if not line:  # the headers end at the first empty line; a description may hold anything
            break
        name, _, value = line.partition(": ")
        fields.setdefault(name, value.strip())
    named, _, rest = metadata.parent.stem.partition("-")
    return Package(fields.get("Name", named), fields.get("Version", rest or "unknown"))
