"""Answers as JSON lines, out and in. Each line is checked before any is kept; what answers mean is votes.py's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from oito.catalog.records import Answer
from oito.clock import moment, text
from oito.errors import BadInput
from oito.labels.votes import UNDONE
from oito.names import did_you_mean

_FIELDS = ("item", "label", "who", "at", "note")
_SHOWN = 20


@dataclass(frozen=True)
class Line:
    """One answer read from a file; a label of None is a skip."""

    item: str
    label: str | None
    who: str
    at: str
    note: str


def path_in(root: Path, file: str) -> Path:
    """Return the path of a file of answers inside the project folder: a page's form may name it, so no other file is touched.

    Raises:
        BadInput: it lies elsewhere, or its name does not end in `.jsonl`.

    Example:
        >>> path_in(Path("/project"), "answers.jsonl").name
        'answers.jsonl'
    """
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()) or path.suffix != ".jsonl":
        known = "answers are kept in files of JSON lines inside the project folder"
        raise BadInput(f"{file!r} cannot hold answers", where=str(root), known=known, next='write "answers.jsonl"')
    return path


def lines(history: Sequence[Answer]) -> str:
    """Return every answer as one JSON object per line, oldest first, so that reading them again gives the same history."""
    return "".join(
        json.dumps({name: getattr(answer, name) for name in _FIELDS}, ensure_ascii=False) + "\n" for answer in history
    )


def parsed(written: str, *, items: Collection[str], classes: Sequence[str], who: str, now: datetime) -> list[Line]:
    """Return the answers of a file of JSON lines; empty lines are skipped.

    Args:
        items: the questions that may be answered; classes: the labels that may be given.
        who, now: stand in where a line names nobody or no moment.

    Raises:
        BadInput: lines that are no answers, each by its number, with what is wrong with it; nothing is read then.

    Example:
        >>> parsed('{"item": "7@", "label": "yes"}', items=["7@"], classes=["yes", "no"], who="ann", now=moment("2024-01-01"))
        [Line(item='7@', label='yes', who='ann', at='2024-01-01T00:00:00.000000Z', note='')]
    """
    found, wrong = [], []
    for number, raw in enumerate(written.splitlines(), 1):
        if not raw.strip():
            continue
        try:
            line = _line(json.loads(raw), who, now)
            faults = list(_faults(line, items, classes, now))
        except (ValueError, TypeError) as error:
            faults = [getattr(error, "what", None) or f"no JSON object: {error}"]
        else:
            found.append(line)
        wrong += [f"line {number}: {fault}" for fault in faults]
    if wrong:
        more = [f"… and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise BadInput(
            f"{len(wrong)} faults in the answers; none was kept",
            where="\n".join(wrong[:_SHOWN] + more),
            known='a line is {"item": "…", "label": "…" or null, "who": "…", "at": "…", "note": "…"}',
            next="mend these lines and import the file again",
        )
    return found


def _line(given: Any, who: str, now: datetime) -> Line:
    if not isinstance(given, dict):
        raise BadInput(f"{type(given).__name__} instead of an object")
    unknown = [name for name in given if name not in _FIELDS]
    if unknown:
        raise BadInput(f"unknown field {unknown[0]!r}, {did_you_mean(unknown[0], _FIELDS)}")
    for name in ("item", "label"):
        if name not in given:
            raise BadInput(f"the field {name!r} is missing")
    for name, value in given.items():
        if not isinstance(value, str) and not (name == "label" and value is None):
            raise BadInput(f"{name} is {value!r}, which is no text")
    at = text(moment(given["at"]) if given.get("at") else now)
    return Line(given["item"], given["label"], given.get("who") or who, at, given.get("note", ""))


def _faults(line: Line, items: Collection[str], classes: Sequence[str], now: datetime) -> Iterator[str]:
    if line.item not in items:
        yield f"nothing is asked about {line.item!r}"
    if line.label is not None and line.label not in classes:
        yield f"{line.label!r} is no class; {did_you_mean(line.label, classes)}"
    if line.at > text(now):
        yield f"at {line.at} lies in the future"
    if line.note == UNDONE and line.label is not None:
        yield f"the note {UNDONE!r} takes an answer back and goes with no label"
