"""The tree families of scikit-learn read into one ensemble each, node by node. How the ensemble is written is ensemble.py's."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from oito.endpoints.columns import Columns
from oito.endpoints.ensemble import Ensemble, Nodes, Writer, graph
from oito.endpoints.executor import GRAPH, LEAVES
from oito.endpoints.preprocess import Feature, NotCompilable, numeric, through

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]
_LINKS = {
    "IdentityLink": "identity",
    "LogLink": "exp",
    "LogitLink": "logistic",
    "HalfLogitLink": "half_logistic",
    "MultinomialLogit": "softmax",
}


@dataclass(frozen=True)
class Trees:
    """A model as trees: the graph's content, what follows it, and which rows the estimator refuses."""

    ensemble: Ensemble
    outputs: int
    link: str = "identity"
    divisor: float = 1.0
    votes: Floats | None = None  # [leaves, classes], when a leaf holds a vector and the graph answers leaves
    never_missing: tuple[int, ...] = ()
    is_finite_only: bool = False


def compiled(estimator: Any, features: Sequence[Feature], signature: Signature) -> Trees | None:
    """Return the estimator as trees, or None when it is of another family."""
    if isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
        return _histogram(estimator, features, signature)
    if isinstance(estimator, GradientBoostingClassifier | GradientBoostingRegressor):
        return _gradient(estimator, features, signature)
    if isinstance(estimator, DecisionTreeClassifier | DecisionTreeRegressor):
        return _forest(estimator, [estimator], features, signature)
    forests = RandomForestClassifier | RandomForestRegressor | ExtraTreesClassifier | ExtraTreesRegressor
    if isinstance(estimator, forests):
        return _forest(estimator, estimator.estimators_, features, signature)
    return None


def is_histogram(estimator: Any) -> bool:
    return isinstance(estimator, HistGradientBoostingClassifier | HistGradientBoostingRegressor)


def encoded_inside(estimator: Any, columns: Sequence[Any], signature: Signature) -> list[Feature]:
    """Return what the trees of histogram boosting see: its categories come first, encoded by its own encoder."""
    inner = estimator._preprocessor
    if inner is None:
        return numeric(columns)
    places = inner._transformer_to_input_indices
    encoder = inner.named_transformers_["encoder"]
    categories = through(encoder, [columns[place] for place in places["encoder"]], signature)
    return numeric([*categories, *(columns[place] for place in places["numerical"])])


def _histogram(estimator: Any, features: Sequence[Feature], signature: Signature) -> Trees:
    writer = Writer(features, signature)
    known, rows = estimator._bin_mapper.make_known_categories_bitsets()
    baseline = np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()
    for output, value in enumerate(baseline.tolist()):
        writer.constant(output, value)
    for stage in estimator._predictors:
        for output, predictor in enumerate(stage):
            nodes = _histogram_nodes(predictor, known, rows)
            writer.tree(nodes, predictor.nodes["value"].tolist(), output)
    return Trees(writer.ensemble, len(baseline), link=_link(estimator))


def _histogram_nodes(predictor: Any, known: NDArray[Any], rows: NDArray[Any]) -> Nodes:
    nodes = predictor.nodes

    def goes_left(place: int, values: Floats) -> NDArray[np.bool_]:
        node = nodes[place]
        missing = np.isnan(values)
        if not node["is_categorical"]:
            return np.where(missing, bool(node["missing_go_to_left"]), values <= node["num_threshold"])
        codes = np.where(missing | (values < 0), 0, values).astype(np.uint8)
        left = _bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])[codes]
        is_known = left | _bits(known[rows[node["feature_idx"]]])[codes]
        return np.asarray(
            np.where(missing | (values < 0) | ~is_known, bool(node["missing_go_to_left"]), left), dtype=np.bool_
        )

    return Nodes(
        nodes["left"].astype(np.intp),
        nodes["right"].astype(np.intp),
        nodes["is_leaf"].astype(np.bool_),
        nodes["feature_idx"].astype(np.intp),
        nodes["num_threshold"],
        nodes["missing_go_to_left"].astype(np.bool_),
        goes_left,
    )


def _bits(words: NDArray[Any]) -> NDArray[np.bool_]:
    return np.unpackbits(np.asarray(words, dtype="<u4").view(np.uint8), bitorder="little").astype(np.bool_)


def _gradient(estimator: Any, features: Sequence[Feature], signature: Signature) -> Trees:
    refusal = _refusal(estimator, features)
    writer = Writer(features, signature, single=True)
    if not (estimator.init_ == "zero" or type(estimator.init_).__module__ == "sklearn.dummy"):
        raise NotCompilable("the first guess of the boosting is a model of its own")
    start = estimator._raw_predict_init(np.zeros((1, len(features)), dtype=np.float32))[0]
    for output, value in enumerate(start.tolist()):
        writer.constant(output, value)
    for stage in estimator.estimators_:
        for output, tree in enumerate(stage):
            values = estimator.learning_rate * tree.tree_.value[:, 0, 0]
            writer.tree(_nodes(tree.tree_), values.tolist(), output)
    return Trees(writer.ensemble, len(start), _link(estimator), **writer.refusal(*refusal))


def _forest(estimator: Any, trees: Sequence[Any], features: Sequence[Feature], signature: Signature) -> Trees:
    if estimator.n_outputs_ != 1:
        raise NotCompilable("the trees have several targets")
    refusal = _refusal(estimator, features)
    writer = Writer(features, signature, single=True)
    votes: list[Floats] = []
    for place, tree in enumerate(trees):
        values = tree.tree_.value[:, 0, :]
        if signature.task == "regression":
            writer.tree(_nodes(tree.tree_), values[:, 0].tolist(), 0)
        else:
            first = sum(len(block) for block in votes)
            writer.tree(_nodes(tree.tree_), np.arange(first, first + len(values), dtype=np.float64).tolist(), place)
            votes.append(values)
    return Trees(
        writer.ensemble,
        outputs=len(trees) if votes else 1,
        divisor=float(len(trees)),
        votes=np.concatenate(votes) if votes else None,
        **writer.refusal(*refusal),
    )


def _nodes(tree: Any) -> Nodes:
    threshold = np.asarray(tree.threshold, dtype=np.float64)
    missing_left = np.asarray(tree.missing_go_to_left, dtype=np.bool_)

    def goes_left(place: int, values: Floats) -> NDArray[np.bool_]:
        at_most = values.astype(np.float32) <= threshold[place]
        return np.asarray(np.where(np.isnan(values), missing_left[place], at_most), dtype=np.bool_)

    return Nodes(
        tree.children_left,
        tree.children_right,
        tree.children_left == -1,
        tree.feature,
        threshold,
        missing_left,
        goes_left,
    )


def _link(estimator: Any) -> str:
    name = type(estimator._loss.link).__name__
    if name not in _LINKS:
        raise NotCompilable(f"its link {name} is not known")
    return _LINKS[name]


def _refusal(estimator: Any, features: Sequence[Feature]) -> tuple[bool, bool]:
    """Return (takes NaN, takes infinity), found by asking the fitted estimator."""
    names = getattr(estimator, "feature_names_in_", None)

    def takes(value: float) -> bool:
        row = np.full((1, len(features)), value, dtype=np.float64)
        try:
            if names is None:
                estimator.predict(row)
            else:
                import polars as pl

                estimator.predict(pl.DataFrame(row, schema=list(names)))
        except ValueError:
            return False
        return True

    return takes(float("nan")), takes(float("inf"))


def files(trees: Trees, places: Sequence[int], *, width: int) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """Return the plan and the files of an executor for the trees; equal trees give equal bytes."""
    plan = {
        "kind": "trees",
        "columns": Columns(trees.ensemble.numbers, width=width).data(),
        "link": trees.link,
        "divisor": trees.divisor,
        "never_missing": list(trees.never_missing),
        "finite": trees.is_finite_only,
        "places": list(places),
    }
    found = {GRAPH: graph(trees.ensemble, trees.outputs)}
    if trees.votes is not None:
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(trees.votes, dtype=np.float64), allow_pickle=False)
        found[LEAVES] = stream.getvalue()
    return plan, found
