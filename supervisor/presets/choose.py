"""Settles what a config leaves open, by the library that the bot uses, and says what it assumed.

What the config says is never changed: a preset only fills in.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from supervisor.config import BotConfig, Config, ReadyCheck
from supervisor.config import default_config as plain_config
from supervisor.config import load as plain_load
from supervisor.config.preset import GENERIC, Preset, SessionPlace
from supervisor.core.errors import ConfigError
from supervisor.presets import source
from supervisor.presets.library import known
from supervisor.presets.source import Project

AUTO = "auto"
# What bots write beside their source, and people rarely by hand.
DATA = ("*.json", "*.jsonl", "*.csv", "*.db", "*.db-*", "*.sqlite*", "*.session", "*.session-*")
_GLOB = "*?["


def load(path: Path, data: bytes | None = None) -> Config:
    """Read a config file, and settle what it leaves open. Raises: ConfigError."""
    return settled(plain_load(path, data))


def default_config(root: Path, command: Sequence[str]) -> Config:
    """Return the config of a folder that has no file. Raises: ConfigError."""
    config = plain_config(root, command)
    bots = {name: _without_file(bot) for name, bot in config.bots.items()}
    return settled(replace(config, bots=bots))


def settled(config: Config) -> Config:
    """Return the config with what its bots' libraries settle. Raises: ConfigError."""
    presets = {**config.presets, **{n: p for n, p in known().items() if n not in config.presets}}
    problems = [
        f"bot.{bot.name}.preset: found {bot.preset!r}, needs one of " + ", ".join((AUTO, *presets))
        for bot in config.bots.values()
        if bot.preset not in (AUTO, *presets)
    ]
    if problems:
        raise ConfigError(problems, f"The file is {config.path}.")
    bots = {name: _settled(bot, presets) for name, bot in config.bots.items()}
    return replace(config, bots=bots)


def recognised(project: Project, presets: Mapping[str, Preset]) -> tuple[Preset, str]:
    """Return the first preset that fits what was read of a folder, and by what it was known."""
    for preset in presets.values():
        signs = preset.recognise
        for name in signs.imports:
            if name in project.imports:
                return preset, f"its source imports {name}"
        for name in signs.packages:
            if source.normal(name) in project.packages:
                return preset, f"it depends on {name}"
        for path, text in project.texts.items():
            if any(word in text for word in signs.text):
                return preset, f"{path.name} speaks the contract"
    return GENERIC, ""


def _without_file(bot: BotConfig) -> BotConfig:
    """A folder without a config: nothing is known but what the bot does."""
    return replace(
        bot,
        ready=ReadyCheck(kind="alive", value=GENERIC.process.alive_s),
        ignore=(*bot.ignore, *DATA),
    )


def _settled(bot: BotConfig, presets: Mapping[str, Preset]) -> BotConfig:
    if bot.session is None or bot.preset == GENERIC.name:
        return bot
    project = source.read(bot.cwd)
    if bot.preset == AUTO:
        preset, why = recognised(project, presets)
    else:
        preset, why = presets[bot.preset], ""
    assumed = [f"{preset.about or preset.name} ({why})"] if why else []
    if preset is not GENERIC and "ready" not in bot.given:
        bot = _with_ready(bot, preset)
    if "session_path" not in bot.given and "session_files" not in bot.given:
        bot, where = _with_session(bot, preset.session, project)
        assumed += [where] if where else []
    return replace(
        bot,
        library=preset,
        assumed=tuple(assumed),
        ignore=(*bot.ignore, *preset.process.ignore),
    )


def _with_ready(bot: BotConfig, preset: Preset) -> BotConfig:
    if preset.process.speaks:
        return replace(bot, ready=ReadyCheck(kind="notify"))
    return replace(bot, ready=ReadyCheck(kind="alive", value=preset.process.alive_s))


def _with_session(bot: BotConfig, session: SessionPlace, project: Project) -> tuple[BotConfig, str]:
    named = list(dict.fromkeys(_named_in_source(session, project)))
    if session.place == "parts":
        parts = tuple(dict.fromkeys(name.split("/")[0] for name in (*named, *session.path)))
        return (_with_files(bot, bot.cwd, parts), "") if parts else (bot, "")
    usual = [path for path in session.path if not set(path) & set(_GLOB)]
    found = named or _found(bot.cwd, session.path) or usual
    if not found and session.place == "file" and session.path:
        return _with_files(bot, bot.cwd, session.path), ""
    if not found:
        return bot, ""
    path = Path(os.path.normpath(bot.cwd / found[0]))
    told = f"its session lies in {found[0]}"
    if session.place == "file":
        return _with_files(bot, path.parent, (path.name,)), told
    return replace(bot, session_path=path), told


def _with_files(bot: BotConfig, folder: Path, files: tuple[str, ...]) -> BotConfig:
    return replace(bot, session_path=folder, session_files=files)


def _named_in_source(session: SessionPlace, project: Project) -> list[str]:
    """Return the places that the bot's own source names."""
    found = [
        match[1]
        for text in project.texts.values()
        for regex in session.source
        for match in regex.finditer(text)
    ]
    before, _, after = session.named.partition("{}")
    return [
        name if after and name.endswith(after) else f"{before}{name}{after}"
        for name in found
        if name and name.isprintable()
    ]


def _found(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Return what is there of these patterns, the newest first: an old one may lie beside it."""
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    ordered = sorted(paths, key=_changed, reverse=True)
    return [str(path.relative_to(folder)) for path in ordered]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
