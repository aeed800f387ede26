"""A chart as a plane: x to the right, y upwards, series as lines, steps, bars or points. Rows of names are not drawn here."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from oito.show import Chart, cell_text
from oito.web import axes
from oito.web.axes import Axis
from oito.web.traces import Point, Trace, Traces

WIDTH = 480
_RIGHT, _BOTTOM = 16, 26
_LETTER = 7.4  # units a digit of an axis label takes, with room for the larger letters of a phone
_DOTS_UP_TO = 32  # points of a line that still get a dot with a tooltip each


@dataclass(frozen=True)
class Plane:
    """Where values fall inside the drawing."""

    x: Axis
    y: Axis
    left: float
    top: float
    bottom: float
    height: float

    def at_x(self, value: float) -> float:
        return round(self.left + self.x.share(value) * (WIDTH - _RIGHT - self.left), 1)

    def at_y(self, value: float) -> float:
        return round(self.bottom - self.y.share(value) * (self.bottom - self.top), 1)


def plane_of(chart: Chart, drawn: Traces) -> Plane:
    """Return the plane that holds every point, interval and rule of the chart."""
    seen = drawn.seen()
    bars = any(trace.mark == "bar" for trace in drawn.traces)
    ys = [y for p in seen for y in (p.y, p.low, p.high) if y is not None]
    ys += [0.0] * bars + ([] if chart.rule is None else [chart.rule])
    xs = [p.x for p in seen]
    if chart.diagonal:
        xs, ys = [*xs, *ys], [*xs, *ys]
    y = axes.numbers(ys)
    left = 14 + _LETTER * max(len(label) for _, label in y.ticks)
    height = 310.0 if chart.diagonal else 240.0  # x and y of one kind read best close to a square
    bottom = height - _BOTTOM - (16 if chart.x or drawn.kind == "time" else 0)
    x = _x_axis(drawn, xs, bars, chart.diagonal)
    return Plane(x, y, left, 26 if chart.y else 12, bottom, height)


def draw(chart: Chart, drawn: Traces, plane: Plane) -> Markup:
    """Return what stands inside the SVG."""
    bars = [trace for trace in drawn.traces if trace.mark == "bar"]
    slot = _slot(bars, plane)
    layers = [_grid(plane), _titles(chart, plane)]
    layers += [_bars(trace, plane, bars.index(trace), len(bars), slot) for trace in bars]
    layers += [_compare(chart, plane)]
    layers += [_trace(trace, plane) for trace in drawn.traces if trace.mark != "bar"]
    return Markup("").join(layers)


def _x_axis(drawn: Traces, xs: Sequence[float], bars: bool, snug: bool) -> Axis:
    if drawn.kind == "names":
        count = len(drawn.names)
        longest = max(map(len, drawn.names), default=1)
        every = max(1, -(-count * min(longest, 14) * 7 // 420))
        ticks = [(float(n), _short(name)) for n, name in enumerate(drawn.names) if n % every == 0]
        return Axis(-0.5, count - 0.5, ticks)
    axis = axes.times(xs) if drawn.kind == "time" else axes.numbers(xs, snug=not snug)
    if not bars:
        return axis
    places = sorted(set(xs))
    room = min((b - a for a, b in pairwise(places)), default=axis.high - axis.low) / 2
    return Axis(axis.low - room, axis.high + room, axis.ticks, axis.context)


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _grid(plane: Plane) -> Markup:
    left, right, bottom = round(plane.left, 1), WIDTH - _RIGHT, plane.bottom
    parts = []
    for value, label in plane.y.ticks:
        y = plane.at_y(value)
        parts += [line("o-grid", (left, y), (right, y)), text("o-tick", (left - 6, y + 4), "end", label)]
    for number, (value, label) in enumerate(plane.x.ticks):
        x = plane.at_x(value)
        kind = "o-tick o-odd" if number % 2 else "o-tick"
        over = x + len(label) * _LETTER / 2 > WIDTH  # the last label ends where the drawing ends
        parts.append(line("o-axis", (x, bottom), (x, bottom + 4)))
        parts.append(text(kind, (WIDTH if over else x, bottom + 18), "end" if over else "middle", label))
    return Markup("").join([*parts, line("o-axis", (left, bottom), (right, bottom))])


def _titles(chart: Chart, plane: Plane) -> Markup:
    below = " · ".join(part for part in (chart.x, plane.x.context) if part)
    above = text("o-name", (2, 13), "start", chart.y) if chart.y else Markup("")
    return above + (text("o-name", (WIDTH, plane.height - 5), "end", below) if below else Markup(""))


def _compare(chart: Chart, plane: Plane) -> Markup:
    parts = []
    if chart.rule is not None:
        y = plane.at_y(chart.rule)
        parts.append(line("o-rule", (round(plane.left, 1), y), (WIDTH - _RIGHT, y), cell_text(chart.rule)))
    if chart.diagonal:
        ends = max(plane.x.low, plane.y.low), min(plane.x.high, plane.y.high)
        low, high = ((plane.at_x(end), plane.at_y(end)) for end in ends)
        parts.append(line("o-rule", low, high, "x = y"))
    return Markup("").join(parts)


def line(kind: str, start: tuple[float, float], end: tuple[float, float], title: str = "") -> Markup:
    """Return a straight SVG line; a title is what it says when one rests on it."""
    said = Markup("<title>{}</title>").format(title) if title else Markup("")
    drawn = Markup('<line class="{}" x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}">{}</line>')
    return drawn.format(kind, *start, *end, said)


def text(kind: str, place: tuple[float, float], anchor: str, written: str) -> Markup:
    """Return an SVG text; `anchor` says which part of it stands at `place`: start, middle or end."""
    drawn = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return drawn.format(kind, *place, anchor, written)


def _slot(bars: Sequence[Trace], plane: Plane) -> float:
    places = sorted({plane.at_x(point.x) for trace in bars for point in trace.points})
    return max(1.0, min((b - a for a, b in pairwise(places) if b > a), default=60.0))


def _bars(trace: Trace, plane: Plane, number: int, count: int, slot: float) -> Markup:
    width = max(0.6, min(slot * 0.84, 48) / count)
    zero = plane.at_y(0)
    parts = []
    for point in trace.points:
        if point.y is None:
            continue
        left = plane.at_x(point.x) + (number - count / 2) * width
        y = plane.at_y(point.y)
        box = (round(left, 1), min(y, zero), round(max(width - 0.8, 0.6), 1), round(abs(zero - y), 1))
        bar = Markup('<rect class="o-bar" x="{}" y="{}" width="{}" height="{}">{}</rect>')
        parts += [bar.format(*box, tooltip(trace, point)), _whisker(point, plane, left + width / 2)]
    return _group(trace, parts)


def _trace(trace: Trace, plane: Plane) -> Markup:
    known = [point for point in trace.points if point.y is not None]
    if trace.mark == "point":
        return _group(
            trace, [m for p in known for m in (_whisker(p, plane, plane.at_x(p.x)), _dot(trace, p, plane, 3))]
        )
    parts = [_band(run, plane, trace.mark == "step") for run in trace.runs()]
    for run in trace.runs():
        path = _path([(plane.at_x(p.x), plane.at_y(p.y or 0.0)) for p in run], trace.mark == "step")
        parts.append(Markup('<path class="o-line" fill="none" d="{}"/>').format(path))
    alone = [run[0] for run in trace.runs() if len(run) == 1]  # a path of one point would not be seen
    parts += [
        _dot(trace, point, plane, 2.2)
        for point in (known if len(known) <= _DOTS_UP_TO and trace.mark == "line" else alone)
    ]
    return _group(trace, parts)


def _group(trace: Trace, parts: Sequence[Markup]) -> Markup:
    return Markup('<g class="o-s{}">{}</g>').format(trace.tint, Markup("").join(parts))


def _dot(trace: Trace, point: Point, plane: Plane, radius: float) -> Markup:
    place = (plane.at_x(point.x), plane.at_y(point.y or 0.0), radius)
    return Markup('<circle class="o-dot" cx="{}" cy="{}" r="{}">{}</circle>').format(*place, tooltip(trace, point))


def tooltip(trace: Trace, point: Point) -> Markup:
    """Return what a point says of itself when one rests on it."""
    between = f" ({cell_text(point.low)} to {cell_text(point.high)})" if point.low is not None else ""
    return Markup("<title>{}: {} at {}{}</title>").format(trace.name, cell_text(point.y), point.label, between)


def _whisker(point: Point, plane: Plane, x: float) -> Markup:
    if point.low is None or point.high is None:
        return Markup("")
    return line("o-whisker", (round(x, 1), plane.at_y(point.low)), (round(x, 1), plane.at_y(point.high)))


def _band(run: Sequence[Point], plane: Plane, step: bool) -> Markup:
    sides = [(plane.at_x(p.x), p.low, p.high) for p in run if p.low is not None and p.high is not None]
    if len(sides) < 2:
        return Markup("")
    upper = _path([(x, plane.at_y(high)) for x, _, high in sides], step)
    lower = _path([(x, plane.at_y(low)) for x, low, _ in reversed(sides)], step, back=True)
    return Markup('<path class="o-band" fill-opacity=".16" d="{}L{}Z"/>').format(upper, lower[1:])


def _path(places: Sequence[tuple[float, float]], step: bool, *, back: bool = False) -> str:
    """Return a line through `places`; as a step it holds each y until the next x (read backwards when `back`)."""
    parts = [f"M{places[0][0]:g},{places[0][1]:g}"]
    for _, (x, y) in pairwise(places):
        parts.append((f"V{y:g}H{x:g}" if back else f"H{x:g}V{y:g}") if step else f"L{x:g},{y:g}")
    return "".join(parts)
