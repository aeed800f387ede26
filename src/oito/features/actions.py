"""What a person may do with feature views: look values up, and prove that online and offline agree."""

from __future__ import annotations

from oito.errors import UnknownEntity
from oito.flow.action import action
from oito.flow.site import Site
from oito.names import duration
from oito.show import Cell, Facts, Page, Table


@action("features get", page="/features/{view}/values/{entity}", group="features")
def get(site: Site, view: str, entity: str) -> Page:
    """Show the features of one entity as an endpoint would use them now.

    Args:
        view: the feature view.
        entity: the values of its entity columns, comma between them.
    """
    from oito.features.online import Online
    from oito.features.shelves import online_path, shelf_of

    version = site.catalog.find(view, site.environment)
    schema = dict(version.tables["rows"]["schema"]) if "rows" in version.tables else {}
    key = [
        int(text) if "Int" in schema.get(name, "") else text
        for name, text in zip(version.record["entity"], entity.split(","), strict=False)
    ]
    ttl = version.record["ttl"]
    online = Online(online_path(site))
    try:
        row = online.read(shelf_of(version), key, at=site.now(), ttl=duration(ttl) if ttl else None)
    finally:
        online.close()
    if row is None:
        raise UnknownEntity(
            f"{view} knows nothing usable of {entity!r}",
            known=f"entity: {', '.join(version.record['entity'])}",
            next=f"oito show {view}",
        )
    pairs: list[tuple[str, Cell]] = [("as of", row.event_at.isoformat()), *row.values.items()]
    return Page(
        f"{view} of {entity}",
        [Facts(pairs)],
        {"view": view, "entity": key, "as_of": row.event_at.isoformat(), "values": row.values},
    )


@action("features parity", page="/features/{view}/parity", group="features")
def parity(site: Site, view: str) -> Page:
    """Compare every entity's online values with what the view says offline.

    Args:
        view: the feature view.
    """
    from oito.features import shelves

    compared, skewed = shelves.parity(site, site.catalog.find(view, site.environment))
    rows: list[list[Cell]] = [[str(s["entity"]), str(s["offline"]), str(s["online"])] for s in skewed[:50]]
    table = Table(["entity", "offline", "online"], rows, empty=f"all {compared} entities agree bit for bit")
    return Page(
        f"parity of {view}",
        [table],
        {"view": view, "compared": compared, "skewed": len(skewed), "samples": skewed[:50], "next": None},
    )
