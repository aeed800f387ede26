"""The command `oito repair`: what it did, as a page. It begins before the catalog can be opened; how repairs go is the flow's."""

from __future__ import annotations

from oito.eight import kinds
from oito.errors import OitoError
from oito.flow.project import Project
from oito.flow.site import Site
from oito.flow.upkeep import repair
from oito.show import Badge, Block, Cell, Facts, Page, Table, Text
from oito.workspace import Workspace


def repaired(workspace: Workspace, version: str, *, rows: bool) -> Page:
    """Repair the workspace's store and return what was done."""
    settings = workspace.settings
    built = repair.rebuilt(
        settings.home_folder, workspace.clock, who=settings.who, lease_s=settings.lease_s, rows=rows
    )  # fmt: skip
    site = _site(workspace)
    if version:
        mended = [repair.given_back(site, site.catalog.find(version, site.environment))]
    else:
        mended = list(repair.mended(site))
    return _page(built, mended)


def _site(workspace: Workspace) -> Site:
    """Return the site, also when the project cannot be loaded: repairs use stored source."""
    try:
        return workspace.site
    except OitoError:
        project = Project(workspace.root, {}, {kind.word: kind for kind in kinds()}, ())
        settings, root = workspace.settings, workspace.root
        return Site(project, workspace.catalog, workspace.files, settings, workspace.environment, root)


def _page(built: repair.Rebuilt | None, mended: list[repair.Mended]) -> Page:
    blocks: list[Block] = []
    if built is not None:
        facts: list[tuple[str, Cell]] = [
            ("because", built.why), ("versions", built.versions), ("releases", built.releases),
            ("transactions", built.transactions), ("the old file", built.aside or "was gone"),
        ]  # fmt: skip
        blocks.append(Facts(facts, title="The catalog was built again"))
        blocks.append(Text("\n".join(built.lost) if built.lost else "Nothing was lost."))
    table: list[list[Cell]] = [
        [each.what, Badge("good", "good") if each.is_good else Badge("lost", "bad"), each.outcome] for each in mended
    ]
    blocks.append(Table(["what", "", "outcome"], table, title="Stored bytes", empty="all stored bytes are whole"))
    bad = sum(not each.is_good for each in mended) + len(built.lost if built else ())
    done = built is not None or bool(mended)
    title = "nothing to repair" if not done else "repaired" if not bad else f"repaired, but for {bad} losses"
    data = {
        "catalog": vars(built) if built else None, "mended": [vars(each) for each in mended], "is_whole": not bad,
        "next": "oito check",
    }  # fmt: skip
    return Page(title, blocks, data)
