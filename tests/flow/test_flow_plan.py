"""What would run, and why: every edit that changes a result is seen and named, nothing else makes work."""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from oito.clock import moment
from oito.errors import DeclarationError, StorageError
from oito.flow import actions
from oito.storage.migrations import STEPS
from tiny import CHAIN, HEAD, WATCHED, Tiny

HELPED = (
    HEAD
    + """
from helper import clean
RATE = 2

@oito.source(key="id")
def orders(since):
    ran("orders")
    return outside()

@oito.dataset
def cleaned(orders: pl.DataFrame) -> pl.DataFrame:
    ran("cleaned")
    return clean(orders).with_columns(rate=pl.lit(RATE))

@oito.dataset
def total(cleaned: pl.DataFrame) -> pl.DataFrame:
    ran("total")
    return cleaned.select(pl.col("n").sum())
"""
)


@pytest.fixture
def helped(tiny: Tiny) -> Tiny:
    """A project whose data set calls a helper that calls another one, made once, its source not asked again."""
    tiny.write("import deep\ndef clean(rows):\n    return rows.filter(rows['n'] > deep.least())\n", "helper.py")
    tiny.write("LEAST = 0\ndef least():\n    return LEAST\n", "deep.py")
    tiny.write(HELPED).run(environment="production")
    tiny.ran()
    return tiny


def causes(tiny: Tiny, asset: str) -> list[str]:
    return [cause.text for cause in tiny.plan()[asset].causes]


def test_nothing_to_do_is_nothing_to_do_in_any_environment(helped: Tiny) -> None:
    assert helped.states() == {"orders": "fresh", "cleaned": "fresh", "total": "fresh"}
    helped.run()
    assert helped.ran() == []


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("project.py", "RATE = 2\n", "RATE = 2  # per order\n"),
        (
            "project.py",
            '    ran("cleaned")\n',
            '    """Return the good ones."""\n    # only those\n    ran( "cleaned" )\n',
        ),
        ("helper.py", "def clean", "def unused():\n    return 3\n\ndef clean"),
        ("deep.py", "LEAST = 0\n", "# the least\n\nLEAST = 0\n"),
    ],
)
def test_comments_docstrings_formatting_and_strangers_are_no_reason(
    helped: Tiny, file: str, before: str, after: str
) -> None:
    helped.edit(before, after, file)
    assert set(helped.states().values()) == {"fresh"}
    assert actions.plan(helped.site()).title == "nothing to do"


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("project.py", "RATE = 2\n", "RATE = 3\n", "value project.RATE: 2 → 3  (project.py:17)"),
        ("deep.py", "LEAST = 0\n", "LEAST = 1\n", "value deep.LEAST: 0 → 1  (deep.py:1)"),
        ("deep.py", "return LEAST\n", "return LEAST + 0\n", "code deep.least changed  (deep.py:2)"),
        ("helper.py", "'n'] >", "'n'] >=", "code helper.clean changed  (helper.py:2)"),
        ("project.py", "pl.DataFrame:\n    ran(\"cleaned\")", "pl.DataFrame:\n    ran('cleaned'); x = 1",
         "code project.cleaned changed  (project.py:25)"),
        ("project.py", "def cleaned(orders: pl.DataFrame)", "def cleaned(orders: pl.LazyFrame)",
         "type orders: DataFrame → LazyFrame"),
    ],
)  # fmt: skip
def test_an_edit_two_modules_away_is_named_with_before_after_and_place(
    helped: Tiny, file: str, before: str, after: str, told: str
) -> None:
    helped.edit(before, after, file)
    plan = helped.plan()
    assert {name: entry.state for name, entry in plan.items()} == {
        "orders": "fresh", "cleaned": "stale", "total": "waiting",
    }  # fmt: skip
    assert causes(helped, "cleaned") == [told]
    assert plan["total"].reason == "after cleaned"
    why = actions.why(helped.site(), "cleaned")
    assert why.data["causes"][0]["asset"] == "cleaned"
    assert why.data["reason"] == told


def test_a_package_upgrade_is_named(helped: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = helped.root / "site-packages"
    (folder / "tinylib-1.0.dist-info").mkdir(parents=True)
    (folder / "tinylib.py").write_text("def half(x): return x / 2\n")
    info = folder / "tinylib-1.0.dist-info"
    (info / "METADATA").write_text("Name: tinylib\nVersion: 1.0\n")
    (info / "RECORD").write_text("tinylib.py,,\n")
    monkeypatch.syspath_prepend(str(folder))
    helped.edit("import deep\n", "import deep, tinylib\n", "helper.py")
    helped.edit("deep.least()", "tinylib.half(deep.least())", "helper.py")
    helped.run()
    (info / "METADATA").write_text("Name: tinylib\nVersion: 1.0.1\n")
    assert causes(helped, "cleaned") == ["package tinylib: 1.0 → 1.0.1"]
    assert helped.plan(packages="off")["cleaned"].causes[0].text.startswith("package ")
    helped.run()
    (info / "METADATA").write_text("Name: tinylib\nVersion: 1.1\n")
    assert causes(helped, "cleaned") == ["package tinylib: 1.0.1 → 1.1"]
    sys.modules.pop("tinylib", None)


def test_an_upgrade_does_not_ask_the_outside_world_all_over_again(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(CHAIN).run(environment="production")
    before = tiny.version("orders", "production").definition
    monkeypatch.setattr("oito.flow.fingerprint.FORMAT", 99)
    plan = tiny.plan("production", "orders")
    assert plan["orders"].definition == before
    assert not plan["orders"].is_redefined


def test_a_refactoring_with_equal_output_stops_the_wave_there(helped: Tiny) -> None:
    helped.edit("rows['n'] > deep.least()", "(rows['n'] > deep.least()) & True", "helper.py")
    outcome = helped.run()
    assert helped.ran() == ["cleaned"]
    assert helped.did(outcome) == {"cleaned": "made"}
    assert helped.states() == {"orders": "fresh", "cleaned": "fresh", "total": "fresh"}


def test_going_back_to_an_earlier_definition_reuses_its_version(helped: Tiny) -> None:
    helped.edit("RATE = 2", "RATE = 3")
    helped.run()
    helped.ran()
    helped.edit("RATE = 3", "RATE = 2")
    assert helped.states()["cleaned"] == "reusable"
    assert helped.did(helped.run())["cleaned"] == "reused"
    assert helped.ran() == []


def test_a_renamed_asset_is_a_hit(helped: Tiny) -> None:
    helped.edit("def cleaned(orders", "def kept(orders")
    helped.edit("def total(cleaned: pl.DataFrame) -> pl.DataFrame:", "def total(kept: pl.DataFrame) -> pl.DataFrame:")
    helped.edit("return cleaned.select", "return kept.select")
    assert helped.states()["kept"] == "missing" or helped.states()["kept"] == "reusable"
    assert helped.did(helped.run("kept")) == {"kept": "reused"}
    assert helped.ran() == []
    version = helped.version("kept")
    assert (version.ref, version.content) == ("kept:v1", helped.version("cleaned").content)


def test_what_one_environment_made_is_free_in_another(helped: Tiny) -> None:
    helped.edit("RATE = 2", "RATE = 3")
    helped.run(environment="dev")
    helped.ran()
    outcome = helped.run(environment="branch")
    assert helped.did(outcome) == {"cleaned": "reused", "total": "reused"}
    assert helped.ran() == []
    assert helped.states("production")["cleaned"] == "reusable"


def test_a_declared_file_and_variable_are_reasons_and_a_missing_file_is_told(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_RATE", "1")
    body = """
@oito.dataset(reads=("rates.csv",), env=("TINY_RATE",))
def rates(orders: pl.DataFrame) -> pl.DataFrame:
    return pl.read_csv("rates.csv").with_columns(rate=pl.lit(os.environ["TINY_RATE"]))
"""
    monkeypatch.chdir(tiny.root)
    tiny.write("a\n1\n", "rates.csv").write(CHAIN + body).run(environment="production")
    tick = time.time_ns() + 10**10
    for n in range(3):  # the same size, and within one tick of the file's time
        tiny.write(f"a\n{n + 2}\n", "rates.csv")
        os.utime(tiny.root / "rates.csv", ns=(tick, tick))
        assert [each.section for each in tiny.plan()["rates"].causes] == ["file"], n
        tiny.run("rates")
    monkeypatch.setenv("TINY_RATE", "2")
    assert [(each.section, each.name) for each in tiny.plan()["rates"].causes] == [("variable", "TINY_RATE")]
    (tiny.root / "rates.csv").unlink()
    with pytest.raises(DeclarationError) as told:
        tiny.plan()
    assert told.value.what == "rates reads rates.csv, which is not there"
    tiny.write("x", "rates.csv/inner")  # a folder stands for the files in it
    assert next((each.section, each.name) for each in tiny.plan()["rates"].causes) == ("file", "rates.csv")


def test_a_global_without_canonical_form_is_an_error_at_plan_time(tiny: Tiny) -> None:
    tiny.write(
        CHAIN
        + "import threading\nLOCK = threading.Lock()\n@oito.dataset\ndef locked(orders):\n    with LOCK: return orders\n"
    )
    tiny.run("total")
    with pytest.raises(DeclarationError, match="LOCK"):
        tiny.plan()
    outcome = tiny.tried()  # the others run all the same
    assert list(outcome.errors) == ["locked"]


def test_an_accepted_change_runs_nothing_and_is_written_down(helped: Tiny) -> None:
    helped.edit("RATE = 2", "RATE = 3")
    actions.accept(helped.site(), "cleaned", reason="the rate is not used yet")
    assert helped.states() == {"orders": "fresh", "cleaned": "accepted", "total": "fresh"}
    helped.run()
    assert helped.ran() == []
    from oito.catalog import events

    event = events.listed(helped.site().catalog.rows, subject="cleaned")[0]
    assert (event.verb, event.who, event.subject) == ("accepted", "ana", "cleaned:v1")
    assert event.detail == {
        "environment": "dev",
        "reason": "the rate is not used yet",
        "causes": ["value project.RATE: 2 → 3  (project.py:17)"],
    }
    helped.edit("RATE = 3", "RATE = 4")
    assert helped.states()["cleaned"] == "stale"


def test_an_accepted_source_goes_on_with_its_rows(tiny: Tiny) -> None:
    tiny.write(CHAIN).run(environment="production")
    tiny.edit('ran("orders")', 'ran("orders"); x = 1')
    tiny.tell(id=[4], n=[1])
    actions.accept(tiny.site("production"), "orders", reason="the same rows, asked for in another way")
    tiny.run(environment="production")
    assert tiny.rows("orders", "production")["id"].to_list() == [1, 2, 3, 4]


def test_a_source_that_is_redefined_starts_afresh(tiny: Tiny) -> None:
    tiny.write(CHAIN).run(environment="production")
    tiny.edit('ran("orders")', 'ran("orders"); x = 1')
    tiny.tell(id=[4], n=[1])
    tiny.run(environment="production")
    assert tiny.rows("orders", "production")["id"].to_list() == [4]


def test_forced_work_runs_whatever_its_state(helped: Tiny) -> None:
    page = actions.retrain(helped.site(), "total", reason="to see")
    assert [(step["asset"], step["state"]) for step in page.data["steps"]] == [("total", "made")]
    assert helped.ran() == ["total"]


def test_outside_production_sources_are_read_and_not_asked(tiny: Tiny) -> None:
    tiny.write(CHAIN).run(environment="production")
    tiny.ran()
    tiny.tell(id=[1, 2, 3, 4], n=[5, 0, 7, 9])
    assert tiny.states("production")["orders"] == "stale"
    assert tiny.plan("dev")["orders"].reason == "reads production's"
    tiny.run()
    assert tiny.ran() == []
    tiny.run(environment="production")
    assert tiny.rows("total", "dev")["n"].to_list() == [21]  # dev has nothing of its own: it follows
    tiny.ran()
    tiny.tell(id=[1, 2, 3, 4], n=[5, 0, 7, 1])
    tiny.run(collect=["orders"])
    assert tiny.ran() == ["orders", "cleaned", "total"]
    assert tiny.rows("total", "dev")["n"].to_list() == [13]
    assert tiny.rows("total", "production")["n"].to_list() == [21]


def test_a_source_edited_in_dev_is_collected_there_and_nowhere_else(tiny: Tiny) -> None:
    tiny.write(CHAIN).run(environment="production")
    tiny.edit("return outside()", "return outside().with_columns(n=pl.col('n') * 2)")
    assert tiny.plan("dev")["orders"].state == "stale"
    tiny.run()
    assert tiny.rows("total", "dev")["n"].to_list() == [24]
    assert tiny.rows("total", "production")["n"].to_list() == [12]


def test_a_source_is_asked_again_at_each_tick_only(tiny: Tiny) -> None:
    tiny.write(CHAIN.replace('@oito.source(key="id")', '@oito.source(key="id", every="1h")'))
    tiny.run(environment="production")
    assert tiny.states("production")["orders"] == "fresh"
    tiny.clock.move_to(moment("2024-01-01T01:00:00"))
    assert tiny.states("production")["orders"] == "stale"
    outcome = tiny.run(environment="production")
    assert tiny.did(outcome) == {"orders": "unchanged"}
    assert tiny.states("production")["orders"] == "fresh"


def test_a_seed_is_a_reason_for_what_draws_from_it_alone(tiny: Tiny) -> None:
    tiny.write(CHAIN + "@oito.dataset\ndef drawn(cleaned, *, seed: int): return pl.DataFrame({'x': [seed]})\n")
    tiny.run(environment="production")
    plan = tiny.plan("dev", seed=1)
    assert {name: entry.state for name, entry in plan.items() if entry.state != "fresh"} == {"drawn": "stale"}
    assert plan["drawn"].causes[0].text == "seed root: 0 → 1"


def test_the_same_rows_read_in_another_way_are_other_content(tiny: Tiny) -> None:
    body = """
@oito.features(entity="id", time="at", ttl="14d")
def record(cleaned: pl.DataFrame):
    return cleaned.select("id", "n", at=pl.lit("2024-01-01").str.to_datetime(time_zone="UTC"))
"""
    tiny.write(CHAIN + body).run(environment="production")
    before = tiny.version("record", "production")
    tiny.edit('ttl="14d"', 'ttl="7d"')
    tiny.run()
    after = tiny.version("record")
    assert before.tables["rows"]["content"] == after.tables["rows"]["content"]
    assert before.content != after.content


# Held assets: what waits for a verdict.


@pytest.fixture
def watched(tiny: Tiny) -> Tiny:
    tiny.write(WATCHED).run(environment="production")
    tiny.ran()
    return tiny


def newer(tiny: Tiny, n: int) -> None:
    tiny.tell(id=[1, 2, 3], n=[5, 0, n])


def test_newer_data_alone_does_not_make_a_watched_asset_again(watched: Tiny) -> None:
    newer(watched, 8)
    assert watched.states("production") == {
        "orders": "stale", "cleaned": "waiting", "total": "waiting", "size": "held", "watch": "fresh",
    }  # fmt: skip
    watched.run(environment="production")
    assert watched.ran() == ["orders", "cleaned", "total"]
    assert watched.plan("production")["size"].reason == "newer data waits for a monitor's verdict"


def test_a_verdict_makes_it_again_once(watched: Tiny) -> None:
    newer(watched, 8)
    watched.write("it drifted", "asks.txt")
    outcome = watched.run(environment="production")
    assert [(step.asset, step.state) for step in outcome.steps if step.asset in {"size", "watch"}] == [
        ("watch", "made"), ("size", "made"),
    ]  # fmt: skip
    assert next(step.cause for step in outcome.steps if step.asset == "size") == (
        "watch:v2 asks: it drifted; 13 against at least 5"
    )
    newer(watched, 9)
    watched.write("", "asks.txt")
    watched.run(environment="production")
    newer(watched, 10)
    watched.run(environment="production")
    assert watched.ran().count("size") == 1


def test_a_changed_definition_makes_a_watched_asset_again_also_above_it(watched: Tiny) -> None:
    watched.edit('pl.col("n") > 0', 'pl.col("n") > 1')
    newer(watched, 8)
    assert watched.states("production")["size"] == "waiting"
    watched.run(environment="production")
    assert watched.ran().count("size") == 1


def test_a_refactoring_with_equal_output_above_leaves_it_held(watched: Tiny) -> None:
    watched.edit('pl.col("n") > 0', 'pl.col("n") >= 1')
    watched.run("total", environment="production")
    assert watched.states("production")["size"] == "fresh"


def test_a_verdict_that_was_refused_is_answered(watched: Tiny) -> None:
    watched.tell(id=[1], n=[2])
    watched.write("it drifted", "asks.txt")
    watched.edit("least=5", "least=500")
    outcome = watched.run(environment="production")
    states = [(step.asset, step.state) for step in outcome.steps if step.asset == "size"]
    assert states == [("size", "refused")]
    assert watched.version("size", "production").number == 1
    watched.ran()
    assert watched.states("production")["size"] == "held"
    watched.run("size", environment="production")
    assert "size" not in watched.ran()


def test_the_catalog_of_a_newer_version_is_left_alone(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    site = tiny.site()
    site.catalog.rows.one("PRAGMA user_version = 99")
    with pytest.raises(StorageError) as told:
        tiny.states()
    assert type(told.value).__name__ == "CatalogTooNew"
    assert told.value.what == f"the catalog has form 99 and this oito knows forms up to {len(STEPS)}"
    assert told.value.known == "a newer oito wrote it; nothing was changed"


def test_a_damaged_catalog_says_so(tiny: Tiny) -> None:
    tiny.write(CHAIN).run()
    tiny.close()
    path = Path(tiny.root / ".oito" / "catalog.db")
    for beside in ("catalog.db-wal", "catalog.db-shm"):
        (path.parent / beside).unlink(missing_ok=True)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StorageError) as told:
        tiny.states()
    assert told.value.what == "the catalog is damaged: file is not a database"
    assert told.value.next == "oito repair, or restore the file from a backup"
    shutil.rmtree(path.parent)


def _layers(tiny: Tiny, text: str) -> None:
    tiny.write(HEAD + text)
    tiny.tell(id=[1], n=[1])
    tiny.run(environment="production")
    assert set(tiny.states("production").values()) == {"fresh"}
    tiny.ran()


SOURCE = """
@oito.source(key="id")
def start(since):
    ran("start")
    return outside()
"""


def test_a_diamond_waits_for_both_sides_and_runs_once(tiny: Tiny) -> None:
    side = "@oito.dataset\ndef {0}(start: pl.DataFrame): ran('{0}'); return start.with_columns(n=pl.col('n') * {1})\n"
    bottom = "@oito.dataset\ndef bottom(left: pl.DataFrame, right: pl.DataFrame): ran('bottom'); return pl.concat([left, right])\n"
    _layers(tiny, SOURCE + side.format("left", 2) + side.format("right", 0) + bottom)
    tiny.edit("* 2", "* 3")
    assert tiny.states("production") == {"start": "fresh", "left": "stale", "right": "fresh", "bottom": "waiting"}
    tiny.run(environment="production")
    assert tiny.ran() == ["left", "bottom"]
    tiny.tell(id=[1], n=[5])
    tiny.run(environment="production")
    assert tiny.ran() == ["start", "left", "right", "bottom"]  # the right side gives 0 again, the left one does not
    assert tiny.version("right", "production").content == tiny.version("right", "production").content


def test_a_fan_out_of_five_hundred_reruns_the_one_that_changed(tiny: Tiny) -> None:
    text = "".join(
        f"@oito.dataset\ndef f{n}(start: pl.DataFrame): ran('f{n}'); return start.select(n=pl.lit({n + 1000}))\n"
        for n in range(500)
    )
    total = (
        f"@oito.dataset\ndef total({', '.join(f'f{n}: pl.DataFrame' for n in range(500))}): ran('total'); return f0\n"
    )
    _layers(tiny, SOURCE + text + total)
    tiny.edit("pl.lit(1321)", "pl.lit(7)")
    states = tiny.states("production")
    assert {name for name, state in states.items() if state != "fresh"} == {"f321", "total"}
    tiny.run(environment="production")
    assert tiny.ran() == ["f321", "total"]


def test_a_chain_of_three_hundred_stops_where_nothing_changes(tiny: Tiny) -> None:
    text = SOURCE + "".join(
        f"@oito.dataset\ndef c{n}({f'c{n - 1}' if n else 'start'}: pl.DataFrame): ran('c{n}'); return pl.DataFrame({{'n': [{n + 1000}]}})\n"
        for n in range(300)
    )
    _layers(tiny, text)
    tiny.edit("[1150]", "[999]")
    entries = tiny.plan("production")
    assert [name for name, entry in entries.items() if entry.state == "stale"] == ["c150"]
    assert {entries[f"c{n}"].state for n in range(151, 300)} == {"waiting"}
    assert entries["c299"].reason == "after c298"
    tiny.run(environment="production")
    assert tiny.ran() == ["c150", "c151"]  # which gives what it gave before
