"""Data sets made from Python and SQL: what is kept, what is broken, what is told, and that the same input gives the same content."""

from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from oito.catalog import versions
from oito.datasets import actions, panels
from oito.datasets.compare import compare
from oito.errors import CheckFailed, OitoError, ProjectFaults, StepFailed, UnknownVersion
from oito.show import Table
from small_world import World

RIDES = """
@oito.source(key="id", cursor="at")
def rides(since): return outside(since)
"""
CLEAN = (
    RIDES
    + """
@oito.dataset(key="id", checks=[oito.between("km", 0, 300), oito.not_null("city", severity="quarantine")])
def clean(rides): return rides
"""
)
ROWS = [
    {"id": 1, "at": "2013-10-01T00:00:00Z", "km": 4.0, "city": "Faro"},
    {"id": 2, "at": "2013-10-02T00:00:00Z", "km": 5.0, "city": None},
    {"id": 3, "at": "2013-10-03T00:00:00Z", "km": 6.5, "city": "Braga"},
]
BAD = {"id": 4, "at": "2013-10-03T00:00:00Z", "km": -4.2, "city": "Braga"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_version_holds_its_rows_its_quarantine_its_checks_and_its_profile(world: World) -> None:
    world.declare(CLEAN)
    world.poll(ROWS)
    assert world.rows("clean")["id"].to_list() == [1, 3]
    assert world.aside("clean").select("id", "set_aside_because").rows() == [(2, "city is never missing")]
    record = world.version("clean").record
    assert [(each["text"], each["state"], each["broken"]) for each in record["checks"]] == [
        ("id names one row, and is never missing", "passed", 0),
        ("km is between 0 and 300", "passed", 0),
        ("city is never missing", "quarantined", 1),
    ]
    assert record["profile"]["columns"][2]["mean"] == 5.25
    assert versions.metrics(world.site.catalog.rows, world.version("clean").id)["set_aside"] == 1


def test_a_failed_check_says_what_where_known_and_next_and_keeps_the_broken_version(world: World) -> None:
    world.declare(CLEAN)
    world.poll(ROWS)
    with pytest.raises(CheckFailed) as caught:
        world.poll([*ROWS, BAD])
    line = 18
    assert str(caught.value) == (
        'clean broke "km is between 0 and 300" in 1 of 3 rows\n'
        f"  where    project.py:{line}; first bad row id=4, km=-4.2\n"
        "  known    last good version clean:v1 (2 rows); the broken one is kept, and no pointer moved\n"
        f"  next     oito dataset rows clean --broken     or change the check at project.py:{line}"
    )
    assert world.version("clean").number == 1
    newest = versions.newest(world.site.catalog.rows, "clean")
    assert newest is not None
    assert newest.state == "broken"
    page = actions.rows(world.site, "clean", broken=True)
    assert page.data["version"] == "clean:v2"
    assert [(each["id"], each["broke"]) for each in page.data["rows"]] == [(4, "km is between 0 and 300")]


def test_a_key_that_stands_twice_or_is_missing_is_an_error_with_the_row(world: World) -> None:
    world.declare(
        RIDES + '@oito.dataset(key=("city", "id"))\ndef clean(rides): return pl.concat([rides, rides.head(1)])\n'
    )
    with pytest.raises(
        CheckFailed, match='clean broke "city, id names one row, and is never missing" in 2 of 4 rows'
    ) as caught:
        world.poll(ROWS)
    assert "first bad row city=None, id=2" in caught.value.where


def test_all_failed_checks_are_told_and_a_vanished_column_is_one(world: World) -> None:
    checks = 'oito.not_null("town"), oito.row_count(10), oito.between("km", 5, 6, share=0.9)'
    world.declare(RIDES + f"@oito.dataset(checks=[{checks}])\ndef clean(rides): return rides\n")
    with pytest.raises(
        CheckFailed, match="clean broke \"town is never missing\": the column 'town' is not there"
    ) as caught:
        world.poll(ROWS)
    assert 'also broke "it has between 10 and ∞ rows": it has 3' in caught.value.where
    assert 'also broke "km is between 5 and 6 in 90.0% of the rows" in 2 of 3 rows' in caught.value.where
    assert caught.value.known.startswith("no version is good yet")


@pytest.mark.parametrize("returned", ["None", "7", "pl.DataFrame()"])
def test_what_is_no_table_is_refused_with_its_place(world: World, returned: str) -> None:
    world.declare(RIDES + f"@oito.dataset\ndef clean(rides): return {returned}\n")
    with pytest.raises(StepFailed, match="clean returned") as caught:
        world.poll(ROWS)
    assert caught.value.where.startswith("project.py:")


def test_pandas_in_and_out(world: World) -> None:
    world.declare(
        RIDES + "import pandas as pd\n@oito.dataset\ndef clean(rides: pd.DataFrame): return rides[rides.km > 4]\n"
    )
    world.poll(ROWS)
    assert world.rows("clean")["id"].to_list() == [2, 3]
    assert isinstance(world.site.read(world.version("clean"), as_type=pd.DataFrame), pd.DataFrame)


SQL = """
SELECT city, count(*) AS n, sum(id) AS ids, avg(km) AS km, max(rides.at) AS seen, random() AS dice
FROM rides GROUP BY city
"""


def test_sql_reads_assets_by_name_and_the_same_input_gives_the_same_content(world: World) -> None:
    (world.root / "per_city.sql").write_text(SQL)
    world.declare(RIDES + 'per_city = oito.dataset.sql("per_city.sql", key="n")\n'.replace(', key="n"', ""))
    many = [{**ROWS[0], "id": n, "city": f"c{n % 97}", "km": n / 7} for n in range(3000)]
    world.poll(many)
    first = world.version("per_city")
    schema = world.rows("per_city").schema
    assert (schema["n"], schema["ids"], schema["seen"]) == (pl.Int64(), pl.Int64(), pl.Datetime("us", "UTC"))
    from oito.flow import runner

    runner.run(world.site, force=["per_city"]).raise_first()
    assert world.version("per_city").number == 2
    assert world.version("per_city").content == first.content


def test_sql_sees_a_column_that_came_later_and_keeps_the_order_of_rows(world: World) -> None:
    world.declare(
        RIDES + 'tips = oito.dataset.sql(query="SELECT id, tip, at FROM rides")\n'.replace(", at FROM", " FROM")
    )
    with pytest.raises(StepFailed):
        world.poll(ROWS)
    world.poll([*ROWS, {**BAD, "tip": 7}])
    assert world.rows("tips").rows() == [(1, None), (2, None), (3, None), (4, 7)]


def test_a_faulty_query_names_file_line_columns_and_the_closest_one(world: World) -> None:
    (world.root / "bad.sql").write_text("SELECT id,\n  kmm\nFROM rides")
    world.declare(RIDES + 'bad = oito.dataset.sql("bad.sql")\n')
    with pytest.raises(StepFailed, match='bad: Binder Error: Referenced column "kmm" not found') as caught:
        world.poll(ROWS)
    assert caught.value.where.startswith("bad.sql:2 (project.py:")
    assert caught.value.known == "rides: id, at, km, city"
    assert caught.value.next == "did you mean 'km'?"


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT 1 AS a FROM rides; SELECT 2 AS b", "two statements"),
        ("SELECT city::INT AS c FROM rides", "Conversion Error"),
        ("SELECT id FRO rides JOIN rides", "Parser Error"),
    ],
)
def test_whatever_duckdb_refuses_is_a_failed_step(world: World, query: str, what: str) -> None:
    world.declare(RIDES + f'bad = oito.dataset.sql(query="{query}")\n')
    with pytest.raises(StepFailed) as caught:
        world.poll(ROWS)
    assert caught.value.where.startswith("project.py:")
    assert what in str(caught.value) or "it has to be one SELECT" in str(caught.value)


def test_a_missing_sql_file_is_a_fault_of_the_project(world: World) -> None:
    with pytest.raises(ProjectFaults, match=r"nowhere\.sql cannot be read: No such file"):
        world.declare('bad = oito.dataset.sql("nowhere.sql")\n')


def test_two_versions_are_compared_by_key(world: World) -> None:
    world.declare(CLEAN)
    world.poll(ROWS)
    world.poll([{**ROWS[0], "km": 40.0}, {**ROWS[1], "city": "Beja"}])
    page = actions.compare(world.site, "clean:v1", "clean:v2")
    found = page.data
    assert (found["added"], found["removed"], found["changed"], found["changes"]) == (1, 0, 1, {"km": 1})
    assert found["samples"]["changed"] == [{"id": 1, "km": "4.0 → 40.0"}]
    assert ["km", "mean", 5.25, 17.166666666666668] in found["profiles"]
    same = compare(world.site, world.version("clean"), world.version("clean"))
    assert same.is_same


def test_versions_without_a_key_are_compared_as_wholes(world: World) -> None:
    world.declare("@oito.source\ndef rides(): return outside()\n@oito.dataset\ndef clean(rides): return rides\n")
    world.poll([ROWS[0], ROWS[0], ROWS[1]])
    world.poll([ROWS[0], {**ROWS[2], "tip": 1}])
    found = compare(world.site, *(world.site.catalog.find(f"clean:v{n}", "production") for n in (1, 2)))
    assert (found.key, found.added, found.removed) == ((), 1, 2)
    assert found.columns == (("tip", "", "Int64"),)


def test_every_panel_and_action_has_something_to_show(world: World) -> None:
    world.declare(CLEAN)
    world.poll(ROWS)
    world.poll([*ROWS, {**ROWS[0], "id": 9}])
    with pytest.raises(OitoError):
        world.poll([*ROWS, BAD])
    asset, version = world.site.project.asset("clean"), world.version("clean")
    blocks = panels.asset_blocks(world.site, asset, version)
    titles = [block.title for block in blocks]
    assert titles[0] == "clean:v3 is broken: no pointer moved to it"
    assert {"Rows of clean", "Checks", "Set aside: 1 rows", "Columns (3 rows)"} <= set(titles)
    assert panels.asset_blocks(world.site, asset, None)
    columns = panels.columns_table(version.record["profile"])
    assert isinstance(columns, Table)
    assert columns.rows[2][:3] == ["km", "Float64", "0"]
    for name in ("clean", "clean:v3", "rides"):
        assert actions.checks(world.site, name).blocks
        assert actions.profile(world.site, name).blocks
        assert actions.rows(world.site, name, quarantine=True).blocks
    with pytest.raises(UnknownVersion, match="no version of rides is broken"):
        actions.rows(world.site, "rides", broken=True)
