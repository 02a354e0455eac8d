"""Settles what a config leaves open, by the library that the bot uses, and says what it assumed.

What the config says is never changed: a preset only fills in. Without a config file there is
nothing that a person could have said, so more is assumed, and all of it is told.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from supervisor.config import BotConfig, Config, ReadyCheck, places
from supervisor.config import default_config as plain_config
from supervisor.config import load as plain_load
from supervisor.config.preset import GENERIC, Preset, SessionPlace
from supervisor.core.errors import ConfigError, SupervisorError
from supervisor.presets import place, source
from supervisor.presets.library import known
from supervisor.presets.source import Project
from supervisor.session.proof.profile import KNOWN as KINDS
from supervisor.session.storage.store import Store

AUTO = "auto"
# What people write by hand: bots put their data beside it, all the time.
WRITTEN = (
    *(f"*{suffix}" for suffix in source.SUFFIXES),
    *("*.go", "*.rs", "*.rb", "*.php", "*.java", "*.kt", "*.cs", "*.lua", "*.pl", "*.ex", "*.exs"),
    *("*.sh", "*.sql", "*.graphql", "*.html", "*.css", "*.ejs", "*.hbs"),
    *("*.toml", "*.yaml", "*.yml", "package.json", "tsconfig*.json", ".env"),
)  # fmt: skip
_GLOB = "*?["
_NAMED_MAX = 6


def load(path: Path, data: bytes | None = None) -> Config:
    """Read a config file, and settle what it leaves open. Raises: ConfigError."""
    return settled(plain_load(path, data))


def default_config(root: Path, command: Sequence[str]) -> Config:
    """Return the config of a folder that has no file: one bot. Raises: ConfigError."""
    return settled(plain_config(root, command), alone=True)


def settled(config: Config, *, alone: bool = False) -> Config:
    """Return the config with what its bots' libraries settle; `alone`: there is no file.

    Raises: ConfigError.
    """
    # A person's own ones are tried first, and may replace one of ours.
    presets = {**config.presets, **{n: p for n, p in known().items() if n not in config.presets}}
    problems = [*_unknown_presets(config, presets), *_unknown_kinds(config)]
    if problems:
        raise ConfigError(problems, f"The file is {config.path}.")
    bots = {
        name: _settled(
            bot,
            presets,
            alone=alone,
            usual=_is_filled(config, bot),
            kept=partial(_kept, config, bot),
        )
        for name, bot in config.bots.items()
    }
    config = replace(config, bots=bots)
    if problems := [f"{config.path.name}: {problem}" for problem in places.problems(config)]:
        raise ConfigError(problems, f"Say where it lies, in {config.path}.")
    return config


def _is_filled(config: Config, bot: BotConfig) -> bool:
    """Return whether something lies where a session lies by default."""
    if bot.session is None:
        return False
    try:
        return any((config.sessions / f"session-{bot.session}").iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it may be: then it is not looked for elsewhere


def _unknown_presets(config: Config, presets: Mapping[str, Preset]) -> list[str]:
    return [
        f"{config.path.name}: bot.{bot.name}.preset: found {bot.preset!r}, needs one of "
        + ", ".join((AUTO, *presets))
        for bot in config.bots.values()
        if bot.preset not in (AUTO, *presets)
    ]


def _unknown_kinds(config: Config) -> list[str]:
    return [
        f"{config.path.name}: preset.{name}.session.kind: found {preset.session.kind!r}, "
        f"needs one of {', '.join(KINDS)}"
        for name, preset in config.presets.items()
        if preset.session.kind not in KINDS
    ]


def recognised(project: Project, presets: Mapping[str, Preset]) -> tuple[Preset, str]:
    """Return the first preset that fits what was read of a folder, and by what it was known."""
    for preset in presets.values():
        signs = preset.recognise
        for path, text in project.texts.items():
            if any(word in text for word in signs.text):
                return preset, f"see {path.name}"
        for name in signs.imports:
            if name in project.imports:
                return preset, f"its source imports {name}"
        for name in signs.packages:
            if source.normal(name) in project.packages:
                return preset, f"it depends on {name}"
    return presets[GENERIC.name], ""


def _kept(config: Config, bot: BotConfig) -> frozenset[str]:
    """Return of what first-level names the newest snapshot has more than source."""
    with suppress(OSError, SupervisorError):  # then nothing is known of it
        snapshots = Store(config.snapshots).listing(str(bot.session)).snapshots
        entries = snapshots[-1].files if snapshots else ()
        return frozenset(
            entry.path.partition("/")[0]
            for entry in entries
            if entry.seen.kind == "file" and not entry.path.endswith(source.SUFFIXES)
        )
    return frozenset()


def _settled(
    bot: BotConfig,
    presets: Mapping[str, Preset],
    *,
    alone: bool,
    usual: bool,
    kept: Callable[[], frozenset[str]],
) -> BotConfig:
    """Return one bot as its library has it; `usual`: its session lies where it does by default.

    `kept`: which names were of its session before, and not as source.
    """
    if bot.session is None:
        return bot
    given = presets.get(bot.preset, GENERIC).session
    asks = bot.preset == AUTO or given.source or given.folder_source
    project = source.read(bot.cwd, bot.watch, bot.command) if asks else source.NOTHING
    preset, why = presets.get(bot.preset, GENERIC), ""
    if bot.preset == AUTO:
        preset, why = recognised(project, presets)
    generic = preset.name == GENERIC.name
    told = alone or (why and not preset.process.speaks)
    assumed = [f"{preset.about}{f': {why}' if why else ''}"] if told else []
    if generic and not alone:
        return replace(bot, library=preset)  # all else is as the config says, or by default
    bot = replace(bot, library=preset, ignore=_together(bot.ignore, preset.process.ignore))
    if not {"watch", "watch_only"} & bot.given and (alone or not preset.process.speaks):
        program = (Path(word).name for word in bot.command if (bot.cwd / word).is_file())
        bot = replace(bot, watch_only=(*WRITTEN, *program))
    if "ready" not in bot.given:
        bot = replace(bot, ready=_ready(preset))
    if not usual and not {"session_path", "session_files"} & bot.given:
        bot, where = _with_session(bot, preset.session, project, kept)
        assumed += [where] if where else []
    if bot.settle_s is None:
        bot = replace(bot, settle_s=KINDS[preset.session.kind].settle_s or None)
    return replace(bot, assumed=tuple(assumed))


def _together(*several: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for some in several for each in some))


def _ready(preset: Preset) -> ReadyCheck:
    if preset.process.speaks:
        return ReadyCheck(kind="notify")
    return ReadyCheck(kind="alive", value=preset.process.alive_s)


def _with_session(
    bot: BotConfig, session: SessionPlace, project: Project, kept: Callable[[], frozenset[str]]
) -> tuple[BotConfig, str]:
    """Return the bot with the place of its session, and that in words."""
    named = place.named(session, project, bot.cwd)
    if session.place == "parts":
        # One that lies elsewhere is no part of this folder.
        inside = [name for name in named if not name.startswith(("/", "../"))]
        names = dict.fromkeys(name.split("/")[0] for name in (*inside, *session.path))
        # What a bot writes into its session may look like source, too.
        doubtful = [name for name in names if source.holds_source(bot.cwd / name)]
        never = {*doubtful} - kept() if doubtful else ()
        parts = tuple(name for name in names if name not in never)
        if (linked := _linked(bot.cwd, parts)) is not None:
            where, files = linked
            told = f"its session lies behind a link, in {os.path.relpath(where, bot.cwd)}"
            return replace(bot, session_path=where, session_files=files), told
        return _with_files(bot, bot.cwd, parts), _told(bot.cwd, parts)
    # Of several that it names, one that is there.
    named.sort(key=lambda name: not (bot.cwd / name).exists())
    within = place.folder(session, project, bot.cwd)
    usual = [path for path in session.path if not set(path) & set(_GLOB)]
    there = _found(bot.cwd / within, session.path, session.kind)
    found = named or [os.path.normpath(Path(within, name)) for name in there or usual]
    if not found:
        if session.place == "file" and session.path:
            return _with_files(bot, bot.cwd, session.path), _told(bot.cwd, session.path)
        return bot, ""
    path = Path(os.path.normpath(bot.cwd / found[0]))
    if session.place == "file":
        return _with_files(bot, path.parent, (path.name,)), f"its session is {found[0]}"
    return replace(bot, session_path=path), f"its session lies in {found[0]}"


def _linked(folder: Path, parts: tuple[str, ...]) -> tuple[Path, tuple[str, ...]] | None:
    """Return where the session lies, if all that is there of it is one link to elsewhere.

    A link among other files is kept as what it is: a link.
    """
    found = _found(folder, parts)
    path = folder / found[0] if len(found) == 1 else folder
    if not path.is_symlink() or folder.is_relative_to(end := Path(os.path.realpath(path))):
        return None
    if path.is_dir():
        return path, ()
    return (end.parent, (end.name,)) if path.is_file() else None


def _told(folder: Path, parts: tuple[str, ...]) -> str:
    """Say of what a session consists: of what is there, or of what it would be called."""
    if there := sorted(_found(folder, parts)):
        return f"its session is {', '.join(there)}"
    more = f", and {len(parts) - _NAMED_MAX} more" if len(parts) > _NAMED_MAX else ""
    return f"its session is what will be called {', '.join(parts[:_NAMED_MAX])}{more}"


def _with_files(bot: BotConfig, folder: Path, files: tuple[str, ...]) -> BotConfig:
    return replace(bot, session_path=folder, session_files=files)


def _found(folder: Path, patterns: Sequence[str], kind: str = "generic") -> list[str]:
    """Return what is there of these patterns, in their order, and what is of this kind first."""
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    fits = KINDS[kind].fits
    ordered = sorted(dict.fromkeys(paths), key=lambda path: not fits(path))
    return [str(path.relative_to(folder)) for path in ordered]
