"""Where the boxes of a loop stand: on an ellipse, clockwise from the top left, and the arcs between them. Nothing is drawn here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 860, 430
_STEPS = 400


@dataclass(frozen=True)
class Ring:
    """Boxes of one size around one middle; `angles` (radians, clockwise as y grows downwards) say where."""

    angles: Sequence[float]
    box: tuple[float, float]

    @property
    def radii(self) -> tuple[float, float]:
        return (WIDTH - self.box[0]) / 2 - 4, (HEIGHT - self.box[1]) / 2 - 4

    def at(self, angle: float) -> tuple[float, float]:
        rx, ry = self.radii
        return WIDTH / 2 + rx * math.cos(angle), HEIGHT / 2 + ry * math.sin(angle)

    def arc(self, source: int, target: int) -> tuple[float, float]:
        """Return the angles at which the way from one box to the next leaves the first and reaches the second."""
        start = self.angles[source]
        end = start + (self.angles[target] - start) % math.tau
        way = [start + (end - start) * step / _STEPS for step in range(_STEPS + 1)]
        outside = [a for a in way if not self._inside(a, source, 6) and not self._inside(a, target, 6)]
        return (outside[0], outside[-1]) if outside else (start, end)

    def _inside(self, angle: float, box: int, margin: float) -> bool:
        (x, y), (bx, by) = self.at(angle), self.at(self.angles[box])
        return abs(x - bx) < self.box[0] / 2 + margin and abs(y - by) < self.box[1] / 2 + margin


def ring(count: int, box: tuple[float, float]) -> Ring:
    """Return `count` boxes around the ellipse, the first at the top left.

    Example:
        >>> first, second, *_ = (ring(8, (170, 60)).at(angle) for angle in ring(8, (170, 60)).angles)
        >>> first[0] < second[0], first[1] < HEIGHT / 2
        (True, True)
    """
    # Half a place before the top, so that an even number of boxes stands symmetric.
    return Ring([math.tau * (0.75 + (number - 0.5) / count) for number in range(count)], box)
