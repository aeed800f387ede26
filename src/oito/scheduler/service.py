"""The scheduler beside something that stays, such as the pages: a thread that turns it, rests in between, and stops it in order."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from types import FrameType, TracebackType
from typing import NoReturn

from oito.catalog.catalog import Catalog
from oito.clock import text
from oito.errors import OitoError
from oito.flow.cron import zone_of
from oito.scheduler import children
from oito.scheduler.loop import Scheduler
from oito.workspace import Workspace

POLL_S = 0.5  # how soon a change that another process made is seen
PAUSE_S = 5.0  # after a turn that went wrong
TERMINATED = 143


class Service:
    """Lets a scheduler work while the block runs, and ends it: what runs is asked to stop, then killed.

    Raises:
        BadInput: this machine does not know the time zone that is set.
    """

    def __init__(self, workspace: Workspace) -> None:
        settings = workspace.settings
        zone_of(settings.timezone)
        given = {name: settings.values[name] for name, origin in settings.origins.items() if origin == "command"}
        catalog = Catalog(settings.home_folder, workspace.clock, who="scheduler", protected=tuple(settings.protected))
        self._catalog = catalog
        self._scheduler = Scheduler(catalog, settings, workspace.root, given=given, say=self._say)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="oito-scheduler", daemon=True)

    def __enter__(self) -> Service:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _terminate)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(children.GRACE_S + 2 * PAUSE_S)

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                seen = self._catalog.rows.foreign_changes()
                self._rest(self._turned(), seen)
        finally:
            self._tried(self._scheduler.close)
            self._catalog.close()

    def _turned(self) -> float:
        found = self._tried(self._scheduler.turn)
        return PAUSE_S if found is None else found

    def _tried(self, act: object) -> float | None:
        """Do one thing of the scheduler; what goes wrong is told, and the scheduler goes on."""
        assert callable(act)
        try:
            found: float | None = act()
        except OitoError as error:
            self._say(f"{type(error).__name__}: {error}")
        except Exception:  # a fault of ours must not end every schedule
            traceback.print_exc()
        else:
            return found
        return None

    def _rest(self, seconds: float, seen: int) -> None:
        """Wait until something may be due, another process has changed something, or a run has ended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._over.wait(min(POLL_S, left)):
            if self._scheduler.has_ended() or self._catalog.rows.foreign_changes() != seen:
                return

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{text(self._catalog.clock.now())[:19].replace('T', ' ')}  {line}\n")
        sys.stdout.flush()


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)
