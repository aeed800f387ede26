"""The order in which assets can be made, and the ring that prevents one. Assets are only names here."""

from collections.abc import Mapping, Sequence


def order(arrows: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return (names so that each comes after all it needs, one ring of names or nothing).

    Args:
        arrows: name → the names it needs; names that have no entry are ignored.

    Example:
        >>> order({"b": ["a"], "a": []})
        (['a', 'b'], [])
        >>> order({"a": ["b"], "b": ["a"]})
        ([], ['a', 'b'])
    """
    left = {name: [need for need in dict.fromkeys(needs) if need in arrows] for name, needs in arrows.items()}
    below: dict[str, list[str]] = {name: [] for name in left}
    for name, needs in left.items():
        for need in needs:
            below[need].append(name)
    places = {name: place for place, name in enumerate(left)}
    open_needs = {name: len(needs) for name, needs in left.items()}
    done: dict[str, None] = {}
    ready = [name for name, count in open_needs.items() if not count]
    while ready:  # layer by layer, each in the order of the names
        done.update(dict.fromkeys(ready))
        freed = []
        for name in ready:
            del left[name]
            for other in below[name]:
                open_needs[other] -= 1
                if not open_needs[other]:
                    freed.append(other)
        ready = sorted(freed, key=places.__getitem__)
    return list(done), _ring(left, done) if left else []


def _ring(left: Mapping[str, Sequence[str]], done: Mapping[str, None]) -> list[str]:
    path = [next(iter(left))]
    while True:
        following = next(need for need in left[path[-1]] if need not in done)
        if following in path:
            return path[path.index(following) :]
        path.append(following)
