"""Every error oito raises, in one tree. An error says four things: what, where, what is known, what to do next.

OitoError
├── DeclarationError      a project cannot be understood          (ValueError, 400)
│   └── ProjectFaults     all faults of a project at once
├── NotFound              a name leads nowhere                    (LookupError, 404)
│   └── UnknownAsset, UnknownVersion, UnknownEnvironment, UnknownPrediction, UnknownEntity
├── BadInput              a value from outside is not acceptable  (ValueError, 400)
│   └── BadSetting, BadRequest, BodyTooLarge, WrongMethod, RequestTooSlow
├── DataError             data broke a promise                    (ValueError, 422)
│   └── CheckFailed, ContractBroken, MissingColumn, EmptySource, LeakFound, SchemaChanged
├── StorageError          bytes or rows cannot be kept or trusted (OSError, 500)
│   └── CorruptFile, StorageFull, VersionFreed, CatalogTooNew, CatalogBusy, CatalogLost
├── RunError              a step did not end well                 (RuntimeError, 500)
│   └── StepFailed, StepTimeout, MemoryExceeded, WorkerDied, PartitionsFailed, StepBlocked, NotReproduced, Overloaded
├── Refused               a rule says no                          (PermissionError, 409)
│   └── GateRefused, ApprovalMissing, UndeclaredRead, TokenNeeded, ForeignCaller
└── MissingExtra          an optional library is not installed    (ImportError, 501)
"""

from collections.abc import Sequence
from typing import Any


class OitoError(Exception):
    """The root: `what` happened, `where`, what is `known`, what to do `next`; each but the first may be empty."""

    status = 500
    exit_code = 1
    may_retry = False

    def __init__(self, what: str, *, where: str = "", known: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.known, self.next = what, where, known, next

    def __str__(self) -> str:
        facts = (("where", self.where), ("known", self.known), ("next", self.next))
        return "\n".join([self.what, *(f"  {word:<8} {_indented(text)}" for word, text in facts if text)])

    def __reduce__(self) -> tuple[Any, ...]:
        return revived, (type(self), self.__dict__.copy())

    def data(self) -> dict[str, str]:
        """Return the one JSON shape every face uses for every error."""
        return {
            "error": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "known": self.known,
            "next": self.next,
        }


def _indented(text: str) -> str:
    return text.replace("\n", "\n" + " " * 11)


def revived(cls: type[OitoError], fields: dict[str, Any]) -> OitoError:
    """Return an error of a class with its fields, as another process had it."""
    error = cls.__new__(cls)
    Exception.__init__(error, fields.get("what", ""))
    error.__dict__.update(fields)
    return error


class DeclarationError(OitoError, ValueError):
    """One decorated function cannot be understood."""

    status, exit_code = 400, 2


class ProjectFaults(DeclarationError):
    """All faults of a project's declarations, reported together."""

    def __init__(self, faults: Sequence[DeclarationError]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"the project has {count}\n" + "\n".join(f"{n}. {fault}" for n, fault in enumerate(faults, 1)))
        self.faults = tuple(faults)


class NotFound(OitoError, LookupError):
    """A name leads nowhere."""

    status, exit_code = 404, 3


class UnknownAsset(NotFound):
    """No asset of that name in the project or the catalog."""


class UnknownVersion(NotFound):
    """No such version of the asset."""


class UnknownEnvironment(NotFound):
    """No pointer exists in that environment."""


class UnknownPrediction(NotFound):
    """No prediction with that id in any journal."""


class UnknownEntity(NotFound):
    """An entity has no features."""


class BadInput(OitoError, ValueError):
    """A value from outside is not acceptable."""

    status, exit_code = 400, 2


class BadSetting(BadInput):
    """A setting has an unknown name or an unusable value."""


class BadRequest(BadInput):
    """A request's body is not what the endpoint takes."""


class BodyTooLarge(BadInput):
    """A request's body is over the limit."""

    status = 413


class WrongMethod(BadInput):
    """An address exists, but not for this HTTP method."""

    status = 405


class RequestTooSlow(BadInput):
    """A request did not arrive whole within its time."""

    status = 408


class DataError(OitoError, ValueError):
    """Data broke a promise."""

    status, exit_code = 422, 4


class CheckFailed(DataError):
    """A check with severity `fail` found broken rows; no pointer moved."""


class ContractBroken(DataError):
    """A source's rows do not fit its schema contract."""


class MissingColumn(DataError):
    """A column that is needed is not there."""


class EmptySource(DataError):
    """A source has never given a row."""


class LeakFound(DataError):
    """A feature would not be known when the question is asked."""


class SchemaChanged(DataError):
    """A stored view has other columns than its reader was made for."""


class StorageError(OitoError, OSError):
    """Bytes or rows cannot be kept or trusted."""

    exit_code = 5


class CorruptFile(StorageError):
    """A stored file's bytes do not fit its digest."""


class StorageFull(StorageError):
    """The disk (or quota) is full; nothing half-written was kept."""

    status = 503


class CatalogTooNew(StorageError):
    """The catalog was written by a newer oito."""


class CatalogBusy(StorageError):
    """Another process holds the catalog for longer than we wait."""

    status, may_retry = 503, True


class CatalogLost(StorageError):
    """The catalog's file is gone or damaged; its manifest beside it is what it can be built from again."""


class VersionFreed(StorageError):
    """A version's bytes were given back; what it was and what it was made from is still known."""

    status = 410


class RunError(OitoError, RuntimeError):
    """A step did not end well."""

    exit_code = 6


class StepFailed(RunError):
    """The user's function raised."""


class StepTimeout(RunError):
    """A step ran longer than its timeout."""

    may_retry = True


class MemoryExceeded(RunError):
    """A step used more memory than it may."""


class WorkerDied(RunError):
    """The process that a step ran in ended before the step did."""

    may_retry = True


class PartitionsFailed(RunError):
    """Several partitions of an asset failed; the others are kept."""


class StepBlocked(RunError):
    """A step cannot run because something it needs is missing or failed."""


class NotReproduced(RunError):
    """A version was made again and differs."""


class Overloaded(RunError):
    """More work is waiting than may wait; nothing was done."""

    status, may_retry = 503, True


class Refused(OitoError, PermissionError):
    """A rule says no."""

    status, exit_code = 409, 7


class GateRefused(Refused):
    """A gate did not let a version pass; no pointer moved."""


class ApprovalMissing(Refused):
    """People who must agree to a release have not done so yet; no pointer moved."""


class UndeclaredRead(Refused):
    """A step read a file or a variable that it does not declare, and that is not allowed here."""


class TokenNeeded(Refused):
    """A request carries no valid token."""

    status = 401


class ForeignCaller(Refused):
    """A request comes from a page or under a host name that this server does not trust."""

    status = 403


class MissingExtra(OitoError, ImportError):
    """An optional library is not installed."""

    status, exit_code = 501, 8
