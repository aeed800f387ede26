"""What a person may do with a data set: look at rows, checks and columns, and hold two versions against each other."""

from __future__ import annotations

from oito.catalog import versions
from oito.catalog.records import Version
from oito.datasets import panels
from oito.errors import UnknownVersion
from oito.flow.action import action
from oito.flow.site import ROWS, Site
from oito.show import Block, Facts, Page, Table, Text


@action("dataset compare", group="datasets")
def compare(site: Site, before: str, after: str) -> Page:
    """Show what differs between two versions: columns, rows by their key, and profiles.

    Args:
        before: a version, such as departures:v7 or departures@production.
        after: the version to hold against it.
    """
    from oito.datasets import compare as comparing

    old, new = (site.catalog.find(name, site.environment) for name in (before, after))
    found = comparing.compare(site, old, new)
    how = (
        f"rows matched by {', '.join(found.key)}"
        if found.key
        else "rows matched as wholes: no key names one row in both"
    )
    blocks: list[Block] = [
        Facts(
            (
                ("before", found.before), ("after", found.after), ("rows before", found.rows[0]),
                ("rows after", found.rows[1]), ("added", found.added), ("removed", found.removed),
                ("changed", found.changed), ("how", "the contents are equal" if found.is_same else how),
            )
        )
    ]  # fmt: skip
    if found.columns:
        blocks.append(Table(("column", "type before", "type after"), found.columns, "Columns"))
    if found.changes:
        blocks.append(Table(("column", "changed rows"), list(found.changes.items()), "Changed columns"))
    if found.profiles:
        blocks.append(Table(("column", "figure", "before", "after"), found.profiles, "Profiles"))
    blocks += [panels.rows_table(rows, f"First {word} rows") for word, rows in found.samples.items() if rows]
    return Page(f"{found.before} and {found.after}", blocks, found.data())


@action("dataset rows", group="datasets")
def rows(site: Site, version: str, *, broken: bool = False, quarantine: bool = False, limit: int = 20) -> Page:
    """Show rows of a version: its own, those that broke a check, or those set aside.

    Args:
        version: a version, such as departures:v7; a bare name is the environment's, with --broken the newest broken one.
        broken: show the rows that broke a check, with which one.
        quarantine: show the rows that were set aside, with the reason.
        limit: how many rows.
    """
    found = _broken(site, version) if broken else site.catalog.find(version, site.environment)
    name = "broken" if broken else "quarantine" if quarantine else ROWS
    shown = panels.first_rows(site, found, name, limit) if name in found.tables else []
    word = {"broken": "rows that broke a check", "quarantine": "rows set aside", ROWS: "rows"}[name]
    blocks: list[Block] = [panels.checks_table(found)] if broken else []
    blocks.append(
        panels.rows_table(shown, f"First {len(shown)} {word}") if shown else Text(f"{found.ref} has no {word}")
    )
    return Page(f"{found.ref}: {word}", blocks, {"version": found.ref, "table": name, "rows": shown, "next": None})


@action("dataset checks", group="datasets")
def checks(site: Site, version: str) -> Page:
    """Show what became of each check of a version, with the first rows that broke it.

    Args:
        version: a version, such as departures:v7 or departures.
    """
    found = site.catalog.find(version, site.environment)
    told = found.record.get("checks", [])
    return Page(
        f"Checks of {found.ref}",
        [panels.checks_table(found), *panels.samples(told)],
        {"version": found.ref, "state": found.state, "checks": told},
    )


@action("dataset profile", group="datasets")
def profile(site: Site, version: str) -> Page:
    """Show what each column of a version holds.

    Args:
        version: a version, such as departures:v7 or departures.
    """
    found = site.catalog.find(version, site.environment)
    told = found.record.get("profile")
    blocks = [panels.columns_table(told)] if told else [Text(f"{found.ref} has no profile: it is no data set")]
    return Page(f"Columns of {found.ref}", blocks, {"version": found.ref, "profile": told})


def _broken(site: Site, written: str) -> Version:
    """Return the version that is named, or the newest broken one of an asset.

    Raises:
        UnknownVersion: no version of the asset is broken.
    """
    if ":" in written or "@" in written:
        return site.catalog.find(written, site.environment)
    found = [each for each in versions.listed(site.catalog.rows, written, limit=1000) if each.state == "broken"]
    if not found:
        site.catalog.find(written, site.environment)  # says what is known when the name itself is wrong
        raise UnknownVersion(f"no version of {written} is broken", next=f"oito dataset checks {written}")
    return found[0]
