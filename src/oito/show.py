"""What there is to see: a page of plain blocks. Each face draws the same page its own way; none of that is here.

An action or a panel returns a `Page`. The terminal prints it, the web lays it out, a notebook draws it, and `data` is
what `--json` and the `.json` twin answer. So a thing is described once and looks right everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Tone = Literal["plain", "good", "warn", "bad", "quiet"]


@dataclass(frozen=True)
class Link:
    """A text that leads to an address of the web face, such as `/assets/flights`; other faces show the text."""

    text: str
    to: str


@dataclass(frozen=True)
class Badge:
    """A short state, coloured by its tone."""

    text: str
    tone: Tone = "plain"


Cell = str | int | float | bool | None | Link | Badge


@dataclass(frozen=True)
class Facts:
    """Names with values, such as the head of a page."""

    pairs: Sequence[tuple[str, Cell]]
    title: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    empty: str = "nothing yet"


@dataclass(frozen=True)
class Text:
    """Prose, or code when `language` says which."""

    text: str
    title: str = ""
    language: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Series:
    """One line, set of bars or cloud of points; `low` and `high` draw an interval around each y."""

    name: str
    x: Sequence[Any]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    mark: Literal["line", "bar", "point", "step"] = "line"


@dataclass(frozen=True)
class Chart:
    """Series over one x axis (numbers, datetimes or names) and one y axis."""

    title: str
    series: Sequence[Series]
    x: str = ""
    y: str = ""
    rule: float | None = None  # a horizontal line to compare with, such as a threshold
    diagonal: bool = False  # a line x = y, such as perfect calibration


@dataclass(frozen=True)
class Node:
    """A box of a graph."""

    id: str
    text: str
    note: str = ""
    tone: Tone = "plain"
    to: str = ""


@dataclass(frozen=True)
class Graph:
    """Boxes and arrows, drawn left to right; `loop` draws the nodes as one ring instead."""

    title: str
    nodes: Sequence[Node]
    edges: Sequence[tuple[str, str]]
    loop: bool = False


@dataclass(frozen=True)
class Form:
    """A way to carry out an action from a page: `action` is its name, `values` what is already filled in."""

    action: str
    values: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""


Block = Facts | Table | Text | Chart | Graph | Form


@dataclass(frozen=True)
class Page:
    """A title, blocks to look at, and the same content as plain data (JSON types only)."""

    title: str
    blocks: Sequence[Block]
    data: Mapping[str, Any]
