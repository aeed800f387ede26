"""Where the boxes of a directed graph stand, left to right: layers, their order, their heights. Nothing is drawn here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 8
_BEND = "\0"  # opens the name of an invisible node

Edge = tuple[str, str]


@dataclass(frozen=True)
class Layout:
    """The layer of every node, its y (0 and up, in the unit of the heights), and the y an edge keeps in layers it crosses."""

    layer: Mapping[str, int]
    y: Mapping[str, float]
    bends: Mapping[Edge, Sequence[float]]
    height: float


def layout(nodes: Sequence[str], edges: Sequence[Edge], *, height: float, gap: float) -> Layout:
    """Return places for `nodes` so that edges run right and cross little (Sugiyama's three steps, barycenters).

    An edge that closes a circle is laid as if it ran the other way. An edge over several layers gets an invisible
    node in each, so it passes between boxes instead of behind them.

    Example:
        >>> places = layout(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], height=40, gap=10)
        >>> places.layer, len(places.bends["a", "c"])
        ({'a': 0, 'b': 1, 'c': 2}, 1)

    Source: Sugiyama, Tagawa, Toda, Methods for Visual Understanding of Hierarchical System Structures (1981).
    """
    forward = _without_circles(nodes, edges)
    layer = _layers(nodes, forward)
    columns, links, crossing = _columns(nodes, forward, layer)
    _order(columns, links)
    y = _heights(columns, links, height, gap)
    top = min(y.values(), default=0.0)
    y = {name: place - top for name, place in y.items()}
    bends = {}
    for source, target in edges:
        back = (source, target) not in crossing
        chain = crossing.get((target, source) if back else (source, target), [])
        bends[source, target] = [y[name] for name in (reversed(chain) if back else chain)]
    lowest = max((place + height * (0.5 if name.startswith(_BEND) else 1) for name, place in y.items()), default=0.0)
    return Layout(layer, {name: y[name] for name in nodes}, bends, lowest)


def _without_circles(nodes: Sequence[str], edges: Sequence[Edge]) -> list[Edge]:
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        if source != target:
            targets[source].append(target)
    state: dict[str, bool] = {}  # False while on the way, True when left
    kept: list[Edge] = []
    for root in nodes:
        stack = [(root, iter(targets[root]))] if root not in state else []
        state.setdefault(root, False)
        while stack:
            name, rest = stack[-1]
            target = next(rest, "")
            if not target:
                state[name] = True
                stack.pop()
                continue
            kept.append((target, name) if state.get(target) is False else (name, target))
            if target not in state:
                state[target] = False
                stack.append((target, iter(targets[target])))
    return list(dict.fromkeys(kept))


def _layers(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    before: dict[str, list[str]] = {name: [] for name in nodes}
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    order = _topological(nodes, before, after)
    layer: dict[str, int] = {}
    for name in order:
        layer[name] = max((layer[source] + 1 for source in before[name]), default=0)
    for name in reversed(order):  # a box stands next to who first needs it, not at the far left
        if after[name]:
            layer[name] = min(layer[target] for target in after[name]) - 1
    return {name: layer[name] for name in nodes}


def _topological(
    nodes: Sequence[str], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]
) -> list[str]:
    waiting = {name: len(before[name]) for name in nodes}
    order = [name for name in nodes if not waiting[name]]
    for name in order:
        for target in after[name]:
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    return order


def _columns(
    nodes: Sequence[str], edges: Sequence[Edge], layer: Mapping[str, int]
) -> tuple[list[list[str]], list[Edge], dict[Edge, list[str]]]:
    """Return the layers with invisible nodes in them, links between neighbouring layers, and each edge's invisible nodes."""
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for name in nodes:
        columns[layer[name]].append(name)
    links: list[Edge] = []
    crossing: dict[Edge, list[str]] = {}
    for number, (source, target) in enumerate(edges):
        chain = [f"{_BEND}{number}:{step}" for step in range(layer[source] + 1, layer[target])]
        for step, name in enumerate(chain, layer[source] + 1):
            columns[step].append(name)
        crossing[source, target] = chain
        links += zip([source, *chain], [*chain, target], strict=True)
    return columns, links, crossing


def _neighbours(links: Sequence[Edge]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for source, target in links:
        right.setdefault(source, []).append(target)
        left.setdefault(target, []).append(source)
    return left, right


def _order(columns: list[list[str]], links: Sequence[Edge]) -> None:
    """Sort each column in place by the mean place of its neighbours, to the right and back again, a few times."""
    left, right = _neighbours(links)
    place = {name: float(index) for column in columns for index, name in enumerate(column)}
    for sweep in range(_SWEEPS):
        side = left if sweep % 2 == 0 else right
        for column in columns if sweep % 2 == 0 else reversed(columns):
            near = {name: _mean([place[n] for n in side.get(name, [])], place[name]) for name in column}
            column.sort(key=lambda name: near[name])
            place.update({name: float(index) for index, name in enumerate(column)})


def _heights(columns: Sequence[Sequence[str]], links: Sequence[Edge], height: float, gap: float) -> dict[str, float]:
    left, right = _neighbours(links)
    y = {name: index * (height + gap) for column in columns for index, name in enumerate(column)}
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = [_pull(c, left.get(c, []) + right.get(c, []), y) for c in column]
            room = [height * (0.35 if name.startswith(_BEND) else 1.0) + gap for name in column]
            y.update(zip(column, _apart(wanted, room), strict=True))
    return y


def _apart(wanted: Sequence[float], room: Sequence[float]) -> list[float]:
    """Return places closest to `wanted` (least squares) in which each keeps its `room` to the next (pooled violators)."""
    offsets = [0.0]
    for index in range(1, len(room)):
        offsets.append(offsets[-1] + (room[index - 1] + room[index]) / 2)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    return [base + offset for base, offset in zip(level, offsets, strict=True)]


def _pull(name: str, near: Sequence[str], y: Mapping[str, float]) -> float:
    """Return the mean height of the neighbours; two invisible ones pull harder, so that a long edge runs straight."""
    weights = [6 if name.startswith(_BEND) and n.startswith(_BEND) else 1 for n in near]
    return sum(y[n] * w for n, w in zip(near, weights, strict=True)) / sum(weights) if near else y[name]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
