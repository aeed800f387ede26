"""Any version with bytes is made again in a clean process: bit-equal, or told where it differs and what is another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from oito.catalog.records import Version
from oito.errors import CorruptFile, NotReproduced
from oito.flow import actions, runner
from oito.flow.remaking.reproduction import reproduce
from oito.flow.site import Site

Open = Callable[..., Site]
DRAWN = """
    from pathlib import Path

    @oito.dataset(reads=("rates.csv",))
    def drawn(sendings):
        rates = [float(line) for line in Path("rates.csv").read_text().split()]
        return sendings.select("parcel", rate=pl.lit(rates[0]))

    @oito.dataset()
    def unseeded(sendings):
        return sendings.select("parcel").with_columns(x=pl.Series(np.random.default_rng().random(sendings.collect().height)))

    @oito.dataset()
    def noted(sendings):
        return sendings.select("parcel", "hours").filter(pl.col("hours") > 12)
    """


def made(site: Site, *names: str) -> list[Version]:
    runner.run(site, names).raise_first()
    return [site.catalog.find(name, "dev") for name in names]


def state(site: Site) -> list[int]:
    tables = ("version", "event", "move", "run", "file")
    return [len(site.catalog.rows.read(f"SELECT * FROM {table}")) for table in tables] + [
        len(list(site.files.digests()))
    ]


def test_every_kind_with_bytes_is_bit_equal_and_nothing_is_written(opened: Open) -> None:
    site = opened()
    made(site, "late_parcel")
    before = state(site)
    for name in ("sendings", "van_record", "late", "lateness", "late_parcel"):
        found = reproduce(site, site.catalog.find(name, "dev"))
        assert (found.verdict, found.differences) == ("bit-equal", ()), found
        assert found.text == f"{name}:v1 is bit-equal"
    assert state(site) == before
    assert not list(site.home.glob("again-*"))


def test_a_version_of_code_that_is_gone_is_made_again_from_its_stored_source(opened: Open) -> None:
    (version,) = made(opened(), "late_parcel")
    edited = opened({"max_iter=10": "max_iter=3", "trials=4": "trials=1", 'hours") > 12': 'hours") > 14'})
    assert reproduce(edited, version).verdict == "bit-equal"


def test_another_seed_differs_and_is_told_where(opened: Open) -> None:
    site = opened()
    (version,) = made(site, "late_parcel")
    found = reproduce(site, version, settings={"seed": 5})
    assert found.verdict == "differs"
    assert found.text.startswith("late_parcel:v1 differs, first at ")
    assert any(each.startswith("model.json at /model/") for each in found.differences)


def test_an_unseeded_draw_differs_at_its_first_cell_and_the_command_says_so(opened: Open) -> None:
    site = opened(more=DRAWN)
    (site.root / "rates.csv").write_text("0.5\n")
    made(site, "unseeded")
    with pytest.raises(NotReproduced, match="unseeded:v1 differs, first at table rows: column x, row 0: 0") as error:
        actions.reproduce(site, "unseeded")
    assert "give every random draw a seed" in str(error.value)


def test_a_declared_file_that_has_changed_is_named(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    site = opened(more=DRAWN)
    monkeypatch.chdir(site.root)
    (site.root / "rates.csv").write_text("0.5\n")
    (version,) = made(site, "drawn")
    assert reproduce(site, version).verdict == "bit-equal"
    (site.root / "rates.csv").write_text("0.25\n")
    found = reproduce(site, version)
    assert found.differences[0] == "table rows: column rate, row 0: 0.5 → 0.25"
    assert any(each.startswith("file rates.csv: ") for each in found.conditions)


def test_sources_are_proven_by_their_stored_rows_only(opened: Open) -> None:
    site = opened()
    (version,) = made(site, "parcels")
    found = reproduce(site, version)
    text = "parcels:v1 is proven by stored rows only: what it depends on outside of the catalog cannot be asked again"
    assert found.text == text
    page = actions.reproduce(site, "parcels")
    assert page.title == text and page.data["verdict"] == "proven by stored rows only"
    path = site.files.path(version.tables["rows"]["parts"][0][0])
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptFile):
        reproduce(site, version)


def test_other_hardware_is_told_from_another_result(opened: Open) -> None:
    site = opened()
    (version,) = made(site, "late_parcel")
    machine = version.record["environment"]
    elsewhere = {**machine, "cpu": {**machine["cpu"], "model": "Another"}}
    moved = replace(version, content="another", record={**version.record, "environment": elsewhere})
    found = reproduce(site, moved)
    assert found.verdict == "equal but for hardware"
    assert found.text == "late_parcel:v1 is equal but for declared hardware differences"
    assert any(each.startswith("cpu: model Another → ") for each in found.conditions)
    older = {**elsewhere, "packages": ["numpy==1.0.0" if p.startswith("numpy==") else p for p in machine["packages"]]}
    found = reproduce(site, replace(moved, record={**version.record, "environment": older}))
    assert found.verdict == "differs"
    assert any(each.startswith("packages: numpy 1.0.0 → ") for each in found.conditions)


def test_what_cannot_be_made_at_all_is_told_with_its_line(opened: Open) -> None:
    site = opened(more=DRAWN)
    (site.root / "rates.csv").write_text("0.5\n")
    (version,) = made(site, "noted")
    (parent,) = made(site, "sendings")
    path = site.files.path(parent.tables["rows"]["parts"][0][0])
    path.write_bytes(b"nothing")
    with pytest.raises(NotReproduced, match="noted:v1 cannot be made again: a stored file does not have the bytes"):
        reproduce(site, version)
