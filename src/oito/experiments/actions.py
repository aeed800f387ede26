"""What a person may do with experiments: look at a search, and hold two trained versions against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oito.catalog.records import Version
from oito.errors import BadInput
from oito.flow.action import action
from oito.flow.site import Site
from oito.show import Block, Cell, Facts, Page, Table, Text


@action("experiments trials", page="/experiments/{name}/trials", group="experiments")
def trials(site: Site, name: str) -> Page:
    """Show every trial of the search behind a version, and the best so far.

    Args:
        name: a version (`late_flight:v3`), an experiment, or an experiment in an environment.
    """
    from oito.experiments.panels import trial_blocks

    version = _experiment(site, name)
    record = version.record
    data = {
        key: record[key] for key in ("metric", "greater_is_better", "trial", "params", "space", "at_the_edge", "trials")
    }
    return Page(f"Trials of {version.ref}", trial_blocks(record), {"version": version.ref, **data, "next": None})


@action("experiments compare", page="/experiments/{first}/against/{second}", group="experiments")
def compare(site: Site, first: str, second: str) -> Page:
    """Hold two trained versions against each other on the same rows: the test rows of the second.

    Args:
        first: a version, such as late_flight@production.
        second: another one, such as late_flight; its test rows judge both.
    """
    from oito.experiments import comparison
    from oito.experiments.panels import comparison_row

    old, new = _experiment(site, first), _experiment(site, second)
    found = comparison.on_common_terms(site, old, new)
    data: dict[str, Any] = {"first": old.ref, "second": new.ref, **found}
    changed: list[list[Cell]] = [[c["what"], c["before"], c["after"]] for c in found["changes"]]
    blocks: list[Block] = [Table(["what", old.ref, new.ref], changed, title="Made otherwise", empty="made alike")]
    if found["notes"]:
        blocks.append(Text("\n".join(found["notes"]), tone="warn"))
    if found["comparison"]:
        columns = ["against", "its figure", new.ref, "difference", "from", "to", "p", "verdict"]
        blocks.insert(0, Table(columns, [comparison_row(old.ref, found["comparison"])], title=f"By {found['metric']}"))
    scores: list[list[Cell]] = [[s["metric"], s["first"], s["second"]] for s in found["scores"]]
    blocks.append(Table(["metric", old.ref, new.ref], scores, title=f"On {found['rows']}"))
    return Page(f"{new.ref} against {old.ref}: {_verdict(found)}", [_who(old, new), *blocks], data)


def _experiment(site: Site, name: str) -> Version:
    version = site.catalog.find(name, site.environment)
    if version.kind != "experiment":
        raise BadInput(f"{version.ref} is of the kind {version.kind}", next="name a version of an experiment")
    return version


def _verdict(found: Mapping[str, Any]) -> str:
    return found["comparison"]["verdict"] if found["comparison"] else "not comparable"


def _who(old: Version, new: Version) -> Facts:
    return Facts(
        [(each.ref, f"{each.record['estimator']}, knew the data up to {each.record['cut_off']}") for each in (old, new)]
    )
