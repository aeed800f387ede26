"""Training frames of a real project: joined as known, inputs chosen, leaks refused, every choice in the report."""

import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from oito import settings
from oito.catalog.catalog import Catalog
from oito.clock import VirtualClock
from oito.eight import KINDS
from oito.errors import DataError, LeakFound, MissingColumn, OitoError
from oito.flow import runner
from oito.flow.project import load
from oito.flow.site import Site
from oito.models import actions
from oito.models.design import Design
from oito.storage.files import Files

DAY = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 400
DELAYS = [random.Random(n).randrange(60) for n in range(ROWS)]

PROJECT = """
import random
import polars as pl
import oito
from datetime import datetime, timedelta
from sklearn.linear_model import LogisticRegression

N = 400
DELAYS = [random.Random(n).randrange(60) for n in range(N)]

@oito.source()
def flights(since):
    asked = [datetime(2024, 1, 1) + timedelta(hours=n) for n in range(N)]
    return pl.DataFrame({
        "id": list(range(N)), "asked_at": asked, "arrived_at": [at + timedelta(hours=5) for at in asked],
        "delay": DELAYS, "carrier": [("UA", "AA", "DL")[n % 3] for n in range(N)],
        "distance": [(n * 31) % 500 + 0.5 for n in range(N)], "tail": [f"N{n}" for n in range(N)],
    })

@oito.labels(entity="id", time="asked_at", known_at="arrived_at")
def late(flights):
    return flights.select("id", "asked_at", "arrived_at", "carrier", "distance", "tail", late=pl.col("delay") > 30)

@oito.features(entity="carrier", time="asked_at", known_at="arrived_at", ttl="2d")
def record(flights):
    return flights.select("carrier", "asked_at", "arrived_at", last_delay="delay")

@oito.features(on_request=True)
def calendar(request):
    return request.select(hour=pl.col("asked_at").dt.hour(), seen=pl.lit(", ".join(sorted(request.columns))))

@oito.model(labels=late, features=[record, calendar], exclude=["seen"])
def lateness(*, strength: float = oito.Float(0.01, 10)):
    return LogisticRegression(C=strength)
"""


def _site(root: Path, *changes: tuple[str, str]) -> Site:
    project = PROJECT
    for old, new in changes:
        assert old in project
        project = project.replace(old, new)
    (root / "project.py").write_text(project)
    sys.modules.pop("project", None)
    given = settings.load(root)
    home = given.home_folder
    clock = VirtualClock(DAY + timedelta(days=60))
    return Site(
        load(root, ["project.py"], KINDS), Catalog(home, clock, who="ann"), Files(home / "files"), given, "dev", root
    )


def _design(root: Path, *changes: tuple[str, str]) -> Design:
    site = _site(root, *changes)
    runner.run(site, ["lateness"]).raise_first()
    design = site.read(site.catalog.find("lateness", "dev"))
    assert isinstance(design, Design)
    return design


def test_labels_meet_features_as_they_were_known(tmp_path: Path) -> None:
    found = _design(tmp_path).frame()
    assert found.frame.columns == ["carrier", "distance", "last_delay", "hour"]
    assert found.signature.names == tuple(found.frame.columns) and found.signature.classes == (False, True)
    assert [column.kind for column in found.signature.columns] == ["category", "number", "number", "number"]
    asked = found.entity["id"].to_list()
    assert asked == list(range(ROWS))
    # A flight's delay is known five hours after it was asked about, and carriers fly every third hour.
    expected = [None if n < 6 else DELAYS[n - 6] for n in range(ROWS)]
    assert found.frame["last_delay"].to_list() == expected
    assert found.y.to_list() == [delay > 30 for delay in DELAYS]
    assert found.times[7] == DAY + timedelta(hours=7) and found.known_at[7] == DAY + timedelta(hours=12)


def test_the_report_tells_what_was_joined_and_left_out(tmp_path: Path) -> None:
    found = _design(tmp_path).frame()
    assert found.report["rows"] == ROWS and found.report["labels"] == "late:v1"
    assert found.report["left_out"] == {"tail": "a text of 400 values", "seen": "excluded"}
    assert found.report["views"]["record"] == {
        "version": "record:v1", "on_request": False, "leaked_rows": ROWS, "missing_share": 6 / ROWS, "expired_share": 0.0,
    }  # fmt: skip
    assert found.report["views"]["calendar"] == {"version": "calendar:v1", "on_request": True}
    assert found.report["request"] == ["carrier", "distance"]
    assert found.report["request_fields"] == ["carrier", "distance", "tail"]
    assert [(each.trap, each.column) for each in found.findings] == [("left_out", "tail")]


def test_a_view_on_request_never_sees_the_truth(tmp_path: Path) -> None:
    found = _design(tmp_path, ('exclude=["seen"]', "exclude=[]")).frame()
    assert found.frame["seen"][0] == "asked_at, carrier, distance, id, tail"


def test_a_cut_off_leaves_later_truth_out(tmp_path: Path) -> None:
    design = _design(tmp_path)
    found = design.frame(cut_off=DAY + timedelta(hours=105))
    assert found.entity["id"].to_list() == list(range(101))
    with pytest.raises(DataError) as caught:
        design.frame(cut_off=DAY)
    assert caught.value.what == "lateness: no label was known by 2024-01-01T00:00:00.000000Z"
    assert caught.value.known == "late:v1 has 400 rows, known from 2024-01-01T05:00:00.000000Z on"


def test_versions_may_be_named(tmp_path: Path) -> None:
    site = _design(tmp_path).site
    pointed = site.catalog.resolve_all("dev")
    only = {role: pointed[role] for role in ("late", "record", "calendar")}
    design = site.read(pointed["lateness"], inputs=only, cut_off=DAY + timedelta(hours=105))
    assert design.frame().frame.height == 101
    views = {"record": only["record"], "calendar": only["calendar"]}
    whole = design.frame(only["late"], views, cut_off=DAY + timedelta(days=60))
    assert whole.frame.equals(_design(tmp_path).frame().frame)


def test_request_names_exactly_the_columns_that_are_inputs(tmp_path: Path) -> None:
    found = _design(tmp_path, ("exclude=", 'request=["tail"], exclude=')).frame()
    assert found.frame.columns == ["tail", "last_delay", "hour"]


@pytest.mark.parametrize(
    ("changes", "kind", "what"),
    [
        ([("exclude=", 'request=["carier"], exclude=')], MissingColumn, "lateness: request= names 'carier', which late does not give"),
        ([("exclude=", 'request=["arrived_at"], exclude=')], DataError, "lateness: arrived_at is a time"),
        ([("exclude=", 'request=["late"], exclude=')], LeakFound, "lateness would learn from what is not known when it is asked: late is the target itself"),
        ([('["seen"]', '["sen"]')], MissingColumn, "lateness: exclude= names 'sen', which is no column here"),
        ([("last_delay=", "distance=")], DataError, "lateness: both late and record give a column 'distance'"),
        ([("hour=pl", "last_delay=pl")], DataError, "lateness: both record and calendar give a column 'last_delay'"),
        ([("exclude=", 'task="regression", exclude=')], DataError, "lateness: late is Boolean, no number"),
        ([('pl.col("delay") > 30', 'pl.col("delay") / 7')], DataError, "lateness: late is Float64, no class"),
        ([('"arrived_at", "carrier", "distance"', '"arrived_at", "distance"')], MissingColumn, "record is looked up by 'carrier', which late does not give"),
    ],
)  # fmt: skip
def test_a_design_that_does_not_fit_its_data_says_where(
    tmp_path: Path, changes: list[tuple[str, str]], kind: type[OitoError], what: str
) -> None:
    with pytest.raises(kind) as caught:
        _design(tmp_path, *changes).frame()
    assert caught.value.what == what
    assert caught.value.where.startswith("project.py:") and caught.value.next


def test_columns_no_model_takes_are_left_out_with_a_finding(tmp_path: Path) -> None:
    more = 'late=pl.col("delay") > 30, day=pl.col("asked_at").dt.date(), both=pl.concat_list("distance", "distance"), none=None'
    found = _design(tmp_path, ('late=pl.col("delay") > 30', more)).frame()
    assert found.report["left_out"] == {
        "tail": "a text of 400 values", "day": "a time", "both": "of the type List(Float64), which no model takes",
        "none": "empty in every row", "seen": "excluded",
    }  # fmt: skip
    assert {each.column for each in found.findings} == {"tail", "both", "none"}


def test_a_copy_of_the_truth_is_refused_and_the_lint_shows_it(tmp_path: Path) -> None:
    design = _design(tmp_path, ('late=pl.col("delay") > 30', 'late=pl.col("delay") > 30, mark=pl.when(pl.col("delay") > 30).then(pl.lit("x")).otherwise(pl.lit("o"))'))  # fmt: skip
    with pytest.raises(LeakFound) as caught:
        design.frame()
    assert caught.value.what == (
        "lateness would learn from what is not known when it is asked: "
        "mark is the target late, or a copy of it under other names"
    )
    assert caught.value.where == "project.py:32; mark"
    assert caught.value.known == "400 rows and 5 inputs were looked at"
    assert caught.value.next == "mend the view or the labels, or leave it out: exclude=('mark',)"
    page = actions.lint(design.site, "lateness")
    assert page.title == "lateness: 1 leak" and page.data["findings"][0]["trap"] == "target_copy"


def test_an_aggregate_of_the_day_stamped_at_its_start_is_refused(tmp_path: Path) -> None:
    view = """return (flights.group_by(pl.col("asked_at").dt.truncate("1d"), "carrier").agg(
        last_delay=pl.col("delay").mean()).with_columns(arrived_at=pl.col("asked_at")).collect().sort("asked_at", "carrier"))"""
    design = _design(
        tmp_path,
        ('return flights.select("carrier", "asked_at", "arrived_at", last_delay="delay")', view),
        ("N = 400", "N = 4000"),
    )
    with pytest.raises(LeakFound) as caught:
        design.frame()
    assert "last_delay carries the start of its day" in caught.value.what


def test_a_clean_project_has_no_leak(tmp_path: Path) -> None:
    page = actions.lint(_design(tmp_path).site, "lateness")
    assert page.title == "lateness: no leaks"
    assert isinstance(page.data["inputs"], list) and page.data["rows"] == ROWS


def test_rows_are_the_labels_rows_whatever_the_views_hold(tmp_path: Path) -> None:
    design = _design(tmp_path, ('return flights.select("carrier", "asked_at"', 'return flights.filter(pl.col("carrier") == "UA").select("carrier", "asked_at"'))  # fmt: skip
    found = design.frame()
    assert found.frame.height == ROWS
    assert found.frame.filter(pl.col("carrier") != "UA")["last_delay"].null_count() == ROWS - (ROWS + 2) // 3


def test_a_changed_design_is_a_new_content_and_a_comment_is_not(tmp_path: Path) -> None:
    first = _design(tmp_path).site.catalog.find("lateness", "dev")
    again = _design(tmp_path, ("    return LogisticRegression", "    # plain\n    return LogisticRegression"))
    assert again.site.catalog.find("lateness", "dev") == first
    changed = _design(tmp_path, ("LogisticRegression(C=strength)", "LogisticRegression(C=strength, tol=0.01)"))
    assert changed.site.catalog.find("lateness", "dev").content != first.content


def test_only_the_newest_rows_are_examined_where_asked(tmp_path: Path) -> None:
    found = _design(tmp_path).examined(lint_rows=100)
    assert found.report["linted_rows"] == 100 and found.frame.height == ROWS
