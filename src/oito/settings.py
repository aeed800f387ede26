"""Settings: one list of name, default and sentence, read by code, terminal, pages and manual alike.

A value comes from the environment (`OITO_NAME`), else from `oito.toml`, else from `[tool.oito]` of `pyproject.toml`,
else from the default; where it came from is kept.
"""

import os
import tomllib
from collections.abc import Mapping
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


SETTINGS = (
    Setting("project", ("project.py",), "Files or packages that declare the assets, relative to the project folder."),
    Setting("home", ".oito", "Folder of the catalog, the data and the journals, relative to the project folder."),
    Setting("environment", "dev", "The environment that commands work in when none is named."),
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
    return Settings(values, origins, root)


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
