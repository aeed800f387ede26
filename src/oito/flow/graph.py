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
    done: dict[str, None] = {}
    while left:
        ready = [name for name, needs in left.items() if all(need in done for need in needs)]
        if not ready:
            return list(done), _ring(left, done)
        for name in ready:
            done[name] = None
            del left[name]
    return list(done), []


def _ring(left: Mapping[str, Sequence[str]], done: Mapping[str, None]) -> list[str]:
    path = [next(iter(left))]
    while True:
        following = next(need for need in left[path[-1]] if need not in done)
        if following in path:
            return path[path.index(following) :]
        path.append(following)
