"""What a walk has gathered so far: digests by symbol, places, files, packages, and the one name of each thing."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oito.errors import DeclarationError
from oito.flow.code.ownership import Owner, Owners
from oito.flow.code.sourcecode import Source, source_of
from oito.flow.code.values import Unkeyable

Place = tuple[str, int]  # absolute file, line


class Reached:
    """Filled by one walk; its public dictionaries become the fields of `Closure`. Not for threads."""

    def __init__(self, owners: Owners) -> None:
        self.code: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.places: dict[str, Place] = {}
        self.packages: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.readings: list[str] = []
        self._owners = owners
        self._symbols: dict[int, str] = {}
        self._above: dict[str, str] = {}  # symbol -> the symbol it was first reached from
        self._kept: list[object] = []  # ids are only names while their objects live
        self._sources: dict[str, Source | None] = {}

    def symbol(self, value: object, wanted: str, *, above: str) -> tuple[str, bool]:
        """Return the one name of a thing and whether it is new; a second thing of the wanted name gets a number."""
        symbol = self._symbols.get(id(value))
        if symbol is not None:
            return symbol, False
        symbol, number = wanted, 1
        while symbol in self._above:
            number += 1
            symbol = f"{wanted}#{number}"
        self._symbols[id(value)] = symbol
        self._above[symbol] = above
        self._kept.append(value)
        return symbol, True

    def source(self, file: str) -> Source | None:
        """Return a file's source; during one walk a file is looked at once."""
        if file not in self._sources:
            self._sources[file] = source_of(file) if file else None
        return self._sources[file]

    def file(self, namespace: Mapping[str, Any]) -> None:
        """Note the file of a module and of all own modules that it imports: any of them can change what a name holds."""
        if namespace.get("__file__") in self.files:
            return
        for inside in self._owners.own_imports(namespace):
            file = str(inside["__file__"])
            source = self.source(file)
            self.files[file] = source.digest if source else hashlib.sha256(Path(file).read_bytes()).hexdigest()

    def package(self, owner: Owner | None) -> None:
        """Note the version of an owner that is a package."""
        if owner is not None and owner.package is not None:
            self.packages[owner.package.name] = owner.package.version

    def place_of(self, namespace: Mapping[str, Any], name: str) -> Place | None:
        """Return where a module binds a name, None when its file does not say."""
        file = str(namespace.get("__file__") or "")
        source = self.source(file)
        line = source.lines.get(name) if source else None
        return (file, line) if line else None

    def fault(self, fault: Unkeyable, user: str, place: Place | None) -> DeclarationError:
        """Return the error for a value without canonical form that `user` reads; `place` is where the value is bound."""
        file, line = self.places.get(user, ("", 0))
        bound = f"{self._owners.shown_file(place[0])}:{place[1]}; " if place else ""
        trail = [fault.path, user]
        while self._above.get(trail[-1]):
            trail.append(self._above[trail[-1]])
        return DeclarationError(
            f"{fault.path} is a {fault.kind}: its content cannot be told, so a change of it would not be seen",
            where=f"{bound}used by {user} at {self._owners.shown_file(file)}:{line}" if user else "",
            known=f"reached through {' -> '.join(reversed(trail))}" if user else "",
            next=f"make it inside {user.rpartition('.')[2] or 'the function'}, or behind a function with functools.cache, "
            "or leave it out in its object's __getstate__",
        )
