"""Pages as HTML: escaping, safe addresses, forms, a strict content policy, and a real browser without a complaint."""

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.show import (
    Badge,
    Block,
    Chart,
    Facts,
    Field,
    Form,
    Graph,
    Link,
    Node,
    Page,
    Series,
    Table,
    Text,
    cell_text,
    column_texts,
)
from oito.web import addresses, charts, render

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`onload=alert(3)` {{ 7*7 }} ]]> \u2028 &lt;"


def everything(word: str, to: str) -> list[Block]:
    """Return one block of every kind with `word` in every text and `to` in every link."""
    series = Series(word, [1, 2], [1.0, 2.0], [0.5, None], [1.5, 2.5])
    named = [Series(word, [word, word + " second, with a longer name"], [1.0, 2.0], mark="bar")]
    nodes = [Node("a" + word, word, word, to=to), Node("b" + word, word, word, "bad", to)]
    edges = [("a" + word, "b" + word)]
    return [
        Facts([(word, word), (word, Link(word, to)), (word, Badge(word, "warn")), (word, None)], title=word),
        Table([word, "n"], [[word, 1], [Link(word, to), 2.5], [Badge(word), None]], title=word),
        Table([word], [], title=word, empty=word),
        *(Text(word, title=word, language=language) for language in ("", "python", "sql", "json", "bash", word)),
        Chart(word, [series, Series(word, [1, 2], [2, 1], mark="step")], x=word, y=word, rule=1.5, diagonal=True),
        Chart(word, named, x=word, y=word, rule=1.0),
        Chart(word, [Series(word, [word, "b"], [1, 2])]),
        Graph(word, nodes, edges),
        Graph(word, nodes, edges, loop=True),
        Form("do/../" + word, {word: word, "text": word, "choice": word}, title=word),
    ]


def describe(word: str, action: str) -> Sequence[Field]:
    fields = [Field("text", "text", True, word, word), Field("choice", "choice", help=word, choices=[word, "b"])]
    return [
        *fields,
        Field("count", "int", default=3 if word == "plain" else word),
        Field("flag", "bool", default=True, help=word),
    ]


class Seen(HTMLParser):
    """Every element of a document with its attributes, and the bodies of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]


def document(word: str, to: str) -> Seen:
    page = Page(word, everything(word, to), {})
    nav = [Link(word, to), Link("home", "/")]
    drawn = render.html(
        page, active=to, environment=word, nav=nav, csrf=word, describe=functools.partial(describe, word), twin=to
    )
    return Seen(drawn)


PLAIN = document("plain", "/plain")


def shape(seen: Seen) -> set[tuple[str, ...]]:
    return {(tag, *sorted(attributes)) for tag, attributes in seen.elements}


def assert_harmless(seen: Seen) -> None:
    names = {name for _, attributes in seen.elements for name in attributes}
    assert not any(name.startswith("on") or name == "style" for name in names)
    assert not any(tag in ("style", "iframe", "object", "img", "base") for tag, _ in seen.elements)
    for tag, attributes in seen.elements:
        if tag == "script":
            assert attributes.get("type") == "application/json" or (attributes["src"] or "").startswith("/static/")
    for address in (*seen.all("href"), *seen.all("src"), *seen.all("action")):
        assert addresses.is_safe(address) or address.startswith("data:image/svg+xml,")
    for script in seen.scripts:
        json.loads(script)


def test_hostile_texts_add_no_element_and_no_attribute_to_any_block() -> None:
    seen = document(HOSTILE, "/fine")
    assert_harmless(seen)
    tags = {tag for tag, _ in seen.elements}
    assert tags == {tag for tag, _ in PLAIN.elements}


@pytest.mark.parametrize(
    "to",
    [
        "javascript:alert(1)",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\n/x",
        "http://evil.example",
        "data:x",
        "",
    ],
)
def test_links_to_elsewhere_become_plain_text(to: str) -> None:
    seen = document("plain", to)
    assert_harmless(seen)
    assert to not in seen.all("href")


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_at_all_gets_through_as_markup(word: str, to: str) -> None:
    assert_harmless(document(word or " ", to))


@settings(deadline=None)
@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_embedded_json_says_the_same_and_cannot_end_its_element(value: object) -> None:
    written = str(charts.script_json(value))
    assert json.loads(written) == value
    assert "<" not in written and "\u2028" not in written


def test_a_form_posts_its_fields_with_the_token() -> None:
    fields = [
        Field("asset", "text", required=True, help="what to make"),
        Field("workers", "int", default=2),
        Field("share", "float"),
        Field("force", "bool", default=True),
        Field("engine", "choice", choices=["inline", "ray"], default="ray"),
    ]
    page = Page("p", [Form("run", {"asset": "flights", "run_id": "r-7"}, title="Run it")], {})
    drawn = render.html(page, csrf="token", describe=lambda action: fields if action == "run" else [])
    assert '<form class="o-form" method="post" action="/actions/run">' in drawn
    assert '<input type="hidden" name="csrf" value="token">' in drawn
    assert '<input type="hidden" name="run_id" value="r-7">' in drawn
    assert (
        '<label for="run-asset">asset <span class="o-required" title="required">*</span></label>'
        '<input type="text" id="run-asset" name="asset" required aria-describedby="run-asset-help" value="flights">'
        '<small id="run-asset-help">what to make</small>'
    ) in drawn
    assert '<input type="number" step="1" id="run-workers" name="workers" value="2">' in drawn
    assert '<input type="number" step="any" id="run-share" name="share" value="">' in drawn
    assert '<input type="checkbox" value="true" id="run-force" name="force" checked> force' in drawn
    assert '<option value="ray" selected>ray</option>' in drawn
    assert '<button class="o-button" type="submit">Run it</button>' in drawn


def test_the_navigation_marks_where_one_is() -> None:
    drawn = render.html(Page("p", [], {}), active="/b", nav=[Link("A", "/a"), Link("B", "/b")])
    assert drawn.count("aria-current") == 1
    assert '<a href="/b" aria-current="page">B</a>' in drawn


def test_numbers_stand_right_moments_are_short_and_missing_is_a_dash() -> None:
    page = Page("p", [Table(["n", "at"], [[12345, "2013-11-01T05:30:00.000000Z"], [None, None]])], {})
    drawn = render.html(page)
    assert '<td class="o-n" data-v="12345">12,345</td>' in drawn
    assert ">2013-11-01 05:30:00</time>" in drawn
    assert '<span class="o-none">–</span>' in drawn


def test_rows_shorter_than_the_head_are_filled() -> None:
    assert render.html(Page("p", [Table(["a", "b"], [["x"]])], {})).count("<td") == 2


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())))
def test_every_cell_of_a_column_reads_somehow(cells: list[str | int | float | bool | None]) -> None:
    texts = column_texts(cells)
    assert len(texts) == len(cells)
    assert all(cell_text(cell) for cell in cells if cell != "")


def test_a_fragment_brings_its_style_and_needs_no_script() -> None:
    page = Page("p", everything("plain", "/plain"), {})
    drawn = render.fragment(page)
    assert drawn.startswith('<div class="oito"><style>')
    assert "<script" not in drawn and "<form" not in drawn and "<link" not in drawn
    for block in page.blocks:
        assert "<script" not in render.fragment(block)


def test_static_files_are_named_by_content_and_nothing_else_is_given_out() -> None:
    assert set(render.STATIC) == {"blocks.css", "style.css", "oito.js"}
    with pytest.raises(KeyError):
        render.static("../render.py")
    for name in render.STATIC:
        assert "url(" not in render.static(name).decode() and "@import" not in render.static(name).decode()


def contrast(first: str, second: str) -> float:
    """Return the WCAG 2 contrast of two colors written #rrggbb."""

    def light(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(first), light(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1])
def test_colors_meet_wcag_aa_in_light_and_dark(theme: int) -> None:
    css = render.static("blocks.css").decode()
    lines = [line.strip() for line in css.splitlines() if line.strip().startswith("--") and "light-dark(" in line]
    colors = {
        line.split(":")[0].strip("- "): line.split("light-dark(")[1].split(")")[0].split(", ")[theme] for line in lines
    }
    for ink in ("ink", "soft", "accent"):
        assert contrast(colors[ink], colors["paper"]) >= 4.5
        assert contrast(colors[ink], colors["raised"]) >= 4.5
    assert contrast(colors["on-accent"], colors["accent"]) >= 4.5
    assert contrast(colors["accent"], colors["wash"]) >= 4.5
    for tone in ("good", "warn", "bad"):
        assert contrast(colors[tone], colors[f"{tone}-wash"]) >= 4.5
        assert contrast(colors[tone], colors["raised"]) >= 4.5
    for line in ("s2", "s3", "s4", "s5", "s6", "edge"):
        assert contrast(colors[line], colors["paper"]) >= 3


@pytest.fixture
def site() -> Iterator[str]:
    """A server of one page with every block, under the strict content policy."""
    described = functools.partial(describe, "plain")
    page = render.html(
        Page("All", everything("plain", "/plain"), {}), nav=[Link("Home", "/")], csrf="t", describe=described
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/static/").split("?")[0]
            body = render.static(name) if name in render.STATIC else page.encode()
            self.send_response(200)
            self.send_header("Content-Type", render.STATIC.get(name, "text/html; charset=utf-8"))
            self.send_header("Content-Security-Policy", render.CSP)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_browser_opens_a_page_with_every_block_and_its_console_stays_empty(site: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None and not os.environ.get("CI"):
        pytest.skip("no chromium on this machine")
    assert browser is not None, "CI must have chromium"
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --enable-logging=stderr --v=0"
    run = subprocess.run(
        [browser, *flags.split(), f"--user-data-dir={tmp_path}", "--virtual-time-budget=2000", "--dump-dom", site],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    assert "data-js" in run.stdout and 'class="o-readout"' in run.stdout and "Theme: auto" in run.stdout
