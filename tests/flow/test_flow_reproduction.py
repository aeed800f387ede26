"""Something is planted between the making of a version and its making again: what differs is found, and its cause is named."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oito.catalog.records import Version
from oito.errors import CorruptFile, NotReproduced
from oito.flow import actions, machine
from oito.flow.remaking.reproduction import reproduce
from oito.flow.site import Site
from tiny import HEAD, Tiny

SECRET = "swordfish-4711"
PROJECT = (
    HEAD
    + """
import random, time
from datetime import datetime, timezone
import numpy as np

@oito.source(key="id")
def orders(since):
    return outside()

@oito.dataset
def drawn(orders: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    return orders.with_columns(x=pl.Series(np.random.default_rng(seed).random(orders.height)))

@oito.dataset(env=("TOKEN",))
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(long=pl.lit(len(os.environ.get("TOKEN", "unset"))))

@oito.dataset
def parallel(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(x=pl.col("n") / 3 + 1e-9 * pl.thread_pool_size())

@oito.dataset
def timed(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(at=pl.lit(time.time_ns()))

@oito.dataset
def hidden(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(x=pl.lit(os.environ.get("RATE", "")))

@oito.dataset
def chance(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(x=pl.lit(random.random()))

@oito.dataset
def solved(orders: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    drawn = np.random.default_rng(seed).random((200, 200))
    return pl.DataFrame({"x": np.linalg.solve(drawn, drawn @ drawn[0])})

@oito.dataset
def local(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(hour=pl.lit(datetime.fromtimestamp(0).hour))
"""
)


def made(tiny: Tiny, name: str, text: str = PROJECT) -> tuple[Site, Version]:
    tiny.write(text).run(name)
    return tiny.site(), tiny.version(name)


def test_a_step_with_a_seed_is_bit_equal_with_another_hash_seed_and_another_project_seed(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, version = made(tiny, "drawn")
    monkeypatch.setenv("OITO_SEED", "5")
    found = reproduce(site, version, variables={"PYTHONHASHSEED": "7"})
    assert (found.verdict, found.differences) == ("bit-equal", ())
    assert found.conditions == ("threads: PYTHONHASHSEED unset → 7",)


def test_another_seed_is_named(tiny: Tiny) -> None:
    site, version = made(tiny, "drawn")
    found = reproduce(site, version, settings={"seed": 1})
    assert found.text.startswith("drawn:v1 differs, first at table rows: column x, row 0: 0.")
    assert found.conditions == ("seed root: 0 → 1",)


def test_declared_variables_are_told_by_name_and_a_secret_is_nowhere(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    site, version = made(tiny, "priced")
    assert reproduce(site, version).verdict == "bit-equal"
    said = []
    for value, text in (("other", "has another value"), (None, "was set, and is not set now")):
        found = reproduce(site, version, variables={"TOKEN": value})
        assert found.verdict == "differs" and found.conditions == (f"variable TOKEN {text}",)
        said.append(json.dumps(found.data()))
    kept = [path.read_bytes() for path in site.home.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in data for data in kept) and SECRET not in "".join(said)


def test_recorded_threads_are_restored_and_others_are_named(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    site, version = made(tiny, "parallel")
    then = machine.recorded(site.files, version.record)
    assert then is not None
    count = next(pool["num_threads"] for pool in then["pools"] if pool["internal_api"] == "polars")
    assert reproduce(site, version).verdict == "bit-equal"
    found = reproduce(site, version, variables={"POLARS_MAX_THREADS": str(count + 1)})
    assert found.verdict == "equal but for hardware"
    assert found.text == "parallel:v1 is equal but for declared hardware differences"
    assert found.differences[0].startswith("table rows: column x, row 0: 1.66666666")
    assert found.conditions == (
        f"threads: POLARS_MAX_THREADS {then['threads']['POLARS_MAX_THREADS'] or 'unset'} → {count + 1}",
        f"pools: polars threads {count} → {count + 1}",
    )


def test_a_recorded_kernel_of_blas_is_restored_and_another_one_is_named(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, version = made(tiny, "solved")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    assert reproduce(site, version).verdict == "bit-equal", "what was unset is unset again"
    found = reproduce(site, version, variables={"OPENBLAS_CORETYPE": "Prescott"})
    assert found.verdict == "equal but for hardware"
    setting, kernel = found.conditions
    assert setting == "threads: OPENBLAS_CORETYPE unset → Prescott"
    assert kernel.startswith("pools: openblas kernel ")


def test_threads_of_a_machine_with_more_processors_are_started_here_too(tiny: Tiny) -> None:
    site, version = made(tiny, "parallel")
    found = reproduce(site, elsewhere(site, version, cpu={"count": 3}, threads={"POLARS_MAX_THREADS": None}))
    assert found.verdict == "bit-equal"
    assert f"cpu: count 3 → {machine.usable_cpus()}" in found.conditions


def test_a_time_zone_is_restored(tiny: Tiny) -> None:
    site, version = made(tiny, "local")
    assert reproduce(site, version).verdict == "bit-equal"
    found = reproduce(site, version, variables={"TZ": "Asia/Tokyo"})
    assert found.text == "local:v1 differs, first at table rows: column hour, row 0: 0 → 9"
    assert found.conditions == ("locale: TZ unset → Asia/Tokyo",)


def test_another_python_is_named(tiny: Tiny) -> None:
    site, version = made(tiny, "priced")
    found = reproduce(site, elsewhere(site, version, python="CPython 3.9.1"), variables={"TOKEN": "another"})
    assert found.verdict == "differs"
    assert found.conditions[0].startswith("variable TOKEN")
    assert found.conditions[1].startswith("python: CPython 3.9.1 → CPython 3.")


def elsewhere(site: Site, version: Version, **parts: Any) -> Version:
    """Return the version as if it had been made on another machine."""
    then = machine.recorded(site.files, version.record)
    assert then is not None
    moved = {n: {**then[n], **part} if isinstance(part, Mapping) else part for n, part in parts.items()}
    return replace(version, record={**version.record, "environment": {**then, **moved}})


def test_a_clock_is_found_by_making_it_twice(tiny: Tiny) -> None:
    site, version = made(tiny, "timed")
    found = reproduce(site, version)
    assert found.text.startswith("timed:v1 differs, first at table rows: column at, row 0: ")
    unsteady, clock = found.conditions
    assert unsteady == "chance: made twice in a row it is not the same either"
    assert clock.startswith("clock: time.time_ns is asked at project.py:")


def test_a_draw_without_a_seed_is_found_with_its_line(tiny: Tiny) -> None:
    site, version = made(tiny, "chance")
    line = PROJECT[: PROJECT.index("random.random()")].count("\n") + 1
    with pytest.raises(NotReproduced) as error:
        actions.reproduce(site, version.ref)
    assert f"chance: random.Random.random draws at project.py:{line}" in str(error.value)


def test_an_undeclared_variable_is_named(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "0.5")
    site, version = made(tiny, "hidden")
    found = reproduce(site, version, variables={"RATE": "0.25"})
    assert found.text == "hidden:v1 differs, first at table rows: column x, row 0: '0.5' → '0.25'"
    assert found.conditions == ("variable RATE, which is not declared, has another value",)


def test_a_package_of_another_version_is_named(
    tiny: Tiny, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site_packages = tmp_path_factory.mktemp("there") / "site-packages"
    install(site_packages, "1.0", "RATE = 0.5")
    monkeypatch.syspath_prepend(site_packages)
    text = HEAD + (
        "import tinyrates\n\n@oito.dataset\ndef rated() -> pl.DataFrame:\n"
        "    return pl.DataFrame({'rate': [tinyrates.rate()]})\n"
    )
    try:
        site, version = made(tiny, "rated", text)
    finally:
        sys.modules.pop("tinyrates", None)
    assert reproduce(site, version).verdict == "bit-equal"
    install(site_packages, "2.0", "RATE = 0.75")
    found = reproduce(site, version)
    assert found.text == "rated:v1 differs, first at table rows: column rate, row 0: 0.5 → 0.75"
    assert found.conditions == ("package tinyrates: 1.0 → 2.0", "packages: tinyrates 1.0 → 2.0")


def install(folder: Path, version: str, text: str) -> None:
    info = folder / "tinyrates-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (folder / "tinyrates.py").write_text(f"{text}\ndef rate(): return RATE\n")
    (info / "METADATA").write_text(f"Name: tinyrates\nVersion: {version}\n")
    (info / "RECORD").write_text("tinyrates.py,sha256=0,1\n")


def test_an_edited_stored_source_and_a_changed_input_are_refused(tiny: Tiny) -> None:
    site, version = made(tiny, "drawn")
    run = site.catalog.rows.one("SELECT bundle FROM run WHERE id = ?", version.run)
    assert run is not None
    path = site.files.path(run["bundle"])
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole.replace(b"default_rng(seed)", b"default_rng(1234)"))
    with pytest.raises(CorruptFile, match="a stored file does not have the bytes"):
        reproduce(site, version)
    path.write_bytes(whole)
    assert reproduce(site, version).verdict == "bit-equal"
    part = site.files.path(tiny.version("orders").tables["rows"]["parts"][0][0])
    part.chmod(0o644)
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(NotReproduced, match="drawn:v1 cannot be made again: a stored file does not have the bytes"):
        reproduce(site, version)


def test_other_code_is_named_with_its_symbol(tiny: Tiny) -> None:
    site, version = made(tiny, "drawn")
    tiny.write(PROJECT.replace("default_rng(seed)", "default_rng(seed + 1)")).run("chance")
    run = tiny.version("chance").run
    found = reproduce(site, replace(version, run=run))
    assert found.verdict == "differs"
    assert found.conditions[0].startswith("code project.drawn changed  (project.py:")


PARTITIONED = (
    HEAD
    + """
from typing import Annotated

@oito.dataset(partition=oito.Day.of("at"))
def orders() -> pl.DataFrame:
    return pl.DataFrame({"id": [1, 2, 3, 4], "at": ["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-03"]}).with_columns(
        pl.col("at").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
    )

@oito.dataset
def daily(orders: pl.DataFrame, *, day: oito.Day) -> pl.DataFrame:
    return orders.with_columns(day=pl.lit(str(day)), rate=pl.lit(os.environ.get("RATE")))

@oito.dataset
def trailing(daily: Annotated[pl.DataFrame, oito.Window("2d")], *, day: oito.Day) -> pl.DataFrame:
    return daily.select(rows=pl.len())
"""
)


def test_partitions_are_made_again_one_by_one_and_a_whole_is_what_they_are(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE", "1")
    site, whole = made(tiny, "trailing", PARTITIONED)
    for name in ("orders", "daily[2024-01-01]", "trailing[2024-01-03]"):
        found = reproduce(site, site.catalog.find(f"{name}:v1", "dev"))
        assert (found.text, found.differences) == (f"{name}:v1 is bit-equal", ()), found
    assert reproduce(site, whole).text == "trailing:v1 is bit-equal"
    found = reproduce(site, site.catalog.find("daily:v1", "dev"), variables={"RATE": "2"})
    assert found.text == "daily:v1 differs, first at partition 2024-01-01: table rows: column rate, row 0: '1' → '2'"
    assert found.conditions == ("variable RATE, which is not declared, has another value",)
