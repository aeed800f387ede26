"""Files, folders and variables that steps read without declaring them: named, kept, and part of the next fingerprint.

What a step reads is known when it has run. So its names are learned under the digest of its definition, its version gets
the fingerprint that it would have had if they had been known before, and each later plan looks at them as at declared ones.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from oito.errors import UndeclaredRead
from oito.flow.entry import Entry
from oito.flow.fingerprint import Parts, definition_digest, file_digest, fingerprint, keyed_parts
from oito.flow.project import Asset
from oito.flow.reads.watching import Watch, absolute, stamp, watched
from oito.flow.site import Context
from oito.storage.digests import digest
from oito.storage.sql import Database, Transaction

GONE = "not there"
SECTION = "undeclared"


def found(watch: Watch, asset: Asset) -> dict[str, str]:
    """Return name → digest of what a step has read beyond its declaration, such as `file rates.json`."""
    root = Path(watch.root)
    declared = [absolute(str(root / each)) for each in asset.spec.reads]
    names: dict[str, str] = {}
    for word, seen in (("file", watch.files), ("folder", watch.folders)):
        for path, then in seen.items():
            if path in watch.written or any(path == each or path.startswith(each + os.sep) for each in declared):
                continue
            name = f"{word} {os.path.relpath(path, root) if path.startswith(watch.root) else path}"
            # What changed after it was read is unlike anything that a plan can find.
            names[name] = digest_of(name, root) if stamp(path) == then else f"changed meanwhile {time.time_ns()}"
    return names | {
        f"variable {each}": digest_of(f"variable {each}", root)
        for each in watch.variables
        if each not in asset.spec.env and not each.startswith("OITO_")
    }


@contextlib.contextmanager
def observed(context: Context) -> Generator[dict[str, str]]:
    """Gather what a step reads inside the block without declaring it; it is known, and in the step's log, when the block ends.

    A step that asks the outside world is not watched: its probe says when it runs.

    Raises:
        UndeclaredRead: there is something, and the setting `strict` is on.
    """
    gathered: dict[str, str] = {}
    site, asset = context.site, context.asset
    if asset.spec.is_external:
        yield gathered
        return
    with watched(site.root, ignored=(site.home, site.files.root)) as watch:
        yield gathered
    if watch.files or watch.folders or watch.variables:
        gathered |= found(watch, asset)
        context.lines += warnings(gathered, asset)
        if gathered and site.settings.strict:
            raise refusal(list(gathered), asset)


def digest_of(name: str, root: Path) -> str:
    """Return the digest of what a name stands for now: a file's bytes, the names in a folder, a variable's value."""
    word, _, thing = name.partition(" ")
    if word == "variable":
        return digest(os.environ.get(thing))
    try:
        if word == "folder":
            return digest(sorted(each.name for each in (root / thing).iterdir()))
        return file_digest(root / thing)
    except OSError:
        return GONE


def learned(rows: Database, parts: Parts, root: Path) -> Parts:
    """Return the parts of a definition with what its steps are known to read beyond it, as that is now."""
    base = parts.get("base") or parts["key"]
    names = [row["name"] for row in rows.read("SELECT name FROM undeclared WHERE definition = ?", base)]
    names += [f"file {each}" for text in parts.get("readings", ()) for each in _matching(text, root)]
    return completed(parts, {name: digest_of(name, root) for name in names})


def _matching(text: str, root: Path) -> list[str]:
    """Return the files, relative to the project where they are in it, that a path or pattern in the code stands for."""
    if "://" in text or "\n" in text:
        return []
    path = root / text
    if not path.is_relative_to(root):
        return [text] if path.is_file() else []
    inside = path.relative_to(root).as_posix()
    return sorted(
        each.relative_to(root).as_posix() for each in (root.glob(inside) if "*" in inside else [path]) if each.is_file()
    )


def relearned(rows: Database, entry: Entry, root: Path) -> Entry:
    """Return a step as it would be planned now, when steps of its definition may have read something meanwhile."""
    parts = learned(rows, dict(entry.whole_parts if entry.partition else entry.parts), root)
    return told(entry, parts.get(SECTION, {}))


def completed(parts: Mapping[str, Any], more: Mapping[str, str]) -> Parts:
    """Return the parts of a definition with further undeclared reads, and the digest that they have then."""
    if not more:
        return dict(parts)
    new = {**parts, SECTION: dict(sorted({**parts.get(SECTION, {}), **more}.items()))}
    return {**new, "base": parts.get("base") or parts["key"], "key": keyed_parts(new)}


def told(entry: Entry, more: Mapping[str, str]) -> Entry:
    """Return a step as it would have been planned if what it read had been known."""
    if not more:
        return entry
    whole = completed(entry.whole_parts if entry.partition else entry.parts, more)
    definition = definition_digest(whole, {role: each.definition for role, each in entry.inputs.items()})
    if not entry.partition:
        return replace(entry, parts=whole, fingerprint=fingerprint(whole), definition=definition)
    parts = {**entry.parts, "of": whole["key"]}
    mark = digest((whole["key"], parts["inputs"], entry.partition))
    return replace(entry, parts=parts, whole_parts=whole, fingerprint=mark, definition=definition)


def learn(change: Transaction, entry: Entry) -> None:
    """Keep the names of what a step has read, for the next plan."""
    parts = entry.whole_parts if entry.partition else entry.parts
    rows = [(parts["base"], name) for name in parts.get(SECTION, {})]
    change.many("INSERT OR IGNORE INTO undeclared (definition, name) VALUES (?, ?)", rows)


def unheard(entry: Entry, heard: Mapping[str, str]) -> list[str]:
    """Return what a step is known to read beside what was heard."""
    parts = entry.whole_parts if entry.partition else entry.parts
    return [name for name in parts.get(SECTION, {}) if name not in heard]


def warnings(names: Iterable[str], asset: Asset) -> Iterator[str]:
    """Yield a line for the log for each thing read without saying so, with what to write."""
    for name in names:
        word, _, thing = name.partition(" ")
        yield f"warning: it reads the {word} {thing}, which {asset.place} does not declare: {_fix(asset, [name])}"


def refusal(names: Sequence[str], asset: Asset) -> UndeclaredRead:
    """Return the error of a step that read without saying so where that is not allowed."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return UndeclaredRead(
        f"{asset.name} reads the {names[0]}{more} without declaring it", where=asset.place,
        known="strict = true: a step may read what is declared, and nothing else", next=_fix(asset, names),
    )  # fmt: skip


def _fix(asset: Asset, names: Sequence[str]) -> str:
    things: dict[str, list[str]] = {}
    for name in names:
        word, _, thing = name.partition(" ")
        things.setdefault("env" if word == "variable" else "reads", []).append(thing)
    fields = ", ".join(f"{field}=({', '.join(map(repr, each))},)" for field, each in things.items())
    return f"@oito.{asset.kind.word}({fields})".replace("'", '"')
