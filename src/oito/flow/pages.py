"""Pages about everything: the loop, an asset, a version, lineage, runs, events. Only looks, never changes."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from oito.catalog import events, freed, lineage, runs, versions
from oito.catalog.records import Version
from oito.errors import UnknownAsset
from oito.flow import curves
from oito.flow.action import action
from oito.flow.entry import Entry, State
from oito.flow.partition import keys_of
from oito.flow.plan import Planner
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.names import did_you_mean
from oito.names import reference as parsed
from oito.show import Badge, Block, Cell, Chart, Facts, Graph, Link, Node, Page, Series, Table, Text, Tone

TONES: Mapping[State, Tone] = {
    "fresh": "good", "held": "good", "accepted": "good", "stale": "warn", "waiting": "warn", "reusable": "plain",
    "missing": "quiet", "running": "plain", "blocked": "bad", "refused": "bad",
}  # fmt: skip
STEP_TONES: Mapping[str, Tone] = {
    "made": "good", "reused": "good", "unchanged": "quiet", "refused": "bad", "broken": "bad", "failed": "bad", "blocked": "warn",
    "running": "plain", "done": "good", "stopped": "warn",
}  # fmt: skip
LINEAGE_NODES = 60
PARTITIONS = 100  # rows of a page


@action("status", page="/")
def status(site: Site) -> Page:
    """Show the loop: the eight systems, their assets, and what is not up to date."""
    entries = Planner(site).plan()
    nodes, edges = [], []
    words = [word for word in site.project.kinds if any(e.asset.kind.word == word for e in entries)]
    for word in words:
        mine = [entry for entry in entries if entry.asset.kind.word == word]
        worst = max((TONES[entry.state] for entry in mine), key=["quiet", "plain", "good", "warn", "bad"].index)
        open_count = sum(TONES[entry.state] != "good" for entry in mine)
        note = f"{len(mine)} · " + ("all fresh" if not open_count else f"{open_count} open")
        nodes.append(
            Node(word, site.project.kinds[word].plural, note, worst, f"/kinds/{site.project.kinds[word].plural}")
        )
    edges = [(a, b) for a, b in zip(words, [*words[1:], *words[:1]], strict=True)]
    columns = ["asset", "kind", "version", "state", "why", "made"]
    blocks: list[Block] = [
        Graph("The loop", nodes, edges, loop=True),
        Table(columns, [_entry_row(entry) for entry in entries], title=f"Assets in {site.environment}"),
        _runs_table(site, 5),
        _events_table(events.listed(site.catalog.rows, limit=8), "Lately"),
    ]
    data = {"environment": site.environment, "assets": [entry.data() for entry in entries], "next": None}
    return Page(site.root.name or "oito", blocks, data)


@action("show", page="/assets/{name}")
def show(site: Site, name: str) -> Page:
    """Show an asset, or one version of it (`flights:v3`, `flights@production`).

    Args:
        name: an asset, a version or an asset in an environment.
    """
    asset, number, environment = parsed(name)
    if number is None and environment is None:
        return _asset_page(site, asset)
    return version_page(site, site.catalog.find(name, site.environment))


@action("kind", page="/kinds/{plural}")
def kind(site: Site, plural: str) -> Page:
    """Show one of the eight systems: its assets and their state.

    Args:
        plural: such as sources, datasets or monitors.
    """
    kinds = {each.plural: each for each in site.project.kinds.values()}
    if plural not in kinds:
        raise UnknownAsset(f"there is no kind {plural!r}", next=did_you_mean(plural, kinds))
    entries = [entry for entry in Planner(site).plan() if entry.asset.kind.plural == plural]
    table = Table(["asset", "kind", "version", "state", "why", "made"], [_entry_row(entry) for entry in entries])
    blocks: list[Block] = [Text(kinds[plural].sentence), table]
    for entry in entries:
        blocks += _panel(site, entry.asset, "asset_blocks", entry.version) if entry.version else []
    return Page(plural, blocks, {"kind": plural, "assets": [entry.data() for entry in entries], "next": None})


@action("lineage", page="/lineage/{name}")
def lineage_of(site: Site, name: str) -> Page:
    """Show what a version was made from and what was made from it.

    Args:
        name: an asset, a version or an asset in an environment.
    """
    version = site.catalog.find(name, site.environment)
    graph, data = lineage_graph(site, version)
    return Page(f"Lineage of {version.ref}", [graph], data)


@action("runs", page="/runs")
def runs_page(site: Site, *, limit: int = 30) -> Page:
    """List the newest runs.

    Args:
        limit: how many.
    """
    found = runs.listed(site.catalog.rows, limit=limit)
    data = [{**vars(run), "bundle": run.bundle[:12]} for run in found]
    return Page("Runs", [_runs_table(site, limit)], {"runs": data, "next": None})


@action("log", page="/runs/{run}")
def log(site: Site, run: str = "") -> Page:
    """Show the steps of one run, with what they printed.

    Args:
        run: the id of a run, as `oito runs` lists it; by default the newest.
    """
    run = run or next((each.id for each in runs.listed(site.catalog.rows, limit=1)), "")
    found = runs.by_id(site.catalog.rows, run)
    if found is None:
        raise UnknownAsset(f"there is no run {run!r}" if run else "nothing has run yet", next="oito runs")
    steps = runs.steps(site.catalog.rows, run)
    known = versions.by_ids(site.catalog.rows, [step.version for step in steps if step.version])
    rows: list[list[Cell]] = [
        [
            _asset_link(s.asset),
            Badge(s.state, STEP_TONES.get(s.state, "plain")),
            _version_link(known.get(s.version or 0)),
            s.seconds,
            s.cause,
        ]
        for s in steps
    ]
    facts = Facts([("state", Badge(found.state, STEP_TONES.get(found.state, "plain"))), ("environment", found.environment),
                   ("reason", found.reason), ("who", found.who), ("at", found.at), ("seconds", found.seconds)])  # fmt: skip
    printed: list[Block] = [Text(s.log, title=s.asset, language="text") for s in steps if s.log]
    errors: list[Block] = [Text(s.error, title=s.asset, language="text", tone="bad") for s in steps if s.error]
    printed += curves.of_run(site, run)
    table = Table(["asset", "state", "version", "seconds", "cause"], rows, title="Steps")
    return Page(
        f"Run {run}", [facts, table, *errors, *printed], {"run": vars(found), "steps": [vars(step) for step in steps]}
    )


@action("events", page="/events")
def events_page(site: Site, *, about: str = "", before: int | None = None, limit: int = 100) -> Page:
    """List what happened, newest first.

    Args:
        about: an asset or version.
        before: the number of an event; older ones are listed.
        limit: how many.
    """
    found = events.listed(site.catalog.rows, subject=about, before=before, limit=limit)
    following = found[-1].id if len(found) == limit else None
    return Page("Events", [_events_table(found, "")], {"events": [vars(event) for event in found], "next": following})


def version_page(site: Site, version: Version) -> Page:
    """Return the page of one version: what it is, what it was made from, its code."""
    facts: list[tuple[str, Cell]] = [
        ("asset", _asset_link(version.asset)), ("kind", version.kind),
        ("state", Badge(version.state, "good" if version.state == "ok" else "bad")), ("made", version.created_at),
        ("environment", version.environment), ("run", Link(version.run, f"/runs/{version.run}")), ("rows", version.rows),
        ("bytes", version.size_bytes), ("seconds", version.seconds), ("fingerprint", version.fingerprint[:16]),
        ("content", version.content[:16]),
    ]  # fmt: skip
    is_freed = version.state == freed.STATE
    if is_freed:
        facts.insert(3, ("its bytes", f"freed {freed.told(site.catalog.rows, version.ref)}"))
    metrics = versions.metrics(site.catalog.rows, version.id)
    graph, _ = lineage_graph(site, version)
    asset = site.project.assets.get(version.asset)
    blocks: list[Block] = [Facts(facts)]
    blocks += _panel(site, asset, "version_blocks", version) if asset and not is_freed else []
    blocks += curves.of_version(site, version) if not is_freed else []
    if metrics:
        blocks.append(Table(["metric", "value"], [[name, value] for name, value in metrics.items()], title="Metrics"))
    blocks.append(graph)
    blocks += _partitions(site, version, [])
    code = source_of(site, version)
    if code:
        blocks.append(Text(code, title="Code that made it", language="python"))
    return Page(version.ref, blocks, site.catalog.facts(version))


def lineage_graph(site: Site, version: Version) -> tuple[Graph, dict[str, Any]]:
    """Return the graph of a version's way from the sources and on, and the same as data."""
    rows = site.catalog.rows
    is_part = bool(version.partition)
    above = lineage.upstream(rows, version.id, with_partitions=is_part)
    below = lineage.downstream(rows, version.id, with_partitions=is_part)
    found = list(dict.fromkeys([*above, *below]))
    known = versions.by_ids(rows, {version.id, *(e.version for e in found), *(e.input for e in found)})
    # Other assets' partitions are told by their wholes.
    known = {v.id: v for v in known.values() if not v.partition or v.asset.startswith(version.asset.partition("[")[0])}
    above, below, found = (
        [e for e in edges if e.input in known and e.version in known] for edges in (above, below, found)
    )
    near = sorted(known, key=lambda identity: abs(identity - version.id))[:LINEAGE_NODES]
    nodes = [
        Node(str(v.id), v.ref, v.kind + (f" · {v.rows} rows" if v.rows is not None else "") + (" · freed" if v.state == freed.STATE else ""),
             "plain" if v.id != version.id else "good", f"/assets/{v.ref}")
        for v in (known[identity] for identity in sorted(near))
    ]  # fmt: skip
    shown = [(str(e.input), str(e.version)) for e in found if e.input in near and e.version in near]
    data = {
        "version": version.ref,
        "upstream": [{"from": known[e.input].ref, "to": known[e.version].ref, "as": e.role} for e in above],
        "downstream": [{"from": known[e.input].ref, "to": known[e.version].ref, "as": e.role} for e in below],
    }
    return Graph("Lineage", nodes, shown), data


def source_of(site: Site, version: Version) -> str:
    """Return the text of the function that made a version, from the stored source of its run; "" when there is none."""
    run = runs.by_id(site.catalog.rows, version.run)
    if run is None or not site.files.has(run.bundle):
        return ""
    with zipfile.ZipFile(io.BytesIO(site.files.read(run.bundle))) as bundle:
        for name in bundle.namelist():
            if name.endswith(".py"):
                text = bundle.read(name).decode()
                found = _segment(text, version.asset)
                if found:
                    return found
    return ""


def _segment(text: str, name: str) -> str:
    lines = text.splitlines()
    for node in ast.parse(text).body:
        targets = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
        if (isinstance(node, ast.FunctionDef) and node.name == name) or name in targets:
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            first = min([node.lineno, *(d.lineno for d in decorators)])
            return "\n".join(lines[first - 1 : node.end_lineno])
    return ""


def _asset_page(site: Site, name: str) -> Page:
    found = versions.listed(site.catalog.rows, name)
    asset = site.project.assets.get(name)
    if asset is None and not found:
        known = {*site.project.assets, *(each for each, _, _ in versions.assets(site.catalog.rows))}
        raise UnknownAsset(f"there is no asset {name!r}", next=did_you_mean(name, known))
    entry = next((e for e in Planner(site).plan([name]) if e.asset.name == name), None) if asset else None
    current = entry.version if entry else found[0]
    blocks: list[Block] = []
    if asset and entry:
        pairs: list[tuple[str, Cell]] = [
            ("kind", Link(asset.kind.word, f"/kinds/{asset.kind.plural}")), ("state", Badge(entry.state, TONES[entry.state])),
            *([("why", entry.reason)] if entry.reason else []), ("version", _version_link(current)), ("declared at", asset.place),
            ("needs", ", ".join(i.asset for i in (*asset.inputs, *asset.named)) or "nothing"),
        ]  # fmt: skip
        text = asset.spec.description or _first_line(asset)
        blocks += [Facts(pairs), *([Text(text)] if text else []), *_panel(site, asset, "asset_blocks", current)]
    if len([v for v in found if v.rows is not None]) > 1:
        ordered = [v for v in reversed(found) if v.rows is not None]
        series = Series("rows", [v.created_at for v in ordered], [v.rows for v in ordered], mark="step")
        blocks.append(Chart("Rows by version", [series], y="rows"))
    rows: list[list[Cell]] = [
        [
            _version_link(v),
            Badge(v.state, "good" if v.state == "ok" else "bad"),
            v.created_at,
            v.environment,
            v.rows,
            v.seconds,
        ]
        for v in found
    ]
    blocks.append(Table(["version", "state", "made", "environment", "rows", "seconds"], rows, title="Versions"))
    if current:
        blocks += _partitions(site, current, [each.partition for each in entry.partitions] if entry else [])
    data = {"asset": name, "state": entry.data() if entry else None, "versions": [v.ref for v in found], "next": None}
    return Page(name, blocks, data)


def _partitions(site: Site, version: Version, open_ones: Sequence[str]) -> list[Block]:
    """Return the partitions of a version, newest first, with those that would run before them."""
    facts = keys_of(version)
    if not facts and not open_ones:
        return []
    found = versions.by_ids(site.catalog.rows, [fact[3] for fact in list(facts.values())[-PARTITIONS:] if fact[3]])
    rows: list[list[Cell]] = [[key, None, Badge("would run", "warn"), None, None] for key in reversed(open_ones)]
    for key in [key for key in reversed(list(facts)) if key not in set(open_ones)]:
        part = found.get(facts[key][3])
        made = (_version_link(part), Badge("ok", "good")) if part else (None, Badge("cut", "plain"))
        rows.append([key, *made, facts[key][2], part.created_at if part else version.created_at])
    title = f"{len(facts)} partitions" + (f", {len(open_ones)} would run" if open_ones else "")
    if len(rows) > PARTITIONS:
        title += f"; the first {PARTITIONS} are shown"
    return [Table(["partition", "version", "state", "rows", "made"], rows[:PARTITIONS], title=title)]


def _first_line(asset: Asset) -> str:
    return ((asset.function.__doc__ or "").strip().split("\n")[0]) if asset.function is not None else ""


def _panel(site: Site, asset: Asset, name: str, version: Version | None) -> list[Block]:
    panel = getattr(asset.kind.door("panels"), name)
    found: Sequence[Block] = panel(site, asset, version) if name == "asset_blocks" else panel(site, version)
    return list(found)


def _entry_row(entry: Entry) -> list[Cell]:
    made = entry.version.created_at[:16].replace("T", " ") if entry.version else None
    state = Badge(entry.state, TONES[entry.state])
    return [
        _asset_link(entry.asset.name),
        entry.asset.kind.word,
        _version_link(entry.version),
        state,
        entry.reason,
        made,
    ]


def _runs_table(site: Site, limit: int) -> Table:
    rows: list[list[Cell]] = [
        [
            Link(r.id, f"/runs/{r.id}"),
            Badge(r.state, STEP_TONES.get(r.state, "plain")),
            r.environment,
            r.reason,
            r.at[:16].replace("T", " "),
            r.seconds,
        ]
        for r in runs.listed(site.catalog.rows, limit=limit)
    ]
    return Table(
        ["run", "state", "environment", "reason", "at", "seconds"], rows, title="Runs", empty="no run yet: oito run"
    )


def _events_table(found: Sequence[Any], title: str) -> Table:
    rows: list[list[Cell]] = [
        [e.id, e.at[:19].replace("T", " "), e.who, e.verb, _subject_link(e.subject), _told(e.detail)] for e in found
    ]
    return Table(["number", "at", "who", "verb", "subject", "detail"], rows, title=title)


def _told(detail: Mapping[str, Any]) -> str:
    shown = {k: v for k, v in detail.items() if k not in {"run", "content", "gates"} and v not in ("", None)}
    text = ", ".join(f"{name} {value}" for name, value in shown.items())
    return text if len(text) <= 160 else text[:157] + "…"


def _asset_link(name: str) -> Link:
    return Link(name, f"/assets/{name}")


def _version_link(version: Version | None) -> Cell:
    return Link(version.ref, f"/assets/{version.ref}") if version else None


def _subject_link(subject: str) -> Cell:
    return Link(subject, f"/assets/{subject}") if ":v" in subject else subject
