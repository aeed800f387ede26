"""What the catalog says should run by itself: schedules of released code, inputs that moved, verdicts that ask. Only looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oito.catalog import environments, lineage, runs, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Release, Version
from oito.flow.project import Project
from oito.flow.schedules.schedule import Declared, followers
from oito.storage.sql import Database


@dataclass(frozen=True)
class Call:
    """A reason to run one asset now; `due` is the moment it came about."""

    asset: str
    due: str
    sort: str
    cause: str


@dataclass(frozen=True)
class Standing:
    """What an environment runs by itself: the release that stands, and what it said of its assets."""

    environment: str
    release: Release
    known: Declared


def declared(project: Project) -> dict[str, Any]:
    """Return what a release keeps of a project so that its schedules are known without its code: plain data.

    For each asset what it needs, and what it says of its own runs when it says anything.
    """
    arrows = project.arrows()
    return {name: {"needs": arrows[name], **_said(asset.spec)} for name, asset in project.assets.items()}


def _said(spec: Any) -> dict[str, Any]:
    fields = {name: getattr(spec, name) for name in ("every", "cron", "after", "missed", "retries")}
    return {name: value for name, value in fields.items() if value}


def newest_releases(catalog: Catalog) -> dict[str, int]:
    """Return, for each protected environment that was released to, the id of its newest release."""
    rows = catalog.rows.read("SELECT environment, MAX(id) AS id FROM release GROUP BY environment ORDER BY environment")
    return {row["environment"]: row["id"] for row in rows if row["environment"] in catalog.protected}


def standing(catalog: Catalog, environment: str) -> Standing | None:
    """Return what an environment runs by itself, or None when nothing was released to it.

    After a rollback that is what the release it went back to says.
    """
    history = environments.releases(catalog.rows, environment)
    if not history:
        return None
    number = history[0].record.get("rollback_to", history[0].number)
    effective = next((each for each in history if each.number == number), history[0])
    return Standing(environment, history[0], effective.record.get("assets", {}))


def is_quiet(catalog: Catalog, environment: str, *, now: float, lease_s: float) -> bool:
    """Say whether no run is at work in an environment: only then is it clear what it has left undone."""
    rows = catalog.rows.read("SELECT seen FROM run WHERE state = 'running' AND environment = ?", environment)
    return not any(runs.is_alive(row["seen"], now=now, lease_s=lease_s) for row in rows)


def calls(catalog: Catalog, environment: str, known: Declared) -> list[Call]:
    """Return what should run because of what happened: inputs that moved, then verdicts that ask."""
    return [*_moved(catalog, environment, known), *_asked(catalog, environment, known)]


def _moved(catalog: Catalog, environment: str, known: Declared) -> Iterator[Call]:
    """Yield a call for each follower that was made from other content than its inputs have now."""
    names = followers(known)
    pointed = catalog.resolve_all(environment) if names else {}
    for name in names:
        current = pointed.get(name)
        if current is None:
            continue
        used = {_whole(each): each.content for each in _used(catalog.rows, current)}
        moved = [each for each in known[name]["needs"] if each in used and _is_newer(pointed.get(each), used[each])]
        moments = {each: _moved_at(catalog, environment, each) for each in moved}
        if moments:
            newest = max(moments, key=lambda each: moments[each])
            yield Call(name, moments[newest], "upstream", f"{newest} moved to {pointed[newest].ref}")


def _used(rows: Database, current: Version) -> list[Version]:
    """Return the versions that a version was made from; a whole of partitions, those of its newest partition."""
    edges = lineage.inputs(rows, current.id)
    found = versions.by_ids(rows, [edge.input for edge in edges])
    own = [each for each in found.values() if each.partition and each.asset.startswith(f"{current.asset}[")]
    if own:
        return _used(rows, max(own, key=lambda each: each.id))
    return list(found.values())


def _whole(version: Version) -> str:
    """Return the asset that a version is, or is a partition of."""
    return version.asset.partition("[")[0]


def _is_newer(now: Version | None, used: str) -> bool:
    return now is not None and now.content != used


def _moved_at(catalog: Catalog, environment: str, asset: str) -> str:
    row = catalog.rows.one(
        "SELECT MAX(at) AS at FROM move WHERE asset = ? AND environment IN (?, ?)", asset, environment, catalog.base
    )
    return str(row["at"] or "") if row else ""


def _asked(catalog: Catalog, environment: str, known: Declared) -> Iterator[Call]:
    """Yield a call for each asset that a verdict asks for and that nothing has answered since."""
    rows = catalog.rows.read(
        "SELECT v.id FROM pointer p JOIN version v ON v.id = p.version WHERE p.environment = ? AND v.record LIKE ?",
        environment, '%"asks":%',
    )  # fmt: skip
    for verdict in versions.by_ids(catalog.rows, [row["id"] for row in rows]).values():
        for name, text in verdict.record.get("asks", {}).items():
            current = catalog.resolve(name, environment)
            if name not in known or current is None or current.id > verdict.id:
                continue
            if not runs.has_answered(catalog.rows, name, environment, verdict.id):
                yield Call(name, verdict.created_at, "verdict", f"{verdict.ref} asks: {text}")
