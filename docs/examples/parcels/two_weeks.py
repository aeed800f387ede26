"""Two weeks of the parcels example: train, release, then answer each day's questions and let the next day come.

Afterwards the example stands on 2024-03-29: `oito status -e production --now 2024-03-29`.
"""

from datetime import timedelta
from pathlib import Path

from oito.clock import VirtualClock, moment
from oito.endpoints.rehearsal import rehearse
from oito.workspace import Workspace

START, DAYS = moment("2024-03-15"), 14


def main(folder: Path, *, days: int = DAYS) -> None:
    """Play the loop in a project folder, on a clock that is moved by hand."""
    clock = VirtualClock(START)
    dev = Workspace(folder, clock=clock)
    dev.run()
    dev.release("production", message="the first model")
    production = Workspace(folder, clock=clock, environment="production")
    for _ in range(days):
        morning = clock.now()
        clock.advance(timedelta(days=1))
        _answer(production, morning)
        production.run()
    dev.run()
    for each in (production, dev):
        each.close()


def _answer(production: Workspace, morning: object) -> None:
    import world  # the project's own module, which the workspace has found by now

    endpoint = production.catalog.find("parcel_risk", "production")
    rehearse(production.site, endpoint, world.waiting(morning, production.clock.now()))


if __name__ == "__main__":
    main(Path(__file__).parent)
