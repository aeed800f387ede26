"""What an experiment looks like: its figures and rivals, gates, weak spots, search, data. Curves are drawn in pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oito.catalog import environments, events, versions
from oito.catalog.records import Version
from oito.experiments import pictures
from oito.experiments.metrics import METRICS
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.show import Badge, Block, Cell, Chart, Facts, Form, Link, Series, Table, Text, Tone

SLICES = 25
VERDICTS: Mapping[str, Tone] = {"win": "good", "tie": "plain", "lose": "bad"}
SEVERITIES: Mapping[str, Tone] = {"error": "bad", "warning": "warn"}


def asset_blocks(site: Site, asset: Asset, version: Version | None) -> list[Block]:
    """Return the metric over the versions, and which version stands in which environment."""
    if version is None:
        return []
    rows = site.catalog.rows
    name = version.record["metric"]
    history = [(each, value) for each, value in versions.metric_history(rows, asset.name, name) if value is not None]
    figures = [each.record["report"]["headline"][name] for each, _ in history]
    series = Series(
        name, [each.ref.partition(":")[2] for each, _ in history], [value for _, value in history],
        low=[figure["low"] for figure in figures], high=[figure["high"] for figure in figures], mark="point",
    )  # fmt: skip
    pointed = {e: environments.target(rows, e, asset.name) for e in environments.names(rows)}
    cells: list[list[Cell]] = [
        [e, Link(v.ref, f"/assets/{v.ref}"), versions.metrics(rows, v.id).get(name), v.record["cut_off"]]
        for e, v in pointed.items()
        if v is not None
    ]
    blocks: list[Block] = [
        Table(["environment", "version", name, "knew the data up to"], cells, title="Where it stands")
    ]
    if history:
        blocks.append(Chart(f"{name} by version, each on its own test rows", [series], x="version", y=name))
    return [*blocks, Form("retrain", {"asset": asset.name}, title="Train again")]


def version_blocks(site: Site, version: Version) -> list[Block]:
    """Return everything worth knowing of one trained version, the verdicts first."""
    record = version.record
    report = record["report"]
    return [
        _head(record),
        *_warnings(record),
        _headline(report, record["metric"]),
        _rivals(report, record["champion"]),
        *_gates(site, version),
        *pictures.charts(report),
        _slices(report),
        *pictures.importance(record),
        *trial_blocks(record),
        *_data(record),
        _machine(record["environment"]),
        Form("reproduce", {"name": version.ref}, title="Make it again, and compare"),
    ]


def trial_blocks(record: Mapping[str, Any]) -> list[Block]:
    """Return the search: its values with the best so far, and every trial."""
    trials, metric = record["trials"], record["metric"]
    names = [name for name, part in record["space"].items() if part["kind"] != "fixed"]
    rows: list[list[Cell]] = [
        [each["number"] + 1, _trial_badge(each, record["trial"]), each["value"], *(_cell(each["params"][n]) for n in names),
         round(each["seconds"], 3), each["error"].partition("\n")[0]]
        for each in trials
    ]  # fmt: skip
    chart = pictures.search(trials, metric, greater_is_better=record["greater_is_better"])
    table = Table(["trial", "state", metric, *names, "seconds", "error"], rows, title="Trials")
    return [chart, table] if len(trials) > 1 else [table]


def _head(record: Mapping[str, Any]) -> Facts:
    split = record["split"]
    params = ", ".join(f"{name}={_cell(value)}" for name, value in record["params"].items())
    champion = record["champion"]
    pairs: list[tuple[str, Cell]] = [
        ("design", Link(record["model"], f"/assets/{record['model']}")), ("estimator", record["estimator"]),
        ("parameters", params or "none"), ("chosen by", f"{record['metric']} of trial {record['trial'] + 1} of {len(record['trials'])}"),
        ("learned from", f"{split['train']:,} rows, chosen on {split['valid']:,}, up to {record['learned_until'][:16]}Z"),
        ("judged on", f"{split['test']:,} rows, {record['test_from'][:16]}Z to {record['test_until'][:16]}Z"),
        ("knew the data up to", record["cut_off"]),
        ("champion then", Link(champion, f"/assets/{champion}") if champion else "none"),
    ]  # fmt: skip
    return Facts(pairs, title="Training")


def _warnings(record: Mapping[str, Any]) -> list[Block]:
    lines = list(record["notes"])
    if record["at_the_edge"]:
        names = ", ".join(f"{name}={_cell(record['params'][name])}" for name in record["at_the_edge"])
        lines.append(f"at the edge of the space: {names}. A wider range may be better.")
    return [Text("\n".join(lines), tone="warn")] if lines else []


def _headline(report: Mapping[str, Any], metric: str) -> Table:
    rows: list[list[Cell]] = [
        [Badge(name, "good") if name == metric else name, figure["value"], figure["low"], figure["high"]]
        for name, figure in report["headline"].items()
    ]
    return Table(["metric", "value", "from", "to"], rows, title=f"On {report['n']:,} rows it has not seen (95 %)")


def _rivals(report: Mapping[str, Any], champion: str | None) -> Table:
    against = {f"baseline {name}": each for name, each in report["baselines"].items()}
    if champion and report["champion"]:
        against[f"champion {champion}"] = report["champion"]
    rows = [comparison_row(name, each) for name, each in against.items()]
    columns = ["against", "its figure", "this one", "difference", "from", "to", "p", "verdict"]
    return Table(columns, rows, title=f"Rivals by {report['metric']}, same rows", empty="nothing to compare with")


def comparison_row(name: str, found: Mapping[str, Any]) -> list[Cell]:
    """Return one comparison as cells: name, the other's figure, this one's, difference, bounds, p-value, verdict."""
    verdict = Badge(found["verdict"], VERDICTS[found["verdict"]])
    numbers = [found[key] for key in ("champion", "challenger", "difference", "low", "high", "p_value")]
    return [name, *numbers, verdict]


def _gates(site: Site, version: Version) -> list[Block]:
    asset = site.project.assets.get(version.asset)
    told = next((e for e in events.listed(site.catalog.rows, subject=version.ref) if "gates" in e.detail), None)
    if told is not None:
        said, title = list(told.detail["gates"]), f"Gates, as they said on {told.at[:16]}Z"
    elif asset is not None and asset.spec.word == "experiment":
        said, title = [each.data() for each in asset.kind.door("run").gate(site, asset, version)], "Gates, asked now"
    else:
        return []
    rows: list[list[Cell]] = [
        [each["gate"], Badge("passed", "good") if each["passed"] else Badge("refused", "bad"), each["text"]]
        for each in said
    ]
    return [Table(["gate", "verdict", "why"], rows, title=title, empty="none is declared: every result passes")]


def _slices(report: Mapping[str, Any]) -> Table:
    sign = 1 if METRICS[report["slice_metric"]].greater_is_better else -1
    known = [each for each in report["slices"] if each["figure"]["value"] is not None]

    def badness(each: Mapping[str, Any]) -> tuple[bool, bool, float]:
        return not each["is_worse"], each["q_value"] is None, sign * each["figure"]["value"]

    rows: list[list[Cell]] = [
        [each["column"], each["part"], each["n"], *(each["figure"][k] for k in ("value", "low", "high")), each["q_value"],
         Badge("worse", "bad") if each["is_worse"] else None]
        for each in sorted(known, key=badness)[:SLICES]
    ]  # fmt: skip
    columns = ["column", "part", "rows", report["slice_metric"], "from", "to", "q", "than the rest"]
    flagged = sum(each["is_worse"] for each in known)
    return Table(
        columns, rows, title=f"Weak spots: {flagged} of {len(known)} parts are worse than the rest, worst first"
    )


def _data(record: Mapping[str, Any]) -> list[Block]:
    frame, split = record["frame"], record["split"]
    rows: list[list[Cell]] = [
        [Link(view["version"], f"/assets/{view['version']}"), "on request" if view["on_request"] else "as known",
         view.get("leaked_rows"), view.get("missing_share"), view.get("expired_share")]
        for view in frame["views"].values()
    ]  # fmt: skip
    facts = Facts(
        [("labels", Link(frame["labels"], f"/assets/{frame['labels']}")), ("rows", frame["rows"]), ("train", split["train"]),
         ("valid", split["valid"]), ("test", split["test"]), ("left out, truth too late", split["late"]),
         ("inputs", len(record["signature"]["columns"])), ("a caller gives", ", ".join(record["request_fields"]))],
        title="Split and frame",
    )  # fmt: skip
    left: list[list[Cell]] = [[name, why] for name, why in frame["left_out"].items()]
    found: list[list[Cell]] = [
        [Badge(each["severity"], SEVERITIES[each["severity"]]), each["trap"], each["column"], each["text"]]
        for each in record["findings"]
    ]
    columns = ["view", "joined", "rows that would have leaked", "share missing", "share too old"]
    return [
        facts,
        Table(columns, rows, title="Views, as they were known at each question", empty="no views"),
        *([Table(["column", "why"], left, title="Columns left out")] if left else []),
        Table(["severity", "trap", "column", "what"], found, title="Leak linter", empty="no leak was found"),
    ]


def _machine(told: Mapping[str, Any]) -> Facts:
    threads = ", ".join(f"{name}={value}" for name, value in told["threads"].items() if value is not None)
    pools = ", ".join(
        f"{p.get('internal_api')} {p.get('version') or ''} x{p.get('num_threads')}" for p in told["pools"]
    )
    pairs: list[tuple[str, Cell]] = [
        ("python", told["python"]), ("platform", " ".join(map(str, told["platform"].values()))),
        ("processor", f"{told['cpu']['model']}, {told['cpu']['count']} usable"), ("threads", threads or "as the libraries choose"),
        ("pools", pools), ("packages", len(told["packages"])),
        ("of them", ", ".join(p for p in told["packages"] if p.split("==")[0] in {"numpy", "scikit-learn", "polars", "scipy"})),
    ]  # fmt: skip
    return Facts(pairs, title="Environment")


def _trial_badge(trial: Mapping[str, Any], chosen: int) -> Badge:
    if trial["number"] == chosen:
        return Badge("chosen", "good")
    return Badge(trial["state"], "plain" if trial["state"] == "ok" else "bad")


def _cell(value: Any) -> Cell:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value if value is None or isinstance(value, str | int) else str(value)
