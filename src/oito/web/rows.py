"""A chart as rows: one named row after another with bars or points to the right, which stays readable on a phone."""

from dataclasses import dataclass

from markupsafe import Markup

from oito.show import Chart, cell_text
from oito.web import axes
from oito.web.axes import Axis
from oito.web.plane import WIDTH, line, text, tooltip
from oito.web.traces import Point, Trace, Traces

_MOST_ROWS = 60
_LETTER = 7.3
_LONGEST = 30
_RIGHT = 46  # room for the figure behind a bar


@dataclass(frozen=True)
class Rows:
    """Where rows and values fall inside the drawing; `shown` rows of all the names fit."""

    x: Axis
    left: float
    pitch: float
    height: float
    shown: int

    def at_x(self, value: float) -> float:
        return round(self.left + self.x.share(value) * (WIDTH - _RIGHT - self.left), 1)

    def at_y(self, row: float) -> float:
        return round(10 + (row + 0.5) * self.pitch, 1)


def suits(drawn: Traces) -> bool:
    """Return whether the chart reads better as rows: names with bars or points, too long to stand side by side."""
    if drawn.kind != "names" or any(trace.mark not in ("bar", "point") for trace in drawn.traces):
        return False
    return len(drawn.names) * max(map(len, drawn.names), default=0) * _LETTER > 260


def rows_of(chart: Chart, drawn: Traces) -> Rows:
    """Return the rows that hold every value of the chart."""
    values = [v for p in drawn.seen() for v in (p.y, p.low, p.high) if v is not None]
    if any(trace.mark == "bar" for trace in drawn.traces):
        values.append(0.0)
    if chart.rule is not None:
        values.append(chart.rule)
    shown = min(len(drawn.names), _MOST_ROWS)
    longest = max(len(_short(name)) for name in drawn.names[:shown])
    pitch = 23.0 if len(drawn.traces) == 1 else 11.0 * len(drawn.traces) + 7
    return Rows(axes.numbers(values, count=4), 12 + _LETTER * longest, pitch, 10 + shown * pitch + 36, shown)


def draw(chart: Chart, drawn: Traces, rows: Rows) -> Markup:
    """Return what stands inside the SVG."""
    end = rows.at_y(rows.shown - 0.5)
    parts = []
    for value, label in rows.x.ticks:
        x = rows.at_x(value)
        parts += [line("o-grid", (x, 8), (x, end)), text("o-tick", (x, end + 16), "middle", label)]
    for row, name in enumerate(drawn.names[: rows.shown]):
        place = (rows.left - 8, rows.at_y(row) + 4)
        whole = Markup("<g>{}<title>{}</title></g>")
        parts.append(whole.format(text("o-tick o-row", place, "end", _short(name)), name))
    if chart.rule is not None:
        x = rows.at_x(chart.rule)
        parts.append(line("o-rule", (x, 8), (x, end), cell_text(chart.rule)))
    parts += [_trace(trace, number, len(drawn.traces), rows) for number, trace in enumerate(drawn.traces)]
    hidden = len(drawn.names) - rows.shown
    below = " · ".join(part for part in (chart.y, f"and {hidden} more" if hidden else "") if part)
    return Markup("").join([*parts, text("o-name", (WIDTH, end + 32), "end", below)])


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _figure(value: float, x: Axis) -> str:
    """Return the value with three digits of the longest one on the axis."""
    whole = len(str(int(max(abs(x.low), abs(x.high))))) if max(abs(x.low), abs(x.high)) >= 1 else 0
    return f"{value:,.{max(0, 3 - whole)}f}".replace("-", "−")


def _trace(trace: Trace, number: int, count: int, rows: Rows) -> Markup:
    thick = 13.0 if count == 1 else 9.0
    parts = []
    for point in trace.points:
        if point.y is None or point.x >= rows.shown:
            continue
        y = rows.at_y(point.x) + (number - (count - 1) / 2) * 11
        parts += [_mark(trace, point, rows, y, thick), _whisker(point, rows, y)]
        if count == 1:
            furthest = max(point.y, point.high if point.high is not None else point.y)
            behind = rows.at_x(max(furthest, min(0.0, rows.x.high))) + 6
            parts.append(text("o-figure", (behind, y + 4), "start", _figure(point.y, rows.x)))
    return Markup('<g class="o-s{}">{}</g>').format(trace.tint, Markup("").join(parts))


def _mark(trace: Trace, point: Point, rows: Rows, y: float, thick: float) -> Markup:
    x = rows.at_x(point.y or 0.0)
    if trace.mark == "point":
        return Markup('<circle class="o-dot" cx="{}" cy="{}" r="3.6">{}</circle>').format(x, y, tooltip(trace, point))
    zero = rows.at_x(0)
    bar = Markup('<rect class="o-bar" x="{}" y="{}" width="{}" height="{}" rx="1.5">{}</rect>')
    return bar.format(min(x, zero), round(y - thick / 2, 1), round(abs(x - zero), 1), thick, tooltip(trace, point))


def _whisker(point: Point, rows: Rows, y: float) -> Markup:
    if point.low is None or point.high is None:
        return Markup("")
    return line("o-whisker", (rows.at_x(point.low), y), (rows.at_x(point.high), y))
