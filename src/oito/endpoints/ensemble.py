"""One ensemble of trees over columns of the matrix, and its bytes as a float64 `TreeEnsemble` graph (ai.onnx.ml 5).

Every split asks one column: a number is compared with its threshold, a category (one-hot, ordinal or native) is looked up
in the set of codes that go left. So no encoding happens when a row is answered. What scikit-learn's classes hold is read
in trees.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oito.endpoints.columns import Number
from oito.endpoints.preprocess import Feature, NotCompilable, Table

if TYPE_CHECKING:
    from oito.catalog.signature import Signature

Floats = NDArray[np.float64]
Child = tuple[int, bool]  # a place among the ensemble's inner nodes, or among its leaves when True

_LEQ, _MEMBER = 0, 6  # the modes of ai.onnx.ml 5 that are used


@dataclass(frozen=True)
class Split:
    """One question to one input: at most `threshold`, or a member of `members`; `missing` tells where NaN goes."""

    slot: int
    threshold: float
    members: tuple[float, ...] | None
    missing: bool
    yes: Child
    no: Child


@dataclass
class Ensemble:
    """The trees while they are written: inner nodes, leaves (output, value) and the place of each tree's root."""

    numbers: list[Number]
    splits: list[Split] = field(default_factory=list)
    leaves: list[tuple[int, float]] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Nodes:
    """One fitted tree, whichever library class it came from; `goes_left` answers what a table's values do at a node."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    is_leaf: NDArray[np.bool_]
    feature: NDArray[np.intp]
    threshold: Floats
    missing_left: NDArray[np.bool_]
    goes_left: Callable[[int, Floats], NDArray[np.bool_]]


class Writer:
    """Puts fitted trees into one ensemble, whose inputs are columns of the matrix."""

    def __init__(self, features: Sequence[Feature], signature: Signature, *, single: bool = False) -> None:
        """`single`: the trees round their input to single precision first."""
        self._features = features
        wanted = [feature for feature in features if isinstance(feature, Number)]
        self._is_plain = not single and not any(number.steps for number in wanted)
        self._single = single
        if self._is_plain:
            self.ensemble = Ensemble([Number(place) for place in range(len(signature.columns))])
        else:
            # Equal steps side by side are carried out together, so the inputs are ordered by their steps' words.
            needed = dict.fromkeys(self._input(feature) for feature in features)
            self.ensemble = Ensemble(sorted(needed, key=lambda n: ([word for word, _ in n.steps], n.source)))
        self._slots = {number: slot for slot, number in enumerate(self.ensemble.numbers)}

    def _input(self, feature: Feature) -> Number:
        if isinstance(feature, Table):
            return Number(feature.source)
        return feature.then("float32") if self._single else feature

    def constant(self, output: int, value: float) -> None:
        """Add a tree of one leaf; the graph adds trees in order, so a constant added first is added first."""
        self.ensemble.leaves.append((output, value))
        leaf = (len(self.ensemble.leaves) - 1, True)
        self.ensemble.roots.append(len(self.ensemble.splits))
        self.ensemble.splits.append(Split(0, 0.0, None, False, leaf, leaf))

    def tree(self, nodes: Nodes, values: Sequence[float], output: int) -> None:
        """Add one fitted tree; `values` holds a number per node, of which those of leaves count."""
        if nodes.is_leaf[0]:
            return self.constant(output, values[0])
        ensemble = self.ensemble
        children: dict[int, Child] = {}
        for place, is_leaf in enumerate(nodes.is_leaf.tolist()):
            if is_leaf:
                children[place] = (len(ensemble.leaves), True)
                ensemble.leaves.append((output, values[place]))
        inner = np.flatnonzero(~nodes.is_leaf).tolist()
        children |= {place: (len(ensemble.splits) + at, False) for at, place in enumerate(inner)}
        ensemble.roots.append(len(ensemble.splits))
        lefts, rights = nodes.left.tolist(), nodes.right.tolist()
        ensemble.splits += [self._split(nodes, at, children[lefts[at]], children[rights[at]]) for at in inner]
        return None

    def _split(self, nodes: Nodes, place: int, left: Child, right: Child) -> Split:
        feature = self._features[nodes.feature[place]]
        slot = self._slots[self._input(feature)]
        if isinstance(feature, Number):
            return Split(slot, float(nodes.threshold[place]), None, bool(nodes.missing_left[place]), left, right)
        return _set_split(feature, slot, nodes.goes_left(place, feature.values), left, right)

    def refusal(self, takes_nan: bool, takes_infinity: bool) -> dict[str, Any]:
        """Return the inputs that may not be missing, and whether they must be finite."""
        never = []
        for feature in self._features:
            if isinstance(feature, Number) and not takes_nan:
                never.append(self._slots[self._input(feature)])
            if isinstance(feature, Table):
                refused = feature.refused | (np.isnan(feature.values) & (not takes_nan))
                counted = refused[:-1] if feature.is_category else refused
                if np.delete(counted, len(feature.keys)).any():
                    raise NotCompilable("the estimator refuses some known values of a column")
                if counted[len(feature.keys)]:
                    never.append(self._slots[self._input(feature)])
        return {"never_missing": tuple(sorted(set(never))), "is_finite_only": not takes_infinity}


def _set_split(table: Table, slot: int, goes_left: NDArray[np.bool_], left: Child, right: Child) -> Split:
    """Return a split over the known values of a column: a prefix as a threshold, else the smaller side as a set."""
    known = goes_left[:-2]
    missing, other = bool(goes_left[-2]), bool(goes_left[-1])
    count = int(known.sum())
    if table.is_category:
        if known[:count].all():
            return Split(slot, count - 0.5, None, missing, left, right)
        other = 2 * count > len(known)
    if other:
        return Split(slot, 0.0, tuple(table.keys[~known].tolist()), not missing, right, left)
    return Split(slot, 0.0, tuple(table.keys[known].tolist()), missing, left, right)


def graph(ensemble: Ensemble, outputs: int) -> bytes:
    """Return the ensemble as the bytes of an ONNX model with input X [rows, inputs] and output Y [rows, outputs]."""
    from onnx import TensorProto, helper, numpy_helper

    splits = ensemble.splits

    def tensor(values: Sequence[float], dtype: type) -> Any:
        return numpy_helper.from_array(np.array(values, dtype=dtype))

    members = [value for s in splits if s.members is not None for value in (*s.members, float("nan"))]
    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        aggregate_function=1,
        post_transform=0,
        n_targets=outputs,
        tree_roots=ensemble.roots,
        leaf_targetids=[output for output, _ in ensemble.leaves],
        leaf_weights=tensor([value for _, value in ensemble.leaves], np.float64),
        nodes_featureids=[s.slot for s in splits],
        nodes_splits=tensor([s.threshold for s in splits], np.float64),
        nodes_modes=tensor([_LEQ if s.members is None else _MEMBER for s in splits], np.uint8),
        nodes_missing_value_tracks_true=[int(s.missing) for s in splits],
        nodes_truenodeids=[s.yes[0] for s in splits],
        nodes_trueleafs=[int(s.yes[1]) for s in splits],
        nodes_falsenodeids=[s.no[0] for s in splits],
        nodes_falseleafs=[int(s.no[1]) for s in splits],
        **({"membership_values": tensor(members, np.float64)} if members else {}),
    )
    model = helper.make_model(
        helper.make_graph(
            [node],
            "trees",
            [helper.make_tensor_value_info("X", TensorProto.DOUBLE, [None, len(ensemble.numbers)])],
            [helper.make_tensor_value_info("Y", TensorProto.DOUBLE, [None, outputs])],
        ),
        opset_imports=[helper.make_opsetid("ai.onnx.ml", 5), helper.make_opsetid("", 21)],
        ir_version=10,
    )
    return bytes(model.SerializeToString(deterministic=True))
