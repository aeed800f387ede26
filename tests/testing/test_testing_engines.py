"""Both engines keep the promises that are asked of every other."""

from oito.flow.engines.engine import Engine, Inline
from oito.flow.engines.processes import Processes
from oito.flow.site import Site
from oito.testing import EngineContract


class TestInline(EngineContract):
    is_apart = False

    def engine(self, site: Site) -> Engine:
        return Inline()


class TestProcesses(EngineContract):
    def engine(self, site: Site) -> Engine:
        return Processes(site, slots=2)
