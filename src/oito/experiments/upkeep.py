"""Searches that were given up: their finished trials wait on the disk for a run that goes on with them, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from oito.flow.site import Site
from oito.flow.upkeep.kinds import Keep, Leftover


def leftovers(site: Site, keep: Keep) -> Iterator[Leftover]:
    """Yield the trials of searches that nobody went on with for as long as runs are kept."""
    used_before_s = min(keep.put_before_s, keep.used_before.timestamp())
    for path in sorted((site.home / "trials").glob("*.jsonl")):
        stat = path.stat()
        if stat.st_mtime < used_before_s:
            yield Leftover(f"trials/{path.name}", "trials of a search that was given up", stat.st_size,
                           partial(path.unlink, missing_ok=True))  # fmt: skip
