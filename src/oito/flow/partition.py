"""The partitions of versions: which keys there are, which of them another key needs, and a version as some of its keys."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from oito.catalog import versions
from oito.catalog.records import Version
from oito.clock import moment, span
from oito.errors import BadInput, DataError
from oito.flow.dimensions import Dimension, Window
from oito.storage.digests import digest
from oito.storage.sql import Database


def dimensions_of(version: Version) -> list[Dimension]:
    """Return what a version is cut into; nothing for one that is whole."""
    return [Dimension(*each) for each in version.partitions.get("dimensions", ())] if version.partitions else []


def keys_of(version: Version) -> Mapping[str, Any]:
    """Return key → [fingerprint, content, rows, id] of a version's partitions."""
    found: Mapping[str, Any] = version.partitions["keys"] if version.partitions else {}
    return found


def data(dimensions: Sequence[Dimension], keys: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return what a version keeps of its partitions."""
    return {
        "dimensions": [each.data() for each in dimensions],
        "keys": {key: list(facts) for key, facts in keys.items()},
    }


def selected(database: Database, version: Version, keys: Sequence[str]) -> Version:
    """Return the version with the rows of some of its partitions only, in the order of the keys.

    A mapped one stands for the tables of these partitions; a cut one is filtered when it is read.
    """
    facts = keys_of(version)
    known = [key for key in keys if key in facts]
    content = facts[known[0]][1] if len(known) == 1 == len(keys) else digest([(key, facts[key][1]) for key in known])
    rows = sum(facts[key][2] or 0 for key in known)
    chosen = replace(version, selection=tuple(keys), content=content, rows=rows)
    identities = [facts[key][3] for key in known]
    if None in identities or not identities:
        return chosen
    parts = versions.by_ids(database, identities)
    return replace(
        chosen, tables=together({key: parts[each].tables for key, each in zip(known, identities, strict=True)})
    )


def together(parts: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of several partitions as one of each name: all their files, in order; no row is copied.

    Raises:
        DataError: two of them have other columns.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in dict.fromkeys(name for tables in parts.values() for name in tables):
        each = {key: tables[name] for key, tables in parts.items() if name in tables}
        _check_same(each)
        found[name] = {
            "parts": [part for table in each.values() for part in table["parts"]],
            "schema": next(iter(each.values()))["schema"], "rows": sum(table["rows"] for table in each.values()),
            "leaves": [], "blocks": [], "content": digest([table["content"] for table in each.values()]),
        }  # fmt: skip
    return found


def _check_same(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse partitions that are no one table."""
    first, schema = next((key, table["schema"]) for key, table in tables.items())
    for key, table in tables.items():
        if table["schema"] != schema:
            odd = [pair for pair in table["schema"] if pair not in schema] or [
                p for p in schema if p not in table["schema"]
            ]
            known = ", ".join(f"{name} {dtype}" for name, dtype in odd)
            raise DataError(
                f"partitions {first} and {key} have other columns", known=known or "the same ones, in another order",
                next="return the same columns, in the same order and types, for every partition",
            )  # fmt: skip


class Picker:
    """Says which keys of one input a mapped asset's key needs: of the same dimension the same, of others all, of a window
    those in it. None stands for the whole input."""

    def __init__(self, dimensions: Sequence[Dimension], version: Version, window: Window | None) -> None:
        theirs = dimensions_of(version)
        names = [each.name for each in dimensions]
        self.window = window
        self.shared = [(place, names.index(each.name)) for place, each in enumerate(theirs) if each.name in names]
        self._at = next((place for place, each in enumerate(theirs) if each.unit != "key"), None) if window else None
        self._clock = next((place for place, each in enumerate(dimensions) if each.unit != "key"), None)
        if self._at is not None:
            self.shared = [(place, own) for place, own in self.shared if place != self._at]
        self._dimensions = dimensions
        self._groups: dict[tuple[str, ...], list[str]] = {}
        self._ends: dict[tuple[str, ...], list[datetime]] = {}
        if not self.shared and self._at is None:
            return
        unit = theirs[self._at].unit if self._at is not None else ""
        found: dict[tuple[str, ...], list[tuple[datetime, str]]] = {}
        for key in keys_of(version):
            pieces = key.split("/")
            group = tuple(pieces[place] for place, _ in self.shared)
            end = span(unit, pieces[self._at])[1] if self._at is not None else moment("1970-01-01")
            found.setdefault(group, []).append((end, key))
        for group, pairs in found.items():
            pairs.sort()
            self._groups[group] = [key for _, key in pairs]
            self._ends[group] = [end for end, _ in pairs]

    def keys(self, key: str) -> list[str] | None:
        if not self.shared and self._at is None:
            return None
        pieces = key.split("/")
        group = tuple(pieces[own] for _, own in self.shared)
        found = self._groups.get(group, [])
        if self._at is None or self._clock is None or self.window is None:
            return found
        _, end = span(self._dimensions[self._clock].unit, pieces[self._clock])
        ends = self._ends.get(group, [])
        # a partition lies in the window when all of it does
        first = bisect.bisect_right(ends, end - self.window.length)
        return found[first : bisect.bisect_right(ends, end)]


def universe(
    dimensions: Sequence[Dimension], inputs: Sequence[Version], windows: Sequence[Version], now: datetime
) -> list[str]:
    """Return every key of a mapped asset: what it declares, else what its inputs have, in order.

    With two dimensions, the pairs that an input with both has; without such an input, every pair. An input that is read
    through a window says which keys there are only where no other does.
    """
    values: dict[str, dict[str, None]] = {
        each.name: dict.fromkeys(each.given.keys(now)) for each in dimensions if each.given
    }
    declared = frozenset(values)
    pairs: dict[str, None] | None = None
    for side in (inputs, windows):
        settled = frozenset(values)
        for version in side:
            names = [each.name for each in dimensions_of(version)]
            wanted = [each.name for each in dimensions if each.name in names]
            if not set(wanted) - settled:
                continue
            pieces = [key.split("/") for key in keys_of(version)]
            for name in set(wanted) - settled:
                values.setdefault(name, {}).update(dict.fromkeys(each[names.index(name)] for each in pieces))
            if len(wanted) == len(dimensions) > 1:
                places = [names.index(name) for name in wanted]
                pairs = {**(pairs or {}), **dict.fromkeys("/".join(each[place] for place in places) for each in pieces)}
    if pairs is not None:
        known = [(place, values[each.name]) for place, each in enumerate(dimensions) if each.name in declared]
        return sorted(key for key in pairs if all(key.split("/")[place] in texts for place, texts in known))
    found = [""]
    for place, each in enumerate(dimensions):
        found = [
            f"{before}/{text}" if place else text for before in found for text in sorted(values.get(each.name, ()))
        ]
    return found


def matching(dimensions: Sequence[Dimension], keys: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the keys that a person named: a key, the first part of one, or `first..last` of a time; in order.

    Raises:
        BadInput: one of them names no partition.

    Example:
        >>> matching([Dimension("day", "day")], ["2013-01-01", "2013-01-02", "2013-01-03"], ["2013-01-02..2013-01-03"])
        ['2013-01-02', '2013-01-03']
    """
    found: dict[str, None] = {}
    for each in wanted:
        here = [key for key in keys if _fits(dimensions, key, each)]
        if not here:
            known = f"{len(keys)} partitions" + (f", from {keys[0]} to {keys[-1]}" if keys else "")
            names = "/".join(dimension.name for dimension in dimensions)
            raise BadInput(f"there is no partition {each!r}", known=known, next=f"write {names}, or FIRST..LAST")
        found.update(dict.fromkeys(here))
    return [key for key in keys if key in found]


def _fits(dimensions: Sequence[Dimension], key: str, wanted: str) -> bool:
    pairs = list(zip(key.split("/"), wanted.split("/"), strict=False))
    return len(pairs) == len(wanted.split("/")) and all(map(_piece_fits, dimensions, *zip(*pairs, strict=True)))


def _piece_fits(dimension: Dimension, piece: str, wanted: str) -> bool:
    if dimension.unit == "key":
        return wanted in {piece, "*"}
    first, dots, last = wanted.partition("..")
    if not dots:
        return wanted == "*" or piece == wanted or piece.startswith((wanted + "-", wanted + "T"))
    return first <= piece and (not last or piece <= last or piece.startswith(last))
