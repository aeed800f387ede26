"""A project: its modules, loaded, and the assets declared in them. All faults are found here, before anything runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin

from oito.errors import DeclarationError, ProjectFaults, UnknownAsset
from oito.flow import graph
from oito.flow.declare import Declaration, From, declaration
from oito.flow.kind import Kind, Spec
from oito.names import did_you_mean


@dataclass(frozen=True)
class Input:
    """Something an asset needs: `role` is its parameter or spec field, `annotation` the type that is to arrive."""

    role: str
    asset: str
    annotation: Any = None
    is_parameter: bool = False


@dataclass(frozen=True)
class Asset:
    """One declared name: its kind, its function, what it needs, and what it merely names."""

    name: str
    kind: Kind
    spec: Spec
    function: Callable[..., Any] | None
    file: str
    line: int
    inputs: tuple[Input, ...]
    named: tuple[Input, ...]
    options: Mapping[str, Any]  # parameters after *, with their defaults

    @property
    def place(self) -> str:
        return f"{Path(self.file).name}:{self.line}"

    def names(self, role: str) -> list[str]:
        """Return the assets that the spec field `role` refers to."""
        pairs = (*self.inputs, *self.named)
        return [each.asset for each in pairs if each.role == role or each.role.startswith(role + ".")]


@dataclass(frozen=True)
class Project:
    """The assets of a project in the order they can be made; `root` is where the code stands."""

    root: Path
    assets: Mapping[str, Asset]
    kinds: Mapping[str, Kind]
    files: tuple[Path, ...]

    def asset(self, name: str) -> Asset:
        """Return one asset.

        Raises:
            UnknownAsset: with the closest known name.
        """
        if name not in self.assets:
            raise UnknownAsset(f"the project declares no asset {name!r}", next=did_you_mean(name, self.assets))
        return self.assets[name]

    def needed(self, targets: Sequence[str]) -> list[Asset]:
        """Return the targets (all assets when there are none) with everything they need, in the order to be made."""
        wanted = {self.asset(name).name for name in targets} or set(self.assets)
        arrows = self.arrows()
        for name in reversed(list(self.assets)):
            if name in wanted:
                wanted.update(arrows[name])
        return [asset for name, asset in self.assets.items() if name in wanted]

    def arrows(self) -> dict[str, list[str]]:
        """Return asset → the assets that must be made before it."""
        return {
            name: list(dict.fromkeys(i.asset for i in (*asset.inputs, *asset.named) if i.asset != name))
            for name, asset in self.assets.items()
        }

    def below(self, name: str) -> list[Asset]:
        """Return the assets made from this one, directly or not, in order."""
        arrows = self.arrows()
        reached = {name}
        for other in self.assets:
            if reached.intersection(arrows[other]):
                reached.add(other)
        return [self.assets[other] for other in self.assets if other in reached and other != name]


def load(root: Path, modules: Sequence[str], kinds: Sequence[Kind]) -> Project:
    """Import the project's modules and return its assets.

    Raises:
        ProjectFaults: everything that is wrong with the declarations, with file, line and "did you mean".
        DeclarationError: a module is not there or cannot be imported.
    """
    loaded = [_imported(root.resolve(), name) for name in modules]
    by_word = {kind.word: kind for kind in kinds}
    faults: list[DeclarationError] = []
    found: dict[str, Declaration] = {}
    for module in loaded:
        faults += _repeated(module)
        for name, thing in vars(module).items():
            told = declaration(thing)
            if told is None or name.startswith("_") or isinstance(thing, type):
                continue
            if told.function is not None and told.function.__module__ != module.__name__:
                if told.function.__module__ not in {each.__name__ for each in loaded}:
                    found.setdefault(told.function.__name__, told)
                continue
            if name in found and found[name] is not told:
                faults.append(_fault(told, f"two assets are named {name!r}", f"the other is at {_place(found[name])}"))
            found.setdefault(name, told)
    names = {id(told.spec): name for name, told in found.items()}
    reader = _Reader(found, names, by_word)
    assets = {name: reader.asset(name, told) for name, told in found.items()}
    assets = {name: reader.with_pulled(asset, assets) for name, asset in assets.items()}
    faults += reader.faults
    order, cycle = graph.order({name: [i.asset for i in (*a.inputs, *a.named)] for name, a in assets.items()})
    if cycle:
        told = found[cycle[0]]
        faults.append(
            _fault(
                told,
                "assets need each other in a ring: " + " → ".join([*cycle, cycle[0]]),
                "",
                "remove one of the parameters",
            )
        )
    if faults:
        raise ProjectFaults(sorted(faults, key=lambda fault: fault.where))
    files = tuple(sorted({Path(file) for module in loaded if (file := module.__file__)}))
    return Project(root.resolve(), {name: assets[name] for name in order}, by_word, files)


class _Reader:
    """Turns declarations into assets and keeps the faults it meets on the way."""

    def __init__(self, found: Mapping[str, Declaration], names: Mapping[int, str], kinds: Mapping[str, Kind]) -> None:
        self.found, self.names, self.kinds = found, names, kinds
        self.faults: list[DeclarationError] = []

    def asset(self, name: str, told: Declaration) -> Asset:
        spec = told.spec
        for sentence in spec.faults():
            self.faults.append(_fault(told, f"{name}: {sentence}"))
        if told.function is None and spec.needs_function:
            self.faults.append(
                _fault(told, f"{name} has no function", "", f"write a function below @oito.{spec.word}(...)")
            )
        referred = list(self._referred(name, told))
        inputs = [each for each in referred if each.role.split(".")[0] not in spec.by_name]
        named = [each for each in referred if each.role.split(".")[0] in spec.by_name]
        inputs += self._tables(name, told)
        options: dict[str, Any] = {}
        if told.function is not None:
            inputs += self._parameters(name, told, options)
        kind = self.kinds[spec.word]
        return Asset(name, kind, spec, told.function, told.file, told.line, tuple(inputs), tuple(named), options)

    def with_pulled(self, asset: Asset, assets: Mapping[str, Asset]) -> Asset:
        """Add the assets of the kinds that `pulls` names, found behind the assets that the spec refers to."""
        pulled: dict[str, Input] = {}
        for role, words in asset.spec.pulls.items():
            behind = [name for name in asset.names(role) if name in assets]
            for name in behind:  # grows while it is walked
                for each in (*assets[name].inputs, *assets[name].named):
                    other = assets.get(each.asset)
                    if other and other.kind.word in words:
                        is_many = words.index(other.kind.word) and other.kind.word == "features"
                        pulled[other.name] = Input(f"features.{other.name}" if is_many else other.kind.word, other.name)
                    if other and other.name not in behind and other.kind.word not in {"labels", "features"}:
                        behind.append(other.name)
        known = {each.asset for each in asset.inputs}
        inputs = (*asset.inputs, *(each for name, each in pulled.items() if name not in known))
        return Asset(**{**vars(asset), "inputs": inputs})

    def _referred(self, name: str, told: Declaration) -> Iterator[Input]:
        for role, things in told.spec.references().items():
            for thing in things:
                other = declaration(thing)
                target = self.names.get(id(other.spec)) if other else None
                if other is None or target is None:
                    shown = getattr(thing, "__name__", repr(thing))
                    self.faults.append(
                        _fault(told, f"{name}: {role}= refers to {shown}, which is no asset of this project")
                    )
                    continue
                wanted = told.spec.wants[role]
                if other.spec.word not in wanted:
                    self.faults.append(
                        _fault(
                            told,
                            f"{name}: {role}= refers to {target}, a {other.spec.word}",
                            f"it takes a {' or '.join(wanted)}",
                        )
                    )
                    continue
                is_many = isinstance(getattr(told.spec, role), tuple | list)
                yield Input(f"{role}.{target}" if is_many else role, target)

    def _tables(self, name: str, told: Declaration) -> Iterator[Input]:
        """Yield the assets that the text of a query names."""
        for table in getattr(told.spec, "tables", ()):
            if table in self.found and table != name:
                yield Input(table, table)
            else:
                self.faults.append(self._unknown(name, told, table))

    def _parameters(self, name: str, told: Declaration, options: dict[str, Any]) -> Iterator[Input]:
        assert told.function is not None
        spec, annotations = told.spec, _annotations(told.function)
        for parameter in inspect.signature(told.function).parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self.faults.append(
                    _fault(told, f"{name} takes *{parameter.name}", "parameters before * are assets, by name")
                )
            elif parameter.kind == parameter.KEYWORD_ONLY:
                options[parameter.name] = parameter.default
                if parameter.default is parameter.empty and parameter.name != "seed":
                    self.faults.append(_fault(told, f"{name}: the option {parameter.name!r} has no default"))
            elif parameter.name not in spec.given:
                annotation, source = _split(annotations.get(parameter.name))
                target = parameter.name if source is None else self._source(source)
                if target in self.found and spec.takes_assets and target != name:
                    yield Input(parameter.name, target, annotation, is_parameter=True)
                else:
                    self.faults.append(self._unknown(name, told, parameter.name))

    def _source(self, source: From) -> str:
        told = declaration(source.asset)
        return self.names.get(id(told.spec), "") if told else str(source.asset)

    def _unknown(self, name: str, told: Declaration, parameter: str) -> DeclarationError:
        spec = told.spec
        known = [*spec.given, *(self.found if spec.takes_assets else ())]
        if parameter == name:
            return _fault(told, f"{name} needs itself", "", "give the parameter the name of another asset")
        if not spec.takes_assets and parameter in self.found:
            return _fault(
                told,
                f"{name}: a {spec.word} takes no asset as the parameter {parameter!r}",
                f"it is given {', '.join(spec.given)}",
            )
        return _fault(
            told,
            f"{name} needs {parameter!r}, which no asset is named",
            "",
            did_you_mean(parameter, [k for k in known if k != name]),
        )


def _imported(root: Path, name: str) -> ModuleType:
    """Import one file or package of the project, never one of the same name that another project left in the process."""
    path = root / name
    if not path.exists() and not path.with_suffix(".py").exists():
        raise DeclarationError(
            f"the project file {name} is not there",
            where=str(root),
            next="run the command in the project's folder, or start one with: oito init",
        )
    dotted = ".".join(Path(name).with_suffix("").parts)
    there = sys.modules.get(dotted)
    if there is not None and not _is_inside(there, root):
        _forget_others(root, there)
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry != str(root))]
    importlib.invalidate_caches()
    try:
        return importlib.import_module(dotted)
    except Exception as error:
        sys.modules.pop(dotted, None)
        line = _line_of(error, root)
        raise DeclarationError(
            f"{name} cannot be imported: {type(error).__name__}: {error}", where=line or str(path)
        ) from error


def _is_inside(module: ModuleType, root: Path) -> bool:
    file: str | None = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(root)


def _forget_others(root: Path, there: ModuleType) -> None:
    """Forget the modules of the project that was loaded before, so that two projects may follow each other in one process."""
    other = Path(there.__file__ or "").resolve().parent
    for name, module in list(sys.modules.items()):
        if name != "__main__" and _is_inside(module, other) and not _is_inside(module, root) and "site-packages" not in str(module.__file__):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry != str(other)]


def _line_of(error: BaseException, root: Path) -> str:
    trace, line = error.__traceback__, ""
    while trace:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(root):
            line = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        line = f"{Path(error.filename).name}:{error.lineno}"
    return line


def _repeated(module: ModuleType) -> Iterator[DeclarationError]:
    """Yield a fault for each asset that a later one of the same name hides."""
    if not module.__file__:
        return
    first: dict[str, int] = {}
    for node in ast.parse(Path(module.__file__).read_text()).body:
        if isinstance(node, ast.FunctionDef) and any("oito" in ast.unparse(d) for d in node.decorator_list):
            if node.name in first:
                where = f"{Path(module.__file__).name}:{node.lineno}"
                known = f"the other is at {Path(module.__file__).name}:{first[node.name]}"
                yield DeclarationError(
                    f"two assets are named {node.name!r}", where=where, known=known, next="rename one of them"
                )
            first[node.name] = node.lineno


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return inspect.get_annotations(function, eval_str=True)
    except NameError:  # a name that exists only for type checkers
        return dict(inspect.get_annotations(function))


def _split(annotation: Any) -> tuple[Any, From | None]:
    if get_origin(annotation) is Annotated:
        plain, *rest = get_args(annotation)
        return plain, next((each for each in rest if isinstance(each, From)), None)
    return annotation, None


def _place(told: Declaration) -> str:
    return f"{Path(told.file).name}:{told.line}"


def _fault(told: Declaration, what: str, known: str = "", next: str = "") -> DeclarationError:
    return DeclarationError(what, where=_place(told), known=known, next=next)
