"""Reads config.toml into a `Config`, or says everything that is wrong with it at once."""

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from supervisor.config import keys
from supervisor.config.keys import Key
from supervisor.config.kinds import Wrong, shown
from supervisor.config.model import (
    AlertsConfig,
    BotConfig,
    Config,
    LimitsConfig,
    LogsConfig,
    MetricsConfig,
    RestartConfig,
    SnapshotsConfig,
    SystemdConfig,
    VerifyConfig,
    WebConfig,
)
from supervisor.config.places import problems as places_problems
from supervisor.config.preset import Output, Preset, Process, Recognise, SessionPlace
from supervisor.core.errors import ConfigError
from supervisor.core.policy import Keep

FILE_NAME = "config.toml"
# A name becomes part of file names, log lines and commands.
BOT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
PRESET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

# Many bots call their own settings so.
_OTHERS = (
    " Is it the bot's own? Then: stillhere init --print -- COMMAND > stillhere.toml, and:"
    " stillhere dev --config stillhere.toml"
)


def load(path: Path, data: bytes | None = None) -> Config:
    """Read a configuration file; `data`: what it was like, where that is known.

    Raises: ConfigError with every problem: file, key, what was found, what is allowed.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 - a linked file keeps its own folder
    reader = _Reader(path)
    document = _parse(path, data)
    config = reader.config(document)
    if reader.problems:
        raise ConfigError(reader.problems, f"The file is {path}.{_OTHERS * _is_others(document)}")
    return config


def _is_others(document: dict[str, Any]) -> bool:
    """Return whether a file has not one bot of ours in it."""
    bots = document.get("bot")
    return not (isinstance(bots, dict) and any(isinstance(bot, dict) for bot in bots.values()))


def find(start: Path) -> Path | None:
    """Return the nearest config.toml in `start` or a folder above it."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    return None


def default_config(root: Path, command: Sequence[str]) -> Config:
    """Return the configuration of a folder that has no file: one bot, which watches the folder.

    Raises: ConfigError if `command` is empty.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - as in load()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", root.name or Path((*command, "bot")[0]).name).strip("-")
    reader = _Reader(root / FILE_NAME)
    config = reader.config({"bot": {name[:64] or "bot": {"command": list(command)}}})
    if reader.problems:
        raise ConfigError(reader.problems, "Give the bot's command after --.")
    return config


def load_preset(path: Path) -> Preset:
    """Read a preset's own file: its name is the file's. Raises: ConfigError."""
    reader = _Reader(path)
    preset = reader.preset(path.stem, _parse(path, None), "")
    if reader.problems:
        raise ConfigError(reader.problems, f"The file is {path}.")
    return preset


def _parse(path: Path, data: bytes | None) -> dict[str, Any]:
    try:
        # Some editors still write a byte order mark, which TOML does not know.
        text = (path.read_bytes() if data is None else data).decode("utf-8-sig")
        document = tomllib.loads(text)
        too_large = tuple(_too_large("", document))
    except FileNotFoundError as error:
        hint = "see docs/config.md; a file with [bot.NAME] and a command is enough"
        raise ConfigError([f"{path.name}: there is no such file: {path}"], hint) from error
    except OSError as error:
        raise ConfigError([f"{path.name}: can't be read: {error.strerror}: {path}"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path.name}: line {line}: not UTF-8 text"], str(path)) from error
    except tomllib.TOMLDecodeError as error:
        problem = _printable(_located(str(error), text))
        raise ConfigError([f"{path.name}: {problem}"], str(path)) from error
    except ValueError as error:  # a number of more digits than Python reads
        raise ConfigError([f"{path.name}: {error}"], str(path)) from error
    except RecursionError as error:
        raise ConfigError([f"{path.name}: nested too deeply"], str(path)) from error
    if too_large:
        needs = "found a whole number of more than 64 bits, which TOML does not have"
        problems = [f"{path.name}: {_printable(where)}: {needs}" for where in too_large]
        raise ConfigError(problems, str(path))
    return document


def _too_large(where: str, value: object) -> Iterator[str]:
    """Yield where such numbers are: Python reads any, but can't print or measure by each."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _too_large(f"{where}{'.' if where else ''}{key}", item)
        case list():
            for item in value:
                yield from _too_large(where, item)
        case int() if not -(2**63) <= value < 2**63:
            yield where


def _located(message: str, text: str) -> str:
    # tomllib says where only at the end of its message, and nowhere for the end of the file.
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found:
        return f"line {found[2]}, column {found[3]}: {found[1]}"
    what = message.removesuffix(" (at end of document)")
    line = text.count("\n") + 1
    column = len(text) - (text.rfind("\n") + 1) + 1
    return f"line {line}, column {column}: {what} (the file ends here)"


def _printable(text: str) -> str:
    """Return a text that does nothing to a terminal: the file may be somebody else's work."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Reader:
    """Reads the parsed tables of one file and collects what is wrong with them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = path.parent
        self.problems: list[str] = []
        self.bots: dict[str, BotConfig] = {}

    def config(self, document: Mapping[str, Any]) -> Config:
        self._unknown("", document, (*keys.TABLES, "bot", "preset"))
        places, logs, metrics, web, alerts, systemd = (
            self._table(name, document.get(name, {}), known) for name, known in keys.TABLES.items()
        )
        if len(set(places.values())) < len(places):
            self._say("supervisor: sessions, snapshots and state need a different path each")
        tables = document.get("bot", {})
        if not isinstance(tables, dict):
            self._found("bot", tables, "a table for each bot: [bot.NAME]")
        elif not tables:
            self._say("there is no bot: needs a table [bot.NAME] with a command")
        else:
            for name, table in tables.items():
                self._bot(name, table)
        config = Config(
            path=self.path,
            root=self.root,
            logs=LogsConfig(**logs),
            metrics=MetricsConfig(**metrics),
            web=WebConfig(**web),
            alerts=AlertsConfig(**alerts),
            systemd=SystemdConfig(**systemd),
            bots=self.bots,
            presets=self._presets(document.get("preset", {})),
            **places,
        )
        for problem in places_problems(config):
            self._say(problem)
        return config

    def _presets(self, tables: object) -> dict[str, Preset]:
        if not isinstance(tables, dict):
            self._found("preset", tables, "a table for each preset: [preset.NAME]")
            return {}
        return {name: self.preset(name, table, f"preset.{name}") for name, table in tables.items()}

    def preset(self, name: str, table: object, where: str) -> Preset:
        """Read one preset's tables."""
        if not PRESET_NAME.fullmatch(name):
            needs = "a name of at most 64 letters, digits, _ . and -, which does not start with -"
            self._found("preset", name, needs)
        if not isinstance(table, dict):
            self._found(where or name, table, "a table for each preset: [preset.NAME]")
            table = {}
        self._unknown(where, table, (*keys.PRESET, *keys.PRESET_TABLES), keys.PRESET_TABLES)
        inner = {
            key: self._table(f"{where}.{key}".lstrip("."), table.get(key, {}), known)
            for key, known in keys.PRESET_TABLES.items()
        }
        return Preset(
            name=name,
            recognise=Recognise(**inner["recognise"]),
            session=SessionPlace(**inner["session"]),
            output=Output(**inner["output"]),
            process=Process(**inner["process"]),
            **self._values(where, table, keys.PRESET),
        )

    def _bot(self, name: str, table: object) -> None:
        where = f"bot.{name}"
        if not BOT_NAME.fullmatch(name):
            needs = "a name of at most 64 letters, digits, _ and -, which does not start with -"
            self._found("bot", name, needs)
        if not isinstance(table, dict):
            self._found(where, table, "a table for each bot: [bot.NAME]")
            return
        self._unknown(where, table, (*keys.BOT, *keys.BOT_TABLES), keys.BOT_TABLES)
        values = self._values(where, table, keys.BOT)
        inner = {
            key: self._table(f"{where}.{key}", table.get(key, {}), known)
            for key, known in keys.BOT_TABLES.items()
        }
        if "command" not in table:
            values["command"] = self._usual_command(where)
        if "session" not in table:
            values["session"] = name
        snapshots = inner["snapshots"]
        keep = Keep(**{age: snapshots.pop(f"keep_{age}") for age in ("last", "hourly", "daily")})
        self.bots[name] = BotConfig(
            name=name,
            snapshots=SnapshotsConfig(keep=keep, **snapshots),
            restart=RestartConfig(**inner["restart"]),
            limits=LimitsConfig(**inner["limits"]),
            verify=VerifyConfig(**inner["verify"]),
            given=frozenset(table),
            **values,
        )

    def _usual_command(self, where: str) -> tuple[str, ...]:
        if not any((self.root / file).is_file() for file in ("bot/__main__.py", "bot.py")):
            self._say(f"{where}.command: missing, needs {keys.BOT['command'].kind.needs}")
        return ("python", "-m", "bot")

    def _table(self, where: str, table: object, known: Mapping[str, Key]) -> dict[str, Any]:
        if not isinstance(table, dict):
            self._found(where, table, f"a table: [{where}]")
            table = {}
        self._unknown(where, table, known)
        return self._values(where, table, known)

    def _values(
        self, where: str, table: Mapping[str, object], known: Mapping[str, Key]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, key in known.items():
            value = table.get(name, key.default)
            try:
                values[name] = None if value is None else key.kind.read(value, self.root)
            except Wrong as wrong:
                why = f"{wrong.why}; " if wrong.why else ""
                self._found(f"{where}.{name}", wrong.found, f"{key.kind.needs}", why)
                # A default stands in, so that the rest of the file is read and judged too.
                default = key.default
                values[name] = None if default is None else key.kind.read(default, self.root)
        return values

    def _unknown(
        self,
        where: str,
        table: Mapping[str, object],
        known: Collection[str],
        inner: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        for name in table:
            if name in known:
                continue
            nested = [f"{part}.{name}" for part, names in (inner or {}).items() if name in names]
            import difflib  # noqa: PLC0415 - only for a mistake

            close = nested or difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            self._say(f"unknown key {where}{'.' if where else ''}{name}; {hint}")

    def _found(self, where: str, value: object, needs: str, why: str = "") -> None:
        self._say(f"{where}: found {shown(value)}, {why}needs {needs}")

    def _say(self, problem: str) -> None:
        self.problems.append(f"{self.path.name}: {_printable(problem)}")
