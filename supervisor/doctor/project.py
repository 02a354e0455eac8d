"""The project: its config, its command, where its source says that the session lies."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from supervisor.config import BotConfig, resolved_command
from supervisor.config.patterns import covers
from supervisor.core.errors import SupervisorError
from supervisor.doctor import wrapped
from supervisor.doctor.findings import Finding, Findings, line
from supervisor.doctor.ground import Ground
from supervisor.doctor.life import edited
from supervisor.presets import place, source
from supervisor.process.command import program as find_program
from supervisor.session.proof.profile import GENERIC, KNOWN

_INTERPRETERS = ("python", "python3", "node", "bun", "deno", "tsx", "ts-node")
# By the names of these a folder may hold a session: only there is looked closer.
_SIGNS = (".db", ".sqlite", ".sqlite3", ".session", "creds.json", "Local State", "Preferences")
_VENVS = ("venv", "env", ".env")


def config(ground: Ground) -> Findings:
    """A config that is refused, with all that is wrong with it."""
    if ground.refused is None:
        return
    for problem in ground.refused.problems:
        if ground.written:
            cause, fix = "nothing is run by a config with a mistake in it", f"edit {ground.path}"
        else:
            cause, fix = "it does not tell how a bot is started", ground.refused.hint
        yield Finding(severity="problem", seen=problem, cause=cause, fix=fix)


# How it is started.


def program(ground: Ground, bot: BotConfig) -> Findings:
    """A command that can't be started, or not with what it needs."""
    root = ground.settled.root
    if ground.unsaid:
        return  # `dev -- COMMAND` has it
    if bot.command[0] in ("python", "python3") and (broken := _broken_environment(root)):
        yield broken
        return
    environment = {**os.environ, **bot.env}
    try:
        find_program(resolved_command(bot, root)[0], bot.cwd, environment)
    except SupervisorError as error:
        yield Finding(
            severity="problem",
            seen=error.message,
            cause="the first word of its command is no program here",
            fix=error.hint,
            commands=(line("ls", "-l", bot.cwd),),
        )
        return
    yield from _script(ground, bot)
    yield from _other_environment(bot, root)
    given = bot.env_file if "env_file" in bot.given else None
    if given is not None and not os.access(given, os.R_OK):
        yield Finding(
            severity="problem",
            seen=f"its env_file {given} is not there, or can't be read",
            cause="it is written beside the config, as a rule, and never committed: was it copied?",
            fix="write it, or leave env_file out of the config",
            commands=(line("touch", given), line("chmod", "600", given)),
        )


def _broken_environment(root: Path) -> Finding | None:
    own = root / ".venv" / "bin" / "python"
    if not os.path.lexists(own) or os.access(own, os.X_OK):
        return None
    made_for = os.readlink(own) if own.is_symlink() else "nothing that can be executed"  # noqa: PTH115 - as it is written
    wanted = root / "requirements.txt"
    again = ["python3", "-m", "venv", "--clear", str(root / ".venv")]
    install = [str(own), "-m", "pip", "install", "-r", str(wanted)]
    return Finding(
        severity="problem",
        seen=f"{own} leads to {made_for}, which is not there",
        cause="that Python was removed or replaced since the environment was made, so the bot would"
        " run without its libraries",
        fix="make it anew",
        commands=(line(*again), *([line(*install)] if wanted.exists() else [])),
    )


def _other_environment(bot: BotConfig, root: Path) -> Findings:
    if bot.command[0] not in ("python", "python3") or (root / ".venv").exists():
        return
    for name in _VENVS:
        if (root / name / "pyvenv.cfg").is_file() and (root / name / "bin" / "python").exists():
            yield Finding(
                severity="note",
                seen=f"its libraries are in {name}/, which `python` is not of",
                cause="`python` is the one in .venv/, if there is one, else stillhere's own",
                fix="name that one",
                edit=edited(bot, "command", [f"{name}/bin/python", *bot.command[1:]]),
            )
            return


def _script(ground: Ground, bot: BotConfig) -> Findings:
    """A file in the command that is not there from the folder in which the bot runs."""
    if missing := wrapped.missing_script(bot.command, bot.cwd):
        yield Finding(
            severity="problem",
            seen=f"{bot.cwd / 'package.json'} has no script {missing!r}",
            cause="its command runs that one",
            fix="name one that is there",
            commands=(line("npm", "--prefix", bot.cwd, "run"),),
        )
        return
    word = _program_file(bot)
    if not word or (bot.cwd / word).exists():
        return
    root = ground.settled.root
    there = next((base for base in _bases(ground, bot) if (base / word).exists()), None)
    if there is None:
        yield Finding(
            severity="problem",
            seen=f"{bot.cwd / word} does not exist",
            cause="its command names it, relative to the folder in which the bot runs",
            fix="name a file that is there",
            commands=(line("ls", bot.cwd),),
        )
        return
    right = os.path.relpath(there / word, bot.cwd)
    words = [right if each == word else each for each in bot.command]
    yield Finding(
        severity="problem",
        seen=f"{word} is not in {bot.cwd}, where the bot runs, but in {there}",
        cause=f"a relative path in `command` is relative to `cwd` ({bot.cwd}), not to {root}",
        fix="name it from there",
        edit=edited(bot, "command", words),
    )


def _program_file(bot: BotConfig) -> str:
    """Return the file that an interpreter is to run, if the command names one."""
    first = Path(bot.command[0]).name
    if not first.startswith(("python", "pypy")) and first not in _INTERPRETERS:
        return ""
    word = next((word for word in bot.command[1:] if not word.startswith("-")), "")
    own = word.endswith(source.SUFFIXES) and bot.command[1:2] == (word,)
    return word if own else ""


def _bases(ground: Ground, bot: BotConfig) -> Iterator[Path]:
    """Yield the folders from which somebody may have started the bot before."""
    script = _program_file(bot)
    folders = [ground.settled.root, bot.cwd, ground.here, ground.world.home]
    if script:
        folders.append((bot.cwd / script).parent)
    yield from dict.fromkeys(folder.absolute() for folder in folders)


# Where its session is.


def session_place(ground: Ground, bot: BotConfig) -> Findings:
    """The bot keeps its session elsewhere than the config says."""
    config, session = ground.settled, bot.library.session
    here = config.session_dir(bot)
    named = _named(bot)
    if named and not any(_is_within(bot.cwd / name, here, bot.session_files) for name in named):
        path = bot.cwd / named[0]
        yield Finding(
            severity="problem",
            seen=f"its source keeps the session in {path}, the config says {here}",
            cause="what is copied and brought back is not what the bot uses: it shows a QR code"
            " whenever its own is lost",
            fix="say in the config where it is, and leave `session_files` out"
            if session.place == "folder"
            else "say in the config which file it is",
            edit=_edit(bot, config.root, path, folder=session.place == "folder"),
        )
        return
    if ground.live(bot).files:
        return
    if other := _elsewhere(ground, bot, named):
        yield Finding(
            severity="problem",
            seen=f"nothing is in {here}, and a session is in {other}",
            cause="its path is relative, and it was started from another folder before",
            fix="stop the bot, and bring it in",
            commands=(ground.command("session", "import", str(bot.session), str(other)),),
        )
    elif opened := _opened(ground, bot):
        yield Finding(
            severity="problem",
            seen=f"nothing is in {here}, and the bot writes {opened}",
            cause="it keeps its session there: by a path of its own, or by one that is relative to"
            f" {bot.cwd}",
            fix="say in the config where it is, if that is its session",
            edit=_edit(bot, config.root, opened, folder=False),
        )


def _named(bot: BotConfig) -> list[str]:
    """Return where the source says that the session lies, relative to the bot's folder."""
    session = bot.library.session
    if session.place == "parts" or not (session.source or session.folder_source):
        return []
    project = source.read(bot.cwd, bot.watch, bot.command)
    return place.named(session, project, bot.cwd)


def _is_within(path: Path, here: Path, files: tuple[str, ...]) -> bool:
    """Return whether a path is of a session: of a folder, or of some files in it."""
    real, folder = _real(path), _real(here)
    if not real.is_relative_to(folder):
        return False
    inside = real.relative_to(folder).parts
    return not files or (bool(inside) and covers(files, inside[0]))


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _edit(bot: BotConfig, root: Path, path: Path, *, folder: bool) -> str:
    def relative(to: Path) -> str:
        return str(to.relative_to(root)) if to.is_relative_to(root) else str(to)

    path = Path(os.path.normpath(path))
    if folder:
        return edited(bot, "session_path", relative(path))
    lines = edited(bot, "session_files", [path.name])
    return f'{lines}\nsession_path = "{relative(path.parent) or "."}"'


def _elsewhere(ground: Ground, bot: BotConfig, named: list[str]) -> Path | None:
    """Return a folder with a session of the bot's kind, as seen from another folder."""
    session = bot.library.session
    kind = KNOWN.get(session.kind, GENERIC)
    names = [*named, *(path for path in session.path if not set(path) & set("*?["))]
    here = _real(ground.settled.session_dir(bot))
    for base in _bases(ground, bot):
        for name in names:
            path = base / name
            with suppress(OSError):
                if _real(path) != here and path.is_dir() and kind.fits(path):
                    return path
    return None


def _opened(ground: Ground, bot: BotConfig) -> Path | None:
    """Return a database, or the like, that the running bot has open to write."""
    for pid in ground.tree_of(bot):
        with suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    path = Path(f"/proc/{pid}/fd/{fd}").readlink()
                    if path.suffix in _SIGNS and stat.S_ISREG(path.stat().st_mode):
                        return path
    return None
