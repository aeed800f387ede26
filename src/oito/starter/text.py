"""The text of a first project: one module of all eight kinds, as a person would write it. What the columns are is table.py's."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Iterator
from datetime import datetime
from glob import escape

from oito.starter.table import Guess

WIDTH = 120
_SETTINGS = """\
# Settings of this project; `oito settings` lists all of them, with what they mean.
project = ["project.py"]
"""
_IGNORED = ".oito/\n__pycache__/\n.venv/\n"


def files(guess: Guess, *, data: str, now: datetime) -> dict[str, str]:
    """Return path → text of everything a new project is, besides its data; `data` is the table's path in it."""
    return {"project.py": project(guess, data=data, now=now), "oito.toml": _SETTINGS, ".gitignore": _IGNORED}


def names(guess: Guess, data: str) -> dict[str, str]:
    """Return kind → what the asset of that kind is called."""
    table, label = _name(data.rsplit("/", 1)[-1].rsplit(".", 1)[0]), _name(guess.label)
    view = "calendar" if guess.time else "gaps"
    if label in {table, f"clean_{table}", view}:
        label += "_truth"
    if table == view:
        table += "_table"
    return {
        "source": table, "dataset": f"clean_{table}", "features": view, "labels": label, "model": f"{label}_design",
        "experiment": f"{label}_model", "endpoint": f"{label}_service", "monitor": f"{label}_watch",
    }  # fmt: skip


def project(guess: Guess, *, data: str, now: datetime) -> str:
    """Return the text of `project.py`; its rows count as of `now` when the table tells no times."""
    called = names(guess, data)
    parts = (_head(guess, data), [_source(guess, data, called)], _dataset(guess, called), _features(guess, called),
             _labels(guess, called, now), _model(guess, called), _rest(guess, called))  # fmt: skip
    head, source, *others = ("\n".join(part) for part in parts)
    return "\n\n\n".join(["\n\n".join([head, source]), *others]) + "\n"


def _head(guess: Guess, data: str) -> Iterator[str]:
    yield f'"""What is {_plain(guess.label)}? Learned from {_plain(data)}, answered over HTTP, watched every day."""'
    yield ""
    if not guess.time:
        yield from ("from datetime import UTC, datetime", "")
    yield from ("import polars as pl", f"from sklearn.ensemble import {_estimator(guess)}", "", "import oito")


def _source(guess: Guess, data: str, called: dict[str, str]) -> str:
    key = f", key={_quoted(guess.entity)}" if guess.is_key else ""
    return f"{called['source']} = oito.source.files({_quoted(escape(data))}{key})"


def _dataset(guess: Guess, called: dict[str, str]) -> Iterator[str]:
    key = f"key={_quoted(_entity(guess))}, " if guess.is_key or not guess.entity else ""
    checks = [f"oito.row_count({guess.rows // 2})"]
    start, end = f"@oito.dataset({key}checks=[{checks[0]}, oito.not_null(", ', severity="quarantine")])'
    whole = _fitting(guess.complete, WIDTH - len(start + end))
    yield f"{start}{whole}{end}" if whole else f"@oito.dataset({key}checks=[{checks[0]}])"
    yield f"def {called['dataset']}({called['source']}: pl.LazyFrame) -> pl.LazyFrame:"
    numbered = "" if guess.entity else f".with_row_index({_quoted(_entity(guess))})  # no column names a row"
    yield f"    return {called['source']}{numbered}"


def _features(guess: Guess, called: dict[str, str]) -> Iterator[str]:
    yield "@oito.features(on_request=True)"
    yield f"def {called['features']}(request: pl.DataFrame) -> pl.DataFrame:"
    if guess.time:
        time = f"pl.col({_quoted(guess.time)}).dt"
        taken = {*guess.inputs, guess.label}
        weekday, hour = _free("weekday", taken), _free("hour", taken)
        yield f"    return request.select({weekday}={time}.weekday(), {hour}={time}.hour())"
    else:
        yield f"    return request.select({_free('gaps', {*guess.inputs, guess.label})}=pl.sum_horizontal(pl.all().is_null()))"


def _labels(guess: Guess, called: dict[str, str], now: datetime) -> Iterator[str]:
    known_at = _free("known_at", {*guess.inputs, *guess.left_out, guess.label, guess.entity, guess.time})
    time = _time(guess)
    named = (
        f"entity={_quoted(_entity(guess))}",
        f"time={_quoted(time)}",
        f'known_at="{known_at}"',
        f"label={_quoted(guess.label)}",
    )
    yield f"@oito.labels({', '.join(named)})"
    yield f"def {called['labels']}({called['dataset']}: pl.LazyFrame) -> pl.LazyFrame:"
    rows = called["dataset"]
    if guess.left_out:
        yield f"    rows = {rows}.drop({', '.join(map(_quoted, guess.left_out))})  # dates and free texts are no inputs as they are"
        rows = "rows"
    rows += f".cast({{{_quoted(guess.label)}: pl.Int64}})" if guess.is_whole else ""
    if guess.time:
        yield f"    return {rows}.with_columns({known_at}=pl.col({_quoted(time)}))"
    else:
        written = ", ".join(map(str, (now.year, now.month, now.day, now.hour, now.minute)))
        yield f"    moment = pl.lit(datetime({written}, tzinfo=UTC))  # the table tells no times: one holds for all rows"
        yield f"    return {rows}.with_columns({time}=moment, {known_at}=moment)"


def _model(guess: Guess, called: dict[str, str]) -> Iterator[str]:
    yield f'@oito.model(labels={called["labels"]}, features=[{called["features"]}], task="{guess.task}")'
    yield f"def {called['model']}(*, learning_rate: float = oito.Float(0.02, 0.3, log=True), leaves: int = oito.Int(4, 64)):"
    yield f"    return {_estimator(guess)}(learning_rate=learning_rate, max_leaf_nodes=leaves)"


def _rest(guess: Guess, called: dict[str, str]) -> Iterator[str]:
    days = guess.test_days
    split = f'oito.by_time(valid="{days}d", test="{days}d")' if days else "oito.by_share()"
    metric = "log_loss" if guess.task == "classification" else "rmse"
    told = [f"model={called['model']}", "trials=8", f"split={split}", f'gate=[oito.beats("production", on="{metric}")]']
    line = f"    {', '.join(told)}"
    yield f"{called['experiment']} = oito.experiment("
    yield from [line] if len(line) <= WIDTH else [f"    {each}," for each in told]
    yield ")"
    yield f"{called['endpoint']} = oito.endpoint(model={called['experiment']})"
    yield f'{called["monitor"]} = oito.monitor(endpoint={called["endpoint"]}, every="1d", retrain=oito.on_regret(price=50))'


def _estimator(guess: Guess) -> str:
    return f"HistGradientBoosting{'Classifier' if guess.task == 'classification' else 'Regressor'}"


def _entity(guess: Guess) -> str:
    return guess.entity or _free("row", {*guess.inputs, *guess.left_out, guess.label})


def _time(guess: Guess) -> str:
    return guess.time or _free("asked_at", {*guess.inputs, *guess.left_out, guess.label, guess.entity})


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _fitting(columns: tuple[str, ...], width: int) -> str:
    """Return as many quoted names as fit, comma between them."""
    shown = ""
    for name in columns:
        longer = f"{shown}, {_quoted(name)}" if shown else _quoted(name)
        if len(longer) > width:
            break
        shown = longer
    return shown


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _plain(text: str) -> str:
    return re.sub(r"[\\\"\s]+", " ", text).strip()


def _name(text: str) -> str:
    """Return a text as a name that Python takes.

    Example:
        >>> _name("2024 Customers (new)"), _name("class"), _name("Left us?")
        ('t2024_customers_new', 'class_', 'left_us')
    """
    name = re.sub(r"\W+", "_", text.strip().lower(), flags=re.ASCII).strip("_") or "table"
    name = f"t{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) or name in {"oito", "pl", "datetime", "request"} else name
