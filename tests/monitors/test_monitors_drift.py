"""Drift: equal to SciPy, within its false-alarm budget, and each fault found in one window and named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from oito.errors import DataError
from oito.monitors.drift import (
    ColumnDrift,
    benjamini_hochberg,
    compare,
    cramer_von_mises_p,
    distances,
    homogeneity_p,
    jensen_shannon,
    natural_effects,
    population_stability,
)
from oito.monitors.quality import ranges
from oito.monitors.reference import Column, Counts, fit

Floats = NDArray[np.float64]
SEEDS = st.integers(0, 10_000)


def _numbers(random: np.random.Generator, rows: int) -> Floats:
    return random.normal(50, 10, rows)


@given(seed=SEEDS, n=st.integers(21, 300), m=st.integers(21, 300))
@settings(max_examples=60, deadline=None)
def test_untied_numbers_are_judged_as_scipy_judges_them(seed: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    before, now = np.sort(random.normal(0, 1, n)), np.sort(random.normal(0.2, 1.3, m))
    ours = distances(before, now)
    theirs = stats.cramervonmises_2samp(before, now, method="asymptotic")
    assert ours.t == pytest.approx(theirs.statistic, abs=1e-9)
    assert cramer_von_mises_p(ours.t, n, m) == pytest.approx(theirs.pvalue, abs=1e-9)
    assert ours.ks == pytest.approx(stats.ks_2samp(before, now).statistic, abs=1e-12)
    assert ours.w1 == pytest.approx(stats.wasserstein_distance(before, now), abs=1e-9)


@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_ties_count_as_the_mean_over_all_their_orders(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, now = (random.integers(0, 4, rows).astype(float) for rows in (30, 17))
    drawn = []
    for _ in range(2000):
        noise = [side + random.uniform(0, 0.5, len(side)) for side in (before, now)]
        drawn.append(distances(*(np.sort(side) for side in noise)).t)
    spread = float(np.std(drawn)) / len(drawn) ** 0.5
    assert distances(np.sort(before), np.sort(now)).t == pytest.approx(float(np.mean(drawn)), abs=5 * spread + 1e-9)


@given(seed=SEEDS, bins=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_counts_are_judged_as_scipy_judges_them(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    before, now = random.integers(20, 400, bins), random.integers(20, 400, bins)
    theirs = stats.chi2_contingency([before, now], correction=False).pvalue
    assert homogeneity_p(before, now) == pytest.approx(theirs, abs=1e-9)
    assert jensen_shannon(before, now) == pytest.approx(float(jensenshannon(before, now, base=2)), abs=1e-9)
    ps = random.random(bins)
    assert benjamini_hochberg(ps.tolist()) == pytest.approx(stats.false_discovery_control(ps), abs=1e-12)


@given(counts=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=9))
def test_stability_is_zero_for_the_same_and_never_negative(counts: list[tuple[int, int]]) -> None:
    before, now = (np.array(side) for side in zip(*counts, strict=True))
    assert population_stability(before, before) == 0.0
    assert population_stability(before, now) >= 0.0
    assert population_stability(before, now) == pytest.approx(population_stability(now, before))


@given(seed=SEEDS, cut=st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_counts_of_two_halves_add_up_and_survive_storage(seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    values = [None if x < -1 else float(x) for x in random.normal(0, 1, 500)]
    texts = random.choice(["a", "b", "c", "d"], 500).tolist()
    for series, known in ((pl.Series("x", values), values[:200]), (pl.Series("t", texts), ["a", "b"])):
        column = Column.from_data(fit(pl.Series(series.name, known)).data())
        assert column.count(series[:cut]) + column.count(series[cut:]) == column.count(series)
        assert column.count(series).rows == 500


def test_a_reference_keeps_missing_and_never_seen_apart() -> None:
    column = fit(pl.Series("place", ["a", "a", "b", None]))
    assert column.count(pl.Series("place", ["a", "z", None])) == Counts((1, 0), 1, 1)
    assert fit(pl.Series("flag", [True, False, None])).count(pl.Series("flag", [True, True])) == Counts((0, 2), 0, 0)


def test_no_more_alarms_than_the_budget_when_nothing_changed() -> None:
    random = np.random.default_rng(3)

    def table(rows: int) -> pl.DataFrame:
        columns = {f"n{place}": pl.Series(_numbers(random, rows)) for place in range(6)}
        columns |= {f"zero{place}": pl.Series(np.maximum(0, random.normal(-0.3, 1, rows))) for place in range(3)}
        columns |= {f"count{place}": pl.Series(random.poisson(30, rows)) for place in range(3)}
        columns |= {f"rare{place}": pl.Series([f"v{x}" for x in random.zipf(1.7, rows)]) for place in range(2)}
        return pl.DataFrame(columns)

    found = [any(each.is_drifted for each in compare(table(900), table(300), false_alarms=0.05)) for _ in range(200)]
    assert sum(found) <= 20  # 10 are expected at most, 20 have a chance of 0.2 %


def test_a_shift_of_a_fifth_of_a_deviation_is_found_in_ten_thousand_rows() -> None:
    random = np.random.default_rng(5)
    before = pl.DataFrame({f"n{place}": random.normal(0, 1, 10_000) for place in range(20)})
    now = pl.DataFrame({f"n{place}": random.normal(0.2 if place < 4 else 0, 1, 10_000) for place in range(20)})
    found = {each.column for each in compare(before, now) if each.is_drifted}
    assert found == {"n0", "n1", "n2", "n3"}


def test_what_is_significant_but_tiny_is_no_drift() -> None:
    random = np.random.default_rng(6)
    before, now = (pl.DataFrame({"x": random.normal(mean, 1, 200_000)}) for mean in (0.0, 0.02))
    [found] = compare(before, now)
    assert found.p_adjusted < 0.02
    assert not found.is_drifted


def _table(random: np.random.Generator, rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "km": random.gamma(3, 200, rows),
            "celsius": random.normal(15, 8, rows),
            "hour": np.clip(random.normal(14, 3, rows), 0, 23).astype(int),
            "place": random.choice(["a", "b", "c"], rows),
            "other": random.normal(0, 1, rows),
        }
    )


FAULTS: dict[str, tuple[str, str, Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "nulls": ("km", "nulls", lambda rows: rows.with_columns(pl.when(pl.int_range(pl.len()) % 5 > 1).then("km").alias("km")), "km is missing in 40.0% of rows, 0.0% before"),
    "unseen": ("place", "unseen", lambda rows: rows.with_columns(pl.when(pl.int_range(pl.len()) % 20 == 0).then(pl.lit("z")).otherwise("place").alias("place")), "place has values never seen before: 'z', 5.0% of rows"),
    "unit": ("km", "unit", lambda rows: rows.with_columns(pl.col("km") * 0.621371), "kilometers and miles"),
    "fahrenheit": ("celsius", "unit", lambda rows: rows.with_columns(pl.col("celsius") * 1.8 + 32), "celsius looks like another unit: from °C to °F"),
    "constant": ("km", "constant", lambda rows: rows.with_columns(km=pl.lit(7.0)), "km is constant: 7 in every row"),
    "constant text": ("place", "constant", lambda rows: rows.with_columns(place=pl.lit("a")), "place is constant: 'a' in every row"),
    "stuck": ("celsius", "stuck", lambda rows: rows.with_columns(pl.when(pl.int_range(pl.len()) % 10 > 2).then("celsius").otherwise(21.5).alias("celsius")), "celsius is stuck at 21.5: 30.0% of rows, 0.0% before"),
    "zone": ("hour", "zone", lambda rows: rows.with_columns((pl.col("hour") + 5) % 24), "hour is turned by +5 hours: another time zone"),
    "shift": ("other", "shift", lambda rows: rows.with_columns(pl.col("other") + 0.5), "other moved up by 0."),
    "gone": ("km", "nulls", lambda rows: rows.drop("km"), "km is empty: every value is missing"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_in_one_window_and_named(fault: str) -> None:
    random = np.random.default_rng(11)
    column, cause, broken, text = FAULTS[fault]
    found = {each.column: each for each in compare(_table(random, 4000), broken(_table(random, 1000)))}
    assert [name for name, each in found.items() if each.is_drifted] == [column]
    assert found[column].cause == cause
    assert text in found[column].text


def test_a_few_wild_values_are_told_from_the_range() -> None:
    random = np.random.default_rng(2)
    before, now = _table(random, 4000), _table(random, 1000)
    assert ranges(before, now, false_alarms=0.02) == []
    wild = now.with_columns(pl.when(pl.int_range(pl.len()) < 10).then(-999.0).otherwise("celsius").alias("celsius"))
    [alarm] = ranges(before, wild, false_alarms=0.02)
    assert (alarm.kind, alarm.column) == ("range", "celsius")
    assert "in 1.1% of rows, down to -999" in alarm.text


def test_a_stream_that_moves_by_itself_is_held_against_its_own_windows() -> None:
    random = np.random.default_rng(4)
    days = [pl.DataFrame({"x": random.normal(mean, 1, 500)}) for mean in random.normal(0, 0.5, 21)]
    before, today = pl.concat(days[:20]), days[20]
    calm = natural_effects(days[:20])
    assert calm["x"] > 0.1
    judged: list[ColumnDrift] = compare(before, today, min_effect=calm)
    assert not judged[0].is_drifted
    assert natural_effects(days[:2]) == {}


def test_an_empty_window_and_an_odd_column_are_no_accident() -> None:
    before = pl.DataFrame({"x": [1.0, 2.0, 3.0] * 30, "t": ["a", "b", "b"] * 30})
    assert not any(each.is_drifted for each in compare(before, before.clear()))
    assert not any(each.is_drifted for each in compare(before.clear(), before))
    with pytest.raises(DataError, match="the column 'at' is Date, which no monitor compares"):
        fit(pl.Series("at", [1], dtype=pl.Int32).cast(pl.Date))
