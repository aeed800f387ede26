"""Totals and extremes over stretches of moments, exact for integers and floats. What an event or a window is, is not known here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oito.features.keys import Ints

Floats = npt.NDArray[np.float64]
Twin = tuple[Floats, Floats]
"""A number as the unevaluated sum of two floats, the second below the first's last place: 106 bits."""

_SPLITTER = 2.0**27 + 1


@dataclass(frozen=True)
class Stretches:
    """Half-open stretches [enter, leave) of numbered moments, none empty; each holds one value.

    Every stretch ends within the moments, so a running total over all of them comes back to zero by itself where one
    key's moments end and the next one's begin.
    """

    enter: Ints
    leave: Ints
    moments: int

    def total(self, values: Ints) -> Ints:
        """Return the sum of the values that hold at each moment, exact as long as it fits into 64 bits."""
        change = np.zeros(self.moments, dtype=np.int64)
        np.add.at(change, self.enter, values)
        np.subtract.at(change, self.leave, values)
        return np.cumsum(change)

    def total_float(self, values: Floats) -> Twin:
        """Return the sum of the values that hold at each moment, rounded only at 106 bits.

        A running sum of floats would keep the rounding of everything that ever entered. So each value is cut into
        integers of a common unit, which add up exactly in any order, until nothing of it remains.
        """
        high, low = np.zeros(self.moments), np.zeros(self.moments)
        for whole, exponent in _limbs(values):
            summed = self.total(whole)
            for part, shift in ((summed >> 31, 31), (summed & (2**31 - 1), 0)):
                high, rest = two_sum(high, np.ldexp(part.astype(np.float64), exponent + shift))
                low = low + rest
        return two_sum(high, low)

    def total_squares(self, values: Floats) -> Twin:
        """Return the sum of the squares that hold at each moment, rounded only at 106 bits."""
        square, rest = two_product(values, values)
        (high, low), (rest_high, rest_low) = self.total_float(square), self.total_float(rest)
        high, error = two_sum(high, rest_high)
        return two_sum(high, error + low + rest_low)

    def extreme(self, values: npt.NDArray[np.generic], choose: np.ufunc) -> npt.NDArray[np.generic]:
        """Return the maximum or minimum (`choose`) of the values that hold at each moment, anything where none does.

        A stretch is covered by two of the largest power of two that fits; from the largest power down, each moment's
        value is handed to both halves (a sparse table, filled from above). O((values + moments) log moments).
        """
        kind = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)  # type: ignore[type-var]  # by kind
        best = np.full(self.moments, kind.min if choose is np.maximum else kind.max, dtype=values.dtype)
        level = np.frexp((self.leave - self.enter).astype(np.float64))[1] - 1
        for power in range(int(level.max(initial=0)), -1, -1):
            here = level == power
            choose.at(best, self.enter[here], values[here])
            choose.at(best, self.leave[here] - 2**power, values[here])
            half = 2**power // 2
            if half:
                best[half:] = choose(best[half:], best[:-half].copy())
        return best


def two_sum(a: Floats, b: Floats) -> Twin:
    """Return a + b and exactly what rounding took from it (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    total = a + b
    back = total - a
    return total, (a - (total - back)) + (b - back)


def two_product(a: Floats, b: Floats) -> Twin:
    """Return a · b and exactly what rounding took from it (Dekker 1971), while neither passes 1e150."""
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _split(a: Floats) -> Twin:
    scaled = _SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def _limbs(values: Floats) -> Iterator[tuple[Ints, int]]:
    bits = 62 - len(values).bit_length()  # so many values of so many bits stay within 62
    rest = values
    while len(rest) and (top := float(np.abs(rest).max())) > 0:
        exponent = int(np.frexp(top)[1]) - bits
        whole = np.rint(np.ldexp(rest, -exponent))
        yield whole.astype(np.int64), exponent
        rest = rest - np.ldexp(whole, exponent)
