"""What an engine and its workers say to each other: lines of JSON, a few kilobytes each. Who says what when is theirs.

Rows and model files never travel: a worker reads them from the store and writes them there, and names them by their digests.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oito import errors
from oito.catalog import versions
from oito.catalog.catalog import Catalog
from oito.catalog.records import Version
from oito.clock import Clock, RealClock, VirtualClock, moment, text
from oito.errors import DeclarationError, OitoError
from oito.flow import loading
from oito.flow import project as projects
from oito.flow.kind import Kind
from oito.flow.site import Context, Made, Site
from oito.flow.stored import Stored
from oito.settings import SETTINGS, Settings
from oito.storage.files import Files

Message = dict[str, Any]


def line(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, separators=(",", ":"), default=_plain).encode() + b"\n"


def read(line: bytes) -> Message:
    """Return the message that a line holds."""
    message: Message = json.loads(line)
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


# What a worker is told once: where it is to work, and the source that it is to run.


def site_message(site: Site) -> Message:
    """Return what another process needs to open the same site, with the source that this one has loaded."""
    settings, catalog = site.settings, site.catalog
    sources = loading.sources(site.project.modules)
    return {
        "path": sys.path, "code": str(site.project.root), "root": str(site.root), "files": str(site.files.root),
        "home": str(catalog.folder), "who": catalog.who, "protected": list(catalog.protected), "base": catalog.base,
        "environment": site.environment, "kinds": [_kind_message(kind) for kind in site.project.kinds.values()],
        "settings": {"values": dict(settings.values), "origins": dict(settings.origins), "root": str(settings.root)},
        "sources": {file: source.decode("latin-1") for file, source in sources.items()},
    }  # fmt: skip


def opened(told: Mapping[str, Any]) -> Site:
    """Return the site that a message describes, with its project loaded from the very source that the other one runs.

    Raises:
        DeclarationError: what was loaded is not what the other process runs.
    """
    sys.path[:] = told["path"]
    sources = {file: source.encode("latin-1") for file, source in told["sources"].items()}
    settings = _settings(told["settings"])
    kinds = [_kind(each) for each in told["kinds"]]
    loading.pin(sources)
    project = projects.load(Path(told["code"]), list(settings.project), kinds)
    _prove(loading.sources(project.modules), sources)
    catalog = Catalog(
        Path(told["home"]), RealClock(), who=told["who"], protected=tuple(told["protected"]), base=told["base"]
    )
    return Site(project, catalog, Files(Path(told["files"])), settings, told["environment"], Path(told["root"]))


def _prove(loaded: Mapping[str, bytes], sources: Mapping[str, bytes]) -> None:
    others = sorted(file for file in loaded if file in sources and loaded[file] != sources[file])
    if others:
        raise DeclarationError(
            f"a worker has loaded another source of {', '.join(Path(file).name for file in others)} than the run",
            known="a worker runs the source that the run began with",
            next="run the same command again",
        )


def _kind_message(kind: Kind) -> Message:
    return {**asdict(kind), "spec": f"{kind.spec.__module__}:{kind.spec.__qualname__}"}


def _kind(told: Mapping[str, Any]) -> Kind:
    module, _, name = str(told["spec"]).partition(":")
    return Kind(**{**told, "spec": getattr(importlib.import_module(module), name)})


def _settings(told: Mapping[str, Any]) -> Settings:
    lists = {setting.name for setting in SETTINGS if isinstance(setting.default, tuple)}
    values = {name: tuple(value) if name in lists else value for name, value in told["values"].items()}
    return Settings(values, told["origins"], Path(told["root"]))


# A task: one step, and the versions that go into it.


def task_message(context: Context) -> Message:
    """Return a step as a worker is told of it."""
    clock = context.site.clock
    return {
        "asset": context.asset.name, "partition": context.partition,
        "inputs": {role: _version_message(version) for role, version in context.inputs.items()},
        "previous": _version_message(context.previous) if context.previous else None,
        "is_redefined": context.is_redefined, "definition": context.definition, "cause": context.cause,
        "run": context.run,
        "now": None if isinstance(clock, RealClock) else text(clock.now()),
    }  # fmt: skip


def context_of(site: Site, told: Mapping[str, Any]) -> Context:
    """Return a step as the worker carries it out; the clock of its site stands where the other one's does."""
    clock: Clock = VirtualClock(moment(told["now"])) if told["now"] else RealClock()
    site.catalog.clock = clock
    previous = told["previous"]
    return Context(
        site, site.project.asset(told["asset"]),
        {role: _version(site.catalog, each) for role, each in told["inputs"].items()},
        _version(site.catalog, previous) if previous else None, is_redefined=told["is_redefined"],
        definition=told["definition"], cause=told["cause"], partition=told["partition"], run=told["run"],
    )  # fmt: skip


def _version_message(version: Version) -> Message:
    return {"id": version.id, "keys": None if version.selection is None else list(version.selection)}


def _version(catalog: Catalog, told: Mapping[str, Any]) -> Version:
    found = versions.by_id(catalog.rows, told["id"])
    assert found is not None
    if told["keys"] is None:
        return found
    from oito.flow.partition import selected

    return selected(catalog.rows, found, told["keys"])


# What came of it.


def made_message(made: Made, stored: Stored | None, touched: Mapping[str, Version]) -> Message:
    """Return what a step made, without its bytes: those are stored."""
    told: Message = {
        "record": made.record, "metrics": made.metrics, "content": made.content, "meaning": list(made.meaning),
        "broken": error_message(made.broken) if made.broken else None, "unchanged": made.unchanged,
        "undeclared": made.undeclared,
    }  # fmt: skip
    return {
        "made": told, "stored": asdict(stored) if stored else None,
        "touched": {name: version.id for name, version in touched.items()},
    }  # fmt: skip


def made_of(catalog: Catalog, told: Mapping[str, Any]) -> tuple[Made, Stored | None, dict[str, Version]]:
    """Return what a worker made, where its bytes are, and the versions that it looked at beside its inputs."""
    fields = dict(told["made"])
    broken = fields.pop("broken")
    made = Made(**{**fields, "meaning": tuple(fields["meaning"])}, broken=error_of(broken) if broken else None)
    known = versions.by_ids(catalog.rows, told["touched"].values())
    touched = {name: known[identity] for name, identity in told["touched"].items()}
    return made, Stored(**told["stored"]) if told["stored"] else None, touched


def error_message(error: OitoError) -> Message:
    """Return an error as its fields and the names of its classes, the nearest first."""
    classes = [cls.__name__ for cls in type(error).__mro__ if issubclass(cls, OitoError)]
    return {"classes": classes, **error.data(), "may_retry": bool(error.may_retry)}


def error_of(told: Mapping[str, Any]) -> OitoError:
    """Return the error again, in its class; one of a class that only the user's code knows comes as the nearest of ours."""
    known = {cls.__name__: cls for cls in _classes(OitoError)}
    cls = next(known[name] for name in told["classes"] if name in known)
    error = errors.revived(cls, {name: told[name] for name in ("what", "where", "known", "next")})
    if error.may_retry != told["may_retry"]:
        error.may_retry = told["may_retry"]
    return error


def _classes(cls: type[OitoError]) -> Iterator[type[OitoError]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _classes(each)
