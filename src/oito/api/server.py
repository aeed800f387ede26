"""Listens for visitors of the pages until it is stopped. What they are answered is app.py's work."""

from __future__ import annotations

import socket
import sys
from contextlib import AbstractContextManager, nullcontext

from oito.api import guard
from oito.api.app import application
from oito.errors import BadInput
from oito.show import Page
from oito.workspace import Workspace


def serve(workspace: Workspace, *, host: str, port: int, beside: AbstractContextManager[object] | None = None) -> Page:
    """Answer until stopped; the address is printed as soon as visitors are answered. Port 0 takes a free one.

    Args:
        beside: what works as long as visitors are answered.

    Raises:
        BadInput: the host reaches beyond this machine and no token is set, or the port is taken.
        ProjectFaults: the project cannot be loaded.
    """
    import uvicorn

    token = workspace.settings.token
    guard.check_reach(host, token)
    app = application(workspace, token=token, hosts=(host,))
    workspace.refreshed()  # what is wrong with the project is told now, not to the first visitor
    listening = _listening(host, port)
    shown = f"[{host}]" if ":" in host else host
    sys.stdout.write(
        f"oito answers at http://{shown}:{listening.getsockname()[1]} in {workspace.environment}; Ctrl-C stops it\n"
    )
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_keep_alive=20)
    with beside or nullcontext():
        uvicorn.Server(config).run(sockets=[listening])
    return Page("stopped", [], {})


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that takes visitors at once; they wait until the server is there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise BadInput(
            f"port {port} of {host} cannot be listened on: {error.strerror}", next="choose another, such as --port 8788"
        ) from None
    listening.listen(128)
    return listening
