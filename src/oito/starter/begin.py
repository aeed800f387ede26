"""Begins a project in a folder: reads the table, writes the module, and loses nothing that is there already."""

from __future__ import annotations

import shutil
from datetime import datetime
from glob import escape
from pathlib import Path

from oito.clock import text as moment_text
from oito.errors import BadInput, Refused
from oito.show import Block, Facts, Page, Text
from oito.sources.readers import news
from oito.sources.spec import FilesReader
from oito.starter import example, text
from oito.starter.table import Guess, guessed

NULLS = ("", "NA")  # as the source of the new project reads the file


def begin(folder: Path, *, data: str, label: str, time: str, entity: str, now: datetime) -> Page:
    """Write a project for the table `data` (a made-up one when it is empty), and return what comes next.

    Raises:
        Refused: the folder has a project already.
        BadInput: the table is not there, or its columns cannot be what they are named for.
    """
    taken = [name for name in ("project.py", "oito.toml") if (folder / name).exists()]
    if taken:
        raise Refused(
            f"{folder} has a project already", known=", ".join(taken), next="name another folder: oito init FOLDER"
        )
    place = _place(folder, data)
    if data:
        guess = _read(Path(data), label=label, time=time, entity=entity, now=now)
    else:
        _write(folder / place, example.orders(now))
        guess = _read(folder / place, label=label, time=time, entity=entity, now=now)
    if data and not (folder / place).exists():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data, folder / place)
    made = text.files(guess, data=place, now=now)
    for name, content in made.items():
        if not (folder / name).exists():
            _write(folder / name, content)
    return _told(folder, guess, place, made)


def _place(folder: Path, data: str) -> str:
    """Return the table's path in the project: where it stands when that is inside, else where it is copied to."""
    if not data:
        return f"data/{example.NAME}"
    path = Path(data)
    if not path.is_file():
        raise BadInput(
            f"there is no file {data}", where=str(Path.cwd()), next="--data takes a .csv, .tsv, .parquet or .jsonl file"
        )
    inside = path.resolve()
    if inside.is_relative_to(folder.resolve()):
        return inside.relative_to(folder.resolve()).as_posix()
    copy = folder / "data" / path.name
    if copy.exists() and not copy.samefile(path):
        raise Refused(f"{copy} is there already", next="name the file there with --data, or move it")
    return f"data/{path.name}"


def _read(path: Path, *, label: str, time: str, entity: str, now: datetime) -> Guess:
    reader = FilesReader(escape(path.name), NULLS)
    batch = news(path.parent.resolve(), reader, (), now=moment_text(now), is_whole=True, place=str(path))
    assert batch is not None, "there is a file, and nothing was read before"
    return guessed(batch.rows, label=label, time=time, entity=entity, now=now)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _told(folder: Path, guess: Guess, place: str, made: dict[str, str]) -> Page:
    here = "" if folder.resolve() == Path.cwd() else f"cd {folder}\n"
    commands = ["oito run", 'oito release production --message "first"', "oito serve"]
    facts = Facts(
        [
            ("asked", f"{guess.label} ({guess.task})"),
            ("named by", guess.entity or "the row's number, as no column is a key"),
            ("at", guess.time or "one moment for all rows, as no column tells the time"),
            ("inputs", len(guess.inputs)),
            ("left out", ", ".join(guess.left_out) or "nothing"),
            ("rows", guess.rows),
            ("written", ", ".join([*made, place])),
        ]
    )
    after = "The first makes everything, the second gives it to production, the third answers there. `oito up` opens the pages."
    data = {
        "folder": str(folder), "label": guess.label, "task": guess.task, "entity": guess.entity or None,
        "time": guess.time or None, "inputs": list(guess.inputs), "left_out": list(guess.left_out), "rows": guess.rows,
        "files": [*made, place], "next": commands,
    }  # fmt: skip
    blocks: list[Block] = [facts, Text(here + "\n".join(commands), title="Next", language="text"), Text(after)]
    return Page(f"{folder.resolve().name} begins", blocks, data)
