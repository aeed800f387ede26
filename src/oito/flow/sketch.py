"""A project as it was when it was last loaded, kept so that a look at its state imports none of the user's modules.

It holds what a plan asks for: assets, what they need, what may be declared in plain values, and the definitions that the
code came to. It counts as long as nothing that the import read has changed; nothing is ever carried out from it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from oito.errors import OitoError
from oito.flow import bundle, fingerprint
from oito.flow.code.packages import in_site_folder, in_standard_library
from oito.flow.dimensions import Window
from oito.flow.kind import Kind
from oito.flow.plan import Planner
from oito.flow.project import Asset, Input, NeedsProject, Project
from oito.flow.reads.watching import Watch, stamp
from oito.flow.site import Site
from oito.settings import Settings
from oito.storage.digests import digest

FORMAT = 1
SETTLED_NS = 100_000_000  # a file changed more recently than this may change again within one tick of its mtime
_COUNTED = ("packages", "seed", "project")  # settings that definitions depend on
_PLAIN = (str, int, float, bool, type(None))


class Unsketched:
    """Stands for what a sketch does not hold: any use of it asks for the project, but for a function's own text."""

    def __init__(self, doc: str = "") -> None:
        self.__doc__ = doc

    def _ask(self, *_: Any, **__: Any) -> NoReturn:
        raise NeedsProject

    __call__ = __getattr__ = __iter__ = __len__ = __bool__ = __getitem__ = __contains__ = __str__ = _ask

    def __repr__(self) -> str:
        return "<known to the project alone>"


def draw(site: Site, watch: Watch) -> None:
    """Keep a sketch of a loaded project, unless something of it changed too lately to be sure.

    Args:
        watch: what was read while the project was imported.
    """
    at = state(site.project.root, site.settings, watched={**watch.files, **watch.folders}, variables=watch.variables)
    if at is None:
        return
    planner = Planner(site)
    try:
        drawn = [_drawn(asset, planner.definition(asset)) for asset in site.project.assets.values()]
    except OitoError:  # what is wrong is told by the plan itself
        return
    path = _path(site.project.root, site.settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.part")
    scratch.write_text(json.dumps({"at": at, "assets": drawn}), encoding="utf-8")
    scratch.replace(path)


def sketched(root: Path, settings: Settings, kinds: Sequence[Kind]) -> Project | None:
    """Return the project of a source folder without importing it, or None when there is no sketch that still holds."""
    try:
        kept = json.loads(_path(root, settings).read_text(encoding="utf-8"))
        before = kept["at"]
    except (OSError, ValueError, KeyError):
        return None
    now = state(root, settings, watched=before["watched"], variables=before["variables"], outside=before["outside"])
    if now is None or json.loads(json.dumps(now)) != before:
        return None
    by_word = {kind.word: kind for kind in kinds}
    assets: dict[str, Asset] = {}
    definitions: dict[str, fingerprint.Parts] = {}
    for each in kept["assets"]:
        if each["kind"] not in by_word:
            return None
        asset = _asset(each, by_word[each["kind"]])
        assets[asset.name] = asset
        definitions[asset.name] = each["definition"]
    return Project(root, assets, by_word, (), definitions=definitions)


def state(
    root: Path, settings: Settings, *, watched: Mapping[str, Any], variables: Sequence[str] | Mapping[str, str],
    outside: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """Return what a sketch depends on as it is now; None when something changed within the last tick of its time.

    That is: the sources below the project's folder, the user's modules outside of it, what the import read, the packages'
    folders, the settings that count, Python, and oito.
    """
    home = settings.home_folder
    sources = sorted(bundle.stamps(root, but=home))
    files = outside if outside is not None else dict.fromkeys(_modules_outside(root))
    found = {name: stamp(name) for name in files}
    read = {name: stamp(name) for name in watched}
    newest = max(
        [each[2] for each in sources] + [each[1] for each in (*found.values(), *read.values()) if each], default=0
    )
    if time.time_ns() - newest < SETTLED_NS:
        return None
    started = {str(root), str(Path(sys.argv[0]).parent)}  # differ from command to command
    places = [each for each in sys.path if each and each not in started and Path(each).is_dir()]
    return {
        "format": [FORMAT, fingerprint.FORMAT, sys.version, sys.prefix],
        "oito": stamp(str(Path(__file__).parent)),
        "settings": {name: settings.values[name] for name in _COUNTED},
        "sources": sources,
        "outside": found,
        "watched": read,
        "variables": {name: digest(os.environ.get(name)) for name in variables},
        "packages": {each: stamp(each) for each in places if in_site_folder(Path(each) / "x")},
        "path": places,
    }


def _modules_outside(root: Path) -> list[str]:
    """Return the files of loaded modules that are the user's and lie elsewhere, such as a package in development."""
    own = Path(__file__).parents[1]
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    paths = [Path(file) for file in files]
    return sorted(
        str(path)
        for path in paths
        if path.suffix == ".py" and not path.is_relative_to(root) and not path.is_relative_to(own)
        and not in_site_folder(path) and not in_standard_library(path)
    )  # fmt: skip


def _path(root: Path, settings: Settings) -> Path:
    return settings.home_folder / "sketches" / f"{digest(str(root))[:16]}.json"


def _drawn(asset: Asset, definition: fingerprint.Parts) -> dict[str, Any]:
    return {
        "name": asset.name, "kind": asset.kind.word, "file": asset.file, "line": asset.line,
        "spec": {each.name: _plain(getattr(asset.spec, each.name)) for each in fields(asset.spec)},
        "function": None if asset.function is None else asset.function.__doc__ or "",
        "inputs": [[i.role, i.asset, i.is_parameter, i.window.span if i.window else None] for i in asset.inputs],
        "named": [[i.role, i.asset] for i in asset.named],
        "options": list(asset.options),
        "dimensions": _plain(asset.dimensions),
        "definition": definition,
    }  # fmt: skip


def _asset(drawn: Mapping[str, Any], kind: Kind) -> Asset:
    spec = object.__new__(kind.spec)
    for name, value in drawn["spec"].items():
        object.__setattr__(spec, name, _back(value))
    return Asset(
        drawn["name"], kind, spec, None if drawn["function"] is None else Unsketched(drawn["function"]), drawn["file"], drawn["line"],
        tuple(Input(role, of, None, is_parameter, Window(span) if span else None)
              for role, of, is_parameter, span in drawn["inputs"]),
        tuple(Input(role, of) for role, of in drawn["named"]), dict.fromkeys(drawn["options"], Unsketched()),
        _back(drawn["dimensions"]),
    )  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a declared value as JSON data that `_back` reads; what is no plain value is left to the project."""
    if isinstance(value, _PLAIN) and type(value) in _PLAIN:
        return value
    if type(value) in {list, tuple}:
        return {type(value).__name__: [_plain(each) for each in value]}
    if is_dataclass(value) and type(value).__module__.startswith("oito."):
        of = f"{type(value).__module__}:{type(value).__qualname__}"
        return {"of": of, "fields": {each.name: _plain(getattr(value, each.name)) for each in fields(value)}}
    return {}


def _back(data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    if "list" in data:
        return [_back(each) for each in data["list"]]
    if "tuple" in data:
        return tuple(_back(each) for each in data["tuple"])
    if "of" not in data:
        return Unsketched()
    module, _, name = data["of"].partition(":")
    made = object.__new__(getattr(import_module(module), name))
    for field, value in data["fields"].items():
        object.__setattr__(made, field, _back(value))
    return made
