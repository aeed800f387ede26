"""Forms: how objects that are not plain attributes are taken apart and built again, each from named parts.

A form's parts are ordinary values, arrays or listed objects. What it builds, it builds through the library's own
constructor, or after proving the parts; search trees are not read but grown again from their data.
"""

import functools
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from oito.errors import CorruptFile, MissingExtra
from oito.experiments.model_arrays import Array
from oito.experiments.model_checks import check_tree_state

Parts = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """`take` gives an object's parts; `build` makes an equal object of (class name, parts)."""

    take: Callable[[Any], Parts]
    build: Callable[[str, Parts], Any]


def _class(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtra(f"the model needs {library}", known=str(error), next=f"pip install {library}") from error


def _demand(truth: Any, what: str) -> None:
    if not truth:
        raise CorruptFile(what)


# Python's own


def _take_slice(value: slice | range) -> Parts:
    return {"start": value.start, "stop": value.stop, "step": value.step}


def _build_slice(name: str, parts: Parts) -> Any:
    return (slice if name == "builtins.slice" else range)(parts["start"], parts["stop"], parts["step"])


def _take_partial(value: functools.partial[Any]) -> Parts:
    return {"function": value.func, "arguments": value.args, "keywords": value.keywords}


def _build_partial(name: str, parts: Parts) -> Any:
    return functools.partial(parts["function"], *parts["arguments"], **parts["keywords"])


def _take_mapping(value: Mapping[Any, Any]) -> Parts:
    return {"items": list(value.items())}


def _build_mapping(name: str, parts: Parts) -> Any:
    made = _class(name)()
    made.update(dict(parts["items"]))
    return made


_FACTORIES: Mapping[str, Any] = {
    made.__name__: made for made in (list, dict, set, int, float, str, OrderedDict, Counter)
} | {"": None}


def _take_defaultdict(value: defaultdict[Any, Any]) -> Parts:
    factory = getattr(value.default_factory, "__name__", "")
    if _FACTORIES.get(factory) is not value.default_factory:
        raise TypeError(f"a defaultdict of {factory}")
    return {"factory": factory, "items": list(value.items())}


def _build_defaultdict(name: str, parts: Parts) -> Any:
    return defaultdict(_FACTORIES[parts["factory"]], parts["items"])


# NumPy and SciPy

_GENERATORS = {
    "MT19937": np.random.MT19937,
    "PCG64": np.random.PCG64,
    "PCG64DXSM": np.random.PCG64DXSM,
    "Philox": np.random.Philox,
    "SFC64": np.random.SFC64,
}


def _take_random_state(value: np.random.RandomState) -> Parts:
    return dict(value.get_state(legacy=False))


def _build_random_state(name: str, parts: Parts) -> Any:
    made = np.random.RandomState(_bit_generator(parts, np.random.SeedSequence(0)))
    made.set_state(parts)
    return made


def _take_generator(value: np.random.Generator) -> Parts:
    source: Any = value.bit_generator
    seeds = source.seed_seq.state if isinstance(source.seed_seq, np.random.SeedSequence) else {"entropy": 0}
    return {"state": source.state, "seeds": seeds}


def _build_generator(name: str, parts: Parts) -> Any:
    _demand(parts["seeds"].get("pool_size", 4) in range(4, 65), "a generator's seeds are malformed")
    return np.random.Generator(_bit_generator(parts["state"], np.random.SeedSequence(**parts["seeds"])))


def _bit_generator(state: Parts, seeds: np.random.SeedSequence) -> Any:
    _demand(state["bit_generator"] in _GENERATORS, "a generator of random numbers is of an unknown kind")
    inner = state["state"]
    # NumPy takes any position and reads behind the key.
    places = {"MT19937": ("pos", inner, 624), "Philox": ("buffer_pos", state, 4)}.get(state["bit_generator"])
    if places:
        name, holder, end = places
        _demand(0 <= holder[name] <= end, "a generator of random numbers stands outside its key")
    made = _GENERATORS[state["bit_generator"]](seeds)
    made.state = state
    return made


def _take_masked(value: Any) -> Parts:
    mask = np.ma.getmaskarray(value)
    data = np.array(value.data)
    data[mask] = None if data.dtype.hasobject else np.zeros((), data.dtype)  # what lies below a mask is chance
    return {"data": data, "mask": mask, "fill": value.fill_value}


def _build_masked(name: str, parts: Parts) -> Any:
    return np.ma.MaskedArray(parts["data"], mask=parts["mask"], fill_value=parts["fill"])


def _take_sparse(value: Any) -> Parts:
    return {"shape": tuple(map(int, value.shape)), "data": value.data, "indices": value.indices, "indptr": value.indptr}


def _build_sparse(name: str, parts: Parts) -> Any:
    made = _class(name)((parts["data"], parts["indices"], parts["indptr"]), shape=parts["shape"])
    made.indices, made.indptr = parts["indices"], parts["indptr"]  # SciPy narrows their type where it can
    made.check_format(full_check=True)
    return made


def _take_spline(value: Any) -> Parts:
    coefficients = np.moveaxis(value.c, 0, value.axis)
    return {"t": value.t, "c": coefficients, "k": value.k, "extrapolate": value.extrapolate, "axis": value.axis}


def _build_spline(name: str, parts: Parts) -> Any:
    return _class(name)(parts["t"], parts["c"], parts["k"], extrapolate=parts["extrapolate"], axis=parts["axis"])


# scikit-learn's compiled parts


def _take_tree(value: Any) -> Parts:
    _, (n_features, n_classes, n_outputs), state = value.__reduce__()
    return {"n_features": n_features, "n_classes": n_classes, "n_outputs": n_outputs, **state}


def _build_tree(name: str, parts: Parts) -> Any:
    check_tree_state(parts)
    made = _class(name)(parts["n_features"], parts["n_classes"], parts["n_outputs"])
    made.__setstate__({part: parts[part] for part in ("max_depth", "node_count", "nodes", "values")})
    return made


def _take_search_tree(value: Any) -> Parts:
    data, *_, metric, weight = value.__getstate__()
    return {"data": np.asarray(data), "leaf_size": value.__getstate__()[4], "metric": metric, "weight": weight}


def _build_search_tree(name: str, parts: Parts) -> Any:
    return _class(name)(parts["data"], parts["leaf_size"], metric=parts["metric"], sample_weight=parts["weight"])


def _take_metric(value: Any) -> Parts:
    p, vector, matrix = value.__getstate__()
    return {"p": p, "vector": vector, "matrix": matrix}


def _build_metric(name: str, parts: Parts) -> Any:
    p, vector, matrix = parts["p"], parts["vector"], parts["matrix"]
    _demand(type(p) is float, "a distance's power is no number")
    _demand(_is_float64(vector, 1) and _is_float64(matrix, 2), "a distance's weights are malformed")
    _demand("Mahalanobis" not in name or matrix.shape[0] == matrix.shape[1], "a distance's weights are malformed")
    kind = _class(name)
    made = kind.__new__(kind)
    made.__setstate__((p, vector, matrix))
    return made


def _is_float64(value: Any, dimensions: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64 and value.ndim == dimensions


def _take_loss(value: Any) -> Parts:
    # The multinomial loss has no parameter, and a reduction of another shape.
    return {"parameters": () if "Multinomial" in type(value).__name__ else tuple(value.__reduce__()[1])}


def _build_loss(name: str, parts: Parts) -> Any:
    _demand(all(type(part) is float for part in parts["parameters"]), "a loss has a parameter that is no number")
    return _class(name)(*parts["parameters"])


# Boosting libraries, by their own formats


def _take_lightgbm(value: Any) -> Parts:
    text = value.model_to_string(num_iteration=-1)
    # How many processors this machine has says nothing of the model.
    return {"text": re.sub(r"(?m)^\[num_threads: -?\d+\]$", "[num_threads: 0]", text), "best": value.best_iteration}


def _build_lightgbm(name: str, parts: Parts) -> Any:
    made = _class(name)(model_str=parts["text"])
    made.best_iteration = parts["best"]
    return made


def _take_xgboost(value: Any) -> Parts:
    return {"ubj": np.frombuffer(bytes(value.save_raw("ubj")), np.uint8)}


def _build_xgboost(name: str, parts: Parts) -> Any:
    ubj: Array = parts["ubj"]
    made = _class(name)()
    made.load_model(bytearray(ubj.tobytes()))
    return made


_METRICS = (
    "BrayCurtis Canberra Chebyshev Dice Euclidean Hamming Haversine Jaccard Mahalanobis Manhattan Matching Minkowski "
    "RogersTanimoto RussellRao SEuclidean SokalMichener SokalSneath"
)
_LOSSES = (
    "AbsoluteError ExponentialLoss HalfBinomialLoss HalfGammaLoss HalfMultinomialLoss HalfPoissonLoss "
    "HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss"
)
_SGD_LOSSES = "EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge"

FORMS: Mapping[str, Form] = {
    "builtins.slice": Form(_take_slice, _build_slice),
    "builtins.range": Form(_take_slice, _build_slice),
    "builtins.complex": Form(lambda z: {"real": z.real, "imag": z.imag}, lambda _, p: complex(p["real"], p["imag"])),
    "builtins.bytes": Form(lambda b: {"hex": b.hex()}, lambda _, p: bytes.fromhex(p["hex"])),
    "functools.partial": Form(_take_partial, _build_partial),
    "collections.OrderedDict": Form(_take_mapping, _build_mapping),
    "collections.Counter": Form(_take_mapping, _build_mapping),
    "collections.defaultdict": Form(_take_defaultdict, _build_defaultdict),
    "sklearn.utils._bunch.Bunch": Form(_take_mapping, _build_mapping),
    "sklearn.impute._iterative._ImputerTriplet": Form(
        lambda t: {"items": tuple(t)}, lambda n, p: _class(n)(*p["items"])
    ),
    "numpy.random.mtrand.RandomState": Form(_take_random_state, _build_random_state),
    "numpy.random._generator.Generator": Form(_take_generator, _build_generator),
    "numpy.ma.MaskedArray": Form(_take_masked, _build_masked),
    "scipy.interpolate._bsplines.BSpline": Form(_take_spline, _build_spline),
    **{
        f"scipy.sparse._{kind}.{kind}_{of}": Form(_take_sparse, _build_sparse)
        for kind in ("csr", "csc")
        for of in ("matrix", "array")
    },
    "sklearn.tree._tree.Tree": Form(_take_tree, _build_tree),
    **{
        f"sklearn.neighbors.{name}{bits}": Form(_take_search_tree, _build_search_tree)
        for name in ("_kd_tree.KDTree", "_ball_tree.BallTree")
        for bits in ("", "32", "64")
    },
    **{
        f"sklearn.metrics._dist_metrics.{name}Distance{bits}": Form(_take_metric, _build_metric)
        for name in _METRICS.split()
        for bits in ("32", "64")
    },
    **{f"sklearn._loss._loss.Cy{name}": Form(_take_loss, _build_loss) for name in _LOSSES.split()},
    **{f"sklearn.linear_model._sgd_fast.{name}": Form(_take_loss, _build_loss) for name in _SGD_LOSSES.split()},
    "lightgbm.basic.Booster": Form(_take_lightgbm, _build_lightgbm),
    "xgboost.core.Booster": Form(_take_xgboost, _build_xgboost),
}
