"""What a person may do with endpoints: replay and explain what was answered, list it, and score a file as a caller would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oito.errors import BadInput
from oito.flow.action import action
from oito.flow.site import Site
from oito.show import Badge, Block, Cell, Facts, Page, Table

if TYPE_CHECKING:
    from oito.endpoints.predictions import Replayed

MOST_REPLAYED = 100_000
SHOWN = 20


@action("replay", group="endpoints")
def replay(site: Site, prediction: str = "", *, all: int = 0) -> Page:
    """Score a prediction again from what was written down, and say whether its bits are as they were answered.

    Args:
        prediction: its id, as /predict answered it.
        all: the newest so many instead, of every environment: each alone and in batches.
    """
    from oito.endpoints import predictions

    if bool(prediction) == bool(all):
        raise BadInput("replay needs one thing", next="oito replay ID, or oito replay --all 1000")
    if not prediction:
        return _replayed_many(site, all)
    found = predictions.find(site, prediction)
    again = predictions.replay(site, found.prediction)
    about = found.prediction.about
    names: list[Cell] = list(about.outputs)
    rows: list[list[Cell]] = [
        [name, float(stored), float(said), stored.tobytes() == said.tobytes()]
        for name, stored, said in zip(about.outputs, again.stored, again.alone, strict=True)
    ]
    verdict = Badge("bit-equal", "good") if again.is_equal else Badge("differs", "bad")
    facts = Facts([("prediction", again.id.hex()), ("verdict", verdict), ("endpoint", about.version), ("model", about.model),
                   ("environment", found.environment), ("source", about.source[:12] or "none is run")])  # fmt: skip
    table = Table(["output", "answered", "said again", "same bits"], rows)
    data = {
        "prediction_id": again.id.hex(), "bit_equal": again.is_equal, "version": about.version, "model": about.model,
        "environment": found.environment, "outputs": [str(name) for name in names], **_numbers(again),
    }  # fmt: skip
    return Page(f"Replay of {again.id.hex()}", [facts, table], data)


@action("explain", page="/predictions/{prediction}", group="endpoints")
def explain(site: Site, prediction: str) -> Page:
    """Show why one prediction is what it is: what moved it, what it was made from down to source rows, and the truth.

    Args:
        prediction: its id, as /predict answered it.
    """
    from oito.endpoints import explanation

    return explanation.page(site, prediction)


@action("endpoints predictions", page="/endpoints/{endpoint}/predictions", group="endpoints")
def latest(site: Site, endpoint: str, *, limit: int = 50) -> Page:
    """List the newest predictions of an endpoint, newest first.

    Args:
        endpoint: the endpoint's name.
        limit: how many.
    """
    from oito.endpoints import traffic

    version = site.catalog.find(endpoint, site.environment)
    found = traffic.of(site, version.asset, max(1, min(limit, MOST_REPLAYED)))
    data = {
        "endpoint": version.asset,
        "environment": found.environment,
        "predictions": found.listed(limit),
        "next": None,
    }
    return Page(f"Predictions of {version.asset}", [found.table(limit)], data)


@action("endpoints score", writes=True, group="endpoints")
def score(site: Site, endpoint: str, file: str, *, out: str = "") -> Page:
    """Score the rows of a CSV or Parquet file, with the bits that the server gives for the same features.

    Columns of features are used as they are; those that are missing are looked up by entity and time, as known then.

    Args:
        endpoint: the endpoint, its version or its environment, such as delay_risk@production.
        file: the rows, relative to the project's folder.
        out: where the rows with their answers are written, CSV or Parquet by its ending, in the project's folder.
    """
    from oito.endpoints import scoring_files

    return scoring_files.page(site, endpoint, file, out)


def _replayed_many(site: Site, count: int) -> Page:
    from oito.endpoints import predictions

    if not 0 < count <= MOST_REPLAYED:
        raise BadInput(f"all is {count}", known=f"it takes 1 to {MOST_REPLAYED}")
    blocks = predictions.newest(site, count)
    done = predictions.replay_blocks(site, blocks, count, tell=lambda line: site.tell("replay", line))
    wrong = [each for each in done if not each.is_equal]
    facts: list[tuple[str, Cell]] = [
        ("predictions", len(done)),
        ("bit-equal", len(done) - len(wrong)),
        ("differ", Badge(str(len(wrong)), "bad" if wrong else "good")),
        ("versions", ", ".join(sorted({each.version for each in done})) or "none"),
    ]
    rows: list[list[Cell]] = [
        [each.id.hex(), each.version, str(each.stored.tolist()), str(each.alone.tolist()), str(each.batched.tolist())]
        for each in wrong[:SHOWN]
    ]
    blocks_shown: list[Block] = [Facts(facts)]
    if wrong:
        blocks_shown.append(Table(["prediction", "version", "answered", "alone", "in a batch"], rows, title="Differ"))
    data = {
        "replayed": len(done), "bit_equal": len(done) - len(wrong),
        "differ": [{"prediction_id": each.id.hex(), **_numbers(each)} for each in wrong[:SHOWN]], "next": None,
    }  # fmt: skip
    return Page(f"Replay of {len(done)} predictions", blocks_shown, data)


def _numbers(each: Replayed) -> dict[str, Any]:
    from oito.endpoints.requests import as_json

    return {
        "answered": [as_json(value) for value in each.stored.tolist()],
        "again": [as_json(value) for value in each.alone.tolist()],
        "in_a_batch": [as_json(value) for value in each.batched.tolist()],
    }
