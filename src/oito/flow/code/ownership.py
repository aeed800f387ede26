"""Whose a piece of code is: the user's own, a package's, the standard library's or oito's. It is decided by the file."""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from oito.flow.code.packages import Package, file_of, in_site_folder, in_standard_library, package_of
from oito.flow.code.sourcecode import Source, source_of

_OITO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Owner:
    """`is_own` says that the code itself is keyed; else `package` is keyed, if there is one."""

    is_own: bool
    package: Package | None = None


_OWN = Owner(True)
_NEUTRAL = Owner(False)


class Owners:
    """Answers for one set of root folders; a file inside a root is the user's, unless it stands in a site folder there."""

    def __init__(self, roots: Sequence[Path]) -> None:
        # The deepest root that holds a file names its module.
        self._roots = sorted({root.resolve() for root in roots}, key=lambda root: -len(root.parts))
        self._known: dict[str, Owner] = {}
        self._named: dict[str, str] = {}

    def of(self, module: str, file: str | None) -> Owner:
        """Return the owner of a module by its file, or by its name when it has none."""
        key = file or f"<{module}>"
        if key not in self._known:
            self._known[key] = self._decide(module, Path(file).resolve() if file else None)
        return self._known[key]

    def of_name(self, module: str) -> Owner | None:
        """Return the owner of a module that need not be loaded; None when no such module is found."""
        if module in sys.modules:
            return self.of_namespace(vars(sys.modules[module]))
        if module.partition(".")[0] in sys.stdlib_module_names:
            return _NEUTRAL
        file = file_of(module)
        return self.of(module, str(file)) if file else None

    def of_namespace(self, namespace: Mapping[str, Any]) -> Owner:
        """Return the owner of the module whose globals these are."""
        return self.of(str(namespace.get("__name__", "")), namespace.get("__file__"))

    def of_class(self, kind: type) -> Owner:
        """Return the owner of the module that a class was made in."""
        return self.of_namespace(namespace_of(kind))

    def is_of_library(self, fn: FunctionType) -> bool:
        """Return whether a library's function holds nothing of the user's: it is what its name says, or carries nothing."""
        if not fn.__closure__ and "__wrapped__" not in vars(fn):
            return True
        found: object = sys.modules.get(fn.__module__)
        home = self.of_name(fn.__module__)
        for name in fn.__qualname__.split("."):
            found = getattr(found, name, None)
        return found is fn and home is not None and not home.is_own

    def _decide(self, module: str, file: Path | None) -> Owner:
        if file is None:
            top = module.partition(".")[0]
            if top in sys.stdlib_module_names or top == "oito":
                return _NEUTRAL
            above = getattr(sys.modules.get(top), "__file__", None)
            return self.of(top, above) if above and top != module else _OWN
        root = self.root_of(file)
        if root is not None and not in_site_folder(file.relative_to(root)):
            return _OWN
        if file.is_relative_to(_OITO) or in_standard_library(file):
            return _NEUTRAL
        package = package_of(file)
        if package is None and in_site_folder(file):
            # Installed without metadata: the file itself is its version.
            package = Package(module.partition(".")[0], hashlib.sha256(file.read_bytes()).hexdigest()[:16])
        return Owner(False, package) if package else _OWN

    def root_of(self, file: Path) -> Path | None:
        """Return the root folder that holds a resolved file, the deepest one."""
        return next((root for root in self._roots if file.is_relative_to(root)), None)

    def own_imports(self, namespace: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return the globals of a module and of all own modules with a file that it imports, directly or not."""
        found: dict[str, Mapping[str, Any]] = {}
        waiting = [namespace]
        while waiting:
            inside = waiting.pop()
            file = inside.get("__file__")
            if not file or file in found or not self.of_namespace(inside).is_own:
                continue
            found[file] = inside
            imported = _imports_of(source_of(file), str(inside.get("__package__") or ""))
            waiting += [vars(sys.modules[name]) for name in imported if name in sys.modules]
        return list(found.values())

    def module_symbol(self, namespace: Mapping[str, Any]) -> str:
        """Return what a module is called in symbols: its path below its root, or its own name outside of all roots."""
        name, file = str(namespace.get("__name__", "<no module>")), namespace.get("__file__")
        if not file:
            return name
        if file not in self._named:
            self._named[file] = self._name_of(Path(file).resolve()) or name
        return self._named[file]

    def _name_of(self, path: Path) -> str:
        root = self.root_of(path)
        if root is None:
            return ""
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        return ".".join(parts) or root.name

    def shown_file(self, file: str) -> str:
        """Return a file's name for texts: below its root, or whole."""
        path = Path(file)
        root = self.root_of(path.resolve()) if path.is_absolute() else None
        return path.resolve().relative_to(root).as_posix() if root else file


def _imports_of(source: Source | None, package: str) -> list[str]:
    found: list[str] = []
    for each in source.imports if source else ():
        try:
            name = importlib.util.resolve_name("." * each.level + each.module, package or None)
        except ImportError:
            continue
        parts = name.split(".")
        found += [".".join(parts[: n + 1]) for n in range(len(parts))]
        found += [f"{name}.{item}" for item in each.names]
    return found


def namespace_of(kind: type) -> Mapping[str, Any]:
    """Return the globals of the module a class was written in, found through its methods or else by its module's name.

    Methods come first: a module loaded a second time under one name leaves its older classes behind.
    """
    for member in vars(kind).values():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if isinstance(function, FunctionType) and function.__code__.co_qualname.startswith(f"{kind.__qualname__}."):
            return function.__globals__
    module = sys.modules.get(kind.__module__)
    return vars(module) if module is not None else {"__name__": kind.__module__}
