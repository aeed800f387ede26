"""What a person may do with a design: look for leaks in what it would learn from."""

from __future__ import annotations

from oito.flow.action import action
from oito.flow.site import Site
from oito.show import Block, Cell, Facts, Page, Text


@action("model lint", group="models", page="/models/{asset}/lint")
def lint(site: Site, asset: str) -> Page:
    """Look for leaks in the data that a design would learn from now.

    Args:
        asset: a model design.
    """
    from oito.errors import BadInput
    from oito.models.design import Design
    from oito.models.panels import findings_table

    declared = site.project.asset(asset)
    if declared.kind.word != "model":
        raise BadInput(f"{asset} is a {declared.kind.word}, not a model", where=declared.place)
    design = Design(site, declared, site.catalog.resolve_all(site.environment))
    found = design.examined()
    pairs: list[tuple[str, Cell]] = [
        ("rows", found.frame.height), ("inputs", found.frame.width), ("leaks", len(found.leaks)),
        ("warnings", len(found.findings) - len(found.leaks)), ("labels", found.report["labels"]),
    ]  # fmt: skip
    blocks: list[Block] = [Facts(pairs), findings_table(found.findings)]
    if found.leaks:
        blocks.append(Text("Training refuses this data until the leaks are mended or excluded.", tone="bad"))
    data = {
        "asset": asset, "rows": found.frame.height, "inputs": found.frame.columns,
        "findings": [finding.data() for finding in found.findings], "report": dict(found.report),
    }  # fmt: skip
    count = len(found.leaks)
    title = f"{asset}: " + ("no leaks" if not count else "1 leak" if count == 1 else f"{count} leaks")
    return Page(title, blocks, data)
