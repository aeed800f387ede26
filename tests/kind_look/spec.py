"""What one may declare of a look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec


@dataclass(frozen=True, kw_only=True)
class LookSpec(Spec):
    """A look watches what it looks at."""

    at: Any

    word: ClassVar[str] = "look"
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"at": ("guess",)}
    is_external: ClassVar[bool] = True

    @property
    def needs_function(self) -> bool:
        return False

    @property
    def watches(self) -> bool:
        """Whether what it looks at waits for its word."""
        return True


def look(*, at: Any) -> Decorator:
    """Declare a look at a guess."""
    return Decorator(LookSpec(at=at))


KIND = Kind("look", "looks", LookSpec, "Looks at a guess, and may ask for another.", "kind_look")
