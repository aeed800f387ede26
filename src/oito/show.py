"""What there is to see: a page of plain blocks, and how one value reads. Drawing them is each face's own work.

An action or a panel returns a `Page`. The terminal prints it, the web lays it out, a notebook draws it, and `data` is
what `--json` and the `.json` twin answer. So a thing is described once and looks right everywhere.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True)
class Field:
    """One thing an action can be told; a form draws an input for it."""

    name: str
    kind: Literal["text", "int", "float", "bool", "choice"] = "text"
    required: bool = False
    default: Any = None
    help: str = ""
    choices: Sequence[str] = ()


Describe = Callable[[str], Sequence[Field]]  # what the action of that name can be told

Block = Facts | Table | Text | Chart | Graph | Form


@dataclass(frozen=True)
class Page:
    """A title, blocks to look at, and the same content as plain data (JSON types only)."""

    title: str
    blocks: Sequence[Block]
    data: Mapping[str, Any]


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Return data as JSON, as `--json` and every `.json` twin give it; NaN and infinities, which JSON lacks, are null.

    Example:
        >>> json_text({"auc": math.nan, "rows": (1, 2)})
        '{"auc": null, "rows": [1, 2]}'
    """
    return json.dumps(_plain(data), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")


def cell_text(cell: Cell) -> str:
    """Return a cell as people read it: thousands marked, four digits of a share, moments without their microseconds.

    Example:
        >>> cell_text(48210), cell_text(0.742131), cell_text(None), cell_text("2013-11-01T05:30:00.000000Z")
        ('48,210', '0.7421', '–', '2013-11-01 05:30:00')
    """
    if isinstance(cell, Link | Badge):
        return cell.text
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}" if abs(cell) >= 10_000 else str(cell)  # 2013 stays a year
    if isinstance(cell, float):
        return _float_text(cell)
    return _MOMENT.sub(r"\1 \2", str(cell))


def column_texts(cells: Sequence[Cell]) -> list[str]:
    """Return the cells of one column as people read them, its numbers with the same count of decimals.

    Example:
        >>> column_texts([0.5, 0.74213, None, 0.00000123])
        ['0.5000', '0.7421', '–', '1.23e-06']
    """
    floats = [cell for cell in cells if isinstance(cell, float) and math.isfinite(cell)]
    decimals = max(1, 4 - len(str(int(max(map(abs, floats), default=0.0))).lstrip("0")))
    if all(value.is_integer() for value in floats):
        decimals = 0

    def text(cell: Cell) -> str:
        alike = isinstance(cell, float) and math.isfinite(cell) and (cell == 0 or abs(cell) >= 10**-decimals)
        return f"{cell:,.{decimals}f}" if alike else cell_text(cell)

    return [text(cell) for cell in cells]


def is_numeric(cells: Sequence[Cell]) -> bool:
    """Return whether a column holds numbers and nothing else; a missing value is no objection."""
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in known)


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if abs(value) >= 1000:
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 10_000 else f"{value:,.1f}"
    return f"{value:.4g}"
