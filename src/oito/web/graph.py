"""A graph as SVG: boxes with tones, notes and links, and arrows between them; the loop also as a list for narrow screens."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from oito.show import Graph, Node
from oito.web import ring
from oito.web.addresses import is_safe
from oito.web.layers import layout

_LETTER = 7.6  # units a letter takes at the size boxes are written in
_LONGEST = 30
_GAP_X, _GAP_Y = 44, 14
_FITS, _SHRINKS = 940, 1400  # natural widths up to which a page shows the graph whole, or a little smaller

# The eight in the middle of the ring.
_MARK = Markup(
    '<g class="o-mark" aria-hidden="true"><circle cx="430" cy="191" r="23"/><circle cx="430" cy="241" r="27"/></g>'
)

Box = tuple[float, float, float, float]  # left, top, width, height


def figure(graph: Graph) -> Markup:
    """Return the graph as a `<figure>`; edges to unknown nodes are left out."""
    known = {node.id for node in graph.nodes}
    edges = [(a, b) for a, b in dict.fromkeys(graph.edges) if a in known and b in known and a != b]
    title = Markup('<figcaption><span class="o-title">{}</span></figcaption>').format(graph.title)
    if not graph.nodes:
        return Markup('<figure class="o-graph">{}<p class="o-empty">no boxes yet</p></figure>').format(title)
    inside = _loop(graph, edges) if graph.loop else _layered(graph, edges)
    kind = Markup(" o-loop") if graph.loop else Markup("")
    return Markup('<figure class="o-graph{}">{}{}</figure>').format(kind, title if graph.title else "", inside)


def _layered(graph: Graph, edges: Sequence[tuple[str, str]]) -> Markup:
    height = 46.0 if any(node.note for node in graph.nodes) else 32.0
    places = layout([node.id for node in graph.nodes], edges, height=height, gap=_GAP_Y)
    boxes, width = _boxes(graph.nodes, places.layer, places.y, height)
    lanes = {places.layer[name]: (left, left + width) for name, (left, _, width, _) in boxes.items()}
    arrows = []
    for source, target in edges:
        step = 1 if places.layer[target] > places.layer[source] else -1
        crossed = range(places.layer[source] + step, places.layer[target], step)
        bends = [
            (*lanes[layer], y + 4 + height / 2) for layer, y in zip(crossed, places.bends[source, target], strict=True)
        ]
        arrows.append(_edge(boxes[source], boxes[target], bends, (source, target)))
    drawn = [_box(node, boxes[node.id]) for node in graph.nodes]
    fit = "o-whole" if width <= _FITS else "o-fit" if width <= _SHRINKS else "o-wide"
    svg = Markup('<svg class="{}" width="{:.0f}" height="{:.0f}" viewBox="0 0 {:.0f} {:.0f}">{}{}</svg>')
    tall = places.height + 8
    inside = svg.format(fit, width, tall, width, tall, Markup("").join(arrows), Markup("").join(drawn))
    box = Markup('<div class="o-scroll" tabindex="0" role="region" aria-label="{}">{}</div>')
    return box.format(graph.title or "graph", inside)


def _boxes(
    nodes: Sequence[Node], layer: Mapping[str, int], y: Mapping[str, float], height: float
) -> tuple[dict[str, Box], float]:
    widths = [0.0] * (max(layer.values()) + 1)
    for node in nodes:
        longest = max(len(_short(node.text)), len(_short(node.note)) * 0.88)
        widths[layer[node.id]] = max(widths[layer[node.id]], 26 + _LETTER * longest)
    lefts = [4.0]
    for width in widths:
        lefts.append(lefts[-1] + width + _GAP_X)
    boxes = {n.id: (lefts[layer[n.id]], y[n.id] + 4, widths[layer[n.id]], height) for n in nodes}
    return boxes, lefts[-1] - _GAP_X + 4


def _edge(source: Box, target: Box, bends: Sequence[tuple[float, float, float]], ends: tuple[str, str]) -> Markup:
    """Return a line from the side of one box to the side of the next, straight through the lanes left free for it."""
    forward = target[0] > source[0]
    x, y = source[0] + (source[2] if forward else 0), source[1] + source[3] / 2
    end_x, end_y = target[0] + (0 if forward else target[2]), target[1] + target[3] / 2
    path = [f"M{x:.1f},{y:.1f}"]
    for left, right, level in bends:
        near, far = (left, right) if forward else (right, left)
        path.append(f"{_curve(x, y, near, level)}H{far:.1f}")
        x, y = far, level
    tip = -7 if forward else 7
    path.append(_curve(x, y, end_x + tip, end_y))
    return _arrow("".join(path), (end_x, end_y), 0.0 if forward else math.pi, ends, back=not forward)


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    middle = (x0 + x1) / 2
    return f"C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"


def _arrow(path: str, tip: tuple[float, float], angle: float, ends: tuple[str, str], *, back: bool = False) -> Markup:
    head = [tip]
    for turn in (2.7, -2.7):
        head.append((tip[0] + 9 * math.cos(angle + turn), tip[1] + 9 * math.sin(angle + turn)))
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in head)
    arrow = Markup(
        '<g class="o-edge{}" data-from="{}" data-to="{}"><path fill="none" d="{}"/><polygon points="{}"/></g>'
    )
    return arrow.format(Markup(" o-back") if back else "", *ends, path, corners)


def _box(node: Node, box: Box) -> Markup:
    left, top, width, height = box
    middle = top + height / 2
    text = Markup('<text class="o-text" x="{:.1f}" y="{:.1f}">{}</text>')
    lines = [text.format(left + 16, middle - 3 if node.note else middle + 4.5, _short(node.text))]
    if node.note:
        note = Markup('<text class="o-note" x="{:.1f}" y="{:.1f}">{}</text>')
        lines.append(note.format(left + 16, middle + 13, _short(node.note)))
    shape = Markup(
        '<rect class="o-box" x="{0:.1f}" y="{1:.1f}" width="{2:.1f}" height="{3:.1f}" rx="7"/>'
        '<rect class="o-tone" x="{4:.1f}" y="{5:.1f}" width="3.5" height="{6:.1f}" rx="1.75"/>'
    ).format(left, top, width, height, left + 6, top + 8, height - 16)
    title = Markup("<title>{}</title>").format(f"{node.text}: {node.note}" if node.note else node.text)
    group = Markup('<g class="o-node o-{}" data-node="{}">{}{}{}</g>')
    drawn = group.format(node.tone, node.id, title, shape, Markup("").join(lines))
    return Markup('<a href="{}">{}</a>').format(node.to, drawn) if is_safe(node.to) else drawn


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _loop(graph: Graph, edges: Sequence[tuple[str, str]]) -> Markup:
    longest = max(max(len(_short(n.text)) * 1.08, len(_short(n.note)) * 0.92) for n in graph.nodes)
    size = (max(150.0, min(30 + _LETTER * longest, 212.0)), 58.0)
    around = ring.ring(len(graph.nodes), size)
    centers = [around.at(angle) for angle in around.angles]
    place = {node.id: number for number, node in enumerate(graph.nodes)}
    arrows = [_arc(around, place[a], place[b], (a, b)) for a, b in edges]
    boxes = [
        _box(node, (x - size[0] / 2, y - size[1] / 2, *size)) for node, (x, y) in zip(graph.nodes, centers, strict=True)
    ]
    svg = Markup('<svg class="o-ring" viewBox="0 0 {} {}">{}{}{}</svg><ol class="o-steps">{}</ol>')
    steps = Markup("").join(_step(node) for node in graph.nodes)
    return svg.format(ring.WIDTH, ring.HEIGHT, _MARK, Markup("").join(arrows), Markup("").join(boxes), steps)


def _arc(around: ring.Ring, source: int, target: int, ends: tuple[str, str]) -> Markup:
    count = len(around.angles)
    if (source + 1) % count != target:
        return _chord(around, source, target, ends)
    leave, reach = around.arc(source, target)
    (x0, y0), (x1, y1), (rx, ry) = around.at(leave), around.at(reach), around.radii
    angle = math.atan2(ry * math.cos(reach), -rx * math.sin(reach))
    path = f"M{x0:.1f},{y0:.1f}A{rx:.1f},{ry:.1f} 0 0 1 {x1 - 6 * math.cos(angle):.1f},{y1 - 6 * math.sin(angle):.1f}"
    return _arrow(path, (x1, y1), angle, ends)


def _chord(around: ring.Ring, source: int, target: int, ends: tuple[str, str]) -> Markup:
    """Return an arrow across the ring, bent towards the middle."""
    (x0, y0), (x1, y1) = around.at(around.angles[source]), around.at(around.angles[target])
    middle = ((x0 + x1) / 4 + ring.WIDTH / 4, (y0 + y1) / 4 + ring.HEIGHT / 4)
    (x0, y0), (x1, y1) = _edge_of(x0, y0, middle, around.box), _edge_of(x1, y1, middle, around.box)
    angle = math.atan2(y1 - middle[1], x1 - middle[0])
    end = (x1 - 6 * math.cos(angle), y1 - 6 * math.sin(angle))
    path = f"M{x0:.1f},{y0:.1f}Q{middle[0]:.1f},{middle[1]:.1f} {end[0]:.1f},{end[1]:.1f}"
    return _arrow(path, (x1, y1), angle, ends, back=True)


def _edge_of(x: float, y: float, towards: tuple[float, float], box: tuple[float, float]) -> tuple[float, float]:
    dx, dy = towards[0] - x, towards[1] - y
    share = min((box[0] / 2 + 4) / abs(dx) if dx else math.inf, (box[1] / 2 + 4) / abs(dy) if dy else math.inf, 1.0)
    return x + dx * share, y + dy * share


def _step(node: Node) -> Markup:
    name = Markup('<a href="{}">{}</a>').format(node.to, node.text) if is_safe(node.to) else node.text
    note = Markup(" <small>{}</small>").format(node.note) if node.note else ""
    return Markup('<li class="o-{}"><span>{}</span>{}</li>').format(node.tone, name, note)
