"""An endpoint and a monitor's verdict are made again in a clean process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from oito.flow.remaking.reproduction import reproduce


def test_an_endpoint_and_a_verdict_are_made_again_while_the_journal_is_there(loop: Callable[..., Any]) -> None:
    world = loop()
    world.run()
    world.day()
    first = world.day()
    endpoint = world.site.catalog.find("answers", "production")
    for version in (endpoint, first):
        found = reproduce(world.site, version)
        assert (found.text, found.differences) == (f"{version.ref} is bit-equal", ()), found
    world.day()
    assert reproduce(world.site, first).verdict == "bit-equal", "later questions are no part of it"
    shutil.rmtree(world.site.home / "journal")
    found = reproduce(world.site, first)
    assert found.verdict == "proven by stored rows only"
    assert found.note.startswith("what it looked at has moved on; made again from that, it differs first at ")
