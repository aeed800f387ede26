"""What nobody refers to is given back, all of it; what anybody refers to stays, whoever writes meanwhile and wherever it is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oito.catalog import events, freed, lineage, versions
from oito.catalog.records import Run, Version
from oito.clock import RealClock, uptime
from oito.endpoints.journal import About, Journal
from oito.errors import VersionFreed
from oito.flow import pages
from oito.flow.engines import engine
from oito.flow.engines.attempt import attempt
from oito.flow.releases import release
from oito.flow.site import Context, Made, Site
from oito.flow.stored import Stored
from oito.flow.upkeep import cleaning, integrity, repair, retention
from tiny import CHAIN, HEAD, WATCHED, Tiny

AT_ONCE: dict[str, Any] = {"keep_runs": "0s", "keep_files": "0s"}
BIG = (
    HEAD
    + """
import numpy as np

@oito.dataset
def big():
    return pl.DataFrame({"x": np.random.default_rng(1).random(20_000)})
"""
)
WRITER = """
import os, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny import Tiny
from oito.clock import RealClock
from oito.flow import runner
tiny = Tiny(Path(sys.argv[1]))
tiny.clock = RealClock()
number, ended = int(sys.argv[2]), time.monotonic() + float(sys.argv[3])
project, turn = tiny.load(), 0
while time.monotonic() < ended:
    turn += 1
    os.environ["PLACE"] = str((3 * number + turn) % 12)
    site = tiny.site(f"w{{number}}", project=project, keep_runs="0s", keep_files="2s")
    runner.run(site, ["drawn"]).raise_first()
    version = site.catalog.resolve("drawn", f"w{{number}}")
    rows = site.table(version).collect()
    assert rows["place"].to_list() == [int(os.environ["PLACE"])] * 50, rows
    site.catalog.close()
print(turn)
"""
DRAWN = (
    HEAD
    + """
@oito.dataset(env=("PLACE",))
def drawn() -> pl.DataFrame:
    return pl.DataFrame({"place": [int(os.environ["PLACE"])] * 50})
"""
)
COLLECTOR = """
import os, signal, sys, threading
sys.path.insert(0, {tests!r})
from pathlib import Path
from tiny import Tiny
from oito.flow.upkeep import cleaning
tiny = Tiny(Path(sys.argv[1]))
site = tiny.site("dev", keep_runs="0s", keep_files="0s")
if float(sys.argv[2]):
    threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
cleaning.gc(site, yes=True)
os._exit(0)
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    text = code.format(tests=str(Path(__file__).parents[1]))
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def later(tiny: Tiny, days: float = 1.0) -> Site:
    """Return a site on which nothing is recent any more."""
    tiny.clock.advance(timedelta(days=days))
    return tiny.site("dev", **AT_ONCE)


def aged(site: Site, seconds: float = 7200.0) -> None:
    """Let all stored files be old."""
    for digest in site.files.digests():
        os.utime(site.files.path(digest), (time.time() - seconds,) * 2)


def collected(site: Site) -> dict[str, Any]:
    return dict(cleaning.gc(site, yes=True).data)


def states(site: Site, name: str) -> list[str]:
    return [each.state for each in reversed(versions.listed(site.catalog.rows, name))]


def remade(tiny: Tiny, count: int, *, environment: str = "dev") -> None:
    """Make `big` anew, each time with other bytes."""
    for number in range(count):
        tiny.edit(f"default_rng({number + 1})", f"default_rng({number + 2})")
        tiny.clock.advance(timedelta(seconds=1))
        tiny.run(environment=environment)


def stored_bytes(site: Site) -> int:
    return sum(site.files.size(digest) for digest in site.files.digests())


def test_a_dry_run_shows_and_changes_nothing(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    remade(tiny, 3)
    site = later(tiny)
    before = (stored_bytes(site), states(site, "big"), len(events.listed(site.catalog.rows)))
    page = cleaning.gc(site)
    assert (stored_bytes(site), states(site, "big"), len(events.listed(site.catalog.rows))) == before
    assert page.title.endswith("would be freed")
    assert [each["version"] for each in page.data["versions"]] == ["big:v1", "big:v2", "big:v3"]
    assert {"version": "big:v4", "because": "in dev"} in page.data["kept"]


def test_nearly_all_bytes_that_are_not_shared_are_freed(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    remade(tiny, 9)
    site = later(tiny)
    owned = {
        each.id: {part[0] for part in each.tables["rows"]["parts"]}
        for each in versions.listed(site.catalog.rows, "big")
    }
    stays = owned.pop(max(owned))
    unshared = sum(site.files.size(each) for each in set().union(*owned.values()) - stays)
    before = stored_bytes(site)
    data = collected(site)
    assert before - stored_bytes(site) >= 0.99 * unshared
    assert data["freed_bytes"] == unshared
    assert integrity.check(site).data["is_whole"]
    assert integrity.check(site).data["unowned"]["files"] == 0
    assert tiny.states()["big"] == "fresh"


def test_what_was_freed_is_told_and_never_read_or_reused(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    tiny.edit("> 0", "> 5")
    tiny.run()
    site = later(tiny)
    collected(site)
    gone = site.catalog.find("cleaned:v1", "dev")
    assert (gone.state, gone.rows) == ("freed", 2)
    assert [edge.role for edge in lineage.inputs(site.catalog.rows, gone.id)] == ["orders"]
    with pytest.raises(VersionFreed) as told:
        site.table(gone)
    assert told.value.what == "the bytes of cleaned:v1 were freed"
    assert told.value.known.startswith(
        "freed at 2024-01-02T00:00:01.000000Z by ana; what it was made from is still known"
    )
    assert told.value.next.startswith("oito repair cleaned:v1 makes them again")
    with pytest.raises(VersionFreed):
        site.read(gone)
    facts = dict(pages.show(site, "cleaned:v1").blocks[0].pairs)  # type: ignore[union-attr]  # the facts come first
    assert facts["its bytes"] == "freed at 2024-01-02T00:00:01.000000Z by ana"
    graph = pages.lineage_graph(site, gone)[0]
    assert [node.note for node in graph.nodes if node.text == "cleaned:v1"] == ["dataset · 2 rows · freed"]
    with pytest.raises(VersionFreed), site.catalog.change() as change:
        change.move("dev", "cleaned", gone.id)
    tiny.edit("> 5", "> 0")
    assert tiny.did(tiny.run())["cleaned"] == "made"  # not reused: there is nothing to reuse
    assert [event.verb for event in events.listed(site.catalog.rows, subject="cleaned:v1")] == ["freed", "made"]


def test_what_was_freed_can_be_made_again_while_its_source_and_inputs_are_kept(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    tiny.edit("> 0", "> 1")
    tiny.run()
    site = later(tiny)
    with site.catalog.change() as change:  # the source of its run stays, as another version of it does
        freed.free(change.rows, [site.catalog.find("cleaned:v1", "dev").id])
    site.files.remove(site.catalog.find("cleaned:v1", "dev").tables["rows"]["parts"][0][0])
    assert repair.given_back(site, site.catalog.find("cleaned:v1", "dev")).is_good
    again = site.catalog.find("cleaned:v1", "dev")
    assert again.state == "ok"
    assert site.table(again).collect()["n"].to_list() == [5, 7]
    assert integrity.check(site).data["is_whole"]


def test_releases_are_kept_so_that_a_rollback_works(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    release.release(tiny.site("dev"), "production")
    for number in range(4):
        tiny.edit(f"default_rng({number + 1})", f"default_rng({number + 2})")
        tiny.run()
        if number in {1, 3}:
            release.release(tiny.site("dev"), "production")
    site = later(tiny)
    collected(site)
    assert states(site, "big") == ["ok", "freed", "ok", "freed", "ok"]
    release.rollback(site, "production", to=1)
    assert tiny.rows("big", "production").height == 20_000
    few = tiny.site("dev", **AT_ONCE, keep_releases=1)
    tiny.clock.advance(timedelta(days=1))
    collected(few)
    assert states(site, "big") == ["ok", "freed", "freed", "freed", "freed"]
    with pytest.raises(VersionFreed, match="the bytes of big:v3 were freed"):
        release.rollback(site, "production", to=2)


def test_recent_runs_and_what_was_pointed_at_lately_are_kept(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    remade(tiny, 1)
    tiny.clock.advance(timedelta(days=29))
    site = tiny.site("dev", keep_files="0s")
    assert collected(site)["versions"] == []
    assert states(site, "big") == ["ok", "ok"]
    tiny.clock.advance(timedelta(days=2))
    collected(site)
    assert states(site, "big") == ["freed", "ok"]


def test_what_is_kept_keeps_all_it_was_made_from(tiny: Tiny) -> None:
    tiny.write(WATCHED).run()
    guess = tiny.version("size")
    tiny.edit("> 0", "> 1")
    tiny.run("total")
    assert tiny.version("cleaned").number == 2
    assert tiny.version("size").id == guess.id
    site = later(tiny)
    collected(site)
    used = {edge.input for edge in lineage.upstream(site.catalog.rows, guess.id)}
    found = versions.by_ids(site.catalog.rows, used)
    assert {each.ref: each.state for each in found.values()}.items() >= {"orders:v1": "ok", "cleaned:v1": "ok"}.items()


def test_a_journal_keeps_the_version_that_answered(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    remade(tiny, 2)
    site = later(tiny)
    journal = Journal(site.home / "journal" / "production" / "ask")
    about = About("ask", "big:v2", "m:v1", "champion", ("x",), ("y",))
    journal.stream(about).append(np.zeros((1, 1)), np.zeros((1, 1)), [b"{}"])
    journal.close()
    data = collected(site)
    assert states(site, "big") == ["freed", "ok", "ok"]
    assert {"version": "big:v2", "because": "journals: ask in production"} in data["kept"]


def test_leftovers_of_the_dead_go_once_they_are_old(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    site = tiny.site("dev")
    digest = site.files.put(b"of a run that was killed")
    scratch = site.files.scratch()
    scratch.write_bytes(b"half a file")
    (site.home / "bundles" / ("0" * 16)).mkdir(parents=True)
    (site.home / "trials").mkdir()
    (site.home / "trials" / "given-up.jsonl").write_text("{}\n")
    collected(site)
    assert site.files.has(digest) and scratch.exists()
    aged(site)
    for path in (scratch, site.home / "bundles" / ("0" * 16), site.home / "trials" / "given-up.jsonl"):
        os.utime(path, (1, 1))
    data = collected(site)
    assert not site.files.has(digest) and not scratch.exists()
    assert not (site.home / "bundles" / ("0" * 16)).exists()
    assert {each["what"] for each in data["left"]} == {
        f"scratch/{scratch.name}", "bundles/0000000000000000", "trials/given-up.jsonl"
    }  # fmt: skip
    assert collected(site)["left"] == []


def test_what_a_living_run_may_have_written_stays(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    site = later(tiny)
    digest = site.files.put(b"of a run that is under way")
    now = uptime()
    with site.catalog.change() as change:
        at = change.at
        run = Run("r-alive", "dev", "", "ana", "running", at, now - 5, now, None, "")
        change.rows.run(
            "INSERT INTO run (id, environment, reason, who, state, at, started, seen, bundle) VALUES (?,?,?,?,?,?,?,?,?)",
            run.id, run.environment, run.reason, run.who, run.state, run.at, run.started, run.seen, run.bundle,
        )  # fmt: skip
    collected(site)
    assert site.files.has(digest)
    with site.catalog.change() as change:
        change.rows.run("UPDATE run SET seen = ? WHERE id = 'r-alive'", now - 100)
    collected(site)
    assert not site.files.has(digest)
    assert events.listed(site.catalog.rows, subject="r-alive")[0].verb == "found dead"


def test_bytes_that_are_put_again_are_young_again(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    site = tiny.site("dev", keep_files="1h")
    digest = site.files.put(b"twice")
    aged(site)
    assert site.files.put(b"twice") == digest
    collected(site)
    assert site.files.has(digest)


def test_a_collection_killed_anywhere_is_finished_by_the_next(tiny: Tiny) -> None:
    tiny.write(BIG).run()
    remade(tiny, 4)
    site = later(tiny)
    source, killed = random.Random(8), 0
    for number in range(4, 8):
        tiny.edit(f"default_rng({number + 1})", f"default_rng({number + 2})")
        tiny.run()
        process = child(COLLECTOR, tiny.root, source.uniform(0.001, 0.03))
        process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        found = integrity.check(site).data
        assert found["is_whole"], found["problems"]
    assert killed
    tiny.clock.advance(timedelta(days=1))
    collected(site)
    assert integrity.check(site).data["unowned"]["files"] == 0
    assert states(site, "big")[-1] == "ok" and set(states(site, "big")[:-1]) == {"freed"}


def test_four_writers_lose_nothing_while_bytes_are_collected(tiny: Tiny) -> None:
    """All of them make the same few contents again and again, which the collector frees as fast as it can."""
    tiny.write(DRAWN)
    writers = [child(WRITER, tiny.root, number, 4.0) for number in range(4)]
    rounds, taken = 0, 0
    tiny.clock = RealClock()  # type: ignore[assignment]  # what is pointed at lately is a matter of real time here
    site = tiny.site("dev", keep_runs="0s", keep_files="2s")
    while any(each.poll() is None for each in writers):
        taken += len(collected(site)["versions"])
        rounds += 1
    told = [each.communicate(timeout=60) for each in writers]
    assert [each.returncode for each in writers] == [0] * 4, told
    assert rounds > 3 and taken > 3, (rounds, taken)
    found = integrity.check(site).data
    assert found["is_whole"], found["problems"]


def test_bytes_that_are_gone_when_they_are_to_be_committed_are_made_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a run was taken for dead for hours: the commit looks for its files and begins the step anew."""
    tiny.write(BIG)
    tried: list[int] = []

    def emptied(context: Context) -> tuple[Made, Stored | None]:
        made, stored = attempt(context)
        tried.append(1)
        if len(tried) == 1 and stored is not None:
            context.site.files.remove(stored.tables["rows"]["parts"][0][0])
        return made, stored

    monkeypatch.setattr(engine, "attempt", emptied)
    tiny.run()
    assert len(tried) == 2
    assert integrity.check(tiny.site()).data["is_whole"]


def test_a_version_about_to_be_reused_is_not_freed_under_it(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(CHAIN).run()
    tiny.edit("> 0", "> 1")
    tiny.run()
    tiny.edit("> 1", "> 0")
    found = versions.by_fingerprint
    site = tiny.site("dev", **AT_ONCE)

    def freed_right_after(rows: Any, fingerprint: str, *, asset: str) -> Version | None:
        version = found(rows, fingerprint, asset=asset)
        if version and version.ref == "cleaned:v1" and not freed.among(rows, [version.id]):
            with site.catalog.change() as change:
                freed.free(change.rows, [version.id])
        return version

    monkeypatch.setattr(versions, "by_fingerprint", freed_right_after)
    assert tiny.did(tiny.run())["cleaned"] == "made"
    assert tiny.version("cleaned").number == 3
    assert retention.judged(site).goes is not None


def test_a_whole_keeps_its_partitions_and_old_ones_go(tiny: Tiny) -> None:
    text = (
        "@oito.source(key='id')\ndef orders(since): return outside()\n\n@oito.dataset\n"
        "def daily(orders: pl.DataFrame, *, day: oito.Key = oito.Key.among('a', 'b', 'c')): return orders.with_columns(d=pl.lit(str(day)), x=pl.lit(1))\n"
    )
    tiny.write(HEAD + text).run(environment="production")
    tiny.edit("x=pl.lit(1)", "x=pl.lit(2)")
    tiny.run(environment="production")
    assert len(tiny.version("daily", "production").partitions["keys"]) == 3
    site = later(tiny)
    data = collected(site)
    assert {each["version"] for each in data["versions"]} >= {"daily[a]:v1", "daily[b]:v1", "daily[c]:v1"}
    assert integrity.check(site).data["problems"] == []
    assert "made" not in {
        state for name, state in tiny.did(tiny.run(environment="production")).items() if name != "orders"
    }
    assert tiny.rows("daily", "production")["x"].to_list() == [2] * 9
    assert {states(site, f"daily[{key}]")[-1] for key in "abc"} == {"ok"}
