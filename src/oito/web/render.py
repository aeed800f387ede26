"""A page as HTML: the whole document, or one block for a notebook. What the blocks look like stands in their own files."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from oito.show import Block, Chart, Describe, Facts, Field, Form, Graph, Link, Page, Table, Text
from oito.web import blocks, charts, graph
from oito.web.addresses import is_safe

_HERE = Path(__file__).parent
STATIC = {
    "blocks.css": "text/css; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "oito.js": "text/javascript; charset=utf-8",
}
"""The files a page asks for below `/static/`, with their content types."""

CSP = "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
"""The content security policy every page from `html` keeps to."""


def html(
    page: Page,
    *,
    active: str = "",
    environment: str = "",
    nav: Sequence[Link] = (),
    csrf: str = "",
    describe: Describe | None = None,
    twin: str = "",
) -> str:
    """Return the whole document of a page.

    Args:
        active: the `to` of the navigation entry this page belongs to.
        environment: the environment that is looked at; shown in the head.
        csrf: sent back by every form as the hidden field `csrf`.
        describe: what an action can be told; without it a form sends just its values.
        twin: the address of the same page as JSON.

    Example:
        >>> "<h1>flights</h1>" in html(Page("flights", [Text("336,776 rows")], {}))
        True
    """

    def draw(block: Block) -> Markup:
        if isinstance(block, Form):
            return blocks.form(block, describe=describe or _nothing, csrf=csrf)
        return charts.figure(block, scripted=True) if isinstance(block, Chart) else _static(block)

    body = _arranged(page.blocks, draw)
    links = [link for link in nav if is_safe(link.to)]
    return _layout().render(
        title=page.title,
        body=body,
        active=active,
        environment=environment,
        nav=links,
        twin=twin if is_safe(twin) else "",
        address=_address,
    )


def fragment(block: Block | Page) -> str:
    """Return one block, or all of a page, as HTML that brings its own style and needs no script, for a notebook.

    Example:
        >>> fragment(Text("fresh")).startswith('<div class="oito"><style>')
        True
    """
    if isinstance(block, Page):
        title = Markup('<h2 class="o-head">{}</h2>').format(block.title)
        inside = title + _arranged(block.blocks, _static)
    else:
        inside = _static(block)
    style = Markup(static("blocks.css").decode())
    return str(Markup('<div class="oito"><style>{}</style>{}</div>').format(style, inside))


@cache
def static(name: str) -> bytes:
    """Return the bytes of one of the `STATIC` files.

    Raises:
        KeyError: no such file; the name is never joined to a path.
    """
    if name not in STATIC:
        raise KeyError(name)
    return (_HERE / name).read_bytes()


def _address(name: str) -> str:
    """Return where a browser finds a static file; the digest lets it keep the file until it changes."""
    return f"/static/{name}?v={hashlib.sha256(static(name)).hexdigest()[:12]}"


@cache
def _layout() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((_HERE / "layout.html").read_text("utf-8"))


def _nothing(_action: str) -> Sequence[Field]:
    return ()


def _arranged(page_blocks: Sequence[Block], draw: Callable[[Block], Markup]) -> Markup:
    """Return the blocks in order; charts, and forms, that follow each other stand side by side."""
    parts = []
    for kind, run in groupby(page_blocks, key=type):
        drawn = Markup("").join(map(draw, run))
        side_by_side = {Chart: "o-charts", Form: "o-forms"}.get(kind)
        parts.append(Markup('<div class="{}">{}</div>').format(side_by_side, drawn) if side_by_side else drawn)
    return Markup("\n").join(parts)


def _static(block: Block) -> Markup:
    match block:
        case Facts():
            return blocks.facts(block)
        case Table():
            return blocks.table(block)
        case Text():
            return blocks.text(block)
        case Chart():
            return charts.figure(block)
        case Graph():
            return graph.figure(block)
        case Form():  # a notebook has no session to post with
            return Markup("")
