"""What a person may do with labels: answer, skip, take back, look at the queue, measure agreement, carry answers in and out."""

from __future__ import annotations

from typing import Any

from oito.catalog import answers
from oito.errors import BadInput
from oito.flow.action import action
from oito.flow.site import Site
from oito.labels import exchange
from oito.labels.panels import item_facts, plain, queue_table
from oito.names import did_you_mean
from oito.show import Block, Facts, Form, Page, Table, Text


@action("label next", group="labels", page="/labels/{asset}/next")
def show_next(site: Site, asset: str, *, who: str = "") -> Page:
    """Show the row to be labelled next, without what others said of it.

    Args:
        asset: a label set that asks people.
        who: the person who answers; by default the one that acts.
    """
    from oito.labels import queue

    found, spec = queue.asking(site, asset)
    left = queue.waiting(site, found, who or site.catalog.who)
    if not left:
        text = Text(f"Nothing is left to label. `oito run {asset}` takes the answers in.", tone="good")
        return Page(f"{asset}: nothing to label", [text], {"asset": asset, "item": None, "left": 0})
    row = queue.rows_of(site, found, left[:1])[0]
    form = Form("label give", {"asset": asset, "item": row["item"], "who": who}, title="Answer")
    blocks: list[Block] = [item_facts(row), Facts([("classes", ", ".join(spec.classes)), ("left", len(left))]), form]
    blocks.append(Form("label skip", {"asset": asset, "item": row["item"], "who": who}, title="Skip"))
    data = {"asset": asset, "item": row["item"], "row": plain(row), "classes": list(spec.classes), "left": len(left)}
    return Page(f"{asset}: what is {row['item']}?", blocks, data)


@action("label give", writes=True, group="labels")
def give(site: Site, asset: str, item: str, label: str, *, note: str = "", who: str = "") -> Page:
    """Answer one question; giving another answer later corrects it.

    Args:
        asset: a label set that asks people.
        item: the question as `oito label next` names it, or its entity alone where that has one question.
        label: one of the declared classes.
        note: what others should know about this answer.
        who: the person who answers; by default the one that acts.
    """
    from oito.labels import queue, votes

    found, spec = queue.asking(site, asset)
    name = queue.known_item(site, found, item)
    if label not in spec.classes:
        known = f"classes are {', '.join(spec.classes)}"
        raise BadInput(f"{label!r} is no class of {asset}", known=known, next=did_you_mean(label, spec.classes))
    if note == votes.UNDONE:
        raise BadInput(f"the note {note!r} is kept for answers that are taken back", next="oito label undo")
    _keep(site, asset, name, label, who=who, note=note, verb="labelled")
    return _after(site, asset, name, f"{name} is {label}", label, who)


@action("label skip", writes=True, group="labels")
def skip(site: Site, asset: str, item: str, *, who: str = "") -> Page:
    """Leave one question to others.

    Args:
        asset: a label set that asks people.
        item: the question as `oito label next` names it.
        who: the person who skips; by default the one that acts.
    """
    from oito.labels import queue

    found, _ = queue.asking(site, asset)
    name = queue.known_item(site, found, item)
    _keep(site, asset, name, None, who=who, note="", verb="skipped")
    return _after(site, asset, name, f"{name} is skipped", None, who)


@action("label undo", writes=True, group="labels")
def undo(site: Site, asset: str, *, who: str = "") -> Page:
    """Take back your newest answer or skip; what you had answered before counts again.

    Args:
        asset: a label set that asks people.
        who: the person whose answer it was; by default the one that acts.
    """
    from oito.labels import queue, votes

    queue.asking(site, asset)
    person = who or site.catalog.who
    cast = votes.ballots(answers.listed(site.catalog.rows, asset, history=True))
    mine = [ballot.standing[person] for ballot in cast.values() if person in ballot.standing]
    if not mine:
        raise BadInput(f"{person} has no answer in {asset} to take back", next=f"oito label next {asset}")
    newest = max(mine, key=lambda answer: answer.id)
    _keep(site, asset, newest.item, None, who=who, note=votes.UNDONE, verb="took back")
    return _after(site, asset, newest.item, f"{newest.item} is open again", None, who)


@action("label queue", group="labels", page="/labels/{asset}/queue")
def show_queue(site: Site, asset: str, *, who: str = "", limit: int = 20) -> Page:
    """List the rows that wait for people, in the order they are asked.

    Args:
        asset: a label set that asks people.
        who: leave out what this person answered or skipped; by default all that is open.
        limit: how many to show.
    """
    from oito.labels import queue

    found, _ = queue.asking(site, asset)
    left = queue.waiting(site, found, who)
    rows = queue.rows_of(site, found, left[:limit])
    data = {"asset": asset, "left": len(left), "queue": [plain(row) for row in rows], "next": None}
    return Page(f"{asset}: {len(left)} rows wait", [queue_table(rows)], data)


@action("label agreement", group="labels", page="/labels/{asset}/agreement")
def show_agreement(site: Site, asset: str) -> Page:
    """Show how far people agree beyond chance (Krippendorff's alpha: 1 all, 0 as by chance).

    Args:
        asset: a label set that asks people.
    """
    from oito.labels import agreement, queue, votes

    queue.asking(site, asset)
    cast = votes.ballots(answers.listed(site.catalog.rows, asset, history=True))
    found = agreement.krippendorff([ballot.labels for ballot in cast.values()])
    tied = sorted(item for item, ballot in cast.items() if ballot.is_tied)
    facts = Facts(
        [("alpha", found.alpha), ("95 % from", found.low), ("to", found.high), ("items of two people or more", found.items),
         ("answers to them", found.answers), ("ties", len(tied))]
    )  # fmt: skip
    told = Text("Above 0.8 is reliable, below 0.667 too little to conclude from (Krippendorff).")
    table = Table(["tied"], [[item] for item in tied[:20]], title="Ties", empty="no ties")
    return Page(f"Agreement on {asset}", [facts, told, table], {"asset": asset, **vars(found), "tied": tied})


@action("label export", writes=True, group="labels")
def export(site: Site, asset: str, file: str) -> Page:
    """Write every answer to a file of JSON lines, corrections and all.

    Args:
        asset: a label set that asks people.
        file: where to write, a name ending in .jsonl, relative to the project folder.
    """
    from oito.labels import queue

    queue.asking(site, asset)
    history = answers.listed(site.catalog.rows, asset, history=True)
    path = exchange.path_in(site.root, file)
    path.write_text(exchange.lines(history), encoding="utf-8")
    pairs = Facts([("file", str(path)), ("answers", len(history))])
    return Page(
        f"{len(history)} answers written", [pairs], {"asset": asset, "file": str(path), "answers": len(history)}
    )


@action("label import", writes=True, group="labels")
def import_answers(site: Site, asset: str, file: str, *, who: str = "") -> Page:
    """Take in answers from a file of JSON lines; one bad line keeps all of it out, and answers that are here already count once.

    Args:
        asset: a label set that asks people.
        file: where to read, a name ending in .jsonl, relative to the project folder.
        who: the person of lines that name nobody; by default the one that acts.
    """
    from oito.labels import queue

    found, spec = queue.asking(site, asset)
    items = queue.known_items(site, found, site.catalog.find(asset, site.environment))
    path = exchange.path_in(site.root, file)
    if not path.is_file():
        raise BadInput(f"there is no file {file}", known=f"looked in {site.root}")
    given = exchange.parsed(
        path.read_text(encoding="utf-8"), items=items, classes=spec.classes, who=who or site.catalog.who, now=site.now()
    )
    with site.catalog.change() as change:
        history = answers.listed(site.catalog.rows, asset, history=True)
        here = {(a.item, a.label, a.who, a.at, a.note) for a in history}
        new = [line for line in given if (line.item, line.label, line.who, line.at, line.note) not in here]
        for line in new:
            answers.insert(change.rows, asset, line.item, line.label, who=line.who, at=line.at, note=line.note)
        if new:
            change.event("imported labels", asset, file=file, answers=len(new))
    facts = Facts([("new", len(new)), ("here already", len(given) - len(new)), ("next", f"oito run {asset}")])
    return Page(
        f"{len(new)} answers taken in", [facts], {"asset": asset, "new": len(new), "known": len(given) - len(new)}
    )


def _keep(site: Site, asset: str, item: str, label: str | None, *, who: str, note: str, verb: str) -> None:
    with site.catalog.change() as change:
        person = who or change.who
        answers.insert(change.rows, asset, item, label, who=person, at=change.at, note=note)
        change.event(verb, asset, item=item, label=label, person=person)


def _after(site: Site, asset: str, item: str, title: str, label: Any, who: str) -> Page:
    from oito.labels import queue

    found, _ = queue.asking(site, asset)
    left = queue.waiting(site, found, who or site.catalog.who)
    following = left[0][0] if left else None
    facts = Facts([("left", len(left)), ("next question", following), ("take answers in", f"oito run {asset}")])
    data = {"asset": asset, "item": item, "label": label, "left": len(left), "following": following}
    blocks: list[Block] = [facts]
    if following:
        blocks.append(
            Form("label give", {"asset": asset, "item": following, "who": who}, title=f"What is {following}?")
        )
    return Page(title, blocks, data)
