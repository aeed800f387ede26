"""The order of the queue and the agreement of people, by their invariants and a published example."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oito.catalog.records import Answer
from oito.errors import DataError
from oito.labels.agreement import krippendorff
from oito.labels.queue import order
from oito.labels.votes import UNDONE, ballots

names = st.lists(st.text("abcdef", min_size=1, max_size=4), unique=True, max_size=60)


@settings(deadline=None)
@given(names, st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.floats(0, 1), max_size=60))
def test_everything_is_asked_once_and_a_tenth_at_random(questions: list[str], scores: dict[str, float]) -> None:
    found = order(questions, seed="7", scores=scores)
    assert sorted(item for item, _ in found) == sorted(questions)
    assert sum(reason == "random" for _, reason in found) >= len(questions) / 10
    doubts = [abs(scores[item] - 0.5) for item, reason in found if reason == "uncertain"]
    assert doubts == sorted(doubts)


@settings(deadline=None)
@given(names, st.integers(0, 3))
def test_the_order_hangs_on_the_seed_and_not_on_how_rows_come(questions: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(questions, len(questions))
    assert order(questions, seed=str(seed)) == order(shuffled, seed=str(seed))
    fewer = [item for item, _ in order(questions, seed=str(seed)) if item != questions[0]]
    assert fewer == [item for item, _ in order(questions[1:], seed=str(seed))]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["yes", "no", None, UNDONE])), max_size=25))
def test_a_decision_is_always_the_majority_of_what_stands(told: list[tuple[str, str | None]]) -> None:
    history = [
        Answer(n, "late", "i", None if label == UNDONE else label, who, f"{n:03}", UNDONE if label == UNDONE else "")
        for n, (who, label) in enumerate(told)
    ]
    stacks: dict[str, list[str | None]] = {}
    for who, label in told:
        mine = stacks.setdefault(who, [])
        if label != UNDONE:
            mine.append(label)
        elif mine:
            mine.pop()
    votes = [mine[-1] for mine in stacks.values() if mine and mine[-1] is not None]
    yes, no = votes.count("yes"), votes.count("no")
    ballot = ballots(history).get("i")
    decision = ballot.decision if ballot else None
    assert (decision.label if decision else None) == (None if yes == no else "yes" if yes > no else "no")
    if decision:
        before = [ballots(history[:n]).get("i") for n in range(int(decision.at), len(history))]
        assert before[0] is None or before[0].decision is None or before[0].decision.label != decision.label
        assert all(each and each.decision and each.decision.label == decision.label for each in before[1:])


def test_alpha_is_that_of_the_published_example() -> None:
    # Krippendorff 2011, section B: four observers, twelve units, missing answers; nominal alpha 0.743
    told = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[row[n] for row in told if row[n] != "."] for n in range(12)]
    found = krippendorff(units)
    assert found.alpha is not None and round(found.alpha, 3) == 0.743
    assert found.low is not None and found.high is not None and found.low < found.alpha < found.high
    assert (found.items, found.answers) == (11, 40)


def test_one_class_only_has_no_alpha_and_single_answers_no_agreement() -> None:
    assert krippendorff([["a", "a"], ["a", "a"]]).alpha is None
    with pytest.raises(DataError, match="agreement needs items that two people answered"):
        krippendorff([["a"], ["b"]])
