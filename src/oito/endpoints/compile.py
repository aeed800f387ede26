"""Compiling a fitted model: what an endpoint loads instead of scikit-learn, with the proof that both answer the same.

A model that does not compile, or whose compiled form fails its proof, is served natively and the proof says why. Running
what was compiled is executor.py's work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from oito.endpoints import edges, linear, trees
from oito.endpoints.executor import PLAN, class_places
from oito.endpoints.preprocess import NotCompilable, numeric, raw_columns, through
from oito.endpoints.proof import Proof, prove

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]

_BLOCKS = (64, 1)  # rows a native call is padded to; 1 when an estimator's bits depend on a row's place in the block


@dataclass(frozen=True)
class Compiled:
    """Canonical files (the same estimator gives the same bytes) and the proof of their equality."""

    files: Mapping[str, bytes]
    proof: Proof


@dataclass(frozen=True)
class Draft:
    """Files that are not proven yet, and rows at the places where they are most likely wrong."""

    files: Mapping[str, bytes]
    edges: Floats


def compile_model(estimator: Any, signature: Signature, sample: Floats) -> Compiled:
    """Return the executor's files for a fitted estimator, and the proof over `sample` [rows, columns] and edge rows.

    Never raises for a model that does not compile: its files say "native" and its proof's `reason` says why.

    Example:
        >>> from sklearn.linear_model import LinearRegression
        >>> from oito.catalog.signature import Column, Signature
        >>> sign = Signature((Column("x", "number"),), "regression", "y")
        >>> X = np.arange(10.0).reshape(-1, 1)
        >>> compile_model(LinearRegression().fit(sign.frame(X), X[:, 0] * 2), sign, X).proof.kind
        'linear'
    """
    sample = np.ascontiguousarray(sample, dtype=np.float64)
    try:
        drafted = draft(estimator, signature, sample)
        proof = prove(drafted.files, estimator, signature, np.concatenate([sample, drafted.edges]))
        reason = proof.reason
    except NotCompilable as fault:
        reason = str(fault)
    except Exception as fault:  # scikit-learn's inner names may move; a model that cannot be read is still served
        reason = f"{type(fault).__name__} while compiling: {fault}"
    if not reason:
        return Compiled(drafted.files, proof)
    return _native(estimator, signature, sample, reason=reason)


def draft(estimator: Any, signature: Signature, sample: Floats) -> Draft:
    """Return the compiled files, unproven, and the edge rows they are to be proven on.

    Raises:
        NotCompilable: the model or a step before it is outside what compiles.
    """
    width = len(signature.columns)
    *steps, final = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    places = class_places(final, signature)
    plain = edges.of_columns(signature, sample)
    if linear.is_constant(final):
        return Draft({PLAN: _text(linear.plan(linear.constant(final), places, width=width))}, plain)
    columns = raw_columns(signature)
    for step in steps:
        columns = through(step, columns, signature)
    features = trees.encoded_inside(final, columns, signature) if trees.is_histogram(final) else numeric(columns)
    sums = linear.compiled(final, features)
    if sums is not None:
        return Draft({PLAN: _text(linear.plan(sums, places, width=width))}, plain)
    ensemble = trees.compiled(final, features, signature)
    if ensemble is None:
        raise NotCompilable(f"{type(final).__name__} is not a family that compiles")
    plan, files = trees.files(ensemble, places, width=width)
    return Draft(
        {PLAN: _text(plan), **files}, np.concatenate([plain, edges.of_trees(ensemble.ensemble, signature, sample)])
    )


def _native(estimator: Any, signature: Signature, sample: Floats, *, reason: str) -> Compiled:
    rows = np.concatenate([sample, edges.of_columns(signature, sample)])
    for block in _BLOCKS:
        files = {PLAN: _text({"kind": "native", "block": block})}
        proof = prove(files, estimator, signature, rows)
        if not proof.reason:
            break
    return Compiled(files, proof.natively(reason))


def _text(plan: Mapping[str, Any]) -> bytes:
    return json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()
