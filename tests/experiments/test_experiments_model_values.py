"""What may hang in a model file: values, arrays, shared things, generators, and the project's own classes by name."""

import re
import sys
import types
from collections import OrderedDict, defaultdict
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from oito.errors import BadInput
from oito.experiments.model_files import dump, load

_draw = np.random.default_rng(5)
X = _draw.random((60, 5))
Y_TEXT = _draw.choice(["a", "b", "c"], 60)
Y_NUMBER = X @ _draw.random(5) + 0.1
ME = __name__


class Box(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator of the project's own that holds any value."""

    def __init__(self, held: Any = None) -> None:
        self.held = held


class Majority(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    def fit(self, rows: Any, truth: Any) -> "Majority":
        self.classes_, counts = np.unique(truth, return_counts=True)
        self.answer_ = self.classes_[counts.argmax()]
        return self

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), self.answer_)


class Slotted:
    __slots__ = ("left",)
    left: int


def halved(rows: Any) -> Any:
    return rows / 2


def round_trip(held: Any, *trusted: str) -> Any:
    names = [f"{ME}.Box", *trusted]
    files = dump(Box(held), trusted=names)
    again = load(files, trusted=names)
    assert dump(again, trusted=names) == files
    return again.held


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    # A project's module is importable; with importlib's way of collecting, a test's is so only by this entry.
    monkeypatch.setitem(sys.modules, ME, sys.modules.get(ME) or _this_module())


def _this_module() -> Any:
    module = types.ModuleType(ME)
    module.__dict__.update(globals())
    return module


def shown(value: object) -> str:
    """Return a value's text without what differs between processes: an address, the order of a set."""
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} of {sorted(value, key=repr)}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**200,
        -0.0,
        5e-324,
        float("inf"),
        "é\ud800\x00",
        b"\x00\xff",
        1 - 2j,
        (1, (2.5, "x")),
        [1, [2]],
        {"a": 1, 2: (3,), None: 4.0},
        {"b", "a", "c"},
        frozenset({(1, 2), (0, 1)}),
        slice(1, None, 2),
        range(3, 9, 2),
        OrderedDict(b=1, a=2),
        defaultdict(list, a=[1]),
        partial(np.clip, min=0.0),
        np.float64(0.1),
        np.float32(0.1),
        np.bool_(True),
        np.int8(-3),
        np.str_("x"),
        np.datetime64("2013-11-01T06:30", "us"),
        np.dtype("float32"),
        np.dtype([("left", "i8"), ("leaf", "u1")], align=True),
        np.float32,
        int,
        np.log1p,
    ],
    ids=shown,
)
def test_a_value_comes_back_equal_and_of_its_own_type(value: Any) -> None:
    again = round_trip(value)
    assert type(again) is type(value)
    if isinstance(value, partial):
        assert (again.func, again.args, again.keywords) == (value.func, value.args, value.keywords)
    else:
        assert again == value
        assert repr(again) == repr(value) or isinstance(value, np.dtype | set | frozenset)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12).reshape(3, 4)[:, ::2],
        np.array(3.5),
        np.empty((0, 4), np.int16),
        np.array([np.nan, -0.0, np.inf]),
        np.array(["x", "longer"]),
        np.array([b"x", b"yy"]),
        np.array(["2013-01-01", "NaT"], "datetime64[s]"),
        np.array([1, 2], ">i4"),
        np.array([("a", [1, 2])], [("name", "U3"), ("pair", "i4", (2,))]),
        np.array([None, "x", 3.5, np.nan], object).reshape(2, 2),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_comes_back_with_its_type_shape_order_and_bits(array: Any) -> None:
    again = round_trip(array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes() if array.dtype != object else repr(again) == repr(array)
    assert again.flags.writeable
    if array.flags.f_contiguous:
        assert again.flags.f_contiguous


def test_bytes_between_the_fields_of_a_structure_are_not_written() -> None:
    padded = np.dtype([("left", "i8"), ("leaf", "u1")], align=True)
    dirty = np.frombuffer(b"\x07" * 32, padded).copy()
    clean = np.zeros(2, padded)
    for name in ("left", "leaf"):
        clean[name] = dirty[name]
    names = [f"{ME}.Box"]
    assert dump(Box(dirty), trusted=names) == dump(Box(clean), trusted=names)


def test_things_that_are_shared_stay_shared_and_rings_stay_closed() -> None:
    array, ring = np.arange(3), ["first"]
    ring.append(ring)  # type: ignore[arg-type]  # the ring is the point
    one, other, again = round_trip([array, {"same": array}, ring])
    assert one is other["same"]
    assert again[1] is again


@pytest.mark.parametrize(
    "generator",
    [
        np.random.RandomState(3),
        *(np.random.Generator(kind(4)) for kind in (np.random.PCG64, np.random.Philox, np.random.SFC64)),
        np.random.Generator(np.random.MT19937(5)),
    ],
    ids=shown,
)
def test_a_generator_goes_on_where_it_stood(generator: Any) -> None:
    generator.normal(size=3)
    again = round_trip(generator)
    assert again.normal(size=5).tolist() == generator.normal(size=5).tolist()
    if isinstance(generator, np.random.Generator):
        assert again.spawn(1)[0].random() == generator.spawn(1)[0].random()


def test_a_class_of_the_project_is_kept_only_when_it_is_trusted_by_name() -> None:
    model = Majority().fit(X, Y_TEXT)
    with pytest.raises(BadInput) as refused:
        dump(make_pipeline(StandardScaler(), model))
    assert str(refused.value) == (
        f"{ME}.Majority may not stand in a model file\n"
        "  where    model.steps[1][1]\n"
        "  known    known are scikit-learn's estimators and a list of plain NumPy and SciPy functions, in model_types.py\n"
        f'  next     if it is your own and only holds state, trust it by name: trusted = ["{ME}.Majority"]'
    )
    files = dump(model, trusted=[f"{ME}.Majority"])
    assert load(files, trusted=[f"{ME}.Majority"]).predict(X).tolist() == model.predict(X).tolist()
    with pytest.raises(BadInput, match="Majority may not stand in a model file"):
        load(files)


def test_slots_and_functions_of_the_project_are_kept() -> None:
    slotted = Slotted()
    slotted.left = 4
    assert round_trip(slotted, f"{ME}.Slotted").left == 4
    model = make_pipeline(FunctionTransformer(halved), Ridge()).fit(X, Y_NUMBER)
    again = load(dump(model, trusted=[f"{ME}.halved"]), trusted=[f"{ME}.halved"])
    assert again.predict(X).tobytes() == model.predict(X).tobytes()


def test_what_has_no_name_is_refused_with_the_place_and_the_way_out() -> None:
    with pytest.raises(BadInput) as refused:
        dump(make_pipeline(FunctionTransformer(lambda rows: rows), Ridge()))
    assert "<lambda> has no name a model file could find it by" in str(refused.value)
    assert "where    model.steps[0][1].func" in str(refused.value)
    assert "next     write a plain function at the top of a module" in str(refused.value)


@pytest.mark.parametrize("held", [open, np.save, np.load, np.vectorize(halved), object(), type], ids=shown)
def test_what_is_not_listed_is_refused_when_writing(held: Any) -> None:
    with pytest.raises(BadInput, match="may not stand in a model file"):
        dump(Box(held), trusted=[f"{ME}.Box"])


def test_a_model_that_is_nested_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(BadInput, match="the model is nested deeper than 100 levels"):
        dump(Box(deep), trusted=[f"{ME}.Box"])
