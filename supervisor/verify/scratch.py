"""A copy of the bot's folder in which anything may be done to it. The original is only read.

Left out: the session with all folders that have a dot before their name (unless it is wanted), the
snapshots, and what is made from the source. Environments and node_modules are linked, not copied.
"""

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from supervisor.config import FILE_NAME, BotConfig, Config
from supervisor.core.errors import SupervisorError
from supervisor.presets.choose import load
from supervisor.presets.draft import draft

ROOM_BYTES = 2 << 30
# Behind the first comes the pid of the run that it is of.
_PREFIX, _KEPT = "stillhere-verify-", "stillhere-verified-"
_LINKED = ("node_modules", ".venv", "venv")
_MADE = ("__pycache__", "build", "dist")
_WRITABLE = 0o600  # a copy is there to be changed, also of what only can be read
_TOOLS = (".git", ".cache", ".idea", ".vscode", ".tox", ".nox", ".hypothesis")
# Of a supervisor, not of a bot: each would reach out of the copy.
_OURS = ("alerts", "metrics", "systemd", "logs", "web")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """The copy: `folder` is removed as a whole, `root` in it is the project."""

    folder: Path
    root: Path
    config: Config
    bot: BotConfig
    with_session: bool

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make(config: Config, bot: BotConfig, *, with_session: bool, keep: bool = False) -> Scratch:
    """Copy the folder of a bot. `with_session`: its session, too. `keep`: nobody sweeps it away.

    Raises: SupervisorError where the copy would reach the original, or is too large.
    """
    _refuse_outside(config, bot)
    sweep()
    prefix = _KEPT if keep else f"{_PREFIX}{os.getpid()}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix))  # 0700
    try:
        root = folder / config.root.name
        _copy(config, bot, root, with_session=with_session)
        (root / FILE_NAME).write_text(_config_text(config, bot, root), "utf-8")
        copied = load(root / FILE_NAME)
        return Scratch(
            folder=folder,
            root=root,
            config=copied,
            bot=copied.bots[bot.name],
            with_session=with_session,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def sweep() -> None:
    """Remove what runs left behind that were killed: there are sessions in it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        ours = folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
        if ours and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_outside(config: Config, bot: BotConfig) -> None:
    places = {"cwd": bot.cwd, "session": config.session_dir(bot)}
    for name, path in places.items():
        if not _inside(path, config.root):
            raise SupervisorError(
                f"bot.{bot.name}: its {name} ({path}) lies outside of {config.root}, and a copy "
                "of the folder would use the original",
                "try the live bot instead: stillhere verify --live",
            )


def _inside(path: Path, root: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _copy(config: Config, bot: BotConfig, root: Path, *, with_session: bool) -> None:
    """Copy what is the bot's, no more than `ROOM_BYTES`."""
    named = {bot.cwd, *bot.watch, config.session_dir(bot)}
    root.mkdir(mode=0o700)
    room_bytes = ROOM_BYTES
    waiting = [config.root]
    while waiting:
        for source in sorted(waiting.pop().iterdir()):
            target = root / source.relative_to(config.root)
            if _left_out(source, config, bot, with_session=with_session):
                continue
            if source.name in _LINKED:
                target.symlink_to(source.resolve())
            elif source.is_symlink() and (leads := _led(source, config.root, root)) is not None:
                target.symlink_to(leads)
            elif source.is_dir():  # no link: one to a folder outside was refused
                made = _is_made(source.name, hidden=not with_session)
                if not made or _leads(source, named):
                    target.mkdir(mode=0o700)
                    waiting.append(source)
            elif source.is_file():
                room_bytes -= source.stat().st_size
                if room_bytes < 0:
                    raise SupervisorError(
                        f"{config.root} holds more than {ROOM_BYTES >> 30} GB, too much to copy",
                        "try the live bot instead: stillhere verify --live",
                    )
                with suppress(FileNotFoundError):  # the bot runs, and removed it meanwhile
                    shutil.copy2(source, target)
                    target.chmod(target.stat().st_mode | _WRITABLE)


def _led(link: Path, old: Path, new: Path) -> Path | None:
    """Return where the copy of a link leads; None for one to a file outside, which is copied.

    Raises: SupervisorError for one to a folder outside: the bot would write into the original.
    """
    real = Path(os.path.realpath(link))
    if _inside(real, old):
        return new / real.relative_to(os.path.realpath(old))
    if real.is_dir():
        raise SupervisorError(
            f"{link} leads to {real}, outside of {old}, and a copy would use the original",
            "try the live bot instead: stillhere verify --live",
        )
    return None if real.is_file() else link.readlink()


def _is_made(name: str, *, hidden: bool) -> bool:
    """Say whether a folder of that name is made from the source, or is of some tool.

    `hidden`: each with a dot before its name is. Beside a copied session it may be what that
    session belongs to.
    """
    tool = name in _TOOLS or name.endswith("_cache")
    return name in _MADE or (name.startswith(".") and (hidden or tool))


def _left_out(source: Path, config: Config, bot: BotConfig, *, with_session: bool) -> bool:
    """Say whether this is a session that is not wanted, or what we keep of one."""
    if source in (config.snapshots, config.state):
        return True
    for each in config.bots.values():
        if each.session is None or (with_session and each.name == bot.name):
            continue
        place = config.session_dir(each)
        if not each.session_files and source == place:
            return True
        if source.parent == place and any(source.match(name) for name in each.session_files):
            return True
    return False


def _leads(source: Path, named: set[Path]) -> bool:
    """Say whether something that the config names lies there."""
    return any(path.is_relative_to(source) for path in named)


def _config_text(config: Config, bot: BotConfig, root: Path) -> str:
    """Return the copy's config: this bot and its companions, and nothing that reaches out."""
    text = config.path.read_text("utf-8-sig") if config.path.is_file() else draft(config)
    document: dict[str, Any] = _moved(tomllib.loads(text), str(config.root), str(root))
    for name in _OURS:
        document.pop(name, None)
    document["supervisor"] = _places(config)
    document["bot"] = {
        name: {key: value for key, value in table.items() if key != "user"}
        for name, table in document["bot"].items()
        if name == bot.name or config.bots[name].session is None
    }
    return tomli_w.dumps(document)


def _places(config: Config) -> dict[str, str]:
    """Return where the copy keeps its things: where the original does, if that is inside."""
    usual = {"sessions": "sessions", "snapshots": ".session-cache", "state": "session-state.json"}
    return {
        key: str(path.relative_to(config.root)) if _inside(path, config.root) else usual[key]
        for key in usual
        if isinstance(path := getattr(config, key), Path)
    }


def _moved(value: Any, old: str, new: str) -> Any:
    """Return a TOML value in which the copy's folder stands for the original's."""
    if isinstance(value, str):  # but /srv/bot is no part of /srv/bots, nor of /old/srv/bot
        return re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w.-])", lambda _: new, value)
    if isinstance(value, Mapping):
        return {key: _moved(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, old, new) for item in value]
    return value
