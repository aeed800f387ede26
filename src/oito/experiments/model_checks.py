"""Checks of loaded parts that compiled code would follow without looking: tree nodes, bit sets, support vectors.

A file is not trusted, and scikit-learn's compiled loops index without bounds. Here every index that such a loop takes from
the file is proven to lie inside its array. Types and shapes that NumPy checks by itself are left to it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from oito.errors import CorruptFile
from oito.experiments.model_arrays import Array


def _demand(truth: Any, what: str) -> None:
    if not truth:
        raise CorruptFile(what, next="restore the model file from a copy, or train the version again")


def check_nodes(left: Array, right: Array, is_leaf: Array) -> int:
    """Return the depth of a tree of nodes, after proving that it is one: children lie behind their parent, each has one.

    Example:
        >>> check_nodes(np.array([1, -1, -1]), np.array([2, -1, -1]), np.array([False, True, True]))
        1
    """
    count, inner = len(is_leaf), np.flatnonzero(~is_leaf)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    parents = np.concatenate([inner, inner])
    _demand(((children > parents) & (children < count)).all(), "a node of a tree has a child outside the tree")
    _demand((np.bincount(children, minlength=1) <= 1).all(), "a node of a tree has two parents")
    depth, level = 0, np.zeros(1, np.int64)
    while True:
        level = level[~is_leaf[level]]
        if not len(level):
            return depth
        level = np.concatenate([left[level], right[level]]).astype(np.int64)
        depth += 1


def check_tree_state(state: Mapping[str, Any]) -> None:
    """Prove the state of a scikit-learn `Tree` before it is copied into the compiled one."""
    nodes, n_classes = state["nodes"], state["n_classes"]
    _demand(type(state["n_outputs"]) is int and state["n_outputs"] >= 1, "a tree has no outputs")
    _demand(n_classes.dtype == np.intp and n_classes.shape == (state["n_outputs"],), "a tree's classes are miscounted")
    _demand((n_classes >= 1).all(), "a tree has an output without classes")
    _demand(nodes.ndim == 1 and state["node_count"] == len(nodes), "a tree's nodes are miscounted")
    if len(nodes):
        inner = nodes["left_child"] != -1
        depth = check_nodes(nodes["left_child"], nodes["right_child"], ~inner)
        _demand(state["max_depth"] == depth, f"a tree of depth {depth} says it has depth {state['max_depth']}")
        features = nodes["feature"][inner]
        _demand(
            ((features >= 0) & (features < state["n_features"])).all(), "a tree splits on a feature it does not have"
        )


def _check_predictor(predictor: Any) -> None:
    nodes, bits = predictor.nodes, predictor.raw_left_cat_bitsets
    _demand(nodes.ndim == 1 and len(nodes), "a boosted tree has no nodes")
    is_leaf = nodes["is_leaf"] != 0
    check_nodes(nodes["left"], nodes["right"], is_leaf)
    for sets in (bits, predictor.binned_left_cat_bitsets):
        _demand(
            sets.dtype == np.uint32 and sets.ndim == 2 and sets.shape[1] == 8,
            "a boosted tree's category sets are malformed",
        )
    asked = nodes["bitset_idx"][~is_leaf & (nodes["is_categorical"] != 0)]
    _demand((asked < len(bits)).all(), "a boosted tree asks for a category set it does not have")


def _check_histogram_boosting(model: Any) -> None:
    if not hasattr(model, "_predictors"):
        return
    features = model.n_features_in_
    categorical = np.zeros(features, bool)
    if model._bin_mapper.is_categorical_ is not None:
        categorical |= model._bin_mapper.is_categorical_ != 0
    for predictor in (predictor for iteration in model._predictors for predictor in iteration):
        nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
        asked = nodes["feature_idx"]
        _demand(((asked >= 0) & (asked < features)).all(), "a boosted tree splits on a feature the model does not have")
        of_category = asked[nodes["is_categorical"] != 0]
        _demand(categorical[of_category].all(), "a boosted tree takes a number for a category")


def _check_decision_tree(model: Any) -> None:
    if hasattr(model, "tree_"):
        _demand(model.tree_.n_features == model.n_features_in_, "a tree and its estimator differ in their features")


def _check_forest(model: Any) -> None:
    for tree in getattr(model, "estimators_", ()):
        _demand(tree.tree_.n_features == model.n_features_in_, "a forest and its trees differ in their features")


def _check_isolation_forest(model: Any) -> None:
    for tree, features in zip(
        getattr(model, "estimators_", ()), getattr(model, "estimators_features_", ()), strict=True
    ):
        _demand(tree.tree_.n_features == len(features), "a forest and its trees differ in their features")


def _check_gradient_boosting(model: Any) -> None:
    if not hasattr(model, "estimators_"):
        return
    wide = model.estimators_.shape[1]
    _demand(wide == model.n_trees_per_iteration_, "a boosting has more trees per round than outputs")
    for tree in model.estimators_.ravel():
        _demand(tree.tree_.n_features == model.n_features_in_, "a boosting and its trees differ in their features")
        _demand(tree.tree_.n_outputs == 1 and tree.tree_.max_n_classes == 1, "a boosted tree has several outputs")


def _check_support_vectors(model: Any) -> None:
    if not hasattr(model, "support_vectors_"):
        return
    count, vectors, weights = len(model.support_), model.support_vectors_, model._dual_coef_
    is_precomputed = model.kernel == "precomputed"
    _demand(is_precomputed or vectors.shape == (count, model.n_features_in_), "the support vectors are miscounted")
    _demand(weights.ndim == 2 and weights.shape[1] == count, "the weights of the support vectors are miscounted")
    _demand((model.support_ >= 0).all() and (model._n_support >= 0).all(), "a support vector has a negative place")
    if hasattr(model, "classes_"):
        classes = len(model.classes_)
        pairs = classes * (classes - 1) // 2
        _demand(len(model._n_support) == classes, "the support vectors belong to other classes")
        _demand(model._n_support.sum() == count, "the support vectors are miscounted")
        _demand(weights.shape[0] == classes - 1, "the weights of the support vectors are miscounted")
        _demand(len(model._intercept_) == pairs, "the intercepts of the pairs of classes are miscounted")
        _demand(
            model._probA.size in (0, pairs) and model._probB.size == model._probA.size, "the calibration is miscounted"
        )


_HGB = "sklearn.ensemble._hist_gradient_boosting."

CHECKS: Mapping[str, Callable[[Any], None]] = {
    _HGB + "predictor.TreePredictor": _check_predictor,
    _HGB + "gradient_boosting.HistGradientBoostingClassifier": _check_histogram_boosting,
    _HGB + "gradient_boosting.HistGradientBoostingRegressor": _check_histogram_boosting,
    "sklearn.ensemble._iforest.IsolationForest": _check_isolation_forest,
    **{
        f"sklearn.tree._classes.{name}": _check_decision_tree
        for name in ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")
    },
    **{
        f"sklearn.ensemble._forest.{name}": _check_forest
        for name in (
            "RandomForestClassifier",
            "RandomForestRegressor",
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "RandomTreesEmbedding",
        )
    },
    **{
        f"sklearn.ensemble._gb.{name}": _check_gradient_boosting
        for name in ("GradientBoostingClassifier", "GradientBoostingRegressor")
    },
    **{
        f"sklearn.svm._classes.{name}": _check_support_vectors
        for name in ("SVC", "NuSVC", "SVR", "NuSVR", "OneClassSVM")
    },
}
