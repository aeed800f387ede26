"""What an endpoint refuses before it ever answers, and that what answers is released source, never a folder that is edited."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito.endpoints.loading import beside, source_of
from oito.endpoints.rehearsal import rehearse
from oito.endpoints.requests import Fields
from oito.endpoints.serving import Stand
from oito.endpoints.spec import EndpointSpec
from oito.errors import BadRequest, DataError, MissingColumn, OitoError, StepFailed
from oito.workspace import Workspace

RECORD: dict[str, Any] = {
    "request_fields": ["id", "small", "share", "yes", "day", "at", "name"],
    "request_types": {
        "id": "Int64", "small": "UInt8", "share": "Float64", "yes": "Boolean", "day": "Date",
        "at": "Datetime(time_unit='us', time_zone='UTC')",
    },
}  # fmt: skip
GOOD = {
    "id": 7,
    "small": 255,
    "share": 3,
    "yes": False,
    "day": "2026-01-02",
    "at": "2026-01-02T01:00:00+01:00",
    "name": "x",
}


def edited(root: Path, old: str, new: str) -> Workspace:
    project = root / "project.py"
    text = project.read_text()
    assert old in text
    project.write_text(text.replace(old, new))
    return Workspace(root)


def test_request_fields_arrive_as_in_training() -> None:
    fields = Fields(RECORD)
    frame = fields.frame([fields.typed(GOOD), {}])
    assert frame.row(0)[5] == datetime(2026, 1, 2, tzinfo=UTC)
    assert frame.row(1) == (None,) * 7
    assert frame.dtypes == [
        pl.Int64, pl.UInt8, pl.Float64, pl.Boolean, pl.Date, pl.Datetime("us", "UTC"), pl.String,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("id", 1.5, "id takes a whole number"),
        ("id", True, "id takes a whole number"),
        ("small", 256, "small takes a whole number"),
        ("share", "1", "share takes a number"),
        ("yes", 1, "yes takes true or false"),
        ("day", "soon", 'day takes a date such as "2013-11-01"'),
        ("at", 5, 'at takes a time such as "2013-11-01T06:30:00Z"'),
        ("name", ["x"], "name takes a text"),
    ],
)
def test_a_field_of_another_type_is_named(name: str, value: Any, known: str) -> None:
    with pytest.raises(BadRequest) as caught:
        Fields(RECORD).typed({**GOOD, name: value})
    assert (caught.value.what, caught.value.known) == (f"{name} is {value!r} ({type(value).__name__})", known)
    assert Fields(RECORD).known({**GOOD, name: value}, [name]) == [None]


@given(
    st.dictionaries(
        st.sampled_from(RECORD["request_fields"]), st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    )
)
def test_whatever_comes_is_typed_or_refused_and_fits_its_frame(row: dict[str, Any]) -> None:
    fields = Fields(RECORD)
    try:
        typed = fields.typed(row)
    except BadRequest as error:
        assert len(str(error)) < 400
        return
    assert fields.frame([typed]).height == 1


def test_outputs_are_named_once() -> None:
    assert list(EndpointSpec(model=None, outputs=("a", "a", "")).faults()) == [
        "outputs has 'a' twice",
        "outputs has an empty name",
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('outputs=("late",)', 'outputs=("truth",)', "no output can be named 'truth'"),
        ('outputs=("late",)', 'outputs=("a", "b")', "the answer has 1 numbers and outputs= names 2"),
        ("[:, 1] * 1.0", '[:, 1] - rows["distance"].mean()', "the endpoint answers a row otherwise when it is alone"),
        ("rows)[:, 1] * 1.0", "rows)[:1, 1]", "rows with numbers of the shape (1,)"),
        ("hour().alias", "hour().rank().alias", "calendar answers a question otherwise when it is alone than among others"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_when_it_is_made(rides: Path, old: str, new: str, what: str) -> None:
    workspace = edited(rides, old, new)
    with pytest.raises(StepFailed) as caught:
        workspace.run()
    workspace.close()
    assert what in caught.value.what


def test_what_answers_is_released_source_not_the_folder(rides: Path, serve: Callable[..., Any]) -> None:
    (rides / "project.py").write_text("raise SystemExit('somebody is editing this')\n")
    service = serve()
    assert service.told.startswith("delay_risk:v1 of production"), service.log()
    row = {"ride_id": 1, "driver": "D01", "zone": "hills", "distance": 3}
    assert service.call("/predict", row)[0] == 200


def test_another_source_is_imported_beside_the_present_one(rides: Path) -> None:
    import sys

    workspace = edited(rides, "[:, 1] * 1.0", "[:, 1] * 0.25")
    site, version = workspace.site, workspace.catalog.find("delay_risk", "production")
    now = sys.modules["project"]
    past = beside(site, source_of(site.within("production"), version))
    assert sys.modules["project"] is now
    present, stored = (each.project.asset("delay_risk").function for each in (site, past))
    assert present is not None
    assert stored is not None
    assert present.__code__.co_consts != stored.__code__.co_consts
    assert past is not site
    assert past.project is beside(site, source_of(site.within("production"), version)).project
    workspace.close()


def test_questions_of_the_past_are_answered_as_they_would_have_been(production: Workspace) -> None:
    site, version = production.site, production.catalog.find("delay_risk", "production")
    labels: pl.DataFrame = site.table(production.catalog.find("late", "production")).collect()
    questions = labels.drop("late", "arrived_at").slice(100, 300)
    assert rehearse(site, version, questions) == 300
    rows = production["delay_risk"].read()
    assert rows["at"].to_list() == questions["asked_at"].to_list()
    assert rows["ride_id"].to_list() == questions["ride_id"].to_list()
    assert 0 < rows["x_driver_delay"].is_nan().sum() + 1 < 300
    few = production["delay_risk"].read(since=questions["asked_at"][100], until=questions["asked_at"][120])
    assert few["ride_id"].to_list() == questions["ride_id"].to_list()[100:120]
    assert rehearse(site, version, questions.head(0)) == 0


def test_questions_that_cannot_be_looked_up_are_named(production: Workspace) -> None:
    site, version = production.site, production.catalog.find("delay_risk", "production")
    whole = pl.DataFrame({"ride_id": [1], "driver": ["D01"], "zone": ["hills"], "distance": [1.0]})
    errors: list[tuple[pl.DataFrame, type[OitoError], str]] = [
        (whole.drop("driver"), MissingColumn, "the column 'driver' is missing"),
        (whole.drop("zone"), MissingColumn, "the column 'zone' is missing"),
        (whole.with_columns(distance=pl.lit("far")), DataError, "a column is of another type than in training"),
    ]
    for questions, kind, what in errors:
        with pytest.raises(kind, match=what):
            rehearse(site, version, questions)


def test_a_release_of_new_source_alone_and_a_rollback_are_picked_up(
    production: Workspace, oito: Callable[..., None]
) -> None:
    stand = Stand(production.site, "delay_risk")
    first = stand.load()
    assert stand.newer() is None
    project = production.root / "project.py"
    project.write_text(project.read_text() + "\n# a comment that changes no version\n")
    oito("release", "production")
    second = stand.newer()
    assert second is not None
    assert stand.newer() is None
    assert second.version == first.version
    assert second.source != first.source
    oito("rollback", "production")
    third = stand.newer()
    assert third is not None
    assert third.source == first.source
