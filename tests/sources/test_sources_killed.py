"""A collection that is killed at any point and started again ends with the same content as one that never was."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oito.catalog import versions
from small_world import World

DAYS = 12
KILLS = 3
PROJECT = """
@oito.source({declared})
def rides(since, until):
    rows = outside(since)
    return rows.filter(pl.col("known") <= until).drop("known")

@oito.dataset
def clean(rides): return rides
"""
CHILD = f"""
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from datetime import timedelta
from small_world import World
from oito.catalog import versions
from oito.clock import moment
from oito.flow import runner

world = World(Path(sys.argv[1]))
site = world.opened()
site = replace(site, settings=replace(site.settings, values={{**site.settings.values, "lease_s": 0.05}}))  # no waiting for the dead
newest = versions.newest(site.catalog.rows, "rides")
day = moment("2013-11-02") if newest is None else moment(newest.record["until"])
print("ready", flush=True)
while day <= moment("2013-11-01") + timedelta(days={DAYS}):
    world.clock.move_to(day)
    runner.run(site).raise_first()
    day += timedelta(days=1)
print("done", flush=True)
"""


def world_of_rides(folder: Path, declared: str) -> World:
    """Return a world in which rides become known late, twice, and changed, day after day."""
    source = random.Random(8)
    rows = []
    for day in range(DAYS):
        for _ in range(8):
            at = f"2013-11-{max(1, day + 1 - source.choice([0, 0, 0, 1, 2])):02d}T00:00:00Z"
            known = f"2013-11-{day + 1:02d}T{source.randrange(24):02d}:00:00Z"
            rows.append({"id": source.randrange(200), "at": at, "known": known, "v": source.randrange(5)})
    folder.mkdir()
    world = World(folder)
    world.declare(PROJECT.replace("{declared}", declared))
    world.tell(rows)
    return world


def start(world: World, kill_after_s: float | None) -> None:
    """Run the child to its end, or kill it that long after it has begun to collect."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(world.root)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        if kill_after_s is None:
            assert child.stdout.read() == "done\n"
        else:
            time.sleep(kill_after_s)
            child.kill()


@pytest.mark.parametrize("declared", ['key="id", cursor="at", overlap="3d"', 'cursor="at", overlap="3d"'])
def test_the_content_is_that_of_an_undisturbed_run(tmp_path: Path, declared: str) -> None:
    calm, killed = (world_of_rides(tmp_path / name, declared) for name in ("calm", "killed"))
    begun = time.perf_counter()
    start(calm, None)
    spent_s = time.perf_counter() - begun
    source = random.Random(declared)
    for _ in range(KILLS):
        start(killed, source.random() * spent_s / 3)
    start(killed, None)
    for name in ("rides", "clean"):
        assert killed.version(name).content == calm.version(name).content
        for version in versions.listed(killed.site.catalog.rows, name, limit=1000):
            assert killed.site.table(version).collect().height == version.rows
