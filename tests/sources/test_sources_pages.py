"""What a source looks like: its collections, its files, and the rows it set aside."""

from pathlib import Path
from typing import Any

import pytest

from oito.errors import OitoError
from oito.show import Table
from oito.sources import actions, panels
from small_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ride(number: int, km: Any) -> dict[str, Any]:
    return {"id": number, "at": "2013-10-01T00:00:00Z", "km": km}


def test_the_page_of_a_source_tells_collections_cursor_and_what_was_set_aside(world: World) -> None:
    world.declare('@oito.source(key="id", cursor="at")\ndef rides(since): return outside(since)\n')
    world.poll([ride(1, 1)])
    world.poll([ride(1, 1), ride(2, "far")])
    asset = world.site.project.asset("rides")
    blocks = panels.asset_blocks(world.site, asset, world.version())
    assert [block.title for block in blocks] == [
        "Rows that rides brought", "Collections", "Collection", "Set aside: 1 rows",
    ]  # fmt: skip
    collections = blocks[1]
    assert isinstance(collections, Table)
    assert [list(row[2:5]) for row in collections.rows] == [[0, 1, 1], [1, 1, 0]]
    page = actions.quarantine(world.site, "rides")
    assert [(row["id"], row["set_aside_because"]) for row in page.data["rows"]] == [("2", "km is 'far', no Int64")]
    assert len(actions.collections(world.site, "rides").data["collections"]) == 2
    assert actions.files(world.site, "rides").data["files"] == []
    assert panels.asset_blocks(world.site, asset, None)


def test_the_files_of_a_source_are_listed(world: World) -> None:
    world.declare('rides = oito.source.files("*.csv", key="id")\n')
    (world.root / "a.csv").write_text("id\n1\n")
    world.poll()
    (told,) = actions.files(world.site, "rides").data["files"]
    assert (told["path"], told["rows"], told["size_bytes"]) == ("a.csv", 1, 5)
    with pytest.raises(OitoError, match="no asset 'rides2' has a version"):
        actions.collections(world.site, "rides2")
