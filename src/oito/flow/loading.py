"""How the user's own modules come into this process: fresh, from the folder that was asked for. What they declare is read elsewhere.

Compiled files are neither read nor written: Python takes one for current when size and second of the last edit agree, and
then runs older code than the file holds. The bytes that were executed are kept, so that what ran can be stored.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType

from oito.errors import DeclarationError
from oito.flow.code.packages import in_site_folder, in_standard_library

_BEGAN_S = time.time()
_executed: dict[str, bytes] = {}  # file → the bytes that this process executed last
_pinned: dict[str, bytes] = {}  # file → the bytes to execute, whatever it holds by now
_roots: set[Path] = set()  # folders whose modules are loaded by us


def imported(root: Path, names: Iterable[str]) -> list[ModuleType]:
    """Return the modules of a project folder, those of any other project forgotten, edited ones read again."""
    _take_over(root)
    if any(_is_outdated(module) for module in _inside(root).values()):
        for name in _inside(root):
            del sys.modules[name]
    importlib.invalidate_caches()
    return [importlib.import_module(name) for name in names]


def modules(root: Path) -> dict[str, ModuleType]:
    """Return the loaded modules of a project folder by name."""
    return _inside(root)


def sources(loaded: Mapping[str, ModuleType]) -> dict[str, bytes]:
    """Return file → source of modules, as they were executed."""
    files = [str(module.__file__) for module in loaded.values() if getattr(module, "__file__", None)]
    return {file: _executed[file] for file in files if file in _executed}


def executed() -> list[Path]:
    """Return the files of every project that this process has executed so far, also those whose modules are forgotten."""
    return [_resolved(file) for file in _executed]


def pin(given: Mapping[str, bytes]) -> None:
    """Let these be the sources of their files from now on: a worker runs what its run began with, also after an edit."""
    _pinned.update(given)


def activate(root: Path, loaded: Mapping[str, ModuleType]) -> None:
    """Let imports inside of functions find this project's modules again, after another project was loaded."""
    if sys.path[:1] != [str(root)] or any(sys.modules.get(name) is not module for name, module in loaded.items()):
        _take_over(root)
        sys.modules.update(loaded)


def forget(root: Path) -> None:
    """Forget the modules of a project folder, after an import that failed half way."""
    for name in _inside(root):
        del sys.modules[name]


def _take_over(root: Path) -> None:
    """Make `root` the folder whose modules are found first, and clear away modules that would stand before its own."""
    offered = _offered(root)
    for other in {
        _folder(module) for name, module in sys.modules.copy().items() if _stands_before(name, module, offered, root)
    }:
        if other is not None:
            for name in _inside(other, but=root):
                del sys.modules[name]
            sys.path[:] = [entry for entry in sys.path if entry != str(other)]
    for other in _roots - {root}:
        sys.path[:] = [entry for entry in sys.path if entry != str(other)]
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry != str(root))]
    if not _roots:
        sys.path_hooks.insert(0, _finder)
    if root not in _roots:
        _roots.add(root)
        for entry in [each for each in sys.path_importer_cache if Path(each).is_relative_to(root)]:
            del sys.path_importer_cache[entry]


def _offered(root: Path) -> set[str]:
    """Return the top names of modules that the folder has."""
    return {
        path.stem for path in root.iterdir() if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    }


def _stands_before(name: str, module: ModuleType, offered: set[str], root: Path) -> bool:
    top = name.partition(".")[0]
    if top not in offered or name != top or top in sys.stdlib_module_names or top == "__main__":
        return False
    folder = _folder(module)
    return folder is not None and folder != root and not in_site_folder(folder / "x")


def _folder(module: ModuleType) -> Path | None:
    """Return the folder that a top module was found in."""
    file = getattr(module, "__file__", None)
    if file:
        path = Path(file).resolve()
        return path.parent.parent if path.name == "__init__.py" else path.parent
    places = list(getattr(module, "__path__", ()))
    return Path(places[0]).resolve().parent if places else None


def _inside(root: Path, *, but: Path | None = None) -> dict[str, ModuleType]:
    """Return the modules below a folder by name; those of `but`, a folder inside of it, are left out."""
    but = but if but and but.is_relative_to(root) else None
    found = {}
    for name, module in sys.modules.copy().items():
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", None) or ())[:1]
        if name == "__main__" or not places or not str(places[0]).startswith("/"):
            continue
        path = _resolved(str(places[0]))
        if path.is_relative_to(root) and not (but and path.is_relative_to(but)) and not in_site_folder(path):
            found[name] = module
    return found


_paths: dict[str, Path] = {}


def _resolved(text: str) -> Path:
    if text not in _paths:
        _paths[text] = Path(text).resolve()
    return _paths[text]


def _is_outdated(module: ModuleType) -> bool:
    """Say whether a loaded module's file holds something else by now."""
    file = getattr(module, "__file__", None)
    if not file or not str(file).endswith(".py"):
        return False
    try:
        if file in _executed:
            return Path(file).read_bytes() != _executed[file]
        return Path(file).stat().st_mtime > _BEGAN_S
    except OSError:
        return True


class _Loader(SourceFileLoader):
    """Compiles the file as it is now and remembers it."""

    def get_code(self, fullname: str) -> CodeType:
        source = _pinned[self.path] if self.path in _pinned else self.get_data(self.path)
        code: CodeType = self.source_to_code(source, self.path)
        _executed[self.path] = source
        return code


def _finder(entry: str) -> FileFinder:
    path = Path(entry).resolve()
    if not path.is_dir() or in_site_folder(path) or in_standard_library(path):
        raise ImportError("not a folder of a project", path=entry)
    if not any(path.is_relative_to(root) for root in _roots):
        raise ImportError("not a folder of a project", path=entry)
    return FileFinder(
        entry,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (_Loader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )


def modules_of(root: Path, names: Sequence[str]) -> list[ModuleType]:
    """Import the files or packages of a project.

    Raises:
        DeclarationError: one is not there, or cannot be imported; the text names the line.
    """
    for name in names:
        path = root / name
        if not path.exists() and not path.with_suffix(".py").exists():
            raise DeclarationError(
                f"the project file {name} is not there",
                where=str(root),
                next="run the command in the project's folder, or start one with: oito init",
            )
    try:
        return imported(root, [".".join(Path(name).with_suffix("").parts) for name in names])
    except DeclarationError:
        forget(root)
        raise
    except Exception as error:
        forget(root)
        line = _line_of(error, root)
        raise DeclarationError(
            f"{' or '.join(names)} cannot be imported: {type(error).__name__}: {error}",
            where=line or str(root / names[0]),
        ) from error


def _line_of(error: BaseException, root: Path) -> str:
    trace, line = error.__traceback__, ""
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(root):
            line = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        line = f"{Path(error.filename).name}:{error.lineno}"
    return line
