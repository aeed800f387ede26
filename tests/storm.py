"""Thirty-two processes write one store and are killed at random, round after round; after each the store must be whole.

`python tests/storm.py FOLDER ROUNDS` runs it by hand; it prints one line of figures, or fails with what was lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import NewVersion
from oito.clock import RealClock
from oito.flow.project import Project
from oito.flow.site import Site
from oito.flow.upkeep import cleaning, integrity, repair
from oito.settings import load
from oito.storage.files import Files

WRITERS = 32
LONGEST_S = 0.6


def main() -> None:
    """Carry out the storm that the command line asks for."""
    print(json.dumps(storm(Path(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201 - what it is run for


def storm(home: Path, rounds: int, *, seed: int = 8) -> dict[str, int]:
    """Return how many writes were acknowledged, processes killed and files left behind, all of it after `rounds` rounds.

    Raises:
        AssertionError: an acknowledged write is gone, or the store is not whole.
    """
    source, counts = random.Random(seed), Counter[str]()
    home.mkdir(parents=True, exist_ok=True)
    for number in range(rounds):
        _round(home, source, number)
        _assert_whole(home, counts)
    acknowledged = _acknowledged(home)
    for each in home.glob("catalog.db*"):  # and all of it once more, from the manifest alone
        each.unlink()
    built = repair.rebuilt(home, RealClock(), lease_s=20.0)
    assert built is not None and built.lost == (), built
    _assert_whole(home, counts)
    return {"rounds": rounds, "killed": rounds * WRITERS, "acknowledged": len(acknowledged), "versions": built.versions,
            "left_behind": counts["left behind"]}  # fmt: skip


def _round(home: Path, source: random.Random, number: int) -> None:
    children = []
    for writer in range(WRITERS):
        pid = os.fork()
        if not pid:
            _write_for_ever(home, writer, number)
        children.append((time.monotonic() + source.uniform(0.02, LONGEST_S), pid))
    for at, pid in sorted(children):
        time.sleep(max(0.0, at - time.monotonic()))
        os.kill(pid, signal.SIGKILL)
    ends = [os.waitpid(pid, 0)[1] for _, pid in children]
    assert ends == [signal.SIGKILL] * WRITERS, f"a writer ended by itself: {ends}"


def _write_for_ever(home: Path, writer: int, number: int) -> None:
    """Make versions, each from the one before, and acknowledge each once it is committed; a fault ends the process."""
    try:
        catalog, files, asset = Catalog(home, RealClock(), who=f"w{writer}"), Files(home / "files"), f"w{writer}"
        source = random.Random(f"{writer} {number}")
        acknowledged = os.open(home / f"{asset}.acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        while True:
            before = versions.newest(catalog.rows, asset)
            data = source.randbytes(source.choice((40, 4_000, 40_000)))
            shared = b"the same for all" * source.randrange(3)
            digests = [files.put(data), files.put(shared)]
            content = hashlib.sha256(data).hexdigest()
            inputs = [("before", before)] if before else []
            new = NewVersion(
                asset, "dataset", content, content, content, {"inputs": {role: v.content for role, v in inputs}},
                [(role, v.id) for role, v in inputs], files={"data": digests[0], "shared": digests[1]}, digests=digests,
            )  # fmt: skip
            with catalog.change() as change:
                identity = versions.insert(change.rows, new, at=change.at, environment="dev", run="storm")
                change.move("dev", asset, identity)
                change.event("made", asset, content=content)
            os.write(acknowledged, f"{identity} {content}\n".encode())
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - the parent only sees that it ended
    finally:
        os._exit(1)


def _acknowledged(home: Path) -> dict[int, str]:
    lines = [line.split() for path in home.glob("*.acknowledged") for line in path.read_text().splitlines()]
    return {int(identity): content for identity, content in lines}


def _assert_whole(home: Path, counts: Counter[str]) -> None:
    settings = load(home, {})
    settings = replace(settings, values={**settings.values, "keep_runs": "0s", "keep_files": "0s"})
    catalog = Catalog(home, RealClock(), who="check")
    site = Site(Project(home, {}, {}, ()), catalog, Files(home / "files"), settings, "dev", home)
    found = {
        row["id"]: row["content"] for row in catalog.rows.read("SELECT id, content FROM version WHERE state = 'ok'")
    }
    lost = {identity for identity, content in _acknowledged(home).items() if found.get(identity) != content}
    assert not lost, f"acknowledged, but gone: {lost}"
    before = len(list(site.files.digests())) + len(list((home / "files" / "scratch").iterdir()))
    freed = cleaning.gc(site, yes=True).data
    assert freed["versions"] == [], freed["versions"]
    counts["left behind"] += before - len(list(site.files.digests()))
    page = integrity.check(site)
    assert page.data["is_whole"], page.data["problems"][:5]
    assert page.data["unowned"]["files"] == 0
    assert not list((home / "files" / "scratch").iterdir())
    catalog.close()


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    main()
