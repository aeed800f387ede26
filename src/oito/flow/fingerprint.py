"""What a version is made from, as one nested record of digests, and the one digest over it. Code itself is read in code.py.

The record (`parts`) is kept beside the digest, so that two of them can be held against each other and `why` can name the
symbol, value, package, file or input that changed, before and after.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from oito.catalog.records import Version
from oito.errors import BadInput, DeclarationError
from oito.flow.code.closure import closure
from oito.flow.code.ownership import Owners
from oito.flow.code.packages import version_of
from oito.flow.project import Asset, Project
from oito.storage.digests import digest

FORMAT = 1
UNKEYED = frozenset({"shown", "places", "own", "key", "base", "readings"})  # for people and speed, not for the digest
OUTSIDE = frozenset({"inputs", "partitions"})  # what a definition leaves out
SOFTWARE = frozenset(
    {"format", "python", "packages"}
)  # an upgrade is no reason to ask the outside world all over again
Parts = dict[str, Any]
_SETTLED_NS = 100_000_000  # a file changed more recently than this may change again within one tick of its mtime


@dataclass(frozen=True)
class Cause:
    """One difference between two records: `section` says what sort of thing `name` is."""

    section: str
    name: str
    before: str
    after: str
    place: str = ""

    @property
    def in_code(self) -> bool:
        return self.section in {"code", "value"}

    @property
    def is_change(self) -> bool:
        """Whether the thing is there before and after."""
        return bool(self.before and self.after)

    @property
    def text(self) -> str:
        where = f"  ({self.place})" if self.place else ""
        if self.section == "code":
            change = {("", self.after): "is new", (self.before, ""): "is gone"}.get(
                (self.before, self.after), "changed"
            )
            return f"code {self.name} {change}{where}"
        return f"{f'{self.section} {self.name}'.strip()}: {self.before or 'absent'} → {self.after or 'absent'}{where}"

    def data(self) -> dict[str, str]:
        return {
            "section": self.section,
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "place": self.place,
        }


def definition(
    asset: Asset,
    project: Project,
    *,
    packages: str = "exact",
    root: Path | None = None,
    seed: int = 0,
    owners: Owners | None = None,
) -> Parts:
    """Return everything that enters a fingerprint but the inputs.

    Args:
        packages: how versions of packages count: `exact`, `minor` (x.y) or `off`.
        root: the folder that declared `reads` are relative to, when it is not the project's.
        seed: the project's root seed; it counts for assets that draw from it.
        owners: shared between the assets of one plan, so that whose a file is gets decided once.

    Raises:
        DeclarationError: a global that the code reaches, or a declared value, has no canonical form.
    """
    spec = asset.spec
    identity = spec.identity()
    reached = closure((asset.function, *_functions(identity)), roots=[project.root], owners=owners)
    places = {name: f"{Path(file).name}:{line}" for name, (file, line) in reached.places.items()}
    parts: Parts = {
        "format": FORMAT,
        "kind": spec.word,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "code": dict(reached.code),
        # The tuple that the walk starts with only says what else is said: its members are keyed one by one.
        "values": {name: key for name, key in reached.values.items() if name != "tuple"},
        "packages": {
            name: _counted(version, packages)
            for name, version in {**reached.packages, **_versions(spec.libraries)}.items()
            if packages != "off"
        },
        "declared": {name: _keyed(value, f"{asset.name}: {name}=") for name, value in identity.items()},
        "types": {each.role: _type_text(each.annotation) for each in asset.inputs if each.is_parameter},
        "names": {each.role: each.asset for each in asset.named},
        # Streams are named by their asset, so a seeded asset under another name is another thing.
        "seed": {"root": str(seed), "stream": asset.name} if spec.is_random or "seed" in asset.options else {},
        **_outside(asset, root or project.root),
        "shown": {**reached.shown, **{f"declared {name}": _short(value) for name, value in identity.items()}},
        "places": places,
        "readings": [] if spec.is_external else sorted({*reached.readings} - {*spec.reads}),
        "own": next(iter(reached.code), "") if asset.function is not None else "",
    }
    return {**parts, "key": keyed_parts(parts)}


def refreshed(parts: Parts, asset: Asset, *, root: Path) -> Parts:
    """Return a definition that was kept, with the declared files and variables as they are now."""
    if not (asset.spec.reads or asset.spec.env):
        return parts
    now = {**parts, **_outside(asset, root)}
    return {**now, "key": keyed_parts(now)}


def _versions(modules: Sequence[str]) -> dict[str, str]:
    found = [version_of(module) for module in modules]
    return {each.name: each.version for each in found if each is not None}


def _outside(asset: Asset, root: Path) -> Parts:
    return {
        "files": {name: _file_digest(root, name, asset) for name in asset.spec.reads},
        "variables": {name: digest(os.environ.get(name)) for name in asset.spec.env},
    }


def keyed_parts(parts: Parts) -> str:
    """Return the digest of a definition's parts."""
    return digest(_nameless(parts, UNKEYED | OUTSIDE))


def with_inputs(parts: Parts, inputs: Mapping[str, Version]) -> Parts:
    """Return the record with the content of each input, by role."""
    shown = {f"inputs {role}": version.ref for role, version in inputs.items()}
    contents = {role: version.content for role, version in inputs.items()}
    return {**parts, "inputs": contents, "shown": {**parts["shown"], **shown}}


def fingerprint(parts: Parts) -> str:
    """Return the SHA-256 over the typed record; the asset's own name is no part of it."""
    return digest((parts["key"], parts["inputs"], *([parts["partitions"]] if "partitions" in parts else [])))


def definition_digest(parts: Parts, inputs: Mapping[str, str], *, is_external: bool = False) -> str:
    """Return the digest of how a version is made, data left out: its own definition and those of its inputs, by role.

    What depends on the outside world is not redefined by an upgrade of packages or of Python: it would start afresh, and
    the outside may not give again what it gave before.
    """
    own = digest(_nameless(parts, UNKEYED | OUTSIDE | SOFTWARE)) if is_external else parts["key"]
    return digest((own, dict(sorted(inputs.items()))))


def _nameless(parts: Parts, without: frozenset[str]) -> Parts:
    """Return the sections that count, with one neutral name for the asset's own function."""
    kept = {name: part for name, part in sorted(parts.items()) if name not in without}
    own = parts.get("own")
    if own:
        for section in ("code", "values"):
            kept[section] = {_neutral(symbol, own): key for symbol, key in parts[section].items()}
    return kept


def _neutral(symbol: str, own: str) -> str:
    return "<own>" + symbol[len(own) :] if symbol == own or symbol.startswith(own + ".") else symbol


def causes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Cause]:
    """Return the differences between two records: first what changed in the code, the innermost thing before what holds it,
    then in what else went in, and what came or went with such a change last.
    """
    found: list[Cause] = []
    left_out = (
        UNKEYED if "undeclared" in before and "undeclared" in after else UNKEYED | {"undeclared"}
    )  # not learned yet
    for section in sorted({*before, *after} - left_out, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)):
        old, new = before.get(section, {}), after.get(section, {})
        if isinstance(new, Mapping) and isinstance(old, Mapping):
            found += [
                _cause(section, name, before, after) for name in sorted({*old, *new}) if old.get(name) != new.get(name)
            ]
        elif old != new:
            found.append(Cause(section, "", str(old), str(new)))
    holding = {above for each in found if each.in_code and each.is_change for above in _holders(each.name)}
    return sorted(found, key=lambda each: _rank(each, holding))


def _rank(cause: Cause, holding: Collection[str]) -> int:
    """Return 0 for what tells most, 1 for what changed because of something inside of it, 2 for what came or went."""
    if not cause.in_code:
        return 0
    if not cause.is_change:
        return 2
    return int(cause.name in holding or " of " in cause.name)


def _holders(symbol: str) -> list[str]:
    """Return the names of what a symbol stands in, the innermost first."""
    parts = symbol.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]


_ORDER = {
    name: place
    for place, name in enumerate(
        (
            "code",
            "values",
            "declared",
            "types",
            "names",
            "seed",
            "packages",
            "python",
            "kind",
            "files",
            "variables",
            "undeclared",
            "inputs",
        )
    )
}


def _cause(section: str, name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Cause:
    places = {**before.get("places", {}), **after.get("places", {})}
    place = next((places[each] for each in (name, *_holders(name)) if places.get(each)), "")
    if section == "code":
        return Cause(section, name, before["code"].get(name, "")[:8], after["code"].get(name, "")[:8], place)
    word = section.removesuffix("s")
    if section in {"packages", "names", "types", "seed"}:
        return Cause(word, name, before.get(section, {}).get(name, ""), after[section].get(name, ""))
    key = {"values": name, "declared": f"declared {name}", "inputs": f"inputs {name}"}.get(section, "")
    texts = [side.get("shown", {}).get(key) or side.get(section, {}).get(name, "")[:8] for side in (before, after)]
    if texts[0] == texts[1]:  # the difference is too deep inside to be shown
        texts = [f"{text} #{side[section][name][:8]}" for text, side in zip(texts, (before, after), strict=True)]
    return Cause(word, name, texts[0], texts[1], place)


def _keyed(value: Any, path: str) -> str:
    try:
        return digest(_without_functions(value))
    except BadInput as error:
        raise DeclarationError(f"{path} {error.what}", where=error.where, next=error.next) from error


def _functions(value: Any) -> list[Any]:
    """Return the functions inside a declared value; their code is keyed with that of the asset's own function."""
    if hasattr(value, "__code__"):
        return [value]
    return [function for each in _inside(value) for function in _functions(each)]


def _without_functions(value: Any) -> Any:
    """Return the value with the name of each function in its place."""
    if hasattr(value, "__code__"):
        return ("function", value.__qualname__)
    if isinstance(value, tuple | list):
        return type(value)(_without_functions(each) for each in value)
    if isinstance(value, dict):
        return {key: _without_functions(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__qualname__, {f.name: _without_functions(getattr(value, f.name)) for f in fields(value)})
    return value


def _inside(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    return []


def _type_text(annotation: Any) -> str:
    return "" if annotation is None else getattr(annotation, "__qualname__", str(annotation))


def _counted(version: str, mode: str) -> str:
    return ".".join(version.split(".")[:2]) if mode == "minor" else version


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes, or of all files below a folder by name; what is unchanged is not read again.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    stat = path.stat()
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        return digest([(each.relative_to(path).as_posix(), file_digest(each)) for each in files])
    if time.time_ns() - stat.st_mtime_ns < _SETTLED_NS:
        return _hashed.__wrapped__(path)
    return _hashed(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _file_digest(root: Path, name: str, asset: Asset) -> str:
    try:
        return file_digest(root / name)
    except OSError as error:
        problem = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise DeclarationError(
            f"{asset.name} reads {name}, which {problem}", where=asset.place, known=f"looked in {root}"
        ) from None


@lru_cache(maxsize=4096)
def _hashed(path: Path, *stamp: int) -> str:
    del stamp  # part of the cache's key only
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "…"
