"""Two versions of a data set held against each other: columns, rows and profiles. What is shown of it is panels.py's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from oito.catalog.records import Version
from oito.datasets.profile import plain_value
from oito.flow.site import ROWS, Site

SAMPLES = 10
_FIGURES = ("missing", "distinct", "min", "max", "mean", "std")


@dataclass(frozen=True)
class Comparison:
    """What differs between two versions; rows are matched by `key`, or as wholes when there is none.

    `columns` holds (name, dtype before, dtype after), "" where it is not there; `profiles` holds (column, figure, before,
    after). `changes` tells per column in how many matched rows it differs.
    """

    before: str
    after: str
    is_same: bool
    key: tuple[str, ...]
    rows: tuple[int, int]
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: tuple[tuple[str, str, str], ...] = ()
    profiles: tuple[tuple[str, str, Any, Any], ...] = ()
    changes: Mapping[str, int] = field(default_factory=dict)
    samples: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)  # added, removed, changed: first rows

    def data(self) -> dict[str, Any]:
        """Return the comparison as plain JSON data."""
        return {
            "before": self.before, "after": self.after, "is_same": self.is_same, "key": list(self.key),
            "rows": list(self.rows), "added": self.added, "removed": self.removed, "changed": self.changed,
            "columns": [list(each) for each in self.columns], "profiles": [list(each) for each in self.profiles],
            "changes": dict(self.changes), "samples": dict(self.samples),
        }  # fmt: skip


def compare(site: Site, before: Version, after: Version) -> Comparison:
    """Return what differs from one version to the other; equal contents are not read.

    Raises:
        MissingColumn: a version holds no table.
    """
    old, new = (site.table(version, as_type=pl.DataFrame) for version in (before, after))
    key = _common_key(before, after, old, new)
    columns = _columns(before, after)
    profiles = _profiles(before, after)
    head: dict[str, Any] = {
        "before": before.ref, "after": after.ref, "key": key, "rows": (old.height, new.height), "columns": columns,
        "profiles": profiles,
    }  # fmt: skip
    if before.tables[ROWS]["content"] == after.tables[ROWS]["content"]:
        return Comparison(**head, is_same=True)
    return Comparison(**head, is_same=False, **(by_key(old, new, key) if key else by_row(old, new)))


def by_key(old: pl.DataFrame, new: pl.DataFrame, key: tuple[str, ...]) -> dict[str, Any]:
    """Return counts and first rows of what was added, removed and changed; both frames hold each key once.

    Example:
        >>> old, new = pl.DataFrame({"id": [1, 2], "x": [1, 2]}), pl.DataFrame({"id": [2, 3], "x": [5, 3]})
        >>> found = by_key(old, new, ("id",))
        >>> found["added"], found["removed"], found["changed"], found["changes"]
        (1, 1, 1, {'x': 1})
    """
    names = list(key)
    added = new.join(old, on=names, how="anti", maintain_order="left")
    removed = old.join(new, on=names, how="anti", maintain_order="left")
    shared = [name for name in new.columns if name not in names and old.schema.get(name) == new.schema[name]]
    both = new.select(names + shared).join(
        old.select(*names, *(pl.col(name).alias(_before(name)) for name in shared)),
        on=names,
        how="inner",
        maintain_order="left",
    )
    differs = {name: pl.col(name).ne_missing(pl.col(_before(name))) for name in shared}
    counts = both.select(mask.sum().alias(name) for name, mask in differs.items()).row(0, named=True) if shared else {}
    changed = both.filter(pl.any_horizontal(list(differs.values()))) if shared else both.clear()
    return {
        "added": added.height, "removed": removed.height, "changed": changed.height,
        "changes": {name: count for name, count in counts.items() if count},
        "samples": {"added": _shown(added), "removed": _shown(removed), "changed": _pairs(changed, names, shared)},
    }  # fmt: skip


def by_row(old: pl.DataFrame, new: pl.DataFrame) -> dict[str, Any]:
    """Return counts and first rows of what only one side has; a row that stands twice counts twice.

    Example:
        >>> found = by_row(pl.DataFrame({"x": [1, 1, 2]}), pl.DataFrame({"x": [1, 3]}))
        >>> found["added"], found["removed"]
        (1, 2)
    """
    shared = [name for name in new.columns if old.schema.get(name) == new.schema[name]]
    if not shared:
        return {"added": new.height, "removed": old.height}
    added, removed = (_surplus(mine, other, shared) for mine, other in ((new, old), (old, new)))
    return {
        "added": added.height,
        "removed": removed.height,
        "samples": {"added": _shown(added), "removed": _shown(removed)},
    }


def _surplus(mine: pl.DataFrame, other: pl.DataFrame, shared: list[str]) -> pl.DataFrame:
    """Return the rows that `mine` has more often than `other`."""
    marks = [_numbered(frame.select(shared)) for frame in (mine, other)]
    is_more = marks[0].join(marks[1], on=["row", "nth"], how="anti", maintain_order="left")
    return mine[is_more["place"]]


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    hashes = rows.hash_rows(seed=8).alias("row").to_frame().with_row_index("place")
    return hashes.with_columns(pl.col("place").cum_count().over("row").alias("nth"))


def _common_key(before: Version, after: Version, *rows: pl.DataFrame) -> tuple[str, ...]:
    """Return the key of both versions when it names one row in each."""
    key = tuple(after.record.get("key", ()))
    fits = key and tuple(before.record.get("key", ())) == key
    is_sound = fits and all(
        set(key) <= set(each.columns) and not each.select(key).is_duplicated().any() for each in rows
    )
    return key if is_sound else ()


def _columns(before: Version, after: Version) -> tuple[tuple[str, str, str], ...]:
    old, new = (dict(map(tuple, version.tables[ROWS]["schema"])) for version in (before, after))
    names = dict.fromkeys([*old, *new])
    return tuple((n, old.get(n, ""), new.get(n, "")) for n in names if old.get(n) != new.get(n))


def _profiles(before: Version, after: Version) -> tuple[tuple[str, str, Any, Any], ...]:
    old, new = (_by_name(version.record.get("profile", {})) for version in (before, after))
    return tuple(
        (name, figure, old[name].get(figure), new[name].get(figure))
        for name in old
        if name in new
        for figure in _FIGURES
        if old[name].get(figure) != new[name].get(figure)
    )


def _by_name(profile: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {column["name"]: column for column in profile.get("columns", [])}


def _before(name: str) -> str:
    return f"{name} before"


def _shown(rows: pl.DataFrame) -> list[dict[str, Any]]:
    return [plain_value(row) for row in rows.head(SAMPLES).to_dicts()]


def _pairs(changed: pl.DataFrame, key: list[str], shared: list[str]) -> list[dict[str, Any]]:
    """Return of each changed row its key and, per changed column, `before → after`."""
    pairs = []
    for row in changed.head(SAMPLES).to_dicts():
        told = {name: plain_value(row[name]) for name in key}
        for name in shared:
            old, new = plain_value(row[_before(name)]), plain_value(row[name])
            if old != new:
                told[name] = f"{old} → {new}"
        pairs.append(told)
    return pairs
