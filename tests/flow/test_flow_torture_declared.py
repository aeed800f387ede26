"""Edits to declarations, data and surroundings: which assets must run again, which must not, and the first cause told."""

import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from oito.flow import fingerprint
from oito.flow.code.packages import Package, package_of
from oito.flow.fingerprint import Parts, causes, definition
from tiny import HEAD, Tiny

ORDERS = (
    HEAD
    + """
@oito.source(key="id")
def orders(since):
    return outside()
"""
)
PROJECT = (
    ORDERS
    + """
import numpy as np

@oito.dataset(key="id", checks=[oito.between("n", 0, 100)], reads=("rates.csv",), env=("TINY_MODE",))
def cleaned(orders: pl.DataFrame) -> pl.DataFrame:
    \"\"\"Return the good ones.\"\"\"
    kept = orders.filter(pl.col("n") >= 0)
    return kept

@oito.dataset
def shares(cleaned: pl.DataFrame, *, seed: int) -> pl.DataFrame:
    return cleaned.with_columns(share=pl.lit(np.random.default_rng(seed).random()))

@oito.dataset
def total(cleaned: pl.DataFrame) -> pl.DataFrame:
    return cleaned.select(pl.col("n").sum())

diced = oito.dataset.sql(query="SELECT id, random() AS dice FROM cleaned ORDER BY id")
counted = oito.dataset.sql(query="SELECT count(*) AS n FROM cleaned")

@oito.labels(entity="id", time="at", known_at="known_at")
def late(cleaned):
    return cleaned.select("id", at=pl.lit("2024-01-01").str.to_datetime(time_zone="UTC"), late=pl.col("n") > 3)

@oito.model(labels=late, features=[], task="classification")
def lateness(*, depth: int = oito.Int(1, 4)):
    from sklearn.tree import DecisionTreeClassifier
    return DecisionTreeClassifier(max_depth=depth)

late_order = oito.experiment(model=lateness, trials=2, split=oito.by_time(valid="1d", test="1d"), metric="roc_auc")
"""
)


@dataclass(frozen=True)
class Edit:
    """`stale` are the assets that have to run, in order; `why` is the first cause told of the first."""

    name: str
    before: str
    after: str
    stale: tuple[str, ...] = ()
    why: str = ""
    seed: int = 0
    file: str = "project.py"


CODE = "code project.cleaned changed  (project.py:23)"
BELOW = ("cleaned",)
EDITS = [
    Edit("nothing", "", ""),
    Edit("schedule", '@oito.source(key="id")', '@oito.source(key="id", retries=3)'),
    Edit("retries and timeout", "@oito.dataset\ndef total", '@oito.dataset(retries=2, timeout="5m")\ndef total'),
    Edit("description", "@oito.dataset\ndef total", '@oito.dataset(description="All.")\ndef total'),
    Edit("docstring", "Return the good ones.", "Return the better ones."),
    Edit("version by hand", "@oito.dataset\ndef total", '@oito.dataset(version="2")\ndef total', ("total",), "declared version: '' → '2'"),
    Edit("check's threshold", '"n", 0, 100', '"n", 0, 200', BELOW, "declared checks: …"),
    Edit("check's severity", '"n", 0, 100)', '"n", 0, 100, severity="warn")', BELOW, "declared checks: …"),
    Edit("key", '(key="id", checks', '(key=("id", "n"), checks', BELOW, "declared key: ('id',) → ('id', 'n')"),
    Edit("type of a parameter", "total(cleaned: pl.DataFrame)", "total(cleaned: pl.LazyFrame)", ("total",), "type cleaned: DataFrame → LazyFrame"),
    Edit("result's annotation", "def total(cleaned: pl.DataFrame) -> pl.DataFrame", "def total(cleaned: pl.DataFrame)"),
    Edit("rename of a local", "kept", "good", BELOW, CODE),
    Edit("rename of an asset", "def total(", "def sum_of_all("),
    Edit("rename of an asset that draws", "def shares(", "def parts(", ("parts",), "seed stream: shares → parts"),
    Edit("query", "count(*)", "count(id)", ("counted",), "declared query: …"),
    Edit("search space's bound", "oito.Int(1, 4)", "oito.Int(1, 5)", ("lateness",), "…depth…"),
    Edit("search space's scale", "oito.Int(1, 4)", "oito.Int(1, 4, log=True)", ("lateness",), "…depth…"),
    Edit("split", 'valid="1d", test', 'valid="2d", test', ("late_order",), "declared split: …"),
    Edit("metric", '"roc_auc"', '"log_loss"', ("late_order",), "declared metric: 'roc_auc' → 'log_loss'"),
    Edit("trials", "trials=2", "trials=3", ("late_order",), "declared trials: 2 → 3"),
    Edit("declared file", "", "a\n2\n", BELOW, "file rates.csv: …", file="rates.csv"),
    Edit("declared file written again", "", "a\n1\n", file="rates.csv"),
    Edit("root seed", "", "", ("shares", "diced", "late_order"), "seed root: 0 → 7", seed=7),
]  # fmt: skip


RENAMED = {"total": "sum_of_all", "shares": "parts"}


def definitions(tiny: Tiny, *, seed: int = 0, packages: str = "exact") -> dict[str, Parts]:
    """Return the record of each asset by name, as a plan draws it up."""
    project = tiny.load()
    return {
        name: definition(asset, project, root=tiny.root, seed=seed, packages=packages)
        for name, asset in project.assets.items()
    }


def changed(before: dict[str, Parts], after: dict[str, Parts]) -> dict[str, list[str]]:
    """Return the causes by name of each asset that has another key than before."""
    found = {}
    for name, parts in after.items():
        old = before.get(name) or before[next(was for was, now in RENAMED.items() if now == name)]
        if old["key"] != parts["key"]:
            found[name] = [cause.text for cause in causes(old, parts)]
    return found


@pytest.fixture
def project(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.setenv("TINY_MODE", "a")
    return tiny.write("a\n1\n", "rates.csv").write(PROJECT)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_of_a_declaration_is_told_from_no_change(edit: Edit, project: Tiny) -> None:
    before = definitions(project)
    if edit.file != "project.py":
        project.write(edit.after, edit.file)
    elif edit.before:
        text = PROJECT.replace(edit.before, edit.after)
        assert text != PROJECT
        project.write(text)
    told = changed(before, definitions(project, seed=edit.seed))
    assert tuple(told) == edit.stale, told
    if edit.stale:
        pattern = ".*".join(map(re.escape, edit.why.split("…")))
        assert re.fullmatch(pattern, told[edit.stale[0]][0]), told


def test_a_declared_variable_counts_unset_empty_and_full(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = definitions(project)
    for value in ("", "b"):
        monkeypatch.setenv("TINY_MODE", value)
        assert [each.partition(":")[0] for each in changed(before, definitions(project))["cleaned"]] == [
            "variable TINY_MODE"
        ]
    monkeypatch.delenv("TINY_MODE")
    assert list(changed(before, definitions(project))) == ["cleaned"]
    monkeypatch.setenv("TINY_MODE", "a")
    assert changed(before, definitions(project)) == {}


@pytest.mark.parametrize(
    ("mode", "version", "is_seen"),
    [
        ("exact", "2.4.7", True),
        ("exact", "2.5.0", True),
        ("minor", "2.4.7", False),
        ("minor", "2.5.0", True),
        ("off", "3.0.0", False),
    ],
)
def test_a_package_upgrade_counts_by_policy(
    mode: str, version: str, is_seen: bool, project: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = package_of
    monkeypatch.setattr("oito.flow.code.ownership.package_of", lambda file: upgraded(real(file), "2.4.0"))
    before = definitions(project, packages=mode)
    monkeypatch.setattr("oito.flow.code.ownership.package_of", lambda file: upgraded(real(file), version))
    told = changed(before, definitions(project, packages=mode))
    shown = ("2.4", version[:3]) if mode == "minor" else ("2.4.0", version)
    assert told == ({"shares": [f"package numpy: {shown[0]} → {shown[1]}"]} if is_seen else {})


def upgraded(found: Package | None, version: str) -> Package | None:
    return Package("numpy", version) if found is not None and found.name == "numpy" else found


def test_an_upgrade_of_duckdb_counts_where_it_computes(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = definitions(project)
    monkeypatch.setattr(fingerprint, "version_of", lambda module: Package(module, "99.1"))
    told = changed(before, definitions(project))
    assert {name: causes[0].rpartition(" → ")[2] for name, causes in told.items()} == {
        "diced": "99.1",
        "counted": "99.1",
    }


def test_an_upgrade_of_python_counts_by_its_minor_version(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    before = definitions(project)
    now = sys.version_info
    monkeypatch.setattr(sys, "version_info", SimpleNamespace(major=now.major, minor=now.minor, micro=99))
    assert changed(before, definitions(project)) == {}
    monkeypatch.setattr(sys, "version_info", SimpleNamespace(major=now.major, minor=now.minor + 1, micro=0))
    told = changed(before, definitions(project))
    assert set(told) == set(before)
    assert told["total"] == [f"python: {now.major}.{now.minor} → {now.major}.{now.minor + 1}"]


REFINED = """
@oito.dataset
def cleaned(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.filter(pl.col("n") > 0)

@oito.dataset
def total(cleaned: pl.DataFrame) -> pl.DataFrame:
    return cleaned.select(pl.col("n").sum())
"""
SAME_ROWS = [
    ('orders.filter(pl.col("n") > 0)', "orders.filter(~(pl.col('n') <= 0))"),
    ('orders.filter(pl.col("n") > 0)', 'pl.concat([orders[:1], orders[1:]], rechunk=False).filter(pl.col("n") > 0)'),
    ('orders.filter(pl.col("n") > 0)', 'orders.lazy().filter(pl.col("n") > 0)'),
    ('orders.filter(pl.col("n") > 0)', 'orders.filter(pl.col("n") > 0).to_arrow()'),
]
OTHER_ROWS = [
    ('pl.col("n") > 0)', 'pl.col("n") > 0).select("n", "id")'),
    ('pl.col("n") > 0)', 'pl.col("n") > 0).with_columns(pl.col("n").cast(pl.Int32))'),
    ('pl.col("n") > 0)', 'pl.col("n") > 0).rename({"id": "key"})'),
    ('pl.col("n") > 0)', 'pl.col("n") > 0).reverse()'),
    ('pl.col("n") > 0)', 'pl.col("n") >= 0)'),
]


@pytest.mark.parametrize("edit", SAME_ROWS, ids=lambda edit: edit[1])
def test_a_refactoring_with_the_same_rows_ends_the_wave(edit: tuple[str, str], tiny: Tiny) -> None:
    tiny.write(ORDERS + REFINED).run(environment="production")
    tiny.edit(*edit)
    assert tiny.did(tiny.run(environment="production")) == {"cleaned": "made"}
    assert set(tiny.states("production").values()) == {"fresh"}


@pytest.mark.parametrize("edit", OTHER_ROWS, ids=lambda edit: edit[1])
def test_other_columns_order_or_types_go_on(edit: tuple[str, str], tiny: Tiny) -> None:
    tiny.write(ORDERS + REFINED).run(environment="production")
    tiny.edit(*edit)
    assert tiny.did(tiny.run(environment="production"))["total"] == "made"
    assert set(tiny.states("production").values()) == {"fresh"}
