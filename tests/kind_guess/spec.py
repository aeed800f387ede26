"""What one may declare of a guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from oito.flow.declare import Decorator
from oito.flow.kind import Kind, Spec


@dataclass(frozen=True, kw_only=True)
class GuessSpec(Spec):
    """`least` is the bound that its gate asks for; it says who may pass, not what comes out."""

    of: Any
    least: float = 0.0

    word: ClassVar[str] = "guess"
    given: ClassVar[tuple[str, ...]] = ("rows",)
    takes_assets: ClassVar[bool] = False
    wants: ClassVar[Mapping[str, tuple[str, ...]]] = {"of": ("dataset",)}
    holds: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    def identity(self) -> dict[str, Any]:
        """Return the declared values without the bound of the gate."""
        return {name: value for name, value in super().identity().items() if name != "least"}


def guess(*, of: Any, least: float = 0.0, version: str = "") -> Decorator:
    """Declare a guess: a function `(rows)` that returns one number."""
    return Decorator(GuessSpec(of=of, least=least, version=version))


KIND = Kind("guess", "guesses", GuessSpec, "One number guessed from a table.", "kind_guess")
