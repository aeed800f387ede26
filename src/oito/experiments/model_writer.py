"""From an estimator to typed nodes: one walk in a fixed order. What the file looks like around them is not decided here.

A node is a JSON scalar, or a list that opens with its tag:
`["list", …]`, `["tuple", …]`, `["dict", [key, value]…]`, `["set", …]`, `["array", dtype, shape, order, offset]`,
`["objects", shape, …]`, `["scalar", dtype, hex]`, `["float", "nan"]`, `["dtype", …]`, `["type", name]`,
`["function", name]`, `["object", class, {attribute: node}]`, `["form", class, {part: node}]`, and `["ref", n]`: the n-th
thing of those that can be shared, counted in the order of the walk.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable
from types import MethodType
from typing import Any

import numpy as np

from oito.errors import BadInput, OitoError
from oito.experiments.model_arrays import BlobWriter, dtype_data
from oito.experiments.model_forms import FORMS
from oito.experiments.model_types import CLASSES, FUNCTIONS, TYPES, name_of, named, not_listed

MAX_DEPTH = 100
Node = Any

_FUNCTION_TYPES = (type(name_of), type(len), MethodType, np.ufunc, type(np.mean))
_ADDRESSES = {"_stop_words_id"}  # what scikit-learn keeps of id(); it does without
# How many threads a fit had is set anew where it is asked again; it says nothing of what was learned.
_THREADS = {"_n_threads": 1, "n_threads": 1}
_THREADED = frozenset(
    {
        "sklearn.cluster._bisect_k_means.BisectingKMeans",
        "sklearn.cluster._kmeans.KMeans",
        "sklearn.cluster._kmeans.MiniBatchKMeans",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    }
)
_SEARCH = "sklearn.model_selection._search"
_CONTAINERS = (dict, list, tuple, set, frozenset, str, bytes, int, float, np.ndarray)


class Writer:
    """Walks one estimator; `node` may be called once, then `blob` holds the arrays."""

    def __init__(self, trusted: Collection[str]) -> None:
        self.blob = BlobWriter()
        self._trusted = trusted
        self._path: list[str] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # a number is found by id(), so nothing numbered may die during the walk
        self._writers: dict[type, Callable[[Any], Node]] = {
            float: lambda value: value if math.isfinite(value) else ["float", str(value)],
            tuple: lambda value: ["tuple", *self._items(value)],
            list: self._shared(lambda value: ["list", *self._items(value)]),
            dict: self._shared(self._dict),
            set: lambda value: ["set", *self._set(value)],
            frozenset: lambda value: ["frozenset", *self._set(value)],
            np.ndarray: self._shared(self._array),
            np.memmap: self._shared(self._array),
            type(None): lambda value: value,
            **dict.fromkeys((bool, int, str), lambda value: value),
        }

    def node(self, value: Any) -> Node:
        """Return the node of a value and, inside it, of everything the value holds.

        Raises:
            BadInput: something on the way may not stand in a model file; the text says where it hangs.
        """
        if len(self._path) > MAX_DEPTH:
            raise BadInput(f"the model is nested deeper than {MAX_DEPTH} levels", where=self._where())
        writer = self._writers.get(type(value)) or self._writer_of(value)
        return writer(value)

    def _where(self) -> str:
        return "model" + "".join(self._path)

    def _inside(self, step: str, value: Any) -> Node:
        self._path.append(step)
        try:
            node = self.node(value)
        except OitoError as error:
            error.where = error.where or self._where()
            raise
        self._path.pop()
        return node

    def _items(self, values: Iterable[Any]) -> list[Node]:
        return [self._inside(f"[{place}]", value) for place, value in enumerate(values)]

    def _shared(self, writer: Callable[[Any], Node]) -> Callable[[Any], Node]:
        def write(value: Any) -> Node:
            number = self._numbers.get(id(value))
            if number is not None:
                return ["ref", number]
            self._numbers[id(value)] = len(self._kept)
            self._kept.append(value)
            return writer(value)

        return write

    def _writer_of(self, value: Any) -> Callable[[Any], Node]:
        if isinstance(value, np.generic):
            return self._scalar
        if isinstance(value, np.dtype):
            return lambda dtype: ["dtype", dtype_data(dtype)]
        if isinstance(value, type):
            return self._type
        if isinstance(value, _FUNCTION_TYPES):
            return self._function
        return self._shared(self._form if name_of(type(value)) in FORMS else self._object)

    def _dict(self, value: dict[Any, Any]) -> Node:
        pairs: list[Node] = []
        for place, (key, held) in enumerate(value.items()):
            pairs.append([self._inside(f".keys()[{place}]", key), self._inside(f"[{key!r:.40}]", held)])
        return ["dict", *pairs]

    def _set(self, value: Iterable[Any]) -> list[Node]:
        # Sorted by what is written: the order in memory differs between processes.
        if any(not isinstance(item, str | int | float | np.generic | tuple | None) for item in value):
            raise BadInput("a set of objects has no order that a model file could keep", next="keep a list instead")
        return sorted((self._inside("{…}", item) for item in value), key=json.dumps)

    def _array(self, value: np.ndarray[Any, Any]) -> Node:
        if value.dtype == object:
            return ["objects", list(value.shape), *self._items(value.ravel())]
        return ["array", *self.blob.add(value)]

    def _scalar(self, value: np.generic) -> Node:
        return ["scalar", dtype_data(value.dtype), value.tobytes().hex()]

    def _type(self, value: type) -> Node:
        name = name_of(value)
        if name not in TYPES:
            raise not_listed(name)
        return ["type", name]

    def _function(self, value: Any) -> Node:
        name = name_of(value)
        if "<" in name or isinstance(value, MethodType):
            raise BadInput(
                f"{name} has no name a model file could find it by",
                known="lambdas, inner functions and bound methods have none",
                next="write a plain function at the top of a module and trust it by its dotted name",
            )
        if named(name, FUNCTIONS, trusted=self._trusted) is not value:
            raise BadInput(f"{name} is another function now", next="train again with the function as it is")
        return ["function", name]

    def _form(self, value: Any) -> Node:
        name = name_of(type(value))
        try:
            parts = FORMS[name].take(value)
        except TypeError as error:
            raise BadInput(f"{name} may not stand in a model file", known=str(error)) from error
        return ["form", name, self._attributes(parts)]

    def _object(self, value: Any) -> Node:
        kind = type(value)
        name = name_of(kind)
        if name not in CLASSES and name not in self._trusted:
            raise not_listed(name)
        if isinstance(value, _CONTAINERS) or _makes_itself(kind) or "<" in name:
            raise BadInput(
                f"{name} is more than its attributes",
                known="a model file keeps instances that are made empty and given their attributes",
                next="hold the list, dict or array as an attribute, and define the class at the top of a module",
            )
        return ["object", name, self._attributes(_timeless(name, _state(value)))]

    def _attributes(self, state: dict[str, Any]) -> dict[str, Node]:
        # Sorted: a second fit of the same object keeps an older order of attributes.
        return {name: self._inside(f".{name}", state[name]) for name in sorted(state) if name not in _ADDRESSES}


def _state(value: Any) -> dict[str, Any]:
    state = value.__getstate__()
    if state is None:
        return {}
    if isinstance(state, tuple):  # of a class with slots
        state = {**(state[0] or {}), **state[1]}
    if not isinstance(state, dict) or not all(type(name) is str for name in state):
        raise BadInput(f"the state of {name_of(type(value))} is not named attributes")
    return state


def _timeless(name: str, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state without what only tells of the machine that fitted: threads, and how long each fit took."""
    if name in _THREADED:
        return {**state, **{each: _THREADS[each] for each in _THREADS if each in state}}
    if not name.startswith(_SEARCH) or "cv_results_" not in state:
        return state
    results = {
        each: np.zeros_like(held) if each.endswith("_time") else held for each, held in state["cv_results_"].items()
    }
    return {**state, "cv_results_": results, **({"refit_time_": 0.0} if "refit_time_" in state else {})}


def _makes_itself(kind: Any) -> bool:
    return kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__
