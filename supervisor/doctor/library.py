"""The bot's library: is it there, and was the version that is installed ever read for a preset."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from supervisor.config import BotConfig, interpreter
from supervisor.doctor.findings import Finding, Findings, line
from supervisor.doctor.ground import Ground
from supervisor.doctor.life import edited
from supervisor.presets import source
from supervisor.session.files import read_file

_BYTES_MAX = 1 << 20
# What the presets were read in, as the first lines of presets/known/*.toml have it.
READ = {
    "baileys": ("6.17.16", "7.0.0-rc.9"),
    "whatsapp-web.js": ("1.34.7",),
    "neonize": ("0.5.2",),
    "telethon": ("1.45",),
    "matrix-nio": ("0.26",),
}
_OF_NODE = ("baileys", "whatsapp-web.js")


def library(ground: Ground, bot: BotConfig) -> Findings:
    """A preset whose library is not used, not installed, or of a version that was never read."""
    preset = bot.library
    packages = preset.recognise.packages
    if not packages:
        return
    project = source.read(bot.cwd, bot.watch, bot.command)
    known = {source.normal(name) for name in packages}
    used = known & project.packages or set(preset.recognise.imports) & project.imports
    installed = next(_installed(ground, bot), None)
    if not used and installed is None:
        yield Finding(
            severity="problem",
            seen=f"its preset is {preset.name}, and it does not use that library",
            cause="neither its source nor its list of packages names it; its session and its words"
            " are taken to be that library's all the same",
            fix="have it recognised, or name the right preset",
            edit=edited(bot, "preset", "auto"),
        )
    elif installed is None:
        yield Finding(
            severity="problem",
            seen=f"{preset.name} is not installed",
            cause="its source uses it, and it is in no folder where that is looked for",
            fix="install it",
            commands=_install(ground, bot, min(used)),
        )
    elif preset.name in READ and not _was_read(preset.name, installed):
        yield Finding(
            severity="note",
            seen=f"{preset.name} {installed} is installed, and the preset was read in"
            f" {' and '.join(READ[preset.name])}",
            cause="what it prints, and the files of its session, may have changed since",
            fix="see whether `stillhere status` shows its device and `stillhere events` its"
            " states; if not, a preset of your own helps (docs/presets.md)",
        )


def _install(ground: Ground, bot: BotConfig, package: str) -> tuple[str, ...]:
    """Return the commands that install a bot's library."""
    if _is_node(bot):
        listed = bot.cwd / "package-lock.json"
        words = (
            ["ci"] if listed.exists() else ["install", *([] if _lists(bot, package) else [package])]
        )
        return (line("npm", "--prefix", bot.cwd, *words),)
    root = ground.settled.root
    python = interpreter(bot, root)
    if python in (None, sys.executable) and bot.command[0] in ("python", "python3"):
        own = root / ".venv"  # what lies there is what `python` means then
        made = line("python3", "-m", "venv", own)
        return made, line(own / "bin" / "python", "-m", "pip", "install", package)
    return (line(python or "python3", "-m", "pip", "install", package),)


def _lists(bot: BotConfig, package: str) -> bool:
    return source.normal(package) in source.read(bot.cwd, (), ()).packages


def _is_node(bot: BotConfig) -> bool:
    return bot.library.name in _OF_NODE or (bot.cwd / "package.json").exists()


def _installed(ground: Ground, bot: BotConfig) -> Iterator[str]:
    """Yield the versions of the library that are installed where the bot looks for it."""
    for package in bot.library.recognise.packages:
        for folder in (bot.cwd, *bot.cwd.parents):
            listed = folder / "node_modules" / package / "package.json"
            with suppress(OSError, ValueError, RecursionError):
                found = json.loads(read_file(listed, _BYTES_MAX))
                yield str(found.get("version"))
    wanted = {source.normal(name) for name in bot.library.recognise.packages}
    for folder in _site_packages(ground, bot):
        for path in folder.glob("*.dist-info"):
            name, _, version = path.name.removesuffix(".dist-info").partition("-")
            if source.normal(name) in wanted:
                yield version


def _site_packages(ground: Ground, bot: BotConfig) -> Iterator[Path]:
    """Yield the folders in which the bot's Python looks for its libraries."""
    python = interpreter(bot, ground.settled.root)
    if python is None:
        return
    own = Path(python).parent.parent
    for prefix in (own, ground.world.home / ".local", Path("/usr/local"), Path("/usr")):
        yield from prefix.glob("lib/python3*/site-packages")
        yield from prefix.glob("lib/python3*/dist-packages")
        if (prefix / "pyvenv.cfg").exists():
            return  # an environment of its own looks nowhere else, as a rule


def _was_read(name: str, version: str) -> bool:
    """Return whether a version is one of those that were read, or differs only in its last part."""
    return _series(version) in {_series(each) for each in READ[name]}


def _series(version: str) -> tuple[str, ...]:
    return tuple(re.split(r"[.\-+]", version)[:2])
