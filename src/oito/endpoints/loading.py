"""From the catalog to something that answers: a version's executor, verified, and the user's function from stored source."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from oito.catalog import runs, versions
from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.endpoints import executor
from oito.endpoints.answering import Score, scoring
from oito.errors import UnknownVersion
from oito.flow import bundle, project
from oito.flow.releases import release
from oito.flow.site import Site
from oito.names import file_name

_ASIDE = threading.Lock()
_PROJECTS = 8


def journal_folder(site: Site, endpoint: str) -> Path:
    """Return where the predictions of an endpoint in the site's environment are written down."""
    return site.home / "journal" / file_name(site.environment) / endpoint


def signature_of(version: Version) -> Signature:
    return Signature.from_data(version.record["signature"])


def loaded(site: Site, version: Version) -> executor.Executor:
    """Return the executor of an endpoint's version; the trained model itself is only read when it is served natively.

    Raises:
        CorruptFile: a file's bytes do not fit their digest.
    """
    files = {name: site.files.read(key) for name, key in version.files.items()}
    return executor.load(files, signature_of(version), native=lambda: site.read(model_of(site, version)).estimator)


def model_of(site: Site, version: Version) -> Version:
    """Return the experiment's version that an endpoint's version answers with.

    Raises:
        UnknownVersion: it is gone.
    """
    found = versions.by_id(site.catalog.rows, version.record["model_version_id"])
    if found is None:
        raise UnknownVersion(f"{version.ref} answers with {version.record['model']}, which is gone")
    return found


def source_of(site: Site, version: Version) -> str:
    """Return the stored source whose functions a version runs in the site's environment, "" when it runs none.

    A protected environment runs its release's source, any other that of the run which made the version: never a folder
    that somebody is editing.

    Raises:
        UnknownVersion: the run that made it is gone.
    """
    if not (version.record["function"] or version.record["on_request"]):
        return ""
    if site.environment in site.catalog.protected:
        last = release.current_release_of(site.catalog, site.environment)
        if last is not None:
            return last.bundle
    run = runs.by_id(site.catalog.rows, version.run)
    if run is None:
        raise UnknownVersion(f"the source that made {version.ref} is gone", next=f"oito run {version.asset}")
    return run.bundle


def with_source(site: Site, source: str) -> Site:
    """Return the site with the project of a stored source, imported in the place of any other; with "" as it is."""
    if not source:
        return site
    root = bundle.unpacked(site.files, source, site.home / "bundles")
    found = project.load(root, list(site.settings.project), list(site.project.kinds.values()))
    return replace(site, project=found)


def beside(site: Site, source: str) -> Site:
    """Return the site with the project of a stored source, imported beside the present one; with "" as it is.

    What a function imports when it is called, rather than at the top of its file, is not kept apart.
    """
    return replace(site, project=_project(_Held(site), source)) if source else site


def scorer(site: Site, version: Version) -> Score:
    """Return what a version answers with in the site's project: from rows, float64 [n, d], to outputs, float64 [n, k]."""
    function = site.project.asset(version.asset).function if version.record["function"] else None
    return scoring(loaded(site, version), signature_of(version), function)


class _Held:
    """A site as the key of a cache: one stored source gives one project, whatever else the site is."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __hash__(self) -> int:
        return hash(self.site.home)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.site.home == other.site.home


@lru_cache(_PROJECTS)
def _project(held: _Held, source: str) -> project.Project:
    with _modules_kept():
        return with_source(held.site, source).project


@contextmanager
def _modules_kept() -> Iterator[None]:
    """Let another project be imported without the present one losing its modules; one thread at a time."""
    with _ASIDE:
        modules, path = dict(sys.modules), list(sys.path)
        try:
            yield
        finally:
            sys.modules.update(modules)
            sys.path[:] = path
