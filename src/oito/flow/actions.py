"""What a person may do with the project as a whole: plan, run, accept, reproduce, check. Environments are releasing.py's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from oito.catalog import approvals, versions
from oito.catalog.records import Step, Version
from oito.errors import BadInput, NotReproduced
from oito.flow import pages, runner
from oito.flow.action import action
from oito.flow.entry import SETTLED
from oito.flow.plan import Planner
from oito.flow.releases import released
from oito.flow.site import Site
from oito.settings import SETTINGS, Settings
from oito.show import Badge, Block, Cell, Facts, Link, Page, Table, Text

FOLDED = 8  # partitions of an asset that are shown one by one
SECRET = frozenset({"token"})


@action("plan", page="/plan")
def plan(site: Site, assets: list[str] | None = None) -> Page:
    """Show what would run, and why.

    Args:
        assets: the assets to bring up to date; all when none is named.
    """
    entries = Planner(site).plan(assets or [])
    open_entries = [entry for entry in entries if entry.state not in SETTLED]
    rows: list[list[Cell]] = [
        [entry.asset.name, entry.asset.kind.word, Badge(entry.state, pages.TONES[entry.state]), entry.reason]
        for entry in open_entries
    ]
    title = f"{len(open_entries)} of {len(entries)} assets would run" if open_entries else "nothing to do"
    held = [entry for entry in entries if entry.state == "held"]
    blocks: list[Block] = [
        Table(["asset", "kind", "state", "why"], rows, empty="nothing to do: everything is up to date")
    ]
    if held:
        text = ", ".join(entry.asset.name for entry in held)
        blocks.append(
            Text(
                f"held: {text}. Newer data alone does not train again; a monitor's verdict, a change of code or `oito retrain` does."
            )
        )
    return Page(
        title, blocks, {"environment": site.environment, "assets": [entry.data() for entry in entries], "next": None}
    )


@action("why", page="/why/{asset}")
def why(site: Site, asset: str) -> Page:
    """Show what changed since an asset's version was made: symbol, value, package, file or input, before → after.

    Args:
        asset: the asset that would run, or would not.
    """
    site.project.asset(asset)
    entries = {entry.asset.name: entry for entry in Planner(site).plan([asset])}
    entry = entries[asset]
    blocks: list[Block] = [
        Facts(
            [
                ("asset", asset),
                ("state", Badge(entry.state, pages.TONES[entry.state])),
                ("why", entry.reason or "nothing that it is made of has changed"),
            ]
        )
    ]
    told: list[list[Cell]] = []
    for each in entries.values():
        for cause in each.causes:
            told.append([each.asset.name, cause.section, cause.name, cause.before, cause.after, cause.place])
    if told:
        blocks.append(Table(["asset", "what", "name", "before", "after", "where"], told, title="Changed"))
    data = {"asset": asset, "state": entry.state, "reason": entry.reason,
            "causes": [{"asset": e.asset.name, **c.data()} for e in entries.values() for c in e.causes]}  # fmt: skip
    return Page(f"Why {asset} is {entry.state}", blocks, data)


@action("run", writes=True)
def run(
    site: Site,
    assets: list[str] | None = None,
    *,
    partition: str = "",
    collect: bool = False,
    jobs: int = 0,
    reason: str = "by hand",
) -> Page:
    """Bring assets up to date.

    Args:
        assets: which; all when none is named.
        partition: of the named assets, only these partitions: one, the first part of several, FIRST..LAST, or a list with
            commas; the others stay as they are.
        collect: ask the sources also outside production, where they read production's versions otherwise.
        jobs: how many steps run at once, each in a process of its own; by default the setting `engine` decides.
        reason: what the record of the run says.
    """
    sources = [name for name, each in site.project.assets.items() if each.kind.word == "source"] if collect else []
    wanted = partition.split(",") if partition else []
    if wanted and not assets:
        raise BadInput("--partition needs an asset", next="oito run ASSET --partition " + partition)
    partitions = dict.fromkeys(assets or [], wanted) if wanted else {}
    return _outcome(
        site, released.run(site, assets or [], reason=reason, collect=sources, jobs=jobs, partitions=partitions)
    )


@action("retrain", writes=True)
def retrain(site: Site, asset: str, *, jobs: int = 0, reason: str = "asked by hand") -> Page:
    """Make one asset again from the newest inputs, whether or not anything asks for it.

    Args:
        asset: usually an experiment.
        jobs: how many steps run at once, each in a process of its own; by default the setting `engine` decides.
        reason: what the record of the run says.
    """
    site.project.asset(asset)
    return _outcome(site, released.run(site, [asset], reason=reason, force=[asset], jobs=jobs))


@action("accept", writes=True)
def accept(site: Site, asset: str, *, reason: str) -> Page:
    """Declare that an asset's version stands although its definition changed; nothing runs, and the event says who and why.

    Args:
        asset: the asset that is stale.
        reason: why its version stands.
    """
    entry = next(e for e in Planner(site).plan([asset]) if e.asset.name == site.project.asset(asset).name)
    if entry.state != "stale" or entry.version is None or not entry.fingerprint:
        raise BadInput(f"{asset} is {entry.state}, not stale", next="oito plan")
    with site.catalog.change() as change:
        approvals.accept(
            change.rows, site.environment, fingerprint=entry.fingerprint, asset=asset, version=entry.version.id,
            reason=reason,
        )  # fmt: skip
        for each in entry.partitions:
            if each.version:
                approvals.accept(
                    change.rows, site.environment, fingerprint=each.fingerprint, asset=asset, version=each.version.id,
                    reason=reason,
                )  # fmt: skip
        causes = [cause.text for cause in entry.causes]
        change.event("accepted", entry.version.ref, environment=site.environment, reason=reason, causes=causes)
    return Page(
        f"{entry.version.ref} is accepted",
        [Facts([("reason", reason)])],
        {"version": entry.version.ref, "reason": reason},
    )


@action("reproduce", group="experiments")
def reproduce(site: Site, name: str) -> Page:
    """Make a version again in a clean process, from its stored source and inputs, and say whether it is the same bit by bit.

    Nothing is written and no pointer moves. Sources, and labels that people give, are proven by their stored rows only.

    Args:
        name: a version (`late_flight:v3`), an asset, or an asset in an environment.
    """
    from oito.flow.remaking import reproduction

    found = reproduction.reproduce(site, site.catalog.find(name, site.environment))
    conditions = "\n".join(found.conditions)
    if found.verdict == "differs":
        raise NotReproduced(
            found.text, known="\n".join([*found.differences[1:6], *found.conditions[:6]]),
            next="give every random draw a seed, and declare what the code reads by reads= or env=",
        )  # fmt: skip
    facts = Facts(
        [
            ("version", found.version),
            ("verdict", Badge(found.verdict, "good")),
            ("content", found.content),
            ("again", found.again),
        ]
    )
    blocks: list[Block] = [facts, *([Text(found.note)] if found.note else [])]
    blocks += [Text(conditions, title="Other than then", language="text")] if conditions else []
    blocks += [Text("\n".join(found.differences), title="Differs in", language="text")] if found.differences else []
    return Page(found.text, blocks, found.data())


@action("settings", page="/settings")
def settings(site: Site) -> Page:
    """List every setting, its value and where that came from."""
    return settings_page(site.settings)


def settings_page(given: Settings) -> Page:
    """Return the page of a folder's settings, which needs no project; secrets are not shown."""
    values = {s.name: "•••" if s.name in SECRET and given.values[s.name] else given.values[s.name] for s in SETTINGS}
    rows: list[list[Cell]] = [[s.name, _cell(values[s.name]), given.origins[s.name], s.doc] for s in SETTINGS]
    data = {
        "settings": [{"name": s.name, "value": values[s.name], "from": given.origins[s.name]} for s in SETTINGS],
        "next": None,
    }
    return Page("Settings", [Table(["name", "value", "from", "meaning"], rows)], data)


def _outcome(site: Site, outcome: runner.Outcome) -> Page:
    known = versions.by_ids(site.catalog.rows, [step.version for step in outcome.steps if step.version])
    refs = {step.version: known[step.version].ref for step in outcome.steps if step.version in known}
    rows: list[list[Cell]] = [
        [name, Badge(s.state, pages.STEP_TONES.get(s.state, "plain")), _ref(known, s.version), seconds, s.cause]
        for name, seconds, s in _folded(outcome.steps)
    ]
    table = Table(
        ["asset", "state", "version", "seconds", "why"], rows, empty="nothing to do: everything is up to date"
    )
    data = {
        "run": outcome.run, "environment": outcome.environment,
        "steps": [{"asset": s.asset, "state": s.state, "version": refs.get(s.version or 0), "seconds": s.seconds, "cause": s.cause}
                  for s in outcome.steps],
        "errors": {name: error.data() for name, error in outcome.errors.items()},
    }  # fmt: skip
    outcome.raise_first()
    done = sum(step.state in {"made", "reused"} for step in outcome.steps)
    return Page(f"{done} made" if done else "nothing to do", [table], data)


def _folded(steps: Sequence[Step]) -> list[tuple[str, float, Step]]:
    """Return (name, seconds, step), many partitions of an asset that ended alike as one row."""
    alike: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        name, bracket, _ = step.asset.partition("[")
        alike.setdefault((name if bracket else step.asset, step.state if bracket else ""), []).append(step)
    found = []
    for (name, _), group in alike.items():
        if len(group) <= FOLDED:
            found += [(step.asset, step.seconds, step) for step in group]
        else:
            whole = replace(group[0], version=None, cause="")
            found.append((f"{name}[{len(group)} partitions]", sum(step.seconds for step in group), whole))
    return found


def _ref(known: dict[int, Version], identity: int | None) -> Cell:
    return Link(known[identity].ref, f"/assets/{known[identity].ref}") if identity in known else None


def _cell(value: Any) -> Cell:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value
