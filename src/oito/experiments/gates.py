"""What each declared gate says of a trained version, on evidence that is stored with it. Whether pointers move is not decided here."""

from __future__ import annotations

from collections.abc import Sequence

from oito.catalog import environments
from oito.catalog.records import Version
from oito.catalog.signature import Signature
from oito.experiments import judged_rows
from oito.experiments.intervals import compare
from oito.experiments.metrics import Task, metric
from oito.experiments.spec import AtLeast, Beats
from oito.experiments.trained import answers
from oito.flow.site import Gate, Site

Rule = Beats | AtLeast


def check(rules: Sequence[Rule], task: Task) -> None:
    """Make sure that every gate asks for a metric of the task, before anything is trained.

    Raises:
        BadInput: one does not.
    """
    for rule in rules:
        metric(rule.on if isinstance(rule, Beats) else rule.metric, task=task)


def ask(site: Site, rule: Rule, version: Version) -> Gate:
    """Return what one gate says, with its numbers."""
    return _bounded(rule, version) if isinstance(rule, AtLeast) else _compared(site, rule, version)


def _compared(site: Site, rule: Beats, version: Version) -> Gate:
    """Hold the version against the champion of today on the version's own test rows, whose labels both are judged by."""
    name = f"beats {rule.environment} on {rule.on}"
    champion = environments.target(site.catalog.rows, rule.environment, version.asset)
    if champion is None or champion.id == version.id:
        return Gate(name, True, f"{rule.environment} has no other {version.asset}")
    truth, own, rows = judged_rows.read(site, version)
    theirs, reason = answers(site, champion, rows, Signature.from_data(version.record["signature"]))
    if theirs is None:
        return Gate(name, False, f"not comparable: {reason}", {"champion_version": champion.ref})
    chosen = metric(rule.on, task=version.record["task"])
    found = compare(truth, theirs, own, metric=chosen, seed=site.settings.seed)
    gain = found.difference if chosen.greater_is_better else -found.difference
    text = (
        f"{rule.on} {found.challenger:.4f} against {found.champion:.4f} of {champion.ref} on {found.n} rows: "
        f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
    )
    if rule.margin:
        text += f", asked is more than {rule.margin:g}"
    numbers = {**found.data(), "champion_version": champion.ref, "margin": rule.margin}
    return Gate(name, gain > rule.margin, text, numbers)


def _bounded(rule: AtLeast, version: Version) -> Gate:
    chosen = metric(rule.metric, task=version.record["task"])
    value = version.record["report"]["headline"][rule.metric]["value"]
    passed = value is not None and (value >= rule.bound if chosen.greater_is_better else value <= rule.bound)
    asked = f"{'at least' if chosen.greater_is_better else 'at most'} {rule.bound:g}"
    text = f"{rule.metric} is {'absent' if value is None else f'{value:.4f}'}, asked is {asked}"
    return Gate(f"{rule.metric} {asked}", passed, text, {"value": value, "bound": rule.bound})
