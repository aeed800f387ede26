"""Settings: one list of name, default and sentence, read by code, terminal, pages and manual alike.

A value comes from the environment (`OITO_NAME`), else from `oito.toml`, else from `[tool.oito]` of `pyproject.toml`,
else from the default; where it came from is kept. Of the environment the git branch is the default, where there is one.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oito.errors import BadSetting
from oito.names import did_you_mean


@dataclass(frozen=True)
class Setting:
    """One thing a user may set; its type is the type of its default. `choices` are all it may be, `least` the least."""

    name: str
    default: str | int | float | bool | tuple[str, ...]
    doc: str
    choices: tuple[str, ...] = ()
    least: float | None = None


MAIN_BRANCHES = frozenset({"main", "master"})
FROM_BRANCH = "git branch "  # how the origin of an environment begins that a branch decides
LONGEST = 80  # letters of a branch's name in that of its environment

SETTINGS = (
    Setting("project", ("project.py",), "Files or packages that declare the assets, relative to the project folder."),
    Setting("home", ".oito", "Folder of the catalog, the data and the journals, relative to the project folder."),
    Setting(
        "environment",
        "dev",
        "The environment that commands work in when none is named; on a git branch other than main and master, the branch.",
    ),
    Setting("protected", ("production",), "Environments whose pointers move only when the gates agree."),
    Setting(
        "approvals",
        (),
        'Who must agree before a release, such as "production=1" (people other than the releaser) or "production=cleo".',
    ),
    Setting("now", "", "A fixed moment that the clock shows instead of the machine's time; empty is the real time."),
    Setting("who", "", "Whose name stands in the events; empty is the name of the account."),
    Setting("seed", 0, "The root of all random seeds."),
    Setting("packages", "exact", "How package versions enter fingerprints.", choices=("exact", "minor", "off")),
    Setting("strict", False, "Whether an undeclared read of a file is an error instead of a warning."),
    Setting("online", True, "Whether feature views are kept ready for endpoints after each run."),
    Setting("trusted", (), "Dotted names of your own classes that may be rebuilt from model files."),
    Setting("timezone", "UTC", "Time zone that cron expressions are read in, such as Europe/Lisbon."),
    Setting(
        "missed",
        "once",
        "What becomes of ticks at which nobody was there, where an asset does not say: one run for all, none, or one each.",
        choices=("once", "skip", "all"),
    ),
    Setting("scheduled_runs", 4, "Scheduled runs that may be at work at once; further ticks wait.", least=1),
    Setting(
        "engine",
        "inline",
        "What carries steps out: this process, one after the other, or processes of their own, several at once.",
        choices=("inline", "processes"),
    ),
    Setting("jobs", 0, "Steps that are under way at once in the engine `processes`; 0 is one per core.", least=0),
    Setting("port", 8787, "Port of the pages (oito up)."),
    Setting("serve_port", 8000, "Port of an endpoint (oito serve)."),
    Setting("token", "", "Bearer token that servers ask for; needed to listen beyond this machine."),
    Setting("max_body_bytes", 16 * 1024 * 1024, "Largest request body that a server reads."),
    Setting("keep_runs", "30d", "How long runs, and the versions they made or used, are kept from oito gc."),
    Setting(
        "keep_releases", 0, "Newest releases of each environment that are kept from oito gc; 0 is all of them.", least=0
    ),
    Setting(
        "keep_files", "1h", "How old bytes must be before oito gc deletes them; what a living run may write is kept."
    ),
    Setting(
        "lease_s", 20.0, "Seconds without a sign of life after which another process takes over a step.", least=5.0
    ),
)


@dataclass(frozen=True)
class Settings:
    """Values by name with the place each came from; read a value as an attribute."""

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    root: Path

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def is_told(self, name: str) -> bool:
        """Say whether a person has set it: neither the default nor the git branch decides then."""
        return self.origins[name] != "default" and not self.origins[name].startswith(FROM_BRANCH)

    @property
    def home_folder(self) -> Path:
        """The folder of the catalog, absolute."""
        return self.root / str(self.values["home"])


def load(root: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of the project folder `root`; `overrides` win over everything.

    Raises:
        BadSetting: an unknown name (with the closest known one) or a value of another type than the default's.
    """
    known = {setting.name: setting for setting in SETTINGS}
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    origins = dict.fromkeys(values, "default")
    for origin, table in _tables(root, overrides or {}):
        for name, given in table.items():
            if name not in known:
                raise BadSetting(f"there is no setting {name!r}", where=origin, next=did_you_mean(name, known))
            values[name] = _fitting(known[name], _typed(known[name], given, origin), origin)
            origins[name] = origin
    if origins["environment"] == "default" and (branch := git_branch(root)):
        values["environment"] = branch_environment(branch, values["protected"])
        origins["environment"] = FROM_BRANCH + branch
    return Settings(values, origins, root)


def git_branch(root: Path) -> str:
    """Return the branch that the folder stands on, "" for main, master, a detached head, or no git; git is not asked.

    A work tree of its own, as `git worktree add` makes, has its own branch.
    """
    marker = next((path for folder in (root, *root.parents) if (path := folder / ".git").exists()), None)
    if marker is None:
        return ""
    try:
        folder = marker
        if marker.is_file():  # a work tree or a submodule: one line says where its state lies
            folder = marker.parent / marker.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    name = head.removeprefix("ref: refs/heads/")
    is_none = name == head or name in MAIN_BRANCHES or name.startswith(".")
    return "" if is_none else name


def branch_environment(branch: str, protected: Sequence[str]) -> str:
    """Return the environment of a branch: its name in small letters, digits, dots and dashes; never a protected one.

    Example:
        >>> branch_environment("feature/Late-Flights_2", ()), branch_environment("production", ("production",))
        ('feature-late-flights-2', 'branch-production')
    """
    name = re.sub(r"[^a-z0-9.]+", "-", branch.lower()).strip("-.")[:LONGEST] or "branch"
    return f"branch-{name}" if name in protected else name


def _tables(root: Path, overrides: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    tables: list[tuple[str, Mapping[str, Any]]] = []
    for name, inside in (("pyproject.toml", ("tool", "oito")), ("oito.toml", ())):
        path = root / name
        if path.is_file():
            try:
                table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise BadSetting(f"{name} is not TOML: {error}", where=str(path)) from None
            for key in inside:
                table = table.get(key, {}) if isinstance(table, dict) else {}
            tables.append((name, table))
    prefix = "OITO_"
    names = {setting.name for setting in SETTINGS}
    environ = {k[len(prefix) :].lower(): v for k, v in os.environ.items() if k.startswith(prefix)}
    tables.append(("environment variable", {k: v for k, v in environ.items() if k in names}))
    tables.append(("command", overrides))
    return tables


def _typed(setting: Setting, given: Any, origin: str) -> Any:
    wanted = type(setting.default)
    if isinstance(given, str) and wanted is not str:
        given = _parsed(given, wanted)
    if wanted is tuple and isinstance(given, str | list | tuple):
        return (given,) if isinstance(given, str) else tuple(map(str, given))
    if wanted is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if type(given) is not wanted:
        shown = "list" if wanted is tuple else wanted.__name__
        raise BadSetting(
            f"the setting {setting.name!r} is {given!r}", where=origin, known=f"it takes a {shown}", next=setting.doc
        )
    return given


def _fitting(setting: Setting, value: Any, origin: str) -> Any:
    if setting.choices and value not in setting.choices:
        known = "it is " + ", ".join(setting.choices[:-1]) + f" or {setting.choices[-1]}"
        hint = did_you_mean(value, setting.choices)
        raise BadSetting(f"the setting {setting.name!r} is {value!r}", where=origin, known=known, next=hint)
    if setting.least is not None and not value >= setting.least:
        known = f"it is at least {setting.least:g}"
        raise BadSetting(f"the setting {setting.name!r} is {value!r}", where=origin, known=known, next=setting.doc)
    return value


def _parsed(text: str, wanted: type) -> Any:
    if wanted is bool and text.lower() in {"1", "true", "yes", "0", "false", "no"}:
        return text.lower() in {"1", "true", "yes"}
    if wanted is tuple:
        return [piece.strip() for piece in text.split(",") if piece.strip()]
    try:
        return wanted(text) if wanted in {int, float} else text
    except ValueError:
        return text
