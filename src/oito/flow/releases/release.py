"""Releases: all pointers of an environment move at once, with the source that made them; and the way back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oito.catalog import approvals, environments, versions
from oito.catalog.approvals import Approval
from oito.catalog.catalog import Catalog
from oito.catalog.records import Release, Version
from oito.errors import BadInput, Refused, UnknownEnvironment
from oito.flow import bundle, loading, triggers
from oito.flow.commits import gates, refusal
from oito.flow.entry import SETTLED, Entry
from oito.flow.plan import Planner
from oito.flow.releases.approvals import missing_error, rule
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


@dataclass(frozen=True)
class Proposal:
    """What a release would do: its changes, the source it would store, and the release of the target it would follow.

    `digest` names just that. It stays while the target collects and computes by itself, and is another one as soon as
    something else would come in: another version, another line of source, or all of it on top of another release.
    """

    target: str
    changes: tuple[Difference, ...]
    source: str
    follows: int

    @property
    def digest(self) -> str:
        coming = [
            [c.asset, c.after.ref if c.after else None, c.after.content if c.after else None] for c in self.changes
        ]
        told = json.dumps([self.target, sorted(coming), self.source, self.follows])
        return hashlib.sha256(told.encode()).hexdigest()


def difference(site: Site, target: str) -> list[Difference]:
    """Return what would change in `target` if the site's environment were released to it."""
    return _differences(site, _goal(site, target), environments.pointed(site.catalog.rows, target))


def proposal(site: Site, target: str) -> Proposal:
    """Return what a release of the site's environment to `target` would do now; nothing is stored."""
    source = bundle.digest(site.project.root, site.files, loaded=loading.sources(site.project.modules))
    return _proposal(site, target, difference(site, target), source)


def approve(site: Site, target: str, *, note: str = "", seen: str = "") -> Proposal:
    """Write down that the site's person agrees to what a release would do now, and return what that is.

    Args:
        seen: the beginning of the digest of the proposal that the person looked at.

    Raises:
        Refused: the proposal is another one by now, or cannot be released as it is.
    """
    _check_made(site)
    found = proposal(site, target)
    if not found.digest.startswith(seen):
        raise Refused(
            f"what would be released to {target} has changed since it was looked at",
            known=f"it was {seen}, it is {found.digest[:12]}", next=f"look again: oito diff {target}",
        )  # fmt: skip
    with site.catalog.change() as change:
        approvals.approve(change.rows, Approval(target, found.digest, change.who, change.at, note))
        change.event("approved", target, proposal=found.digest, note=note, changes=len(found.changes))
    return found


def release(site: Site, target: str, *, message: str = "") -> tuple[Release, list[Gate]]:
    """Move the target's pointers to what the site's environment has, all in one transaction, and store the source.

    Definitions are released: data that is newer than what the environment's versions were made from is no obstacle, and a
    source that the target collects in the same way keeps the rows it has. What the environment then has in common with
    the base of all environments it reads from there from now on.

    Raises:
        BadInput: the target is the environment itself.
        Refused: something was not made by today's definitions, or the target moved meanwhile; the text says which.
        ApprovalMissing: people who must agree to just this have not done so.
        GateRefused: a gate said no; no pointer moved.
    """
    if target == site.environment:
        raise BadInput(
            f"{target} cannot be released to itself", next="name the environment to release with --environment"
        )
    _check_made(site)
    own = environments.pointed(site.catalog.rows, site.environment)
    wanted, theirs = _goal(site, target), environments.pointed(site.catalog.rows, target)
    changes, goal = _differences(site, wanted, theirs), site.within(target)
    project = site.project
    source = bundle.keep(project.root, site.files, loaded=loading.sources(project.modules))
    proposed = _proposal(site, target, changes, source)
    agreed = _agreed(site, proposed)
    said = _asked(goal, [change.after for change in changes if change.after is not None])
    pointers = {name: version.id for name, version in wanted.items()}
    record = {
        "pointers": pointers, "changes": [c.data() for c in changes], "gates": [gate.data() for gate in said],
        "proposal": proposed.digest, "approvals": [asdict(each) for each in agreed], "from": site.environment,
        "assets": triggers.declared(project),
    }  # fmt: skip
    _prepare(goal, [change.after for change in changes if change.after is not None])
    made = _move(
        goal, pointers, message=message, source=source, record=record, seen=theirs, released=site.environment, own=own
    )
    settle(goal)
    return made, said


def rollback(site: Site, target: str, *, to: int | None = None) -> Release:
    """Put every pointer of `target` back to where it stood before the newest release, or at the end of release `to`.

    Sources keep the rows they have collected since, unless the way they are collected was part of what is undone.

    Raises:
        UnknownEnvironment: there is no such release to go back to.
    """
    history = sorted(environments.releases(site.catalog.rows, target), key=lambda each: each.number)
    standing = _standing(history)
    wanted = to if to is not None else standing[-2] if len(standing) > 1 else 0
    known = [each.number for each in history if "rollback_to" not in each.record and each.number not in standing[-1:]]
    if wanted not in known:
        shown = ", ".join(map(str, known)) or "none"
        raise UnknownEnvironment(
            f"{target} has no earlier release to go back to"
            if to is None
            else f"{target} has no release {to} to go back to",
            known=f"other releases than the one that stands: {shown}",
        )
    last = max(place for place, each in enumerate(history) if _effective(each) == wanted)
    pointers = _before(site, target, history[last + 1])
    now = environments.pointed(site.catalog.rows, target)
    before = versions.by_ids(site.catalog.rows, pointers.values())
    for name, version in now.items():
        if name in pointers and _keeps_collecting(site, before[pointers[name]], version):
            pointers[name] = version.id
    goal = site.within(target)
    stays = {version.id for version in now.values()}
    _prepare(goal, [before[each] for each in pointers.values() if each not in stays])
    record = {"pointers": pointers, "rollback_to": wanted}
    source = next(each.bundle for each in history if each.number == wanted)
    made = _move(goal, pointers, message=f"rollback to release {wanted}", source=source, record=record, seen=now)
    settle(goal)
    return made


def current_release_of(catalog: Catalog, target: str) -> Release | None:
    """Return the newest release of an environment, a rollback included."""
    return environments.current_release(catalog.rows, target)


def settle(site: Site) -> None:
    """Tell every kind where its assets point now; repeating it changes nothing."""
    pointed = environments.pointed(site.catalog.rows, site.environment)
    for asset in site.project.assets.values():
        hook = getattr(asset.kind.door("run"), "settled", None)
        if hook is not None and asset.name in pointed:
            hook(site, asset, pointed[asset.name])


def _prepare(goal: Site, coming: Sequence[Version]) -> None:
    """Have ready, before any pointer moves, what will be read as soon as the environment points at these versions."""
    for version in coming:
        kind = goal.project.kinds.get(version.kind)
        hook = getattr(kind.door("run"), "ready", None) if kind else None
        if hook is not None:
            hook(goal, version)


def _goal(site: Site, target: str) -> dict[str, Version]:
    """Return what the target will point at: the environment's versions, but its own rows where it collects them itself."""
    theirs = environments.pointed(site.catalog.rows, target)
    wanted = {n: v for n, v in site.catalog.resolve_all(site.environment).items() if n in site.project.assets}
    kept = {
        n: theirs[n] for n, version in wanted.items() if n in theirs and _keeps_collecting(site, version, theirs[n])
    }
    return {**wanted, **kept}


def _keeps_collecting(site: Site, wanted: Version, theirs: Version) -> bool:
    kind = site.project.kinds.get(theirs.kind)
    return kind is not None and kind.collects and wanted.definition == theirs.definition


def _differences(site: Site, wanted: Mapping[str, Version], theirs: Mapping[str, Version]) -> list[Difference]:
    return [
        Difference(name, theirs.get(name), wanted.get(name))
        for name in dict.fromkeys([*site.project.assets, *theirs])
        if (theirs[name].id if name in theirs else None) != (wanted[name].id if name in wanted else None)
    ]


def _asked(goal: Site, candidates: Sequence[Version]) -> list[Gate]:
    """Return what the gates of the target said of each version that would come in."""
    said: list[Gate] = []
    for version in candidates:
        told = gates(goal, version)
        refusals = [gate for gate in told if not gate.passed]
        if refusals:
            raise refusal(version, refusals)
        said += told
    return said


def _proposal(site: Site, target: str, changes: Sequence[Difference], source: str) -> Proposal:
    last = current_release_of(site.catalog, target)
    return Proposal(target, tuple(changes), source, last.number if last else 0)


def _agreed(site: Site, proposed: Proposal) -> list[Approval]:
    """Return who agreed to a proposal, or raise when somebody who must has not."""
    given = approvals.approvals(site.catalog.rows, proposed.target, proposed.digest)
    asked = rule(site.settings, proposed.target)
    if asked.missing(given, releaser=site.catalog.who):
        raise missing_error(asked, given, target=proposed.target, proposal=proposed.digest, releaser=site.catalog.who)
    return given


def _check_made(site: Site) -> None:
    """Refuse to release what was not made by today's definitions; newer data alone is the target's own affair."""
    open_entries = [entry for entry in Planner(site).plan() if entry.state not in SETTLED and not _is_only_data(entry)]
    if open_entries:
        shown = "\n".join(f"{entry.asset.name}: {entry.state}, {entry.reason}" for entry in open_entries[:8])
        raise Refused(f"{site.environment} is not up to date", known=shown, next="oito run, then release again")


def _is_only_data(entry: Entry) -> bool:
    return entry.version is not None and bool(entry.definition) and entry.version.definition == entry.definition


def _move(
    site: Site, pointers: dict[str, int], *, message: str, source: str, record: dict[str, Any],
    seen: Mapping[str, Version], released: str = "", own: Mapping[str, Version] | None = None,
) -> Release:  # fmt: skip
    target = site.environment
    with site.catalog.change() as change:
        now = environments.pointed(site.catalog.rows, target)
        if {name: v.id for name, v in now.items()} != {name: v.id for name, v in seen.items()}:
            raise Refused(f"{target} moved while it was looked at", known="no pointer moved", next="try again")
        record = {**record, "after_move": environments.last_move(site.catalog.rows)}
        identity, number = environments.insert_release(
            change.rows, target, at=change.at, who=change.who, message=message, bundle=source, record=record
        )
        for name in now:
            if name not in pointers:
                change.move(target, name, None, release=identity)
        for name, version in pointers.items():
            change.move(target, name, version, release=identity)
        if released:
            approvals.carry(change.rows, released, target, pointers.values())
        if target == site.catalog.base:
            still = environments.pointed(site.catalog.rows, released) if released else {}
            for name in pointers:
                if name in still and own and name in own and own[name].id == still[name].id:
                    change.move(released, name, None, release=identity)
        verb = "rolled back" if "rollback_to" in record else "released"
        change.event(verb, target, number=number, message=message, pointers=len(pointers))
        return Release(identity, target, number, change.at, change.who, message, source, record)


def _effective(each: Release) -> int:
    """Return the number of the release whose state a release, or a rollback, has put in place."""
    return int(each.record.get("rollback_to", each.number))


def _standing(history: Sequence[Release]) -> list[int]:
    """Return the releases that stand on each other now, oldest first: a rollback takes away those above its goal."""
    standing: list[int] = []
    for each in history:
        number = _effective(each)
        if "rollback_to" in each.record:
            standing = standing[: standing.index(number)] if number in standing else standing
        standing.append(number)
    return standing


def _before(site: Site, target: str, following: Release) -> dict[str, int]:
    """Return asset → version id as it stood just before the moves of a release."""
    rows = site.catalog.rows.read(
        "SELECT asset, version FROM move WHERE id IN"
        " (SELECT MAX(id) FROM move WHERE environment = ? AND id <= ? GROUP BY asset)",
        target, following.record["after_move"],
    )  # fmt: skip
    return {row["asset"]: row["version"] for row in rows if row["version"] is not None}
