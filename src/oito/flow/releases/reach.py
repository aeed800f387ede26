"""What code a process can reach: whether the working folder is among it, and how it is shut out while released code runs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from oito.flow import loading
from oito.flow.code.packages import in_site_folder

OWN = Path(__file__).resolve().parents[3]  # where this package was imported from; a checkout may hold a project, too


@dataclass(frozen=True)
class Reach:
    """What stored source may reach: itself and what is installed, but nothing else of the folder that people work in.

    Args:
        code: the folder of the stored source.
        working: the folder that people edit.
        home: where the catalog lies, inside of the working folder or elsewhere; `code` is in it.
    """

    code: Path
    working: Path
    home: Path

    def is_open(self) -> bool:
        """Say whether this process has run, or would find, a module of the working folder or of another release.

        One that has run may have left something behind in libraries, in variables, in what it has registered.
        """
        if self.path(sys.path) != sys.path or any(self._is_out(file) for file in loading.executed()):
            return True
        loaded = {**loading.modules(self.working), **loading.modules(self.home)}
        return any(_is_foreign(module, self.code) for module in loaded.values())

    def path(self, entries: Sequence[str]) -> list[str]:
        """Return the import path without the working folder; a folder inside of it is that of the stored source, instead."""
        found = []
        for entry in entries:
            place = Path(entry or os.curdir).resolve()
            if not self._is_out(place):
                found.append(entry)
            elif (inside := self.code / place.relative_to(self.working)) != self.code and inside.is_dir():
                found.append(str(inside))
        return found

    def variables(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return environment variables for a process that is to begin without the working folder."""
        entries = [entry for entry in given.get("PYTHONPATH", "").split(os.pathsep) if entry]
        kept = [entry for entry in entries if not self._is_out(Path(entry).resolve())]
        rest = {name: value for name, value in given.items() if name not in {"PYTHONPATH", "PYTHONSTARTUP"}}
        return {**rest, **({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})}

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let no module be imported from the working folder inside the block, whoever offers it: it is as if not there."""
        guard = _Guard(self)
        sys.meta_path.insert(0, guard)
        try:
            yield
        finally:
            sys.meta_path.remove(guard)

    def refuses(self, spec: ModuleSpec) -> bool:
        """Say whether a module that was found stands in the working folder."""
        places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())[:1]
        return any(self._is_out(Path(place).resolve()) for place in places)

    def _is_out(self, place: Path) -> bool:
        if (
            in_site_folder(place)
            or place.is_relative_to(self.code)
            or place == OWN
            or place.is_relative_to(OWN / "oito")
        ):
            return False
        python = Path(sys.prefix)
        if python.is_relative_to(self.working) and place.is_relative_to(python):
            return False  # a virtual environment in the project's folder
        return place.is_relative_to(self.working) or (place.is_relative_to(self.home) and place != self.home)


class _Guard:
    """An importer that stands before all others and asks them, so that also what editable installs offer is seen."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        for finder in [each for each in sys.meta_path if not isinstance(each, _Guard)]:
            ask = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = ask(name, path, target) if ask else None
            if spec is not None:
                if self._reach.refuses(spec):
                    raise ModuleNotFoundError(
                        f"No module named {name!r} in the released source; the working folder's is not used", name=name
                    )
                return spec
        return None


def _is_foreign(module: ModuleType, code: Path) -> bool:
    places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", ()))[:1]
    return not any(Path(str(place)).resolve().is_relative_to(code) for place in places)
