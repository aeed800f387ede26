"""Whatever arrives in whatever order, with restarts between: the table is what a dict would hold."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from small_world import World

START = datetime(2013, 10, 1, tzinfo=UTC)
SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# hours from the cursor: late rows (not behind the overlap of 72 h), ties, rows ahead; few keys, so that rows are updated
ARRIVALS = st.tuples(st.integers(0, 12), st.sampled_from([-72, -71, -30, -1, 0, 0, 1, 20, 100]), st.integers(0, 3))
POLLS = st.lists(st.tuples(st.lists(ARRIVALS, max_size=6), st.booleans()), min_size=1, max_size=7)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def opened(project: str, folder: str) -> World:
    world = World(Path(folder))
    world.declare(project)
    return world


def poll(world: World, rows: list[dict[str, Any]], is_restarted: bool) -> None:
    if is_restarted:
        world.site.catalog.close()
        world.site = world.opened()
    world.poll(rows)


@given(polls=POLLS)
@SETTINGS
def test_a_keyed_source_holds_what_a_dict_holds(polls: list[tuple[list[tuple[int, int, int]], bool]]) -> None:
    project = '@oito.source(key="id", cursor="at", overlap="3d")\ndef rides(since): return outside(since)\n'
    with tempfile.TemporaryDirectory() as folder:
        world = opened(project, folder)
        truth: dict[int, tuple[datetime, int]] = {99: (START, 0)}
        reached = START
        for arrivals, is_restarted in [([], False), *polls]:
            for number, hours, value in arrivals:
                truth[number] = (reached + timedelta(hours=hours), value)
            poll(world, [{"id": n, "at": text(at), "v": v} for n, (at, v) in truth.items()], is_restarted)
            reached = max(reached, *(at for at, _ in truth.values()))
        rows = world.rows()
        assert sorted(rows.select("id", "at", "v").rows()) == sorted((n, at, v) for n, (at, v) in truth.items())
        world.site.catalog.close()


@given(polls=POLLS)
@SETTINGS
def test_a_keyless_source_holds_each_row_once(polls: list[tuple[list[tuple[int, int, int]], bool]]) -> None:
    project = '@oito.source(cursor="at", overlap="3d")\ndef rides(since): return outside(since)\n'
    with tempfile.TemporaryDirectory() as folder:
        world = opened(project, folder)
        truth: list[tuple[int, datetime, int]] = [(99, START, 0)]
        reached = START
        for arrivals, is_restarted in [([], False), *polls]:
            truth += [(number, reached + timedelta(hours=hours), value) for number, hours, value in arrivals]
            poll(world, [{"id": n, "at": text(at), "v": v} for n, at, v in truth], is_restarted)
            reached = max(reached, *(at for _, at, _ in truth))
        assert sorted(world.rows().select("id", "at", "v").rows()) == sorted(set(truth))
        world.site.catalog.close()
