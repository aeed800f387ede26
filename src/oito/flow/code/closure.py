"""What a function's result depends on in the user's own modules: every symbol and value that it reaches, by digest.

The walk starts at the function and follows names from its bytecode: globals, attributes of modules, closures, defaults,
imports in the body, decorators, base classes, members, and the functions and objects inside values. Each function is a
symbol with the digest of its tree in normal form (see `syntax.py`); each name bound to anything but its own definition
is a value, so that pointing a name at something else is seen even when both things were known before.

Symbols are named by file, relative to the roots, not by how a module was loaded: equal code has equal digests in every
process and folder. Modules in no distribution (editable installs too) are the user's own, wherever they stand; oito
itself is neither code nor package here, its own changes are told by the fingerprint's format.

More runs than needed are accepted for: a local variable renamed (DuckDB finds frames by name); any edit of a module
taken as a whole (`getattr(module, name)`, `globals()`, `eval`); any edit of a class of which one method is used; a
function's annotations under a decorator of the user's or of another library (it may read them); a global that
a word in an SQL text happens to name; a mutable global that this process has changed since import.

Not seen: modules imported by a computed name, monkeypatches below a package's version, what compiled modules do, a
function that reads its own annotations, packages reached only through methods of un-annotated parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oito.flow.code.ownership import Owners
from oito.flow.code.symbols import Walk


@dataclass(frozen=True)
class Closure:
    """What a function's result depends on in the user's own modules.

    `code`, `values` and `packages` belong in a fingerprint; `shown`, `places` and `files` are for people and caches.
    """

    code: Mapping[str, str]  # "helpers.clean" -> digest of its tree in normal form, or of its bytecode without source
    values: Mapping[str, str]  # "project.THRESHOLD", "project.fn.<default x>", "project.fn.<closure y>" -> digest
    shown: Mapping[str, str]  # of each value a short text; never one that sounds like a secret
    places: Mapping[str, tuple[str, int]]  # symbol -> (absolute file, line)
    packages: Mapping[str, str]  # distribution -> version, of third-party modules reached or named in annotations
    files: Mapping[str, str]  # absolute path of each user file that can change any of this -> SHA-256 of its bytes
    readings: Sequence[str] = ()  # what `read_…` and `scan_…` calls name, as it is written


def closure(
    fn: Callable[..., Any] | tuple[object, ...], *, roots: Sequence[Path], owners: Owners | None = None
) -> Closure:
    """Return what `fn` depends on; `roots` are the folders of the user's own code, `owners` what is known of them already.

    `fn` may be any value; several functions in one tuple are read in one walk, in which no two things share a name.

    Modules that the code imports in its body are imported when they are the user's own; packages are not.

    Raises:
        DeclarationError: the code reads a global that has no canonical form, such as a lock or an open file.

    Example:
        >>> project = {"__name__": "project"}
        >>> exec("def double(x, times=2): return x * times", project)
        >>> found = closure(project["double"], roots=[])
        >>> list(found.code), list(found.values)
        (['project.double'], ['project.double.<default times>'])
    """
    walk = Walk(owners or Owners(roots))
    walk.start(fn)
    found = walk.reached
    return Closure(
        found.code, found.values, found.shown, found.places, found.packages, found.files, tuple(found.readings)
    )
