"""Where names are looked up while one symbol is read: its module's globals, its file and its local modules. Nothing is followed."""

import ast
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oito.flow.code.references import Reference, chains
from oito.flow.code.sourcecode import Source


@dataclass(frozen=True)
class Scope:
    """The surroundings of one symbol; with `strict` off, what has no canonical form is no fault."""

    symbol: str
    module: str
    namespace: Mapping[str, Any]
    source: Source | None
    strict: bool = True
    modules: dict[str, types.ModuleType] = field(default_factory=dict)  # local variables that hold modules
    declarers: frozenset[str] = frozenset({"oito"})  # packages whose decorators declare: oito, and the asset's plug-in

    def declares(self, decorator: ast.expr) -> bool:
        """Say whether a decorator is one of those that only declare."""
        name = next(iter(chains(decorator)), ("",))[0]
        value = self.namespace.get(name)
        written = self.source.aliases.get(name, "") if self.source else ""
        home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None) or written
        return home.partition(".")[0] in self.declarers

    def means_all_modules(self, reference: Reference) -> bool:
        """Say whether `sys.modules` is meant, of which only the modules that the code names can matter."""
        value = self.namespace.get(reference.name)
        return value is sys.modules or (value is sys and reference.attributes[:1] == ("modules",))
