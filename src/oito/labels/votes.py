"""What people's answers say together: a person's newest counts, the majority decides, a tie decides nothing.

Every answer stays in the history. An undo is a further entry that takes the person's newest one back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from oito.catalog.records import Answer

UNDONE = "undone"  # the note of an entry that takes back the one before it


@dataclass(frozen=True)
class Decision:
    """A question's answer: `at` is the moment since which it has been the majority's, `votes` of `people` agree."""

    label: Any
    at: str
    votes: int
    people: int


@dataclass
class Ballot:
    """The answers to one question, replayed in the order they were given."""

    given: dict[str, list[Answer]] = field(default_factory=dict)
    decision: Decision | None = None

    def cast(self, answer: Answer) -> None:
        """Take in one entry of the history."""
        mine = self.given.setdefault(answer.who, [])
        if answer.note != UNDONE:
            mine.append(answer)
        elif mine:
            mine.pop()
        self.decision = self._decided(answer.at)

    @property
    def standing(self) -> dict[str, Answer]:
        """Each person's answer that counts; one with the label None was skipped."""
        return {who: mine[-1] for who, mine in self.given.items() if mine}

    @property
    def labels(self) -> list[Any]:
        return [answer.label for answer in self.standing.values() if answer.label is not None]

    @property
    def is_tied(self) -> bool:
        """Whether people answered and no answer has most votes."""
        return bool(self.labels) and self.decision is None

    def _decided(self, at: str) -> Decision | None:
        counts = Counter(self.labels).most_common(2)
        if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]):
            return None
        label, votes = counts[0]
        since = self.decision.at if self.decision and self.decision.label == label else at
        return Decision(label, since, votes, len(self.labels))


def ballots(history: Iterable[Answer]) -> dict[str, Ballot]:
    """Return item → its ballot; `history` is every answer, superseded ones too, oldest first.

    Example:
        >>> said = [Answer(1, "late", "7@", "yes", "ann", "2024-01-01", ""), Answer(2, "late", "7@", "no", "bo", "2024-01-02", "")]
        >>> ballots(said)["7@"].is_tied, ballots(said[:1])["7@"].decision.label
        (True, 'yes')
    """
    found: dict[str, Ballot] = {}
    for answer in history:
        found.setdefault(answer.item, Ballot()).cast(answer)
    return found
