"""From typed nodes back to an estimator: only listed things are made, nothing of the file runs. Bytes and digests are not here."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from oito.errors import CorruptFile
from oito.experiments.model_arrays import BlobReader, dtype_of
from oito.experiments.model_checks import CHECKS
from oito.experiments.model_forms import FORMS
from oito.experiments.model_types import CLASSES, FUNCTIONS, TYPES, named, not_listed
from oito.experiments.model_writer import MAX_DEPTH, Node

_PENDING = object()
_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Reader:
    """Builds one estimator; `value` may be called once, on the root."""

    def __init__(self, blob: BlobReader, trusted: Collection[str]) -> None:
        self._blob = blob
        self._trusted = trusted
        self._depth = 0
        self._made: list[Any] = []
        self._builders: dict[str, Callable[..., Any]] = {
            "float": _FLOATS.__getitem__,
            "tuple": lambda *nodes: tuple(map(self.value, nodes)),
            "set": lambda *nodes: set(map(self.value, nodes)),
            "frozenset": lambda *nodes: frozenset(map(self.value, nodes)),
            "list": self._list,
            "dict": self._dict,
            "array": self._array,
            "objects": self._objects,
            "scalar": self._scalar,
            "dtype": dtype_of,
            "type": lambda name: named(name, TYPES),
            "function": self._function,
            "object": self._object,
            "form": self._form,
            "ref": self._ref,
        }

    def value(self, node: Node) -> Any:
        """Return what a node stands for.

        Raises:
            CorruptFile: the node is none.
            BadInput: it names a class or function that is not listed.
        """
        if type(node) is not list:
            if node is None or type(node) in (bool, int, float, str):
                return node
            raise CorruptFile("a node of the model file has no tag")
        if not node or type(node[0]) is not str or node[0] not in self._builders:
            raise CorruptFile(f"a node of the model file has the tag {str(node[:1])[:40]}")
        self._depth += 1
        if self._depth > MAX_DEPTH + 2:
            raise CorruptFile(f"the model file is nested deeper than {MAX_DEPTH} levels")
        made = self._builders[node[0]](*node[1:])
        self._depth -= 1
        return made

    def _number(self, made: Any) -> Any:
        self._made.append(made)
        return made

    def _ref(self, number: Any) -> Any:
        if type(number) is not int or not 0 <= number < len(self._made) or self._made[number] is _PENDING:
            raise CorruptFile(f"the model file refers to a thing {str(number)[:20]} that it has not made")
        return self._made[number]

    def _list(self, *nodes: Node) -> list[Any]:
        made: list[Any] = self._number([])
        made.extend(map(self.value, nodes))
        return made

    def _dict(self, *pairs: Node) -> dict[Any, Any]:
        made: dict[Any, Any] = self._number({})
        for key_node, held_node in pairs:
            key = self.value(key_node)
            if key in made:
                raise CorruptFile(f"the key {key!r:.40} stands twice in one dict of the model file")
            made[key] = self.value(held_node)
        return made

    def _array(self, *described: Any) -> Any:
        return self._number(self._blob.take(*described))

    def _objects(self, shape: list[int], *nodes: Node) -> Any:
        if type(shape) is not list or any(type(side) is not int or side < 0 for side in shape):
            raise CorruptFile("an array has no usable shape")
        flat = np.empty(len(nodes), object)
        made = self._number(flat.reshape(tuple(shape)))  # a view: what is put into `flat` shows
        for place, node in enumerate(nodes):
            flat[place] = self.value(node)
        return made

    def _scalar(self, dtype_node: Node, hexed: str) -> Any:
        dtype = dtype_of(dtype_node)
        data = bytes.fromhex(hexed)
        if dtype.hasobject or len(data) != dtype.itemsize:
            raise CorruptFile(f"a number of {dtype} has {len(data)} bytes")
        return np.frombuffer(data, dtype)[0]

    def _function(self, name: str) -> Any:
        made = named(name, FUNCTIONS, trusted=self._trusted)
        if isinstance(made, type):
            raise not_listed(name)
        return made

    def _form(self, name: str, parts: dict[str, Node]) -> Any:
        if name not in FORMS:
            raise not_listed(name)
        place = len(self._made)
        self._made.append(_PENDING)
        self._made[place] = FORMS[name].build(name, self._attributes(parts))
        return self._made[place]

    def _object(self, name: str, attributes: dict[str, Node]) -> Any:
        kind = named(name, CLASSES, trusted=self._trusted)
        is_class = isinstance(kind, type)
        if not is_class:
            raise not_listed(name)
        made = self._number(kind.__new__(kind))
        _restore(made, self._attributes(attributes))
        if name in CHECKS:
            CHECKS[name](made)
        return made

    def _attributes(self, nodes: dict[str, Node]) -> dict[str, Any]:
        if type(nodes) is not dict or any(name.startswith("__") and name.endswith("__") for name in nodes):
            raise CorruptFile("the attributes of an object in the model file are malformed")
        return {name: self.value(node) for name, node in nodes.items()}


def _restore(made: Any, state: dict[str, Any]) -> None:
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    slots = {name for kind in type(made).__mro__ for name in getattr(kind, "__slots__", ())}
    for name, value in state.items():
        if name in slots:
            object.__setattr__(made, name, value)  # also where the class is frozen
        else:
            made.__dict__[name] = value
