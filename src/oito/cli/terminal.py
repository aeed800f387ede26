"""A page in the terminal, colored when it is one and plain text when piped. Commands and their arguments are not read here.

Rich is imported at the top: import this file late, when there is a page to print.
"""

import io
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table as Grid
from rich.text import Text as Line

from oito.cli import sketches
from oito.show import (
    Badge,
    Block,
    Cell,
    Chart,
    Facts,
    Form,
    Graph,
    Link,
    Node,
    Page,
    Table,
    Text,
    Tone,
    cell_text,
    column_texts,
    is_numeric,
)

_STYLES: dict[Tone, str] = {"plain": "", "good": "green", "warn": "yellow", "bad": "red", "quiet": "dim"}
_SIGNS: dict[Tone, str] = {"plain": "•", "good": "✓", "warn": "!", "bad": "✗", "quiet": "·"}
_PLAIN_SIGNS: dict[Tone, str] = {"plain": "-", "good": "+", "warn": "!", "bad": "x", "quiet": "."}
_CONTROLS = {code: "�" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_LEAST_PIPED = 80


def print_page(page: Page, *, console: Console | None = None) -> None:
    """Print a page: title, then each block. Control characters in texts are shown, never obeyed.

    Example:
        >>> print_page(Page("flights", [Facts([("rows", 336776)])], {}), console=Console(width=80, no_color=True))
        flights
        <BLANKLINE>
        rows  336,776
    """
    out = console or Console(soft_wrap=False, highlight=False)
    parts: list[RenderableType] = [Line(_clean(page.title), style="bold")]
    for block in page.blocks:
        drawn = _block(block, out)
        if drawn is not None:
            parts += ["", drawn]
    if out.is_terminal:
        out.print(Group(*parts), highlight=False)
        return
    plain = Console(file=io.StringIO(), width=max(out.width, _LEAST_PIPED), color_system=None, legacy_windows=False)
    with plain.capture() as captured:
        plain.print(Group(*parts), highlight=False, crop=False)
    for row in captured.get().splitlines():
        out.file.write(row.rstrip() + "\n")  # a table pads its last column, which only troubles who reads a pipe


def _block(block: Block, console: Console) -> RenderableType | None:
    match block:
        case Facts():
            return _titled(block.title, _facts(block))
        case Table():
            return _titled(block.title, _table(block))
        case Text():
            return _titled(block.title, _text(block, console))
        case Chart():
            return _titled(block.title, _chart(block, console))
        case Graph():
            return _titled(block.title, _graph(block, console))
        case Form():  # the commands of the terminal are its forms
            return None


def _titled(title: str, inside: RenderableType) -> RenderableType:
    return Group(Line(_clean(title), style="bold cyan"), inside) if title else inside


def _cell(value: Cell, written: str | None = None) -> Line:
    text = _clean(cell_text(value) if written is None else written)
    if isinstance(value, Badge):
        return Line(text, style=_STYLES[value.tone])
    if isinstance(value, Link):
        return Line(text, style="cyan")
    return Line(text, style="dim" if value is None else "", overflow="fold")


def _facts(block: Facts) -> RenderableType:
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in block.pairs:
        grid.add_row(Line(_clean(name)), _cell(value))
    return grid


def _table(block: Table) -> RenderableType:
    if not block.rows:
        return Line(_clean(block.empty), style="dim")
    columns = [[row[index] if index < len(row) else None for row in block.rows] for index in range(len(block.columns))]
    grid = Grid(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1))
    for name, column in zip(block.columns, columns, strict=True):
        grid.add_column(Line(_clean(name)), justify="right" if is_numeric(column) else "left", overflow="fold")
    texts = [column_texts(column) for column in columns]
    cells = [[_cell(v, t) for v, t in zip(c, ts, strict=True)] for c, ts in zip(columns, texts, strict=True)]
    for row in zip(*cells, strict=True):
        grid.add_row(*row)
    return grid


def _text(block: Text, console: Console) -> RenderableType:
    text = _clean(block.text.strip("\n"))
    if block.language and console.is_terminal:
        return Padding(Syntax(text, block.language, theme="ansi_dark", background_color="default"), (0, 0, 0, 2))
    if block.language:
        return Line(text, no_wrap=True, overflow="ignore")  # code is piped to be pasted
    sign = f"{_sign(block.tone, console)} " if block.tone in ("good", "warn", "bad") else ""
    return Line(sign + text, style=_STYLES[block.tone], overflow="fold")


def _chart(block: Chart, console: Console) -> RenderableType:
    drawn = sketches.rows(block, width=console.width, ascii_only=console.options.ascii_only)
    if not drawn:
        return Line("nothing to draw yet", style="dim")
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold")
    grid.add_column(style="magenta", no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for name, picture, figures in drawn:
        grid.add_row(Line(_clean(name)), Line(picture), Line(_clean(figures)))
    return grid


def _graph(block: Graph, console: Console) -> RenderableType:
    if not block.nodes:
        return Line("no boxes yet", style="dim")
    names = {node.id: node.text for node in block.nodes}
    arrow = "<-" if console.options.ascii_only else "←"
    grid = Grid.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for node in block.nodes if block.loop else _ordered(block):
        before = ", ".join(names[a] for a, b in block.edges if b == node.id and a in names and a != b)
        head = Line(f"{_sign(node.tone, console)} ", style=_STYLES[node.tone]) + Line(_clean(node.text))
        grid.add_row(head, Line(_clean(node.note)), Line(_clean(f"{arrow} {before}" if before else "")))
    return grid


def _ordered(graph: Graph) -> Sequence[Node]:
    """Return the nodes so that each follows what leads to it; those in a circle keep their place at the end."""
    left = list(graph.nodes)
    known = {node.id for node in left}
    done: dict[str, Node] = {}
    while left:
        open_ = {b for a, b in graph.edges if a in known and a not in done and a != b}
        ready = [node for node in left if node.id not in open_] or left
        done.update((node.id, node) for node in ready)
        left = [node for node in left if node.id not in done]
    return list(done.values())


def _sign(tone: Tone, console: Console) -> str:
    return (_PLAIN_SIGNS if console.options.ascii_only else _SIGNS)[tone]


def _clean(text: str) -> str:
    return text.translate(_CONTROLS)
