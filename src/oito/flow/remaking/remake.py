"""The child process of a reproduction: makes one version again from its own source and inputs, and says where it differs.

It is started as `python -m oito.flow.remaking.remake` with a request on standard input, so nothing that the parent has imported,
seeded or cached can help it. It reads the catalog and the files, and writes into a scratch folder alone.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oito import settings as settings_door
from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import VirtualClock, moment
from oito.errors import NotReproduced, OitoError
from oito.flow import fingerprint as fingerprints
from oito.flow import machine
from oito.flow import project as projects
from oito.flow.engines.attempt import once
from oito.flow.kind import Kind
from oito.flow.partition import Picker, selected
from oito.flow.plan import pinned_inputs
from oito.flow.project import Asset
from oito.flow.reads import undeclared
from oito.flow.reads.suspects import Watch
from oito.flow.site import Context, Site
from oito.flow.stored import Stored
from oito.flow.tracking import POINTS
from oito.storage.digests import digest
from oito.storage.files import Files

if TYPE_CHECKING:
    import polars as pl

REQUEST = "request.json"
RESULT = "result.json"
JOURNAL = "journal"
TOLERANCE = 1e-4  # of a figure, relative to the larger of 1 and itself, that other hardware may move


def main() -> None:
    """Carry out the request in the folder that the command line names and leave the result beside it."""
    folder = Path(sys.argv[1])
    causes: list[str] = []
    try:
        result = remade(json.loads((folder / REQUEST).read_text()), folder, causes)
    except OitoError as error:
        result = {"error": error.data(), "causes": causes}
    (folder / RESULT).write_text(json.dumps(result))


def remade(request: Mapping[str, Any], folder: Path, causes: list[str]) -> dict[str, Any]:
    """Return what the version is made of when it is made again: its content digest, what differs, and the machine.

    `causes` is given what is another in the definition, before anything runs.
    """
    sys.path += [place for place in request["path"] if place not in sys.path]
    catalog = Catalog(
        Path(request["home"]), VirtualClock(moment(request["now"])), protected=tuple(request["protected"])
    )
    catalog.rows.read("PRAGMA query_only = ON")
    version = versions.by_id(catalog.rows, request["version"])
    assert version is not None
    source = Path(request["source"])
    settings = settings_door.load(source, request["settings"])
    kinds = [_kind(each) for each in request["kinds"]]
    project = projects.load(source, list(settings.project), kinds)
    files = _Above(folder / "files", Files(Path(request["files"])))
    root = Path(request["root"])
    journal = catalog.folder / JOURNAL
    if journal.is_dir():
        (folder / JOURNAL).symlink_to(journal, target_is_directory=True)
    site = _Scratch(project, catalog, files, settings, version.environment, root, scratch=folder)
    context = _context(site, version)
    causes += _causes(context, version, settings.packages)
    watch = Watch(source)
    with watch if request["watch"] else nullcontext():
        made, again = once(context)
    if again is None:
        raise NotReproduced(f"{version.ref} cannot be made again: its step finds nothing new by now")
    return {
        "content": again.content,
        "differences": list(_differences(site, version, again, made.metrics)),
        "is_close": _is_close(site, version, again, made.metrics),
        "machine": machine.describe(),
        "causes": causes,
        "suspects": watch.found,
    }


@dataclass(frozen=True)
class _Scratch(Site):
    """A site whose own files (searches under way) lie in the scratch folder; journals are there to be read."""

    scratch: Path = Path()

    @property
    def home(self) -> Path:
        return self.scratch


class _Above(Files):
    """Files that are written here and looked for below too."""

    def __init__(self, root: Path, below: Files) -> None:
        self._below = below
        super().__init__(root)

    def path(self, digest: str) -> Path:
        own, other = super().path(digest), self._below.path(digest)
        return other if not own.exists() and other.exists() else own


class _Pinned(Context):
    """A context that sees in other environments what the version saw there when it was made."""

    def resolve(self, asset: str, environment: str) -> Version | None:
        return self.touched.get(f"{environment}.{asset}")


def base_name(version: Version) -> str:
    """Return the name of the asset that a version, or the whole that it is a partition of, belongs to."""
    return version.asset.removesuffix(f"[{version.partition}]") if version.partition else version.asset


def _context(site: Site, version: Version) -> Context:
    asset = site.project.asset(base_name(version))
    pinned = pinned_inputs(site.catalog.rows, version)
    inputs = {each.role: pinned[each.role] for each in asset.inputs if each.role in pinned}
    if version.partition:
        inputs = _picked(site, asset, inputs, version.partition)
    # Only what looks at the outside world goes on from where it stood; all else is made from its inputs alone.
    previous = _before(site, version) if asset.spec.is_external else None
    is_redefined = previous is None or previous.definition != version.definition
    return _Pinned(
        site, asset, inputs, previous, is_redefined=is_redefined, definition=version.definition, cause="reproduction",
        partition=version.partition,
        touched={role: each for role, each in pinned.items() if role not in inputs},
    )  # fmt: skip


def _before(site: Site, version: Version) -> Version | None:
    """Return the version that the environment had when this one was made."""
    found = site.catalog.rows.one(
        "SELECT id FROM version WHERE asset = ? AND environment = ? AND state = 'ok' AND id < ? ORDER BY id DESC LIMIT 1",
        version.asset, version.environment, version.id,
    )  # fmt: skip
    return versions.by_id(site.catalog.rows, found["id"]) if found else None


def _picked(site: Site, asset: Asset, inputs: Mapping[str, Version], key: str) -> dict[str, Version]:
    """Return the inputs with those of their partitions that one key of the asset is made from."""
    windows = {each.role: each.window for each in asset.inputs}
    picks = {role: Picker(asset.dimensions, each, windows[role]).keys(key) for role, each in inputs.items()}
    return {
        role: each if (keys := picks[role]) is None else selected(site.catalog.rows, each, keys)
        for role, each in inputs.items()
    }


def _kind(told: Mapping[str, str]) -> Kind:
    module, _, name = told["spec"].partition(":")
    spec = getattr(importlib.import_module(module), name)
    return Kind(told["word"], told["plural"], spec, told["sentence"], told["package"])


def _causes(context: Context, version: Version, packages: str) -> list[str]:
    """Return what is another in the definition than when the version was made."""
    site = context.site
    before = versions.parts(site.catalog.rows, version.fingerprint) or {}
    if "of" in before:  # of a partition the whole keeps the rest
        before = {**(versions.parts(site.catalog.rows, before["of"]) or {}), "inputs": before["inputs"]}
    if "code" not in before:
        return []
    seed = site.settings.seed
    now = fingerprints.definition(context.asset, site.project, packages=packages, root=site.root, seed=seed)
    same = {name: part for name, part in before.items() if name not in now}
    read = {name: undeclared.digest_of(name, site.root) for name in before.get(undeclared.SECTION, {})}
    found = fingerprints.causes(before, {**now, **same, **({undeclared.SECTION: read} if read else {})})
    return [_told(each) for each in found]


def _told(cause: fingerprints.Cause) -> str:
    """Return a cause in words; the value of a variable may be secret, so it is known by its digest alone."""
    word, _, name = (
        cause.name.partition(" ") if cause.section == undeclared.SECTION else (cause.section, "", cause.name)
    )
    declared = "" if cause.section != undeclared.SECTION else ", which is not declared,"
    if word == "variable":
        unset = digest(None)[:8]
        if cause.after == unset:
            return f"variable {name}{declared} was set, and is not set now"
        return f"variable {name}{declared} {'was not set, and is set now' if cause.before == unset else 'has another value'}"
    return f"{word} {name}{declared} has changed" if declared else cause.text


def _is_close(site: Site, version: Version, again: Stored, metrics: Mapping[str, float]) -> bool:
    """Say whether the two makings are alike but for what other hardware may move: all metrics, and all numbers in tables."""
    then = versions.metrics(site.catalog.rows, version.id)
    names = set(version.tables)
    if not (then or names) or set(then) != set(metrics) or names != set(again.tables):
        return False
    pairs = [_frames(site, version.tables[name], again.tables[name]) for name in names]
    return all(_is_near(then[name], metrics[name]) for name in then) and all(_are_near(*pair) for pair in pairs)


def _is_near(then: float, now: float) -> bool:
    return abs(then - now) <= TOLERANCE * max(1.0, abs(then))


def _are_near(old: pl.DataFrame, new: pl.DataFrame) -> bool:
    import polars as pl

    if old.schema != new.schema or old.height != new.height:
        return False
    for then, now in zip(old, new, strict=True):
        if not then.dtype.is_float():
            if not then.equals(now, null_equal=True):
                return False
            continue
        frame = pl.select(then=then.cast(pl.Float64), now=now.cast(pl.Float64))
        distance = (pl.col("then") - pl.col("now")).abs()
        is_near = distance <= TOLERANCE * pl.max_horizontal(pl.lit(1.0), pl.col("then").abs())
        if not frame.select((is_near | pl.col("then").eq_missing(pl.col("now"))).all()).item():
            return False
    return True


def _differences(site: Site, version: Version, again: Stored, metrics: Mapping[str, float]) -> Iterator[str]:
    """Yield where the version and its second making part: tables, then files, then metrics."""
    for name in sorted({*version.tables, *again.tables} - {POINTS}):
        yield from _table(site, name, version.tables.get(name), again.tables.get(name))
    for name in sorted({*version.files, *again.files}):
        old, new = version.files.get(name), again.files.get(name)
        if old != new:
            yield f"{name}{_place(name, site.files, old, new)}" if old and new else _only(name, bool(old))
    known = versions.metrics(site.catalog.rows, version.id)
    for name in sorted({*known, *metrics}):
        then, now = (None if side.get(name) is None else float(side[name]) for side in (known, metrics))
        if repr(then) != repr(now):
            yield f"metric {name}: {then} → {now}"


def _only(name: str, is_before: bool) -> str:
    return f"{name} is {'not made any more' if is_before else 'new'}"


def _table(site: Site, name: str, then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[str]:
    if then is None or now is None:
        yield _only(f"table {name}", then is not None)
    elif then["content"] != now["content"]:
        yield f"table {name}{_cell(*_frames(site, then, now))}"


def _frames(site: Site, *tables: Mapping[str, Any]) -> list[pl.DataFrame]:
    from oito.storage.tables import Table, scan

    return [scan(site.files, Table.from_data(each)).collect() for each in tables]


def _cell(old: pl.DataFrame, new: pl.DataFrame) -> str:
    """Return the first column, and in it the first row, in which two frames differ."""
    if old.schema != new.schema:
        return f": its columns were {_schema(old)}, now {_schema(new)}"
    if old.height != new.height:
        return f": it had {old.height} rows, now {new.height}"
    for name in old.columns:
        then, now = old[name].to_list(), new[name].to_list()
        row = next((i for i, pair in enumerate(zip(then, now, strict=True)) if repr(pair[0]) != repr(pair[1])), None)
        if row is not None:
            return f": column {name}, row {row}: {then[row]!r} → {now[row]!r}"
    return ""


def _schema(frame: pl.DataFrame) -> str:
    return ", ".join(f"{name} {dtype}" for name, dtype in frame.schema.items())


def _place(name: str, files: Files, then: str, now: str) -> str:
    """Return the first place in which two files differ: a path in JSON, a byte in anything else."""
    old, new = files.read(then), files.read(now)
    if name.endswith(".json"):
        paths = _paths(json.loads(old), json.loads(new))
        return f" at {next((path for path in paths if path != '/sha256'), '/')}"
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return f" at byte {first} of {len(old)}"


def _paths(old: Any, new: Any, at: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys([*old, *new]):
            yield from _paths(old.get(name), new.get(name), f"{at}/{name}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _paths(a, b, f"{at}/{place}")
    elif old != new:
        yield at


if __name__ == "__main__":
    main()
