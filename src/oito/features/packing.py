"""(key, moment) pairs as single sortable integers, the ground on which joins and windows search and sort."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from oito.features.keys import UNKNOWN, Ints


@dataclass(frozen=True)
class Packing:
    """How a pair becomes one number: the key's code above, the moment's distance from `low` in the lowest `bits`.

    When both do not fit into 63 bits, `ranks` holds all moments that occur and a moment's rank takes its place.
    """

    bits: int
    low: int
    high: int
    ranks: Ints | None

    @staticmethod
    def over(moments: Sequence[Ints], *, keys: int) -> "Packing":
        """Return a packing that holds every one of the moments with any of so many keys."""
        filled = [some for some in moments if len(some)]
        if not filled:
            return Packing(1, 0, 0, None)
        low, high = min(int(some.min()) for some in filled), max(int(some.max()) for some in filled)
        bits = (high - low + 1).bit_length()
        if bits + keys.bit_length() <= 63:
            return Packing(bits, low, high, None)
        ranks = np.unique(np.concatenate(filled))
        return Packing((len(ranks) + 1).bit_length(), low, high, ranks)

    def pack(self, code: Ints, moment: Ints) -> Ints:
        """Return the number of each pair; every moment must be one of those that the packing was made over."""
        steps = moment - self.low if self.ranks is None else np.searchsorted(self.ranks, moment)
        return np.asarray((code << self.bits) | steps, dtype=np.int64)

    def pack_questions(self, code: Ints, at: Ints) -> Ints:
        """Return the number of the last pair possible by `at`, -1 for no key and for a moment before all."""
        within = np.clip(at, self.low, self.high)
        steps = within - self.low if self.ranks is None else np.searchsorted(self.ranks, within, side="right") - 1
        return np.where((code == UNKNOWN) | (at < self.low), -1, (code << self.bits) | steps)

    def unpack(self, packed: Ints) -> tuple[Ints, Ints]:
        """Return the codes and the moments again."""
        steps = packed & ((1 << self.bits) - 1)
        return packed >> self.bits, steps + self.low if self.ranks is None else self.ranks[steps]


def ascending(numbers: Ints) -> Ints:
    """Return the order that sorts the numbers; that of equal ones is open."""
    # Polars sorts on all cores and in half the processor time of NumPy.
    return np.array(pl.Series(numbers).arg_sort().to_numpy(), dtype=np.int64)


def distinct(numbers: Ints) -> tuple[Ints, Ints]:
    """Return the distinct numbers, ascending, and the place of each given one among them."""
    order = ascending(numbers)
    ordered = numbers[order]
    is_new = np.ones(len(ordered), dtype=bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    places = np.empty(len(ordered), dtype=np.int64)
    places[order] = np.cumsum(is_new) - 1
    return ordered[is_new], places
