"""Pages in the terminal: plain when piped, colored when seen, nothing hostile obeyed."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from oito.cli.sketches import rows, sparkline
from oito.cli.terminal import print_page
from oito.show import Badge, Block, Chart, Facts, Form, Graph, Link, Node, Page, Series, Table, Text

DAYS = [datetime(2013, 11, 1, tzinfo=UTC) + timedelta(days=n) for n in range(30)]


def printed(*blocks: Block, width: int = 80, terminal: bool = False, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_page(Page("flights", blocks, {}), console=Console(file=file, width=width, force_terminal=terminal))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_a_piped_page_is_plain_text_without_trailing_blanks() -> None:
    text = printed(
        Facts([("rows", 336776), ("state", Badge("stale", "warn")), ("made", "2013-11-03T05:30:00.000000Z")]),
        Table(["check", "broke"], [["not_null(origin)", 0], [Link("age >= 0", "/checks"), 12]], title="Checks"),
    )
    assert text == (
        "flights\n"
        "\n"
        "rows   336,776\n"
        "state  stale\n"
        "made   2013-11-03 05:30:00\n"
        "\n"
        "Checks\n"
        "check              broke\n"
        "────────────────────────\n"
        "not_null(origin)       0\n"
        "age >= 0              12\n"
    )


def test_colors_appear_only_in_a_terminal() -> None:
    block = Facts([("state", Badge("failed", "bad"))])
    assert "\x1b[" in printed(block, terminal=True)
    assert "\x1b[" not in printed(block)


@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    wide = Table([f"column {n}" for n in range(9)], [["a rather long text in a cell"] * 9] * 3)
    names = [f"carrier_record.late_share_{n}d" for n in range(5)]
    chart = Chart("importance", [Series("drop", names, [0.1, 0.2, -0.3, None, 0.5], mark="bar")])
    text = printed(wide, chart, Text("word " * 80), width=width)
    assert max(map(len, text.splitlines())) <= width


def test_piped_code_keeps_its_lines_whole() -> None:
    line = "select " + ", ".join(f"column_{n}" for n in range(30))
    assert line in printed(Text(line, language="sql"))


def test_control_characters_are_shown_and_not_obeyed() -> None:
    hostile = "\x1b]0;owned\x07\x1b[31mred\x9b2J [bold]x[/bold]"
    text = printed(
        Facts([(hostile, hostile)], title=hostile),
        Table([hostile], [[hostile]], title=hostile),
        Text(hostile, title=hostile),
        Text(hostile, language="python"),
        Chart(hostile, [Series(hostile, [hostile], [1.0], mark="bar")]),
        Graph(hostile, [Node("a", hostile, hostile)], []),
    )
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert "[bold]x[/bold]" in text


def test_a_graph_lists_each_box_after_what_leads_to_it() -> None:
    nodes = [Node("c", "model", "v7", "good"), Node("a", "flights", "", "warn"), Node("b", "late", "", "bad")]
    text = printed(Graph("Lineage", nodes, [("a", "b"), ("b", "c"), ("a", "c")]))
    assert text.splitlines()[3:] == ["! flights", "✗ late         ← flights", "✓ model    v7  ← late, flights"]


def test_a_circle_of_boxes_is_still_listed() -> None:
    nodes = [Node("a", "one"), Node("b", "two")]
    assert "• one" in printed(Graph("", nodes, [("a", "b"), ("b", "a")]))


def test_a_chart_is_a_sparkline_with_its_figures() -> None:
    chart = Chart("AUC", [Series("live", DAYS, list(range(30)))], rule=20)
    assert printed(chart).splitlines()[3:] == [
        "live  ▁▁▁▁▂▂▂▂▃▃▃▄▄▄▄▅▅▅▅▆▆▆▇▇▇▇████  0 to 29, last 29",
        "from                                  2013-11-01 00:00 to 2013-11-30 00:00",
        "rule                                  20",
    ]


def test_a_missing_value_is_a_gap_in_the_sparkline() -> None:
    assert sparkline([1, None, 2], low=1, high=2, width=10) == "▁ █"


def test_an_outlier_survives_in_a_narrow_sparkline() -> None:
    y = [1.0] * 1000
    y[500] = 9.0
    assert "█" in sparkline(y, low=1, high=9, width=20)


def test_nothing_to_show_is_said() -> None:
    text = printed(Chart("a", []), Table(["x"], [], empty="no rows yet"), Graph("g", [], []), Form("run"))
    assert "nothing to draw yet" in text and "no rows yet" in text and "no boxes yet" in text
    assert "run" not in text


def test_a_terminal_without_unicode_gets_plain_letters() -> None:
    chart = Chart("psi", [Series("psi", ["a", "b"], [1.0, 2.0], mark="bar")])
    text = printed(chart, Graph("", [Node("a", "one", tone="good")], []), encoding="ascii")
    assert "##" in text and "+ one" in text


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.lists(st.one_of(st.none(), st.floats()), max_size=40))
def test_any_text_and_any_numbers_can_be_printed(word: str, y: list[float | None]) -> None:
    chart = Chart(word, [Series(word, list(range(len(y))), y), Series(word, [word] * len(y), y, mark="bar")])
    table = Table([word, "y"], [[word, value] for value in y])
    printed(Facts([(word, word)]), table, chart, Text(word, language="sql"), Graph(word, [Node(word, word)], []))
    assert all(len(row) == 3 for row in rows(chart, width=80))
