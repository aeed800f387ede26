"""Metrics logged from inside a step: seen by others while it runs, kept with its version, drawn and compared afterwards."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from oito import log_metric
from oito.catalog import points, runs, versions
from oito.catalog.records import Version
from oito.errors import BadInput
from oito.flow import curves, pages
from oito.flow.tracking import POINTS
from oito.show import Chart, Page, Table
from tiny import HEAD, Tiny

TRAINED = (
    HEAD
    + """
import oito

@oito.dataset
def trained() -> pl.DataFrame:
    for step in range(5):
        oito.log_metric("loss", 1 / (step + 1), step=10 * step)
        oito.log_metric("rate", step)
    return pl.DataFrame({"n": [1]})
"""
)


def charts(page: Page) -> dict[str, Chart]:
    return {block.title: block for block in page.blocks if isinstance(block, Chart)}


def logged(tiny: Tiny, version: Version) -> list[tuple[str, int, float]]:
    rows = tiny.site().table(version, POINTS, as_type=pl.DataFrame)
    assert rows.columns == ["asset", "name", "step", "value", "at"]
    return list(rows.select("name", "step", "value").iter_rows())


def test_points_stay_with_the_version_and_their_last_values_are_its_metrics(tiny: Tiny) -> None:
    tiny.write(TRAINED).run()
    version, site = tiny.version("trained"), tiny.site()
    assert logged(tiny, version)[:4] == [("loss", 0, 1.0), ("rate", 0, 0.0), ("loss", 10, 0.5), ("rate", 1, 1.0)]
    assert versions.metrics(site.catalog.rows, version.id)["loss"] == 0.2
    assert versions.metrics(site.catalog.rows, version.id)["rate"] == 4.0
    loss = charts(pages.version_page(site, version))["loss"].series[0]
    assert (loss.x, loss.y) == ([0, 10, 20, 30, 40], [1.0, 0.5, 1 / 3, 0.25, 0.2])
    assert charts(pages.log(site, version.run))["trained: loss"].series[0].y == loss.y


def test_what_is_logged_is_no_content(tiny: Tiny) -> None:
    tiny.write(TRAINED).run()
    before = tiny.version("trained")
    tiny.edit("1 / (step + 1)", "2 / (step + 1)")
    tiny.run()
    after = tiny.version("trained")
    assert (after.number, after.content) == (2, before.content)
    page = curves.metrics(tiny.site(), "trained")
    assert [len(chart.series) for chart in charts(page).values()] == [2, 2]
    assert [series.name for series in charts(page)["loss"].series] == ["trained:v2", "trained:v1"]
    assert page.data["metrics"]["trained:v2"]["loss"] == 0.4
    assert list(charts(curves.metrics(tiny.site(), "trained:v1", metric="loss"))) == ["loss"]
    table = next(block for block in page.blocks if isinstance(block, Table))
    assert [row[list(table.columns).index("loss")] for row in table.rows] == [0.4, 0.2]


def test_processes_log_as_one_process_does(tiny: Tiny) -> None:
    tiny.write(TRAINED).run()
    inline = logged(tiny, tiny.version("trained"))
    tiny.run(jobs=2, force=["trained"])
    assert tiny.version("trained").number == 2
    assert logged(tiny, tiny.version("trained")) == inline


def test_each_partition_has_its_own_curve(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.source(key="id", partition=oito.Key.of("n"))
def orders(since): return outside()

@oito.dataset
def doubled(orders: pl.DataFrame, *, n: oito.Key) -> pl.DataFrame:
    oito.log_metric("loss", orders["id"][0], step=0)
    return orders
"""
    )
    tiny.run()
    site, whole = tiny.site(), tiny.version("doubled")
    series = charts(pages.version_page(site, whole))["loss"].series
    assert [(each.name, each.y) for each in series] == [
        ("doubled[0]", [2.0]),
        ("doubled[5]", [1.0]),
        ("doubled[7]", [3.0]),
    ]


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny import Tiny
Tiny(Path(sys.argv[1])).run()
"""


def test_a_killed_step_has_lost_no_point_and_others_saw_them_before(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.dataset
def trained() -> pl.DataFrame:
    for step in range(1000):
        oito.log_metric("loss", 1.0 + step, step=step)
    Path(os.environ["RAN"]).write_text("logged")
    import time
    time.sleep(60)
    return pl.DataFrame({"n": [1]})
"""
    )
    code = CHILD.format(tests=str(Path(__file__).parents[1]))
    child = subprocess.Popen([sys.executable, "-c", code, str(tiny.root)])
    ran = tiny.root / "ran.txt"
    while not (ran.exists() and ran.read_text() == "logged"):
        assert child.poll() is None
        time.sleep(0.02)
    site = tiny.site()
    (run,) = [run.id for run in runs.listed(site.catalog.rows)]
    chart = charts(pages.log(site, run))["trained: loss"]
    assert chart.series[0].x[-1] == 999 and chart.series[0].y[-1] == 1000.0
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert points.live(site.home, run)["trained"][-1][:3] == ("loss", 999, 1000.0)
    assert len(points.live(site.home, run)["trained"]) == 1000


def test_an_attempt_that_failed_leaves_no_points_to_the_next(tiny: Tiny) -> None:
    tiny.write(
        HEAD
        + """
@oito.dataset(retries=1)
def trained() -> pl.DataFrame:
    again = Path(os.environ["RAN"]).exists()
    ran("trained")
    oito.log_metric("loss", 2.0 if again else 1.0)
    if not again:
        raise ConnectionError("gone")
    return pl.DataFrame({"n": [1]})

@oito.dataset
def failed() -> pl.DataFrame:
    oito.log_metric("loss", 3.0)
    raise ValueError("no")
"""
    )
    outcome = tiny.tried()
    site = tiny.site()
    assert logged(tiny, tiny.version("trained")) == [("loss", 0, 2.0)]
    assert charts(pages.log(site, outcome.run))["failed: loss"].series[0].y == [3.0]


def test_a_thread_that_a_step_starts_logs_for_it(tiny: Tiny) -> None:
    threads = TRAINED.replace("    for step", "    from threading import Thread\n    for step").replace(
        'oito.log_metric("rate", step)',
        'each = Thread(target=oito.log_metric, args=("rate", step)); each.start(); each.join()',
    )
    tiny.write(threads).run()
    assert [each for each in logged(tiny, tiny.version("trained")) if each[0] == "rate"][-1] == ("rate", 4, 4.0)


def test_what_is_no_point_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput) as value:
        log_metric("loss", "low")  # type: ignore[arg-type]  # the mistake
    assert str(value.value) == "metric 'loss' is no number\n  known    'low'\n  next     log one number at a time"
    with pytest.raises(BadInput, match=r"step 0\.5 of metric 'loss' is no whole number"):
        log_metric("loss", 1.0, step=0.5)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(BadInput, match="'' is no name of a metric"):
        log_metric("", 1.0)
    log_metric("loss", 0.5)
    assert capsys.readouterr().out == "loss 0.5\n"


def test_a_long_curve_keeps_its_extremes_and_a_gap_where_there_is_no_number() -> None:
    rows = pl.DataFrame({"step": range(100_000), "value": [math.sin(n / 50) for n in range(100_000)]})
    rows[5_000, "value"], rows[70_000, "value"], rows[20_000, "value"] = 99.0, -99.0, math.nan
    found = curves.thinned(rows)
    assert found.height <= curves.MOST_POINTS and found["step"].is_sorted()
    assert (found["value"].max(), found["value"].min()) == (99.0, -99.0)
    assert curves._values(pl.DataFrame({"value": [1.0, math.nan, math.inf]})) == [1.0, None, None]


def test_points_of_runs_long_gone_are_swept(tmp_path: Path) -> None:
    for name, age_s in (("r-old", 8 * 86_400), ("r-new", 60)):
        file = tmp_path / name / "x.jsonl"
        file.parent.mkdir()
        file.write_text('{"asset":"a"}\n["loss",0,1.0,0.0]\n["torn')
        os.utime(file, (time.time() - age_s, time.time() - age_s))
    points.sweep(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["r-new"]
    assert points.read(tmp_path / "r-new" / "x.jsonl") == ("a", [("loss", 0, 1.0, 0.0)])
