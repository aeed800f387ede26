"""What a page of the manual shows, in pieces that can be run: Python, commands with their output, excerpts of files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One fenced block; `mark` is the comment right above it: `file: PATH`, `from: PATH` or `add to: PATH`."""

    language: str
    text: str
    mark: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line after `$`, and what the page shows of its answer."""

    words: list[str]
    shown: list[str]

    @property
    def line(self) -> str:
        return shlex.join(self.words)


def pages() -> list[Path]:
    """Return every page of the manual."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(m["language"], m["text"], m["mark"] or "", text[: m.start()].count("\n") + 1)
        for m in _BLOCK.finditer(text)
    ]


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a console block; a line that ends with a backslash goes on."""
    for part in re.split(r"^\$ ", block.text.replace("\\\n", " "), flags=re.M)[1:]:
        first, *rest = part.splitlines()
        yield Command(shlex.split(first, comments=True), [line for line in rest if line.strip()])


def missing_lines(shown: list[str], output: str) -> list[str]:
    """Return the shown lines that do not stand in the output, in their order; `…` stands for anything, spaces do not count."""
    left = [_plain(line) for line in output.splitlines()]
    lost = []
    for line in shown:
        pattern = re.compile(".*".join(re.escape(_plain(piece)) for piece in line.split("…")))
        place = next((at for at, told in enumerate(left) if pattern.fullmatch(told)), None)
        if place is None:
            lost.append(line)
        else:
            left = left[place + 1 :]
    return lost


def _plain(line: str) -> str:
    return "".join(line.split()).strip("─")
