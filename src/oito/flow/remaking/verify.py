"""Whether cached steps deserve to be cached: some of them made again in a scratch place, and held against what is stored."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oito.catalog import versions
from oito.catalog.records import Version
from oito.errors import BadInput, NotReproduced, OitoError
from oito.flow.action import action
from oito.flow.partition import keys_of
from oito.flow.site import Site
from oito.show import Badge, Cell, Link, Page, Table, Tone

SAME, OTHER, IMPOSSIBLE = "same", "differs", "cannot be made"
_TONES: dict[str, Tone] = {SAME: "good", OTHER: "bad", IMPOSSIBLE: "warn"}


@dataclass(frozen=True)
class Verified:
    """What became of one step: `first` is where its results part (column and row, file and place), `why` what may be the cause."""

    version: str
    verdict: str
    first: str = ""
    why: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        return {"version": self.version, "verdict": self.verdict, "first": self.first, "why": list(self.why)}


@action("verify", writes=True)
def verify(site: Site, assets: list[str] | None = None, *, sample: str = "") -> Page:
    """Run some cached steps once more in a scratch place, and name those that are not deterministic, with where they differ.

    No version is written and no pointer moves; that it was done, and what was found, is an event. What the outside world
    said cannot be asked again, so sources, and labels that people give, are left out.

    Args:
        assets: only the steps of these; all of them are made when no sample is given.
        sample: how many steps, drawn by chance: a share such as 1%, or a number; of all assets it is 1%, and one at least.
    """
    from oito.flow.remaking.reproduction import is_external

    steps = [each for each in _steps(site, assets or []) if not is_external(site, each)]
    drawn = _drawn(steps, sample or ("100%" if assets else "1%"))
    found = []
    for number, version in enumerate(drawn, 1):
        site.tell(version.asset, f"step {number} of {len(drawn)}")
        found.append(_verified(site, version))
    bad = [each for each in found if each.verdict == OTHER]
    with site.catalog.change() as change:
        change.event(
            "verified", site.environment, steps=[each.version for each in found],
            differ={each.version: each.first for each in bad},
        )  # fmt: skip
    if bad:
        raise NotReproduced(
            f"{len(bad)} of {_counted(len(found))} {'is' if len(bad) == 1 else 'are'} not deterministic",
            where=bad[0].version,
            known="\n".join(line for each in bad[:6] for line in (f"{each.version} {each.first}", *each.why[:2])),
            next="give every random draw a seed, sort what has no order, and declare what the code reads by reads= or env=",
        )
    rows: list[list[Cell]] = [
        [
            Link(each.version, f"/versions/{each.version}"),
            Badge(each.verdict, _TONES[each.verdict]),
            "; ".join(each.why),
        ]
        for each in found
    ]
    table = Table(["version", "verdict", "note"], rows, empty="nothing is cached that could be made again")
    data = {"steps": [each.data() for each in found], "of": len(steps), "next": None}
    return Page(f"{_counted(len(found))} of {len(steps)} made again", [table], data)


def _steps(site: Site, assets: Sequence[str]) -> Iterator[Version]:
    """Yield what the environment's pointers stand for, a mapped asset's partitions one by one."""
    pointed = site.catalog.resolve_all(site.environment)
    for name in assets:
        site.project.asset(name)
    for name in site.project.assets:
        version = pointed.get(name)
        if version is None or version.state != "ok" or (assets and name not in assets):
            continue
        parts = [fact[3] for fact in keys_of(version).values()]
        if parts and all(parts):
            yield from versions.by_ids(site.catalog.rows, parts).values()
        else:
            yield version


def _drawn(steps: Sequence[Version], sample: str) -> list[Version]:
    """Return so many of the steps, in their order.

    Raises:
        BadInput: the sample is neither a share nor a number.
    """
    told = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", sample.strip())
    if told is None or (not told[2] and "." in told[1]):
        raise BadInput(f"the sample is {sample!r}", known="a share of the steps, 1%, or a number of them, 20")
    count = math.ceil(len(steps) * float(told[1]) / 100) if told[2] else int(told[1])
    chosen = random.sample(range(len(steps)), min(count, len(steps)))
    return [steps[place] for place in sorted(chosen)]


def _verified(site: Site, version: Version) -> Verified:
    from oito.flow.remaking.reproduction import reproduce

    try:
        again = reproduce(site, version)
    except OitoError as error:
        return Verified(version.ref, IMPOSSIBLE, why=(error.what,))
    if again.verdict == "differs":
        return Verified(version.ref, OTHER, again.differences[0], again.conditions)
    return Verified(version.ref, SAME, why=again.conditions)


def _counted(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"
