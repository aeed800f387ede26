"""Releases: all pointers of an environment move at once, with the source that made them; and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oito.catalog import environments, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Release, Version
from oito.errors import BadInput, Refused, UnknownEnvironment
from oito.flow import bundle
from oito.flow.plan import SETTLED, Planner
from oito.flow.runner import gates, refusal
from oito.flow.site import Gate, Site


@dataclass(frozen=True)
class Difference:
    """What a release would change for one asset."""

    asset: str
    before: Version | None
    after: Version | None

    @property
    def is_redefined(self) -> bool:
        """Whether the way it is made changes, not only the data."""
        return self.before is None or self.after is None or self.before.definition != self.after.definition

    def data(self) -> dict[str, Any]:
        before, after = (v.ref if v else None for v in (self.before, self.after))
        return {"asset": self.asset, "before": before, "after": after, "redefined": self.is_redefined}


def difference(site: Site, target: str) -> list[Difference]:
    """Return what would change in `target` if the site's environment were released to it."""
    ours = {n: v for n, v in site.catalog.resolve_all(site.environment).items() if n in site.project.assets}
    theirs = environments.pointed(site.catalog.rows, target)
    return [
        Difference(name, theirs.get(name), ours.get(name))
        for name in dict.fromkeys([*site.project.assets, *theirs])
        if (theirs[name].id if name in theirs else None) != (ours[name].id if name in ours else None)
    ]


def release(site: Site, target: str, *, message: str = "") -> tuple[Release, list[Gate]]:
    """Move the target's pointers to what the site's environment has, all in one transaction, and store the source.

    Raises:
        BadInput: the target is the environment itself.
        Refused: something is not up to date; the text names it.
        GateRefused: a gate said no; no pointer moved.
    """
    if target == site.environment:
        raise BadInput(
            f"{target} cannot be released to itself", next="name the environment to release with --environment"
        )
    _check_settled(site)
    changes = difference(site, target)
    goal = site.within(target)
    said: list[Gate] = []
    for change in changes:
        if change.after is not None:
            told = gates(goal, change.after)
            refusals = [gate for gate in told if not gate.passed]
            if refusals:
                raise refusal(change.after, refusals)
            said += told
    pointers = {
        name: v.id for name, v in site.catalog.resolve_all(site.environment).items() if name in site.project.assets
    }
    record = {"pointers": pointers, "changes": [c.data() for c in changes], "gates": [gate.data() for gate in said]}
    made = _move(goal, pointers, message=message, source=bundle.keep(site.project.root, site.files), record=record)
    settle(goal)
    return made, said


def rollback(site: Site, target: str, *, to: int | None = None) -> Release:
    """Put every pointer of `target` back to where it stood before the newest release, or at the end of release `to`.

    Sources keep the rows they have collected since, unless the way they are collected was part of what is undone.

    Raises:
        UnknownEnvironment: there is no earlier release to go back to.
    """
    history = sorted(environments.releases(site.catalog.rows, target), key=lambda each: each.number)
    current = _effective(history)
    wanted = current - 1 if to is None else to
    goal_release = next((each for each in history if each.number == wanted and "rollback_to" not in each.record), None)
    if goal_release is None or wanted >= current:
        known = ", ".join(str(r.number) for r in history if r.number < current and "rollback_to" not in r.record)
        raise UnknownEnvironment(
            f"{target} has no release {wanted} to go back to", known=f"releases before this one: {known or 'none'}"
        )
    before = next(each for each in history if each.number > wanted and "rollback_to" not in each.record)
    pointers = _before(site, target, before.id)
    now = environments.pointed(site.catalog.rows, target)
    for name, version in now.items():
        kept = versions.by_id(site.catalog.rows, pointers[name]) if pointers.get(name) else None
        if version.kind == "source" and kept and kept.definition == version.definition:
            pointers[name] = version.id
    goal = site.within(target)
    record = {"pointers": pointers, "rollback_to": wanted}
    made = _move(goal, pointers, message=f"rollback to release {wanted}", source=goal_release.bundle, record=record)
    settle(goal)
    return made


def current_release_of(catalog: Catalog, target: str) -> Release | None:
    """Return the newest release of an environment, a rollback included."""
    history = environments.releases(catalog.rows, target)
    return history[0] if history else None


def settle(site: Site) -> None:
    """Tell every kind where its assets point now; repeating it changes nothing."""
    pointed = environments.pointed(site.catalog.rows, site.environment)
    for asset in site.project.assets.values():
        hook = getattr(asset.kind.door("run"), "settled", None)
        if hook is not None and asset.name in pointed:
            hook(site, asset, pointed[asset.name])


def _check_settled(site: Site) -> None:
    open_entries = [entry for entry in Planner(site).plan() if entry.state not in SETTLED]
    if open_entries:
        shown = "\n".join(f"{entry.asset.name}: {entry.state}, {entry.reason}" for entry in open_entries[:8])
        raise Refused(f"{site.environment} is not up to date", known=shown, next="oito run, then release again")


def _move(site: Site, pointers: dict[str, int], *, message: str, source: str, record: dict[str, Any]) -> Release:
    target = site.environment
    with site.catalog.change() as change:
        identity, number = environments.insert_release(
            change.rows, target, at=change.at, who=change.who, message=message, bundle=source, record=record
        )
        gone: Sequence[str] = [n for n in environments.pointed(site.catalog.rows, target) if n not in pointers]
        for name in gone:
            change.move(target, name, None, release=identity)
        for name, version in pointers.items():
            change.move(target, name, version, release=identity)
        verb = "rolled back" if "rollback_to" in record else "released"
        change.event(verb, target, number=number, message=message, pointers=len(pointers))
        return Release(identity, target, number, change.at, change.who, message, source, record)


def _effective(history: Sequence[Release]) -> int:
    """Return the number of the release whose state holds now, seen through rollbacks."""
    if not history:
        return 0
    return int(history[-1].record.get("rollback_to", history[-1].number))


def _before(site: Site, target: str, release_id: int) -> dict[str, int]:
    """Return asset → version id as it stood just before the moves of a release."""
    first = site.catalog.rows.one(
        "SELECT MIN(id) AS id FROM move WHERE environment = ? AND release = ?", target, release_id
    )
    boundary = first["id"] if first and first["id"] else 2**62
    rows = site.catalog.rows.read(
        "SELECT asset, version FROM move WHERE id IN (SELECT MAX(id) FROM move WHERE environment = ? AND id < ? GROUP BY asset)",
        target, boundary,
    )  # fmt: skip
    return {row["asset"]: row["version"] for row in rows if row["version"] is not None}
