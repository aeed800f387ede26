"""Whoever reads an environment while it is released to sees one release or another, never some of each."""

import json
import random
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oito.catalog import environments, versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import VirtualClock, moment, text
from oito.flow.releases import release, releasing
from oito.flow.runner import run
from oito.workspace import Workspace
from tiny import CHAIN, Tiny

RELEASES = 200
"""Half from one environment and half from another, in turns; each changes every asset, a view's columns among them."""

SERVED = """
import numpy as np
import polars as pl
from datetime import UTC, datetime, timedelta
from sklearn.linear_model import LogisticRegression
import oito

COLOR = "blue"
START = datetime(2024, 1, 1, tzinfo=UTC)

@oito.source(key="id")
def orders(since):
    draw = np.random.default_rng(1)
    n = np.arange(300)
    return pl.DataFrame({"id": n, "who": n % 7, "at": [START + timedelta(minutes=30 * int(i)) for i in n],
                         "late": draw.random(300) < 0.2 + 0.1 * (n % 7)})

@oito.features(entity="who", time="known")
def record(orders):
    share = pl.col("late").cast(pl.Float64).mean().over("who")
    return orders.select("who", (share * (1 if COLOR == "blue" else -1)).alias(f"share_{COLOR}"), known=START)

@oito.labels(entity="id", time="at", known_at="known")
def late(orders):
    return orders.select("id", "at", "late", "who", known="at")

@oito.model(labels=late, features=[record], exclude=["who"], baselines=[])
def lateness(*, strength: float = 1.0):
    return LogisticRegression(C=strength)

late_order = oito.experiment(model=lateness, trials=1, split=oito.by_time(valid="1d", test="1d"))

@oito.endpoint(model=late_order, outputs=("late",))
def risk(model, rows):
    return model.predict_proba(rows)[:, 1] + (10.0 if COLOR == "blue" else 20.0)
"""

READER = """
import json, sys
from collections import Counter
from pathlib import Path
from oito.endpoints.serving import Stand
from oito.eight import kinds
from oito.flow.releases import releasing
from oito.flow.project import Project
from oito.workspace import Workspace

root, over = Path(sys.argv[1]), Path(sys.argv[2])
workspace = Workspace(root, environment="staging")
site = workspace.site.__class__(Project(root, {}, {k.word: k for k in kinds()}, ()), workspace.catalog, workspace.files,
                                workspace.settings, "staging", root)
stand, seen, row = Stand(site, "risk"), Counter(), {"who": 3}
served = stand.load()
print("ready", flush=True)
rounds = 0
while not over.exists():
    rounds += 1
    all_of_it = workspace.catalog.resolve_all("staging")
    seen["resolved " + " ".join(sorted(v.ref for v in all_of_it.values()))] += 1
    page = releasing.environment_page(site, "staging").data
    seen["page " + " ".join(sorted(a["version"] for a in page["assets"]))] += 1
    page = releasing.environments_page(site).data["environments"]["staging"]
    seen["page " + " ".join(sorted(page.values()))] += 1
    served = stand.newer() or served
    enriched = served.enrich([row])[0]
    names = sorted(enriched.values) if hasattr(enriched, "values") else [repr(enriched)]
    columns = [column.name for column in served.signature.columns]
    score = served.score(__import__("numpy").array([[enriched.values[name] for name in columns]], dtype=float))
    seen[f"answer {served.version} {names} {columns} {'blue' if score[0, 0] < 15 else 'green'}"
         f" {None in enriched.values.values()}"] += 1
print(json.dumps({"seen": seen, "rounds": rounds}))
"""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Workspace, Workspace]]:
    """One project in two folders, blue and green, that share a catalog and differ in everything they make."""
    for color in ("blue", "green"):
        (tmp_path / color).mkdir()
        (tmp_path / color / "project.py").write_text(SERVED.replace('COLOR = "blue"', f'COLOR = "{color}"'))
    made = [
        Workspace(tmp_path / color, environment=color, home=str(tmp_path / "home"), now="2024-01-08", packages="off")
        for color in ("blue", "green")
    ]
    for each in made:
        run(each.site).raise_first()
    yield made[0], made[1]
    for each in made:
        each.close()


def test_no_reader_ever_sees_a_mix_of_two_of_200_releases(two: tuple[Workspace, Workspace], tmp_path: Path) -> None:
    sites = [each.site for each in two]
    whole = []
    for site in sites:
        release.release(site, "staging")
        whole.append(" ".join(sorted(v.ref for v in environments.pointed(site.catalog.rows, "staging").values())))
    over = tmp_path / "over"
    (tmp_path / "reader").mkdir()
    (tmp_path / "reader" / "oito.toml").write_text(f'home = "{tmp_path / "home"}"\nnow = "2024-01-08"\n')
    (tmp_path / "reader" / "project.py").write_text("")
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path / "reader"), str(over)], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n"
    for number in range(RELEASES):
        if number % 3 == 2:
            release.rollback(sites[0], "staging")
        else:
            release.release(sites[number % 2], "staging")
    time.sleep(0.2)
    over.touch()
    told: dict[str, Any] = json.loads(reader.communicate(timeout=60)[0])
    assert reader.returncode == 0
    kinds_of = {
        kind: {s.removeprefix(kind + " ") for s in told["seen"] if s.startswith(kind)} for kind in ("resolved", "page")
    }
    assert kinds_of["resolved"] <= set(whole)
    assert kinds_of["page"] <= set(whole)
    versions_of = {c: s.catalog.resolve("risk", c) for c, s in zip(("blue", "green"), sites, strict=True)}
    allowed = {
        f"{found.ref} ['share_{color}'] ['share_{color}'] {color} False"
        for color, found in versions_of.items()
        if found
    }
    answers = {each.removeprefix("answer ") for each in told["seen"] if each.startswith("answer")}
    assert answers <= allowed
    assert len(answers) == 2 and told["rounds"] > 20


def test_the_rows_of_a_view_are_online_before_the_pointer_moves(
    two: tuple[Workspace, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, looked = release._move, []

    def look(goal: Any, pointers: dict[str, int], **how: Any) -> Any:
        version = versions.by_id(goal.catalog.rows, pointers["record"])
        assert version is not None
        looked.append(goal.project.kinds["features"].door("run").is_ready(goal, version))
        return move(goal, pointers, **how)

    monkeypatch.setattr(release, "_move", look)
    for each in two:
        release.release(each.site, "staging")
    release.rollback(two[0].site, "staging")
    assert looked == [True, True, True]


ASSETS, MOVES = 40, 10_000


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, list[tuple[datetime, str, str, int | None]]]:
    """10,000 moves in two environments, some in one moment, some back to nowhere; and what an observer wrote down."""
    clock = VirtualClock(moment("2024-01-01"))
    catalog, draw = Catalog(tmp_path_factory.mktemp("past"), clock), random.Random(5)
    names = [f"a{n:02d}" for n in range(ASSETS)]
    told: list[tuple[datetime, str, str, int | None]] = []
    with catalog.change() as change:
        known = {name: [insert(change, name, n) for n in range(5)] for name in names}
    while len(told) < MOVES:
        clock.advance(timedelta(microseconds=draw.choice([0, 1, 1_000_000, 90_000_000])))
        place = draw.choice(["production", "dev"])
        with catalog.change() as change:
            for name in draw.sample(names, draw.choice([1, 1, 1, ASSETS])):
                identity = draw.choice([None, *known[name]])
                if change.move(place, name, identity):
                    told.append((clock.now(), place, name, identity))
    return catalog, told


def insert(change: Any, name: str, number: int) -> int:
    new = NewVersion(name, "dataset", f"{name}{number}", "d", f"c{number}", {}, [])
    return versions.insert(change.rows, new, at=change.at, environment="dev", run="")


def test_what_was_in_production_at_any_time_is_right_over_10000_moves(
    past: tuple[Catalog, list[tuple[datetime, str, str, int | None]]],
) -> None:
    catalog, told = past
    draw, moments = random.Random(6), [each[0] for each in told]
    start, end = moments[0], moments[-1]
    asked = [start + (end - start) * draw.random() for _ in range(100)] + draw.sample(moments, 100)
    asked += [each - timedelta(microseconds=1) for each in draw.sample(moments, 50)] + [start, end]
    for at in asked:
        for place in ("production", "dev"):
            brute: dict[str, int] = {}
            for _, environment, name, identity in told[: bisect_right(moments, at)]:
                if environment == place:
                    brute = {**brute, name: identity} if identity else {n: v for n, v in brute.items() if n != name}
            assert environments.at_time(catalog.rows, place, text(at)) == brute
            assert {m.asset for m in environments.standing(catalog.rows, place, text(at))} == set(brute)


def test_the_page_of_an_environment_tells_the_past(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    release.release(tiny.site(), "production", message="first")
    first = text(tiny.clock.now())
    tiny.clock.advance(timedelta(hours=1))
    tiny.edit("> 0", "> 5")
    tiny.run()
    release.release(tiny.site(), "production")
    now = releasing.environment_page(tiny.site(), "production").data
    assert (now["release"], [each["version"] for each in now["assets"]]) == (2, ["cleaned:v2", "orders:v1", "total:v2"])
    then = releasing.environment_page(tiny.site(), "production", at=first).data
    assert (then["release"], [each["version"] for each in then["assets"]]) == (
        1,
        ["cleaned:v1", "orders:v1", "total:v1"],
    )
    assert {each["since"] for each in then["assets"]} == {first}
    before = releasing.environment_page(tiny.site(), "production", at="2023-12-31").data
    assert (before["release"], before["assets"]) == (None, [])
    shown = releasing.show(tiny.site(), 2).data["release"]["record"]
    assert [change["asset"] for change in shown["changes"]] == ["cleaned", "total"]
