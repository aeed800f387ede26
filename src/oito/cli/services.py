"""Commands of the terminal alone: they start something that stays, or make a new folder."""

from __future__ import annotations

from oito.flow.action import action
from oito.show import Page
from oito.workspace import Workspace


@action("up")
def up(workspace: Workspace, *, port: int = 0, host: str = "127.0.0.1") -> Page:
    """Open the pages: the loop, every asset, version, run, release and event, at http://localhost:8787.

    Args:
        port: where to listen; by default the setting `port`.
        host: the address to listen on; beyond this machine a token is needed.
    """
    from oito.api.app import serve

    return serve(workspace, host=host, port=port or workspace.settings.port)
