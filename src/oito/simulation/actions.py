"""What a person may do with the past: replay the loop over it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from oito.clock import moment, text
from oito.errors import BadInput
from oito.flow.action import action
from oito.flow.site import Site
from oito.names import duration
from oito.show import Block, Cell, Chart, Facts, Page, Series, Table

if TYPE_CHECKING:
    from oito.simulation.loop import Result


@action("simulate")
def simulate(
    site: Site, *, from_: str, to: str, step: str = "7d", policies: str = "never,7d,regret", trials: int = 0, monitor: str = "",
) -> Page:  # fmt: skip
    """Replay the loop over the past and compare retraining policies before trusting one.

    Args:
        from_: the moment to begin, when the first model is trained.
        to: the moment to end; its questions must have labels by now.
        step: how far the clock moves at a time.
        policies: which to compare, comma between them: never, a span such as 7d, regret or regret:PRICE.
        trials: points of the search space per training; 0 is what the experiment declares.
        monitor: whose rule is replaced; by default the only one.
    """
    began, ended, span = moment(from_), moment(to), duration(step)
    if not began < ended <= site.now():
        raise BadInput(
            f"the span from {text(began)} to {text(ended)} is not in the past", known=f"now is {text(site.now())}"
        )
    from oito.simulation.loop import compared

    names = [name.strip() for name in policies.split(",") if name.strip()]
    results = compared(site, began, ended, span, policies=names, trials=trials, monitor=monitor)
    return _page(results, began, ended, step)


def _page(results: Sequence[Result], began: datetime, ended: datetime, step: str) -> Page:
    names = list(dict.fromkeys(name for result in results for name in result.metrics))
    rows: list[list[Cell]] = [
        [r.policy, *(r.metrics.get(name) for name in names), r.retrainings, r.refused, r.alarms, r.cost, r.predictions]
        for r in results
    ]
    columns = ["policy", *names, "retrainings", "refused by gate", "alarms", "cost", "predictions"]
    best = min(results, key=lambda result: result.cost)
    blocks: list[Block] = [
        Facts([("from", text(began)[:10]), ("to", text(ended)[:10]), ("step", step), ("cheapest", best.policy)]),
        Table(columns, rows, title="Policies"),
        Chart("Loss per week", [Series(r.policy, r.days, r.losses) for r in results], y="loss"),
    ]
    return Page(
        "Simulation",
        blocks,
        {"from": text(began), "to": text(ended), "policies": [r.data() for r in results], "next": None},
    )
