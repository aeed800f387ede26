"""Which shelves of the online stores nobody reads, and whether the others hold what their views say. Filling them is `shelves`' work."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from oito.catalog.records import Version
from oito.clock import moment, text
from oito.errors import OitoError
from oito.features import shelves
from oito.features.online import Online
from oito.flow.site import Site
from oito.flow.upkeep.kinds import Keep, Leftover, Problem

_WORD = "features"
_MARK = "online:"


def leftovers(site: Site, keep: Keep) -> Iterator[Leftover]:
    """Yield the online stores of environments that point at nothing, and shelves that no pointer needs."""
    for environment in _environments(site):
        there = site.within(environment)
        path = shelves.online_path(there)
        if not path.exists():
            continue
        if not _has_pointers(site, environment):
            yield Leftover(f"online/{path.name}", f"{environment} points at nothing", _size(path),
                           partial(_remove, there, path))  # fmt: skip
            continue
        needed = {shelves.shelf_of(view) for view in _views(there)}
        for shelf, at in _marks(there):
            if shelf not in needed and at < text(keep.used_before):
                yield Leftover(f"online/{path.name}, {shelf}", f"no view of {environment} is made so any more", 0,
                               partial(_drop, there, shelf))  # fmt: skip


def problems(site: Site) -> Iterator[Problem]:
    """Yield the shelves whose rows are not what their view said when they were filled."""
    for environment in _environments(site):
        there = site.within(environment)
        for view in _views(there):
            yield from _problem(there, view)


def _problem(site: Site, view: Version) -> Iterator[Problem]:
    shelf = shelves.shelf_of(view)
    row = site.catalog.rows.one(
        "SELECT probe FROM poll WHERE environment = ? AND asset = ?", _MARK + site.environment, shelf
    )
    identity, _, at = str(row["probe"]).partition("@") if row else ("", "", "")
    if identity != str(view.id) or not shelves.online_path(site).exists():
        return  # not filled for this version yet: the next run does it
    what, again = f"online store of {site.environment}, {view.asset}", f"oito run {view.asset} fills it anew"
    online = Online(shelves.online_path(site))
    try:
        told = shelves.newest(site, view, moment(at))
        entities, names = told.select(view.record["entity"]).rows(), list(view.record["columns"])
        found = online.read_many(shelf, entities, at=moment(at))
        said = [tuple(each.values[name] for name in names) if each else None for each in found]
        others = [
            key for key, row, one in zip(entities, told.select(names).rows(), said, strict=True) if not _same(row, one)
        ]
    except OitoError as error:
        yield Problem(what, error.what, again)
        return
    finally:
        online.close()
    if others:
        shown = ", ".join(str(value) for value in others[0])
        yield Problem(
            what, f"{len(others)} of {len(entities)} entities are not as {view.ref} has them: {shown} …", again
        )


def _same(row: tuple[object, ...], said: tuple[object, ...] | None) -> bool:
    return said is not None and all(a == b or (a != a and b != b) for a, b in zip(row, said, strict=True))


def _environments(site: Site) -> list[str]:
    rows = site.catalog.rows.read("SELECT DISTINCT environment FROM poll ORDER BY environment")
    return [row["environment"].removeprefix(_MARK) for row in rows if row["environment"].startswith(_MARK)]


def _has_pointers(site: Site, environment: str) -> bool:
    return site.catalog.rows.one("SELECT 1 FROM pointer WHERE environment = ?", environment) is not None


def _views(site: Site) -> list[Version]:
    found = site.catalog.resolve_all(site.environment).values()
    return [each for each in found if each.kind == _WORD and not each.record["on_request"]]


def _marks(site: Site) -> list[tuple[str, str]]:
    rows = site.catalog.rows.read("SELECT asset, at FROM poll WHERE environment = ?", _MARK + site.environment)
    return [(row["asset"], row["at"]) for row in rows]


def _drop(site: Site, shelf: str) -> None:
    with site.catalog.change() as change:  # first the mark: a shelf without one is filled anew
        change.rows.run("DELETE FROM poll WHERE environment = ? AND asset = ?", _MARK + site.environment, shelf)
    online = Online(shelves.online_path(site))
    online.drop(shelf)
    online.close()


def _remove(site: Site, path: Path) -> None:
    with site.catalog.change() as change:
        change.rows.run("DELETE FROM poll WHERE environment = ?", _MARK + site.environment)
    for each in path.parent.glob(path.name + "*"):
        each.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in path.parent.glob(path.name + "*"))
