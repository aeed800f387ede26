"""Charts and graphs as SVG: ticks, gaps, thinning, places of boxes. What they look like is judged by eye, not here."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.show import Chart, Graph, Node, Series
from oito.web import axes, charts, graph, traces
from oito.web.layers import layout
from oito.web.ring import HEIGHT, WIDTH, ring

START = datetime(2013, 11, 1, tzinfo=UTC)
FINITE = st.floats(-1e9, 1e9, allow_nan=False)


def labels(axis: axes.Axis) -> list[str]:
    return [label for _, label in axis.ticks]


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=30))
def test_a_number_axis_holds_every_value_and_has_a_few_different_labels(values: list[float]) -> None:
    axis = axes.numbers(values)
    slack = 1e-6 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) and max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 9
    assert len(set(labels(axis))) == len(axis.ticks) or axis.high - axis.low < 1e-6 * max(map(abs, values))


def test_numbers_are_labeled_with_one_count_of_decimals() -> None:
    assert labels(axes.numbers([0.71, 0.7285])) == ["0.710", "0.715", "0.720", "0.725", "0.730"]
    assert labels(axes.numbers([0, 0.00002]))[1:3] == ["0.5e−5", "1.0e−5"]
    assert labels(axes.numbers([0, 61_000])) == ["0", "20k", "40k", "60k", "80k"]
    assert labels(axes.numbers([-4, 3])) == ["−4", "−2", "0", "2", "4"]


@pytest.mark.parametrize(
    ("span", "first", "context"),
    [
        (timedelta(minutes=20), ["1 Nov", "00:05", "00:10"], "1 Nov 2013, UTC"),
        (timedelta(hours=13), ["1 Nov", "03:00", "06:00"], "1 Nov 2013, UTC"),
        (timedelta(days=40), ["11 Nov", "25 Nov", "9 Dec"], "2013, UTC"),
        (timedelta(days=170), ["Nov 2013", "Dec", "Jan 2014"], "UTC"),
        (timedelta(days=3000), ["2014", "2016", "2018"], "UTC"),
    ],
)
def test_times_are_labeled_at_round_places(span: timedelta, first: list[str], context: str) -> None:
    axis = axes.times([START.timestamp(), (START + span).timestamp()])
    assert labels(axis)[:3] == first
    assert axis.context == context


@settings(deadline=None)
@given(st.floats(4e7, 4e9), st.integers(1, 10**10))
def test_a_time_axis_never_has_too_many_ticks_nor_one_outside(low: float, seconds: int) -> None:
    axis = axes.times([low, min(low + seconds, 7e9)])
    assert len(axis.ticks) <= 8
    assert all(axis.low <= place <= axis.high for place, _ in axis.ticks)


def test_a_missing_value_is_a_gap_and_not_a_zero() -> None:
    drawn = str(charts.figure(Chart("auc", [Series("live", [1, 2, 3, 4, 5], [1.0, 2.0, None, 2.0, float("nan")])])))
    lines = re.findall(r'<path class="o-line" fill="none" d="([^"]+)"', drawn)
    assert len(lines) == 2  # one line up to the gap, one point alone after it
    assert drawn.count("<circle") == 3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), FINITE), min_size=1, max_size=70), st.integers(900, 5000))
def test_thinning_keeps_ends_extremes_and_order(some: list[float | None], count: int) -> None:
    y = (some * count)[:count]
    kept = traces.thin(y)
    known = [value for value in y if value is not None]
    left = [y[index] for index in kept if y[index] is not None]
    assert len(kept) <= 800 and kept == sorted(set(kept))
    if known:
        assert (min(known), max(known), known[0], known[-1]) == (
            min(filter_(left)),
            max(filter_(left)),
            left[0],
            left[-1],
        )


def filter_(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def test_a_million_points_become_a_small_drawing_with_the_outlier_in_it() -> None:
    y = [1.0] * 1_000_000
    y[777_777] = 42.0
    drawn = str(charts.figure(Chart("latency", [Series("ms", range(1_000_000), y)]), scripted=True))
    assert len(drawn) < 60_000
    assert "1 to 42, last 1" in drawn


def test_intervals_are_a_band_around_lines_and_whiskers_on_points() -> None:
    around = Series("share", [1, 2, 3], [2, 3, 4], [1, 2, 3], [3, 4, 5])
    points = Series("share", [1, 2, 3], [2, 3, 4], [1, 2, 3], [3, 4, None], mark="point")
    assert str(charts.figure(Chart("a", [around]))).count("o-band") == 1
    assert str(charts.figure(Chart("a", [points]))).count("o-whisker") == 2


def test_a_legend_stands_only_where_there_is_something_to_tell_apart() -> None:
    one, two = Series("a", [1, 2], [1, 2]), Series("b", [1, 2], [2, 1], mark="step")
    assert "o-legend" not in charts.figure(Chart("x", [one]))
    assert charts.figure(Chart("x", [one, two])).count("</li>") == 2


def test_rule_and_diagonal_are_drawn_and_x_and_y_share_the_span() -> None:
    drawn = charts.figure(Chart("roc", [Series("a", [0, 1], [0, 0.5])], rule=0.25, diagonal=True))
    assert drawn.count("o-rule") == 2
    assert "<title>x = y</title>" in drawn and "<title>0.25</title>" in drawn


def test_long_names_become_rows_and_short_ones_stand_side_by_side() -> None:
    long = Chart("psi", [Series("psi", [f"a long column name {n}" for n in range(5)], [1, 2, 3, 4, 5], mark="bar")])
    short = Chart("psi", [Series("psi", ["EWR", "JFK"], [1, 2], mark="bar")])
    assert "o-row" in charts.figure(long)
    assert "o-row" not in charts.figure(short)


def test_more_rows_than_fit_are_counted() -> None:
    names = [f"column number {n}" for n in range(75)]
    assert "and 15 more" in charts.figure(Chart("psi", [Series("psi", names, [1.0] * 75, mark="bar")]))


def test_texts_with_dates_are_times() -> None:
    assert traces.of(Chart("t", [Series("a", ["2013-11-01T00:00:00.000000Z", "2013-11-02"], [1, 2])])).kind == "time"
    assert traces.of(Chart("t", [Series("a", ["2013-11-01", "never"], [1, 2])])).kind == "names"


@pytest.mark.parametrize(
    "series", [[], [Series("a", [], [])], [Series("a", [1], [None])], [Series("a", ["x"], [None])]]
)
def test_a_chart_without_points_says_so(series: list[Series]) -> None:
    assert "nothing to draw yet" in charts.figure(Chart("empty", series))


@pytest.mark.parametrize("mark", ["line", "bar", "point", "step"])
@pytest.mark.parametrize(
    "xs", [[5], [5, 5], ["a", "b"], [START, START + timedelta(days=1)], [1e300, -1e300], [0, 1e-300]]
)
def test_no_choice_of_x_breaks_a_chart(mark: str, xs: list[object]) -> None:
    series = Series("a", xs, [0.0] * len(xs), mark=mark)  # type: ignore[arg-type] # the four words are right
    drawn = charts.figure(Chart("x", [series]), scripted=True)
    assert not re.search(r'="-?(nan|inf)', drawn)


edges_of = st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), max_size=70)


@settings(max_examples=60, deadline=None)
@given(edges_of)
def test_boxes_never_overlap_and_edges_run_right_but_for_circles(pairs: list[tuple[int, int]]) -> None:
    names = [str(n) for n in range(25)]
    edges = [(str(a), str(b)) for a, b in dict.fromkeys(pairs) if a != b]
    places = layout(names, edges, height=40, gap=10)
    for layer in set(places.layer.values()):
        column = sorted(places.y[name] for name in names if places.layer[name] == layer)
        assert all(below - above >= 50 - 1e-6 for above, below in pairwise(column))
    assert all(places.layer[a] < places.layer[b] for a, b in edges if a < b) or any(a > b for a, b in edges)
    assert all(len(places.bends[a, b]) == abs(places.layer[a] - places.layer[b]) - 1 for a, b in edges)


def test_two_hundred_boxes_are_drawn_with_every_arrow() -> None:
    nodes = [Node(f"n{n}", f"asset_{n}", to=f"/assets/{n}") for n in range(200)]
    edges = [(f"n{n // 2}", f"n{n}") for n in range(1, 200)]
    drawn = graph.figure(Graph("all", nodes, edges))
    assert drawn.count('class="o-edge') == 199 and drawn.count("<a href=") == 200


def test_the_loop_is_a_ring_inside_its_drawing_and_a_list_for_phones() -> None:
    around = ring(8, (200, 58))
    centers = [around.at(angle) for angle in around.angles]
    assert all(100 <= x <= WIDTH - 100 and 29 <= y <= HEIGHT - 29 for x, y in centers)
    assert not any(
        abs(x0 - x1) < 200 and abs(y0 - y1) < 58 for n, (x0, y0) in enumerate(centers) for x1, y1 in centers[n + 1 :]
    )
    names = [str(n) for n in range(8)]
    drawn = graph.figure(
        Graph("", [Node(n, n) for n in names], list(zip(names, names[1:] + names[:1], strict=True)), True)
    )
    assert drawn.count("</li>") == 8 and drawn.count('class="o-edge"') == 8


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_a_ring_of_any_size_can_be_drawn(count: int) -> None:
    names = [str(n) for n in range(count)]
    edges = [(a, b) for a in names for b in names]
    assert graph.figure(Graph("", [Node(n, n) for n in names], edges, True)).count("</li>") == count
