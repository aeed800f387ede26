"""Gives back what nobody needs: versions are freed in the catalog first, then files deleted. What is needed is retention's to say."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from oito.flow.action import action
from oito.flow.site import Site
from oito.flow.upkeep import kinds as upkeep
from oito.flow.upkeep import retention
from oito.flow.upkeep.kinds import Leftover
from oito.flow.upkeep.retention import Known, Verdict
from oito.show import Block, Cell, Page, Table, Text

BATCH = 200  # files deleted per transaction: writers wait no longer than that takes
AGAIN_S = 86_400.0  # a folder of a reproduction that is older was left by a killed one


@action("gc", writes=True)
def gc(site: Site, *, yes: bool = False) -> Page:
    """Show which bytes nobody needs, and why the rest is kept; with --yes give them back.

    Kept is what an environment, a release, a recent run or a journal refers to, and everything that was made from.

    Args:
        yes: do it, rather than show what would be done.
    """
    verdict = retention.freed_now(site) if yes else retention.judged(site)
    unowned = retention.unowned(site, verdict)
    left = list(leftovers(site, verdict))
    young = {each for each in unowned if not _is_old(site, verdict, each)}
    if yes:
        sweep(site, verdict, list(unowned))
        for each in left:
            each.remove()
    told = {each: size for each, size in unowned.items() if each not in verdict.files and each not in young}
    return _page(verdict, told, len(young), left, is_done=yes)


def sweep(site: Site, verdict: Verdict, unowned: list[str]) -> int:
    """Delete files that were found unowned, unless they are not by now, and return how many bytes that were.

    What was put since is young and stays. A version that is about to be committed with a file that is deleted here does
    not come to be: deletion and commit each happen under the catalog's write lock, and the commit looks for its files.
    """
    count = 0
    for first in range(0, len(unowned), BATCH):
        some = unowned[first : first + BATCH]
        with site.catalog.rows.write():
            owned = retention.still_owned(site, verdict, some)
            for digest in some:
                if digest not in owned:
                    count += site.files.remove(digest, put_before=verdict.keep.put_before_s)
    return count


def leftovers(site: Site, verdict: Verdict) -> Iterator[Leftover]:
    """Yield what killed processes and things of the past have left in the folder, besides stored files."""
    age_s = time.time() - verdict.keep.put_before_s
    for path in site.files.scratches(age_s):
        yield _leftover(path, "a write that was never finished", path.unlink)
    for folder in sorted((site.home / "bundles").glob("*")):
        is_needed = any(digest.startswith(folder.name) for digest in verdict.need.files)
        if folder.is_dir() and not is_needed and _age_s(folder) >= age_s:
            yield _folder(folder, "source that is needed no more, unpacked")
    for folder in sorted(site.home.glob("again-*")):
        if _age_s(folder) >= max(AGAIN_S, age_s):
            yield _folder(folder, "a reproduction that was killed")
    for folder, is_used in retention.inner_catalogs(site, verdict.keep):
        if not is_used:
            yield _folder(folder, "a catalog that nobody works with any more, as of a simulation")
    yield from upkeep.leftovers(site, verdict.keep)


def _is_old(site: Site, verdict: Verdict, digest: str) -> bool:
    return site.files.has(digest) and site.files.put_at(digest) < verdict.keep.put_before_s


def _leftover(path: Path, why: str, remove: Callable[[], object]) -> Leftover:
    return Leftover(f"{path.parent.name}/{path.name}", why, path.stat().st_size, remove)


def _folder(folder: Path, why: str) -> Leftover:
    size_bytes = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    return Leftover(
        f"{folder.parent.name}/{folder.name}", why, size_bytes, partial(shutil.rmtree, folder, ignore_errors=True)
    )


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _page(verdict: Verdict, deletable: dict[str, int], young: int, left: list[Leftover], *, is_done: bool) -> Page:
    freed = sum(verdict.free_bytes.values())
    others = sum(deletable.values()) + sum(each.size_bytes for each in left)
    goes: Counter[str] = Counter(each.asset for each in verdict.goes)
    stays: dict[str, list[tuple[Known, str]]] = {}
    for known, why in verdict.held:
        stays.setdefault(known.asset, []).append((known, why))
    rows: list[list[Cell]] = [
        [name, goes[name], verdict.free_bytes.get(name, 0), len(stays.get(name, ())), verdict.held_bytes.get(name, 0),
         _why(stays.get(name, []))]
        for name in sorted({*goes, *stays})
    ]  # fmt: skip
    done = "freed" if is_done else "would be freed"
    columns = ["asset", f"versions {done}", f"bytes {done}", "versions kept", "bytes kept", "kept because of"]
    blocks: list[Block] = [Table(columns, rows, empty="no version has bytes")]
    told: list[list[Cell]] = [[each.what, each.size_bytes, each.why] for each in left]
    if deletable:
        told.append([f"{len(deletable)} stored files", sum(deletable.values()), "no version owns them"])
    blocks.append(Table(["besides", "bytes", "why"], told, title="Left behind", empty="nothing was left behind"))
    if young:
        text = f"{young} files that no version owns are too young to go: a process may be about to commit them."
        blocks.append(Text(text))
    if not is_done and (freed or others):
        blocks.append(Text("Nothing was changed. `oito gc --yes` does it."))
    data = {
        "is_done": is_done, "freed_bytes": freed, "left_bytes": others,
        "versions": [{"version": each.ref, "size_bytes": verdict.freed_bytes.get(each.id, 0)} for each in verdict.goes],
        "kept": [{"version": known.ref, "because": why} for known, why in verdict.held],
        "left": [{"what": each.what, "size_bytes": each.size_bytes, "why": each.why} for each in left],
        "unowned": len(deletable), "next": None,
    }  # fmt: skip
    total = f"{freed + others:,} bytes"
    return Page(f"{total} freed" if is_done else f"{total} would be freed" if freed + others else "nothing to free",
                blocks, data)  # fmt: skip


def _why(stays: list[tuple[Known, str]]) -> str:
    counts = Counter(why.partition(":")[0] for _, why in stays).most_common()
    told = [f"{why} ({count})" if count > 1 else why for why, count in counts[:3]]
    return "; ".join([*told, *([f"{len(counts) - 3} more reasons"] if len(counts) > 3 else [])])
