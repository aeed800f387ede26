"""A design: how its estimator is built, the space of its parameters, its rivals and its training frames. It learns nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from oito.catalog.records import Version
from oito.errors import BadInput, StepBlocked
from oito.flow.project import Asset
from oito.flow.site import Context, Site
from oito.flow.space import Choice, Float, Int, first_values
from oito.models import baselines as ladder
from oito.models import estimators
from oito.models.frame import LINT_ROWS, TrainingFrame, Wanted, refuse_leaks, training_frame
from oito.models.spec import ModelSpec, Task
from oito.names import did_you_mean

SEED = "seed"  # the option that oito fills, so no part of a search


@dataclass(frozen=True)
class Design:
    """One design as others use it; `inputs` (by asset) and `cut_off` are what `frame` takes when it is told nothing else."""

    site: Site
    asset: Asset
    inputs: Mapping[str, Version]
    cut_off: datetime | None = None

    @property
    def spec(self) -> ModelSpec:
        assert isinstance(self.asset.spec, ModelSpec)
        return self.asset.spec

    @property
    def name(self) -> str:
        return self.asset.name

    @property
    def task(self) -> Task:
        return self.spec.task

    @property
    def labels(self) -> str:
        """The name of the label set."""
        return self.asset.names("labels")[0]

    @property
    def features(self) -> list[str]:
        """The names of the feature views, in the order they were declared."""
        return self.asset.names("features")

    @property
    def space(self) -> dict[str, Any]:
        """Parameter → its declaration (`Float`, `Int`, `Choice`) or its fixed value."""
        return {name: part for name, part in self.asset.options.items() if name != SEED}

    def build(self, params: Mapping[str, Any] | None = None) -> Any:
        """Return a new, unfitted estimator; parameters that are not given have their first values.

        Raises:
            BadInput: the design has no parameter of that name.
            StepFailed: the user's function raised.
            DeclarationError: what it returned cannot be fitted and asked.
        """
        for name in params or {}:
            if name not in self.space:
                raise BadInput(
                    f"{self.name} has no parameter {name!r}",
                    where=self.asset.place,
                    next=did_you_mean(name, self.space),
                )
        context = Context(self.site, self.asset, {})
        given = {**first_values(self.space), **(params or {})}
        if SEED in self.asset.options:
            given[SEED] = context.seed(SEED)
        assert self.asset.function is not None
        estimator = context.guarded(self.asset.function, **given)
        estimators.check(estimator, task=self.task, name=self.name, place=self.asset.place)
        return estimator

    def baselines(self) -> dict[str, ladder.Rung]:
        """Return the plain models that the design is compared with, weakest first; each makes one from a seed."""
        return {name: build for name, build in ladder.baselines(self.task).items() if name in self.spec.baselines}

    def frame(
        self,
        labels: Version | None = None,
        features: Mapping[str, Version] | None = None,
        cut_off: datetime | None = None,
    ) -> TrainingFrame:
        """Return the labels known at `cut_off` (by default now), each with every feature as it was known when asked.

        Args:
            labels, features: the versions to take, the views by name; by default those that the design was read with.

        Raises:
            LeakFound: a feature holds what is not known when the question is asked.
            StepBlocked: a version is not there.
            MissingColumn, DataError: see `training_frame`.
        """
        found = self.examined(labels, features, cut_off, lint_rows=LINT_ROWS)
        refuse_leaks(found, self._wanted)
        return found

    def examined(
        self,
        labels: Version | None = None,
        features: Mapping[str, Version] | None = None,
        cut_off: datetime | None = None,
        *,
        lint_rows: int | None = None,
    ) -> TrainingFrame:
        """Return what `frame` does, leaks and all, to look at its findings; `lint_rows` of the newest rows are examined."""
        known = {**self.inputs, **(features or {})}
        absent = [name for name in self.features if name not in known]
        taken = labels or self.inputs.get(self.labels)
        if taken is None or absent:
            lacking = [*([self.labels] if taken is None else []), *absent]
            raise StepBlocked(
                f"{self.name} has no data to learn from: {', '.join(lacking)} {'was' if len(lacking) == 1 else 'were'} never made",
                where=self.asset.place,
                next=f"oito run {' '.join(lacking)}",
            )
        views = {name: known[name] for name in self.features}
        moment = cut_off or self.cut_off or self.site.now()
        return training_frame(self.site, self._wanted, labels=taken, views=views, cut_off=moment, lint_rows=lint_rows)

    @property
    def _wanted(self) -> Wanted:
        return Wanted(self.name, self.asset.place, self.task, self.spec.request, self.spec.exclude)

    def described_space(self) -> dict[str, Any]:
        """Return the space as plain data; a fixed value is of the kind "fixed"."""
        return {
            name: part.data()
            if isinstance(part, Float | Int | Choice)
            else {"kind": "fixed", "value": estimators.described(part)}
            for name, part in self.space.items()
        }
