"""The charts of an evaluation report and of a search, from their plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from oito.show import Block, Chart, Series, Table

COLUMNS = 25  # of the importance chart


def charts(report: Mapping[str, Any]) -> list[Block]:
    """Return the curves that exist for the report's task."""
    drawn = [
        _roc(report["roc"]) if report["roc"] else None,
        _pr(report["pr"], report) if report["pr"] else None,
        _calibration(report) if report["calibration"] else None,
        _histogram(report["histogram"]) if report["histogram"] else None,
        _cost(report["cost"]) if report["cost"] else None,
        _confusion(report) if report["confusion"] else None,
        *(_residuals(report["residuals"]) if report["residuals"] else ()),
    ]
    return [each for each in drawn if each is not None]


def importance(record: Mapping[str, Any]) -> list[Block]:
    """Return what the metric loses when a column is shuffled, most first, with two standard errors around it."""
    top = [each for each in record["importance"] if each["lost"] is not None][:COLUMNS]
    if not top:
        return []
    reach = [2 * (each["error"] or 0.0) for each in top]
    lost = [each["lost"] for each in top]
    low, high = ([v + sign * r for v, r in zip(lost, reach, strict=True)] for sign in (-1, 1))
    series = Series("lost", [each["column"] for each in top], lost, low=low, high=high, mark="bar")
    return [
        Chart(f"Importance: {record['metric']} lost when a column is shuffled", [series], y=f"{record['metric']} lost")
    ]


def search(trials: Sequence[Mapping[str, Any]], metric: str, *, greater_is_better: bool) -> Chart:
    """Return the value of each trial and the best so far."""
    good = [(each["number"] + 1, each["value"]) for each in trials if each["value"] is not None]
    numbers, values = [number for number, _ in good], [value for _, value in good]
    so_far = list(accumulate(values, max if greater_is_better else min))
    series = [Series("trial", numbers, values, mark="point"), Series("best so far", numbers, so_far, mark="step")]
    return Chart("Search", series, x="trial", y=f"{metric} on the rows that choose")


def _roc(points: Mapping[str, Any]) -> Chart:
    series = Series("ROC", points["false_positive_rate"], points["true_positive_rate"])
    return Chart("ROC", [series], x="false positive rate", y="true positive rate", diagonal=True)


def _pr(points: Mapping[str, Any], report: Mapping[str, Any]) -> Chart:
    rows = list(report["classes"].values())
    series = Series("precision", points["recall"], points["precision"])
    return Chart("Precision and recall", [series], x="recall", y="precision", rule=rows[1] / sum(rows))


def _calibration(report: Mapping[str, Any]) -> Chart:
    bins = report["calibration"]
    said, happened, low, high = ([each[key] for each in bins] for key in ("said", "happened", "low", "high"))
    y = "share that happened" if report["roc"] else "share that was right"
    series = Series("bins of equal size", said, happened, low=low, high=high, mark="point")
    return Chart("Calibration", [series], x="probability said", y=y, diagonal=True)


def _histogram(found: Mapping[str, Any]) -> Chart:
    middles = [round((low + high) / 2, 4) for low, high in pairwise(found["edges"])]
    series = [Series(name, middles, counts, mark="bar") for name, counts in found["counts"].items()]
    return Chart("Scores by true class", series, x="probability said", y="rows")


def _cost(points: Mapping[str, Any]) -> Chart:
    best = points["best"]
    title = f"Cost by threshold: least {best['cost']:.4f} at {best['threshold']:.3f}"
    ratio = f"false positive {points['cost_fp']:g}, false negative {points['cost_fn']:g}"
    return Chart(title, [Series("cost", points["threshold"], points["cost"])], x="threshold", y=f"mean cost ({ratio})")


def _confusion(report: Mapping[str, Any]) -> Table:
    names = list(report["classes"])
    rows = [[f"is {name}", *counts] for name, counts in zip(names, report["confusion"], strict=True)]
    at = "" if report["threshold"] is None else f" at the threshold {report['threshold']:g}"
    return Table(["", *(f"said {name}" for name in names)], rows, title=f"Confusion{at}")


def _residuals(found: Mapping[str, Any]) -> list[Block]:
    bins, histogram = found["by_prediction"], found["histogram"]
    said, truth = [each["predicted"] for each in bins], [each["truth"] for each in bins]
    spread = Series(
        "truth − prediction", said, [each["p50"] for each in bins], low=[each["p10"] for each in bins],
        high=[each["p90"] for each in bins], mark="point",
    )  # fmt: skip
    middles = [(low + high) / 2 for low, high in pairwise(histogram["edges"])]
    return [
        Chart("Truth by prediction", [Series("bins of equal size", said, truth, mark="point")], x="predicted", y="mean truth",
              diagonal=True),
        Chart("Residuals: median, and 8 of 10", [spread], x="predicted", y="truth − prediction", rule=0.0),
        Chart("Residuals", [Series("rows", middles, histogram["counts"], mark="bar")], x="truth − prediction", y="rows"),
    ]  # fmt: skip
