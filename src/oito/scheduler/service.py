"""The scheduler beside something that stays, such as the pages: a thread that turns it, rests in between, and stops it in order."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from oito.catalog.catalog import Catalog
from oito.clock import text
from oito.errors import OitoError
from oito.flow.schedules.cron import zone_of
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
        self._before: Any = None  # what SIGTERM did
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="oito-scheduler", daemon=True)

    def __enter__(self) -> Service:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _terminate)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(children.GRACE_S + 2 * PAUSE_S)
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                if not self._went_well(self._round):
                    self._over.wait(PAUSE_S)
        finally:
            self._went_well(self._scheduler.close)
            self._catalog.close()

    def _round(self) -> None:
        seen = self._catalog.rows.foreign_changes()
        self._rest(self._scheduler.turn(), seen)

    def _went_well(self, act: Callable[[], None]) -> bool:
        """Do one thing of the scheduler; what goes wrong is told, and the scheduler goes on."""
        try:
            act()
        except OitoError as error:
            self._say(f"{type(error).__name__}: {error}")
        except Exception:  # a fault of ours must not end every schedule
            traceback.print_exc()
        else:
            return True
        return False

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
