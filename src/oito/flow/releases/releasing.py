"""What a person may do with environments: look at them now and then, see what a release would change, approve, release, roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oito.catalog import approvals, environments, versions
from oito.catalog.approvals import Approval
from oito.catalog.records import Release, Version
from oito.clock import moment, text
from oito.errors import UnknownEnvironment
from oito.flow.action import action
from oito.flow.releases import release
from oito.flow.releases.approvals import rule
from oito.flow.releases.release import Difference, Proposal
from oito.flow.site import Site
from oito.names import did_you_mean
from oito.show import Badge, Block, Cell, Facts, Form, Link, Page, Table

MOST_FIGURES = 40


@action("diff", page="/diff/{target}")
def diff(site: Site, target: str = "production") -> Page:
    """Show what a release would change: versions, definitions, figures, and who has still to approve it.

    Args:
        target: the environment that would be released to.
    """
    proposed = release.proposal(site, target)
    given = approvals.approvals(site.catalog.rows, target, proposed.digest)
    asked = rule(site.settings, target)
    missing = asked.missing(given, releaser=site.catalog.who)
    rows: list[list[Cell]] = [
        [_asset(d.asset), _version(d.before), _version(d.after), _change(d.is_redefined)] for d in proposed.changes
    ]
    facts: list[tuple[str, Cell]] = [
        ("proposal", proposed.digest[:12]),
        ("asked for", asked.text or "nobody's approval"),
    ]
    if asked.text:
        state = Badge("waits", "warn") if missing else Badge("agreed", "good")
        facts += [("missing", missing or "nobody"), ("state", state)]
    blocks: list[Block] = [
        Facts(facts),
        Table(["asset", target, site.environment, "change"], rows, empty=f"{target} has all of it already"),
        *_figures(site, target, proposed.changes),
        *_approved([vars(each) for each in given]),
        *_overtaken(site, proposed),
    ]
    if asked.text:
        values = {"target": target, "proposal": proposed.digest[:12]}
        blocks.append(Form("approve", values, title=f"Approve as {site.catalog.who}"))
    data = {
        "proposal": proposed.digest, "changes": [d.data() for d in proposed.changes], "approvals": [vars(a) for a in given],
        "asked_for": asked.text, "missing": missing, "next": None,
    }  # fmt: skip
    return Page(f"{site.environment} → {target}", blocks, data)


@action("approve", writes=True)
def approve(site: Site, target: str = "production", *, note: str = "", proposal: str = "") -> Page:
    """Agree to what a release would do now, to exactly that; when anything of it changes, the approval counts no more.

    Args:
        target: the environment that would be released to.
        note: what you looked at, for those who read it later.
        proposal: the one that `oito diff` has shown you; refused when it is another by now.
    """
    found = release.approve(site, target, note=note, seen=proposal)
    given = approvals.approvals(site.catalog.rows, target, found.digest)
    facts: list[tuple[str, Cell]] = [
        ("proposal", found.digest[:12]), ("approved by", site.catalog.who), ("changes", len(found.changes)),
        ("still missing", _missing(site, found, given)),
    ]  # fmt: skip
    told = [vars(each) for each in given]
    data = {"proposal": found.digest, "environment": target, "approvals": told}
    return Page(f"{site.catalog.who} approves the release to {target}", [Facts(facts), *_approved(told)], data)


@action("release", writes=True)
def release_to(site: Site, target: str = "production", *, message: str = "") -> Page:
    """Release this environment: ask people and gates, then move all pointers of the target at once.

    Args:
        target: the environment to move.
        message: what changed, for those who read it later.
    """
    made, _ = release.release(site, target, message=message)
    data = {"number": made.number, "environment": target, **made.record}
    return Page(f"released {target} {made.number}", _release_blocks(made), data)


@action("rollback", writes=True)
def rollback(site: Site, target: str = "production", *, to: int | None = None) -> Page:
    """Put an environment back to where it stood before its newest release, in one transaction.

    Args:
        target: the environment.
        to: the number of an earlier release; by default the one before the newest.
    """
    made = release.rollback(site, target, to=to)
    facts = Facts([("release", made.number), ("environment", target), ("back to", made.record["rollback_to"])])
    return Page(
        f"{target} is back at release {made.record['rollback_to']}", [facts], {"number": made.number, **made.record}
    )


@action("releases", page="/releases")
def releases(site: Site) -> Page:
    """List the releases, newest first."""
    found = environments.releases(site.catalog.rows)
    rows: list[list[Cell]] = [
        [
            Link(str(r.number), f"/releases/{r.number}/{r.environment}"), r.environment, r.at, r.who, r.message,
            len(r.record.get("changes", [])), ", ".join(a["who"] for a in r.record.get("approvals", [])), r.bundle[:12],
        ]
        for r in found
    ]  # fmt: skip
    columns = ["number", "environment", "at", "who", "message", "changes", "approved by", "source"]
    table = Table(columns, rows, empty="nothing was released yet")
    return Page("Releases", [table], {"releases": [vars(r) for r in found], "next": None})


@action("releases show", page="/releases/{number}/{target}")
def show(site: Site, number: int, target: str = "production") -> Page:
    """Show one release: what it changed, who approved it, what the gates said.

    Args:
        number: its number.
        target: where it was released to.
    """
    found = environments.releases(site.catalog.rows, target)
    made = next((each for each in found if each.number == number), None)
    if made is None:
        known = ", ".join(str(each.number) for each in found[:20]) or "none"
        raise UnknownEnvironment(f"{target} has no release {number}", known=f"its releases: {known}")
    return Page(f"Release {number} of {target}", _release_blocks(made), {"release": vars(made)})


@action("environments", page="/environments")
def environments_page(site: Site, *, at: str = "") -> Page:
    """Show every environment and what it points at, now or at a moment of the past.

    Args:
        at: a moment, such as 2013-11-01T06:30; empty is now.
    """
    rows = site.catalog.rows
    with rows.snapshot():
        names = environments.names(rows)
        maps = {name: environments.at_time(rows, name, _when(at)) for name in names}
        known = versions.by_ids(rows, {v for each in maps.values() for v in each.values()})
    assets = list(dict.fromkeys([*site.project.assets, *(a for each in maps.values() for a in each)]))
    cells: list[list[Cell]] = [[_asset(a), *(_version(known.get(maps[n].get(a, 0))) for n in names)] for a in assets]
    table = Table(["asset", *names], cells)
    shown = Facts([(n, Link(_count(len(maps[n]), _base(site, n)), f"/environments/{n}")) for n in names])
    data = {name: {asset: known[v].ref for asset, v in each.items()} for name, each in maps.items()}
    return Page("Environments" + (f" at {at}" if at else ""), [shown, table], {"environments": data, "next": None})


@action("environment", page="/environments/{target}")
def environment_page(site: Site, target: str = "production", *, at: str = "") -> Page:
    """Show what was in an environment at a moment: each asset's version, since when, and by which release.

    Args:
        target: the environment.
        at: a moment, such as 2013-11-01T06:30; empty is now.
    """
    rows = site.catalog.rows
    with rows.snapshot():
        known = environments.names(rows)
        if target not in known:
            raise UnknownEnvironment(
                f"there is no environment {target!r}", next=did_you_mean(target, known) or "oito run"
            )
        moves = environments.standing(rows, target, _when(at))
        found = versions.by_ids(rows, [each.version for each in moves if each.version])
        numbers = {each.id: each for each in environments.releases(rows, target)}
    standing = [each for each in numbers.values() if not at or each.at <= _when(at)][:1]
    cells: list[list[Cell]] = [
        [_asset(m.asset), _version(found.get(m.version or 0)), m.at, _by(numbers.get(m.release or 0))] for m in moves
    ]
    facts: list[tuple[str, Cell]] = [("environment", target), ("at", at or "now"), ("assets", len(moves))]
    facts += [("release", _by(each)) for each in standing]
    facts += [("reads the rest from", base)] if (base := _base(site, target)) else []
    facts += [("a release would", Link(f"change {target}", f"/diff/{target}"))] if target != site.environment else []
    data = {
        "environment": target, "at": at or None, "release": standing[0].number if standing else None,
        "assets": [
            {"asset": m.asset, "version": found[m.version].ref, "since": m.at,
             "release": numbers[m.release].number if m.release in numbers else None}
            for m in moves if m.version in found
        ], "next": None,
    }  # fmt: skip
    table = Table(["asset", "version", "since", "by release"], cells, empty=f"{target} pointed at nothing")
    return Page(target + (f" at {at}" if at else ""), [Facts(facts), table], data)


def _release_blocks(made: Release) -> list[Block]:
    record = made.record
    facts: list[tuple[str, Cell]] = [
        ("release", made.number), ("environment", made.environment), ("at", made.at), ("who", made.who),
        ("message", made.message), ("source", made.bundle[:12]),
    ]  # fmt: skip
    if "rollback_to" in record:
        return [Facts([*facts, ("back to", record["rollback_to"])])]
    said: list[list[Cell]] = [
        [g["gate"], Badge("passed", "good") if g["passed"] else Badge("refused", "bad"), g["text"]]
        for g in record["gates"]
    ]
    changed: list[list[Cell]] = [
        [_asset(c["asset"]), _link(c["before"]), _link(c["after"]), _change(c["redefined"])] for c in record["changes"]
    ]
    return [
        Facts([*facts, ("proposal", record.get("proposal", "")[:12])]),
        Table(["asset", "before", "after", "change"], changed, title="Changed", empty="no version, only source"),
        Table(["gate", "verdict", "why"], said, title="Gates", empty="no gates"),
        *_approved(record.get("approvals", [])),
    ]


def _figures(site: Site, target: str, changes: Sequence[Difference]) -> list[Block]:
    """Return the metrics of what would change, before and after, where there are any."""
    rows: list[list[Cell]] = []
    for each in changes:
        before, after = (versions.metrics(site.catalog.rows, v.id) if v else {} for v in (each.before, each.after))
        rows += [[each.asset, name, before.get(name), after.get(name)] for name in {**before, **after}]
    moved = [row for row in rows if row[2] != row[3]]
    if not moved:
        return []
    return [Table(["asset", "figure", target, site.environment], moved[:MOST_FIGURES], title="Figures that move")]


def _approved(given: Sequence[Mapping[str, Any]]) -> list[Block]:
    rows: list[list[Cell]] = [[each["who"], each["at"], each["note"]] for each in given]
    return [Table(["who", "at", "note"], rows, title="Approvals")] if rows else []


def _overtaken(site: Site, proposed: Proposal) -> list[Block]:
    """Return the approvals since the last release that were of something else, and so do not count."""
    last = release.current_release_of(site.catalog, proposed.target)
    found = approvals.of_others(site.catalog.rows, proposed.target, proposed.digest, since=last.at if last else "")
    rows: list[list[Cell]] = [[each.who, each.at, each.note, each.proposal[:12]] for each in found]
    title = "Approvals of another proposal, which do not count"
    return [Table(["who", "at", "note", "proposal"], rows, title=title)] if rows else []


def _missing(site: Site, proposed: Proposal, given: Sequence[Approval]) -> str:
    """Say who is missing for anybody to release it; who that will be is not known yet."""
    return rule(site.settings, proposed.target).missing(given, releaser="the releaser") or "nobody"


def _when(at: str) -> str:
    return text(moment(at)) if at else "9999"


def _base(site: Site, environment: str) -> str:
    return "" if environment == site.catalog.base else site.catalog.base


def _count(assets: int, base: str) -> str:
    """Return in words how many assets are an environment's own."""
    own = f"{assets} {'asset' if assets == 1 else 'assets'}"
    return f"{own} of its own, the rest is {base}'s" if base else own


def _by(made: Release | None) -> Cell:
    return Link(str(made.number), f"/releases/{made.number}/{made.environment}") if made else None


def _change(is_redefined: bool) -> Cell:
    return Badge("redefined", "warn") if is_redefined else "data"


def _asset(name: str) -> Link:
    return Link(name, f"/assets/{name}")


def _version(version: Version | None) -> Cell:
    return _link(version.ref) if version else None


def _link(ref: str | None) -> Cell:
    return Link(ref, f"/assets/{ref}") if ref else None
