"""A chart as a figure: title, legend, server-drawn SVG, and its points as data for the readout of oito.js."""

import json
from typing import Any

from markupsafe import Markup

from oito.show import Chart, cell_text
from oito.web import plane, rows, traces
from oito.web.traces import Trace, Traces

_FIGURE = Markup(
    '<figure class="o-chart"{hover}><figcaption><span class="o-title">{title}</span>{legend}</figcaption>'
    '<svg viewBox="0 0 480 {height:g}" role="img" aria-label="{summary}">{inside}</svg>{data}</figure>'
)


def figure(chart: Chart, *, scripted: bool = False) -> Markup:
    """Return the chart as a `<figure>`; a `scripted` one carries its points for the readout under the pointer."""
    drawn = traces.of(chart)
    if not drawn.seen():
        empty = Markup('<figure class="o-chart"><figcaption><span class="o-title">{}</span></figcaption>{}</figure>')
        return empty.format(chart.title, Markup('<p class="o-empty">nothing to draw yet</p>'))
    if rows.suits(drawn):
        whole = rows.rows_of(chart, drawn)
        return _framed(chart, drawn, rows.draw(chart, drawn, whole), whole.height, None)
    flat = plane.plane_of(chart, drawn)
    points = _points(drawn, flat) if scripted else None
    return _framed(chart, drawn, plane.draw(chart, drawn, flat), flat.height, points)


def script_json(value: Any) -> Markup:
    """Return `value` as JSON that cannot end the script element it stands in.

    Example:
        >>> print(script_json("</script>"))
        "\\u003c/script\\u003e"
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def summary(chart: Chart, drawn: Traces) -> str:
    """Return the chart in words, for who does not see it."""
    parts = []
    for trace in drawn.traces:
        known = [point for point in trace.points if point.y is not None]
        if known:
            low, high = min(p.y or 0.0 for p in known), max(p.y or 0.0 for p in known)
            last = f"{cell_text(known[-1].y)} at {known[-1].label}"
            parts.append(f"{trace.name}: {cell_text(low)} to {cell_text(high)}, last {last}")
    return f"{chart.title}. " + "; ".join(parts)


def _framed(chart: Chart, drawn: Traces, inside: Markup, height: float, points: Any) -> Markup:
    data = (
        Markup("")
        if points is None
        else Markup('<script type="application/json">{}</script>').format(script_json(points))
    )
    return _FIGURE.format(
        title=chart.title,
        legend=_legend(drawn),
        height=height,
        summary=summary(chart, drawn),
        inside=inside,
        data=data,
        hover=Markup("") if points is None else Markup(' data-points="" tabindex="0"'),
    )


def _legend(drawn: Traces) -> Markup:
    if len(drawn.traces) < 2:
        return Markup("")
    key = Markup(
        '<li class="o-s{}"><svg class="o-key" viewBox="0 0 12 12" aria-hidden="true">{}</svg><span>{}</span></li>'
    )
    shapes = {
        "point": Markup('<circle class="o-dot" cx="6" cy="6" r="3.5"/>'),
        "bar": Markup('<rect class="o-bar" x="1" y="1" width="10" height="10" rx="2"/>'),
    }
    stroke = Markup('<path class="o-line" d="M0,6H12"/>')
    keys = [key.format(trace.tint, shapes.get(trace.mark, stroke), trace.name) for trace in drawn.traces]
    return Markup('<ul class="o-legend">{}</ul>').format(Markup("").join(keys))


def _points(drawn: Traces, flat: plane.Plane) -> dict[str, Any]:
    def places(trace: Trace) -> list[tuple[float, float, str, str]]:
        return [(flat.at_x(p.x), flat.at_y(p.y), p.label, cell_text(p.y)) for p in trace.points if p.y is not None]

    traces = [{"name": trace.name, "points": places(trace)} for trace in drawn.traces]
    return {"top": flat.top, "bottom": flat.bottom, "traces": traces}
