"""Named streams of randomness: independent, stable, and set where an author has set none."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from oito.experiments.seeds import apply, drawn, stream

_names = st.lists(st.text(max_size=5), max_size=4)


@given(st.integers(), _names)
def test_a_stream_is_a_seed_numpy_takes_and_always_the_same(root: int, names: list[str]) -> None:
    assert 0 <= stream(root, *names) < 2**32
    assert stream(root, *names) == stream(root, *names)


@given(st.integers(), _names, _names)
def test_other_names_are_another_stream(root: int, one: list[str], other: list[str]) -> None:
    assert (stream(root, *one) == stream(root, *other)) == (one == other)


def test_a_stream_never_changes_between_releases() -> None:
    assert stream(0) == 864697752
    assert stream(7, "fit", "trial 3") == 842688044


def test_every_unset_random_state_gets_its_own_stream_and_a_set_one_stays() -> None:
    bag = BaggingClassifier(DecisionTreeClassifier(random_state=1))
    model = apply(make_pipeline(StandardScaler(), bag), 7)
    assert bag.random_state == stream(7, "baggingclassifier__random_state")
    assert bag.estimator.random_state == 1
    forests = [apply(RandomForestClassifier(), seed).random_state for seed in (7, 7, 8)]
    assert forests[0] == forests[1] != forests[2]
    assert model is apply(model, 8) and bag.random_state == stream(7, "baggingclassifier__random_state")


def test_what_has_no_random_state_is_left_as_it_is() -> None:
    line, plain = LinearRegression(), object()
    before = line.get_params()
    assert apply(line, 7) is line and line.get_params() == before
    assert apply(plain, 7) is plain


def test_what_draws_from_a_global_generator_draws_the_same_and_moves_nobody_else() -> None:
    folds = []
    for _ in range(2):
        with drawn(7):
            folds.append(([each.tolist() for _, each in KFold(3, shuffle=True).split(range(9))], random.random()))
    assert folds[0] == folds[1]
    said = []
    for seed in (7, 8):
        np.random.seed(1)
        random.seed(1)
        with drawn(seed):
            np.random.random(seed)
        said.append((np.random.random(), random.random()))
    assert said[0] == said[1]
