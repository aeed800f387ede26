"""Commands of the terminal alone: they start something that stays, or make a new folder."""

from __future__ import annotations

import sys

from oito.eight import kinds
from oito.flow.action import action
from oito.flow.project import Project
from oito.flow.site import Site
from oito.show import Page
from oito.workspace import Workspace


@action("init")
def init(
    workspace: Workspace, folder: str = ".", *, data: str = "", label: str = "", time: str = "", entity: str = ""
) -> Page:
    """Begin a project from a table: all eight kinds in one module of forty lines, ready to run.

    Args:
        folder: where; it may be new.
        data: a table, as .csv, .tsv, .parquet or .jsonl; without one, a small made-up table.
        label: the column that is asked for; by default the last that can be.
        time: the column of the moment a row is about; by default the first of moments.
        entity: the column that names a row; by default one that looks like a key, else rows are numbered.
    """
    from oito.starter.begin import begin

    where = workspace.root / folder
    return begin(where, data=data, label=label, time=time, entity=entity, now=workspace.clock.now())


@action("up")
def up(workspace: Workspace, *, port: int = 0, host: str = "127.0.0.1", schedule: bool = True) -> Page:
    """Open the pages at http://localhost:8787, and carry out the schedules of released environments.

    One process of all that stand on a store leads the schedules; further ones stand by, and one of them takes over when it ends.

    Args:
        port: where to listen; by default the setting `port`.
        host: the address to listen on; beyond this machine a token is needed.
        schedule: whether this process carries the schedules out, too.
    """
    from oito.api.server import serve
    from oito.scheduler.service import Service

    beside = Service(workspace) if schedule else None
    return serve(workspace, host=host, port=port or workspace.settings.port, beside=beside)


@action("repair", writes=True)
def repair(workspace: Workspace, version: str = "", *, rows: bool = False) -> Page:
    """Put a damaged store right: the catalog from its manifest, stored bytes from the code and inputs that made them.

    Args:
        version: make the bytes of this one again, also when they were freed; all that is damaged when none is named.
        rows: build the catalog anew even though its file can be read, because rows in it were changed.
    """
    from oito.cli.repairing import repaired

    return repaired(workspace, version, rows=rows)


@action("settings")
def settings(workspace: Workspace) -> Page:
    """List every setting, its value and where that came from."""
    from oito.flow.actions import settings_page

    return settings_page(workspace.settings)


@action("serve")
def serve(workspace: Workspace, endpoint: str = "", *, port: int = 0, host: str = "127.0.0.1") -> Page:
    """Answer predictions over HTTP, each written down before it is answered; a release takes over while this runs.

    Serves production as soon as something was released to it, unless another environment is named.

    Args:
        endpoint: which one; by default the only one.
        port: where to listen; by default the setting `serve_port`.
        host: the address to listen on; beyond this machine a token is needed.
    """
    from oito.endpoints import server, serving
    from oito.endpoints.loading import journal_folder
    from oito.flow.releases.reach import Reach

    settings = workspace.settings
    site = _site_to_serve(workspace)
    stand = serving.Stand(site, endpoint or serving.only_endpoint(site))
    with Reach(site.home / "bundles", site.root, site.home).closed():  # only stored source answers, of any release
        server.serve(
            stand.load, folder=journal_folder(site, stand.endpoint), host=host, port=port or settings.serve_port,
            check=stand.newer, token=settings.token or None, body_bytes=settings.max_body_bytes,
            ready=lambda served, address, bound: _listening(served.version, site.environment, address, bound),
        )  # fmt: skip
    return Page("stopped", [], {})


def _site_to_serve(workspace: Workspace) -> Site:
    """Return where an endpoint is served from; the folder's own code is not imported, functions come from stored source."""
    from oito.flow.releases.release import current_release_of

    environment = workspace.environment
    if not workspace.settings.is_told("environment"):
        released = (name for name in workspace.settings.protected if current_release_of(workspace.catalog, name))
        environment = next(released, environment)
    project = Project(workspace.root, {}, {kind.word: kind for kind in kinds()}, ())
    return Site(project, workspace.catalog, workspace.files, workspace.settings, environment, workspace.root)


def _listening(version: str, environment: str, host: str, port: int) -> None:
    sys.stdout.write(f"{version} of {environment} answers at http://{host}:{port}/predict\n")
    sys.stdout.flush()
