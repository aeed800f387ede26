"""In which order people are asked: open ties first, then the uncertain rows, with a random share for honest evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from oito.catalog import answers
from oito.catalog.records import Version
from oito.errors import BadInput
from oito.flow.project import Asset
from oito.flow.site import Site
from oito.labels.spec import LabelsSpec
from oito.labels.votes import Ballot, ballots
from oito.names import did_you_mean

QUEUE = "queue"  # the table of a version with the rows that wait for people
SCORE = "score"
RANDOM_SHARE = 0.1


def order(questions: Sequence[str], *, seed: str, scores: Mapping[str, float] | None = None) -> list[tuple[str, str]]:
    """Return (item, reason) in the order to be asked; the reason is "random" or "uncertain".

    Every tenth place, from the first on, is drawn at random, so that a share of the answers tells of all rows and not
    only of hard ones. The draw hangs on the seed and the item alone: new rows do not shuffle old ones.

    Args:
        scores: a model's probability of an item, 0..1; near one half is uncertain. Items without one come by chance.

    Example:
        >>> order(["a", "b", "c"], seed="0", scores={"a": 0.9, "b": 0.5, "c": 0.6})
        [('c', 'random'), ('b', 'uncertain'), ('a', 'uncertain')]
    """
    every = round(1 / RANDOM_SHARE)
    by_chance = sorted(questions, key=lambda item: hashlib.sha256(f"{seed}/{item}".encode()).digest())
    place = {item: number for number, item in enumerate(by_chance)}
    known = [item for item in questions if scores and item in scores]
    by_doubt = sorted(known, key=lambda item: (abs((scores or {})[item] - 0.5), place[item]))
    taken: set[str] = set()
    found: list[tuple[str, str]] = []
    chance, doubt = iter(by_chance), iter(by_doubt)
    while len(found) < len(questions):
        turn = None if len(found) % every == 0 else _untaken(doubt, taken)
        item, reason = (turn, "uncertain") if turn is not None else (_untaken(chance, taken), "random")
        assert item is not None
        taken.add(item)
        found.append((item, reason))
    return found


def waiting(site: Site, asset: Asset, who: str = "") -> list[tuple[str, str]]:
    """Return (item, reason) of what `who` may be asked, in order; the reason is "tie", "random" or "uncertain".

    What `who` answered or skipped is left out. Without `who`, all that is open. A row that others answered stays until
    the next run takes their answers in, behind those nobody answered.
    """
    queue = _table(site, asset)
    score = pl.col(SCORE).cast(pl.Float64).fill_nan(None) if _has_score(queue) else pl.lit(None, pl.Float64)
    rows = queue.select("item", score.alias(SCORE)).collect()
    scores = dict(rows.drop_nulls().rows())
    cast = ballots(answers.listed(site.catalog.rows, asset.name, history=True))
    found = order(rows["item"].to_list(), seed=f"{site.settings.seed}/{asset.name}", scores=scores)
    left = [
        (item, "tie" if _is_tied(cast.get(item)) else reason)
        for item, reason in found
        if item not in cast or who not in cast[item].standing
    ]
    return sorted(left, key=lambda place: _urgency(cast.get(place[0])))


def rows_of(site: Site, asset: Asset, places: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the rows of places in the queue, each with its `item` and `reason`; no answer is ever part of a row."""
    wanted = [item for item, _ in places]
    rows = _table(site, asset).filter(pl.col("item").is_in(wanted)).collect().to_dicts()
    by_item = {row["item"]: row for row in rows}
    return [{**by_item[item], "reason": reason} for item, reason in places]


def known_item(site: Site, asset: Asset, written: str) -> str:
    """Return the item that `written` names: its whole name, or the entity alone where that has one question.

    Raises:
        BadInput: no question, or several of them, are named so.
    """
    version = site.catalog.find(asset.name, site.environment)
    known = known_items(site, asset, version)
    if written in known:
        return written
    fitting = sorted(item for item in known if item.rpartition("@")[0] == written)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadInput(f"{written!r} names {len(fitting)} questions", known=", ".join(fitting[:5]), next="add the time")
    raise BadInput(
        f"{asset.name} asks nothing about {written!r}",
        known=f"{len(known)} questions are open or answered",
        next=did_you_mean(written, sorted(known)[:1000]) or f"oito label next {asset.name}",
    )


def known_items(site: Site, asset: Asset, version: Version) -> set[str]:
    """Return every question that may be answered: those that wait in a version, and those that have an answer."""
    waiting_items: list[str] = site.table(version, QUEUE).select("item").collect()["item"].to_list()
    return {*waiting_items, *(answer.item for answer in answers.listed(site.catalog.rows, asset.name))}


def asking(site: Site, name: str) -> tuple[Asset, LabelsSpec]:
    """Return a label set that asks people.

    Raises:
        UnknownAsset: there is none of that name.
        BadInput: it asks nobody.
    """
    asset = site.project.asset(name)
    if isinstance(asset.spec, LabelsSpec) and asset.spec.asks_people:
        return asset, asset.spec
    asks = [each.name for each in site.project.assets.values() if getattr(each.spec, "asks_people", False)]
    raise BadInput(
        f"{name} does not ask people",
        where=asset.place,
        known=f"asking are: {', '.join(asks) or 'none'}",
        next="declare it with @oito.labels(…, asks_people=True, classes=(…))",
    )


def _table(site: Site, asset: Asset) -> pl.LazyFrame:
    rows: pl.LazyFrame = site.table(site.catalog.find(asset.name, site.environment), QUEUE)
    return rows


def _has_score(queue: pl.LazyFrame) -> bool:
    dtype = queue.collect_schema().get(SCORE)
    return dtype is not None and dtype.is_numeric()


def _untaken(items_left: Any, taken: set[str]) -> str | None:
    return next((item for item in items_left if item not in taken), None)


def _is_tied(ballot: Ballot | None) -> bool:
    return ballot is not None and ballot.is_tied


def _urgency(ballot: Ballot | None) -> int:
    """Ties first, then what nobody answered, then what only waits for the next run."""
    if _is_tied(ballot):
        return 0
    return 2 if ballot and ballot.decision else 1
