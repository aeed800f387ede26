"""Facts, tables, texts and forms as HTML. Every text is escaped by Markup; charts and graphs are drawn by their own files."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from markupsafe import Markup, escape

from oito.show import Badge, Cell, Describe, Facts, Field, Form, Link, Table, Text, cell_text, column_texts, is_numeric
from oito.web.addresses import is_safe
from oito.web.code import highlighted

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TICKS = re.compile(r"`([^`\n]+)`")
_NONE = Markup("")
_WRAPPED = frozenset({"bash", "sh", "shell", "text"})  # one line of these may be a whole screen wide
_LONG = 44  # letters beyond which a cell may take several lines


def cell(value: Cell, text: str | None = None) -> Markup:
    """Return one value; `text` is how it reads among others of its column."""
    written = cell_text(value) if text is None else text
    if isinstance(value, Link):
        return Markup('<a href="{}">{}</a>').format(value.to, written) if is_safe(value.to) else escape(written)
    if isinstance(value, Badge):
        return Markup('<span class="o-badge o-{}">{}</span>').format(value.tone, written)
    if value is None:
        return Markup('<span class="o-none">–</span>')
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return Markup('<time datetime="{}" title="{}">{}</time>').format(value, value, written)
    return escape(written)


def facts(block: Facts) -> Markup:
    pair = Markup("<div><dt>{}</dt><dd>{}</dd></div>")
    pairs = _joined(pair.format(name, cell(value)) for name, value in block.pairs)
    return _section(block.title, Markup('<dl class="o-facts">{}</dl>').format(pairs))


def table(block: Table) -> Markup:
    if not block.rows:
        return _section(block.title, Markup('<p class="o-empty">{}</p>').format(block.empty))
    columns = [[row[index] if index < len(row) else None for row in block.rows] for index in range(len(block.columns))]
    numeric = [is_numeric(column) for column in columns]
    head = Markup('<th scope="col"{}>{}</th>')
    heads = _joined(head.format(_number(is_n), name) for is_n, name in zip(numeric, block.columns, strict=True))
    drawn = [_column(column, is_n) for column, is_n in zip(columns, numeric, strict=True)]
    rows = _joined(Markup("<tr>{}</tr>\n").format(_joined(cells)) for cells in zip(*drawn, strict=True))
    whole = Markup(
        '<div class="o-scroll" tabindex="0" role="region" aria-label="{}">'
        '<table class="o-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>'
    )
    return _section(block.title, whole.format(block.title or "table", heads, rows))


def text(block: Text) -> Markup:
    tone = Markup("") if block.tone == "plain" else Markup(" o-{}").format(block.tone)
    if block.language:
        wraps = Markup(" o-wrap") if block.language in _WRAPPED else _NONE
        code = Markup('<pre class="o-code{}{}" tabindex="0"><code>{}</code></pre>')
        return _section(block.title, code.format(tone, wraps, highlighted(block.text, block.language)))
    paragraphs = [piece for piece in block.text.split("\n\n") if piece.strip()]
    prose = _joined(Markup("<p>{}</p>").format(_prose(piece.strip("\n"))) for piece in paragraphs)
    return _section(block.title, Markup('<div class="o-prose{}">{}</div>').format(tone, prose))


def form(block: Form, *, describe: Describe, csrf: str) -> Markup:
    """Return a form that posts to `/actions/<name>`; a checkbox that is off is not sent."""
    fields = list(describe(block.action))
    known = {field.name for field in fields}
    hidden = _joined(_hidden(name, value) for name, value in block.values.items() if name not in known)
    inputs = _joined(_input(field, block) for field in fields)
    label = block.title or block.action.replace("_", " ").replace("-", " ").capitalize()
    whole = Markup(
        '<form class="o-form" method="post" action="/actions/{}">{}{}{}'
        '<button class="o-button" type="submit">{}</button></form>'
    )
    body = Markup('<div class="o-fields">{}</div>').format(inputs) if inputs else _NONE
    return whole.format(quote(block.action, safe=""), _hidden("csrf", csrf) if csrf else _NONE, hidden, body, label)


def _section(title: str, inside: Markup) -> Markup:
    head = Markup('<h2 class="o-title">{}</h2>').format(title) if title else _NONE
    return Markup('<section class="o-block">{}{}</section>').format(head, inside)


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def _number(numeric: bool) -> Markup:
    return Markup(' class="o-n"') if numeric else _NONE


def _column(values: Sequence[Cell], numeric: bool) -> list[Markup]:
    texts = column_texts(values)
    one = Markup("<td{}{}>{}</td>")
    kind = _number(numeric)
    kinds = [Markup(' class="o-long"') if len(written) > _LONG else kind for written in texts]
    sort = [Markup(' data-v="{}"').format(repr(value)) if numeric and value is not None else _NONE for value in values]
    cells = zip(values, kinds, sort, texts, strict=True)
    return [one.format(kind, key, cell(value, written)) for value, kind, key, written in cells]


def _prose(piece: str) -> Markup:
    return Markup(_TICKS.sub(r"<code>\1</code>", str(escape(piece))))


def _hidden(name: str, value: object) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(name, "" if value is None else value)


def _input(field: Field, block: Form) -> Markup:
    value = block.values.get(field.name, field.default)
    ident = f"{block.action}-{field.name}"
    required = Markup(" required") if field.required and field.kind != "bool" else _NONE
    about = Markup(' aria-describedby="{}-help"').format(ident) if field.help else _NONE
    attributes = Markup('id="{}" name="{}"{}{}').format(ident, field.name, required, about)
    label = field.name.replace("_", " ")
    if field.kind == "bool":
        box = Markup('<label class="o-check"><input type="checkbox" value="true" {}{}> {}</label>')
        control = box.format(attributes, Markup(" checked") if value in (True, "true", "yes") else _NONE, label)
    else:
        star = Markup(' <span class="o-required" title="required">*</span>') if field.required else _NONE
        named = Markup('<label for="{}">{}{}</label>').format(ident, label, star)
        control = named + (
            _select(field, value, attributes) if field.kind == "choice" else _line(field, value, attributes)
        )
    help_ = Markup('<small id="{}-help">{}</small>').format(ident, field.help) if field.help else _NONE
    return Markup('<div class="o-field">{}{}</div>').format(control, help_)


def _line(field: Field, value: object, attributes: Markup) -> Markup:
    kinds = {"int": 'type="number" step="1"', "float": 'type="number" step="any"', "text": 'type="text"'}
    return Markup('<input {} {} value="{}">').format(
        Markup(kinds[field.kind]), attributes, "" if value is None else value
    )


def _select(field: Field, value: object, attributes: Markup) -> Markup:
    option = Markup('<option value="{}"{}>{}</option>')
    empty = [] if field.required or value is not None else [option.format("", _NONE, "–")]
    chosen = [Markup(" selected") if str(value) == choice else _NONE for choice in field.choices]
    options = [option.format(c, mark, c) for c, mark in zip(field.choices, chosen, strict=True)]
    return Markup("<select {}>{}</select>").format(attributes, _joined(empty + options))
