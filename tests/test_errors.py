"""Every error reads the same way, travels between processes, and knows its status and exit code."""

import copy
import json
import pickle
import re
from concurrent.futures import ProcessPoolExecutor

import pytest

from oito import errors
from oito.errors import DeclarationError, OitoError, ProjectFaults

# class: (built-in that old `except` clauses catch it by, HTTP status, exit code, whether trying again may help)
TABLE: dict[str, tuple[type[Exception], int, int, bool]] = {
    "OitoError": (Exception, 500, 1, False),
    "DeclarationError": (ValueError, 400, 2, False),
    "ProjectFaults": (ValueError, 400, 2, False),
    "NotFound": (LookupError, 404, 3, False),
    "UnknownAsset": (LookupError, 404, 3, False),
    "UnknownVersion": (LookupError, 404, 3, False),
    "UnknownEnvironment": (LookupError, 404, 3, False),
    "UnknownPrediction": (LookupError, 404, 3, False),
    "UnknownEntity": (LookupError, 404, 3, False),
    "BadInput": (ValueError, 400, 2, False),
    "BadSetting": (ValueError, 400, 2, False),
    "BadRequest": (ValueError, 400, 2, False),
    "BodyTooLarge": (ValueError, 413, 2, False),
    "WrongMethod": (ValueError, 405, 2, False),
    "RequestTooSlow": (ValueError, 408, 2, False),
    "DataError": (ValueError, 422, 4, False),
    "CheckFailed": (ValueError, 422, 4, False),
    "ContractBroken": (ValueError, 422, 4, False),
    "MissingColumn": (ValueError, 422, 4, False),
    "EmptySource": (ValueError, 422, 4, False),
    "LeakFound": (ValueError, 422, 4, False),
    "SchemaChanged": (ValueError, 422, 4, False),
    "StorageError": (OSError, 500, 5, False),
    "CorruptFile": (OSError, 500, 5, False),
    "StorageFull": (OSError, 503, 5, False),
    "VersionFreed": (OSError, 410, 5, False),
    "CatalogTooNew": (OSError, 500, 5, False),
    "CatalogBusy": (OSError, 503, 5, True),
    "CatalogLost": (OSError, 500, 5, False),
    "RunError": (RuntimeError, 500, 6, False),
    "StepFailed": (RuntimeError, 500, 6, False),
    "StepTimeout": (RuntimeError, 500, 6, True),
    "MemoryExceeded": (RuntimeError, 500, 6, False),
    "WorkerDied": (RuntimeError, 500, 6, True),
    "PartitionsFailed": (RuntimeError, 500, 6, False),
    "StepBlocked": (RuntimeError, 500, 6, False),
    "NotReproduced": (RuntimeError, 500, 6, False),
    "Overloaded": (RuntimeError, 503, 6, True),
    "Refused": (PermissionError, 409, 7, False),
    "GateRefused": (PermissionError, 409, 7, False),
    "ApprovalMissing": (PermissionError, 409, 7, False),
    "UndeclaredRead": (PermissionError, 409, 7, False),
    "TokenNeeded": (PermissionError, 401, 7, False),
    "ForeignCaller": (PermissionError, 403, 7, False),
    "MissingExtra": (ImportError, 501, 8, False),
}
FAULTS = [
    DeclarationError("a needs 'x'", where="project.py:2"),
    DeclarationError("b needs 'y'", next="did you mean 'z'?"),
]


def made(name: str) -> OitoError:
    cls = getattr(errors, name)
    if cls is ProjectFaults:
        return ProjectFaults(FAULTS)
    error: OitoError = cls("it broke", where="project.py:18", known="first\nsecond", next="mend it")
    return error


def raised(name: str) -> None:
    raise made(name)


def test_the_table_is_the_tree() -> None:
    found = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, OitoError)}
    assert found == set(TABLE)


def test_the_drawing_shows_every_class_and_its_status() -> None:
    drawing = str(errors.__doc__)
    words = set(re.findall(r"\b[A-Z]\w+", drawing))
    assert set(TABLE) <= words
    for name, builtin, status in re.findall(r"── (\w+) .*\((\w+), (\d+)\)", drawing):
        assert (TABLE[name][0].__name__, TABLE[name][1]) == (builtin, int(status))


@pytest.mark.parametrize("name", TABLE)
def test_an_error_has_its_built_in_status_exit_code_and_whether_to_try_again(name: str) -> None:
    error = made(name)
    builtin, status, exit_code, may_retry = TABLE[name]
    assert isinstance(error, builtin)
    assert (error.status, error.exit_code, error.may_retry) == (status, exit_code, may_retry)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "ProjectFaults"])
def test_an_error_says_what_where_known_and_next_in_this_order(name: str) -> None:
    error = made(name)
    assert str(error).splitlines() == [
        "it broke",
        "  where    project.py:18",
        "  known    first",
        "           second",
        "  next     mend it",
    ]
    assert error.data() == {
        "error": name, "what": "it broke", "where": "project.py:18", "known": "first\nsecond", "next": "mend it",
    }  # fmt: skip
    assert str(getattr(errors, name)("it broke")) == "it broke"


@pytest.mark.parametrize("name", TABLE)
def test_an_error_survives_pickling_and_copying(name: str) -> None:
    error = made(name)
    error.may_retry = True
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.data() == error.data()
        assert twin.may_retry
        assert twin.args == error.args
    json.dumps(error.data())


def test_an_error_comes_whole_out_of_another_process() -> None:
    with ProcessPoolExecutor(1) as pool, pytest.raises(errors.StepFailed) as told:
        pool.submit(raised, "StepFailed").result()
    assert told.value.next == "mend it"


def test_many_faults_are_one_error_that_keeps_each() -> None:
    error = ProjectFaults(FAULTS)
    assert str(error).splitlines() == [
        "the project has 2 faults",
        "1. a needs 'x'",
        "  where    project.py:2",
        "2. b needs 'y'",
        "  next     did you mean 'z'?",
    ]
    assert [str(each) for each in pickle.loads(pickle.dumps(error)).faults] == [str(each) for each in FAULTS]
    assert ProjectFaults(FAULTS[:1]).what.startswith("the project has 1 fault\n")
