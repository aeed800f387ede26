"""The walk from one function to every symbol and value that it reaches. Forms of values, trees and owners are read elsewhere."""

import ast
import builtins
import hashlib
import importlib
import importlib.util
import types
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from oito.flow.code.members import is_current, line_inside, members_of, names_in_body
from oito.flow.code.ownership import Owners, namespace_of
from oito.flow.code.packages import file_of
from oito.flow.code.reached import Place, Reached
from oito.flow.code.references import Import, Reference, Uses, annotations, chains, class_expressions, reads, uses_of
from oito.flow.code.scope import Scope
from oito.flow.code.shown import shown_text
from oito.flow.code.syntax import Definition, annotations_digest, bytecode, class_digest, function_digest, module_digest
from oito.flow.code.values import Unkeyable, Values

_WHOLE_MODULE = frozenset({"globals", "eval", "exec"})
# What every module carries: its names and places on disk, which are no part of what it does.
_MODULE_FACTS = frozenset(
    {"__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__builtins__", "__cached__"}
) | {"__path__", "__annotations__", "__annotate__", "__conditional_annotations__", "__warningregistry__"}
_MISSING = object()
# Names by which code learns what nothing else in it names: annotations, and the classes below a class.
_ANNOTATIONS = frozenset({"__annotations__", "get_type_hints", "get_annotations", "signature", "getfullargspec"})
_SUBCLASSES = "__subclasses__"


class Walk:
    """One walk from one function; `reached` holds what was found.

    Tokens are given at first sight, the reading of what they name waits in a queue (so rings end).
    Not for threads.
    """

    def __init__(self, owners: Owners) -> None:
        self.reached = Reached(owners)
        self._owners = owners
        self._keys = Values(self._refer, opaque=self._pickled)
        self._bound: dict[str, bool] = {}  # names already bound, and whether strictly
        self._queue: deque[Callable[[], None]] = deque()
        self._scope = Scope("", "", {}, None)
        self._classes: dict[str, type] = {}  # own classes read so far
        self._functions: dict[str, Definition] = {}  # trees of the own functions read so far
        self._looks_below = self._reads_annotations = False

    def start(self, fn: object) -> None:
        """Read everything that `fn` reaches."""
        if self._refer(fn) is None or not self._queue:
            name = getattr(fn, "__qualname__", type(fn).__qualname__)
            self._value(name, fn, strict=True, place=None)
        while self._queue:
            self._queue.popleft()()
        if self._reads_annotations:
            written = {f"{symbol}.<annotations>": annotations_digest(node) for symbol, node in self._functions.items()}
            self.reached.code.update(written)

    # Tokens: what stands for a function, class or module inside the form of a value.

    def _refer(self, value: object) -> tuple[object, ...] | None:
        if isinstance(value, types.FunctionType):
            return self._function_token(value)
        if isinstance(value, type):
            return self._class_token(value)
        if isinstance(value, types.ModuleType):
            return self._module_token(vars(value))
        if isinstance(value, types.BuiltinFunctionType) and (
            value.__self__ is None or isinstance(value.__self__, types.ModuleType)
        ):
            self.reached.package(self._owners.of_name(value.__module__ or ""))
            return ("builtin", value.__module__ or "", value.__qualname__)
        return None

    def _function_token(self, fn: types.FunctionType) -> tuple[object, ...]:
        if self._owners.of_namespace(fn.__globals__).is_own:
            wanted = f"{self._owners.module_symbol(fn.__globals__)}.{fn.__code__.co_qualname}"
            return ("code", self._symbol(fn, wanted, lambda symbol: self._read_function(fn, symbol)))
        self.reached.package(self._owners.of_namespace(fn.__globals__))
        name = f"{fn.__globals__.get('__name__')}.{fn.__code__.co_qualname}"
        if self._owners.is_of_library(fn):
            return ("package code", name)
        # A library's wrapper around something of the user's: what it holds counts, what is the library's does not.
        return ("code", self._symbol(fn, f"{name} of {fn.__qualname__}", lambda symbol: self._read_wrapper(fn, symbol)))

    def _class_token(self, kind: type) -> tuple[object, ...]:
        owner = self._owners.of_class(kind)
        if not owner.is_own:
            self.reached.package(owner)
            return ("package code", f"{kind.__module__}.{kind.__qualname__}")
        wanted = f"{self._owners.module_symbol(namespace_of(kind))}.{kind.__qualname__}"
        return ("code", self._symbol(kind, wanted, lambda symbol: self._read_class(kind, symbol)))

    def _module_token(self, namespace: Mapping[str, Any]) -> tuple[object, ...]:
        owner = self._owners.of_namespace(namespace)
        if not owner.is_own:
            self.reached.package(owner)
            return ("package", str(namespace.get("__name__")))
        wanted = self._owners.module_symbol(namespace)
        return ("code", self._symbol(namespace, wanted, lambda symbol: self._read_module(namespace, symbol)))

    def _symbol(self, value: object, wanted: str, read: Callable[[str], None]) -> str:
        """Return the one name of a thing, and have it read if it is new; a second thing of one name gets a number."""
        symbol, is_new = self.reached.symbol(value, wanted, above=self._scope.symbol)
        if is_new:
            self._queue.append(lambda: read(symbol))
        return symbol

    # Reading: each fills `code`, `values`, `places` and `files` for one symbol.

    def _read_function(self, fn: types.FunctionType, symbol: str) -> None:
        source = self.reached.source(fn.__code__.co_filename)
        kind = type(getattr(vars(fn).get("__oito__"), "spec", None)).__module__.partition(".")[0]
        declarers = frozenset({"oito", kind} - {"builtins"})
        self._scope = Scope(
            symbol, self._owners.module_symbol(fn.__globals__), fn.__globals__, source, declarers=declarers
        )
        node = source.definition(fn.__code__) if source else None
        if node is None:
            self.reached.code[symbol] = bytecode(fn.__code__)
            line = fn.__code__.co_firstlineno
        else:
            self.reached.code[symbol] = function_digest(node, drops=self._scope.declares)
            line = node.lineno
            self._functions[symbol] = node
            self._readings(node, uses_of(fn.__code__))
            self._written_around(node)
        self.reached.places[symbol] = (fn.__code__.co_filename, line)
        self.reached.file(fn.__globals__)
        self._held(fn, self.reached.places[symbol])
        self._uses(uses_of(fn.__code__))

    def _read_wrapper(self, fn: types.FunctionType, symbol: str) -> None:
        self._scope = Scope(symbol, "", {}, None, strict=False)
        self.reached.code[symbol] = hashlib.sha256(fn.__code__.co_qualname.encode()).hexdigest()
        self.reached.places[symbol] = (fn.__code__.co_filename, fn.__code__.co_firstlineno)
        if hasattr(fn, "registry") and hasattr(fn, "dispatch"):  # functools.singledispatch: its cache changes with use
            self._value(f"{symbol}.<registry>", dict(fn.registry), strict=False, place=None)
        else:
            self._held(fn, (fn.__code__.co_filename, fn.__code__.co_firstlineno))

    def _read_class(self, kind: type, symbol: str) -> None:
        namespace = namespace_of(kind)
        file = str(namespace.get("__file__", ""))
        source = self.reached.source(file) if file else None
        nodes = source.class_definitions(kind.__qualname__, line=line_inside(kind)) if source else []
        self._scope = Scope(symbol, self._owners.module_symbol(namespace), namespace, source)
        self.reached.file(namespace)
        bases = repr([kind.__name__, *(base.__qualname__ for base in kind.__bases__)])
        written = "".join(map(class_digest, nodes))
        self.reached.code[symbol] = (
            written if len(nodes) == 1 else hashlib.sha256((written or bases).encode()).hexdigest()
        )
        if nodes:
            self.reached.places[symbol] = (file, nodes[-1].lineno)
        for chain in chains(*(each for node in nodes for each in class_expressions(node))):
            self._follow_name(chain[0], chain[1:], strict=False)
        self._value(f"{symbol}.<bases>", [type(kind), *kind.__bases__], strict=True, place=None)
        names = frozenset[str]().union(*map(names_in_body, nodes)) if nodes else None
        for name, value, strict in members_of(kind, written=names):
            self._bind(f"{symbol}.{name}", value, strict=strict, place=None)
        self._classes[symbol] = kind
        if self._looks_below:
            self._below(symbol, kind)

    def _below(self, symbol: str, kind: type) -> None:
        """Key the classes below an own class, in the order in which they were made; forgotten ones do not count."""
        made: list[type] = type.__subclasses__(kind)
        below = [each for each in made if is_current(each)]
        self._value(f"{symbol}.<subclasses>", below, strict=False, place=None)

    def _read_module(self, namespace: Mapping[str, Any], symbol: str) -> None:
        file = str(namespace.get("__file__") or "")
        source = self.reached.source(file) if file else None
        self._scope = Scope(symbol, symbol, namespace, source, strict=False)
        self.reached.file(namespace)
        if source is not None:
            self.reached.code[symbol] = module_digest(source.tree)
        elif file:
            self.reached.code[symbol] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        else:
            self.reached.code[symbol] = hashlib.sha256(b"no file").hexdigest()
        self.reached.places[symbol] = (file, 1)
        for name, value in list(namespace.items()):
            if name not in _MODULE_FACTS:
                self._bind(f"{symbol}.{name}", value, strict=False, place=None)

    def _held(self, fn: types.FunctionType, place: Place) -> None:
        """Key what a function object carries: defaults, closure, attributes."""
        symbol, strict = self._scope.symbol, self._scope.strict
        taken = fn.__code__.co_varnames[: fn.__code__.co_argcount]
        defaults = fn.__defaults__ or ()
        named = {**dict(zip(taken[len(taken) - len(defaults) :], defaults, strict=True)), **(fn.__kwdefaults__ or {})}
        for name, value in named.items():
            self._value(f"{symbol}.<default {name}>", value, strict=strict, place=place)
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                continue  # not assigned yet
            if isinstance(value, types.ModuleType) and strict:
                self._scope.modules[name] = value
                self._note(f"{symbol}.<closure {name}>", ("module", value.__name__), f"module {value.__name__}", place)
            else:
                self._value(f"{symbol}.<closure {name}>", value, strict=strict, place=place)
        for name, value in list(vars(fn).items()):
            if name != "__oito__":
                self._value(f"{symbol}.<attribute {name}>", value, strict=False, place=place)

    def _written_around(self, node: Definition) -> None:
        """Follow the decorators and note the packages in the annotations of a function's tree."""
        if isinstance(node, ast.Lambda):
            return
        for decorator in node.decorator_list:
            if not self._scope.declares(decorator):
                for chain in chains(decorator):
                    self._follow_name(chain[0], chain[1:], strict=False)
        for chain in chains(*annotations(node)):
            self._annotated(chain)

    def _readings(self, node: Definition, uses: Uses) -> None:
        """Note the files that calls such as `pl.read_csv("rates.csv")` name: what they open can be heard by nobody."""
        for each in reads(node, uses.names):
            name = self._scope.namespace.get(each.id) if isinstance(each, ast.Name) else getattr(each, "value", None)
            if isinstance(name, str | PurePath):
                self.reached.readings.append(str(name))

    def _annotated(self, chain: tuple[str, ...]) -> None:
        value = self._scope.namespace.get(chain[0], _MISSING)
        if value is _MISSING:  # imported for type checkers only
            target = self._scope.source.aliases.get(chain[0], "") if self._scope.source else ""
            self.reached.package(self._owners.of_name(target) or self._owners.of_name(target.rpartition(".")[0]))
            return
        for name in chain[1:]:
            if isinstance(value, types.ModuleType) and not getattr(value, "__file__", None):
                value = getattr(value, name, value)
        if isinstance(value, types.ModuleType):
            self.reached.package(self._owners.of_namespace(vars(value)))
        else:
            self.reached.package(self._owners.of_name(getattr(value, "__module__", None) or type(value).__module__))

    # Names: from a reference in bytecode to what it is bound to.

    def _uses(self, uses: Uses) -> None:
        for each in uses.imports:
            self._import(each)
        for reference in uses.references:
            self._reference(reference, uses)
        self._reads_annotations = self._reads_annotations or not _ANNOTATIONS.isdisjoint(uses.names)
        if _SUBCLASSES in uses.names and not self._looks_below:
            self._looks_below = True
            for symbol, kind in list(self._classes.items()):
                self._below(symbol, kind)

    def _reference(self, reference: Reference, uses: Uses) -> None:
        if reference.kind == "local":
            if reference.name in self._scope.modules:
                self._follow(self._scope.modules[reference.name], "", reference.name, reference.attributes, strict=True)
        elif reference.kind == "sql":
            value = self._scope.namespace.get(reference.name)
            if value is not None and not callable(value) and not isinstance(value, types.ModuleType):
                self._follow_name(reference.name, (), strict=False)
        else:
            if reference.name == "__import__" or "import_module" in (reference.name, *reference.attributes):
                self._imported_by_name(uses.texts)
            if self._scope.means_all_modules(reference):
                self._imported_by_name(uses.texts)
                if "__name__" in uses.names:
                    self._module_token(self._scope.namespace)
                return
            self._follow_name(reference.name, reference.attributes, strict=True)

    def _follow_name(self, name: str, attributes: Sequence[str], *, strict: bool) -> None:
        namespace = self._scope.namespace
        value = namespace.get(name, self._scope.modules.get(name, _MISSING))
        if value is not _MISSING and name not in _MODULE_FACTS:
            self._follow(value, self._scope.module, name, attributes, strict=strict and self._scope.strict)
        elif name in _WHOLE_MODULE and hasattr(builtins, name):
            self._module_token(namespace)

    def _follow(self, value: object, module: str, name: str, attributes: Sequence[str], *, strict: bool) -> None:
        """Follow `name.attributes` through modules to the thing itself, and bind that; a bare module is taken whole."""
        left = list(attributes)
        place = self.reached.place_of(self._scope.namespace, name)
        while isinstance(value, types.ModuleType) and left:
            inside = vars(value)
            owner = self._owners.of_namespace(inside)
            known_as = self._owners.module_symbol(inside) if owner.is_own else value.__name__
            if module and name != known_as:
                self._note(f"{module}.{name}", ("module", known_as), f"module {known_as}", place)
            if not owner.is_own and inside.get("__file__"):
                self.reached.package(owner)
                return
            self.reached.file(inside)
            module, name = known_as, left.pop(0)
            if name == "__dict__":
                self._module_token(inside)
                return
            try:
                value = getattr(value, name)
            except AttributeError:
                self._refer(value)  # it may appear later: whatever the module says then decides
                return
            place = self.reached.place_of(inside, name)
        if module:
            self._bind(f"{module}.{name}", value, strict=strict, place=place)
        else:
            self._refer(value)

    def _import(self, each: Import) -> None:
        """Resolve an import in the body; the user's own modules are imported, to see what they hold."""
        package = str(self._scope.namespace.get("__package__") or "")
        try:
            name = importlib.util.resolve_name("." * each.level + each.name, package or None)
        except ImportError:
            return
        owner = self._owners.of_name(name)
        if owner is None or not owner.is_own:
            self.reached.package(owner or self._owners.of_name(".".join((name, *each.attributes))))
            return
        value: object = _loaded(name)
        if value is None:
            self._unimportable(name)
            return
        for attribute in each.attributes:
            if isinstance(value, types.ModuleType) and not hasattr(value, attribute):
                value = _loaded(f"{value.__name__}.{attribute}") or value
                continue
            self.reached.file(vars(value) if isinstance(value, types.ModuleType) else {})
            if not isinstance(getattr(value, attribute), types.ModuleType):
                self._follow(value, "", "", (attribute,), strict=True)
            value = getattr(value, attribute)
        if isinstance(value, types.ModuleType):
            self._scope.modules[each.alias] = value
            self.reached.file(vars(value))

    def _imported_by_name(self, texts: Sequence[str]) -> None:
        for text in texts:
            if all(part.isidentifier() for part in text.split(".")):
                owner = self._owners.of_name(text)
                module = _loaded(text) if owner and owner.is_own else None
                if module is not None:
                    self._refer(module)

    def _unimportable(self, name: str) -> None:
        """Key a module that cannot be imported by its text alone: the code may be prepared for that."""
        file = file_of(name)
        source = self.reached.source(str(file)) if file else None
        if source is not None:
            self.reached.code[name] = module_digest(source.tree)
            self.reached.places[name] = (source.file, 1)
            self.reached.files[source.file] = source.digest

    # Values.

    def _bind(self, symbol: str, value: object, *, strict: bool, place: Place | None) -> None:
        """Key what a name is bound to, unless it is the definition of that very name."""
        if self._bound.get(symbol, False) >= strict and symbol in self._bound:
            return
        self._bound[symbol] = strict
        token = self._refer(value)
        if token != ("code", symbol):
            self._value(symbol, value, strict=strict, place=place)

    def _value(self, symbol: str, value: object, *, strict: bool, place: Place | None) -> None:
        try:
            key = self._keys.key(value, symbol, strict=strict)
        except Unkeyable as fault:
            raise self.reached.fault(fault, self._scope.symbol, place) from fault
        self.reached.values[symbol] = key
        self.reached.shown[symbol] = shown_text(symbol, value)
        if place is not None:
            self.reached.places[symbol] = place

    def _note(self, symbol: str, token: object, shown: str, place: Place | None) -> None:
        if symbol not in self.reached.values:
            self._value(symbol, token, strict=True, place=place)
            self.reached.shown[symbol] = shown

    def _pickled(self) -> None:
        """A library has pickled user functions into a value: every module that may have made it is taken whole."""
        for inside in self._owners.own_imports(self._scope.namespace):
            self._module_token(inside)


def _loaded(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception:  # whatever a module raises at import, its text can still be keyed
        return None
