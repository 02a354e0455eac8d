"""What a unit has to know of this machine: who runs it, with which programs, what lies where.

It only looks; unit.py writes from it. What is not found out here (a library that a bot loads from
somewhere else) a person adds with `systemctl edit`.
"""

import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path

from supervisor.config import BotConfig, Config, resolved_command
from supervisor.core.errors import SupervisorError

# The oldest that a unit is written for, and for whom none is found: Debian 12.
OLDEST = 252
# systemd makes folders in these, with their owner, before a service starts.
MANAGED = {Path("/var/lib"): "StateDirectory", Path("/var/log"): "LogsDirectory"}
_STATE = Path("/var/lib")
# Libraries that start a browser: in package.json, or in what a Python project requires.
_BROWSERS = re.compile(
    r"whatsapp-web\.js|puppeteer|playwright|selenium|pyppeteer|chromium|chromedp|wppconnect"
    r"|venom-bot|open-wa",
    re.IGNORECASE,
)
_MANIFESTS = ("package.json", "requirements.txt", "pyproject.toml", "setup.cfg", "Pipfile")
_MANIFEST_BYTES = 256 * 1024
# Where browsers lie that a library has downloaded, and the variable that names the place.
BROWSER_CACHES = {
    "PUPPETEER_CACHE_DIR": ".cache/puppeteer",
    "PLAYWRIGHT_BROWSERS_PATH": ".cache/ms-playwright",
}
_USUAL_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Needs(Flag):
    """What the bots cannot live without."""

    NOTHING = 0
    JIT = auto()  # memory that is written and then executed
    BROWSER = auto()  # a browser's own sandbox
    USERS = auto()  # to become another user


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a unit will run. `user` "": a dynamic one, of the service alone.

    `reads` are the folders of programs and code, `kept` those among them that no program has to
    write; `path` are folders of PATH beside the usual.
    `browsers`: variables that name a folder of browsers. `manager`: of one user, not the system's.
    """

    name: str
    program: tuple[str, ...]
    python: str
    version: int
    user: str
    home: Path
    manager: bool
    needs: Needs
    reads: tuple[Path, ...]
    kept: tuple[Path, ...]
    path: tuple[str, ...]
    browsers: tuple[tuple[str, Path], ...] = ()


def unit_name(folder: Path) -> str:
    """Return the service's name for a project's folder, such as "stillhere-bots"."""
    words = re.sub(r"[^A-Za-z0-9_]+", "-", folder.name).strip("-")
    return f"stillhere-{words or 'bots'}"


def systemd_version() -> int:
    """Return the version of systemd that is installed, else the oldest known."""
    try:
        done = subprocess.run(
            ["systemctl", "--version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return OLDEST
    found = re.match(r"systemd (\d+)", done.stdout)
    return int(found[1]) if found else OLDEST


def owner(config_path: Path) -> str:
    """Return whose the project is, and so who runs it. Raises: SupervisorError, OSError."""
    uid = config_path.parent.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError as error:
        raise SupervisorError(
            f"{config_path.parent} belongs to uid {uid}, which has no name",
            "say who shall run the bots: --as USER",
        ) from error


def home_of(user: str, name: str) -> Path:
    """Return the home of who runs it: "~" in the config means that one.

    Raises: SupervisorError if there is no such user.
    """
    if not user:
        return _STATE / name
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError as error:
        raise SupervisorError(
            f"there is no user {user!r}",
            f"make one: useradd --system --create-home {user}",
        ) from error


def runs_as(config: Config, user: str, *, asked: bool) -> str:
    """Return who runs it: `user`, or "" (nobody else's, dynamic) where nothing needs root.

    Raises: SupervisorError where a bot's own user needs root, and `user` is `asked` for.
    """
    others = [bot for bot in config.bots.values() if bot.user]
    if others:
        if asked and user != "root":
            raise SupervisorError(
                f"bot.{others[0].name} has a user of its own: only root can start it",
                "--as root, or no `user` in the config",
            )
        return "root"
    if user != "root" or asked:
        return user
    managed = all(any(map(path.is_relative_to, MANAGED)) for path in written(config))
    return "" if managed else user


def written(config: Config) -> list[Path]:
    """Return the folders that the service writes into, without the bots' working folders."""
    found = [config.sessions, config.snapshots, config.state.parent]
    if config.logs.folder is not None:
        found.append(config.logs.folder)
    if config.metrics.listen.startswith("unix:"):
        found.append(Path(config.metrics.listen.removeprefix("unix:")).parent)
    parts = config.session_parts()
    for session_id, folder in config.sessions_elsewhere().items():
        # What comes back is made ready beside the session: among its neighbours, or its files'.
        found.append(folder if session_id in parts else folder.parent)
    return list(dict.fromkeys(found))


def look(config: Config, *, name: str, user: str, manager: bool) -> Place:
    """Find out the rest. `user` as `owner` returns it."""
    home = Path.home() if manager else home_of(user, name)
    bots = list(config.bots.values())
    programs = [path for bot in bots if (path := _program(bot, config.root)) is not None]
    reads = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3]]
    reads += [config.root, config.path.resolve().parent, *(bot.cwd for bot in bots)]
    for path in programs:
        reads += _prefixes(path)
    needs = _needs(bots, config.root)
    browsers: list[tuple[str, Path]] = []
    if Needs.BROWSER in needs:
        browsers = [
            (variable, home / place)
            for variable, place in BROWSER_CACHES.items()
            if (home / place).is_dir()
        ]
        reads += [place for _, place in browsers]
    return Place(
        name=name,
        program=_ourselves(),
        python=sys.executable,
        version=systemd_version(),
        user=user,
        home=home,
        manager=manager,
        needs=needs,
        reads=tuple(dict.fromkeys(reads)),
        kept=tuple(path for path in dict.fromkeys((*reads, *_libraries(bots))) if _is_kept(path)),
        path=_unusual(programs, bots),
        browsers=tuple(browsers),
    )


def _libraries(bots: Iterable[BotConfig]) -> list[Path]:
    return [bot.cwd / name for bot in bots for name in (".venv", "venv", "node_modules", ".git")]


def _is_kept(path: Path) -> bool:
    known = path.name in ("node_modules", ".git")
    return path.is_dir() if known else (path / "pyvenv.cfg").is_file()


def _ourselves() -> tuple[str, ...]:
    script = Path(sys.executable).with_name("stillhere")
    if os.access(script, os.X_OK):
        return (str(script),)
    # -P: the project may have a folder of our package's name.
    return (sys.executable, "-P", "-m", "supervisor")


def _program(bot: BotConfig, root: Path) -> Path | None:
    """Return the bot's program, as the one who installs finds it; None: not found."""
    word = resolved_command(bot, root)[0]
    found = word if "/" in word else shutil.which(word, path=bot.env.get("PATH"))
    return None if found is None else Path(found)


def _prefixes(program: Path) -> list[Path]:
    """Return the trees that a program may load from: of its links, and of the file itself."""
    found: list[Path] = []
    for path in (program, program.resolve()):
        folder = path.parent
        found.append(folder.parent if folder.name == "bin" else folder)
    return found


def _unusual(programs: Iterable[Path], bots: Iterable[BotConfig]) -> tuple[str, ...]:
    """Return the folders without which a bare name would not be found."""
    bare = {bot.command[0] for bot in bots if "/" not in bot.command[0]} - {"python", "python3"}
    folders = [str(path.parent) for path in programs if path.name in bare]
    return tuple(dict.fromkeys(folder for folder in folders if folder not in _USUAL_PATH))


def _needs(bots: Iterable[BotConfig], root: Path) -> Needs:
    needs = Needs.NOTHING
    for bot in bots:
        if bot.user:
            needs |= Needs.USERS
        if not _is_cpython(bot):
            needs |= Needs.JIT
        if _wants_browser(bot, root):
            needs |= Needs.BROWSER | Needs.JIT
    return needs


def _is_cpython(bot: BotConfig) -> bool:
    # PyPy compiles as it runs; of what we do not know we assume it.
    return Path(bot.command[0]).name.startswith("python")


def _wants_browser(bot: BotConfig, root: Path) -> bool:
    if bot.library.process.close == "browser":
        return True
    if _BROWSERS.search(" ".join((bot.preset, *bot.command))):
        return True
    for folder in {root, bot.cwd}:
        for name in _MANIFESTS:
            try:
                with (folder / name).open("r", encoding="utf-8", errors="replace") as file:
                    if _BROWSERS.search(file.read(_MANIFEST_BYTES)):
                        return True
            except OSError:
                continue
    return False
