"""The serving process: one event loop, one port, one journal; it starts, learns of releases, and ends without dropping a request."""

import asyncio
import gc
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from oito.endpoints.batch import call
from oito.endpoints.desk import Desk
from oito.endpoints.http import BODY_BYTES, Connection, Listener
from oito.endpoints.journal import Journal
from oito.endpoints.served import Served
from oito.errors import BadSetting

CHECK_EVERY_S = 0.5
DRAIN_S = 20.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

Check = Callable[[], Served | None]
Ready = Callable[[Served, str, int], None]


def serve(
    load: Callable[[], Served],
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    check: Check | None = None,
    token: str | None = None,
    body_bytes: int = BODY_BYTES,
    ready: Ready = lambda served, host, port: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then answer what has arrived and return.

    Args:
        load: makes what is served first; it runs before the port opens.
        folder: the journal's; each process writes files of its own there.
        port: 0 takes a free one.
        check: asked each half second, in a thread, for a newer version; None means no change.
        token: what callers must send as `Authorization: Bearer …`; without it only this machine may call.
        body_bytes: the largest request body that is read.
        ready: called as soon as requests are taken, with what is served, the address and the port.

    Raises:
        BadSetting: `host` is open to other machines and there is no token.
        StorageError: the first version cannot be loaded, or the journal not be opened.
    """
    if host not in _LOOPBACK and not token:
        raise BadSetting(
            f"the endpoint would answer everybody who can reach {host}",
            next="set a token, or serve on 127.0.0.1",
        )
    served = load()
    warm(served)
    process = _Process(served, folder, token=token, host=host, body_bytes=body_bytes)
    uvloop.run(process.run(host, port, check=check, ready=ready))


def warm(served: Served) -> None:
    """Score one row of zeros, so that the first caller does not pay for what is made on the first call."""
    call(served, np.zeros((1, len(served.signature.columns))))


class _Process:
    def __init__(self, served: Served, folder: Path, *, token: str | None, host: str, body_bytes: int) -> None:
        self._served, self._folder, self._token, self._host = served, folder, token, host
        self._body_bytes = body_bytes
        self._stopping = asyncio.Event()

    async def run(self, host: str, port: int, *, check: Check | None, ready: Ready) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        desk = Desk(
            self._served,
            Journal(self._folder),
            call_soon=loop.call_soon,
            call_soon_threadsafe=loop.call_soon_threadsafe,
            token=self._token,
            hosts=("localhost", "127.0.0.1", "[::1]", host),
        )
        listener = Listener(desk.handle, desk.metrics, body_bytes=self._body_bytes)
        server = await loop.create_server(lambda: Connection(listener), host, port, backlog=1024)
        bound = server.sockets[0].getsockname()
        # What is loaded now stays: a collection must not walk it on the hot path.
        gc.collect()
        gc.freeze()
        ready(self._served, bound[0], bound[1])
        ended = threading.Event()
        if check is not None:
            threading.Thread(target=_watch, args=(check, desk, loop, ended), name="oito-releases", daemon=True).start()
        while not self._stopping.is_set():
            await _either(self._stopping.wait(), 1.0)
            listener.tick()
        ended.set()
        desk.is_ready = False
        server.close()
        listener.drain()
        deadline = time.monotonic() + DRAIN_S
        while listener.connections and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        desk.close()


async def _either(waiting: Any, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(waiting, timeout_s)
    except TimeoutError:
        return


def _watch(check: Check, desk: Desk, loop: asyncio.AbstractEventLoop, ended: threading.Event) -> None:
    """Hand every newer version to the loop once it has scored a row; one that cannot is told and not served."""
    while not ended.wait(CHECK_EVERY_S):
        try:
            served = check()
            if served is not None:
                warm(served)
                loop.call_soon_threadsafe(desk.swap, served)
        except Exception:
            if not ended.is_set():
                print("oito: the newest release cannot be served; the old one goes on", file=sys.stderr)  # noqa: T201 - a server's log
                traceback.print_exc(file=sys.stderr)
