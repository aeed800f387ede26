"""The proof catches what is wrong, a row's bits never depend on its batch, and what cannot compile is served natively."""

from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from oito.catalog.signature import Signature, infer
from oito.endpoints.compile import compile_model, draft
from oito.endpoints.executor import GRAPH, PLAN, Executor, load
from oito.endpoints.proof import is_row_invariant, prove

Floats = NDArray[np.float64]
WIDTH, CLASSES = 6, 9


def _numbers() -> tuple[Signature, Floats, NDArray[Any]]:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1_100, WIDTH))
    truth = np.clip(np.floor(values[:, 0] * 2 + values[:, 1] + 4), 0, CLASSES - 1).astype(int)
    values[rng.random(values.shape) < 0.05] = np.nan
    frame = pl.DataFrame(values, schema=[f"x{place}" for place in range(WIDTH)])
    signature = infer(frame, pl.Series("y", truth), task="classification")
    return signature, signature.matrix(frame), truth


SIGNATURE, X, TRUTH = _numbers()
BOOSTED = HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=8).fit(SIGNATURE.frame(X), TRUTH)
FOREST = RandomForestClassifier(10, max_depth=6, random_state=0).fit(SIGNATURE.frame(X), TRUTH)
DRAFTED = draft(BOOSTED, SIGNATURE, X)
LOGISTIC = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=300))
LOGISTIC.fit(SIGNATURE.frame(X), TRUTH)
MIXED = make_pipeline(SimpleImputer(), PCA(3), LogisticRegression(max_iter=300)).fit(SIGNATURE.frame(X), TRUTH)
MODELS = {"boosted": BOOSTED, "forest": FOREST, "logistic": LOGISTIC, "native": MIXED}


def _executor(model: Any) -> Executor:
    return load(compile_model(model, SIGNATURE, X).files, SIGNATURE, native=lambda: model)


EXECUTORS = {name: _executor(model) for name, model in MODELS.items()}
WHOLE = {name: executor.predict(X) for name, executor in EXECUTORS.items()}


def _changed(graph: bytes, attribute: str, place: int, value: float) -> bytes:
    """Return the graph with one value of one of its tensors replaced."""
    model = onnx.load_from_string(graph)
    found = next(a for a in model.graph.node[0].attribute if a.name == attribute)
    values = numpy_helper.to_array(found.t).copy()
    values[place] = value
    found.t.CopyFrom(numpy_helper.from_array(values))
    return bytes(model.SerializeToString(deterministic=True))


def _values(graph: bytes, attribute: str) -> Floats:
    node = onnx.load_from_string(graph).graph.node[0]
    return np.asarray(numpy_helper.to_array(next(a for a in node.attribute if a.name == attribute).t))


def _deciding(graph: bytes) -> list[int]:
    """Return the places of the splits whose answer matters: not both sides end in leaves of one value."""
    node = onnx.load_from_string(graph).graph.node[0]
    whole = {a.name: list(a.ints) for a in node.attribute}
    leaves = _values(graph, "leaf_weights").tolist()
    sides = [
        [(is_leaf, leaves[at] if is_leaf else at) for is_leaf, at in zip(whole[kind], whole[places], strict=True)]
        for kind, places in (("nodes_trueleafs", "nodes_truenodeids"), ("nodes_falseleafs", "nodes_falsenodeids"))
    ]
    return [place for place, (yes, no) in enumerate(zip(*sides, strict=True)) if yes != no]


@given(st.integers(0, 10_000), st.sampled_from([-1.0, 1.0]))
@settings(max_examples=25, deadline=None)
def test_a_threshold_moved_by_one_float_is_caught(pick: int, way: float) -> None:
    thresholds, askers = _values(DRAFTED.files[GRAPH], "nodes_splits"), _deciding(DRAFTED.files[GRAPH])
    place = askers[pick % len(askers)]
    wrong = _changed(DRAFTED.files[GRAPH], "nodes_splits", place, float(np.nextafter(thresholds[place], way * np.inf)))
    files = {**DRAFTED.files, GRAPH: wrong}
    proof = prove(files, BOOSTED, SIGNATURE, np.concatenate([X, DRAFTED.edges]))
    assert proof.max_difference > 1e-6
    assert proof.reason.startswith("the compiled model differs by ")


def test_a_leaf_that_is_slightly_wrong_is_caught() -> None:
    leaf = CLASSES + 3
    value = float(_values(DRAFTED.files[GRAPH], "leaf_weights")[leaf])
    files = {**DRAFTED.files, GRAPH: _changed(DRAFTED.files[GRAPH], "leaf_weights", leaf, value + 1e-3)}
    assert prove(files, BOOSTED, SIGNATURE, X).reason.startswith("the compiled model differs by ")


def test_an_executor_that_depends_on_the_batch_is_caught() -> None:
    class Leaning:
        kind = "linear"

        def predict(self, X: Floats) -> Floats:
            return np.full((len(X), 1), 1.0 + len(X) * 1e-16 * 3)

    rows = np.zeros((50, WIDTH))
    assert not is_row_invariant(Leaning(), rows, Leaning().predict(rows))


@pytest.mark.parametrize("name", MODELS)
@given(st.lists(st.integers(0, len(X) - 1), min_size=1, max_size=150))
@settings(max_examples=25, deadline=None)
def test_a_row_has_the_same_bits_in_any_batch(name: str, places: list[int]) -> None:
    answers = EXECUTORS[name].predict(X[places])
    assert np.array_equal(answers, WHOLE[name][places])


@pytest.mark.parametrize("name", MODELS)
def test_no_rows_are_answered_with_none(name: str) -> None:
    assert EXECUTORS[name].predict(X[:0]).shape == (0, CLASSES)


@pytest.mark.parametrize("name", MODELS)
def test_the_matrix_that_is_asked_stays_as_it_was(name: str) -> None:
    asked = X[:20].copy()
    asked.flags.writeable = False
    EXECUTORS[name].predict(asked)
    assert np.array_equal(asked, X[:20], equal_nan=True)


def test_what_mixes_columns_is_served_natively_and_says_so() -> None:
    found = compile_model(MIXED, SIGNATURE, X)
    assert found.proof.kind == "native"
    assert found.proof.reason == "PCA is not a preprocessing that compiles"
    assert set(found.files) == {PLAN}


def test_an_unknown_family_is_served_natively_and_says_so() -> None:
    model = DummyClassifier(strategy="stratified", random_state=0).fit(SIGNATURE.frame(X), TRUTH)
    assert "a stratified DummyClassifier answers at random" in compile_model(model, SIGNATURE, X).proof.reason


def test_a_native_row_that_is_refused_leaves_its_neighbors_alone() -> None:
    model = make_pipeline(PCA(3), LogisticRegression(max_iter=300))
    whole = ~np.isnan(X).any(axis=1)
    model.fit(SIGNATURE.frame(X[whole]), TRUTH[whole])
    found = compile_model(model, SIGNATURE, X)
    answers = load(found.files, SIGNATURE, native=lambda: model).predict(X)
    assert found.proof.kind == "native"
    assert np.array_equal(np.isnan(answers).any(axis=1), ~whole)
