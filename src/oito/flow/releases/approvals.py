"""Who must agree before an environment is released to, and who is missing still. What they agree to is a release's proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oito.catalog.approvals import Approval
from oito.errors import ApprovalMissing, BadSetting
from oito.settings import Settings


@dataclass(frozen=True)
class Rule:
    """What an environment asks for: so many people other than the one who releases, and these by name."""

    count: int = 0
    names: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The rule in a few words, "" when nobody need agree."""
        named = ", ".join(self.names)
        if self.count <= len(self.names):
            return named
        people = f"{self.count} {'person' if self.count == 1 else 'people'}"
        return f"{people}, {named} among them" if named else people

    def missing(self, given: Sequence[Approval], *, releaser: str) -> str:
        """Say who has still to agree when `releaser` releases, "" when nobody; one's own yes does not count."""
        others = {each.who for each in given} - {releaser}
        absent = [name for name in self.names if name not in others]
        left = max(0, self.count - len(others) - len(absent))
        more = f"{left} {'person' if left == 1 else 'people'} other than {releaser}"
        return ", ".join([*absent, *([more] if left else [])])


def rule(settings: Settings, environment: str) -> Rule:
    """Return what the setting `approvals` asks for an environment: `"production=2"` or `"production=cleo"`, any number of them.

    Raises:
        BadSetting: an entry names no environment, or nobody.
    """
    count = 0
    names: list[str] = []
    for entry in settings.approvals:
        place, _, wanted = (piece.strip() for piece in entry.rpartition("="))
        if not place or not wanted:
            raise BadSetting(
                f"the setting 'approvals' has {entry!r}", where=settings.origins["approvals"],
                known="an entry is an environment, =, and how many people or who", next='write "production=1"',
            )  # fmt: skip
        if place == environment:
            if wanted.isdecimal():
                count = max(count, int(wanted))
            else:
                names.append(wanted)
    return Rule(count, tuple(dict.fromkeys(names)))


def missing_error(
    asked: Rule, given: Sequence[Approval], *, target: str, proposal: str, releaser: str
) -> ApprovalMissing:
    """Return the error that tells who has to agree to a proposal before `releaser` may release it."""
    yes = ", ".join(each.who for each in given) or "nobody yet"
    own = f"; {releaser} releases, so that approval does not count" if any(a.who == releaser for a in given) else ""
    return ApprovalMissing(
        f"{target} waits for the approval of {asked.missing(given, releaser=releaser)}",
        known=f"{target} asks for {asked.text}; proposal {proposal[:12]} was approved by {yes}{own}",
        next=f"they look with: oito diff {target}     and say yes with: oito approve {target} --proposal {proposal[:12]}",
    )
