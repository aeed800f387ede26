"""Names, durations, moments and settings: read as people write them, refused with what would have been right."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oito import clock, names
from oito import settings as settings_door
from oito.clock import VirtualClock
from oito.errors import BadInput, BadSetting

EAST = timezone(timedelta(hours=2))
NAIVE = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # one without a zone is UTC


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("14d", 14 * 86_400), ("1h30m", 5400), ("250ms", 0.25), ("1.5w", 907_200), ("2 h 5 s", 7205), ("0s", 0)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert names.duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "soon", "5", "d", "-1d", "1x", "1d,2h", "1d x", "9" * 30 + "w", "1e3s", 5, None])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as told:
        names.duration(text)
    assert str(told.value).splitlines() == [
        f"{text!r} is not a duration",
        "  known    a number and a unit of ms, s, m, h, d, w",
        '  next     write "14d" or "1h30m"',
    ]


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_the_text_of_a_duration_reads_back_when_two_units_hold_it(count: int, unit: str) -> None:
    span = names.duration(f"{count}{unit}")
    back = names.duration(names.duration_text(span))
    assert back <= span
    assert span - back < max(span * 0.05, timedelta(milliseconds=1))
    assert names.duration(span) is span


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("late", ("late", None, None)),
        ("late:v12", ("late", 12, None)),
        ("late@feature/x", ("late", None, "feature/x")),
        ("été:v1", ("été", 1, None)),
    ],
)
def test_a_reference_is_an_asset_and_which_of_its_versions(text: str, read: tuple[str, int | None, str | None]) -> None:
    assert names.reference(text) == read


@pytest.mark.parametrize("text", ["", "3late", "late:3", "late:v", "late:v1@production", "la te", "late@"])
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as told:
        names.reference(text)
    assert str(told.value) == f"{text!r} names no version\n  known    asset, asset:v3 or asset@environment"


def test_the_closest_name_is_offered_else_the_known_ones() -> None:
    assert names.did_you_mean("ordres", ["orders", "other"]) == "did you mean 'orders'?"
    assert names.did_you_mean("x", ["b", "a"]) == "known are a, b"
    assert names.did_you_mean("x", [f"{n:02}" for n in range(21)]).endswith("19, …")
    assert names.did_you_mean("x", []) == ""


def test_moments_are_utc_and_their_texts_sort_like_time() -> None:
    moments = [datetime(2024, 1, 1, 1, tzinfo=EAST), NAIVE, datetime(999, 1, 1, tzinfo=UTC)]
    assert [clock.text(each) for each in moments] == [
        "2023-12-31T23:00:00.000000Z", "2024-01-01T00:00:00.000000Z", "0999-01-01T00:00:00.000000Z",
    ]  # fmt: skip
    assert sorted(map(clock.text, moments)) == [clock.text(each) for each in sorted(map(clock.moment, moments))]
    with pytest.raises(BadInput) as told:
        clock.moment("yesterday")
    assert told.value.what == "'yesterday' is not a date or time"
    assert told.value.next == 'write "2013-11-01" or "2013-11-01T06:30:00Z"'


def test_a_virtual_clock_stands_until_it_is_moved_and_never_goes_back() -> None:
    virtual = VirtualClock(NAIVE)
    assert virtual.now() == virtual.now() == datetime(2024, 1, 1, tzinfo=UTC)
    virtual.advance(timedelta(hours=1))
    virtual.move_to(datetime(2024, 1, 1, 4, tzinfo=EAST))
    assert virtual.now().hour == 2
    with pytest.raises(BadInput) as told:
        virtual.move_to(NAIVE)
    assert told.value.what == (
        "the clock stands at 2024-01-01T02:00:00.000000Z and cannot go back to 2024-01-01T00:00:00.000000Z"
    )
    assert clock.RealClock().now().tzinfo is UTC


def test_a_setting_comes_from_the_strongest_place_and_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.oito]\nport = 1\nseed = 1\nwho = "ana"\nlease_s = 30\n')
    (tmp_path / "oito.toml").write_text('port = 2\nseed = 2\nproject = "main.py"\n')
    monkeypatch.setenv("OITO_PORT", "3")
    monkeypatch.setenv("OITO_STRICT", "yes")
    monkeypatch.setenv("OITO_PROTECTED", "production, staging")
    found = settings_door.load(tmp_path, {"port": 4})
    assert (found.port, found.seed, found.who, found.lease_s, found.strict) == (4, 2, "ana", 30.0, True)
    assert found.project == ("main.py",)
    assert found.protected == ("production", "staging")
    assert [found.origins[name] for name in ("port", "seed", "who", "strict", "home")] == [
        "command", "oito.toml", "pyproject.toml", "environment variable", "default",
    ]  # fmt: skip
    assert found.home_folder == tmp_path / ".oito"
    with pytest.raises(AttributeError):
        _ = found.nothing


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "there is no setting 'prot'\n  where    oito.toml\n  next     did you mean 'port'?"),
        ("port = 'x'", "the setting 'port' is 'x'\n  where    oito.toml\n  known    it takes a int\n"
                       "  next     Port of the pages (oito up)."),
        ("strict = 1", "the setting 'strict' is 1\n  where    oito.toml\n  known    it takes a bool\n"
                       "  next     Whether an undeclared read of a file is an error instead of a warning."),
        ("packages = 'exat'", "the setting 'packages' is 'exat'\n  where    oito.toml\n  known    it is exact, minor or off\n"
                              "  next     did you mean 'exact'?"),
        ("lease_s = nan", "the setting 'lease_s' is nan\n  where    oito.toml\n  known    it is at least 5\n"
                          "  next     Seconds without a sign of life after which another process takes over a step."),
    ],
)  # fmt: skip
def test_an_unusable_setting_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "oito.toml").write_text(text)
    with pytest.raises(BadSetting) as error:
        settings_door.load(tmp_path)
    assert str(error.value) == told


def test_a_settings_file_that_is_no_toml_is_told(tmp_path: Path) -> None:
    (tmp_path / "oito.toml").write_text("port =")
    with pytest.raises(BadSetting, match=r"oito\.toml is not TOML: "):
        settings_door.load(tmp_path)
    (tmp_path / "oito.toml").write_bytes(b"\xff")
    with pytest.raises(BadSetting, match=r"oito\.toml is not TOML: "):
        settings_door.load(tmp_path)


def test_other_tools_tables_are_no_settings(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("tool = 3\n")
    assert settings_door.load(tmp_path).origins["port"] == "default"
    assert len({setting.name for setting in settings_door.SETTINGS}) == len(settings_door.SETTINGS)
    assert all(setting.doc.endswith(".") for setting in settings_door.SETTINGS)
