"""What happens when a design is made: it is built once to see that it can be, and described. Training is an experiment's work."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from oito.catalog.records import Version
from oito.flow.site import Context, Made, Site
from oito.models import estimators
from oito.models.design import Design


def make(context: Context) -> Made:
    """Return the design's description; its content is its definition, so that a changed design is a new one to all.

    Raises:
        StepFailed: the function raised when called with first values.
        DeclarationError: what it returned cannot be fitted and asked.
    """
    design = Design(context.site, context.asset, {})
    estimator = design.build()
    spec = design.spec
    views = {name: context.site.project.asset(name).spec for name in design.features}
    record = {
        "task": design.task, "labels": design.labels,
        "features": [name for name, view in views.items() if not getattr(view, "on_request", False)],
        "on_request": [name for name, view in views.items() if getattr(view, "on_request", False)],
        "request": None if spec.request is None else list(spec.request), "exclude": list(spec.exclude),
        "baselines": list(design.baselines()), "space": design.described_space(),
        "estimator": estimators.described(estimator),
    }  # fmt: skip
    context.say(f"builds {record['estimator']['class']}")
    return Made(record=record, content=context.definition)


def read(
    site: Site,
    version: Version,
    *,
    as_type: Any = None,
    cut_off: datetime | None = None,
    inputs: Mapping[str, Version] | None = None,
) -> Design:
    """Return the design, ready to build estimators and training frames.

    Args:
        cut_off: the moment up to which its frames know; by default now.
        inputs: the label set and views its frames are made of; by default those the environment points at.
    """
    asset = site.project.asset(version.asset)
    given = {each.asset: each for each in inputs.values()} if inputs is not None else None
    return Design(site, asset, given if given is not None else site.catalog.resolve_all(site.environment), cut_off)
